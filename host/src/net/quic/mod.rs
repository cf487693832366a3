//! MQTT over QUIC (RFC 9000, 9001): one bidirectional stream a connection, opened by the client, under ALPN `mqtt`.
//!
//! The worker that accepts reads all datagrams of the port and sorts them by connection. All else of a connection (its
//! handshake, keys, packets, timers) lives on the worker that it was given to.

mod door;
mod stream;
mod welcome;

pub use door::{Coming, Door};
pub use stream::QuicWriting;
pub use welcome::welcome;
