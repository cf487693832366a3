//! What a connection speaks, behind one face: a half that reads, owned by the connection's task, and a half that writes.

use super::amqp::{Side, Wire};
use super::listener::Entrance;
use crate::client::Protocol;
use crate::dialogue::{Attach, Event, Handle, Outgoing};
use crate::message::Time;
use crate::mqtt;
use std::sync::Arc;

/// The half that reads.
pub enum Machine {
    /// The first bytes have not told yet, or the transport is still being agreed on.
    Unknown,
    /// MQTT of any version.
    Mqtt(mqtt::Inbound),
    /// AMQP 1.0.
    Amqp(Box<Side>),
}

impl Machine {
    /// The one for a protocol that was recognised; none: this version does not speak it.
    pub fn new(
        protocol: Protocol,
        limits: &Arc<mqtt::Limits>,
        entrance: &Entrance,
        peer: Arc<str>,
        opened: Time,
    ) -> Option<Self> {
        match protocol {
            Protocol::Mqtt => Some(Self::Mqtt(mqtt::Inbound::new(limits.clone(), entrance.name.clone(), peer, opened))),
            Protocol::Amqp | Protocol::Http | Protocol::Module => None,
        }
    }

    /// When the client has been silent for too long; none: never.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            Self::Unknown => None,
            Self::Mqtt(machine) => machine.deadline(),
            Self::Amqp(side) => side.deadline(),
        }
    }

    /// Which rule is broken when that has passed.
    pub fn silence(&self) -> Option<mqtt::Violation> {
        match self {
            Self::Unknown | Self::Amqp(_) => None,
            Self::Mqtt(machine) => Some(machine.silence()),
        }
    }

    /// Hears what the broker answered.
    pub fn answered(&mut self, event: &Event) {
        if let Self::Mqtt(machine) = self {
            machine.answered(event);
        }
    }

    /// The half that writes.
    pub fn writer(&mut self) -> Writer {
        match self {
            Self::Unknown | Self::Amqp(_) => Writer::Silent,
            Self::Mqtt(machine) => Writer::Mqtt(machine.outbound()),
        }
    }
}

/// The half that writes. Any thread may use it, one at a time.
pub enum Writer {
    /// Nothing was said yet.
    Silent,
    /// MQTT of any version.
    Mqtt(mqtt::Outbound),
    /// AMQP 1.0: reads, too.
    Amqp(Box<Wire>),
}

/// Why nothing more is to be delivered for now.
pub enum Stop {
    /// The delivery goes on by [`Writer::go_on`].
    Begun,
    /// Its receiver does not take it.
    Oversize {
        /// Names it; 0: an at-most-once one.
        handle: Handle,
        /// The receiver may have been sent it before.
        again: bool,
    },
}

/// What a connection says beside deliveries.
#[derive(Debug)]
pub enum Say {
    /// What the broker answered.
    Event(Event),
    /// Answer to a ping.
    Pong,
    /// What the protocol machine answered by itself.
    Bytes(Vec<u8>),
}

impl Writer {
    /// Encodes; false: this protocol has no word for it but to hang up.
    pub fn say(&mut self, say: &Say, out: &mut Vec<u8>) -> bool {
        match (self, say) {
            (Self::Silent | Self::Amqp(_), _) => true,
            (Self::Mqtt(machine), Say::Pong) => {
                machine.pong(out);
                true
            }
            (Self::Mqtt(machine), Say::Bytes(bytes)) => {
                machine.reply(bytes, out);
                true
            }
            (Self::Mqtt(machine), Say::Event(event)) => machine.event(event, out) == mqtt::Outcome::Said,
        }
    }

    /// Whether the client would hear that it is in; the hall grants it a session of `expiry_seconds`.
    pub fn may_accept(&self, attach: &Attach, expiry_seconds: u32) -> bool {
        match self {
            Self::Mqtt(machine) => machine.may_accept(attach, expiry_seconds),
            Self::Silent | Self::Amqp(_) => true,
        }
    }

    /// Encodes a delivery, or the beginning of one that is long, unless the receiver does not take it because it is too large.
    pub fn deliver(&mut self, now: Time, outgoing: &Outgoing, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self::Mqtt(machine) = self else { return Ok(()) };
        match (machine.deliver(now, outgoing, out), outgoing) {
            (mqtt::Written::Whole, _) | (_, Outgoing::Release(_)) => Ok(()),
            (mqtt::Written::Begun, _) => Err(Stop::Begun),
            (mqtt::Written::TooLarge, Outgoing::Deliver(delivery)) => {
                Err(Stop::Oversize { handle: delivery.handle, again: delivery.duplicate })
            }
        }
    }

    /// Goes on with a delivery that is long, until `out` has `enough` bytes; true: there is more of it.
    pub fn go_on(&mut self, enough: usize, out: &mut Vec<u8>) -> bool {
        let Self::Mqtt(machine) = self else { return false };
        machine.go_on(enough, out)
    }

    /// What comes next of a delivery that is long, where it lies; none: nothing does.
    pub fn rest(&self) -> Option<&[u8]> {
        let Self::Mqtt(machine) = self else { return None };
        machine.rest()
    }

    /// So much of that was written.
    pub fn has_written(&mut self, count: usize) {
        if let Self::Mqtt(machine) = self {
            machine.has_written(count);
        }
    }

    /// Whether there is more of a delivery that is long.
    pub fn is_amid(&self) -> bool {
        matches!(self, Self::Mqtt(machine) if machine.is_amid())
    }

    /// The last word to a client that broke the rules.
    pub fn violation(&mut self, violation: &mqtt::Violation, out: &mut Vec<u8>) {
        if let Self::Mqtt(machine) = self {
            machine.violation(violation, out);
        }
    }
}
