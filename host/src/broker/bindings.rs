//! Who answers for a queue's binding: it brings in what that client may receive.

use super::worker::Worker;
use super::{Broker, subscribe};
use crate::client::Client;
use crate::message::Refusal;
use crate::store::{Change, Sequence};
use crate::topic::Filter;
use std::sync::Arc;

impl Broker {
    /// A client that may bind a filter of the broker's has found it bound: whoever did so may have lost its right, and from now on
    /// this one answers for it. On disk after the sequence.
    ///
    /// # Errors
    /// The address is not one.
    pub fn answer_for_binding(
        &self,
        worker: &mut Worker,
        client: &Arc<Client>,
        address: &str,
        filter: &str,
    ) -> Result<Sequence, Refusal> {
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &client.scope, address)?;
        let found = Filter::new(filter, &self.limits.topic).ok().zip(self.find_queue(&topic));
        let Some((filter, queue)) = found else { return Ok(0) };
        let mut state = queue.lock();
        let bound = state.subscriptions.get_mut(&subscribe::key(&filter, None));
        let bound = bound.filter(|bound| bound.binder.as_ref().is_some_and(|binder| !is_same(binder, client)));
        let Some(bound) = bound else { return Ok(0) };
        bound.binder = Some(client.clone());
        let change = Change::Filter(queue.id, Box::new(bound.clone()));
        // Under the lock, so that whoever comes next tells the store after us.
        let after = if queue.is_durable() { self.store.submit(vec![change]) } else { 0 };
        state.unclear();
        drop(state);
        self.changes.announce(filter.as_str());
        Ok(after)
    }
}

/// Whether rules cannot tell two clients apart, but by where they connect from.
fn is_same(one: &Client, other: &Client) -> bool {
    one.id == other.id && one.scope == other.scope
}
