//! Every way in which a guest can fail a call.

use crate::message::{Refusal, RefusalKind};

/// Why there is no answer. The instance is given up whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It was still running at its deadline.
    #[error("stopped at its deadline")]
    Deadline,
    /// It wanted more than its limits allow.
    #[error("wanted more {0} than it may have")]
    Resources(&'static str),
    /// It trapped: a panic, a bad access, more bytes for the host than allowed.
    #[error("trapped: {0}")]
    Trap(String),
    /// It answered with something that is not allowed.
    #[error("bad answer: {0}")]
    Answer(String),
    /// No instance could be made.
    #[error("no instance: {0}")]
    NotMade(String),
}

/// What a client hears when a module failed and its binding says to refuse. Nothing about the module: that stands in
/// the log. The kind tells the caller not to remember this as an answer.
pub(super) fn refusal() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "a module of the broker failed")
}
