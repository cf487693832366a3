//! Sockets, clocks and tasks: the only floor where bytes, time, protocol machines and the hall meet.
//!
//! Each worker is a thread with a runtime of its own. A connection stays on the worker that it was given to, so nothing is
//! stolen and hardly anything is shared; whoever fills a mailbox sends from where it stands (see `outlet.rs`).

mod authentication;
mod chores;
mod clock;
mod connection;
mod context;
mod linger;
mod listener;
mod machine;
mod outlet;
mod sys;
mod workers;

pub use clock::Clock;
pub use listener::BindError;
pub use sys::SysClock;
pub use workers::{ListenerConfig, NetConfig, Workers};

/// Bounds of this floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at the same time. More are closed as they come. Default 1,000,000.
    pub connections_max: usize,
    /// Bytes that one call reads from a socket, and that are gathered for one write. Default 65,536.
    pub batch_bytes: usize,
    /// Answers of one connection that wait for the disk; at this number nothing more is read from it. Default 10,000.
    pub answers_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 1_000_000, batch_bytes: 65_536, answers_waiting_max: 10_000 }
    }
}
