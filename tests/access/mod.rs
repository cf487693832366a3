//! Who may come in, and what they may do: passwords, tokens, exchanges, and the access list at every way in and out.

mod amqp;
pub(crate) mod exchange;
mod limits;
mod matrix;
mod owners;
mod passwords;
pub mod rig;
mod secrets;
mod tokens;
