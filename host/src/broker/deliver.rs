//! From a message and its targets to copies in mailboxes, and to the store where a copy has to outlive the process.
//!
//! The publisher hears of a durable copy after its commit. The copy itself waits for that only if it is exactly-once (see
//! [`super::mailbox::Mailbox::submitted`]).

use super::access::May;
use super::attach::Link;
use super::consumers::{Consumer, Handling};
use super::mailbox::{Mailbox, Offered};
use super::queued::Queued;
use super::retain::Keep;
use super::route::{Route, Single, Target};
use super::shared_groups::Group;
use super::staged::Staged;
use super::wishes::promised;
use super::worker::Worker;
use super::{Attachment, Broker};
use crate::dialogue::{self, Routed, Subscription};
use crate::message::{Envelope, FormMissing, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::rare::Rare;
use crate::store::{Change, MailboxId, QueueEntry};
use crate::wasm::{EventKinds, Happening, Loss};
use std::sync::Arc;

/// Copies that are too large for a member of a share and go to others, before somebody else has a turn.
const PASSED_ON_AT_ONCE: usize = 128;

/// A share, under which names its members know the topic, and who of them may not have it.
type Sharing<'a> = (&'a Arc<Group>, &'a [(MailboxId, Arc<str>)], &'a [MailboxId]);

/// What is in the way of a message.
pub(super) enum Full {
    /// This queue has no room for a copy above at-most-once.
    Queue(Arc<Mailbox>),
    /// Messages take too much memory, and something waits in this queue.
    Memory(Arc<Mailbox>),
    /// So much waits for the disk that nothing more is taken before its next commit.
    Disk,
    /// The disk has no room.
    Space,
    /// The disk fails, and the message would have to be kept.
    Broken,
    /// A bound keeps from being taken what a module wants published beside it.
    Wish(Refusal),
}

impl Full {
    /// Whether it is worth to wait: somebody is there who may make room, and it is not the publisher itself.
    pub fn waits_for(&self, publisher: u64) -> bool {
        match self {
            Self::Queue(mailbox) | Self::Memory(mailbox) => match mailbox.is_consumed() {
                false => mailbox.is_attached() && mailbox.origin() != publisher,
                true => {
                    let makes_room = |one: &Consumer| one.takes() && one.origin != publisher;
                    mailbox.lock().consuming.consumers.iter().any(makes_room)
                }
            },
            Self::Disk => true,
            Self::Space | Self::Broken | Self::Wish(_) => false,
        }
    }

    /// What a publisher hears for whom nobody waits.
    pub fn refusal(&self) -> Refusal {
        let reason = match self {
            Self::Queue(_) => "a receiver's queue is full",
            Self::Memory(_) => "messages take too much memory",
            Self::Disk => "too much waits for the disk",
            Self::Space => "the disk is full",
            Self::Broken => "the disk fails: nothing is taken that would have to be kept",
            Self::Wish(refusal) => return refusal.clone(),
        };
        Refusal::new(RefusalKind::QuotaExceeded, reason)
    }
}

impl Broker {
    /// Hands copies to all targets, or to none if something is in the way. What the store has to know is staged.
    #[inline(always)]
    pub(super) fn deliver(
        &self,
        worker: &mut Worker,
        now: Time,
        message: &Message,
        route: &Arc<Route>,
        keep: Keep,
        staged: &mut Staged,
    ) -> Result<Routed, Full> {
        self.has_room(now, message, route, keep)?;
        Ok(self.hand_out(worker, now, message, route, keep, staged))
    }

    /// Whether nothing is in the way of a message.
    #[inline(always)]
    pub(super) fn has_room(&self, now: Time, message: &Message, route: &Arc<Route>, keep: Keep) -> Result<(), Full> {
        let promised = promised(message);
        let is_free = match &*route.targets {
            _ if promised == Guarantee::AtMostOnce => true,
            [Target::Single(single)] => !self.is_closed_for_more(&single.mailbox),
            _ => false,
        };
        if is_free && self.store.has_room() {
            return Ok(());
        }
        self.look_for_room(now, message, promised, route, keep)
    }

    fn look_for_room(
        &self,
        now: Time,
        message: &Message,
        promised: Guarantee,
        route: &Route,
        keep: Keep,
    ) -> Result<(), Full> {
        if promised != Guarantee::AtMostOnce
            && let Some(mailbox) = route.targets.iter().find_map(|target| self.full(now, message, target))
        {
            if self.is_short() && !mailbox.is_full(&self.limits) {
                return Err(Full::Memory(mailbox));
            }
            if mailbox.tells_full() {
                tracing::warn!(
                    client = %mailbox.lock().client.id.escape_debug(),
                    "the queue of a client that is not there is full: what would go there is refused, for all receivers"
                );
            }
            return Err(Full::Queue(mailbox));
        }
        if !self.store.has_room() {
            self.strained(promised, route, keep)?;
        }
        Ok(())
    }

    /// Hands copies to all targets. Nothing holds up a message that comes this far: who calls has looked.
    pub(super) fn hand_out(
        &self,
        worker: &mut Worker,
        now: Time,
        message: &Message,
        route: &Arc<Route>,
        keep: Keep,
        staged: &mut Staged,
    ) -> Routed {
        let (mut current, mut _turn) = (None, None);
        if keep != Keep::No {
            // Guests make forms now, and not while others wait.
            self.prepare_all(worker, message, route);
            _turn = Some(self.retained.turn(message.topic()));
            self.keep(message, now, keep, staged);
            // Whoever subscribed before the value was stored is in this route; whoever comes later finds the value.
            current = Some(self.route_of(worker, &route.topic));
        }
        let route = current.as_ref().unwrap_or(route);
        worker.work += route.targets.len() as u64;
        let mut matched = false;
        for target in &route.targets {
            let offered = match target {
                Target::Single(single) => self.offer_single(worker, now, message, single, route.cleared, staged),
                Target::Group(group, names, denied) => {
                    self.offer_group(worker, message, (group, names, denied), route.cleared, staged)
                }
            };
            match offered {
                Some(Offered::Queued(_, outlet)) => {
                    matched = true;
                    worker.touched.extend(outlet);
                }
                // It was somebody's.
                Some(Offered::Dropped) => {
                    matched = true;
                    worker.tally.dropped += 1;
                    self.happened(EventKinds::LOST, || Happening::Lost(message.clone(), Loss::QueueFull));
                }
                Some(Offered::Missed) => worker.tally.dropped += 1,
                Some(Offered::Nobody) | None => {}
            }
        }
        if !matched && !message.topic().is_reserved() {
            self.happened(EventKinds::LOST, || Happening::Lost(message.clone(), Loss::Unroutable));
        }
        if matched { Routed::Matched } else { Routed::NoSubscriber }
    }

    /// Makes the forms of a message that its receivers want.
    fn prepare_all(&self, worker: &mut Worker, message: &Message, route: &Route) {
        let wants = |bare: bool| {
            route.targets.iter().any(|target| match target {
                Target::Single(single) => single.mailbox.is_consumed() == bare,
                Target::Group(group, ..) => group.mailboxes().iter().any(|mailbox| mailbox.is_consumed() == bare),
            })
        };
        for bare in [false, true] {
            if matches!(message.in_form(bare), Err(FormMissing::NotYet)) && wants(bare) {
                self.cross(worker, message, bare);
            }
        }
    }

    /// The disk fails or cannot keep up: what need not be kept flows on.
    fn strained(&self, guarantee: Guarantee, route: &Route, keep: Keep) -> Result<(), Full> {
        let copies = guarantee != Guarantee::AtMostOnce && route.targets.iter().any(Target::is_durable);
        if !copies && keep == Keep::No {
            return Ok(());
        }
        match self.store.is_healthy() {
            // That makes room.
            true if !copies && keep == Keep::Delete && !self.store.is_full() => Ok(()),
            true if self.store.is_out_of_space() => Err(Full::Space),
            true => Err(Full::Disk),
            // Of a value that nobody was promised to find again some may be noted for later.
            false if !copies && guarantee == Guarantee::AtMostOnce && !self.store.is_full() => Ok(()),
            false => Err(Full::Broken),
        }
    }

    fn offer_single(
        &self,
        worker: &mut Worker,
        now: Time,
        message: &Message,
        single: &Single,
        cleared: u64,
        staged: &mut Staged,
    ) -> Option<Offered> {
        if single.leaves_out(message) {
            return None;
        }
        if !self.prepare(worker, message, &single.mailbox) {
            return None;
        }
        let sooner = single
            .mailbox
            .message_expires(now, message)
            .map(|at| message.with_envelope(Envelope { expires: Some(at), ..message.envelope().clone() }));
        let message = sooner.as_ref().unwrap_or(message);
        let terms = single.terms_for(message);
        let copy = Queued {
            name: single.name.clone(),
            cleared,
            identifiers: dialogue::copied(&terms.identifiers),
            guarantee: Self::granted(&single.mailbox, message, terms.guarantee),
            retain: message.envelope().retain && terms.retain_as_published,
            ..Queued::new(message.clone())
        };
        Some(self.offer(&single.mailbox, copy, staged))
    }

    /// Offers a copy to one of those who share. What was promised to its publisher goes to somebody as long as anybody keeps it:
    /// room was looked for before, and who is chosen may be gone by now.
    fn offer_group(
        &self,
        worker: &mut Worker,
        message: &Message,
        (group, names, denied): Sharing<'_>,
        cleared: u64,
        staged: &mut Staged,
    ) -> Option<Offered> {
        let promised = promised(message);
        let mut passed_over = Vec::new();
        loop {
            let not = if passed_over.is_empty() { denied } else { &passed_over };
            let member = match promised {
                Guarantee::AtMostOnce => group.pick(promised, &self.limits, not),
                _ => group.heir(promised, &self.limits, not),
            }?;
            self.prepare(worker, message, &member.mailbox);
            let name = names.iter().find(|(id, _)| *id == member.mailbox.id).map(|(_, name)| name.clone());
            let copy = Queued {
                guarantee: Self::granted(&member.mailbox, message, member.options.guarantee),
                retain: member.keeps_flag(message),
                identifiers: member.options.identifier.into_iter().collect(),
                name,
                group: Some(group.clone()),
                cleared,
                ..Queued::new(message.clone())
            };
            match self.offer(&member.mailbox, copy, staged) {
                Offered::Nobody => {
                    if passed_over.is_empty() {
                        passed_over.extend_from_slice(denied);
                    }
                    passed_over.push(member.mailbox.id);
                }
                offered => return Some(offered),
            }
        }
    }

    /// Puts one copy into a mailbox, and notes it for the store where it has to outlive the process.
    pub(super) fn offer(&self, mailbox: &Arc<Mailbox>, copy: Queued, staged: &mut Staged) -> Offered {
        let may_drop = || copy.guarantee == Guarantee::AtMostOnce || copy.dropped_when_full();
        if self.is_short() && mailbox.depth() > 0 && may_drop() {
            return Offered::Dropped;
        }
        let is_lent = || copy.group.as_ref().is_some_and(|group| group.is_kept()) && self.lend(mailbox);
        let is_kept = || mailbox.is_durable() || is_lent();
        if copy.guarantee == Guarantee::AtMostOnce || !is_kept() {
            return mailbox.offer(copy, &self.limits);
        }
        let message = copy.message.clone();
        // Built before the copy moves: almost never needed, and then the disk costs more.
        let entry = QueueEntry {
            number: 0,
            log_id: self.log(&message, staged),
            guarantee: copy.guarantee,
            retain: copy.retain,
            name: copy.name.clone(),
            identifiers: copy.identifiers.clone(),
        };
        let offered = mailbox.offer(copy, &self.limits);
        match &offered {
            Offered::Queued(number, _) if *number != 0 => {
                staged.change(Change::Queued(mailbox.id, QueueEntry { number: *number, ..entry }));
                staged.copy(mailbox, *number);
            }
            // The unit itself still uses it, so this is not the last use.
            _ => drop(message.drop_log_use()),
        }
        offered
    }

    /// Queues one copy outside the way of a message: a retained one, or one that its first receiver left behind.
    /// False: nobody is there any more.
    pub(super) fn queue_one(
        &self,
        worker: &mut Worker,
        mailbox: &Arc<Mailbox>,
        copy: Queued,
        staged: &mut Staged,
    ) -> bool {
        let offered = self.offer(mailbox, copy, staged);
        let is_there = !matches!(offered, Offered::Nobody | Offered::Missed);
        if let Offered::Queued(_, outlet) = offered {
            worker.touched.extend(outlet);
        }
        is_there
    }

    /// The mailbox that has no room for this target's copy.
    #[inline(always)]
    pub(super) fn full(&self, now: Time, message: &Message, target: &Target) -> Option<Arc<Mailbox>> {
        match target {
            Target::Single(single) if !self.is_closed_for_more(&single.mailbox) => None,
            target => self.in_the_way(now, message, target),
        }
    }

    fn in_the_way(&self, now: Time, message: &Message, target: &Target) -> Option<Arc<Mailbox>> {
        match target {
            // What does not go there has nothing to wait for (MQTT 5.0, 3.8.3.1).
            Target::Single(single) if single.leaves_out(message) => None,
            Target::Single(single) => {
                let mailbox = &single.mailbox;
                let takes = mailbox.takes()
                    && Self::granted(mailbox, message, single.terms_for(message).guarantee) != Guarantee::AtMostOnce;
                if takes {
                    self.drop_expired(mailbox, now);
                }
                (takes && self.is_closed_for_more(mailbox)).then(|| mailbox.clone())
            }
            Target::Group(group, _, denied) => {
                let mut is_full = !group.has_room(&self.limits, denied);
                if is_full {
                    let takes = group.mailboxes().into_iter().filter(|mailbox| mailbox.takes());
                    takes.for_each(|mailbox| self.drop_expired(&mailbox, now));
                    is_full = !group.has_room(&self.limits, denied);
                }
                if !is_full && !self.is_short() {
                    return None;
                }
                group.any(denied).filter(|mailbox| is_full || mailbox.depth() > 0)
            }
        }
    }

    /// What an earlier start of the broker queued does not say for which group that was.
    pub(super) fn find_groups(&self, left_behind: &mut [Queued], subscriptions: &[Subscription]) {
        let is_old = |copy: &&mut Queued| copy.stored && copy.number < self.numbers_began;
        self.guess_groups(left_behind.iter_mut().filter(is_old), subscriptions);
    }

    /// Where only one share of the client's can have brought a message, it was that. What is sent exactly once and may have
    /// been sent is nobody else's (MQTT-4.8.2-5).
    pub(super) fn guess_groups<'q>(
        &self,
        copies: impl Iterator<Item = &'q mut Queued>,
        subscriptions: &[Subscription],
    ) {
        if subscriptions.iter().all(|one| one.share.is_none()) {
            return;
        }
        let groups = self.groups.read();
        for copy in copies.filter(|copy| copy.guarantee != Guarantee::ExactlyOnce || !copy.under_way) {
            let mut matching = subscriptions.iter().filter(|one| one.filter.matches(copy.message.topic().as_str()));
            if let (Some(only), None) = (matching.next(), matching.next()) {
                let share = only.share.as_ref();
                copy.group = share.and_then(|share| groups.get(&(share.clone(), only.filter.clone())).cloned());
            }
        }
    }

    /// Gives copies that are too large for a member of a group to others, who may take larger ones.
    pub(super) fn pass_on(&self, worker: &mut Worker, mailbox: &Mailbox, unfit: Vec<Queued>, staged: &mut Staged) {
        for queued in unfit {
            let mut handling = queued.handling.clone().unwrap_or_default();
            handling.too_large_for.push(mailbox.id);
            self.hand_on(worker, vec![Queued { handling: Some(handling), ..queued.clone() }], staged);
            queued.forget(mailbox.id, staged.changes());
        }
    }

    /// The same with those that were left aside in a client's mailbox, some at a time.
    pub(super) fn pass_on_unfit(&self, worker: &mut Worker, link: &Link) {
        let Some(Attachment { mailbox, .. }) = &link.attachment else { return };
        let mut state = mailbox.lock();
        if state.unfit.is_blank() {
            return;
        }
        let mut unfit = state.unfit.take();
        let later = unfit.split_off(unfit.len().min(PASSED_ON_AT_ONCE));
        let is_all = later.is_empty();
        if !is_all {
            state.unfit = Rare::new(later);
        }
        drop(state);
        if !is_all {
            self.wake(mailbox);
        }
        worker.refresh(self);
        let mut staged = worker.stage();
        self.pass_on(worker, mailbox, unfit, &mut staged);
        self.commit(worker, staged);
    }

    /// Gives copies that a member of a group did not settle to the others (MQTT 5.0, 4.8.2).
    pub(super) fn hand_on(&self, worker: &mut Worker, left_behind: Vec<Queued>, staged: &mut Staged) {
        for copy in left_behind {
            let Some(group) = copy.group.clone() else { continue };
            if copy.guarantee == Guarantee::AtMostOnce {
                continue;
            }
            let chain = worker.chain.clone();
            let may_not = |mailbox: &&Arc<Mailbox>| {
                self.may_receive(&chain, &mut worker.guests, mailbox, copy.message.topic()) != May::Yes
            };
            let mut denied: Vec<MailboxId> =
                group.mailboxes().iter().filter(may_not).map(|mailbox| mailbox.id).collect();
            denied.extend(copy.handling.iter().flat_map(|handling| handling.too_large_for.iter().copied()));
            // Who is chosen may be gone by now, and then the next one is.
            while let Some(member) = group.heir(copy.guarantee, &self.limits, &denied) {
                let scope = member.mailbox.lock().client.scope.clone();
                let name = chain.deliver_name(&mut worker.guests, &scope, copy.message.topic().as_str());
                // A message object of its own: its row in the log goes with the mailbox that it was queued in.
                let old = &copy.message;
                let message = old.with_envelope(old.envelope().clone());
                let copy = Queued {
                    guarantee: Self::granted(&member.mailbox, old, member.options.guarantee),
                    identifiers: member.options.identifier.into_iter().collect(),
                    name: name.map(Into::into),
                    group: Some(group.clone()),
                    retain: member.keeps_flag(old),
                    handling: too_large_for(copy.handling.as_deref()),
                    ..Queued::new(message)
                };
                if self.queue_one(worker, &member.mailbox, copy, staged) {
                    break;
                }
                denied.push(member.mailbox.id);
            }
        }
    }
}

/// What of that goes with a copy to another member of a share.
fn too_large_for(handling: Option<&Handling>) -> Option<Box<Handling>> {
    let too_large_for = handling.map(|handling| &handling.too_large_for).filter(|members| !members.is_empty())?;
    Some(Box::new(Handling { too_large_for: too_large_for.clone(), ..Default::default() }))
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::tests::{Hall, hall};
    use super::*;
    use crate::dialogue::{Publish, Request};
    use crate::topic::Topic;
    use std::sync::Barrier;

    const ROUNDS: usize = 200;
    /// Many, so that handing out takes its time.
    const SUBSCRIBERS: usize = 2_000;

    /// MQTT 5.0, 3.3.1.3: a subscriber would believe in another state than one that comes later, until the next message.
    #[test]
    fn of_two_who_set_a_value_at_once_the_one_that_stays_is_the_one_seen_last() {
        let mut hall = hall(Limits { queue_messages_max: 10 * ROUNDS, ..Default::default() });
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| {
                let (mut subscriber, _) = hall.attach(&number.to_string(), true, 0, 10);
                hall.subscribe(&mut subscriber, "a", Guarantee::AtMostOnce);
                subscriber
            })
            .collect();
        let (broker, now) = (hall.broker.clone(), hall.now);
        let barrier = Barrier::new(3);
        std::thread::scope(|threads| {
            for name in ["p", "q"] {
                let (broker, barrier) = (broker.clone(), &barrier);
                threads.spawn(move || {
                    let mut own = Hall { worker: broker.worker(), broker, now };
                    let (mut publisher, _) = own.attach(name, true, 0, 10);
                    for number in 0..ROUNDS {
                        barrier.wait();
                        let payload = format!("{name}{number}");
                        let publish = Publish {
                            name: "a",
                            guarantee: Guarantee::AtMostOnce,
                            retain: true,
                            handle: 0,
                            expiry_seconds: None,
                            properties: None,
                            payload: payload.as_bytes(),
                        };
                        own.ask(&mut publisher, Request::Publish(publish));
                        barrier.wait();
                    }
                });
            }
            let topic = Topic::new("a", &Default::default()).unwrap();
            for round in 0..ROUNDS {
                barrier.wait();
                barrier.wait();
                let kept = broker.retained.get(&topic, now).map(|kept| kept.message);
                let kept = kept.map(|message| String::from_utf8_lossy(message.payload()).into_owned());
                for subscriber in &subscribers {
                    let seen = hall.take(subscriber).pop().map(|(_, payload, _)| payload);
                    assert_eq!(seen, kept, "round {round}");
                }
            }
        });
    }
}
