//! What survives a restart.

mod change;

pub use change::*;
