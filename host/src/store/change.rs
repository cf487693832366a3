//! The closed list of facts worth keeping. Whoever changes the broker's durable state says it in these words.

use crate::client::{Client, Departure};
use crate::dialogue::{Notes, Subscription};
use crate::message::{Guarantee, Message, Time, Will};
use std::sync::Arc;

/// Position in the stream of changes. A change is on disk when [`super::Store::committed`] is not smaller than the
/// number its submission returned. 0 is always on disk.
pub type Sequence = u64;

/// Names a mailbox for ever. Never 0.
pub type MailboxId = u64;

/// One fact. Later ones win over earlier ones; removing what is not there is no error. Numbers in the message log and in
/// a mailbox's queue are used once, so that what is added and removed in one batch need never be written.
#[derive(Debug, Clone)]
pub enum Change {
    /// This mailbox exists, or its record changed.
    Mailbox(MailboxId, Box<MailboxRecord>),
    /// The mailbox and all that belongs to it (filters, condition, queue, seen handles) is gone. The log rows of its queued messages and
    /// its will are removed by changes of their own.
    MailboxGone(MailboxId),
    /// The mailbox has this subscription, instead of the one with the same filter and share.
    Filter(MailboxId, Box<Subscription>),
    /// It has not any more: broker's filter and share.
    FilterGone(MailboxId, Box<str>, Option<Box<str>>),
    /// The mailbox takes only what these words select, told in the words of whoever asked for it.
    Condition(MailboxId, Arc<[u8]>),
    /// It takes everything that its filters match.
    ConditionGone(MailboxId),
    /// A message that queue entries point to.
    Logged(u64, Message),
    /// No queue entry points to it any more.
    LoggedGone(u64),
    /// An entry at the end of a mailbox's queue.
    Queued(MailboxId, QueueEntry),
    /// The entry with this number was sent under this handle, which is not the one that follows from its number.
    QueuedHandle(MailboxId, u64, u16),
    /// The receiver of exactly-once said that it has the entry with this number.
    QueuedReceived(MailboxId, u64),
    /// So many attempts to have the entry with this number dealt with have failed, and this was written on it.
    QueuedFailed(MailboxId, u64, u32, Option<Notes>),
    /// The mailbox is a queue, with these settings.
    Queue(MailboxId, Box<QueueRecord>),
    /// An exactly-once publication under this tag of this link was taken, and its publisher does not know it yet.
    Tag(Box<str>, Box<[u8]>),
    /// It knows.
    TagGone(Box<str>, Box<[u8]>),
    /// The entry with this number is settled, expired or dropped.
    QueuedGone(MailboxId, u64),
    /// An exactly-once publication under this handle was taken and not yet released.
    Seen(MailboxId, u16),
    /// It was released.
    SeenGone(MailboxId, u16),
    /// The last value of the message's topic, and when it was stored.
    Retained(Message, Time),
    /// That topic has no last value any more.
    RetainedGone(Box<str>),
    /// The owner's will.
    Will(MailboxId, Box<WillRecord>),
    /// The owner's will was published or dropped.
    WillGone(MailboxId),
    /// A version of a module was installed.
    ModuleVersion(Box<ModuleVersion>),
    /// A version was forgotten: name and version.
    ModuleVersionGone(Box<str>, u64),
    /// Which version of a module is active and how it is bound.
    Module(Box<ModuleRecord>),
    /// The module was removed with its versions and its state.
    ModuleGone(Box<str>),
    /// A value that a module keeps: module, key, value, when it expires.
    State(Box<str>, Box<str>, Box<[u8]>, Option<Time>),
    /// It keeps it no more: module and key.
    StateGone(Box<str>, Box<str>),
}

/// What a mailbox is beside its filters and its queue.
#[derive(Debug, Clone)]
pub struct MailboxRecord {
    /// Whose it is; the peer's address is not kept.
    pub client: Arc<Client>,
    /// Seconds it outlives its connection; `u32::MAX`: for ever.
    pub expiry_seconds: u32,
    /// When its client went; none: attached.
    pub detached: Option<Time>,
    /// One delivery for each filter with an identifier.
    pub per_subscription: bool,
    /// Whether its client knows options of subscriptions, and not only those of MQTT 3.1.1.
    pub knows_options: bool,
    /// When its client went: the queue's entries up to this number were sent, the others not. While a client is attached: so
    /// many of the first entries may have been sent, and no more; 0: any number.
    pub sent_to: u64,
}

/// How a queue is to be kept, where that is not as the hall's bounds say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueRecord {
    /// Address that gets what nobody could deal with; empty: nobody gets it.
    pub dead_letters: Option<Box<str>>,
    /// Failed attempts after which an entry goes there; 0: never.
    pub failures_max: Option<u32>,
    /// Most entries that wait.
    pub messages_max: Option<u64>,
    /// Most bytes that wait.
    pub bytes_max: Option<u64>,
    /// Longest time that an entry may wait, in milliseconds.
    pub expiry_milliseconds: Option<u64>,
    /// Further filters whose messages it gets, in the broker's words.
    pub bindings: Vec<Box<str>>,
}

/// One message waiting in a durable mailbox.
#[derive(Debug, Clone)]
pub struct QueueEntry {
    /// Ascending in the mailbox, from 1. The handle under which the entry is sent follows from it (see
    /// `broker::window`), so that a restart sends it again under the same one without another write.
    pub number: u64,
    /// Row in the message log.
    pub log_id: u64,
    /// As granted.
    pub guarantee: Guarantee,
    /// The retain flag to show.
    pub retain: bool,
    /// The topic in the client's words, if that differs.
    pub name: Option<Arc<str>>,
    /// Identifiers of the subscriptions that matched.
    pub identifiers: crate::dialogue::Identifiers,
}

/// A will that waits for its owner's departure, or for its delay after that.
#[derive(Debug, Clone)]
pub struct WillRecord {
    /// Who left it.
    pub owner: Arc<Client>,
    /// What is to be published. Its expiry counts from its publication; here it stands as counted from `registered`.
    pub will: Will,
    /// When it was left.
    pub registered: Time,
    /// When it is to be published and how the owner went; none: the owner is here.
    pub due: Option<(Time, Departure)>,
}

/// One version of a module: its bytes with its configuration.
#[derive(Debug, Clone)]
pub struct ModuleVersion {
    /// The name under which it was deployed.
    pub name: Box<str>,
    /// Ascending from 1.
    pub version: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: Box<str>,
    /// The component. Kept once a digest.
    pub component: Arc<[u8]>,
    /// A JSON document.
    pub config: Box<str>,
    /// When it was installed.
    pub installed: Time,
    /// What came with the component to show who stands for it, in base64.
    pub signature: Option<Box<str>>,
    /// Its order and its policy, as in [`ModuleRecord`]. Rows of older brokers do not tell.
    pub standing: Option<(i32, Box<str>)>,
}

/// How a module is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRecord {
    /// The name under which it was deployed.
    pub name: Box<str>,
    /// The version that is asked; none: switched off.
    pub active: Option<u64>,
    /// The version to ask when one that is switched off is switched on again.
    pub resting: Option<u64>,
    /// Modules of a hook are asked by ascending order, then by name.
    pub order: i32,
    /// `refuse`, `bypass` or `discard`.
    pub on_failure: Box<str>,
    /// Told when this was recorded: what the configuration says later is new only where it differs.
    pub configured: Configured,
    /// What was active before, the last one last. Records of older brokers do not tell.
    pub former: Option<Vec<u64>>,
    /// The version on trial, and for how many of a hundred clients.
    pub canary: Option<(u64, u8)>,
    /// Versions that failed too often since they were last put to work. Records of older brokers do not tell.
    pub quarantined: Vec<Quarantined>,
}

/// A version of a module that failed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its number.
    pub version: u64,
    /// Stands for what it was made of: of another component, or with another configuration, it is another one.
    pub made_of: u64,
    /// How it failed.
    pub why: Box<str>,
}

/// Whether the configuration switches a module on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configured {
    /// Records of older brokers do not tell.
    Unknown,
    /// It does not name the module.
    Nothing,
    /// `enabled = false`.
    Off,
    /// `enabled = true`.
    On,
}
