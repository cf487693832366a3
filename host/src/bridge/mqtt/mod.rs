//! A bridge over MQTT: the packets of rumqttc, and a drive loop of our own.
//!
//! The library's own event loop gives packet identifiers itself, keeps what is under way in memory and answers PUBREL by
//! itself. Here the hall's mailbox is the session: its handles are the packet identifiers, they are the same after a restart,
//! and every acknowledgement waits for the disk. So exactly-once holds across restarts of either side.

mod answers;
mod codec;
mod connection;
mod inward;
mod outward;
mod suspects;

pub use connection::{Lost, NO_ANSWER, other_protocol, run};
pub use suspects::Suspects;
