//! Which changes of a batch need not be written because later ones of the same batch undo them. Most durable messages
//! live shorter than a batch: for those nothing is written at all.
//!
//! A batch is one transaction, so what is left out cannot be missed by anybody: only the state at its end is ever
//! seen. Log ids and numbers of queue entries are given once; the row of one that begins and ends in the same batch is
//! therefore not on disk, and its removal is left out as well. Handles and topics come again, and so the last word
//! about one of them is always written.

use super::change::{Change, MailboxId};
use hashbrown::{HashMap, HashSet};

/// Keeps its tables from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    /// Log row or queue entry that goes in this batch, and the place of the change that says so.
    log_gone: HashMap<u64, usize>,
    queue_gone: HashMap<(MailboxId, u64), usize>,
    /// Publications about which the last word was met.
    seen: HashSet<(MailboxId, u16)>,
    skip: Vec<bool>,
}

impl Coalescer {
    /// For each change whether it can be left out.
    pub fn plan(&mut self, changes: &[Change]) -> &[bool] {
        self.log_gone.clear();
        self.queue_gone.clear();
        self.seen.clear();
        self.skip.clear();
        self.skip.resize(changes.len(), false);
        let mut topics: HashSet<&str> = HashSet::new();
        for (place, change) in changes.iter().enumerate().rev() {
            let skip = match change {
                Change::LoggedGone(id) => {
                    self.log_gone.insert(*id, place);
                    false
                }
                Change::Logged(id, _) => self.log_gone.get(id).is_some_and(|end| {
                    self.skip[*end] = true;
                    true
                }),
                Change::QueuedGone(mailbox, number) => {
                    self.queue_gone.insert((*mailbox, *number), place);
                    false
                }
                Change::QueuedHandle(mailbox, number, _)
                | Change::QueuedFailed(mailbox, number, ..)
                | Change::QueuedReceived(mailbox, number) => self.queue_gone.contains_key(&(*mailbox, *number)),
                Change::Queued(mailbox, entry) => self.queue_gone.get(&(*mailbox, entry.number)).is_some_and(|end| {
                    self.skip[*end] = true;
                    true
                }),
                Change::Seen(mailbox, handle) | Change::SeenGone(mailbox, handle) => {
                    !self.seen.insert((*mailbox, *handle))
                }
                Change::Retained(message, _) => !topics.insert(message.topic().as_str()),
                Change::RetainedGone(topic) => !topics.insert(topic),
                _ => false,
            };
            self.skip[place] = skip;
        }
        &self.skip
    }
}
