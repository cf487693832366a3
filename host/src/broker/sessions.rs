//! Sessions and wills of clients that say in messages what others say on connecting: a mailbox is filled, listed and ended
//! without anybody being attached to it.

use super::Broker;
use super::attach::Link;
use super::mailbox::{Mailbox, Outlet};
use super::worker::Worker;
use crate::client::{Client, Departure};
use crate::dialogue::{SubscribeFilter, WillRequest};
use crate::message::{Guarantee, Refusal, RefusalKind, Time};
use crate::store::{Change, MailboxId, MailboxRecord, Sequence};
use crate::topic::Filter;
use std::sync::Arc;

impl Broker {
    /// The mailbox of a client's session; none: it has none.
    ///
    /// # Errors
    /// It is somebody else's.
    fn session_of(&self, client: &Client) -> Result<Option<Arc<Mailbox>>, Refusal> {
        let Some(mailbox) = self.directory.get(&client.id) else { return Ok(None) };
        if mailbox.lock().client.scope.identity != client.scope.identity {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "the client id belongs to somebody else"));
        }
        Ok(Some(mailbox))
    }

    fn make_session(&self, worker: &mut Worker, now: Time, client: &Arc<Client>) -> Result<Arc<Mailbox>, Refusal> {
        loop {
            if let Some(mailbox) = self.session_of(client)? {
                return Ok(mailbox);
            }
            if self.directory.len() >= self.limits.mailboxes_max {
                return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more clients are taken"));
            }
            let mailbox = Arc::new(Mailbox::new(self.directory.next_id(), client.clone(), false, u32::MAX));
            mailbox.set_consumed(true);
            if !self.directory.replace(&client.id, None, mailbox.clone()) {
                continue;
            }
            self.metrics.mailboxes.add(1);
            let record = MailboxRecord {
                client: client.clone(),
                expiry_seconds: u32::MAX,
                detached: Some(now),
                per_subscription: false,
                sent_to: 0,
            };
            let mut staged = worker.stage();
            staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
            self.commit(worker, staged);
            return Ok(mailbox);
        }
    }

    /// What a client's session is subscribed to, in the client's words; none: there is no session.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session_filters(&self, client: &Client) -> Result<Option<Vec<(String, Guarantee)>>, Refusal> {
        Ok(self.session_of(client)?.map(|mailbox| {
            let state = mailbox.lock();
            let named = state.subscriptions.values().map(|subscription| {
                let name = subscription.name.as_deref().unwrap_or(subscription.filter.as_str());
                (name.to_owned(), subscription.options.guarantee)
            });
            named.collect()
        }))
    }

    /// Adds filters to a client's session, made if there is none. All of them, or none if one is refused.
    ///
    /// # Errors
    /// Why one was refused.
    pub fn session_subscribe(
        &self,
        worker: &mut Worker,
        now: Time,
        outlet: &Arc<dyn Outlet>,
        client: &Arc<Client>,
        filters: Vec<SubscribeFilter>,
    ) -> Result<Sequence, Refusal> {
        worker.refresh(self);
        let mailbox = self.make_session(worker, now, client)?;
        let link = Link::of(outlet.clone(), client.clone());
        let mut staged = worker.stage();
        let mut added = Vec::new();
        for filter in filters {
            let name = filter.name.clone();
            if let Err(refusal) = self.subscribe_one(worker, &link, now, &mailbox, filter, &mut staged) {
                self.commit(worker, staged);
                self.session_unsubscribe(worker, client, &added)?;
                return Err(refusal);
            }
            added.push(name.into_string());
        }
        Ok(self.commit(worker, staged))
    }

    /// Removes filters from a client's session.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session_unsubscribe(
        &self,
        worker: &mut Worker,
        client: &Client,
        filters: &[String],
    ) -> Result<Sequence, Refusal> {
        let Some(mailbox) = self.session_of(client)? else { return Ok(0) };
        let mut staged = worker.stage();
        for name in filters {
            // As the client said it, whatever topic mapping made of it.
            let found = mailbox.lock().subscriptions.values().find_map(|subscription| {
                let said = subscription.name.as_deref().unwrap_or(subscription.filter.as_str());
                (said == name).then(|| subscription.filter.clone())
            });
            let Some(filter): Option<Filter> = found else { continue };
            if self.drop_subscription(&mailbox, &filter, None) {
                staged.change(Change::FilterGone(mailbox.id, filter.as_str().into(), None));
            }
        }
        self.subscriptions_changed();
        Ok(self.commit(worker, staged))
    }

    /// Ends a client's session.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session_end(&self, worker: &mut Worker, now: Time, client: &Client) -> Result<Sequence, Refusal> {
        let Some(mailbox) = self.session_of(client)? else { return Ok(0) };
        let mut staged = worker.stage();
        self.end_mailbox(worker, now, &mailbox, &mut staged);
        Ok(self.commit(worker, staged))
    }

    /// Keeps a will under a number of the broker's ([`Broker::origin`]), in place of an older one.
    ///
    /// # Errors
    /// Its topic is refused, or a session of that name is somebody else's.
    pub fn leave_will(
        &self,
        worker: &mut Worker,
        now: Time,
        owner: MailboxId,
        client: &Arc<Client>,
        will: &WillRequest,
    ) -> Result<Sequence, Refusal> {
        worker.refresh(self);
        self.session_of(client)?;
        let will = self.register_will(worker, now, client, will)?;
        let mut staged = worker.stage();
        match will {
            Some(will) => self.put_will(&mut staged, owner, client, will, now),
            None => self.cancel_will(owner, &mut staged),
        }
        Ok(self.commit(worker, staged))
    }

    /// Forgets that will.
    pub fn clear_will(&self, worker: &mut Worker, owner: MailboxId) -> Sequence {
        let mut staged = worker.stage();
        self.cancel_will(owner, &mut staged);
        self.commit(worker, staged)
    }

    /// Publishes that will, if it is there still.
    pub fn will_is_due(&self, worker: &mut Worker, now: Time, owner: MailboxId, how: Departure) {
        worker.refresh(self);
        let mut staged = worker.stage();
        self.owner_left(worker, now, owner, how, u32::MAX, &mut staged);
        self.commit(worker, staged);
    }
}
