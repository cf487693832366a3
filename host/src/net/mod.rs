//! Sockets, clocks and tasks: the only floor where bytes, time, protocol machines and the hall meet.
//!
//! Each worker is a thread with a runtime of its own. A connection stays on the worker that it was given to, so nothing is
//! stolen and hardly anything is shared; whoever fills a mailbox sends from where it stands (see `outlet.rs`).

mod amqp;
mod answers;
mod authentication;
mod authorities;
mod chores;
mod clock;
mod connection;
mod context;
mod detect;
mod detours;
mod ending;
mod errands;
mod frames;
mod gate;
mod intake;
mod last_words;
mod linger;
mod listener;
mod machine;
mod opening;
mod outlet;
mod partial;
mod peers;
mod proxy;
mod quic;
mod round;
mod seldom;
mod session;
mod sys;
mod tls;
mod transport;
mod turn;
mod websocket;
mod workers;

pub use authorities::ClientFiles;
pub use clock::Clock;
pub use detect::Speaks;
pub use listener::{Address, BindError, ListenerConfig};
pub use sys::SysClock;
pub use tls::{TlsError, TlsFiles};
pub use websocket::{PageOrigin, WebSocketRules};
pub use workers::{Certificates, NetConfig, Workers};

/// Bounds of this floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at the same time. More are closed as they come. Default 1,000,000.
    pub connections_max: usize,
    /// Connections from one address, of IPv6 from one network of 64 bits, which is a customer's; behind a load balancer the
    /// address in its header counts. Default 1,000,000: no bound of its own.
    pub connections_per_address_max: usize,
    /// Connections accepted in a second, over all listeners. More wait in the system's queue. Default 20,000.
    pub accepts_per_second_max: u32,
    /// Connections whose clients have not said who they are. Default 20,000.
    pub unauthenticated_max: usize,
    /// Bytes that a client may send before it has said who it is, TLS handshake and WebSocket opening included. Default
    /// 8,192.
    pub unauthenticated_bytes_max: usize,
    /// A client with a larger greeting (a will, a chain of certificates) takes what it needs more out of this reserve, which
    /// all share, in bytes. Default 64 MiB.
    pub unauthenticated_reserve_bytes: usize,
    /// Seconds after which a client that takes nothing of what waits for it is cut off. Default 30.
    pub write_seconds_max: u32,
    /// Milliseconds for which one connection has its thread with what it sends without a pause, and that modules may take over
    /// what it sent, or gets, before the others of the thread have their turn. Calls that take a millisecond or more have half of the thread's time; whose messages they are waits. Default 2.
    pub turn_milliseconds_max: u32,
    /// Milliseconds that one connection keeps its thread with what it sent, where a message has very many receivers or filters
    /// to be held against, before the others have their turn. Looked at after some thousand copies. Default 10.
    pub turn_work_milliseconds_max: u32,
    /// Bytes that one call reads from a socket, and that are gathered for one write. Default 65,536.
    pub batch_bytes: usize,
    /// Answers of one connection that wait for the disk; at this number nothing more is read from it. Default 10,000.
    pub answers_waiting_max: usize,
    /// Seconds from the opening of a connection until PROXY header, TLS handshake and the opening of a WebSocket must be
    /// over. Default 5.
    pub opening_seconds_max: u32,
    /// Seconds from the opening of a connection until its protocol must have begun. Default 10.
    pub unauthenticated_seconds_max: u32,
    /// Most bytes of one WebSocket message. Default 64 MiB.
    pub websocket_message_bytes_max: usize,
    /// Bytes that a client which is in may send over QUIC before they are read, and as many that may be on their way to it.
    /// Before it is in, [`Limits::unauthenticated_bytes_max`] holds. Default 1 MiB.
    pub quic_window_bytes: usize,
    /// Seconds of silence after which a QUIC connection is dead, unless its client wants it sooner. Default 180.
    pub quic_idle_seconds_max: u32,
    /// Seconds of silence after which the broker asks whether a QUIC client is still there, so that neither side takes a
    /// quiet connection for a dead one; 0: never. Default 20.
    pub quic_probe_seconds: u32,
    /// QUIC handshakes under way with clients that have not shown that their addresses are theirs; one more has to show it
    /// first (RFC 9000, 8.1.2). Default 256.
    pub quic_unproven_max: usize,
    /// Threads that ask modules who a client is where these may wait for servers outside. Default 8.
    pub errand_threads: usize,
    /// Clients that may wait for one of these threads; half of them may come from one address. Default 1,024.
    pub errands_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            connections_per_address_max: 1_000_000,
            accepts_per_second_max: 20_000,
            unauthenticated_max: 20_000,
            unauthenticated_bytes_max: 8192,
            unauthenticated_reserve_bytes: 64 << 20,
            write_seconds_max: 30,
            turn_milliseconds_max: 2,
            turn_work_milliseconds_max: 10,
            batch_bytes: 65_536,
            answers_waiting_max: 10_000,
            opening_seconds_max: 5,
            unauthenticated_seconds_max: 10,
            websocket_message_bytes_max: 64 << 20,
            quic_window_bytes: 1 << 20,
            quic_idle_seconds_max: 180,
            quic_probe_seconds: 20,
            quic_unproven_max: 256,
            errand_threads: 8,
            errands_waiting_max: 1_024,
        }
    }
}
