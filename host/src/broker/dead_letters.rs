//! Dead letters: entries of queues that nobody could deal with go to another queue.
//!
//! One for which there is no room there waits in its own queue. It counts there as what waits does, so that the bounds of
//! that queue hold, is handed to nobody, and is tried again every second. After a restart it is an entry like others.

use super::mailbox::Mailbox;
use super::publish::Passed;
use super::queued::Queued;
use super::staged::Staged;
use super::worker::Worker;
use super::{Broker, queues};
use crate::client::{Client, Protocol, Scope};
use crate::message::{Envelope, RefusalKind, Time};
use crate::store::{MailboxId, QueueRecord};
use crate::topic::Topic;
use std::sync::Arc;

/// Seconds after which those that wait are tried again.
const PAUSE_SECONDS: u32 = 1;
/// How many of a queue are tried in one go.
const SLICE: usize = 128;

impl Broker {
    /// Gives what nobody could deal with to the dead letters, if a queue says so; else forgets it.
    pub(super) fn bury(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        queued: Queued,
        staged: &mut Staged,
    ) {
        // Behind those that wait, and at no cost.
        let waits = !mailbox.lock().unburied.is_empty();
        let kept = if waits { Err(queued) } else { self.try_to_bury(worker, now, mailbox, queued, staged) };
        if let Err(queued) = kept {
            self.keep_unburied(now, mailbox, queued, false, staged);
        }
    }

    /// It waits in its own queue.
    fn keep_unburied(&self, now: Time, mailbox: &Mailbox, queued: Queued, first: bool, staged: &mut Staged) {
        let mut state = mailbox.lock();
        if state.gone {
            return queued.forget(mailbox.id, staged.changes());
        }
        mailbox.count(&queued, true);
        match first {
            true => state.unburied.push_front(queued),
            false => state.unburied.push_back(queued),
        }
        if !std::mem::replace(&mut state.is_burial_due, true) {
            if !first {
                let queue = &*state.client.id;
                tracing::warn!(queue, "dead letters have no room where they are to go: they wait in their queue");
            }
            self.deadlines.dead_letters(now.plus_seconds(PAUSE_SECONDS), mailbox.id);
        }
    }

    /// Tries those that wait in a queue.
    pub(super) fn bury_again(&self, worker: &mut Worker, now: Time, id: MailboxId) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        mailbox.lock().is_burial_due = false;
        for _ in 0..SLICE {
            let mut state = mailbox.lock();
            let Some(queued) = state.unburied.pop_front() else { break };
            mailbox.count(&queued, false);
            drop(state);
            let mut staged = worker.stage();
            let kept = self.try_to_bury(worker, now, &mailbox, queued, &mut staged);
            let ends = kept.is_err();
            if let Err(queued) = kept {
                self.keep_unburied(now, &mailbox, queued, true, &mut staged);
            }
            self.commit(worker, staged);
            if ends {
                break;
            }
        }
        let mut state = mailbox.lock();
        if !state.unburied.is_empty() && !std::mem::replace(&mut state.is_burial_due, true) {
            self.deadlines.dead_letters(now, id);
        }
        let blocked = match mailbox.has_room_again(&self.limits) {
            true => std::mem::take(&mut state.blocked),
            false => Vec::new(),
        };
        drop(state);
        blocked.into_iter().for_each(|outlet| outlet.wake());
    }

    /// Gives an entry back for which there is no room.
    fn try_to_bury(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        queued: Queued,
        staged: &mut Staged,
    ) -> Result<(), Queued> {
        let passed = match self.dead_letters_of(mailbox) {
            None => Ok(()),
            Some(topic) => self.pass_dead_letter(worker, now, &topic, &queued, staged),
        };
        match passed {
            Err(RefusalKind::QuotaExceeded | RefusalKind::Unavailable) => return Err(queued),
            Err(_) => self.metrics.messages_dropped_total.add(1),
            Ok(()) => {}
        }
        queued.forget(mailbox.id, staged.changes());
        self.metrics.messages_buried_total.add(1);
        Ok(())
    }

    /// Where the dead letters of a queue go; none: nowhere.
    fn dead_letters_of(&self, mailbox: &Mailbox) -> Option<Topic> {
        let state = mailbox.lock();
        let own = state.kept_as.as_ref().and_then(|record| record.dead_letters.as_deref());
        let topic = Topic::new(own.unwrap_or(&self.limits.dead_letters), &self.limits.topic).ok()?;
        (queues::is_queue(&state.client) && *state.client.id != *topic.as_str()).then_some(topic)
    }

    fn pass_dead_letter(
        &self,
        worker: &mut Worker,
        now: Time,
        topic: &Topic,
        queued: &Queued,
        staged: &mut Staged,
    ) -> Result<(), RefusalKind> {
        let address = topic.as_str();
        let refused = |refusal: crate::message::Refusal| {
            if !matches!(refusal.kind, RefusalKind::QuotaExceeded | RefusalKind::Unavailable) {
                tracing::warn!(address, reason = refusal.reason, "a dead letter was refused");
            }
            refusal.kind
        };
        if self.find_queue(topic).map_err(refused)?.is_none() {
            self.make_queue(now, topic, QueueRecord::default()).map_err(refused)?;
        }
        let envelope = Envelope { topic: topic.clone(), retain: false, ..queued.message.envelope().clone() };
        let message = queued.message.with_envelope(envelope);
        let route = self.route_of(worker, topic);
        let scope = Scope { listener: "".into(), protocol: Protocol::Module, identity: None };
        let client = Client { id: "".into(), scope, peer: "".into() };
        match self.pass(worker, now, &client, message, route, staged) {
            Passed::Taken(_) => Ok(()),
            Passed::Full(_, full) => Err(refused(full.refusal())),
            Passed::Refused(refusal) => Err(refused(refusal)),
        }
    }
}
