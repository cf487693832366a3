//! The life of a connection on the side that reads: CONNECT first, then packets in any order, then DISCONNECT; and the
//! time by which the client must have been heard.

use super::authentication::Authentication;
use super::inbound;
use super::known_topic::KnownTopic;
use super::limits::Limits;
use super::outbound::{Greeting, Outbound};
use super::packet::connect::{self, AnswerBounds};
use super::packet::reader::Reader;
use super::packet::{Version, header, kind};
use super::quota::Quota;
use super::topic_alias::IncomingAliases;
use super::violation::Violation;
use crate::dialogue::{Event, Request};
use crate::message::Time;
use std::sync::Arc;

/// So many further bytes of an unfinished packet are a sign of life.
const PROGRESS_BYTES: u32 = 1_000;

/// The half that reads, owned by the connection's task.
#[derive(Debug)]
pub struct Inbound {
    pub(super) limits: Arc<Limits>,
    phase: Phase,
    /// When the last packet was read, or enough of a long one; before CONNECT: when the connection was opened.
    heard: Time,
    /// Bytes of an unfinished packet that were there then.
    unfinished: u32,
    /// Milliseconds of silence that the keep-alive time allows; 0: any.
    silence_max: u32,
    /// The exchange that was agreed on in CONNECT, if any.
    pub(super) authentication: Option<Box<Authentication>>,
    /// When the connection was opened.
    opened: Time,
    pub(super) quota: Quota,
    pub(super) aliases: Option<Box<IncomingAliases>>,
    pub(super) known_topic: Option<Box<KnownTopic>>,
    /// The longest packet that the client takes.
    pub(super) client_bytes_max: u32,
    pub(super) version: Version,
    /// The session ends with the connection, and may not be given an expiry on leaving (5.0, 3.14.2.2.2).
    pub(super) is_brief: bool,
    /// The client is a bridge of a version without subscription options.
    pub(super) is_bridge: bool,
}

#[derive(Debug)]
enum Phase {
    /// Before CONNECT.
    First(Box<Peer>),
    /// CONNECT was read as far as its version, and broke a rule then.
    Refused(AnswerBounds),
    /// CONNECT was read; what the other half needs waits here until it is made.
    Open(Option<Box<Greeting>>),
    /// DISCONNECT was read.
    Over,
}

/// What is known of a client before it says a word.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub listener: Arc<str>,
    pub address: Arc<str>,
}

/// What [`Inbound::receive`] found.
#[derive(Debug)]
pub enum Step<'b> {
    /// No whole packet yet.
    NeedMore {
        /// Length of the packet with its header, if that much can be read; never above [`Limits`].
        length: Option<usize>,
    },
    /// A whole packet.
    Packet {
        /// Bytes it took.
        length: usize,
        /// What to do about it.
        action: Action<'b>,
    },
}

/// What to do about a packet.
#[derive(Debug)]
pub enum Action<'b> {
    /// Ask the hall.
    Request(Request<'b>),
    /// Answer with [`Outbound::pong`].
    Pong,
    /// Send these bytes: the room answers by itself.
    Reply(Vec<u8>),
}

impl Inbound {
    /// Whether its client has as many publications under way as it may.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.quota.is_spent()
    }

    /// A connection that was just opened at `listener` by `peer` (`address:port`).
    pub fn new(limits: Arc<Limits>, listener: Arc<str>, peer: Arc<str>, now: Time) -> Self {
        Self {
            limits,
            phase: Phase::First(Box::new(Peer { listener, address: peer })),
            heard: now,
            unfinished: 0,
            silence_max: 0,
            authentication: None,
            opened: now,
            quota: Quota::new(0),
            aliases: None,
            known_topic: None,
            client_bytes_max: u32::MAX,
            version: Version::V311,
            is_brief: true,
            is_bridge: false,
        }
    }

    /// Reads at most one packet from the start of `bytes`, which is all that the connection has so far. Nothing of a
    /// packet is taken before it is whole, but what is wrong with its first bytes is told at once. After DISCONNECT
    /// everything is ignored.
    ///
    /// # Errors
    /// The rule that was broken. The connection must be closed, with [`Outbound::violation`] as the last word.
    #[inline]
    pub fn receive<'b>(&'b mut self, now: Time, bytes: &'b [u8]) -> Result<Step<'b>, Violation> {
        let Some(first) = bytes.first().copied() else {
            return Ok(Step::NeedMore { length: None });
        };
        let length_max = match &self.phase {
            Phase::Open(_) => {
                header::check_first(first, self.version)?;
                self.limits.packet_bytes_max
            }
            Phase::First(_) if first >> 4 == kind::CONNECT => self.limits.connect_bytes_max,
            Phase::First(_) | Phase::Refused(_) => return Err(Violation::NotConnect),
            Phase::Over => return Ok(Step::NeedMore { length: None }),
        };
        let Some(header) = header::read(bytes)? else {
            return Ok(Step::NeedMore { length: None });
        };
        let length = header.total();
        if length > length_max as usize {
            return Err(Violation::PacketTooLarge);
        }
        let Some(body) = bytes.get(header.bytes..length) else {
            self.progress(now, bytes.len());
            return Ok(Step::NeedMore { length: Some(length) });
        };
        (self.heard, self.unfinished) = (now, 0);
        if matches!(self.phase, Phase::First(_)) {
            let request = self.connect(first, body, header.is_minimal())?;
            return Ok(Step::Packet { length, action: Action::Request(request) });
        }
        if !header.is_minimal() && self.version == Version::V5 {
            return Err(Violation::NumberNotMinimal);
        }
        if let Some(authentication) = &self.authentication {
            authentication.check(first >> 4)?;
        }
        if first >> 4 == kind::DISCONNECT {
            self.phase = Phase::Over;
        }
        let action = inbound::read(self, first, body)?;
        Ok(Step::Packet { length, action })
    }

    /// So many bytes of a packet are there. A client that is amid a long one cannot send PINGREQ; one that sends next to nothing
    /// of it is silent.
    fn progress(&mut self, now: Time, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if matches!(self.phase, Phase::Open(_)) && bytes.saturating_sub(self.unfinished) >= PROGRESS_BYTES {
            (self.heard, self.unfinished) = (now, bytes);
        }
    }

    /// Reads CONNECT, and says what the other half needs to know.
    fn connect(&mut self, first: u8, body: &[u8], minimal: bool) -> Result<Request<'static>, Violation> {
        let mut reader = Reader::new(body);
        let (version, is_bridge) = connect::version(&mut reader)?;
        (self.version, self.is_bridge) = (version, is_bridge);
        let Phase::First(peer) = std::mem::replace(&mut self.phase, Phase::Refused(AnswerBounds::default())) else {
            return Err(Violation::SecondConnect);
        };
        if !minimal && version == Version::V5 {
            return Err(Violation::NumberNotMinimal);
        }
        let mut bounds = AnswerBounds::default();
        let connect = connect::read(first, reader, version, &self.limits, &mut bounds);
        self.phase = Phase::Refused(bounds);
        let connect = connect?;
        if let Some(method) = connect.properties.authentication_method {
            self.authentication = Some(Box::new(Authentication::begin(method)?));
        }
        let limits = &self.limits;
        let is_v5 = version == Version::V5;
        let clamp = limits.keep_alive_seconds_max;
        let asked = connect.keep_alive;
        let clamped = is_v5 && clamp > 0 && (asked == 0 || asked > clamp);
        let keep_alive = if clamped { clamp } else { asked };
        self.silence_max = u32::from(keep_alive) * 1500; // MQTT-3.1.2-22
        self.quota = Quota::new(if is_v5 { limits.receive_maximum } else { limits.receive_maximum_untold });
        self.client_bytes_max = connect.properties.packet_bytes_max;
        let expiry_seconds = session_expiry(version, &connect);
        self.is_brief = expiry_seconds == 0;
        let greeting = Greeting {
            limits: Arc::clone(limits),
            server_keep_alive: clamped.then_some(clamp),
            expiry_seconds,
            wants_response_information: connect.properties.wants_response_information,
            wants_problem_information: connect.properties.wants_problem_information,
            packet_bytes_max: connect.properties.packet_bytes_max,
            topic_alias_maximum: connect.properties.topic_alias_maximum.min(limits.topic_alias_out_maximum),
            authentication_method: self.authentication.as_ref().map(|authentication| authentication.method()),
        };
        let attach = inbound::attach(connect, *peer, (version, self.is_bridge), expiry_seconds, limits);
        self.phase = Phase::Open(Some(Box::new(greeting)));
        Ok(Request::Attach(Box::new(attach)))
    }

    /// Hears what the client is told, as far as that decides which packets may come next.
    pub fn answered(&mut self, event: &Event) {
        if let Some(authentication) = &mut self.authentication {
            authentication.answered(event);
        }
    }

    /// Whether the client has still to prove who it is, in an exchange that it agreed to.
    fn is_authenticating(&self) -> bool {
        self.authentication.as_ref().is_some_and(|authentication| authentication.is_connecting())
    }

    /// When the client has been silent for too long: [`Violation::ConnectTimeout`] before CONNECT was read,
    /// [`Violation::AuthenticationTimeout`] in the exchange that it began, [`Violation::KeepAliveExpired`] after that; none:
    /// never.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::First(_) => Some(self.heard.plus_seconds(self.limits.connect_seconds_max)),
            // All of the exchange has to come within the time for CONNECT.
            Phase::Open(_) if self.is_authenticating() => {
                Some(self.opened.plus_seconds(self.limits.connect_seconds_max))
            }
            Phase::Open(_) if self.silence_max > 0 => Some(self.heard.plus_milliseconds(self.silence_max.into())),
            Phase::Open(_) | Phase::Refused(_) | Phase::Over => None,
        }
    }

    /// Which rule is broken when [`Self::deadline`] has passed.
    pub fn silence(&self) -> Violation {
        match self.phase {
            Phase::First(_) => Violation::ConnectTimeout,
            Phase::Open(_) if self.is_authenticating() => Violation::AuthenticationTimeout,
            _ => Violation::KeepAliveExpired,
        }
    }

    /// The half that writes. To be called once: when [`Request::Attach`] was read, or for the last word if there was
    /// none. Before CONNECT, and a second time, it is a half that can say next to nothing.
    pub fn outbound(&mut self) -> Outbound {
        match &mut self.phase {
            Phase::Open(greeting) => match greeting.take() {
                Some(greeting) => Outbound::new(self.version, greeting, self.quota.returned()),
                None => Outbound::mute(),
            },
            Phase::Refused(bounds) => Outbound::refusing(self.version, *bounds),
            Phase::First(_) | Phase::Over => Outbound::mute(),
        }
    }
}

/// How long the client wants its session to last. Before 5.0 a session that is not clean lasts for ever.
fn session_expiry(version: Version, connect: &connect::Connect<'_>) -> u32 {
    match (version, connect.clean) {
        (Version::V5, _) => connect.properties.session_expiry,
        (_, true) => 0,
        (_, false) => u32::MAX,
    }
}
