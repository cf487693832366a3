//! Who waits for room in whose mailbox, so that clients which wait for each other do not wait for ever: while a connection
//! waits it is not read, and hears nothing of what would make room in its own mailbox.

use super::mailbox::Mailbox;
use crate::store::Sequence;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Who waits for what.
#[derive(Default)]
pub struct Waits {
    /// Connections that wait, and for which mailbox. Bounded by the connections.
    mailboxes: Mutex<HashMap<u64, Weak<Mailbox>>>,
    /// What was on disk when somebody had waited for the disk in vain, plus one.
    in_vain: AtomicU64,
}

impl Waits {
    /// A connection is to wait for a mailbox. False: whose owner, over however many others, waits for this connection; then
    /// it does not wait.
    pub fn begin(&self, connection: u64, mailbox: &Arc<Mailbox>) -> bool {
        let mut waits = self.mailboxes.lock();
        let mut next = mailbox.clone();
        // Each step leads to another connection.
        for _ in 0..=waits.len() {
            let owner = next.lock().outlet.as_ref().and_then(|outlet| outlet.connection());
            let Some(owner) = owner else { break };
            if owner == connection {
                return false;
            }
            let Some(further) = waits.get(&owner).and_then(Weak::upgrade) else { break };
            next = further;
        }
        waits.insert(connection, Arc::downgrade(mailbox));
        true
    }

    /// Somebody has waited for the disk all the time that one waits.
    pub fn give_up_on_disk(&self, committed: Sequence) {
        self.in_vain.store(committed + 1, Ordering::Relaxed);
    }

    /// Whether nothing has come to the disk since that was so.
    pub fn is_disk_stuck(&self, committed: Sequence) -> bool {
        self.in_vain.load(Ordering::Relaxed) == committed + 1
    }

    /// It waits no more.
    pub fn end(&self, connection: u64) {
        self.mailboxes.lock().remove(&connection);
    }
}
