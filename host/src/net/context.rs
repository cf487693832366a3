//! What all connections of one worker thread share.

use super::errands::Errands;
use super::peers::Peers;
use super::round::Round;
use super::turn::Turns;
use super::{Clock, Limits};
use crate::broker::{Broker, Worker};
use crate::identity::Identity;
use crate::{amqp, mqtt};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::time::Instant;

/// See the head of this file.
pub struct Context {
    /// The hall.
    pub broker: Arc<Broker>,
    /// Who may come in.
    pub identity: Identity,
    /// Who asks modules that may wait.
    pub errands: Arc<Errands>,
    /// This thread's hold on the hall.
    pub worker: RefCell<Worker>,
    /// Time.
    pub clock: Clock,
    /// What the socket has is read into this; a connection keeps only the bytes of a packet that is not yet whole.
    pub read_buffer: RefCell<Vec<u8>>,
    /// Beside it, for what TLS or WebSocket make of it.
    pub plain_buffer: RefCell<Vec<u8>>,
    /// Bounds of this floor.
    pub limits: Limits,
    /// Bounds of MQTT.
    pub mqtt: Arc<mqtt::Limits>,
    /// Bounds of AMQP.
    pub amqp: Arc<amqp::Limits>,
    /// AMQP connections of all threads.
    pub peers: Arc<Peers>,
    /// Whose turn it is on this thread.
    pub turns: Turns,
    /// When it sends.
    pub round: Round,
    /// Connections of this thread.
    pub connections: Arc<AtomicUsize>,
}

impl Context {
    /// Until when a client that has taken so many bytes may take no more, and that number.
    pub fn until_stalled(&self, taken: u64) -> (Instant, u64) {
        (Instant::now() + Duration::from_secs(self.limits.write_seconds_max.into()), taken)
    }
}
