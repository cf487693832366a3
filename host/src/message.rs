//! One message: immutable once made, shared by all who wait for it, and the words around it.

mod weight;

pub use weight::{Weight, live_bytes};

use crate::topic::Topic;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use triomphe::ThinArc;

/// The broker's clock in milliseconds since 1970-01-01T00:00:00Z: the wall clock as it was when the process started,
/// carried on by the monotonic clock. A jump of the wall clock changes no expiry, delay or keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// So many seconds later.
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }

    /// So many milliseconds later.
    pub fn plus_milliseconds(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds that passed since `earlier`; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same in 32 bits, which is 49 days: the most for what is longer.
    pub fn milliseconds_from(self, earlier: Self) -> u32 {
        u32::try_from(self.since(earlier)).unwrap_or(u32::MAX)
    }
}

/// How hard the broker tries. MQTT: QoS 0, 1, 2. AMQP: settled, unsettled, receiver settles second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Guarantee {
    /// Delivered once or not at all.
    #[default]
    AtMostOnce,
    /// Delivered once or more often.
    AtLeastOnce,
    /// Delivered exactly once to a receiver that keeps its state.
    ExactlyOnce,
}

impl Guarantee {
    /// From MQTT's 0, 1 or 2.
    pub fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// As MQTT's 0, 1 or 2.
    pub fn level(self) -> u8 {
        self as u8
    }
}

/// What a publisher may say about a message beside its topic and payload. Absent as a whole where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// MIME type by convention; not checked.
    pub content_type: Option<Box<str>>,
    /// What the publisher declared the payload to be: UTF-8 text, or bytes; none: it said nothing. Subscribers are told
    /// exactly this (MQTT-3.3.2-4).
    pub payload_is_text: Option<bool>,
    /// Where an answer is expected.
    pub response_topic: Option<Box<str>>,
    /// What an answer has to carry.
    pub correlation_data: Option<Box<[u8]>>,
    /// In the publisher's order; a name may stand more than once.
    pub user: Vec<(Box<str>, Box<str>)>,
}

impl Properties {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Heap bytes, roughly: what a queue counts.
    pub fn size(&self) -> usize {
        let text = |s: &Option<Box<str>>| s.as_ref().map_or(0, |s| s.len());
        text(&self.content_type)
            + text(&self.response_topic)
            + self.correlation_data.as_ref().map_or(0, |d| d.len())
            + self.user.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
    }
}

/// Everything about a message but its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The broker's topic.
    pub topic: Topic,
    /// What the publisher asked for.
    pub guarantee: Guarantee,
    /// The publisher's retain flag.
    pub retain: bool,
    /// From when on the message is worthless; none: never.
    pub expires: Option<Time>,
    /// The rest.
    pub properties: Option<Box<Properties>>,
    /// How often a module's wish led to this one: 0 for what a client sent.
    pub hops: u8,
}

/// What the hall has to know of a message that is kept as its publisher encoded it. Everything else about it stands in
/// its bytes, which a receiver of the same protocol gets as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bare {
    /// What the publisher was promised, and so what its own protocol's receivers get. The guarantee in the envelope is the
    /// one for everybody else.
    pub handover: Guarantee,
    /// There is nothing in its body: as a topic's last value it would be none.
    pub blank: bool,
    /// Its publisher wants it not to be lost. Only shown: what was promised follows from `handover`.
    pub durable: bool,
    /// 0 to 255; 4 if nothing was said. Only shown.
    pub priority: u8,
}

/// A publisher's number with this bit was made of its name, and is the same whenever it comes back.
pub const NAMED: u64 = 1 << 63;

/// An immutable message, shared behind a pointer: one allocation for envelope and payload.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

struct Head {
    envelope: Envelope,
    /// If given, the bytes are not a payload but the whole message as its publisher encoded it.
    bare: Option<Bare>,
    /// The same message for receivers of the other form, made once; none inside: it has no form there.
    crossed: OnceLock<Option<Message>>,
    /// Who published it, for subscribers that do not want their own messages: a number that the hall has given, or made of
    /// a name ([`NAMED`]); 0: nobody.
    publisher: u64,
    /// Row in the message log; 0: not in it.
    log_id: AtomicU64,
    /// How many durable queue entries still need that row.
    log_uses: AtomicU64,
    /// Bytes that a protocol room made of the properties once, for all subscribers.
    encoded_properties: OnceLock<ThinArc<(), u8>>,
    /// Counted as long as the message is there.
    weight: weight::Weight,
}

// With the length of the payload it is moved by a few instructions, not by a call.
const _: () = assert!(size_of::<Head>() <= 120);

impl Message {
    /// Copies the payload into a new message.
    pub fn new(envelope: Envelope, publisher: u64, payload: &[u8]) -> Self {
        Self::with(envelope, None, publisher, payload)
    }

    /// Copies a message as its publisher encoded it.
    pub fn bare(envelope: Envelope, bare: Bare, publisher: u64, encoded: &[u8]) -> Self {
        Self::with(envelope, Some(bare), publisher, encoded)
    }

    fn with(envelope: Envelope, bare: Option<Bare>, publisher: u64, payload: &[u8]) -> Self {
        let properties = envelope.properties.as_ref().map_or(0, |properties| properties.size());
        let head = Head {
            weight: weight::Weight::new(payload.len() + envelope.topic.as_str().len() + properties),
            envelope,
            bare,
            crossed: OnceLock::new(),
            publisher,
            log_id: AtomicU64::new(0),
            log_uses: AtomicU64::new(0),
            encoded_properties: OnceLock::new(),
        };
        Self(ThinArc::from_header_and_slice(head, payload))
    }

    /// Everything but the payload.
    pub fn envelope(&self) -> &Envelope {
        &self.0.header.header.envelope
    }

    /// The broker's topic.
    pub fn topic(&self) -> &Topic {
        &self.envelope().topic
    }

    /// The payload; for a bare message: the whole of it, encoded.
    pub fn payload(&self) -> &[u8] {
        &self.0.slice
    }

    /// Whether and how it is kept as its publisher encoded it.
    pub fn as_bare(&self) -> Option<Bare> {
        self.0.header.header.bare
    }

    /// Whether there is no content, so that it cannot be the last value of a topic.
    pub fn is_blank(&self) -> bool {
        self.as_bare().map_or(self.payload().is_empty(), |bare| bare.blank)
    }

    /// The same bytes under another envelope: a message of its own, with no place in the log.
    pub fn with_envelope(&self, envelope: Envelope) -> Self {
        Self::with(envelope, self.as_bare(), self.publisher(), self.payload())
    }

    /// The same as published by this publisher.
    pub fn published_by(&self, publisher: u64) -> Self {
        Self::with(self.envelope().clone(), self.as_bare(), publisher, self.payload())
    }

    /// Whether both are one and the same.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ptr() == other.0.ptr()
    }

    /// The message for receivers who want it bare, or want it not so; an error if that form is still to be made
    /// ([`Message::set_crossed`]) or cannot be made.
    pub fn in_form(&self, bare: bool) -> Result<&Self, FormMissing> {
        if self.as_bare().is_some() == bare {
            return Ok(self);
        }
        match self.0.header.header.crossed.get() {
            None => Err(FormMissing::NotYet),
            Some(None) => Err(FormMissing::Impossible),
            Some(Some(crossed)) => Ok(crossed),
        }
    }

    /// Keeps the other form, or that there is none. The first word holds.
    pub fn set_crossed(&self, crossed: Option<Self>) {
        // Two threads may have made it at the same time; both made the same.
        let _ = self.0.header.header.crossed.set(crossed);
    }

    /// The number of the publisher; 0: none.
    pub fn publisher(&self) -> u64 {
        self.0.header.header.publisher
    }

    /// The same, if the hall has given it: that one must not be given again. 0: it has not.
    pub fn given_publisher(&self) -> u64 {
        if self.publisher() & NAMED == 0 { self.publisher() } else { 0 }
    }

    /// Whether the message is worthless by now.
    pub fn is_expired(&self, now: Time) -> bool {
        self.envelope().expires.is_some_and(|at| at <= now)
    }

    /// Seconds left, rounded to the nearest, at least 1 for a message that has not expired; none: it never expires.
    ///
    /// Rounded up, it would be more than the publisher said (MQTT-3.3.2-6) where the subscriber's thread looked at its
    /// clock a little before the publisher's did.
    pub fn expiry_seconds(&self, now: Time) -> Option<u32> {
        let left = self.envelope().expires?.since(now);
        let seconds = (left.saturating_add(500) / 1000).max(u64::from(left > 0));
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Bytes that this message takes in memory, roughly: what a queue counts.
    pub fn size(&self) -> usize {
        let envelope = self.envelope();
        160 + self.payload().len()
            + envelope.topic.as_str().len()
            + envelope.properties.as_ref().map_or(0, |properties| properties.size())
    }

    /// What it adds to [`live_bytes`].
    pub fn weight(&self) -> usize {
        self.0.header.header.weight.bytes()
    }

    /// Row in the message log; 0: not in it.
    pub fn log_id(&self) -> u64 {
        self.0.header.header.log_id.load(Ordering::Acquire)
    }

    /// Says where in the message log this message stands and how many queue entries need it.
    pub fn set_logged(&self, log_id: u64, uses: u64) {
        self.0.header.header.log_uses.store(uses, Ordering::Release);
        self.0.header.header.log_id.store(log_id, Ordering::Release);
    }

    /// One more durable queue entry needs the log row.
    pub fn add_log_use(&self) {
        self.0.header.header.log_uses.fetch_add(1, Ordering::AcqRel);
    }

    /// One durable queue entry less needs the log row; true for the last one.
    pub fn drop_log_use(&self) -> bool {
        self.0.header.header.log_uses.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether nobody else has this message, and one durable queue entry needs its log row: who drops it takes nothing away
    /// that the store does not give back.
    pub fn is_held_once(&self) -> bool {
        ThinArc::strong_count(&self.0) == 1 && self.0.header.header.log_uses.load(Ordering::Acquire) == 1
    }

    /// What a protocol room made of the properties, made now if this is the first time. One room only may use this:
    /// the bytes are the same for all its subscribers.
    pub fn encoded_properties(&self, encode: impl FnOnce(&Envelope) -> Vec<u8>) -> &[u8] {
        let encoded = || ThinArc::from_header_and_slice((), &encode(self.envelope()));
        &self.0.header.header.encoded_properties.get_or_init(encoded).slice
    }
}

/// Why a message is not there in the form in which it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormMissing {
    /// Nobody has made it yet.
    NotYet,
    /// It has no such form.
    Impossible,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("envelope", self.envelope())
            .field("payload_bytes", &self.payload().len())
            .finish()
    }
}

/// The message a client leaves to be published when it is gone.
#[derive(Debug, Clone)]
pub struct Will {
    /// What to publish, under the name the broker knows.
    pub message: Message,
    /// Seconds between the departure and the publication; a client that is back in time cancels it.
    pub delay_seconds: u32,
}

/// Why something is refused, in words that each protocol room turns into its own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The client may not do this.
    NotAuthorized,
    /// The client did not prove who it is.
    BadCredentials,
    /// The name that a client, or its session, calls itself is not taken.
    NameInvalid,
    /// The topic name or filter is not one.
    TopicInvalid,
    /// The payload is not what it is said to be, or too large.
    PayloadInvalid,
    /// What it is for is not there (any more).
    NotFound,
    /// A bound is reached.
    QuotaExceeded,
    /// This broker does not do that.
    NotSupported,
    /// The broker cannot do it now; later it might.
    Unavailable,
    /// Anything else.
    Unspecified,
}

/// A refusal with a reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// Shown to the client where its protocol has a place for it.
    pub reason: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Limits;

    fn message(expires: Option<Time>) -> Message {
        let topic = Topic::new("a", &Limits::default()).unwrap();
        let envelope =
            Envelope { topic, guarantee: Guarantee::AtMostOnce, retain: false, expires, properties: None, hops: 0 };
        Message::new(envelope, 0, b"x")
    }

    #[test]
    fn expiry_counts_down_is_never_more_than_was_said_and_never_nothing() {
        let m = message(Some(Time(10_400)));
        for (now, expired, left) in [(0, false, 10), (8_100, false, 2), (9_999, false, 1), (10_400, true, 0)] {
            assert_eq!((m.is_expired(Time(now)), m.expiry_seconds(Time(now))), (expired, Some(left)), "at {now}");
        }
        assert_eq!(message(None).expiry_seconds(Time(5)), None);
    }

    #[test]
    fn the_last_use_of_a_log_row_is_told() {
        let m = message(None);
        m.set_logged(7, 2);
        assert!(!m.drop_log_use());
        assert!(m.drop_log_use());
    }
}
