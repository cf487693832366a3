//! Who waits for the disk: connections with an answer, and mailboxes with an entry, that may leave after a commit.

use super::mailbox::Outlet;
use crate::store::Sequence;
use parking_lot::Mutex;
use std::sync::Arc;

/// The waiting list. Bounded by the connections: each stands in it at most twice, for its answers and for its mailbox.
#[derive(Default)]
pub struct Receipts {
    waiting: Mutex<Vec<(Sequence, Arc<dyn Outlet>)>>,
}

impl Receipts {
    /// Wakes `outlet` once so much is on disk.
    pub fn watch(&self, after: Sequence, outlet: Arc<dyn Outlet>) {
        self.waiting.lock().push((after, outlet));
    }

    /// So much is on disk now.
    pub fn committed(&self, sequence: Sequence) {
        let due: Vec<_> = self.waiting.lock().extract_if(.., |(after, _)| *after <= sequence).collect();
        for (_, outlet) in due {
            outlet.wake();
        }
    }
}
