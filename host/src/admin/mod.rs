//! x
mod body;
mod error;
mod guard;
mod metrics;
mod publish;
mod token;
pub use token::Token;
