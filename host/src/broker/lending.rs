//! A share among whose members are sessions that are kept keeps what is acknowledged, whomever of them it goes to. One that ends
//! with its connection stands in the store from the first such message on: where the process dies before it has settled, the others
//! get that (MQTT 5.0, 4.8.2).

use super::Broker;
use super::mailbox::Mailbox;
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
        let record = MailboxRecord {
            client: state.client.clone(),
            expiry_seconds: 0,
            detached: None,
            per_subscription: mailbox.per_subscription(),
            knows_options: mailbox.knows_options(),
            sent_to: state.under_way_count().max(state.window_max.into()),
        };
        // The others are found by what it shares with them.
        let shared = state.subscriptions.values().filter(|subscription| subscription.share.is_some());
        let filters = shared.map(|subscription| Change::Filter(mailbox.id, Box::new(subscription.clone())));
        let changes: Vec<Change> =
            std::iter::once(Change::Mailbox(mailbox.id, Box::new(record))).chain(filters).collect();
        // Under the lock: whoever finds that it is kept tells the store after this.
        self.store.submit(changes);
        mailbox.keep_on_disk();
        true
    }
}
