//! Who waits for room in whose mailbox, so that clients which wait for each other do not wait for ever: while a connection
//! waits it is not read, and hears nothing of what would make room in its own mailbox.

use super::mailbox::Mailbox;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Connections that wait, and for which mailbox. Bounded by the connections.
#[derive(Default)]
pub struct Waits(Mutex<HashMap<u64, Weak<Mailbox>>>);

impl Waits {
    /// A connection is to wait for a mailbox. False: whose owner, over however many others, waits for this connection; then
    /// it does not wait.
    pub fn begin(&self, connection: u64, mailbox: &Arc<Mailbox>) -> bool {
        let mut waits = self.0.lock();
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

    /// It waits no more.
    pub fn end(&self, connection: u64) {
        self.0.lock().remove(&connection);
    }
}
