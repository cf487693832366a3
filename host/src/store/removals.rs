//! Rows of the log and of queues that are to go, gathered into runs: a pass over the leaves that a run lies in costs a
//! fraction of a walk from the root for each row, and queues drain in order.

use super::change::MailboxId;
use super::tables::leading_number;

/// Numbers further apart than this are not one run: rows in between stay, and are looked at in vain.
const GAP_MAX: u64 = 16;

/// Ascending numbers under one prefix.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The mailbox whose entries they are; none: they are log ids.
    pub mailbox: Option<MailboxId>,
    numbers: Vec<u64>,
}

impl Run {
    /// Whether the run goes on with this number. If not it has to be removed first.
    pub fn takes(&self, mailbox: Option<MailboxId>, number: u64) -> bool {
        let Some(&last) = self.numbers.last() else { return true };
        self.mailbox == mailbox && number > last && number - last <= GAP_MAX
    }

    /// Adds a number that it takes.
    pub fn push(&mut self, mailbox: Option<MailboxId>, number: u64) {
        self.mailbox = mailbox;
        self.numbers.push(number);
    }

    /// Whether a row with this number might be removed by it.
    pub fn reaches(&self, mailbox: Option<MailboxId>, number: u64) -> bool {
        self.mailbox == mailbox && self.numbers.last().is_some_and(|last| number <= *last)
    }

    /// Takes all numbers out.
    pub fn take(&mut self) -> Self {
        Self { mailbox: self.mailbox, numbers: std::mem::take(&mut self.numbers) }
    }

    /// Its numbers.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// Whether the row under this key is one of them.
    pub fn has(&self, key: &[u8]) -> bool {
        let number = key.len().checked_sub(8).and_then(|at| leading_number(&key[at..]).ok());
        number.is_some_and(|number| self.numbers.binary_search(&number).is_ok())
    }
}
