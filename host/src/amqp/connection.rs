//! The life of a connection: protocol headers, open, sessions, close, and the time by which something must have come.

use super::Action;
use super::action::{AttachReply, DeliveryId, LinkId, Outgoing, SaslOutcome, Step};
use super::condition::{Error, Fault, Fields};
use super::limits::Limits;
use super::state::State;
use crate::message::Time;
use serde_amqp::primitives::Symbol;
use std::sync::Arc;

/// What a listener tells its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The broker's container-id.
    pub container_id: Arc<str>,
    /// SASL mechanisms on offer. Empty: no SASL layer.
    pub mechanisms: Vec<Symbol>,
    /// A client that begins without SASL is shown the SASL header and sent away.
    pub sasl_required: bool,
    /// The TLS header is answered. Never on a connection that is encrypted already.
    pub tls_offered: bool,
    /// What the broker can do.
    pub offered_capabilities: Vec<Symbol>,
    /// Product, version and the like.
    pub properties: Fields,
}

/// See the head of the room.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    profile: Arc<Profile>,
}

impl Connection {
    /// A connection that was just made. `profile` says what it offers.
    pub fn new(limits: Arc<Limits>, profile: Arc<Profile>, now: Time) -> Self {
        let _ = now;
        Self { limits, profile }
    }

    /// Reads at most one frame from the start of `bytes`, which is all that the connection has so far. What the machine
    /// answers by itself goes to `out`.
    ///
    /// # Errors
    /// The connection is to be closed when `out` has been sent.
    pub fn receive<'b>(&mut self, now: Time, bytes: &'b [u8], out: &mut Vec<u8>) -> Result<Step<'b>, Fault> {
        let _ = (now, bytes, out, &self.limits, &self.profile);
        Ok(Step::NeedMore { length: None })
    }

    /// When [`Self::tick`] wants to be called; none: never.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// Does what is due: heart-beats, deliveries that stopped in the middle, silence. At most one action a call; call again
    /// as long as [`Self::deadline`] has passed.
    ///
    /// # Errors
    /// The client was silent for too long: the connection is to be closed when `out` has been sent.
    pub fn tick(&mut self, now: Time, out: &mut Vec<u8>) -> Result<Option<Action<'static>>, Fault> {
        let _ = (now, out);
        Ok(None)
    }

    /// The TLS handshake is done: the client begins again with a protocol header. From now on use a profile without TLS.
    pub fn tls_started(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
    }

    /// Asks a client that authenticates for its next answer.
    pub fn sasl_challenge(&mut self, challenge: &[u8], out: &mut Vec<u8>) {
        let _ = (challenge, out);
    }

    /// Ends the SASL exchange. After anything but [`SaslOutcome::Ok`] the connection is to be closed when `out` has been sent.
    pub fn sasl_outcome(&mut self, outcome: SaslOutcome, additional: Option<&[u8]>, out: &mut Vec<u8>) {
        let _ = (outcome, additional, out);
    }

    /// Lets the client in.
    pub fn open(&mut self, now: Time, out: &mut Vec<u8>) {
        let _ = (now, out);
    }

    /// Ends the connection by the broker's will. Nothing may follow.
    pub fn close(&mut self, error: Option<Error>, out: &mut Vec<u8>) {
        let _ = (error, out);
    }

    /// Answers an attach, and gives a sending client its credit.
    pub fn attach(&mut self, link: LinkId, reply: AttachReply, out: &mut Vec<u8>) {
        let _ = (link, reply, out);
    }

    /// Answers an attach with no (2.6.3): the link comes up without a terminus, and is closed.
    pub fn refuse(&mut self, link: LinkId, error: Error, out: &mut Vec<u8>) {
        let _ = (link, error, out);
    }

    /// Takes a link down, or answers the client that did it.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>, out: &mut Vec<u8>) {
        let _ = (link, closed, error, out);
    }

    /// Ends the session of a link.
    pub fn end(&mut self, link: LinkId, error: Error, out: &mut Vec<u8>) {
        let _ = (link, error, out);
    }

    /// How many deliveries a sending client may have unanswered from now on. 0 stops it.
    pub fn grant(&mut self, link: LinkId, credit: u32, out: &mut Vec<u8>) {
        let _ = (link, credit, out);
    }

    /// Says what becomes of a delivery from a client. `settled`: and forgets it. Deliveries that follow each other and
    /// become the same are told together, at [`Self::flush`]. Ignored if link or delivery are gone.
    pub fn settle(&mut self, link: LinkId, delivery: DeliveryId, state: State, settled: bool, out: &mut Vec<u8>) {
        let _ = (link, delivery, state, settled, out);
    }

    /// Says what was held back to be said together. To be called at the end of each batch.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// How many deliveries may begin now on a link to a client.
    pub fn room(&self, link: LinkId) -> u32 {
        let _ = link;
        0
    }

    /// Whether the client wants to hear when nothing is left to deliver.
    pub fn drains(&self, link: LinkId) -> bool {
        let _ = link;
        false
    }

    /// Sends a message if there is room, in as many frames as it takes; what the session's window does not take now follows
    /// by itself. The delivery-id; none: there is no room, or the link is gone.
    pub fn deliver(&mut self, link: LinkId, outgoing: &Outgoing<'_>, out: &mut Vec<u8>) -> Option<DeliveryId> {
        let _ = (link, outgoing, out);
        None
    }

    /// Nothing is left to deliver: takes back the credit of a client that drains (2.6.7), and tells it. Nothing to do for
    /// one that does not.
    pub fn drained(&mut self, link: LinkId, out: &mut Vec<u8>) {
        let _ = (link, out);
    }

    /// How many deliveries wait for the client: told with the next flow.
    pub fn set_available(&mut self, link: LinkId, available: u32) {
        let _ = (link, available);
    }

    /// Settles a delivery to a client that has said its outcome and waits (receiver settles second), or takes the broker's
    /// last word on one. Ignored if it is gone.
    pub fn settle_outgoing(&mut self, link: LinkId, delivery: DeliveryId, state: Option<State>, out: &mut Vec<u8>) {
        let _ = (link, delivery, state, out);
    }
}
