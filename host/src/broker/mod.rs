//! The hall: who gets which message. It knows no protocol, no socket and no disk; requests come in, events and deliveries
//! go out, and time is an argument.
//!
//! Read `publish.rs` first. No lock is held while guest code runs; the locks of mailboxes are leaves.

mod access;
mod alter;
mod attach;
mod bare;
mod bindings;
mod blocked;
mod changes;
mod chores;
mod claims;
mod consumers;
mod consuming;
mod crossing;
mod dead_letters;
mod deadlines;
mod decide;
mod deliver;
mod detour;
mod directory;
mod drain;
mod due_wills;
mod explain;
mod gap;
mod handout;
mod inspect;
mod keeping;
mod known_names;
mod lending;
pub mod link_names;
mod mailbox;
mod memory;
mod open;
mod owners;
mod pause;
mod publish;
mod publisher;
mod queued;
mod queues;
mod reaper;
mod receipts;
mod receive;
mod record;
mod replaying;
mod retain;
mod retained;
mod returning;
mod route;
mod routes;
mod sessions;
mod settle;
mod several;
mod shared_groups;
mod spares;
mod staged;
mod subscribe;
mod subscribing;
mod subscription_trie;
mod sys;
mod tags;
mod told;
mod transact;
mod unsubscribing;
mod via;
mod visits;
mod waits;
mod wills;
mod window;
mod wishes;
mod worker;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod keeping_tests;
#[cfg(test)]
mod lending_tests;
#[cfg(test)]
mod paging_tests;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod take_over_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod will_tests;

pub use access::{Permits, Proof, Said};
pub use attach::{Link, nobody};
pub use bare::{PublishBare, Taken};
pub use chores::Chores;
pub use consumers::Take;
pub use detour::{Detour, detour_worker};
pub use drain::Drain;
pub use explain::{Explanation, Occasion};
use handout::Terms;
pub use inspect::{ClientInfo, SubscriptionInfo, SubscriptionsAfter};
pub use mailbox::{Mailbox, Outlet};
pub use open::{Compile, Restored};
pub use queues::{Changed, How, QueueInfo, Temporary, address_of_temporary_queue, is_address_of_queue};
pub use receive::{Parting, Receive, Received, Source};
pub use record::{Recording, Sample};
pub use sessions::{BRIDGES, Held, OF_BRIDGES, SessionInfo, is_private, may_be_called};
pub use subscription_trie::SubscriptionTrie;
pub use sys::SysTree;
pub use tags::{Admission, Slot, Tagged};
pub use transact::Retired;
pub use via::{VIA, VIA_ANNOTATION};
pub use worker::Worker;

pub use crate::wasm::Spent;

use crate::client::Scope;
use crate::dialogue::{Closed, Event, Outgoing, Request};
use crate::message::Time;
use crate::metrics::Metrics;
use crate::sections::Encoding;
use crate::store::{Sequence, Store};
use crate::topic;
use crate::wasm::{EventKinds, Happening, Modules};
use parking_lot::{Condvar, Mutex, RwLock};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// Bounds of the hall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Names and filters, in the broker's words.
    pub topic: topic::Limits,
    /// Copies waiting in one mailbox. Past it, at-most-once copies are dropped and counted; others make their publisher
    /// wait (the receiver is there) or are refused (it is not). Default 100,000.
    pub queue_messages_max: usize,
    /// Bytes waiting in one mailbox, likewise. Default 256 MiB.
    pub queue_bytes_max: usize,
    /// Copies of one mailbox that stay in memory when twice as many wait; the rest is in the store only, and is read back as
    /// the queue drains. A message that somebody else has as well stays with all that is behind it. Default 4096.
    pub queue_resident_max: usize,
    /// The same in bytes. Default 4 MiB.
    pub queue_resident_bytes_max: usize,
    /// Subscriptions of one client. Default 100,000.
    pub subscriptions_per_client_max: usize,
    /// Bytes that the filters of one client's subscriptions take, with some 150 for each level. Default 96 MiB.
    pub subscription_bytes_per_client_max: usize,
    /// Bytes that all filters take, those in several of which a level is counted once. Default 4 GiB.
    pub subscription_bytes_max: usize,
    /// Bytes of the name of a mailbox that outlives its connection, and of what is bound to a queue. Default 1,024.
    pub kept_name_bytes_max: usize,
    /// Subscriptions of all clients. Default 10,000,000.
    pub subscriptions_max: usize,
    /// Retained messages. Default 10,000,000.
    pub retained_max: usize,
    /// Retained messages that one client has published. Default 1,000,000.
    pub retained_per_client_max: usize,
    /// Bytes that retained messages may take of [`Self::memory_bytes_max`]; past it no new ones are taken, and none that are
    /// larger than the ones before them. 0: half of it. Default 0.
    pub retained_bytes_max: usize,
    /// Mailboxes, attached or not. Default 1,000,000.
    pub mailboxes_max: usize,
    /// Longest time a mailbox outlives its connection, seconds; `u32::MAX`: no bound. Default `u32::MAX`.
    pub expiry_seconds_max: u32,
    /// Exactly-once publications that a client may have sent and not released. Default 65,535, all there are.
    pub unreleased_max: usize,
    /// For how long exactly-once publications of an AMQP link are remembered whose client does not come back, seconds.
    /// Default 604,800, a week.
    pub tags_expiry_seconds: u32,
    /// Longest time a publisher waits for a receiver that is there but takes nothing, milliseconds. Two clients that fill
    /// each other's queues would otherwise wait for each other for ever. Default 10,000.
    pub publisher_wait_milliseconds_max: u64,
    /// Bytes that all messages may take before queues in which something waits take no more: at-most-once copies for them
    /// are dropped and counted, publishers of others wait or are refused. Wills that are held for want of room take no more
    /// than half of it, and all others neither. Default 1 GiB.
    pub memory_bytes_max: usize,
    /// Topics whose way is remembered by each worker thread. Default 262,144.
    pub routes_remembered_max: usize,
    /// Bytes that these may take, in each thread. Default 64 MiB.
    pub routes_remembered_bytes_max: usize,
    /// Answers of access modules that are remembered of one client, in each direction. Default 1,024.
    pub permits_remembered_max: usize,
    /// Modules' wishes that come of one message, over all hops. Default 256.
    pub wishes_per_message_max: usize,
    /// Events that wait for modules; past it they are dropped and counted. Default 10,000.
    pub events_waiting_max: usize,
    /// Failed attempts to deal with an entry of a queue after which it goes to the dead letters, unless the queue says
    /// otherwise; 0: never. Default 20.
    pub queue_failures_max: u32,
    /// Bytes of annotations that receivers may write on one entry by `modified`; what goes past it takes the place of what
    /// was written before. Default 65,536.
    pub notes_bytes_max: usize,
    /// Queues. Default 100,000.
    pub queues_max: usize,
    /// Filters that are bound to one queue, beside its own address. Default 1,024.
    pub bindings_max: usize,
    /// Address of the queue for dead letters, unless a queue names another one; empty: they are dropped. Those for which it
    /// has no room wait in their own queue. Default `/queues/dead-letters`.
    pub dead_letters: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topic: topic::Limits::default(),
            queue_messages_max: 100_000,
            queue_bytes_max: 256 << 20,
            queue_resident_max: 4096,
            queue_resident_bytes_max: 4 << 20,
            subscriptions_per_client_max: 100_000,
            subscription_bytes_per_client_max: 96 << 20,
            subscription_bytes_max: 4 << 30,
            kept_name_bytes_max: 1_024,
            subscriptions_max: 10_000_000,
            retained_max: 10_000_000,
            retained_per_client_max: 1_000_000,
            retained_bytes_max: 0,
            mailboxes_max: 1_000_000,
            expiry_seconds_max: u32::MAX,
            unreleased_max: 65_535,
            tags_expiry_seconds: 604_800,
            publisher_wait_milliseconds_max: 10_000,
            memory_bytes_max: 1 << 30,
            routes_remembered_max: 262_144,
            routes_remembered_bytes_max: 64 << 20,
            permits_remembered_max: 1024,
            wishes_per_message_max: 256,
            events_waiting_max: 10_000,
            queue_failures_max: 20,
            notes_bytes_max: 65_536,
            queues_max: 100_000,
            bindings_max: 1024,
            dead_letters: "/queues/dead-letters".to_owned(),
        }
    }
}

/// What a request comes to.
#[derive(Debug)]
pub enum Answer {
    /// Nothing is to be said.
    None,
    /// Say this once so much is on disk. Answers leave in the order of their requests.
    Say(Sequence, Event),
    /// The request waits for room in somebody's queue, or lets others come between: read nothing more from this client, and
    /// call [`Broker::resume`] when its outlet is woken.
    Parked,
    /// The connection is over, for the client when so much is on disk: the end of its session, or of its will. 0: nothing
    /// has to be.
    Left(Sequence),
}

/// The broker.
pub struct Broker {
    limits: Limits,
    store: Store,
    modules: Arc<Modules>,
    metrics: Arc<Metrics>,
    directory: directory::Directory,
    /// The scope of names that are the broker's already.
    own_scope: Arc<Scope>,
    trie: RwLock<SubscriptionTrie<route::Subscriber>>,
    changes: changes::Changes,
    groups: RwLock<subscribe::Groups>,
    retained: Arc<retained::Retained>,
    wills: wills::Wills,
    waits: waits::Waits,
    claims: claims::Claims,
    visits: visits::Visits,
    receipts: receipts::Receipts,
    deadlines: Arc<deadlines::Deadlines>,
    memory: memory::Memory,
    reaper: Arc<reaper::Reaper>,
    leavers: unsubscribing::Leavers,
    happenings: chores::Happenings,
    detours: detour::Detours,
    recorder: record::Recorder,
    draining: drain::Draining,
    /// The generation of modules for which consumers of queues were asked about last.
    rechecked: AtomicU64,
    next_log_id: AtomicU64,
    /// Entries with lower numbers than this are of an earlier start of the broker.
    numbers_began: u64,
    /// Entries of mailboxes get greater numbers than this.
    numbers_begin: AtomicU64,
    next_group: AtomicU64,
    /// Whoever has it is the only one who makes queues, changes how they are kept, or removes any.
    queues: Mutex<()>,
    consumer_numbers: consumers::Numbers,
    /// How bare messages stand on the wire.
    encoding: OnceLock<Arc<dyn Encoding>>,
    /// The broker's id towards others, if it tells it.
    node: OnceLock<Arc<str>>,
    /// Exactly-once publications by link, and who publishes there.
    tags: Mutex<tags::Ledger>,
    /// One of them is over, and somebody waits for that.
    tag_ended: Condvar,
}

impl Broker {
    /// State for one thread that works for the broker.
    pub fn worker(&self) -> Worker {
        Worker::new(self)
    }

    /// As [`Broker::worker`], for a thread that may wait for servers outside on behalf of modules.
    pub fn patient_worker(&self) -> Worker {
        Worker::new(self).patient()
    }

    /// Does what a client asks. The caller flushes the worker after a batch of requests.
    pub fn handle(&self, worker: &mut Worker, link: &mut Link, now: Time, request: Request<'_>) -> Answer {
        // What a connection still says after another one took its place is not heard any more.
        let taken_over = link.attachment.as_ref().is_some_and(|own| !own.mailbox.is_current(own.number));
        if taken_over && !matches!(request, Request::Detach(_)) {
            return Answer::None;
        }
        match request {
            Request::Publish(publish) => self.publish(worker, link, now, publish),
            Request::Settle(handle, how) => self.settle(worker, link, handle, how),
            Request::Received(handle) => self.received(link, handle),
            Request::Release(handle) => self.release(link, handle),
            Request::Subscribe(subscribe) => self.subscribe(worker, link, now, subscribe),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(worker, link, unsubscribe),
            Request::Attach(attach) => self.attach(worker, link, now, *attach),
            // Whoever authenticates has heard it before.
            Request::Authenticate(_) => Answer::None,
            Request::Detach(detach) => Answer::Left(self.detach(worker, link, now, detach)),
        }
    }

    /// Hands out what a mailbox may send now, in order, until `sink` has had enough (returns false).
    pub fn drain(&self, link: &Attachment, now: Time, mut sink: impl FnMut(Outgoing) -> bool) {
        let mailbox = &link.mailbox;
        let mut full = false;
        let drained = mailbox.drain(link.number, self.terms(now), &self.limits, &mut |outgoing| {
            full = !sink(outgoing);
            !full
        });
        self.drained(mailbox, drained, full);
    }

    /// What a drain keeps to.
    fn terms(&self, now: Time) -> Terms {
        Terms {
            now,
            committed: self.store.committed(),
            delivery: self.modules.delivery_generation(),
            tell_lost: self.modules.wants_events(EventKinds::LOST),
        }
    }

    /// What is left to do after a mailbox has handed something out.
    #[inline]
    fn drained(&self, mailbox: &Arc<Mailbox>, drained: handout::Drained, full: bool) {
        self.metrics.messages_sent_total.add(drained.sent);
        self.metrics.payload_sent_bytes_total.add(drained.sent_bytes);
        if !drained.is_plain() {
            self.see_to(mailbox, drained, full);
        }
    }

    /// The same where more has come of it than copies.
    #[inline(never)]
    fn see_to(&self, mailbox: &Arc<Mailbox>, mut drained: handout::Drained, full: bool) {
        let metrics = &self.metrics;
        metrics.messages_expired_total.add(drained.expired);
        metrics.messages_dropped_total.add(drained.formless);
        metrics.messages_oversize_total.add(drained.oversize);
        let mut after = 0;
        if !drained.changes.is_empty() {
            after = self.store.submit(drained.changes.drain(..));
        }
        if drained.untold {
            mailbox.lock().untold -= 1;
        }
        if drained.abandoned {
            mailbox.lock().window.abandonment_noted(after);
            self.await_commit(mailbox, after);
        }
        if let Some(range) = drained.page {
            self.fetch_page(mailbox, range);
        }
        if let Some(outlet) = drained.ends.take() {
            outlet.close(Closed::MessageTooLarge);
        }
        drained.unblocked.drain(..).chain(drained.goes_on.take()).for_each(|outlet| outlet.wake());
        if drained.awaits != 0 {
            self.await_commit(mailbox, drained.awaits);
        }
        for (message, loss) in drained.lost.drain(..) {
            self.happened(EventKinds::LOST, || Happening::Lost(message, loss));
        }
        // Guests have to be asked, and the connection's own thread does that.
        if (drained.wants_replay || drained.wants_decision || drained.wants_form) && !full {
            self.wake(mailbox);
        }
    }

    fn wake(&self, mailbox: &Mailbox) {
        let outlet = mailbox.lock().outlet.clone();
        if let Some(outlet) = outlet {
            outlet.wake();
        }
    }

    /// Wakes the mailbox's outlet after a commit.
    fn await_commit(&self, mailbox: &Mailbox, after: Sequence) {
        let outlet = mailbox.lock().outlet.clone();
        if let Some(outlet) = outlet {
            self.await_answer(after, outlet);
        }
    }

    /// Wakes `outlet` once so much is on disk.
    pub fn await_answer(&self, after: Sequence, outlet: Arc<dyn Outlet>) {
        self.receipts.watch(after, outlet);
        let committed = self.store.committed();
        if committed >= after {
            self.receipts.committed(committed);
        }
    }

    /// The store says how far it has got.
    pub fn committed(&self, sequence: Sequence) {
        self.receipts.committed(sequence);
    }

    /// How far the store has got.
    pub fn is_committed(&self, after: Sequence) -> bool {
        after == 0 || self.store.committed() >= after
    }

    /// Ends every connection.
    pub fn close_all(&self, why: &Closed) {
        for mailbox in self.directory.all() {
            let outlet = mailbox.lock().outlet.clone();
            if let Some(outlet) = outlet {
                outlet.close(why.clone());
            }
        }
    }

    /// What the broker counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The modules it asks.
    pub fn modules(&self) -> &Arc<Modules> {
        &self.modules
    }

    /// Where it keeps things.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// One connection's hold on a mailbox.
#[derive(Clone)]
pub struct Attachment {
    /// The mailbox.
    pub mailbox: Arc<Mailbox>,
    /// Which of its connections this is.
    pub number: u64,
}
