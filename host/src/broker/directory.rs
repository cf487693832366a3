//! Mailboxes by client id and by their number.

use super::mailbox::Mailbox;
use crate::store::MailboxId;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// All mailboxes.
#[derive(Default)]
pub struct Directory {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    by_client: BTreeMap<Arc<str>, Arc<Mailbox>>,
    by_id: HashMap<MailboxId, Arc<Mailbox>>,
    last_id: MailboxId,
}

impl Directory {
    /// Numbers given from now on are greater than this.
    pub fn reserve(&self, last_id: MailboxId) {
        let mut inner = self.inner.write();
        inner.last_id = inner.last_id.max(last_id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.read().by_client.len()
    }

    /// A new number.
    pub fn next_id(&self) -> MailboxId {
        let mut inner = self.inner.write();
        inner.last_id += 1;
        inner.last_id
    }

    /// The mailbox of a client.
    pub fn get(&self, client: &str) -> Option<Arc<Mailbox>> {
        self.inner.read().by_client.get(client).cloned()
    }

    /// The mailbox of this number.
    pub fn by_id(&self, id: MailboxId) -> Option<Arc<Mailbox>> {
        self.inner.read().by_id.get(&id).cloned()
    }

    /// Puts a mailbox in place of what the client had, unless that is not `expected` any more: two connections of one
    /// client may come at the same moment, and one of them has to look again.
    pub fn replace(&self, client: &Arc<str>, expected: Option<&Arc<Mailbox>>, new: Arc<Mailbox>) -> bool {
        let mut inner = self.inner.write();
        let current = inner.by_client.get(client).map(|mailbox| mailbox.id);
        if current != expected.map(|mailbox| mailbox.id) {
            return false;
        }
        if let Some(old) = current {
            inner.by_id.remove(&old);
        }
        inner.by_id.insert(new.id, new.clone());
        inner.by_client.insert(client.clone(), new);
        true
    }

    /// Takes a mailbox out, if the client has no other by now.
    pub fn remove(&self, client: &str, id: MailboxId) {
        let mut inner = self.inner.write();
        inner.by_id.remove(&id);
        if inner.by_client.get(client).is_some_and(|mailbox| mailbox.id == id) {
            inner.by_client.remove(client);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Mailbox>> {
        self.inner.read().by_client.values().cloned().collect()
    }

    /// Copies waiting in all mailboxes, and their bytes. Holds the lock for a part of them at a time.
    pub fn waiting(&self) -> (u64, u64) {
        const AT_ONCE: usize = 4096;
        let (mut copies, mut bytes) = (0, 0);
        let mut after: Option<Arc<str>> = None;
        loop {
            let inner = self.inner.read();
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut seen = 0;
            let mut last = None;
            for (client, mailbox) in inner.by_client.range::<str, _>((from, Bound::Unbounded)).take(AT_ONCE) {
                copies += mailbox.depth() as u64;
                bytes += mailbox.size() as u64;
                seen += 1;
                last = Some(client);
            }
            if seen < AT_ONCE {
                return (copies, bytes);
            }
            let last = last.cloned();
            drop(inner);
            after = last;
        }
    }

    /// Up to `most` after a client id, in the order of client ids.
    pub fn page(&self, after: Option<&str>, most: usize) -> Vec<Arc<Mailbox>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.inner
            .read()
            .by_client
            .range::<str, _>((from, Bound::Unbounded))
            .take(most)
            .map(|(_, m)| m.clone())
            .collect()
    }
}
