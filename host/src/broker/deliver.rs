//! From a message and its targets to copies in mailboxes, and to the store where a copy has to outlive the process.
//!
//! The publisher hears of a durable copy after its commit. The copy itself waits for that only if it is exactly-once (see
//! [`super::mailbox::Mailbox::submitted`]).

use super::Broker;
use super::mailbox::{Mailbox, Offered, Queued, Submitted};
use super::retain::Keep;
use super::route::{Route, Single, Target};
use super::worker::Worker;
use crate::dialogue::{Handle, Routed};
use crate::message::{Guarantee, Message, Time};
use crate::store::{Change, MailboxId, QueueEntry, Sequence};
use crate::wasm::{EventKinds, Happening, Loss};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A queue in the way of a message above at-most-once.
pub(super) struct Full {
    /// Whose.
    pub mailbox: Arc<Mailbox>,
}

impl Full {
    /// Whether it is worth to wait: somebody is there who may make room, and it is not the publisher itself.
    pub fn waits_for(&self, publisher: MailboxId) -> bool {
        if !self.mailbox.is_consumed() {
            return self.mailbox.is_attached() && self.mailbox.origin() != publisher;
        }
        self.mailbox.lock().consumers.iter().any(|consumer| consumer.origin != publisher)
    }
}

/// Durable copies whose place in the store is not known yet.
pub(super) type Pending = SmallVec<[(Arc<Mailbox>, u64); 4]>;

impl Broker {
    /// Hands copies to all targets, or to none if one that must not be left out is full.
    pub(super) fn deliver(
        &self,
        worker: &mut Worker,
        now: Time,
        message: &Message,
        route: &Arc<Route>,
        keep: Keep,
        seen: Option<(MailboxId, Handle)>,
    ) -> Result<(Sequence, Routed), Full> {
        let promised = message.as_bare().map_or(Guarantee::AtMostOnce, |bare| bare.handover);
        if message.envelope().guarantee.max(promised) != Guarantee::AtMostOnce
            && let Some(mailbox) = route.targets.iter().find_map(|target| self.full(message, target))
        {
            return Err(Full { mailbox });
        }
        let mut changes = Vec::new();
        let mut current = None;
        if keep != Keep::No {
            self.keep(message, now, keep, &mut changes);
            // Whoever subscribed before the value was stored is in this route; whoever comes later finds the value.
            current = Some(self.route_of(worker, &route.topic));
        }
        let route = current.as_ref().unwrap_or(route);
        let mut pending = Pending::new();
        let mut matched = false;
        for target in &route.targets {
            let offered = match target {
                Target::Single(single) => {
                    self.offer_single(worker, message, single, route.cleared, &mut changes, &mut pending)
                }
                Target::Group(group, names) => group.pick(message.envelope().guarantee, &self.limits).map(|member| {
                    self.prepare(worker, message, &member.mailbox);
                    let name = names.iter().find(|(id, _)| *id == member.mailbox.id).map(|(_, name)| name.clone());
                    let copy = Queued {
                        guarantee: Self::granted(&member.mailbox, message, member.options.guarantee),
                        retain: message.envelope().retain && member.options.retain_as_published,
                        identifiers: member.options.identifier.into_iter().collect(),
                        name,
                        group: Some(group.clone()),
                        cleared: route.cleared,
                        ..Queued::new(message.clone())
                    };
                    self.offer(&member.mailbox, copy, &mut changes, &mut pending)
                }),
            };
            match offered {
                Some(Offered::Queued(_, outlet)) => {
                    matched = true;
                    worker.touched.extend(outlet);
                }
                Some(Offered::Dropped) => {
                    worker.tally.dropped += 1;
                    self.happened(EventKinds::LOST, || Happening::Lost(message.clone(), Loss::QueueFull));
                }
                Some(Offered::Nobody) | None => {}
            }
        }
        let routed = if matched { Routed::Matched } else { Routed::NoSubscriber };
        if !matched && !message.topic().is_reserved() {
            self.happened(EventKinds::LOST, || Happening::Lost(message.clone(), Loss::Unroutable));
        }
        if let Some((mailbox, handle)) = seen
            && self.directory.is_durable(mailbox)
        {
            changes.push(Change::Seen(mailbox, handle));
        }
        Ok((self.submit(worker, message, changes, pending), routed))
    }

    fn offer_single(
        &self,
        worker: &mut Worker,
        message: &Message,
        single: &Single,
        cleared: u64,
        changes: &mut Vec<Change>,
        pending: &mut Pending,
    ) -> Option<Offered> {
        if single.no_local && message.publisher() == single.mailbox.origin() {
            return None;
        }
        if !self.prepare(worker, message, &single.mailbox) {
            return None;
        }
        let copy = Queued {
            name: single.name.clone(),
            cleared,
            identifiers: single.identifiers.clone(),
            guarantee: Self::granted(&single.mailbox, message, single.guarantee),
            retain: message.envelope().retain && single.retain_as_published,
            ..Queued::new(message.clone())
        };
        Some(self.offer(&single.mailbox, copy, changes, pending))
    }

    fn offer(&self, mailbox: &Arc<Mailbox>, copy: Queued, changes: &mut Vec<Change>, pending: &mut Pending) -> Offered {
        // Built before the copy moves: almost never needed, and then the disk costs more.
        let durable = copy.guarantee != Guarantee::AtMostOnce && mailbox.is_durable();
        let entry = durable.then(|| QueueEntry {
            number: 0,
            log_id: 0,
            guarantee: copy.guarantee,
            retain: copy.retain,
            name: copy.name.clone(),
            identifiers: copy.identifiers.clone(),
        });
        let offered = mailbox.offer(copy, &self.limits);
        if let (Offered::Queued(number, _), Some(entry)) = (&offered, entry)
            && *number != 0
        {
            changes.push(Change::Queued(mailbox.id, QueueEntry { number: *number, ..entry }));
            pending.push((mailbox.clone(), *number));
        }
        offered
    }

    /// Tells the store about all effects of one message at once, and the mailboxes when their copies may leave.
    fn submit(&self, worker: &mut Worker, message: &Message, mut changes: Vec<Change>, pending: Pending) -> Sequence {
        if changes.is_empty() {
            return 0;
        }
        if !pending.is_empty() {
            let log_id = self.next_log_id.fetch_add(1, Ordering::Relaxed);
            message.set_logged(log_id, pending.len() as u64);
            for change in &mut changes {
                if let Change::Queued(_, entry) = change {
                    entry.log_id = log_id;
                }
            }
            changes.push(Change::Logged(log_id, message.clone()));
        }
        if let Some(gathered) = &mut worker.gathering {
            gathered.changes.append(&mut changes);
            gathered.pending.extend(pending);
            return 0;
        }
        let after = self.store.submit(changes);
        self.announce(worker, pending, after);
        after
    }

    /// Tells mailboxes when the copies that they were given may leave.
    pub(super) fn announce(&self, worker: &mut Worker, pending: Pending, after: Sequence) {
        for (mailbox, number) in pending {
            match mailbox.submitted(number, after) {
                Submitted::Known => {}
                Submitted::Await(outlet) => self.await_answer(after, outlet),
                Submitted::Flush(outlet) => worker.touched.push(outlet),
            }
        }
    }

    /// Queues one copy outside the way of a message: a retained one, or one that its first receiver left behind.
    pub(super) fn queue_one(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>, copy: Queued) {
        let (mut changes, mut pending) = (Vec::new(), Pending::new());
        let message = copy.message.clone();
        if let Offered::Queued(_, outlet) = self.offer(mailbox, copy, &mut changes, &mut pending) {
            worker.touched.extend(outlet);
        }
        self.submit(worker, &message, changes, pending);
    }

    /// The mailbox that has no room for this target's copy.
    fn full(&self, message: &Message, target: &Target) -> Option<Arc<Mailbox>> {
        match target {
            Target::Single(single) => {
                let mailbox = &single.mailbox;
                let in_the_way = mailbox.is_full(&self.limits)
                    && mailbox.takes()
                    && Self::granted(mailbox, message, single.guarantee) != Guarantee::AtMostOnce;
                in_the_way.then(|| mailbox.clone())
            }
            Target::Group(group, _) if group.has_room(&self.limits) => None,
            Target::Group(group, _) => group.any().filter(|mailbox| mailbox.takes()),
        }
    }

    /// Gives copies that a member of a group did not settle to the others (MQTT 5.0, 4.8.2).
    pub(super) fn hand_on(&self, worker: &mut Worker, left_behind: Vec<Queued>) {
        for copy in left_behind {
            let Some(group) = copy.group.clone() else { continue };
            if copy.guarantee == Guarantee::AtMostOnce {
                continue;
            }
            if let Some(member) = group.pick(copy.guarantee, &self.limits) {
                // A message object of its own: its row in the log goes with the mailbox that it was queued in.
                let old = &copy.message;
                let message = old.with_envelope(old.envelope().clone());
                let copy = Queued {
                    guarantee: Self::granted(&member.mailbox, old, member.options.guarantee),
                    identifiers: member.options.identifier.into_iter().collect(),
                    group: Some(group),
                    retain: copy.retain,
                    ..Queued::new(message)
                };
                self.queue_one(worker, &member.mailbox, copy);
            }
        }
    }
}
