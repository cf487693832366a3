//! A share among whose members are sessions that are kept keeps what is acknowledged, whomever of them it goes to. One that ends
//! with its connection stands in the store from the first such message on: where the process dies before it has settled, the others
//! get that (MQTT 5.0, 4.8.2).

use super::Broker;
use super::mailbox::{Mailbox, State};
use crate::dialogue::Subscription;
use crate::store::{Change, MailboxRecord};

impl Broker {
    /// Has a mailbox be kept as any other from now on, though its client's session does not outlive the connection; false: nobody is
    /// there any more.
    #[cold]
    pub(super) fn lend(&self, mailbox: &Mailbox) -> bool {
        let state = mailbox.lock();
        if state.gone || state.outlet.is_none() || mailbox.is_durable() {
            return mailbox.is_durable();
        }
        // The others are found by what it shares with them.
        self.keep_subscriptions(mailbox, &state, |subscription| subscription.share.is_some());
        mailbox.keep_on_disk();
        true
    }

    /// Tells the store of a mailbox that it has not heard of, with these of its subscriptions. Under its lock: whoever finds that it is
    /// kept tells the store after this.
    pub(super) fn keep_subscriptions(&self, mailbox: &Mailbox, state: &State, which: impl Fn(&Subscription) -> bool) {
        let record = MailboxRecord {
            client: state.client.clone(),
            expiry_seconds: state.expiry_seconds,
            detached: None,
            per_subscription: mailbox.per_subscription(),
            knows_options: mailbox.knows_options(),
            sent_to: state.under_way_count().max(state.window_max.into()),
        };
        let chosen = state.subscriptions.values().filter(|subscription| which(subscription));
        let filters = chosen.map(|subscription| Change::Filter(mailbox.id, Box::new(subscription.clone())));
        let first = std::iter::once(Change::Mailbox(mailbox.id, Box::new(record)));
        self.store.submit(first.chain(filters).chain(mailbox.keep_condition()).collect::<Vec<_>>());
    }
}
