//! What a message does to the last value of its topic.

use super::Broker;
use super::attach::Link;
use super::deliver::Full;
use super::mailbox::{Mailbox, State};
use super::queued::Queued;
use super::replaying::{Replay, Replaying};
use super::route::Route;
use super::staged::Staged;
use super::subscribing::Found;
use super::worker::Worker;
use crate::client::{Client, Scope};
use crate::dialogue::{RetainHandling, Subscription};
use crate::message::{Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::topic::Topic;
use crate::wasm::{RetainAsk, Retention};
use std::collections::VecDeque;
use std::sync::Arc;

/// Retained messages fetched at once for one new subscription.
const PAGE: usize = 256;
/// Values that are looked at to tell a module how many match.
const COUNTED_MAX: usize = 10_000;

/// What is to be done with the last value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing.
    No,
    /// This message is it, until then.
    Set(Option<Time>),
    /// There is none any more.
    Delete,
}

impl Broker {
    /// Asks the retain policy, unless its answer is known.
    pub(super) fn retention(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        message: &Message,
        route: &Route,
    ) -> Result<Keep, Refusal> {
        let flagged = message.envelope().retain;
        let ask = |worker: &mut Worker| {
            let shown = self.shown(worker, message)?;
            worker.chain.retain(&mut worker.guests, publisher, &shown)
        };
        let retention = match if flagged { route.flagged } else { route.unflagged } {
            RetainAsk::Never => Retention::AsFlagged,
            RetainAsk::PerTopic => {
                let remembered = &route.retention[usize::from(flagged)];
                // Nobody else sees this route while a guest runs: routes belong to one thread.
                match remembered.get() {
                    Some(answer) => answer.clone()?,
                    None => {
                        let failures = worker.guests.failures();
                        let answer = ask(worker);
                        if worker.guests.failures() == failures {
                            remembered.get_or_init(|| answer.clone());
                        }
                        answer?
                    }
                }
            }
            RetainAsk::Each => ask(worker)?,
        };
        let keep = match retention {
            Retention::AsFlagged if !flagged => Keep::No,
            Retention::AsFlagged if message.is_blank() => Keep::Delete,
            Retention::AsFlagged => Keep::Set(message.envelope().expires),
            // A value without content is none (MQTT 5.0, 3.3.1.3), whoever stores it.
            Retention::Store(_) if message.is_blank() => Keep::Delete,
            Retention::Store(seconds) => {
                Keep::Set(seconds.map(|seconds| now.plus_seconds(seconds)).or(message.envelope().expires))
            }
            Retention::Leave => Keep::No,
            Retention::Delete => Keep::Delete,
        };
        if matches!(keep, Keep::Set(_)) {
            self.may_retain(message)?;
        }
        Ok(keep)
    }

    /// Whether a message may become the last value of its topic.
    fn may_retain(&self, message: &Message) -> Result<(), Refusal> {
        let refused = |why: &str| Err(Refusal::new(RefusalKind::QuotaExceeded, why));
        // The broker's own values do not count.
        let is_full = self.metrics.retained_messages.get() >= self.limits.retained_max as i64;
        let (all, most) = (self.retained.weight(), self.retained_bytes_max());
        if is_full || self.is_short() || all + message.weight() > most {
            let before = self.retained.weight_of(message.topic());
            // What takes no more than the one before it is no burden.
            let grows = before.is_none_or(|before| before < message.weight());
            if is_full && before.is_none() {
                return refused("no more retained messages are taken");
            }
            if grows && all + message.weight() > most + before.unwrap_or(0) {
                return refused("retained messages take as much memory as they may (broker.retained_bytes_max)");
            }
            if grows && self.is_short() {
                return refused("messages take too much memory: no more retained messages are taken");
            }
        }
        let owner = message.publisher();
        let has_its_share = || self.retained.owned_by(owner) >= self.limits.retained_per_client_max;
        if has_its_share() && !self.retained.is_of(message.topic(), owner) {
            return refused("the client has too many retained messages");
        }
        Ok(())
    }

    /// Does it, and notes it for the store.
    pub(super) fn keep(&self, message: &Message, now: Time, keep: Keep, staged: &mut Staged) {
        match keep {
            Keep::No => {}
            Keep::Set(expires) => {
                let message = if expires == message.envelope().expires {
                    message.clone()
                } else {
                    let envelope = Envelope { expires, ..message.envelope().clone() };
                    message.with_envelope(envelope)
                };
                let topic = message.topic().clone();
                if self.retained.set(message, now) {
                    self.metrics.retained_messages.add(1);
                }
                if let Some(at) = expires {
                    self.deadlines.retained(at, topic.clone());
                }
                staged.retained(&topic);
            }
            Keep::Delete => {
                let was_there = self.forget_retained(message.topic());
                // Where there was none, another one's deletion may still be on its way to the disk: whoever hears of that waits
                // for it. With nobody who hears of it there is nothing to do, and a flood of such deletions is none for the disk.
                if was_there || message.envelope().guarantee != Guarantee::AtMostOnce {
                    staged.retained(message.topic());
                }
            }
        }
    }

    /// Takes a value out of memory; true if it was there.
    pub(super) fn forget_retained(&self, topic: &Topic) -> bool {
        let was_there = self.retained.remove(topic);
        if was_there {
            self.metrics.retained_messages.add(-1);
        }
        was_there
    }

    /// Arranges for a new subscription to be sent what is retained. For a durable mailbox and a guarantee, the copies are
    /// to be queued by [`Broker::find_retained`] with what is returned. For all others they are fetched as they are sent.
    /// Values that are looked at now are taken off `steps`.
    pub(super) fn replay(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        subscription: &Subscription,
        is_new: bool,
        steps: &mut usize,
    ) -> Option<Replay> {
        let wanted = match subscription.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        // A shared subscription is sent none (MQTT 5.0, 4.8.2).
        if !wanted || subscription.share.is_some() {
            return None;
        }
        let chain = worker.chain.clone();
        let mut replay = Replay {
            subscription: subscription.clone(),
            after: None,
            since: 0,
            until: u64::MAX,
            others_only: false,
            chosen: None,
            is_asked: false,
        };
        if chain.wants_replay() {
            let client = mailbox.lock().client.clone();
            let (matching, looked) = self.retained.count(&subscription.filter, now, COUNTED_MAX);
            *steps = steps.saturating_sub(looked);
            match chain.replay(&mut worker.guests, &client, subscription.filter.as_str(), matching) {
                crate::wasm::Replay::All => {}
                crate::wasm::Replay::None => return None,
                crate::wasm::Replay::Newest(most) => replay.chosen = Some(self.newest(&replay, now, most as usize)),
            }
        }
        if subscription.options.guarantee != Guarantee::AtMostOnce && mailbox.is_durable() {
            return Some(replay);
        }
        if !self.retained.is_empty() {
            mailbox.lock().replaying.change().replays.push(replay);
        }
        None
    }

    /// The subscription is where publishers find it: what is stored from now on comes live, and is not replayed. Said
    /// after that and not before, so that a value stored in between comes twice rather than never.
    pub(super) fn end_replay_here(&self, mailbox: &Mailbox) {
        let last = self.retained.last();
        if let Some(Replaying { replays, .. }) = mailbox.lock().replaying.changed() {
            replays.end_at(last);
        }
    }

    /// The most recently stored values, in the order in which they were stored.
    fn newest(&self, replay: &Replay, now: Time, most: usize) -> VecDeque<Message> {
        let mut heap = std::collections::BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.retained.page(&replay.subscription.filter, after, 1024, now);
            for kept in page.found {
                heap.insert((kept.stored, kept.message.topic().clone()), kept.message);
                if heap.len() > most {
                    heap.pop_first();
                }
            }
            after = page.next;
            if after.is_none() {
                return heap.into_values().collect();
            }
        }
    }

    /// The next retained messages of a replay.
    fn next_page(&self, mailbox: &Mailbox, replay: &mut Replay, now: Time, most: usize) -> Next {
        // A client that wants nothing of its own wants none of its retained messages either (MQTT 5.0, 3.8.3.1).
        let own = replay.subscription.options.no_local.then(|| mailbox.origin());
        let is_wanted = |message: &Message| own != Some(message.publisher());
        if let Some(chosen) = &mut replay.chosen {
            let count = chosen.len().min(most);
            let found = chosen.drain(..count).filter(is_wanted).map(|message| (0, message)).collect();
            return Next { found, done: chosen.is_empty(), steps: count };
        }
        let page = self.retained.page(&replay.subscription.filter, replay.after.take(), most, now);
        replay.after = page.next;
        let (done, steps) = (replay.after.is_none(), page.steps);
        let found = page.found.into_iter().filter(|kept| kept.number > replay.since && kept.number <= replay.until);
        let found = found.filter(|kept| !replay.others_only || is_other(mailbox, &replay.subscription, &kept.message));
        let found = found.filter(|kept| is_wanted(&kept.message)).map(|kept| (kept.number, kept.message)).collect();
        Next { found, done, steps }
    }

    /// Gets ready for a client what only its own thread may: asks modules about copies, and fetches more retained messages
    /// once it was sent those it had. False: there was nothing to do.
    pub fn refill(&self, worker: &mut Worker, link: &Link, now: Time) -> bool {
        self.pass_on_unfit(worker, link);
        let fetched = self.fetch_retained(worker, link, now);
        self.decide(worker, link, now) || fetched
    }

    fn fetch_retained(&self, worker: &mut Worker, link: &Link, now: Time) -> bool {
        let Some(attachment) = &link.attachment else { return false };
        let mailbox = &attachment.mailbox;
        self.make_forms(worker, mailbox, attachment.number, now);
        let mut state = mailbox.lock();
        let consumes = state.consuming.consumers.iter().any(|consumer| consumer.number == attachment.number);
        if (state.attachment != attachment.number && !consumes) || !state.replaying.replayed.is_empty() {
            return false;
        }
        // It stays in its place, so that nothing overtakes what is fetched now.
        let front = state.replaying.changed().and_then(|replaying| replaying.replays.first_mut());
        let Some(front) = front.filter(|front| !front.is_asked) else { return false };
        front.is_asked = true;
        let page_of = |chosen: &mut VecDeque<Message>| chosen.drain(..chosen.len().min(PAGE)).collect();
        let chosen = front.chosen.as_mut().map(page_of);
        let mut replay = Replay {
            subscription: front.subscription.clone(),
            after: front.after.clone(),
            since: front.since,
            until: front.until,
            others_only: front.others_only,
            chosen,
            is_asked: true,
        };
        drop(state);
        worker.refresh_for(self, link.client.as_ref().map_or("", |client| &client.id));
        let Next { found, done, .. } = self.next_page(mailbox, &mut replay, now, PAGE);
        let mut copies = Vec::with_capacity(found.len());
        for (number, message) in found {
            let copy = self.replayed(worker, mailbox, &link.scope, &replay.subscription, message);
            if self.prepare(worker, &copy.message, mailbox) {
                copies.push((number, copy));
            }
        }
        let mut state = mailbox.lock();
        let is_same = |front: &&mut Replay| front.is_asked && front.subscription.filter == replay.subscription.filter;
        let State { replaying, arrivals, .. } = &mut *state;
        let Some(Replaying { replays, replayed }) = replaying.changed() else { return true };
        let Some(front) = replays.first_mut().filter(is_same) else { return true };
        front.is_asked = false;
        let until = front.until;
        if done && front.chosen.as_ref().is_none_or(VecDeque::is_empty) {
            replays.pop();
        } else {
            front.after = replay.after;
        }
        // What was stored meanwhile comes live.
        let is_early = |(number, _): &(u64, Queued)| *number <= until;
        for (_, mut copy) in copies.into_iter().filter(is_early) {
            *arrivals += 1;
            copy.arrival = *arrivals;
            replayed.push_back(copy);
        }
        true
    }

    fn replayed(
        &self,
        worker: &mut Worker,
        mailbox: &Mailbox,
        scope: &Scope,
        subscription: &Subscription,
        message: Message,
    ) -> Queued {
        let chain = worker.chain.clone();
        let name = chain.deliver_name(&mut worker.guests, scope, message.topic().as_str());
        let options = &subscription.options;
        Queued {
            guarantee: Self::granted(mailbox, &message, options.guarantee),
            retain: true,
            identifiers: options.identifier.into_iter().collect(),
            name: name.map(Into::into),
            ..Queued::new(message)
        }
    }

    /// What is to be replayed of values that were stored after those that a replay queued, and before live ones could reach
    /// the subscription. One that came live as well comes twice rather than never.
    pub(super) fn missed(&self, subscription: &Subscription, queued_to: u64) -> Option<Replay> {
        let until = self.retained.last();
        let subscription = || subscription.clone();
        let replay = || Replay {
            subscription: subscription(),
            after: None,
            since: queued_to,
            until,
            others_only: false,
            chosen: None,
            is_asked: false,
        };
        (until != queued_to).then(replay)
    }

    /// Looks for what is retained for a new subscription of a durable mailbox, at about `steps` values, which are taken
    /// off; false: there is more. `bounded`: all that was found has to fit into the queue, with what is in it; what is
    /// at-most-once is left to be fetched as it is sent.
    ///
    /// # Errors
    /// It does not fit into the queue, into memory or on the disk.
    #[expect(clippy::too_many_arguments, reason = "one step of a subscription, with all that it knows")]
    pub(super) fn find_retained(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        replay: &mut Replay,
        bounded: bool,
        steps: &mut usize,
        found: &mut Found,
    ) -> Result<bool, Refusal> {
        let scope = mailbox.lock().client.scope.clone();
        while *steps > 0 {
            let next = self.next_page(mailbox, replay, now, PAGE);
            *steps = steps.saturating_sub(next.steps.max(1));
            for (_, message) in next.found {
                if bounded && replay.chosen.is_none() && is_other(mailbox, &replay.subscription, &message) {
                    found.others = true;
                    continue;
                }
                if bounded {
                    self.may_keep_more()?;
                    if self.is_short() {
                        return Err(Full::Memory(mailbox.clone()).refusal());
                    }
                }
                if bounded && mailbox.is_full_with(&self.limits, found.copies.len(), found.bytes) {
                    let reason = "the retained messages do not fit into the queue";
                    return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
                }
                let copy = self.replayed(worker, mailbox, &scope, &replay.subscription, message);
                if self.prepare(worker, &copy.message, mailbox) {
                    found.bytes += copy.message.size();
                    found.copies.push_back(copy);
                }
            }
            if next.done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Arranges for those to be sent that [`Broker::find_retained`] left out.
    pub(super) fn replay_others(&self, mailbox: &Mailbox, subscription: &Subscription, until: u64) {
        let (after, since, chosen) = (None, 0, None);
        let subscription = subscription.clone();
        let replay = Replay { subscription, after, since, until, others_only: true, chosen, is_asked: false };
        mailbox.lock().replaying.change().replays.push(replay);
    }

    /// Queues what was found, looking after `steps`; false: there is more.
    pub(super) fn queue_found(
        &self,
        worker: &mut Worker,
        mailbox: &Arc<Mailbox>,
        found: &mut Found,
        steps: &mut usize,
        staged: &mut Staged,
    ) -> bool {
        while *steps > 0 {
            let Some(mut copy) = found.copies.pop_front() else { return true };
            // A message object of its own: the one in the retained store may stand in the log for others.
            copy.message = copy.message.with_envelope(copy.message.envelope().clone());
            self.cross(worker, &copy.message, mailbox.is_consumed());
            self.queue_one(worker, mailbox, copy, staged);
            *steps -= 1;
        }
        found.copies.is_empty()
    }
}

/// Whether a retained message is at-most-once for a subscription, so that nobody is promised to find it after a restart.
fn is_other(mailbox: &Mailbox, subscription: &Subscription, message: &Message) -> bool {
    let guarantee = Broker::granted(mailbox, message, subscription.options.guarantee);
    guarantee == Guarantee::AtMostOnce && !mailbox.is_consumed()
}

/// A part of a replay.
struct Next {
    /// With their numbers, 0 for those that were chosen.
    found: Vec<(u64, Message)>,
    /// There is no more.
    done: bool,
    /// Values that were looked at.
    steps: usize,
}
