//! Dead letters: entries of queues that nobody could deal with go to another queue.
//!
//! One for which there is no room there, or that is refused on its way, waits in its own queue: nothing that was
//! acknowledged is lost because of a module. It counts there as what waits does, so that the bounds of that queue hold, is
//! handed to nobody, and is tried again every second. After a restart it is an entry like others. What a module discards in
//! so many words is gone, and counted as discarded.

use super::mailbox::Mailbox;
use super::publish::Passed;
use super::queued::Queued;
use super::staged::Staged;
use super::worker::Worker;
use super::{Attachment, Broker, queues};
use crate::client::Client;
use crate::message::{Envelope, Message, Refusal, RefusalKind, Time};
use crate::store::MailboxId;
use crate::topic::Topic;
use crate::wasm::{EventKinds, Happening, Loss};
use std::sync::Arc;

/// Seconds after which those that wait are tried again.
const PAUSE_SECONDS: u32 = 1;
/// How many of a queue are tried in one go.
const SLICE: usize = 128;

/// One that could not go where it is to go, and why; none: it was not tried.
struct Unburied {
    queued: Queued,
    refusal: Option<Refusal>,
}

/// Where one that waits goes among the others.
enum Place {
    First,
    Last,
}

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
        let waits = !mailbox.lock().consuming.unburied.is_empty();
        let kept = match waits {
            true => Err(Box::new(Unburied { queued, refusal: None })),
            false => self.try_to_bury(worker, now, mailbox, queued, staged),
        };
        if let Err(kept) = kept {
            let Unburied { queued, refusal } = *kept;
            self.keep_unburied(now, mailbox, queued, Place::Last, staged);
            self.metrics.dead_letters_held_total.add(1);
            if let Some(refusal) = refusal {
                let queue = mailbox.lock().client.id.clone();
                let queue = &*queue;
                tracing::warn!(
                    queue,
                    reason = refusal.reason,
                    "a dead letter has no room where it is to go, or is refused there: it waits in its queue"
                );
            }
        }
    }

    /// Entries of a queue that have no form for those who receive from it: the dead letters get them. Where there are none they stay
    /// where they are, and this receiver goes on behind them. So it is with those on which modules `failed` for all who are there.
    pub(super) fn set_aside(&self, now: Time, link: &Attachment, entries: Vec<Queued>, failed: bool) {
        if entries.is_empty() {
            return;
        }
        let mailbox = &link.mailbox;
        let is_buried = self.dead_letters_of(mailbox).is_some();
        let mut changes = Vec::new();
        let mut state = mailbox.lock();
        let (queue, count) = (state.client.id.clone(), entries.len());
        for mut queued in entries {
            if state.gone {
                queued.forget(mailbox.id, &mut changes);
            } else if is_buried {
                mailbox.count(&queued, true);
                state.consuming.change().unburied.push_back(queued);
            } else {
                // From whom modules withhold it, that is noted.
                if !failed {
                    queued.leave_to_others(link.number, &state.consumers_there());
                }
                mailbox.put_back(&mut state, queued);
            }
        }
        let is_due = state.burial_falls_due();
        drop(state);
        if is_due {
            self.deadlines.dead_letters(now, mailbox.id);
        }
        if !changes.is_empty() {
            self.store.submit(changes);
        }
        let what = if is_buried { "they go to the dead letters" } else { "they stay" };
        let why = match failed {
            true => "modules fail on entries for all receivers that are there",
            false => "entries have no form for AMQP receivers, says the module that translates",
        };
        tracing::warn!(queue = &*queue, count, "{why}: {what}");
    }

    /// It waits in its own queue.
    fn keep_unburied(&self, now: Time, mailbox: &Mailbox, queued: Queued, place: Place, staged: &mut Staged) {
        let mut state = mailbox.lock();
        if state.gone {
            return queued.forget(mailbox.id, staged.changes());
        }
        mailbox.count(&queued, true);
        match place {
            Place::First => state.consuming.change().unburied.push_front(queued),
            Place::Last => state.consuming.change().unburied.push_back(queued),
        }
        if state.burial_falls_due() {
            self.deadlines.dead_letters(now.plus_seconds(PAUSE_SECONDS), mailbox.id);
        }
    }

    /// Tries those that wait in a queue.
    pub(super) fn bury_again(&self, worker: &mut Worker, now: Time, id: MailboxId) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        let waiting = {
            let mut state = mailbox.lock();
            let Some(consuming) = state.consuming.changed() else { return };
            consuming.is_burial_due = false;
            consuming.unburied.len()
        };
        for _ in 0..waiting.min(SLICE) {
            let mut state = mailbox.lock();
            let next = state.consuming.changed().and_then(|consuming| consuming.unburied.pop_front());
            let Some(queued) = next else { break };
            mailbox.count(&queued, false);
            state.untold += 1;
            drop(state);
            let mut staged = worker.stage();
            let kept = self.try_to_bury(worker, now, &mailbox, queued, &mut staged);
            // One that is refused lets the others pass; where there is no room there is none for them either.
            let is_full = matches!(&kept, Err(kept) if kept.refusal.as_ref().is_none_or(is_for_want_of_room));
            if let Err(kept) = kept {
                let place = if is_full { Place::First } else { Place::Last };
                self.keep_unburied(now, &mailbox, kept.queued, place, &mut staged);
            }
            self.commit(worker, staged);
            mailbox.lock().untold -= 1;
            if is_full {
                break;
            }
        }
        let mut state = mailbox.lock();
        if state.burial_falls_due() {
            self.deadlines.dead_letters(now, id);
        }
        let blocked = mailbox.has_room_again(&self.limits).then(|| state.take_blocked());
        drop(state);
        blocked.into_iter().flatten().for_each(|outlet| outlet.wake());
    }

    /// Gives an entry back for which there is no room, or that is refused, and why.
    fn try_to_bury(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        queued: Queued,
        staged: &mut Staged,
    ) -> Result<(), Box<Unburied>> {
        match self.dead_letters_of(mailbox) {
            Some(topic) => {
                if let Err(refusal) = self.pass_dead_letter(worker, now, &topic, &queued, staged) {
                    return Err(Box::new(Unburied { queued, refusal: Some(refusal) }));
                }
            }
            None => self.happened(EventKinds::LOST, || Happening::Lost(queued.message.clone(), Loss::Rejected)),
        }
        queued.forget(mailbox.id, staged.changes());
        self.metrics.messages_buried_total.add(1);
        Ok(())
    }

    /// Where the dead letters of a queue go; none: nowhere.
    fn dead_letters_of(&self, mailbox: &Mailbox) -> Option<Topic> {
        let state = mailbox.lock();
        let own = state.consuming.kept_as.as_ref().and_then(|record| record.dead_letters.as_deref());
        let topic = Topic::new(own.unwrap_or(&self.limits.dead_letters), &self.limits.topic).ok()?;
        (queues::is_queue(&state.client) && *state.client.id != *topic.as_str()).then_some(topic)
    }

    /// The message under another envelope, and on it what receivers wrote: they may have said why they could not deal with it
    /// (AMQP 1.0, 3.4.5). How often it failed is not told: it would count as attempts at the dead letter. What did not come by
    /// AMQP has no place for notes.
    fn with_notes(&self, queued: &Queued, envelope: Envelope) -> Message {
        let message = &queued.message;
        let notes = queued.handling.as_deref().and_then(|handling| handling.notes.as_ref());
        let noted = match (message.as_bare(), notes, self.encoding.get()) {
            (Some(bare), Some(notes), Some(encoding)) => Some(bare).zip(encoding.annotated(message.payload(), notes)),
            _ => None,
        };
        match noted {
            Some((bare, encoded)) => Message::bare(envelope, bare, message.publisher(), &encoded),
            None => message.with_envelope(envelope),
        }
    }

    fn pass_dead_letter(
        &self,
        worker: &mut Worker,
        now: Time,
        topic: &Topic,
        queued: &Queued,
        staged: &mut Staged,
    ) -> Result<(), Refusal> {
        // It is nobody's message: it follows what runs beside a canary.
        worker.refresh(self);
        let envelope = Envelope { topic: topic.clone(), retain: false, ..queued.message.envelope().clone() };
        let message = self.with_notes(queued, envelope);
        let route = self.route_of(worker, topic);
        let route = self.way_to_queue(worker, now, route)?;
        let scope = self.own_scope.clone();
        let client = Client { id: "".into(), container: None, scope, peer: "".into() };
        match self.pass(worker, now, &client, message, route, staged) {
            Passed::Taken(_) => Ok(()),
            Passed::Full(_, full) => Err(full.refusal()),
            Passed::Refused(refusal) => Err(refusal),
        }
    }
}

fn is_for_want_of_room(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::QuotaExceeded | RefusalKind::Unavailable)
}
