//! MQTT 3.1, 3.1.1 and 5.0 as a machine without clock or socket: bytes and `now` go in, requests, bytes and the next
//! deadline come out.
//!
//! A connection has two halves. [`Inbound`] belongs to the task that reads: it frames packets, holds them against the
//! specification before anything else sees them, and turns them into [`Request`](crate::dialogue::Request)s.
//! [`Outbound`] stands behind a lock and turns [`Event`](crate::dialogue::Event)s and deliveries into bytes, whoever has
//! them.
//!
//! What is read by whom: every packet that a client may send is read by the files of `packet/`, since a strict reading
//! has to walk every field anyway (a list of what `mqttbytes` lets pass is the table in `packet/mqttbytes_faults.rs`).
//! CONNACK, SUBACK, UNSUBACK and DISCONNECT are written by `mqttbytes`; PUBLISH and its four acknowledgements, the busy
//! ones, are written here without allocation, and so is what `mqttbytes` does not know (AUTH). Tests hold both readings
//! against each other.

mod authentication;
mod connection;
mod inbound;
mod known_topic;
mod limits;
mod long;
mod outbound;
mod packet;
mod quota;
mod reasons;
mod same;
mod topic_alias;
mod violation;

#[cfg(test)]
mod tests;

pub use connection::{Action, Inbound, Step};
pub use limits::Limits;
pub use outbound::{Outbound, Outcome, Written};
pub use packet::Version;
pub use packet::header::find_goodbye;
pub use violation::Violation;
