//! Receivers that come back say what became of entries that they were handed in an earlier life (AMQP 1.0, 2.6.13).
//!
//! Where an entry is in the store only, what was said of it waits until its page is read, and nobody is handed the entry before
//! it is carried out. That is in memory only: after a restart the entry comes again, as if its receiver had not come back.

use super::consumers::Held;
use super::mailbox::State;
use super::worker::Worker;
use super::{Attachment, Broker};
use crate::dialogue::Disposal;
use crate::message::Time;
use crate::store::{Change, MailboxId, Sequence};

/// Entries of one mailbox of which something may wait to be carried out; others come again.
const TOLD_MAX: usize = 4096;

/// What became of an entry.
#[derive(Debug, Clone)]
pub struct Told {
    /// Who says it: the number of a consumer.
    pub receiver: u64,
    /// What.
    pub how: Disposal,
}

impl Broker {
    /// A receiver that came back, or was detached and nobody has come back since, says what became of entries that it was handed
    /// before. What is forgotten is so on disk after the returned sequence.
    pub fn dispose_waiting(
        &self,
        worker: &mut Worker,
        now: Time,
        link: &Attachment,
        outcomes: &[(u64, Disposal)],
    ) -> Sequence {
        let mailbox = &link.mailbox;
        for (number, how) in outcomes {
            let mut state = mailbox.lock();
            if !state.may_end(link.number, *number) {
                continue;
            }
            let found = state.queue.binary_search_by_key(number, |queued| queued.number).ok();
            match found.and_then(|at| state.queue.remove(at)) {
                Some(queued) => {
                    mailbox.count(&queued, false);
                    state
                        .consuming
                        .change()
                        .held
                        .insert(*number, Held { queued, holder: link.number, is_claimed: false });
                    drop(state);
                    self.dispose(worker, now, link, &[*number], how, true);
                }
                None if !state.is_in_gap(*number) => {}
                // Its row in the log goes with the next start.
                None if matches!(how, Disposal::Accepted) => {
                    // A page that is on its way may have it.
                    if state.gap.as_ref().is_some_and(|gap| gap.is_asked) {
                        state.note(*number, Told { receiver: link.number, how: how.clone() }, 0);
                    }
                    drop(state);
                    self.store.submit([Change::QueuedGone(mailbox.id, *number)]);
                }
                None => {
                    state.note(*number, Told { receiver: link.number, how: how.clone() }, self.limits.notes_bytes_max)
                }
            }
        }
        let mut state = mailbox.lock();
        let is_told = state.gap.as_ref().is_some_and(|gap| !gap.told.is_empty());
        let range = if is_told { state.next_page(true) } else { None };
        drop(state);
        if let Some(range) = range {
            self.fetch_page(mailbox, range);
        }
        // What is not there any more may be on its way out of the store.
        if outcomes.is_empty() { 0 } else { self.store.submitted() }
    }

    /// Entries have come back of which something was said before.
    pub(super) fn carry_out_told(&self, worker: &mut Worker, now: Time, id: MailboxId) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        let told = mailbox.lock().consuming.changed().map(|consuming| std::mem::take(&mut consuming.told));
        for (number, Told { receiver, how }) in told.into_iter().flatten() {
            let link = Attachment { mailbox: mailbox.clone(), number: receiver };
            self.dispose(worker, now, &link, &[number], &how, true);
        }
        worker.flush(self, now);
    }
}

impl State {
    /// Keeps what was said of an entry that is in the store.
    fn note(&mut self, number: u64, mut told: Told, notes_bytes_max: usize) {
        let Some(gap) = &mut self.gap else { return };
        if gap.told.len() >= TOLD_MAX {
            return;
        }
        let size = |how: &Disposal| match how {
            Disposal::Modified { notes: Some(notes), .. } => notes.len(),
            _ => 0,
        };
        if let Disposal::Modified { notes, .. } = &mut told.how
            && let Some(more) = notes.as_ref().map(|notes| notes.len())
            && gap.told.values().map(|told| size(&told.how)).sum::<usize>() + more > notes_bytes_max
        {
            *notes = None;
        }
        gap.told.insert(number, told);
    }
}
