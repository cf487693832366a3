//! What is asked of the modules of a chain: one file a hook.

mod access;
mod mapping;
mod retain;
mod routing;
mod wills;

pub use access::{Action, Credentials};
pub use retain::{Replay, RetainAsk, Retention};
pub use routing::{Outcome, Verdict};
