//! The house as a whole: built bottom-up, run, taken down top-down.

mod attempt;
mod bundled;
mod error;
mod files;
mod messenger;
mod modules;
mod reload;
mod secrets;
mod start;
mod waiting;

pub use attempt::Attempt;
pub use bundled::BUNDLED;
pub use error::StartError;
pub use files::{doubtful, unreadable};
pub use modules::{bindings, component};
pub use start::{Running, start, start_from, start_watched};

#[cfg(test)]
mod tests;
