//! Subscriptions when names have come to mean something else. What a client said is kept with each of its subscriptions, so once
//! another topic mapping is in force all of them are computed anew, in slices, beside what clients do: where the broker's filter is
//! another one now the subscription moves there, and where it is refused it ends. Of queues nothing moves: their addresses and
//! bindings are kept in the broker's words.
//!
//! Who subscribes or unsubscribes meanwhile, or comes back, has its own brought up to date first.

use super::Broker;
use super::directory::Kind;
use super::mailbox::{Mailbox, State};
use super::moving::Moving;
use super::worker::Worker;
use crate::client::Scope;
use crate::dialogue::Closed;
use crate::message::{Refusal, RefusalKind, Time};
use crate::store::MailboxId;
use crate::topic::Filter;
use crate::wasm::Chain;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Mailboxes and subscriptions that one slice looks at: a millisecond or two.
const SLICE: usize = 1_024;
/// Mailboxes of these that are looked up at once.
const PAGE: usize = 64;
/// Milliseconds after which modules that failed are asked again.
const PAUSE: u64 = 10_000;
/// Stands for no generation.
const NEVER: u64 = u64::MAX;

/// See the head of this file.
pub struct Remap {
    /// All subscriptions stand under what this generation of modules makes of them.
    settled: AtomicU64,
    walk: Mutex<Walk>,
    /// Whoever moves subscriptions of a mailbox has it alone, whoever adds or removes one shares it.
    pub(super) turn: RwLock<()>,
}

/// How far looking at all of them has got.
#[derive(Default)]
struct Walk {
    /// The generation that it is about, once there was one.
    generation: Option<u64>,
    /// What mapped names then; none: that was not known.
    mark: Option<Vec<u64>>,
    /// It goes on behind the client of this name.
    is_on: bool,
    after: Option<Arc<str>>,
    /// To be looked at once more.
    again: BTreeSet<MailboxId>,
    /// The same, later: modules failed.
    failed: BTreeSet<MailboxId>,
    retry: Option<Time>,
    moved: u64,
    ended: u64,
}

/// What becomes of a filter in a client's words: the broker's, or why it is refused now.
pub(super) type Turn = (Box<str>, Result<Filter, Refusal>);

impl Default for Remap {
    fn default() -> Self {
        Self { settled: AtomicU64::new(NEVER), walk: Mutex::default(), turn: RwLock::new(()) }
    }
}

impl Walk {
    fn is_due(&self, name: &str, id: MailboxId) -> bool {
        self.again.contains(&id) || self.is_on && self.after.as_deref().is_none_or(|after| name > after)
    }
}

impl Broker {
    /// Whether all subscriptions stand where the modules at hand have them.
    #[inline]
    pub(super) fn names_hold(&self, worker: &Worker) -> bool {
        self.remap.settled.load(Ordering::Acquire) == worker.plan().generation()
    }

    /// Brings the subscriptions of one mailbox up to date.
    #[inline]
    pub(super) fn catch_up(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>) {
        if !self.names_hold(worker) {
            self.catch_up_now(worker, mailbox);
        }
    }

    #[cold]
    fn catch_up_now(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>) {
        self.begin_walk(worker);
        let name = mailbox.lock().client.id.clone();
        if self.remap.walk.lock().is_due(&name, mailbox.id) {
            self.follow(worker, mailbox);
        }
    }

    /// A subscription was computed under this generation of modules, and has found its place now: another one may be in force.
    pub(super) fn subscribed_under(&self, generation: u64, mailbox: &Mailbox) {
        if self.modules.generation() != generation {
            self.look_again(mailbox.id);
        }
    }

    fn look_again(&self, mailbox: MailboxId) {
        let mut walk = self.remap.walk.lock();
        walk.again.insert(mailbox);
        self.remap.settled.store(NEVER, Ordering::Release);
    }

    /// Does all of it at once: before anybody is there.
    pub(super) fn follow_names_at_once(&self, now: Time) {
        let mut worker = self.worker();
        while self.follow_names(&mut worker, now) == Some(now) {
            worker.refresh(self);
        }
    }

    /// Works off the next slice; returns when to come again, if there is more.
    pub(super) fn follow_names(&self, worker: &mut Worker, now: Time) -> Option<Time> {
        if self.names_hold(worker) {
            return None;
        }
        self.begin_walk(worker);
        let mut steps = 0;
        while steps < SLICE
            && let Some((page, is_again)) = self.next_to_follow(worker)
        {
            steps += page.iter().map(|mailbox| self.follow(worker, mailbox)).sum::<usize>();
            if !is_again {
                self.turn_page(worker, page.last().map(|last| last.lock().client.id.clone()));
            }
        }
        self.end_walk(worker, now)
    }

    /// Looks whether what maps names is another one than before, and if so, begins at the first client.
    fn begin_walk(&self, worker: &Worker) {
        let generation = worker.plan().generation();
        let mut walk = self.remap.walk.lock();
        if walk.generation.is_some_and(|last| last >= generation) {
            return;
        }
        walk.generation = Some(generation);
        let mark = worker.plan().mapping_mark();
        // While it is not known what names mean, subscriptions stay where they are: nothing is published either.
        if mark != walk.mark {
            (walk.is_on, walk.after) = (mark.is_some(), None);
            walk.mark = mark;
        }
    }

    fn next_to_follow(&self, worker: &Worker) -> Option<(Vec<Arc<Mailbox>>, bool)> {
        let mut walk = self.remap.walk.lock();
        if walk.generation != Some(worker.plan().generation()) || walk.mark.is_none() {
            return None;
        }
        if !walk.again.is_empty() {
            let again = std::mem::take(&mut walk.again);
            return Some((again.into_iter().filter_map(|id| self.directory.by_id(id)).collect(), true));
        }
        walk.is_on.then(|| (self.directory.page(Kind::Client, walk.after.as_deref(), PAGE), false))
    }

    /// A page was looked at; none: there were no more.
    fn turn_page(&self, worker: &Worker, last: Option<Arc<str>>) {
        let mut walk = self.remap.walk.lock();
        if walk.generation == Some(worker.plan().generation()) {
            walk.is_on = last.is_some();
            walk.after = last;
        }
    }

    fn end_walk(&self, worker: &Worker, now: Time) -> Option<Time> {
        let mut walk = self.remap.walk.lock();
        if walk.generation != Some(worker.plan().generation()) {
            return Some(now);
        }
        if walk.mark.is_none() {
            walk.again.clear();
            walk.failed.clear();
        }
        if walk.is_on || !walk.again.is_empty() {
            return Some(now);
        }
        if walk.moved + walk.ended > 0 {
            let (moved, ended) = (std::mem::take(&mut walk.moved), std::mem::take(&mut walk.ended));
            tracing::info!(moved, ended, "names are mapped in another way: subscriptions have followed");
        }
        if !walk.failed.is_empty() {
            let retry = *walk.retry.get_or_insert(now.plus_milliseconds(PAUSE));
            if now < retry {
                return Some(retry);
            }
            (walk.retry, walk.again) = (None, std::mem::take(&mut walk.failed));
            return Some(now);
        }
        walk.retry = None;
        self.remap.settled.store(worker.plan().generation(), Ordering::Release);
        None
    }

    /// Computes anew what a mailbox is subscribed to; returns how much was looked at.
    fn follow(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>) -> usize {
        let generation = worker.plan().generation();
        let (client, all) = {
            let state = mailbox.lock();
            (state.client.clone(), state.subscriptions.clone())
        };
        let looked_at = 1 + all.len();
        let chain = worker.chain_for(&client.id);
        let mut turns: HashMap<Arc<str>, Turn> = HashMap::new();
        let mut has_failed = false;
        for (key, subscription) in all {
            match self.leads_to(worker, &chain, &client.scope, subscription.said()) {
                None => has_failed = true,
                Some(Ok(filter)) if filter == subscription.filter => {}
                Some(turn) => _ = turns.insert(key, (subscription.said().into(), turn)),
            }
        }
        if has_failed {
            let mut walk = self.remap.walk.lock();
            walk.failed.insert(mailbox.id);
            self.remap.settled.store(NEVER, Ordering::Release);
        }
        if !turns.is_empty() && !self.move_subscriptions(mailbox, generation, turns) {
            self.look_again(mailbox.id);
        }
        looked_at
    }

    /// The broker's filter for one that was accepted in these words before; none: a module failed. That a failure is bypassed is
    /// no answer here.
    fn leads_to(
        &self,
        worker: &mut Worker,
        chain: &Chain,
        scope: &Scope,
        said: &str,
    ) -> Option<Result<Filter, Refusal>> {
        let failures = worker.guests.failures();
        let mapped = chain.subscribe_filter(&mut worker.guests, scope, said);
        if worker.guests.failures() != failures {
            return None;
        }
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        match mapped {
            Err(refusal) if refusal.kind == RefusalKind::Unavailable => None,
            Err(refusal) => Some(Err(refusal)),
            Ok(mapped) => Some(Filter::new(mapped.as_deref().unwrap_or(said), &self.limits.topic).map_err(invalid)),
        }
    }

    /// False: what was computed does not hold any more.
    fn move_subscriptions(&self, mailbox: &Arc<Mailbox>, generation: u64, turns: HashMap<Arc<str>, Turn>) -> bool {
        let alone = self.remap.turn.write();
        if self.modules.generation() != generation {
            return false;
        }
        let mut moving = Moving::new(&mailbox.lock().subscriptions, turns);
        self.move_in_trie(mailbox, &moving);
        let mut state = mailbox.lock();
        if state.gone {
            drop(state);
            self.take_back(mailbox, &moving);
            return true;
        }
        let before = state.subscriptions.len() as i64;
        self.move_in_mailbox(mailbox, &mut state, &mut moving);
        let after = state.subscriptions.len() as i64;
        let client = state.client.clone();
        let receivers = receivers_that_go(mailbox, &state);
        drop(state);
        drop(alone);
        self.metrics.subscriptions.add(after - before);
        self.metrics.subscriptions_moved_total.add(moving.moved);
        self.metrics.subscriptions_ended_total.add(moving.ended.len() as u64);
        let mut walk = self.remap.walk.lock();
        walk.moved += moving.moved;
        walk.ended += moving.ended.len() as u64;
        drop(walk);
        if let Some((subscription, refusal)) = moving.ended.first() {
            let (client, filter) = (client.id.escape_debug(), subscription.said());
            let (count, reason) = (moving.ended.len(), &*refusal.reason);
            tracing::warn!(%client, filter, count, reason, "names are mapped in another way: subscriptions have ended");
            receivers.iter().for_each(|outlet| outlet.close(Closed::NotAuthorized(refusal.reason.to_string().into())));
        }
        self.tell_moved(&client, &moving);
        true
    }
}

/// Receivers of AMQP whose only subscription has ended: their links go. A session stays.
fn receivers_that_go(mailbox: &Mailbox, state: &State) -> Vec<Arc<dyn super::Outlet>> {
    if !mailbox.is_consumed() || mailbox.is_session() || !state.subscriptions.is_empty() {
        return Vec::new();
    }
    state.consuming.consumers.iter().map(|consumer| consumer.outlet.clone()).collect()
}
