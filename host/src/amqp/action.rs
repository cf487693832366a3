//! What a client did, in AMQP's own words, and what it is answered with. The hall's words are made of these elsewhere.

use super::condition::{Error, Fields};
use super::state::{State, Tag, TxnId};
use crate::message::Message;
use fe2o3_amqp_types::messaging::{Source, Target};
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Array, Symbol};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// The link property in which a bridge says which broker it belongs to, and hears which one it has reached.
pub const NODE_PROPERTY: &str = "pliant-node";
/// The link property with which a receiver asks to be told of each delivery which topic it is of, and a broker says that it does.
pub const TOPICS_PROPERTY: &str = "pliant-topics";
/// The delivery annotation with that topic, in the words of the link's client.
pub const TOPIC_ANNOTATION: &str = "x-opt-pliant-topic";

/// A link of a connection. Never reused: a late answer to a link that is gone is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// Place in the table of links.
    pub(super) index: u32,
    /// Which of the links that had this place.
    pub(super) generation: u32,
}

impl LinkId {
    /// Of no connection.
    #[cfg(test)]
    pub fn of_nothing() -> Self {
        Self { index: 0, generation: 0 }
    }

    /// A small number, for tables beside the machine's: two links that live at the same time have different ones.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Delivery-id (2.8.8): names a delivery within its session and direction until it is settled.
pub type DeliveryId = u32;

/// What [`Connection::receive`](super::Connection::receive) found.
#[derive(Debug)]
pub enum Step<'b> {
    /// No whole frame yet.
    NeedMore {
        /// Length of the frame with its header, if that much can be read; never above [`Limits`](super::Limits).
        length: Option<usize>,
    },
    /// An answer is awaited ([`Action::Authenticate`], [`Action::SaslResponse`], [`Action::StartTls`], [`Action::Open`]):
    /// nothing was taken, nothing more is read until then.
    Wait,
    /// A whole frame, or a protocol header.
    Frame {
        /// Bytes it took.
        length: usize,
        /// What to do about it; none: nothing.
        action: Option<Action<'b>>,
    },
}

/// What to do about a frame. `'b` is the life of the bytes that were read.
#[derive(Debug)]
pub enum Action<'b> {
    /// TLS begins with the next byte (5.2.1); then a new protocol header comes. To be answered with
    /// [`Connection::tls_started`](super::Connection::tls_started) when the handshake is done.
    StartTls,
    /// The client proves who it is. To be answered with [`Connection::sasl_challenge`](super::Connection::sasl_challenge)
    /// or [`Connection::sasl_outcome`](super::Connection::sasl_outcome).
    Authenticate(Authenticate),
    /// The client's answer to a challenge. To be answered as above.
    SaslResponse(Vec<u8>),
    /// The client comes in. To be answered with [`Connection::open`](super::Connection::open) or
    /// [`Connection::close`](super::Connection::close).
    Open(Box<Opening>),
    /// A link comes up. To be answered with [`Connection::attach`](super::Connection::attach) or
    /// [`Connection::refuse`](super::Connection::refuse).
    Attach(Box<Attach>),
    /// A message, whole.
    Transfer(Transfer<'b>),
    /// A transaction is to begin (4.2). To be answered with [`Connection::settle`](super::Connection::settle) of
    /// [`State::Declared`].
    Declare {
        /// A link to a coordinator.
        link: LinkId,
        /// What to settle.
        delivery: DeliveryId,
        /// It is part of one that others know, too (`global-id`).
        is_global: bool,
    },
    /// A transaction is to end (4.3). To be answered with [`Connection::settle`](super::Connection::settle): accepted, or
    /// rejected with a [`TransactionError`](super::TransactionError).
    Discharge {
        /// A link to a coordinator.
        link: LinkId,
        /// What to settle.
        delivery: DeliveryId,
        /// Which.
        txn: TxnId,
        /// Roll back instead of commit.
        fail: bool,
    },
    /// The receiving client said something of deliveries it got.
    Outcomes(SmallVec<[Settled; 2]>),
    /// The sending client settled deliveries that had an outcome (receiver settles second): they may be forgotten here, the
    /// machine has forgotten them and said so.
    Forgotten(SmallVec<[Forgotten; 2]>),
    /// There may be room for deliveries: see [`Connection::room`](super::Connection::room).
    Flow(Flow),
    /// A link goes down.
    Detach(Detach),
    /// A session ended, and has been answered. All its links went with it, as if detached without being closed.
    Ended {
        /// Which, as [`Attach::session`].
        session: u16,
        /// Its links.
        links: Vec<LinkId>,
        /// What the client says went wrong; none: nothing. What the machine said if it ended the session.
        error: Option<Error>,
    },
    /// The client closes the connection, and has been answered.
    Closed {
        /// What it says went wrong; none: nothing.
        error: Option<Error>,
    },
}

/// SASL init (5.3.3.2).
#[derive(Debug)]
pub struct Authenticate {
    /// Always one of those that were offered.
    pub mechanism: Box<str>,
    /// Absent and empty are different things.
    pub response: Option<Vec<u8>>,
    /// The name by which the client knows the broker.
    pub hostname: Option<Box<str>>,
}

/// How a SASL exchange ends (5.3.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslOutcome {
    /// The client is who it says it is.
    Ok,
    /// It is not.
    Auth,
    /// Nobody can tell just now.
    Temporary,
}

/// Open (2.7.1).
#[derive(Debug)]
pub struct Opening {
    /// Never empty.
    pub container_id: Box<str>,
    /// The name by which the client knows the broker.
    pub hostname: Option<Box<str>>,
    /// What the client would like.
    pub desired_capabilities: Vec<Symbol>,
    /// What the client can do.
    pub offered_capabilities: Vec<Symbol>,
    /// What the client tells about itself.
    pub properties: Fields,
}

/// Which way messages go on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client sends.
    Incoming,
    /// The client receives.
    Outgoing,
}

/// When the sender settles (2.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderSettles {
    /// After the receiver: all deliveries are unsettled.
    Unsettled,
    /// At once: all deliveries are settled.
    Settled,
    /// Each delivery says it.
    Mixed,
}

/// When the receiver settles (2.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverSettles {
    /// With its outcome.
    First,
    /// After the sender has: exactly once.
    Second,
}

/// What a client sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// A node; without an address: each message says where to (the anonymous terminus).
    Target(Box<Target>),
    /// A coordinator of transactions, with the capabilities that are asked for (4.5.7).
    Coordinator(Vec<Symbol>),
}

/// Deliveries that one side remembers, with what it thinks of them; none: it has an unfinished or undecided one.
pub type Unsettled = Vec<(Tag, Option<State>)>;

/// Attach (2.7.3).
#[derive(Debug)]
pub struct Attach {
    /// From now on.
    pub link: LinkId,
    /// In which session: a number that no other one has while it lasts.
    pub session: u16,
    /// A link that had this name and direction on this connection, and was detached as stolen just now (2.6.1).
    pub stolen: Option<LinkId>,
    /// With the container-ids of both sides and the direction it names the link for all times. Never empty.
    pub name: Box<str>,
    /// Which way.
    pub direction: Direction,
    /// Wanted, or what the client does if it sends.
    pub sender_settles: SenderSettles,
    /// Wanted, or what the client does if it receives.
    pub receiver_settles: ReceiverSettles,
    /// None for an outgoing link: the client looks for what it left under the link's name.
    pub source: Option<Box<Source>>,
    /// Always there for an incoming link.
    pub sink: Option<Sink>,
    /// What the client remembers. None: it begins from nothing.
    pub unsettled: Option<Unsettled>,
    /// There is more than could be told.
    pub incomplete_unsettled: bool,
    /// Longest message the client takes, in bytes; none: any.
    pub message_bytes_max: Option<u64>,
    /// What the client would like.
    pub desired_capabilities: Vec<Symbol>,
    /// What the client can do.
    pub offered_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

/// How an attach is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachReply {
    /// In use, for an incoming link what the client said.
    pub sender_settles: SenderSettles,
    /// In use, for an outgoing link what the client said.
    pub receiver_settles: ReceiverSettles,
    /// As it is now: with the address of a dynamic node, and only filters that are in force.
    pub source: Option<Box<Source>>,
    /// As it is now.
    pub sink: Option<Sink>,
    /// What the broker remembers.
    pub unsettled: Option<Unsettled>,
    /// There is more than could be told.
    pub incomplete_unsettled: bool,
    /// Longest message in bytes that the broker takes; none: as [`Limits`](super::Limits) say.
    pub message_bytes_max: Option<u64>,
    /// Deliveries that the client may have unanswered; none: as [`Limits`](super::Limits) say. Of no use to an outgoing link.
    pub credit: Option<u32>,
    /// What the broker can do here.
    pub offered_capabilities: Vec<Symbol>,
    /// What the broker would like.
    pub desired_capabilities: Vec<Symbol>,
    /// Anything else.
    pub properties: Fields,
}

impl AttachReply {
    /// Yes to everything that the client said, as far as it is so: of the broker's own terminus it is told what is in force
    /// (3.5.3, 3.5.4). Where it left the sender to choose and the sender is the broker, the choice is mixed.
    pub fn agree(attach: &Attach) -> Self {
        let mut reply = Self::yes(attach);
        match (attach.direction, &mut reply.source, &mut reply.sink) {
            (Direction::Outgoing, Some(source), _) => {
                source.dynamic_node_properties = source.dynamic.then(of_dynamic_node);
                source.outcomes = source.outcomes.take().map(known_outcomes).filter(|known| !known.0.is_empty());
            }
            (Direction::Incoming, _, Some(Sink::Target(target))) => {
                target.dynamic_node_properties = target.dynamic.then(of_dynamic_node);
            }
            _ => {}
        }
        reply
    }

    fn yes(attach: &Attach) -> Self {
        Self {
            sender_settles: attach.sender_settles,
            receiver_settles: attach.receiver_settles,
            source: attach.source.clone(),
            sink: attach.sink.clone(),
            unsettled: None,
            incomplete_unsettled: false,
            message_bytes_max: None,
            credit: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            properties: Fields::new(),
        }
    }
}

/// A dynamic node goes with the link that made it (3.5.10).
fn of_dynamic_node() -> Fields {
    let policy = Described { descriptor: Descriptor::Code(0x2b), value: Value::List(Vec::new()) };
    [(Symbol::from("lifetime-policy"), Value::Described(Box::new(policy)))].into_iter().collect()
}

/// The outcomes among these that a delivery can have.
fn known_outcomes(asked: Array<Symbol>) -> Array<Symbol> {
    const KNOWN: [&str; 4] = ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];
    Array(asked.0.into_iter().filter(|one| KNOWN.contains(&one.as_str())).collect())
}

/// A whole message from a client (2.7.5).
#[derive(Debug)]
pub struct Transfer<'b> {
    /// On which link.
    pub link: LinkId,
    /// To be settled under this, unless `settled`.
    pub delivery: DeliveryId,
    /// Names it for longer than this session.
    pub tag: Tag,
    /// Message format; 0 is AMQP's own.
    pub format: u32,
    /// The client does not wait for an outcome.
    pub settled: bool,
    /// It is settled with its outcome, though others of its link are when the client has settled them (2.7.5).
    pub settles_first: bool,
    /// It is sent again: the tag stood in an unsettled map.
    pub resume: bool,
    /// The transaction it belongs to, or what the client thinks of a delivery it resumes.
    pub state: Option<Box<State>>,
    /// All sections, as they came: see [`Sections`](super::sections::Sections).
    pub bytes: Cow<'b, [u8]>,
}

/// What a receiving client said of one delivery (2.7.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// On which link.
    pub link: LinkId,
    /// As [`Connection::deliver`](super::Connection::deliver) said.
    pub delivery: DeliveryId,
    /// As given to [`Connection::deliver`](super::Connection::deliver).
    pub token: u64,
    /// The client has forgotten it. If not and `state` is final, it waits for
    /// [`Connection::settle_outgoing`](super::Connection::settle_outgoing).
    pub settled: bool,
    /// What it thinks of it; none with `settled`: the default outcome of the source. One for all that it said it of at once.
    pub state: Option<Arc<State>>,
}

/// A delivery that a sending client settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// On which link.
    pub link: LinkId,
    /// Which.
    pub delivery: DeliveryId,
    /// Names it for longer than this session.
    pub tag: Tag,
}

/// There may be room (2.7.4).
#[derive(Debug)]
pub struct Flow {
    /// Which link; none: of the session only.
    pub link: Option<LinkId>,
    /// The window of the session has opened: any of its links may go on.
    pub opens: bool,
    /// The client wants [`Connection::answer_flow`](super::Connection::answer_flow).
    pub asks: bool,
    /// Deliveries that the client takes now. For an incoming link: none.
    pub credit: u32,
    /// The client wants [`Connection::drained`](super::Connection::drained) when nothing is left to deliver.
    pub drain: bool,
    /// Anything else: `txn-id` of an acquisition (4.4.3).
    pub properties: Option<Box<Fields>>,
}

/// A link goes down (2.7.7).
#[derive(Debug)]
pub struct Detach {
    /// Which.
    pub link: LinkId,
    /// For ever: its terminus goes, too. Else it may be resumed.
    pub closed: bool,
    /// What went wrong; none: nothing.
    pub error: Option<Error>,
    /// The machine did it because the client broke a rule or took too long, and has said so. Else it was the client, and
    /// [`Connection::detach`](super::Connection::detach) is the answer.
    pub by_machine: bool,
}

/// A message on its way to a client.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'m> {
    /// Comes back in [`Settled`].
    pub token: u64,
    /// 1 to 32 bytes that no other unsettled delivery of this link has.
    pub tag: &'m [u8],
    /// Message format; 0 is AMQP's own.
    pub format: u32,
    /// No outcome is awaited.
    pub settled: bool,
    /// The tag stood in the client's unsettled map.
    pub resume: bool,
    /// For a delivery that is resumed: what the broker thinks of it.
    pub state: Option<&'m State>,
    /// The sections, in as many pieces as is convenient.
    pub parts: &'m [&'m [u8]],
    /// The message whose payload ends with the last of them: what cannot be sent at once stays there instead of being copied.
    pub shared: Option<&'m Message>,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// There is no room, or the link is gone.
    NoRoom,
    /// The client takes no message of this size.
    TooLarge,
}
