//! Bridges to other brokers: what is published here goes there, and back, over MQTT or AMQP 1.0.
//!
//! A bridge is a client of the hall like any other, with a session of its own that outlives connection and process. What
//! goes out waits in that session's queue and leaves it when the other broker has acknowledged it; what comes in is
//! acknowledged there when it is on disk here. So neither side loses anything while the other one is away.

mod amqp;
mod dial;
mod files;
mod held;
mod identity;
mod mapping;
mod mqtt;
mod retry;
mod seat;
mod settings;
mod target;
mod thread;
mod trust;

pub use crate::broker::VIA;
pub use amqp::{beginning, disposing, opening, received, receiving, sending, sent};
pub use dial::{Stream, dial, unsecured};
pub use identity::NodeId;
pub use mqtt::{NO_ANSWER, other_protocol};
pub use settings::{Direction, MqttVersion, Released, Route, Settings};
pub use target::{Scheme, Target, without_secrets};
pub use thread::{BridgeError, Bridges, Clock};
pub use trust::{certificates, verifier};

/// The retained topic, below `$SYS/broker/`, under which a broker tells its id, so that bridges do not bring a message back
/// to where it came from.
pub const NODE_TOPIC: &str = "bridge/node";

/// The listener that modules and the admin API see behind a bridge's session.
pub use crate::broker::BRIDGES as LISTENER;
