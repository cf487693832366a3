//! One subscriber's queue with its filters, credit and window. An MQTT session has one, an AMQP receiving link has one.
//!
//! Whoever speaks for a mailbox either drains it through a window (one connection), or consumes it (one or several
//! receivers that settle each entry, see [`super::consumers`]).
//!
//! The lock of a mailbox is a leaf: whoever holds it takes no other lock but the store's short one and calls no guest.

use super::access::Permits;
use super::blocked::Blocked;
use super::consuming::Consuming;
use super::gap::Gap;
use super::pause::Pause;
use super::publisher;
use super::queued::{NOT_SUBMITTED, Queued};
use super::replaying::Replaying;
use super::spares::{self, WAITING};
use super::window::{Here, InFlight, Phase, Window};
use crate::client::Client;
use crate::dialogue::{Closed, Handle, Predicate, Subscription};
use crate::message::{Guarantee, Message, Time};
use crate::rare::Rare;
use crate::store::{Change, MailboxId, Sequence};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The way from a mailbox to its client's connection.
pub trait Outlet: Send + Sync {
    /// Sends what the mailbox holds, from the thread that filled it, unless somebody is sending already.
    fn flush(&self, now: Time);
    /// Makes the connection look again at what it waits for, on its own thread.
    fn wake(&self);
    /// Has the connection work off what has come for it, as far as that is at hand, and calls `then` after that.
    fn make_way(&self, then: Box<dyn FnOnce() + Send>) {
        then();
    }
    /// Ends the connection.
    fn close(&self, why: Closed);
    /// Names the connection among all that there were; none: there are several.
    fn connection(&self) -> Option<u64> {
        None
    }
}

/// Copies that may wait for a receiver that keeps up.
const KEEPS_UP: usize = 32;

/// Numbers that one start of the broker may use: a whole number of rounds of handles, so that these go on.
const NUMBERS_A_START: u64 = 65_535 << 20;

/// Entries get numbers that no earlier start of the broker can have given: a receiver that settles second remembers them,
/// also those that a crash has taken back, or that were settled just before it.
pub(super) fn numbers_begin(starts: u64) -> u64 {
    starts.saturating_mul(NUMBERS_A_START)
}

/// See the head of this file.
pub struct Mailbox {
    /// Its name for ever.
    pub id: MailboxId,
    per_subscription: AtomicBool,
    knows_options: AtomicBool,
    durable: AtomicBool,
    /// Though it ends with its connection.
    lent: AtomicBool,
    /// What comes while nobody is there waits, though it is not durable.
    keeps: AtomicBool,
    attached: AtomicBool,
    /// Its receivers settle every entry, at-most-once ones too, and take messages bare.
    consumed: AtomicBool,
    /// It is a client's session that is consumed: of at-most-once copies nothing is kept, as in any session.
    session: AtomicBool,
    /// Own bounds, below those of [`super::Limits`].
    messages_max: AtomicUsize,
    bytes_max: AtomicUsize,
    /// Longest time that a copy may wait, in milliseconds; `u64::MAX`: any.
    expiry_milliseconds: AtomicU64,
    /// Publications with this number as their publisher come from this mailbox's client.
    origin: AtomicU64,
    condition: Mutex<Rare<Condition>>,
    has_predicate: AtomicBool,
    /// What waits may have come in under another predicate.
    rechecks: AtomicBool,
    /// The count of connections, to be read without the lock.
    current: AtomicU64,
    /// The log has said that nobody fetches what waits here, and that it is full.
    told_full: AtomicBool,
    /// The window is full: what is above at-most-once has to wait.
    stuck: AtomicBool,
    /// The queue is long, and its end could not be left to the store when that was tried: it is tried again later.
    is_held_long: AtomicBool,
    depth: AtomicUsize,
    bytes: AtomicUsize,
    state: Mutex<State>,
}

/// What the receiver wants of what its filters match.
#[derive(Default)]
struct Condition {
    predicate: Option<Predicate>,
    /// The words of the one that the store has.
    kept: Option<Arc<[u8]>>,
}

/// What the lock guards.
pub struct State {
    /// Whose it is.
    pub client: Arc<Client>,
    /// Where it sends; none: nobody is there.
    pub outlet: Option<Arc<dyn Outlet>>,
    /// Counts connections, so that a late word from an old one is known as such.
    pub attachment: u64,
    /// Most deliveries under way.
    pub window_max: u16,
    /// Deliveries under way.
    pub window: Window,
    /// Waiting to be sent, above at-most-once.
    pub queue: VecDeque<Queued>,
    /// What of the queue is in the store only.
    pub gap: Option<Box<Gap>>,
    /// Waiting to be sent, at-most-once: these need no window, so a full one does not hold them up.
    pub express: VecDeque<Queued>,
    /// Counts what was put into either, so that they leave in the order in which they came.
    pub arrivals: u64,
    /// Copies of shares that its client does not take because they are too large for it: for others, as soon as somebody who
    /// may ask modules comes by.
    pub unfit: Rare<Vec<Queued>>,
    /// For the next entry above at-most-once.
    pub next_number: u64,
    /// Exactly-once publications of this client that it has not released.
    pub seen: Rare<HashSet<Handle>>,
    /// By their filter in the broker's words, with the share before it.
    pub subscriptions: HashMap<Arc<str>, Subscription>,
    /// Bytes of their texts.
    pub subscription_bytes: usize,
    /// What modules said of the topics that its client may get.
    pub permits: Option<Box<Permits>>,
    /// A module has failed on what is next.
    pub pause: Option<Box<Pause>>,
    /// Publishers that wait for room.
    pub blocked: Rare<Blocked>,
    /// From then on, if it is full, what waits is looked through again for what has expired.
    pub looked_through_next: Time,
    /// Seconds it outlives its connection.
    pub expiry_seconds: u32,
    /// When its client went.
    pub detached: Option<Time>,
    /// The client is gone for good and so is this mailbox.
    pub gone: bool,
    /// Somebody has promised to flush.
    pub touched: bool,
    /// The outlet will be woken when so much is on disk; 0: it will not.
    pub awaited: Sequence,
    /// How often it was, or is about to be, tried again to leave its end to the store; 0: nobody is going to.
    pub paged_again: u8,
    /// How many threads have ended entries and not told the store yet: meanwhile nothing more is left there.
    pub untold: u32,
    /// Of one whose entries are taken one by one.
    pub consuming: Rare<Consuming>,
    /// Retained messages that are to come before all that waits.
    pub replaying: Rare<Replaying>,
}

/// What became of a copy that was offered.
pub enum Offered {
    /// It waits under this number (0: none); if an outlet comes along, the caller flushes it at the end of its batch.
    Queued(u64, Option<Arc<dyn Outlet>>),
    /// An at-most-once copy met a full queue.
    Dropped,
    /// An at-most-once copy is for a bridge whose other broker is away: nothing is kept, and it counts as dropped.
    Missed,
    /// Nobody is there and nothing is kept.
    Nobody,
}

/// Who has to do something about an entry that is with the store now.
pub enum Submitted {
    /// Nobody, or somebody who has promised already.
    Known,
    /// This outlet is to be woken after the commit.
    Await(Arc<dyn Outlet>),
    /// This outlet is to be flushed at the end of the batch.
    Flush(Arc<dyn Outlet>),
}

impl Mailbox {
    /// An empty mailbox of a client that is about to attach.
    pub fn new(id: MailboxId, client: Arc<Client>, per_subscription: bool, expiry_seconds: u32) -> Self {
        Self {
            id,
            per_subscription: AtomicBool::new(per_subscription),
            knows_options: AtomicBool::new(true),
            durable: AtomicBool::new(expiry_seconds > 0),
            lent: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            attached: AtomicBool::new(false),
            consumed: AtomicBool::new(false),
            session: AtomicBool::new(false),
            messages_max: AtomicUsize::new(usize::MAX),
            bytes_max: AtomicUsize::new(usize::MAX),
            expiry_milliseconds: AtomicU64::new(u64::MAX),
            origin: AtomicU64::new(publisher::number(&client.id)),
            condition: Mutex::default(),
            has_predicate: AtomicBool::new(false),
            rechecks: AtomicBool::new(false),
            current: AtomicU64::new(0),
            told_full: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            is_held_long: AtomicBool::new(false),
            depth: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            state: Mutex::new(State {
                client,
                outlet: None,
                attachment: 0,
                window_max: u16::MAX,
                window: Window::default(),
                queue: VecDeque::new(),
                gap: None,
                express: VecDeque::new(),
                arrivals: 0,
                unfit: Rare::default(),
                next_number: 1,
                seen: Rare::default(),
                subscriptions: HashMap::new(),
                subscription_bytes: 0,
                permits: None,
                pause: None,
                blocked: Rare::default(),
                looked_through_next: Time(0),
                expiry_seconds,
                detached: None,
                gone: false,
                touched: false,
                awaited: 0,
                paged_again: 0,
                untold: 0,
                consuming: Rare::default(),
                replaying: Rare::default(),
            }),
        }
    }

    /// The guarded part.
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Gives only numbers above `begin` from now on; the handles that follow from them go on where they were.
    pub fn begin_numbers(&self, begin: u64) {
        let mut state = self.lock();
        if state.next_number <= begin {
            state.next_number = begin + u64::from(super::window::handle_of(state.next_number));
        }
    }

    /// Where the numbers of a mailbox have to begin that takes the place of this one.
    pub fn numbers_end(&self, state: &State) -> u64 {
        if self.is_consumed() { state.next_number.next_multiple_of(65_535) } else { 0 }
    }

    /// Whether this is the connection that it has.
    pub fn is_current(&self, attachment: u64) -> bool {
        self.current.load(Ordering::Acquire) == attachment
    }

    /// Whether it stands in the store.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether it outlives its connection, and the process.
    pub fn is_kept(&self) -> bool {
        self.is_durable() && !self.lent.load(Ordering::Acquire)
    }

    /// Has what comes while nobody is there wait in memory.
    pub fn keep_in_memory(&self) {
        self.keeps.store(true, Ordering::Relaxed);
    }

    /// It has ended: nobody is to choose it any more.
    pub fn keep_nothing(&self) {
        self.keeps.store(false, Ordering::Relaxed);
        self.durable.store(false, Ordering::Release);
    }

    /// What is in it is to outlive the process, though it does not outlive its connection.
    pub fn keep_on_disk(&self) {
        self.lent.store(true, Ordering::Release);
        self.durable.store(true, Ordering::Release);
    }

    /// Sets for how long it outlives its connection. One that is to end with it stays as durable as what is in it.
    pub fn set_expiry(&self, state: &mut State, seconds: u32) {
        state.expiry_seconds = seconds;
        self.lent.fetch_and(seconds == 0, Ordering::AcqRel);
        self.durable.fetch_or(seconds > 0, Ordering::AcqRel);
    }

    /// Whether it gets one delivery for each filter with an identifier.
    pub fn per_subscription(&self) -> bool {
        self.per_subscription.load(Ordering::Relaxed)
    }

    /// Whether No Local and Retain As Published of its subscriptions hold.
    pub fn knows_options(&self) -> bool {
        self.knows_options.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_knows_options(&self, knows_options: bool) {
        self.knows_options.store(knows_options, Ordering::Relaxed);
    }

    /// Sets that.
    pub fn set_per_subscription(&self, per_subscription: bool) {
        self.per_subscription.store(per_subscription, Ordering::Relaxed);
    }

    /// Whether a client is there.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Puts a connection in place; returns the one that was there.
    pub fn set_outlet(&self, state: &mut State, outlet: Option<Arc<dyn Outlet>>) -> Option<Arc<dyn Outlet>> {
        self.attached.store(outlet.is_some(), Ordering::Release);
        if outlet.is_some() {
            self.told_full.store(false, Ordering::Relaxed);
        }
        state.touched = false;
        state.awaited = 0;
        state.attachment += 1;
        self.current.store(state.attachment, Ordering::Release);
        std::mem::replace(&mut state.outlet, outlet)
    }

    /// Copies waiting.
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Bytes of those.
    pub fn size(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether a copy above at-most-once is to be refused or to wait. Read without the lock: a few more may slip in.
    pub fn is_full(&self, limits: &super::Limits) -> bool {
        self.is_full_with(limits, 0, 0)
    }

    /// The same, if so much more were in it.
    #[inline]
    pub fn is_full_with(&self, limits: &super::Limits, more_messages: usize, more_bytes: usize) -> bool {
        let (messages, bytes) = (self.messages_max.load(Ordering::Relaxed), self.bytes_max.load(Ordering::Relaxed));
        self.depth.load(Ordering::Relaxed) + more_messages >= limits.queue_messages_max.min(messages)
            || self.bytes.load(Ordering::Relaxed) + more_bytes >= limits.queue_bytes_max.min(bytes)
    }

    /// Whether it is past the bounds of any queue by half.
    pub fn is_overfull(&self, limits: &super::Limits) -> bool {
        let half_again = |bound: usize| bound.saturating_add(bound / 2);
        self.depth() >= half_again(limits.queue_messages_max) || self.size() >= half_again(limits.queue_bytes_max)
    }

    /// Sets bounds of its own.
    pub fn set_bounds(&self, messages_max: usize, bytes_max: usize) {
        self.messages_max.store(messages_max, Ordering::Relaxed);
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// Whether publishers that wait may try again.
    pub fn has_room_again(&self, limits: &super::Limits) -> bool {
        let (messages, bytes) = (self.messages_max.load(Ordering::Relaxed), self.bytes_max.load(Ordering::Relaxed));
        self.depth() <= limits.queue_messages_max.min(messages) / 2
            && self.size() <= limits.queue_bytes_max.min(bytes) / 2
    }

    /// Whether it has to be said that nobody fetches what fills this queue: once, until somebody comes.
    pub fn tells_full(&self) -> bool {
        !self.is_attached() && !self.told_full.swap(true, Ordering::Relaxed)
    }

    /// Sets how long a copy may wait, in milliseconds; none: any time. For what comes from now on.
    pub fn set_message_expiry(&self, milliseconds: Option<u64>) {
        self.expiry_milliseconds.store(milliseconds.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When a copy that comes now is worthless here; none: when its publisher says.
    pub fn message_expires(&self, now: Time, message: &Message) -> Option<Time> {
        let milliseconds = self.expiry_milliseconds.load(Ordering::Relaxed);
        if milliseconds == u64::MAX {
            return None;
        }
        let at = now.plus_milliseconds(milliseconds);
        message.envelope().expires.is_none_or(|own| at < own).then_some(at)
    }

    /// Whether its receivers settle every entry and take messages bare.
    pub fn is_consumed(&self) -> bool {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_consumed(&self, consumed: bool) {
        self.consumed.store(consumed, Ordering::Relaxed);
    }

    /// Whether it is a session that is consumed.
    pub fn is_session(&self) -> bool {
        self.session.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_session(&self, session: bool) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// The number under which its client publishes.
    pub fn origin(&self) -> u64 {
        self.origin.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_origin(&self, origin: u64) {
        self.origin.store(origin, Ordering::Relaxed);
    }

    /// The condition on what comes in.
    pub fn predicate(&self) -> Option<Predicate> {
        if self.has_predicate.load(Ordering::Acquire) { self.condition.lock().get()?.predicate.clone() } else { None }
    }

    /// Sets the condition on what comes in. `resumed`: it holds for what is there already, too, and that may have come in
    /// under another one.
    pub fn set_predicate(&self, predicate: Option<Predicate>, resumed: bool) {
        self.rechecks.store(resumed && predicate.is_some(), Ordering::Release);
        self.has_predicate.store(predicate.is_some(), Ordering::Release);
        let mut condition = self.condition.lock();
        if predicate.is_some() || !condition.is_blank() {
            condition.change().predicate = predicate;
        }
    }

    /// What the store has to hear for a restart to know the condition.
    pub fn keep_condition(&self) -> Option<Change> {
        if !self.is_durable() {
            return None;
        }
        let mut condition = self.condition.lock();
        let Condition { predicate, kept } = condition.changed()?;
        let words = predicate.as_ref().map(|predicate| predicate.words.clone());
        if *kept == words {
            return None;
        }
        kept.clone_from(&words);
        Some(words.map_or(Change::ConditionGone(self.id), |words| Change::Condition(self.id, words)))
    }

    /// The store has a condition in these words.
    pub fn restore_condition(&self, words: Arc<[u8]>) {
        self.condition.lock().change().kept = Some(words);
    }

    /// The condition that what waits has to be held against again.
    /// It is asked as of what comes in, whatever has failed since.
    pub fn rechecked(&self) -> Option<Predicate> {
        if self.rechecks.load(Ordering::Acquire) { self.predicate() } else { None }
    }

    /// Whether a copy above at-most-once would be kept or sent.
    pub fn takes(&self) -> bool {
        self.is_attached() || self.is_durable() || self.keeps.load(Ordering::Relaxed)
    }

    /// Puts a copy at the end of the queue.
    pub fn offer(&self, mut queued: Queued, limits: &super::Limits) -> Offered {
        let mut state = self.lock();
        if state.gone {
            return Offered::Nobody;
        }
        let mut number = 0;
        if queued.guarantee == Guarantee::AtMostOnce {
            if state.outlet.is_none() {
                let is_bridge = *state.client.scope.listener == *super::BRIDGES;
                return if is_bridge { Offered::Missed } else { Offered::Nobody };
            }
            if self.is_full(limits) {
                return Offered::Dropped;
            }
        } else if queued.dropped_when_full() && self.is_full(limits) {
            return Offered::Dropped;
        } else if self.is_durable() {
            number = state.next_number;
            state.next_number += 1;
            queued.number = number;
            queued.after = NOT_SUBMITTED;
            queued.stored = true;
        } else if state.outlet.is_none() && !self.keeps.load(Ordering::Relaxed) {
            return Offered::Nobody;
        }
        let consumed = self.is_consumed();
        if consumed && queued.number == 0 {
            // Receivers give entries back to their old places.
            queued.number = state.next_number;
            state.next_number += 1;
        }
        self.count(&queued, true);
        state.push(queued, consumed);
        // What waits for the disk is flushed when it is there.
        if number != 0 || state.touched {
            return Offered::Queued(number, None);
        }
        state.touched = true;
        Offered::Queued(0, state.outlet.clone())
    }

    /// Says what the store answered for an entry that was offered. An exactly-once copy leaves when that is on disk: a
    /// crash would otherwise let the mailbox give its handle to another message, which the receiver would take for the
    /// one it has. An at-least-once copy may leave at once; one that is settled soon never reaches the disk.
    /// Where it `waits` it leaves when all of its transaction is on disk.
    pub fn submitted(&self, number: u64, after: Sequence, waits: bool, limits: &super::Limits) -> Submitted {
        let mut state = self.lock();
        let answer = self.place(&mut state, number, after, waits);
        self.page_out(&mut state, number, limits);
        answer
    }

    /// Says that what is in memory of a long queue could not be left to the store just now.
    pub fn set_held_long(&self) {
        self.is_held_long.store(true, Ordering::Relaxed);
    }

    /// Whether that is so; one that finds it so sees to it.
    #[inline]
    pub fn takes_held_long(&self) -> bool {
        self.is_held_long.load(Ordering::Relaxed) && self.is_held_long.swap(false, Ordering::Relaxed)
    }

    fn place(&self, state: &mut State, number: u64, after: Sequence, waits: bool) -> Submitted {
        let Ok(at) = state.queue.binary_search_by_key(&number, |queued| queued.number) else { return Submitted::Known };
        let waits = waits || state.queue[at].guarantee == Guarantee::ExactlyOnce;
        state.queue[at].after = if waits { after } else { 0 };
        let Some(outlet) = state.outlet.clone() else { return Submitted::Known };
        if waits && state.awaited == 0 {
            state.awaited = after;
            return Submitted::Await(outlet);
        }
        if !waits && !state.touched {
            state.touched = true;
            return Submitted::Flush(outlet);
        }
        Submitted::Known
    }

    /// Counts entries of the gap in, under the lock.
    pub fn count_unread(&self, entries: usize) {
        self.set_load(self.depth() + entries, self.size());
    }

    /// Counts entries of the gap out, with their bytes, under the lock.
    pub fn count_read(&self, entries: usize, bytes: usize) {
        self.set_load(self.depth() - entries, self.size() - bytes);
    }

    /// Counts a copy in or out, under the lock: others only look.
    pub fn count(&self, queued: &Queued, more: bool) {
        let size = queued.message.size();
        match more {
            true => self.set_load(self.depth() + 1, self.size() + size),
            false => self.set_load(self.depth() - 1, self.size() - size),
        }
    }

    fn set_load(&self, depth: usize, bytes: usize) {
        self.depth.store(depth, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes the queue back from the store, oldest first: entry, its handle if that does not follow from its number,
    /// whether the receiver has it, and whether it may have been sent.
    pub fn restore(&self, entries: Vec<(Queued, Option<Handle>, bool)>) {
        let mut state = self.lock();
        let is_under_way = |entry: &(Queued, Option<Handle>, bool)| entry.2 || entry.1.is_some();
        let under_way = entries.iter().rposition(is_under_way).map_or(0, |at| at + 1);
        for (at, (mut queued, handle, received)) in entries.into_iter().enumerate() {
            state.next_number = state.next_number.max(queued.number + 1);
            // By that modules' answers find it, once it waits again.
            state.arrivals += 1;
            queued.arrival = state.arrivals;
            // As it was sent to a client of MQTT: at-most-once copies that may have been sent were never under way.
            let published = queued.message.envelope().guarantee;
            let is_settled = received || self.is_consumed() || published > Guarantee::AtMostOnce;
            if at < under_way && is_settled {
                if !received && !self.is_consumed() {
                    queued.guarantee = queued.guarantee.min(published);
                }
                let handle = handle.unwrap_or_else(|| super::window::handle_of(queued.number));
                let phase = if received { Phase::Received } else { Phase::Sent };
                state.window.restore(InFlight { queued, handle, phase, here: Here::Nothing });
            } else {
                self.count(&queued, true);
                state.push(queued, false);
            }
        }
    }

    /// Empties the queue; what was in it comes back. An exactly-once copy whose delivery has begun belongs to no group any
    /// more: nobody else may be sent it (MQTT 5.0, 4.8.2).
    pub fn clear(&self, state: &mut State) -> Vec<Queued> {
        let begun = |queued: Queued| match queued.guarantee {
            Guarantee::ExactlyOnce => Queued { group: None, under_way: true, ..queued },
            _ => queued,
        };
        let mut all: Vec<Queued> = state.window.drain().map(|flight| begun(flight.queued)).collect();
        all.append(&mut state.unfit.take());
        let mut unburied = VecDeque::new();
        if let Some(consuming) = state.consuming.changed() {
            all.extend(consuming.held.drain().map(|(_, held)| held.queued));
            unburied = std::mem::take(&mut consuming.unburied);
        }
        self.drop_at_most_once(state);
        for queued in unburied.into_iter().chain(std::mem::take(&mut state.queue)) {
            self.count(&queued, false);
            all.push(queued);
        }
        all
    }

    /// Forgets the at-most-once copies: nobody is there any more.
    pub fn drop_at_most_once(&self, state: &mut State) {
        state.replaying.clear();
        for queued in std::mem::take(&mut state.express) {
            self.count(&queued, false);
        }
        if self.is_session() {
            state.queue.retain(|queued| {
                let kept = queued.guarantee != Guarantee::AtMostOnce;
                if !kept {
                    self.count(queued, false);
                }
                kept
            });
        }
    }

    /// Whether what comes now is sent soon: its receiver keeps up, though a batch may be on its way to it.
    pub fn keeps_up(&self) -> bool {
        self.depth() < KEEPS_UP && !self.stuck.load(Ordering::Relaxed)
    }

    /// Notes whether the window is full.
    pub fn note_window(&self, state: &State) {
        self.stuck.store(state.window.outstanding() >= state.window_max, Ordering::Relaxed);
    }
}

impl State {
    /// There is room: those who wait for it, to be woken.
    pub fn take_blocked(&mut self) -> impl Iterator<Item = Arc<dyn Outlet>> + use<> {
        self.blocked.take().into_outlets()
    }

    /// See [`Blocked::give_up`].
    pub fn is_waited_for_in_vain(&self) -> bool {
        self.blocked.get().is_some_and(Blocked::is_in_vain)
    }

    /// An exactly-once publication of this client was released, or is not being taken any more; whether it was there.
    pub fn forget_seen(&mut self, handle: Handle) -> bool {
        let Some(seen) = self.seen.changed() else { return false };
        let was_there = seen.remove(&handle);
        if seen.is_empty() && seen.capacity() > super::spares::TABLE {
            self.seen.clear();
        }
        was_there
    }

    /// `consumed`: receivers take entries one by one, at-most-once ones in line with the others.
    #[inline(always)]
    fn push(&mut self, mut queued: Queued, consumed: bool) {
        self.arrivals += 1;
        queued.arrival = self.arrivals;
        match queued.guarantee {
            Guarantee::AtMostOnce if !consumed => spares::push(&mut self.express, queued, &WAITING),
            _ => spares::push(&mut self.queue, queued, &WAITING),
        }
    }

    /// Whether nobody is there and nobody is waited for any more.
    pub fn is_over(&self, now: Time) -> bool {
        self.ends().is_some_and(|at| at <= now)
    }

    /// When that is so, if nobody comes.
    pub fn ends(&self) -> Option<Time> {
        let at = self.detached?.plus_seconds(self.expiry_seconds);
        (self.expiry_seconds != u32::MAX && self.outlet.is_none()).then_some(at)
    }

    /// Seconds for which it outlives its receiver, or what it lasts as long as.
    pub fn stays(&self) -> u32 {
        self.consuming.held_by.map_or(self.expiry_seconds, |(_, seconds)| seconds)
    }

    /// Whether nobody can take it over: it is over, or is to end with the connection that is cut for the new one
    /// (MQTT-4.1.0-2).
    pub fn ends_with_its_connection(&self, now: Time) -> bool {
        self.expiry_seconds == 0 || self.is_over(now)
    }

    /// The client is another one, or the same by another way: modules have to be asked again about all that waits.
    pub fn unclear(&mut self) {
        self.permits = None;
        let replayed = self.replaying.changed().map(|replaying| &mut replaying.replayed);
        let waiting = [&mut self.queue, &mut self.express].into_iter().chain(replayed);
        waiting.flatten().for_each(|queued| queued.cleared = 0);
    }

    /// Whether nothing waits.
    pub fn has_nothing(&self) -> bool {
        self.queue.is_empty()
            && self.express.is_empty()
            && self.replaying.is_over()
            && self.gap.is_none()
            && !self.window.has_resend()
    }
}
