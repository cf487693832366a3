//! Names that links of AMQP clients claim: a link to the will service speaks for the client of its name. One at a time: who
//! comes later, by whatever protocol, takes the name over as MQTT has it (3.1.4), and somebody else does not get it.

use super::Broker;
use super::mailbox::Outlet;
use super::sessions::may_be_called;
use super::staged::Staged;
use super::worker::Worker;
use crate::client::Client;
use crate::dialogue::Closed;
use crate::message::{Refusal, RefusalKind, Time};
use crate::store::MailboxId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Claimed names. Bounded by the links and the wills that wait for their delay.
#[derive(Default)]
pub struct Claims {
    table: Mutex<HashMap<Arc<str>, Claim>>,
}

struct Claim {
    /// Under which the hall keeps the will.
    owner: MailboxId,
    client: Arc<Client>,
    /// The link; none: it is gone, and its will waits for its delay.
    outlet: Option<Arc<dyn Outlet>>,
    /// The connection of the link.
    origin: u64,
}

impl Claims {
    /// A will that waits has lost its link.
    pub fn restore(&self, owner: MailboxId, client: &Arc<Client>) {
        let claim = Claim { owner, client: client.clone(), outlet: None, origin: 0 };
        self.table.lock().insert(client.id.clone(), claim);
    }

    /// A will is over; its name is free, unless a link has it.
    pub fn will_over(&self, owner: MailboxId, client: &str) {
        let mut table = self.table.lock();
        if table.get(client).is_some_and(|claim| claim.owner == owner && claim.outlet.is_none()) {
            table.remove(client);
        }
    }

    fn refused(&self, client: &Client) -> bool {
        let table = self.table.lock();
        table.get(&client.id).is_some_and(|claim| claim.client.scope.identity != client.scope.identity)
    }

    /// Takes out what another connection than this one has under a name.
    fn oust(&self, client: &Client, origin: u64) -> Option<Claim> {
        let mut table = self.table.lock();
        table.get(&client.id).filter(|claim| claim.origin != origin)?;
        table.remove(&client.id)
    }
}

impl Broker {
    /// Whether a client may speak under its id: no session and no link of somebody else's has it.
    ///
    /// # Errors
    /// It may not.
    pub fn may_claim(&self, worker: &mut Worker, client: &Client) -> Result<(), Refusal> {
        worker.refresh_for(self, &client.id);
        if self.claims.refused(client) {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "the client id belongs to somebody else"));
        }
        self.directory.get(&client.id).map_or(Ok(()), |mailbox| self.may_take(worker, &mailbox, client))
    }

    /// A link speaks for a client's will from now on, under a number of its own ([`Broker::origin`]); `origin` is that of
    /// its connection. Whoever had the name is told to go.
    ///
    /// # Errors
    /// The name is somebody else's.
    pub fn claim_will(
        &self,
        worker: &mut Worker,
        now: Time,
        owner: MailboxId,
        client: &Arc<Client>,
        outlet: Arc<dyn Outlet>,
        origin: u64,
    ) -> Result<(), Refusal> {
        may_be_called(client)?;
        self.may_claim(worker, client)?;
        let claim = Claim { owner, client: client.clone(), outlet: Some(outlet), origin };
        let old = self.claims.table.lock().insert(client.id.clone(), claim);
        self.take_over_from(worker, now, old);
        // A connection of MQTT goes by itself, with its will and its session's time.
        let session = self.directory.get(&client.id).filter(|mailbox| !mailbox.is_consumed());
        if let Some(outlet) = session.and_then(|mailbox| mailbox.lock().outlet.clone()) {
            outlet.close(Closed::TakenOver);
        }
        Ok(())
    }

    /// The link is gone. While its will waits for its delay, its name is known; if the client is back already, by another
    /// link or another protocol, nothing waits any more.
    pub fn unclaim_will(&self, worker: &mut Worker, owner: MailboxId, client: &Client) {
        let mut table = self.claims.table.lock();
        let Some(claim) = table.get_mut(&client.id).filter(|claim| claim.owner == owner) else {
            drop(table);
            self.clear_will(worker, owner);
            return;
        };
        claim.outlet = None;
        claim.origin = 0;
        if !self.wills.is_kept(owner) {
            table.remove(&client.id);
        }
    }

    /// The client is here, by a connection of this number: links of others in its name go, and a will that waits for its
    /// delay is forgotten.
    ///
    /// # Errors
    /// The name is somebody else's, or that of a receiving link of AMQP: those speak for themselves only.
    pub(super) fn comes_as(&self, worker: &mut Worker, now: Time, client: &Client, origin: u64) -> Result<(), Refusal> {
        may_be_called(client)?;
        if self.claims.table.lock().is_empty() {
            return Ok(());
        }
        if self.claims.refused(client) {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "the client id belongs to somebody else"));
        }
        let old = self.claims.oust(client, origin);
        self.take_over_from(worker, now, old);
        Ok(())
    }

    fn take_over_from(&self, worker: &mut Worker, now: Time, old: Option<Claim>) {
        match old {
            None => {}
            // Its connection publishes its will, unless it was cleared.
            Some(Claim { outlet: Some(outlet), .. }) => outlet.close(Closed::TakenOver),
            Some(Claim { owner, .. }) => {
                let mut staged: Staged = worker.stage();
                self.owner_is_back(worker, now, owner, &mut staged);
                self.commit(worker, staged);
            }
        }
    }
}
