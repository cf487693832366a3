//! Receivers that take entries of a mailbox one by one and settle each: one on a subscription of its own, or several that
//! compete for a queue.
//!
//! An entry is in the queue or held by one consumer. What a consumer leaves behind goes back to its old place, so that the
//! order holds for whoever comes next.

use super::Attachment;
use super::consuming::Consuming;
use super::handout::{Drained, Terms};
use super::mailbox::{Mailbox, Outlet, State};
use super::pause::Pause;
use super::queued::{NOT_SUBMITTED, Queued};
use super::several::Several;
use crate::client::Client;
use crate::dialogue::{Consignment, Disposal, Notes, Predicate};
use crate::message::{FormMissing, Guarantee, Message};
use crate::store::{Change, MailboxId};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// For how much a receiver's condition is held against entries in one go, in bytes of its words times bytes of a message: about
/// a millisecond, during which nobody else comes to the queue.
const LOOKS: u64 = 1 << 24;

/// What is left of that.
struct Looks(u64);

impl Looks {
    /// One more; at least one is always had.
    fn test(&mut self, predicate: &Predicate, message: &Message, failures: u32) -> bool {
        let cost = (predicate.words.len() as u64).saturating_mul(message.payload().len() as u64);
        self.0 = self.0.saturating_sub(cost.max(LOOKS >> 12));
        (predicate.test)(message, failures)
    }

    fn are_over(&self) -> bool {
        self.0 == 0
    }
}

/// One receiver.
pub struct Consumer {
    /// Names it for ever.
    pub number: u64,
    /// Whose it is.
    pub client: Arc<Client>,
    /// Of a queue: the name under which it comes back; empty: it does not.
    pub name: Box<str>,
    /// Where it sends.
    pub outlet: Arc<dyn Outlet>,
    /// The number under which its connection publishes.
    pub origin: u64,
    /// It gets copies and takes nothing away.
    pub browses: bool,
    /// What it wants of the queue; none: everything.
    pub predicate: Option<Predicate>,
    /// It has looked at the entries up to this number.
    pub seen_to: u64,
    /// It gets what it is promised, and nothing else.
    pub resumes_only: bool,
    /// What it may still take of what is being shared out.
    pub part: usize,
    /// Of a queue: under this generation of delivery modules it may have what is in it.
    pub permitted: u64,
    /// Of a queue: modules have failed on what is next for it.
    pub pause: Option<Box<Pause>>,
}

impl Consumer {
    /// One that takes whatever is next.
    pub fn new(number: u64, client: Arc<Client>, name: Box<str>, outlet: Arc<dyn Outlet>, origin: u64) -> Self {
        let (browses, predicate, seen_to, resumes_only, part, permitted, pause) = (false, None, 0, false, 0, 0, None);
        Self { number, client, name, outlet, origin, browses, predicate, seen_to, resumes_only, part, permitted, pause }
    }

    /// Whether what is in its mailbox may go to it. Of a queue, which is nobody's, it is asked for each consumer.
    fn is_permitted(&mut self, owner: &Client, generation: u64) -> bool {
        if generation == 0 {
            self.permit(0);
        }
        generation == 0 || self.permitted == generation || !super::queues::is_queue(owner)
    }

    /// Whether it takes what is next, whatever it is.
    fn takes_any(&self) -> bool {
        !self.browses && self.predicate.is_none()
    }

    /// Whether anything is taken away by it.
    pub fn takes(&self) -> bool {
        !self.browses && !self.resumes_only
    }

    /// Under this generation of delivery modules it may have what is in its queue. What others kept from it, it looks at anew.
    pub fn permit(&mut self, generation: u64) {
        if std::mem::replace(&mut self.permitted, generation) != generation && !self.browses {
            self.seen_to = 0;
        }
    }

    /// Whether an entry is none of its business, promised to `holder`.
    fn passes_over(&self, queued: &Queued, holder: Option<u64>, generation: u64) -> bool {
        let is_for_another = holder.is_some_and(|holder| holder != self.number) && !self.browses;
        let is_new = self.resumes_only && holder.is_none();
        is_for_another || is_new || queued.is_not_for(self.number, generation)
    }
}

impl State {
    /// Whether receivers of several clients have it, who may have different rights.
    pub fn is_shared_by_several(&self) -> bool {
        self.consuming.consumers.windows(2).any(|two| two[0].client != two[1].client)
    }

    /// Where in the queue a receiver begins to look: all before that it has seen, or it is for others.
    pub fn begins_at(&self, consumer: u64, generation: u64) -> usize {
        let Some(consumer) = self.consuming.consumers.iter().find(|one| one.number == consumer) else { return 0 };
        // It need not be told so by each entry of a long queue.
        if consumer.resumes_only && !self.consuming.promised.values().any(|holder| *holder == consumer.number) {
            return self.queue.len();
        }
        let start = self.seen_by(consumer);
        let holder = |queued: &Queued| self.consuming.promised.get(&queued.number).copied();
        let passed = |queued: &&Queued| consumer.passes_over(queued, holder(queued), generation);
        start + self.queue.range(start..).take_while(passed).count()
    }

    /// A receiver that may have this entry, beside those that only look.
    pub fn taker_of(&self, queued: &Queued, generation: u64) -> Option<&Consumer> {
        self.consuming.consumers.iter().find(|one| !one.browses && !queued.is_not_for(one.number, generation))
    }

    /// The numbers of all who are there.
    pub fn consumers_there(&self) -> Vec<u64> {
        self.consuming.consumers.iter().map(|one| one.number).collect()
    }

    /// What ends may have stood anywhere in the queue: see `untold`.
    pub fn note_untold(&mut self, drained: &mut Drained) {
        let ends_any = !drained.changes.is_empty() || !drained.set_aside.is_empty();
        drained.untold = ends_any && !self.queue.is_empty();
        self.untold += u32::from(drained.untold);
    }

    fn seen_by(&self, consumer: &Consumer) -> usize {
        match consumer.takes_any() {
            true => 0,
            false => self.queue.partition_point(|queued| queued.number <= consumer.seen_to),
        }
    }
}

/// An entry in the hands of a consumer.
pub struct Held {
    /// What.
    pub queued: Queued,
    /// Who.
    pub holder: u64,
    /// It ends with a transaction that is being carried out, whoever takes the place of its holder.
    pub is_claimed: bool,
}

/// What consumers did with an entry before.
#[derive(Debug, Clone, Default)]
pub struct Handling {
    /// Attempts that failed.
    pub failures: u32,
    /// Consumers that are not to get it again.
    pub not_for: SmallVec<[u64; 2]>,
    /// Consumers from whom modules keep it, under this generation of them.
    pub withheld: (u64, SmallVec<[u64; 2]>),
    /// Members of its share for which it is too large.
    pub too_large_for: SmallVec<[MailboxId; 2]>,
    /// What they wrote on it, one after the other.
    pub notes: Option<Notes>,
}

impl Handling {
    /// What a restart is to find of it.
    pub fn kept(&self, mailbox: MailboxId, number: u64) -> Change {
        Change::QueuedFailed(mailbox, number, self.failures, self.notes.clone())
    }

    /// Adds what a consumer wrote; what does not fit below the bound takes the place of all before it.
    fn note(&mut self, more: &Notes, bytes_max: usize) {
        self.notes = match self.notes.take() {
            Some(notes) if notes.len() + more.len() <= bytes_max => Some(Notes::new([&notes[..], &more[..]].concat())),
            _ if more.len() <= bytes_max => Some(more.clone()),
            notes => notes,
        };
    }
}

/// What a disposal is to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// So many failed attempts are the last; 0: no number is.
    pub failures_max: u32,
    /// Bytes that consumers may write on an entry.
    pub notes_bytes_max: usize,
}

/// What a sink makes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// It took it, and more may come.
    More,
    /// It took it and has had enough.
    Enough,
    /// It cannot take this one: it is too large.
    Not,
}

/// What may be handed to a consumer.
struct Next {
    queued: Queued,
    /// A retained message that was fetched for it.
    replayed: bool,
    /// It was held against the consumer's condition, or there is none.
    tested: bool,
    /// Whom it was promised to.
    holder: Option<u64>,
}

/// What is to become of an entry after a disposal.
pub enum Aftermath {
    /// It is over.
    Forget(Queued),
    /// It goes back to its place.
    Back(Queued),
    /// It is over, and the dead letters get it.
    Bury(Queued),
}

impl Mailbox {
    /// Adds a receiver.
    pub fn join(self: &Arc<Self>, state: &mut State, consumer: Consumer) {
        let consuming = state.consuming.change();
        consuming.came_last = consumer.number;
        consuming.consumers.push(consumer);
        self.reconnect(state);
    }

    /// Takes a receiver out; what it held comes back, oldest first, but for entries (their numbers in order) that stay held in its name. None: it was
    /// not there.
    pub fn part(self: &Arc<Self>, state: &mut State, number: u64, kept: &[u64]) -> Option<Vec<Queued>> {
        let consuming = state.consuming.changed()?;
        let at = consuming.consumers.iter().position(|consumer| consumer.number == number)?;
        consuming.consumers.remove(at);
        self.reconnect(state);
        self.take_back_promises(state, number);
        let consuming = state.consuming.changed()?;
        let mut left: Vec<Queued> = consuming
            .held
            .extract_if(|at, held| held.holder == number && !held.is_claimed && kept.binary_search(at).is_err())
            .map(|(_, held)| held.queued)
            .collect();
        left.sort_unstable_by_key(|queued| queued.number);
        Some(left)
    }

    /// What a receiver was promised is anybody's.
    pub fn take_back_promises(&self, state: &mut State, number: u64) {
        let Some(Consuming { promised, consumers, .. }) = state.consuming.changed() else { return };
        if let Some(first) = promised.iter().find(|(_, holder)| **holder == number).map(|(first, _)| *first) {
            promised.retain(|_, holder| *holder != number);
            let passed_by = consumers.iter_mut().filter(|consumer| !consumer.browses);
            passed_by.for_each(|consumer| consumer.seen_to = consumer.seen_to.min(first.saturating_sub(1)));
        }
    }

    /// Takes all receivers out; what they held goes back.
    pub fn dismiss(&self, state: &mut State) {
        let Some(Consuming { consumers, promised, held, .. }) = state.consuming.changed() else { return };
        consumers.clear();
        promised.clear();
        let held = held.extract_if(|_, held| !held.is_claimed);
        let held = held.map(|(_, held)| Queued { duplicate: true, ..held.queued }).collect();
        self.put_all_back(state, held);
    }

    /// A consumer's entry is about to end with a transaction. False: the consumer does not have it any more.
    pub fn claim(&self, state: &mut State, consumer: u64, number: u64) -> bool {
        let held = state.held_mut(number).filter(|held| held.holder == consumer && !held.is_claimed);
        held.map(|held| held.is_claimed = true).is_some()
    }

    /// The same of one that is in nobody's hands: what the receiver of a subscription had when it was detached waits there, and
    /// may end all the same, until somebody comes back to that. In a queue it is anybody's by then.
    pub fn claim_waiting(&self, state: &mut State, consumer: u64, number: u64) -> bool {
        if !state.may_end(consumer, number) || super::queues::is_queue(&state.client) {
            return false;
        }
        let found = state.queue.binary_search_by_key(&number, |queued| queued.number).ok();
        let Some(queued) = found.and_then(|at| state.queue.remove(at)) else { return false };
        self.count(&queued, false);
        state.consuming.change().held.insert(number, Held { queued, holder: consumer, is_claimed: true });
        true
    }

    /// It does not: it is the consumer's as before, or waits if that has gone.
    pub fn unclaim(&self, state: &mut State, consumer: u64, number: u64) {
        if state.consuming.consumers.iter().any(|one| one.number == consumer) {
            if let Some(held) = state.held_mut(number) {
                held.is_claimed = false;
            }
        } else if let Some(Held { queued, .. }) = state.take_held(number) {
            self.put_back(state, Queued { duplicate: true, ..queued });
        }
    }

    fn reconnect(self: &Arc<Self>, state: &mut State) {
        let outlet: Option<Arc<dyn Outlet>> = match &state.consuming.consumers[..] {
            [] => None,
            [one] => Some(one.outlet.clone()),
            many => {
                let outlets = many.iter().map(|consumer| consumer.outlet.clone()).collect();
                Some(Arc::new(Several::new(outlets, Arc::downgrade(self))))
            }
        };
        self.set_outlet(state, outlet);
    }

    /// Hands out what a consumer may have now, in order, until `sink` has had enough. `settle`: each is over as soon as it
    /// is handed out.
    pub fn acquire(
        &self,
        consumer: u64,
        terms: Terms,
        settle: bool,
        sink: &mut dyn FnMut(Consignment) -> Take,
    ) -> Drained {
        let Terms { now, committed, delivery, tell_lost } = terms;
        let mut drained = Drained::default();
        let recheck = self.rechecked();
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(at) = state.consuming.consumers.iter().position(|one| one.number == consumer) else { return drained };
        state.touched = false;
        if state.awaited <= committed {
            state.awaited = 0;
        }
        let is_paused = state.is_paused_for(consumer, delivery, now);
        if !state.consuming.change().consumers[at].is_permitted(&state.client, delivery) {
            // Its own thread asks whether it is.
            drained.goes_on = (!is_paused).then(|| state.consuming.consumers[at].outlet.clone());
            return drained;
        }
        let mut looks = Looks(LOOKS);
        loop {
            let next = self.next_for(state, at, terms, &mut looks, &mut drained);
            let Some(Next { mut queued, replayed, tested, holder }) = next else { break };
            if queued.is_expired(now) {
                self.expire(&queued, tell_lost, &mut drained);
                continue;
            }
            let cleared = queued.is_cleared_for(consumer, delivery);
            let message = match queued.content().in_form(true) {
                _ if !cleared => Err(FormMissing::NotYet),
                found => found,
            };
            let message = match message {
                // Its form came while this looked for it: it is held against the condition first.
                Ok(_) if !tested => {
                    self.leave(state, queued, holder);
                    continue;
                }
                Ok(message) => message.clone(),
                Err(FormMissing::Impossible) => {
                    self.pass_by(state, at, queued, holder, tell_lost, &mut drained);
                    continue;
                }
                Err(FormMissing::NotYet) => {
                    drained.wants_form = cleared && !is_paused;
                    drained.wants_decision = !cleared && !is_paused;
                    self.leave_next(state, Next { queued, replayed, tested, holder });
                    break;
                }
            };
            if recheck.as_ref().is_some_and(|condition| !looks.test(condition, &message, 0)) {
                queued.forget(self.id, &mut drained.changes);
                continue;
            }
            if queued.number == 0 {
                queued.number = state.next_number;
                state.next_number += 1;
            }
            let bytes = message.payload().len() as u64;
            let take = sink(consignment(&queued, message));
            if take == Take::Not {
                drained.oversize += 1;
                self.leave_to_others(state, (at, delivery), queued, replayed, &mut drained);
                if drained.ends.is_some() {
                    break;
                }
                continue;
            }
            drained.sent += 1;
            drained.sent_bytes += bytes;
            let Consuming { consumers, held, .. } = state.consuming.change();
            let consumer = &mut consumers[at];
            if consumer.browses {
                consumer.seen_to = queued.number;
                self.leave(state, queued, holder);
            } else if settle {
                drained.abandoned |= self.end_entry(state, queued, &mut drained.changes);
            } else {
                held.insert(queued.number, Held { queued, holder: consumer.number, is_claimed: false });
            }
            if state.has_its_part(at, &mut drained) || take == Take::Enough {
                break;
            }
        }
        state.note_untold(&mut drained);
        drained.page = drained.page.or_else(|| state.next_page(false));
        state.end_replaying();
        drained.waits_for_page = state.gap.is_some();
        if state.queue.is_empty() && state.queue.capacity() > 64 {
            state.queue = Default::default();
        }
        drained
    }

    /// An entry is longer than a consumer takes (2.7.3). It was promised to its publisher, and stays for others; where there is
    /// none, and nobody but receivers of this kind will come, its link ends.
    fn leave_to_others(
        &self,
        state: &mut State,
        (at, generation): (usize, u64),
        mut queued: Queued,
        replayed: bool,
        drained: &mut Drained,
    ) {
        let consumer = &state.consuming.consumers[at];
        // For a client of MQTT it counts as delivered (MQTT-3.1.2-25); what is retained is no entry.
        if self.is_session() || replayed {
            return queued.forget(self.id, &mut drained.changes);
        }
        queued.leave_to_others(consumer.number, &state.consumers_there());
        match state.taker_of(&queued, generation) {
            Some(other) => drained.unblocked.push(other.outlet.clone()),
            None if super::queues::is_queue(&state.client) => {}
            None => drained.ends = Some(consumer.outlet.clone()),
        }
        self.put_back(state, queued);
    }

    /// What has no form for a consumer is given up, but in a queue, where it is everybody's.
    #[cold]
    fn pass_by(
        &self,
        state: &mut State,
        at: usize,
        queued: Queued,
        holder: Option<u64>,
        tell_lost: bool,
        drained: &mut Drained,
    ) {
        if state.consuming.consumers[at].browses {
            state.consuming.change().consumers[at].seen_to = queued.number;
            self.leave(state, queued, holder);
        } else if super::queues::is_queue(&state.client) {
            drained.set_aside.push(queued);
        } else {
            drained.has_no_form(&queued, tell_lost);
            queued.forget(self.id, &mut drained.changes);
        }
    }

    /// The next entry for a consumer, out of the queue.
    fn next_for(
        &self,
        state: &mut State,
        at: usize,
        terms: Terms,
        looks: &mut Looks,
        drained: &mut Drained,
    ) -> Option<Next> {
        if looks.are_over() {
            drained.goes_on = Some(state.consuming.consumers[at].outlet.clone());
            return None;
        }
        if let Some(queued) = state.replaying.changed().and_then(|replaying| replaying.replayed.pop_front()) {
            return Some(Next { queued, replayed: true, tested: true, holder: None });
        }
        if !state.replaying.replays.is_empty() {
            drained.wants_replay = true;
            return None;
        }
        let (from, tested) = self.first_for(state, at, terms, looks, drained)?;
        let mut queued = state.queue.remove(from)?;
        if terms.delivery == 0 {
            queued.forget_answer();
        }
        let holder = state.consuming.change().promised.remove(&queued.number);
        self.count(&queued, false);
        Some(Next { queued, replayed: false, tested, holder })
    }

    /// What was to come next comes next again.
    fn leave_next(&self, state: &mut State, next: Next) {
        if next.replayed {
            state.replaying.change().replayed.push_front(next.queued);
        } else {
            self.leave(state, next.queued, next.holder);
        }
    }

    /// Puts an entry that was only looked at to its place; it stays promised to whom it was, and seen by those who have seen it.
    fn leave(&self, state: &mut State, queued: Queued, holder: Option<u64>) {
        state.consuming.change().promised.extend(holder.map(|holder| (queued.number, holder)));
        self.put_in_place(state, queued);
    }

    /// Where in the queue the next entry for a consumer stands, and whether it was held against the consumer's condition; as far
    /// as it may look in one go.
    fn first_for(
        &self,
        state: &mut State,
        at: usize,
        terms: Terms,
        looks: &mut Looks,
        drained: &mut Drained,
    ) -> Option<(usize, bool)> {
        let Terms { committed, delivery, .. } = terms;
        let consumer = &state.consuming.consumers[at];
        let start = state.seen_by(consumer);
        // What it has seen and does not want may be in the store again: that is no gap to it.
        let is_past = !consumer.takes_any() && state.is_behind_gap(consumer.seen_to);
        let gap = if is_past { u64::MAX } else { state.gap_begins_after() };
        let Consuming { consumers, promised, .. } = state.consuming.change();
        let consumer = &mut consumers[at];
        for (place, queued) in state.queue.iter().enumerate().skip(start) {
            if queued.number > gap {
                break;
            }
            if queued.after > committed {
                if queued.after != NOT_SUBMITTED && state.awaited == 0 {
                    drained.awaits = queued.after;
                    state.awaited = queued.after;
                }
                return None;
            }
            if consumer.passes_over(queued, promised.get(&queued.number).copied(), delivery) {
                continue;
            }
            let Some(predicate) = &consumer.predicate else { return Some((place, true)) };
            match queued.message.in_form(true) {
                Ok(message) if !looks.test(predicate, message, queued.failures()) => {
                    consumer.seen_to = queued.number;
                    if looks.are_over() {
                        drained.goes_on = Some(consumer.outlet.clone());
                        return None;
                    }
                }
                // What has no form is taken out on the way; what has none yet is asked for.
                found => return Some((place, found.is_ok())),
            }
        }
        if gap != u64::MAX {
            drained.page = state.next_page(true);
        }
        state.end_portions(at);
        None
    }

    /// An entry is over. If an MQTT client was sent it exactly-once, its handle is under way until that client has released it:
    /// true, and the release waits for the changes ([`super::window::Window::abandonment_noted`]).
    pub fn end_entry(&self, state: &mut State, queued: Queued, changes: &mut Vec<Change>) -> bool {
        let is_known = self.is_session() && queued.under_way && queued.guarantee == Guarantee::ExactlyOnce;
        if !is_known {
            queued.forget(self.id, changes);
            return false;
        }
        if queued.stored {
            changes.push(Change::QueuedReceived(self.id, queued.number));
        }
        state.window.owe(queued);
        true
    }

    /// A consumer disposes of an entry; none: it does not have it.
    pub fn dispose(
        &self,
        state: &mut State,
        consumer: u64,
        number: u64,
        how: &Disposal,
        patience: Patience,
        changes: &mut Vec<Change>,
    ) -> Option<Aftermath> {
        let Patience { failures_max, notes_bytes_max } = patience;
        if state.consuming.held.get(&number)?.holder != consumer {
            return None;
        }
        let Held { mut queued, .. } = state.take_held(number)?;
        let (failed, elsewhere, notes) = match how {
            Disposal::Accepted => return Some(Aftermath::Forget(queued)),
            Disposal::Rejected => return Some(Aftermath::Bury(queued)),
            Disposal::Released => (false, false, &None),
            Disposal::Modified { failed, elsewhere, notes } => (*failed, *elsewhere, notes),
        };
        queued.duplicate = true;
        if elsewhere {
            queued.leave_to_others(consumer, &state.consumers_there());
        }
        if failed || notes.is_some() {
            let handling = queued.handling.get_or_insert_default();
            handling.failures += u32::from(failed);
            if let Some(notes) = notes {
                handling.note(notes, notes_bytes_max);
            }
            if failed && failures_max != 0 && handling.failures >= failures_max {
                return Some(Aftermath::Bury(queued));
            }
            if (failed || notes.is_some()) && queued.stored {
                changes.push(handling.kept(self.id, number));
            }
        }
        Some(Aftermath::Back(queued))
    }
}

impl Attachment {
    /// Entries that wait in its mailbox, without taking the lock: it may be asked from a sink.
    pub fn depth(&self) -> u32 {
        u32::try_from(self.mailbox.depth()).unwrap_or(u32::MAX)
    }

    /// Entries that wait for it: at most so many, where it takes only some of them.
    pub fn waiting(&self) -> u32 {
        let state = self.mailbox.lock();
        let browses =
            state.consuming.consumers.iter().find(|consumer| consumer.number == self.number && consumer.browses);
        let seen = browses.map_or(0, |consumer| state.queue.partition_point(|one| one.number <= consumer.seen_to));
        self.depth().saturating_sub(u32::try_from(seen + state.consuming.unburied.len()).unwrap_or(u32::MAX))
    }
}

fn consignment(queued: &Queued, message: crate::message::Message) -> Consignment {
    let handling = queued.handling.as_deref();
    Consignment {
        message,
        name: queued.name.clone(),
        translated: queued.content().as_bare().is_none(),
        number: queued.number,
        guarantee: queued.guarantee,
        retain: queued.retain,
        duplicate: queued.duplicate,
        failures: queued.failures(),
        notes: handling.and_then(|handling| handling.notes.clone()),
        identifiers: queued.identifiers.clone(),
    }
}

/// Numbers of consumers: one sequence for all, so that a late word is known as such.
#[derive(Debug, Default)]
pub struct Numbers(AtomicUsize);

impl Numbers {
    /// The next one. The topmost bit keeps them apart from the numbers of connections that drain a mailbox.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) as u64 | 1 << 63
    }
}
