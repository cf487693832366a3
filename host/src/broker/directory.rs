//! Mailboxes by their number, and by name: those of clients and those of queues apart, so that a client and a queue may have
//! the same one.

use super::mailbox::Mailbox;
use crate::store::MailboxId;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Whose a mailbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client's; it has the client's id.
    Client,
    /// Nobody's; it has the queue's address.
    Queue,
}

type Names = BTreeMap<Arc<str>, Arc<Mailbox>>;

/// All mailboxes.
#[derive(Default)]
pub struct Directory {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    clients: Names,
    queues: Names,
    by_id: HashMap<MailboxId, Arc<Mailbox>>,
    last_id: MailboxId,
}

impl Inner {
    fn names(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Client => &self.clients,
            Kind::Queue => &self.queues,
        }
    }

    fn names_mut(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Client => &mut self.clients,
            Kind::Queue => &mut self.queues,
        }
    }

    fn put(&mut self, kind: Kind, name: &Arc<str>, new: Arc<Mailbox>) {
        self.by_id.insert(new.id, new.clone());
        if let Some(old) = self.names_mut(kind).insert(name.clone(), new) {
            self.by_id.remove(&old.id);
        }
    }
}

impl Directory {
    /// Numbers given from now on are greater than this.
    pub fn reserve(&self, last_id: MailboxId) {
        let mut inner = self.inner.write();
        inner.last_id = inner.last_id.max(last_id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.read().by_id.len()
    }

    /// How many of them are queues.
    pub fn queues(&self) -> usize {
        self.inner.read().queues.len()
    }

    /// A new number.
    pub fn next_id(&self) -> MailboxId {
        let mut inner = self.inner.write();
        inner.last_id += 1;
        inner.last_id
    }

    /// The mailbox of a client.
    pub fn get(&self, client: &str) -> Option<Arc<Mailbox>> {
        self.inner.read().clients.get(client).cloned()
    }

    /// The queue of an address.
    pub fn queue(&self, address: &str) -> Option<Arc<Mailbox>> {
        self.inner.read().queues.get(address).cloned()
    }

    /// The mailbox of this number.
    pub fn by_id(&self, id: MailboxId) -> Option<Arc<Mailbox>> {
        self.inner.read().by_id.get(&id).cloned()
    }

    /// Puts a mailbox in place of what the client had, unless that is not `expected` any more: two connections of one
    /// client may come at the same moment, and one of them has to look again.
    pub fn replace(&self, client: &Arc<str>, expected: Option<&Arc<Mailbox>>, new: Arc<Mailbox>) -> bool {
        let mut inner = self.inner.write();
        let current = inner.clients.get(client).map(|mailbox| mailbox.id);
        if current != expected.map(|mailbox| mailbox.id) {
            return false;
        }
        inner.put(Kind::Client, client, new);
        true
    }

    /// Puts a queue under its address. Only who may make queues does so, when there is none.
    pub fn put_queue(&self, address: &Arc<str>, new: Arc<Mailbox>) {
        self.inner.write().put(Kind::Queue, address, new);
    }

    /// Takes a mailbox out, if another one does not have its name by now.
    pub fn remove(&self, kind: Kind, name: &str, id: MailboxId) {
        let mut inner = self.inner.write();
        inner.by_id.remove(&id);
        let names = inner.names_mut(kind);
        if names.get(name).is_some_and(|mailbox| mailbox.id == id) {
            names.remove(name);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Mailbox>> {
        let inner = self.inner.read();
        inner.clients.values().chain(inner.queues.values()).cloned().collect()
    }

    /// Copies waiting in all mailboxes, and their bytes. Holds the lock for a part of them at a time.
    pub fn waiting(&self) -> (u64, u64) {
        const AT_ONCE: usize = 4096;
        let (mut copies, mut bytes) = (0, 0);
        for kind in [Kind::Client, Kind::Queue] {
            let mut after: Option<Arc<str>> = None;
            loop {
                let inner = self.inner.read();
                let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut seen = 0;
                let mut last = None;
                for (name, mailbox) in inner.names(kind).range::<str, _>((from, Bound::Unbounded)).take(AT_ONCE) {
                    copies += mailbox.depth() as u64;
                    bytes += mailbox.size() as u64;
                    seen += 1;
                    last = Some(name);
                }
                if seen < AT_ONCE {
                    break;
                }
                let last = last.cloned();
                drop(inner);
                after = last;
            }
        }
        (copies, bytes)
    }

    /// The `count`th name after one, or the last one there is, and how many that are.
    pub fn skip(&self, kind: Kind, after: Option<&str>, count: usize) -> (Option<Arc<str>>, usize) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.inner.read();
        let names = inner.names(kind).range::<str, _>((from, Bound::Unbounded)).take(count);
        let (last, count) = names.fold((None, 0), |(_, count), (name, _)| (Some(name), count + 1));
        (last.cloned(), count)
    }

    /// Up to `most` after a name, in the order of names.
    pub fn page(&self, kind: Kind, after: Option<&str>, most: usize) -> Vec<Arc<Mailbox>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.inner.read();
        let names = inner.names(kind).range::<str, _>((from, Bound::Unbounded));
        names.take(most).map(|(_, mailbox)| mailbox.clone()).collect()
    }
}
