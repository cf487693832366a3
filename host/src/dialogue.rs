//! What a client may ask of the broker, and what the broker may tell a client. Both protocols speak it; the hall speaks
//! nothing else.

use crate::client::{Client, Departure};
use crate::message::{Guarantee, Message, Properties, Refusal, Weight, Will};
use crate::topic::Filter;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Something small that names one delivery or publication among those under way on one mailbox, in one direction: MQTT's
/// packet identifier. Never 0 for a guarantee above at-most-once.
pub type Handle = u16;

/// What a client asks. `'a` is the life of the bytes it was read from.
#[derive(Debug)]
pub enum Request<'a> {
    /// Come in. The first request of a connection, and the only one of its kind.
    Attach(Box<Attach>),
    /// The next step of an exchange by which the client proves who it is. For whoever authenticates; the hall knows
    /// nothing of it.
    Authenticate(Authenticate),
    /// Take this message.
    Publish(Publish<'a>),
    /// The publication under this handle will not be sent again (MQTT PUBREL).
    Release(Handle),
    /// Add or change filters.
    Subscribe(Subscribe),
    /// Remove filters.
    Unsubscribe(Unsubscribe),
    /// The delivery under this handle is over. If it cannot be over in this way, the answer is
    /// [`Closed::HandleMisused`]; an unknown handle is ignored.
    Settle(Handle, Settlement),
    /// The receiver has the delivery under this handle and will not take it twice (MQTT PUBREC).
    Received(Handle),
    /// Goodbye. Nothing may follow.
    Detach(Detach),
}

/// Bytes of an id of the broker's making.
pub const ASSIGNED_ID_BYTES: usize = 39;

/// A client comes in.
#[derive(Debug)]
pub struct Attach {
    /// Who it is. An empty id asks for one of the broker's making, of [`ASSIGNED_ID_BYTES`].
    pub client: Client,
    /// Begin with nothing (MQTT Clean Start), or go on where this client id left off.
    pub clean: bool,
    /// Seconds for which what belongs to the client outlives its connection; `u32::MAX`: for ever; 0: not at all.
    pub expiry_seconds: u32,
    /// Most deliveries above at-most-once that may be under way at the same time; at least 1.
    pub window: u16,
    /// One delivery for each matching filter, or one for all.
    pub per_subscription: bool,
    /// Its protocol has options of subscriptions, or it sets them all the same: those that its session has hold for it
    /// (otherwise MQTT 3.1.1, MQTT-3.3.1-9).
    pub knows_options: bool,
    /// What to publish when it is gone.
    pub will: Option<WillRequest>,
    /// What it brought to prove who it is. Checked by whoever authenticates, before the hall sees the request.
    pub credentials: Option<Credentials>,
    /// The beginning of an exchange by which it proves who it is, instead of that.
    pub exchange: Option<Exchange>,
    /// What it is to be told at the end of that exchange. Said by whoever authenticates.
    pub proof: Option<Box<[u8]>>,
}

/// How an exchange begins.
pub struct Exchange {
    /// Its mechanism, as SASL calls it.
    pub mechanism: Box<str>,
    /// What the client sent along; never shown.
    pub initial: Option<Box<[u8]>>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// A step of an exchange.
pub struct Authenticate {
    /// What the client sent; never shown. None: nothing, and it is the broker's turn.
    pub data: Option<Box<[u8]>>,
    /// A new exchange begins, by a client that is in.
    pub again: Option<Box<str>>,
}

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("again", &self.again).finish_non_exhaustive()
    }
}

/// A name and a proof of it.
pub struct Credentials {
    /// Absent where only a password was sent (MQTT 5.0 allows it).
    pub user_name: Option<Box<str>>,
    /// Any bytes; never shown.
    pub password: Option<Box<[u8]>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Credentials").field("user_name", &self.user_name).field("password", &password).finish()
    }
}

/// A will as the client names it: its topic is still relative to the client's scope.
#[derive(Debug)]
pub struct WillRequest {
    /// Topic in the client's words.
    pub name: Box<str>,
    /// Quality of the publication.
    pub guarantee: Guarantee,
    /// Keep it as the topic's last value.
    pub retain: bool,
    /// Seconds after its publication at which it is worthless; none: never.
    pub expiry_seconds: Option<u32>,
    /// The rest.
    pub properties: Option<Box<Properties>>,
    /// The payload.
    pub payload: Box<[u8]>,
    /// Seconds between the departure and the publication.
    pub delay_seconds: u32,
}

/// A message as its publisher sends it.
#[derive(Debug)]
pub struct Publish<'a> {
    /// Topic in the client's words.
    pub name: &'a str,
    /// How hard to try.
    pub guarantee: Guarantee,
    /// Keep it as the topic's last value; with an empty payload: forget that.
    pub retain: bool,
    /// Names the publication above at-most-once until it is answered; else 0.
    pub handle: Handle,
    /// Seconds until the message is worthless; none: never.
    pub expiry_seconds: Option<u32>,
    /// The rest.
    pub properties: Option<Box<Properties>>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Filters to add.
#[derive(Debug)]
pub struct Subscribe {
    /// Comes back in the answer.
    pub handle: Handle,
    /// One answer for each, in this order.
    pub filters: Vec<SubscribeFilter>,
}

/// One filter to add.
#[derive(Debug)]
pub struct SubscribeFilter {
    /// In the client's words, without its share.
    pub name: Box<str>,
    /// The group that shares this subscription; none: the client alone.
    pub share: Option<Box<str>>,
    /// How it wants to be served.
    pub options: SubscribeOptions,
}

/// How a subscription is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// The most it wants.
    pub guarantee: Guarantee,
    /// Not what this client publishes itself.
    pub no_local: bool,
    /// Hand on the publisher's retain flag instead of clearing it.
    pub retain_as_published: bool,
    /// Which retained messages to send now.
    pub retain_handling: RetainHandling,
    /// Sent along with each delivery; none: no identifier.
    pub identifier: Option<u32>,
}

/// Which retained messages a new subscription is sent (MQTT 5.0, 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetainHandling {
    /// All, at each subscribe.
    #[default]
    Always,
    /// All, if the subscription did not exist before.
    IfNew,
    /// None.
    Never,
}

/// Filters to remove.
#[derive(Debug)]
pub struct Unsubscribe {
    /// Comes back in the answer.
    pub handle: Handle,
    /// Filter in the client's words and its share; one answer for each, in this order.
    pub filters: Vec<(Box<str>, Option<Box<str>>)>,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// At-least-once: the receiver has it (MQTT PUBACK, whatever its reason code).
    Acknowledged,
    /// Exactly-once: the receiver has it and has heard that it may forget the handle (MQTT PUBCOMP).
    Completed,
    /// Exactly-once: the receiver does not want it (MQTT PUBREC with an error code).
    Refused,
}

/// A client goes.
#[derive(Debug, Clone, Copy)]
pub struct Detach {
    /// How.
    pub departure: Departure,
    /// Changes what it said at the beginning about how long its state stays.
    pub expiry_seconds: Option<u32>,
}

/// What the broker tells a client in answer to a request. Deliveries come from the mailbox instead.
#[derive(Debug)]
pub enum Event {
    /// It is in.
    Attached(Attached),
    /// It is not; the connection ends.
    Refused(Refusal),
    /// The next step of the exchange is the client's.
    Challenge(Box<[u8]>),
    /// A client that is in has proved again who it is; what it is to be told at the end.
    Authenticated(Option<Box<[u8]>>),
    /// The broker has the message, or does not want it. Never sent for at-most-once.
    Published {
        /// As in the request.
        handle: Handle,
        /// As in the request.
        guarantee: Guarantee,
        /// Whether anybody was there to get it, or why it was refused.
        outcome: Result<Routed, Refusal>,
    },
    /// Answer to [`Request::Release`]: whether the handle was known.
    Released(Handle, bool),
    /// The delivery may be forgotten (MQTT PUBREL): answer to [`Request::Received`]; whether the handle was known.
    Release(Handle, bool),
    /// What was granted, filter by filter.
    Subscribed {
        /// As in the request.
        handle: Handle,
        /// In the order of the request.
        granted: Vec<Result<Guarantee, Refusal>>,
    },
    /// What was removed, filter by filter: whether it was there.
    Unsubscribed {
        /// As in the request.
        handle: Handle,
        /// In the order of the request.
        removed: Vec<Result<bool, Refusal>>,
    },
    /// The connection ends by the broker's will.
    Closed(Closed),
}

/// Whom an accepted message reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// At least one mailbox.
    Matched,
    /// Nobody.
    NoSubscriber,
}

/// A client is in.
#[derive(Debug)]
pub struct Attached {
    /// Who it is now: with an id of the broker's making if it had none.
    pub client: Arc<Client>,
    /// Its state was still there.
    pub resumed: bool,
    /// The id was made by the broker.
    pub assigned: bool,
    /// What it was granted; may be less than it asked for.
    pub expiry_seconds: u32,
    /// As in [`Attach::proof`].
    pub proof: Option<Box<[u8]>>,
}

/// Where a client is to go instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where that is, in words that the protocol's clients understand; MQTT's: `host` or `host:port`, several of them
    /// separated by spaces (MQTT 5.0, 4.11). Empty: nothing is said of it.
    pub server: Arc<str>,
    /// For good, or for now.
    pub permanent: bool,
}

impl Elsewhere {
    /// Longest list of servers, in bytes.
    const SERVER_BYTES_MAX: usize = 1024;
    /// Longest name of a host, in bytes: AMQP's error has to fit into the shortest frame.
    const HOST_BYTES_MAX: usize = 255;

    /// Whether clients can be told these servers.
    ///
    /// # Errors
    /// In words: why not.
    pub fn check(server: &str) -> Result<(), String> {
        if server.len() > Self::SERVER_BYTES_MAX {
            return Err(format!("expected at most {} bytes", Self::SERVER_BYTES_MAX));
        }
        match server.split(' ').find(|one| !one.is_empty() && Self::host_and_port(one).is_none()) {
            None => Ok(()),
            Some(one) => {
                Err(format!("expected host or host:port, several separated by spaces, and `{one}` is neither"))
            }
        }
    }

    /// None: it is no host, or what follows it is no port.
    pub fn host_and_port(server: &str) -> Option<(&str, Option<u16>)> {
        let (host, port) = match server.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => server.rsplit_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_host = if server.starts_with('[') {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty() && host.len() <= Self::HOST_BYTES_MAX && host.chars().all(is_name)
        };
        let is_port = |port: &str| port.bytes().all(|c| c.is_ascii_digit());
        let port =
            port.map(|port| port.parse().ok().filter(|at| *at > 0 && is_port(port)).ok_or(())).transpose().ok()?;
        is_host.then_some((host, port))
    }
}

/// Why the broker ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Another connection of the same client id took over.
    TakenOver,
    /// An operator asked for it.
    ByOperator,
    /// What the client was attached to was deleted: a session, a queue.
    Deleted,
    /// An operator wants it at another server.
    Elsewhere(Elsewhere),
    /// The broker shuts down.
    ShuttingDown,
    /// A delivery was settled in a way that its guarantee does not know, or too early.
    HandleMisused,
    /// A full queue left no other way to refuse a message (protocols without a negative acknowledgement).
    QuotaExceeded,
    /// The next message is longer than the receiver takes (AMQP 1.0, 2.7.3).
    MessageTooLarge,
    /// What the client proved itself by does not hold any more: why, for people.
    NotAuthorized(Box<str>),
}

/// One copy of a message on its way to one client.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What.
    pub message: Message,
    /// The topic in this client's words; none: as the broker knows it.
    pub name: Option<Arc<str>>,
    /// The smaller of what was published and what was asked for.
    pub guarantee: Guarantee,
    /// The retain flag to show.
    pub retain: bool,
    /// It may have been sent before.
    pub duplicate: bool,
    /// Names the delivery above at-most-once until it is settled; else 0.
    pub handle: Handle,
    /// Identifiers of the subscriptions that matched.
    pub identifiers: Identifiers,
}

/// Identifiers of subscriptions; almost always none or one.
pub type Identifiers = smallvec::SmallVec<[u32; 2]>;

/// A copy of them. To find out that there are none costs less than to copy them.
#[inline]
pub fn copied(identifiers: &Identifiers) -> Identifiers {
    if identifiers.is_empty() { Identifiers::new() } else { identifiers.clone() }
}

/// What a mailbox hands out.
#[derive(Debug)]
pub enum Outgoing {
    /// A message.
    Deliver(Delivery),
    /// Sent again after a reconnect: the delivery that the receiver has may be forgotten (MQTT PUBREL).
    Release(Handle),
}

/// One entry of a mailbox in the hands of one of its consumers, until that one disposes of it.
#[derive(Debug, Clone)]
pub struct Consignment {
    /// What, in the form that consumers take.
    pub message: Message,
    /// The topic in this client's words; none: as the broker knows it.
    pub name: Option<Arc<str>>,
    /// It came by another protocol: a module has made its form.
    pub translated: bool,
    /// Names the entry in its mailbox, also after a restart. Never 0.
    pub number: u64,
    /// How hard to try.
    pub guarantee: Guarantee,
    /// The retain flag to show.
    pub retain: bool,
    /// It may have been handed out before.
    pub duplicate: bool,
    /// Earlier attempts that failed.
    pub failures: u32,
    /// What earlier receivers wrote on it.
    pub notes: Option<Notes>,
    /// Identifiers of the subscriptions that matched.
    pub identifiers: Identifiers,
}

/// What receivers wrote on an entry, as they encoded it. It counts like a message, and once, on however many entries it is.
#[derive(Clone)]
pub struct Notes(Arc<(Box<[u8]>, Weight)>);

impl Notes {
    /// Of these bytes.
    pub fn new(encoded: Vec<u8>) -> Self {
        let weight = Weight::new(encoded.len());
        Self(Arc::new((encoded.into(), weight)))
    }
}

impl Deref for Notes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notes({} bytes)", self.len())
    }
}

/// What becomes of an entry that a consumer had.
#[derive(Debug, Clone)]
pub enum Disposal {
    /// It was dealt with: forget it.
    Accepted,
    /// It can never be dealt with: to the dead letters, or forget it.
    Rejected,
    /// It was not looked at: for anybody.
    Released,
    /// It was looked at.
    Modified {
        /// Counts as an attempt that failed.
        failed: bool,
        /// Not for this consumer again.
        elsewhere: bool,
        /// To be written on it.
        notes: Option<Notes>,
    },
}

/// A condition on messages, told apart from others by the words in which it was asked for.
#[derive(Clone)]
pub struct Predicate {
    /// The words. The more there are, the longer the test takes.
    pub words: Arc<[u8]>,
    /// The test, on a message in the form that consumers take and the attempts to have it dealt with that failed. Its time is
    /// linear in the message.
    pub test: Arc<Test>,
}

/// See [`Predicate::test`].
pub type Test = dyn Fn(&Message, u32) -> bool + Send + Sync;

impl Predicate {
    /// What a test takes at most, roughly, in parts of a microsecond: each few bytes of the words may be held against all of the
    /// message.
    pub fn work(&self, message: &Message) -> u64 {
        /// Bytes of the words times bytes of the message.
        const PART: u64 = 3072;
        1 + (self.words.len() as u64).saturating_mul(message.payload().len() as u64) / PART
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Predicate").field("words", &self.words).finish_non_exhaustive()
    }
}

/// A subscription as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The broker's filter.
    pub filter: Filter,
    /// The client's word for it, if that differs.
    pub name: Option<Box<str>>,
    /// The group that shares it.
    pub share: Option<Box<str>>,
    /// How it is served.
    pub options: SubscribeOptions,
    /// Of a queue's: who bound it, and has to be allowed to receive what comes by it. None: it is the queue's own address, or of a
    /// client, who is asked itself.
    pub binder: Option<Arc<Client>>,
}

impl Subscription {
    /// The filter in the words of whoever subscribed.
    pub fn said(&self) -> &str {
        self.name.as_deref().unwrap_or(self.filter.as_str())
    }
}

/// A will as the hall keeps it, with its owner.
#[derive(Debug, Clone)]
pub struct OwnedWill {
    /// Who left it.
    pub owner: Arc<Client>,
    /// What is to be published.
    pub will: Will,
}

#[cfg(test)]
mod tests {
    use super::Elsewhere;

    #[test]
    fn a_server_is_told_as_a_host_and_a_port_where_it_is_one() {
        for (server, expected) in [
            ("b.example", Some(("b.example", None))),
            ("b.example:5672", Some(("b.example", Some(5672)))),
            ("10.0.0.2:5672", Some(("10.0.0.2", Some(5672)))),
            ("[2001:db8::1]:5672", Some(("2001:db8::1", Some(5672)))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("2001:db8::1", None),
            ("[::1]5672", None),
            ("[b]:1", None),
            ("b:port", None),
            ("b:+1", None),
            ("b:0", None),
            ("b:70000", None),
            ("a:b:1", None),
            ("a,b", None),
            ("amqp://b", None),
            (":5672", None),
            ("", None),
        ] {
            assert_eq!(Elsewhere::host_and_port(server), expected, "{server}");
        }
        assert_eq!(Elsewhere::host_and_port(&"b".repeat(256)), None);
    }

    #[test]
    fn what_is_no_list_of_servers_is_named() {
        for right in ["", "a", "a:1 b", "[::1]:1  b.example:1883"] {
            assert_eq!(Elsewhere::check(right), Ok(()), "{right}");
        }
        for (wrong, which) in
            [("a:99999", "a:99999"), ("a mqtt://b:1883", "mqtt://b:1883"), ("a,b", "a,b"), ("a\tb", "a\tb")]
        {
            let why = Elsewhere::check(wrong).unwrap_err();
            assert!(why.ends_with(&format!("and `{which}` is neither")), "{why}");
        }
        assert_eq!(Elsewhere::check(&"b ".repeat(513)), Err("expected at most 1024 bytes".to_owned()));
    }
}
