//! Clients whose connection is not that of a mailbox: by how many connections each is there. Modules are told of each.

use super::Broker;
use crate::client::{Client, Departure};
use crate::wasm::{EventKinds, Happening};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;
use std::sync::Arc;

/// An id, and whose it is.
type Name = (Arc<str>, Option<Arc<str>>);

/// Who is there. Bounded by the connections.
#[derive(Default)]
pub struct Visits {
    table: Mutex<HashMap<Name, Visit>>,
}

#[derive(Default)]
struct Visit {
    connections: usize,
    /// The one that wants no other beside it that wants the same.
    sole: Option<Arc<Client>>,
}

impl Broker {
    /// A client is in; false: it is not, as it wants to be the sole connection of its name, and one is there that wants that.
    pub fn comes(&self, client: &Arc<Client>, sole: bool) -> bool {
        let mut table = self.visits.table.lock();
        let visit = table.entry(name(client)).or_default();
        if sole && visit.sole.is_some() {
            return false;
        }
        visit.connections += 1;
        if sole {
            visit.sole = Some(client.clone());
        }
        self.metrics.clients.add(1);
        self.metrics.clients_total.add(1);
        // Under the lock, so that modules hear in this order of two connections of one client.
        self.happened(EventKinds::CLIENTS, || Happening::Connected(client.clone()));
        true
    }

    /// One of its connections is gone.
    pub fn goes(&self, client: &Arc<Client>, how: Departure) {
        let mut table = self.visits.table.lock();
        let Entry::Occupied(mut there) = table.entry(name(client)) else { return };
        let visit = there.get_mut();
        visit.connections -= 1;
        visit.sole.take_if(|sole| Arc::ptr_eq(sole, client));
        let goes_on = visit.connections > 0;
        if !goes_on {
            there.remove();
        }
        self.metrics.clients.add(-1);
        // Whoever keeps a list of who is there may not strike out a client that has another connection.
        let how = if goes_on { Departure::TakenOver } else { how };
        self.happened(EventKinds::CLIENTS, || Happening::Disconnected(client.clone(), how));
    }
}

fn name(client: &Client) -> Name {
    (client.id.clone(), client.scope.identity.clone())
}
