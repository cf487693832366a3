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
    table: Mutex<HashMap<Name, usize>>,
}

impl Broker {
    /// A client is in.
    pub fn comes(&self, client: &Arc<Client>) {
        let mut table = self.visits.table.lock();
        *table.entry(name(client)).or_default() += 1;
        self.metrics.clients.add(1);
        self.metrics.clients_total.add(1);
        // Under the lock, so that modules hear in this order of two connections of one client.
        self.happened(EventKinds::CLIENTS, || Happening::Connected(client.clone()));
    }

    /// One of its connections is gone.
    pub fn goes(&self, client: &Arc<Client>, how: Departure) {
        let mut table = self.visits.table.lock();
        let Entry::Occupied(mut there) = table.entry(name(client)) else { return };
        *there.get_mut() -= 1;
        let goes_on = *there.get() > 0;
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
