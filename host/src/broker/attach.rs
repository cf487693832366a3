//! A client comes, finds what it left behind or begins anew, and goes.

use super::mailbox::{Mailbox, Outlet};
use super::publish::Parked;
use super::route::Subscriber;
use super::worker::Worker;
use super::{Answer, Attachment, Broker};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Attach, Attached, Closed, Detach, Event};
use crate::message::{Refusal, RefusalKind, Time};
use crate::store::{Change, MailboxRecord};
use crate::wasm::{EventKinds, Happening};
use std::sync::Arc;

/// The hall's side of one connection. Belongs to the task that reads the connection.
pub struct Link {
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) client: Option<Arc<Client>>,
    pub(super) scope: Arc<Scope>,
    pub(super) attachment: Option<Attachment>,
    pub(super) parked: Option<Box<Parked>>,
}

impl Link {
    /// A connection that has not said anything yet.
    pub fn new(outlet: Arc<dyn Outlet>, scope: Arc<Scope>) -> Self {
        Self { outlet, client: None, scope, attachment: None, parked: None }
    }

    /// A connection, or a part of one, of a client that is in already.
    pub fn of(outlet: Arc<dyn Outlet>, client: Arc<Client>) -> Self {
        let scope = Arc::new(client.scope.clone());
        Self { outlet, client: Some(client), scope, attachment: None, parked: None }
    }

    /// Its mailbox, once it is attached.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref()
    }

    /// Whether a publication waits for room.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// The client, once it is attached.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.as_ref()
    }
}

/// What a connection found.
struct Claimed {
    attachment: Attachment,
    resumed: bool,
}

impl Broker {
    pub(super) fn attach(&self, worker: &mut Worker, link: &mut Link, now: Time, attach: Attach) -> Answer {
        if let Some(elsewhere) = self.elsewhere() {
            return Answer::Say(0, Event::Closed(Closed::Elsewhere(elsewhere)));
        }
        worker.refresh(self);
        let mut attach = attach;
        let proof = attach.proof.take();
        let mut client = attach.client.clone();
        let assigned = client.id.is_empty();
        if assigned {
            client.id = format!("pliant-{:032x}", rand::random::<u128>()).into();
        }
        worker.refresh_for(self, &client.id);
        let client = Arc::new(client);
        let will = match attach.will.as_ref().map(|will| self.register_will(worker, now, &client, will)).transpose() {
            Ok(will) => will.flatten(),
            Err(refusal) => return Answer::Say(0, Event::Refused(refusal)),
        };
        let expiry_seconds = attach.expiry_seconds.min(self.limits.expiry_seconds_max);
        let mut changes = Vec::new();
        let claimed = loop {
            match self.claim(worker, link, now, &attach, &client, expiry_seconds, &mut changes) {
                Ok(Some(claimed)) => break claimed,
                Ok(None) => {}
                Err(refusal) => return Answer::Say(0, Event::Refused(refusal)),
            }
        };
        let id = claimed.attachment.mailbox.id;
        if expiry_seconds > 0 {
            changes.push(Change::Mailbox(id, Box::new(record(&client, &attach, expiry_seconds))));
        }
        if let Some(will) = will {
            changes.push(self.put_will(id, &client, will, now));
        }
        let after = if changes.is_empty() { 0 } else { self.store.submit(changes) };
        link.scope = Arc::new(client.scope.clone());
        link.client = Some(client.clone());
        link.attachment = Some(claimed.attachment);
        self.metrics.clients.add(1);
        self.happened(EventKinds::CLIENTS, || Happening::Connected(client.clone()));
        self.metrics.clients_total.add(1);
        let resumed = claimed.resumed;
        Answer::Say(after, Event::Attached(Attached { client, resumed, assigned, expiry_seconds, proof }))
    }

    /// Takes the client's mailbox, or makes one; none: somebody else was faster, look again.
    #[expect(clippy::too_many_arguments, reason = "one step of `attach`, with all that it knows")]
    fn claim(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        attach: &Attach,
        client: &Arc<Client>,
        expiry_seconds: u32,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Claimed>, Refusal> {
        let old = self.directory.get(&client.id);
        if let Some(old) = &old {
            let owner = old.lock().client.scope.identity.clone();
            if owner != client.scope.identity {
                return Err(Refusal::new(RefusalKind::NotAuthorized, "the client id belongs to somebody else"));
            }
            if !attach.clean && old.is_durable() {
                return Ok(self.take_over(worker, link, now, attach, client, expiry_seconds, old));
            }
        } else if self.directory.len() >= self.limits.mailboxes_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more clients are taken"));
        }
        let id = self.directory.next_id();
        let mailbox = Arc::new(Mailbox::new(id, client.clone(), attach.per_subscription, expiry_seconds));
        let mut state = mailbox.lock();
        state.window_max = attach.window;
        // Before others can see the mailbox: whoever takes it over has to find this connection in it.
        mailbox.set_outlet(&mut state, Some(link.outlet.clone()));
        let number = state.attachment;
        drop(state);
        if !self.directory.replace(&client.id, old.as_ref(), mailbox.clone()) {
            return Ok(None);
        }
        self.metrics.mailboxes.add(1);
        if let Some(old) = old {
            self.leave(worker, now, &old, Departure::TakenOver, 0);
            self.end_mailbox(worker, now, &old, changes);
        }
        Ok(Some(Claimed { attachment: Attachment { mailbox, number }, resumed: false }))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `attach`, with all that it knows")]
    fn take_over(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        attach: &Attach,
        client: &Arc<Client>,
        expiry_seconds: u32,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Claimed> {
        self.leave(worker, now, mailbox, Departure::TakenOver, u32::MAX);
        self.cancel_will(mailbox.id);
        let mut state = mailbox.lock();
        if state.gone {
            return None;
        }
        if mailbox.per_subscription() != attach.per_subscription {
            mailbox.set_per_subscription(attach.per_subscription);
            self.subscriptions_changed();
        }
        mailbox.set_consumed(false);
        mailbox.set_origin(mailbox.id);
        mailbox.set_expiry(&mut state, expiry_seconds);
        state.client = client.clone();
        state.window_max = attach.window;
        state.window.restart();
        state.detached = None;
        // Another connection may have come between: the last one wins.
        if let Some(other) = mailbox.set_outlet(&mut state, Some(link.outlet.clone())) {
            self.metrics.clients.add(-1);
            other.close(Closed::TakenOver);
        }
        // What waits is sent at the end of this batch, behind the answer.
        state.touched = true;
        worker.touched.push(link.outlet.clone());
        let number = state.attachment;
        drop(state);
        // Names are relative to the listener and the protocol, which may be others now.
        self.subscriptions_changed();
        Some(Claimed { attachment: Attachment { mailbox: mailbox.clone(), number }, resumed: true })
    }

    /// The end of whatever connection a mailbox has: its will, its place.
    pub(super) fn leave(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        how: Departure,
        expiry_seconds: u32,
    ) {
        let mut state = mailbox.lock();
        if state.outlet.is_none() {
            return;
        }
        let outlet = mailbox.set_outlet(&mut state, None);
        mailbox.drop_at_most_once(&mut state);
        mailbox.dismiss(&mut state);
        let client = state.client.clone();
        let blocked = std::mem::take(&mut state.blocked);
        drop(state);
        if !mailbox.is_consumed() {
            self.metrics.clients.add(-1);
            self.happened(EventKinds::CLIENTS, || Happening::Disconnected(client, how));
        }
        if let Some(outlet) = outlet.filter(|_| how == Departure::TakenOver) {
            outlet.close(Closed::TakenOver);
        }
        blocked.into_iter().for_each(|outlet| outlet.wake());
        self.owner_left(worker, now, mailbox.id, how, expiry_seconds);
    }

    /// A connection is over. Does nothing if another one has taken its place.
    pub fn detach(&self, worker: &mut Worker, link: &mut Link, now: Time, detach: Detach) {
        worker.refresh(self);
        link.parked = None;
        let Some(Attachment { mailbox, number }) = link.attachment.take() else { return };
        let state = mailbox.lock();
        if state.attachment != number {
            return;
        }
        let wanted = detach.expiry_seconds.unwrap_or(state.expiry_seconds);
        let expiry_seconds = wanted.min(self.limits.expiry_seconds_max);
        drop(state);
        self.leave(worker, now, &mailbox, detach.departure, expiry_seconds);
        let mut changes = Vec::new();
        if expiry_seconds == 0 {
            self.end_mailbox(worker, now, &mailbox, &mut changes);
        } else {
            let mut state = mailbox.lock();
            mailbox.set_expiry(&mut state, expiry_seconds);
            state.detached = Some(now);
            let sent_to = state.window.iter().map(|flight| flight.queued.number).max().unwrap_or(0);
            let record = MailboxRecord {
                client: state.client.clone(),
                expiry_seconds,
                detached: Some(now),
                per_subscription: mailbox.per_subscription(),
                sent_to,
            };
            drop(state);
            changes.push(Change::Mailbox(mailbox.id, Box::new(record)));
            if expiry_seconds != u32::MAX {
                self.deadlines.mailbox(now.plus_seconds(expiry_seconds), mailbox.id);
            }
        }
        if !changes.is_empty() {
            self.store.submit(changes);
        }
    }

    /// A mailbox that nobody came back to in time.
    pub(super) fn expire_mailbox(&self, worker: &mut Worker, now: Time, id: u64) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        let state = mailbox.lock();
        let over = state.detached.is_some_and(|at| at.plus_seconds(state.expiry_seconds) <= now);
        if !over || state.expiry_seconds == u32::MAX || state.outlet.is_some() {
            return;
        }
        drop(state);
        let mut changes = Vec::new();
        self.end_mailbox(worker, now, &mailbox, &mut changes);
        self.metrics.mailboxes_expired_total.add(1);
        self.store.submit(changes);
    }

    /// Removes a mailbox with all that belongs to it.
    pub(super) fn end_mailbox(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        changes: &mut Vec<Change>,
    ) {
        let durable = mailbox.is_durable();
        let mut state = mailbox.lock();
        if state.gone {
            return;
        }
        state.gone = true;
        let subscriptions = std::mem::take(&mut state.subscriptions);
        let left_behind = mailbox.clear(&mut state);
        let client = state.client.clone();
        // A connection that took the mailbox over in this very moment has to come again.
        state.consumers.clear();
        if let Some(outlet) = mailbox.set_outlet(&mut state, None) {
            if !mailbox.is_consumed() {
                self.metrics.clients.add(-1);
            }
            outlet.close(Closed::TakenOver);
        }
        drop(state);
        self.directory.remove(&client.id, mailbox.id);
        self.metrics.mailboxes.add(-1);
        self.metrics.subscriptions.add(-(subscriptions.len() as i64));
        let subscriptions: Vec<_> = subscriptions.into_values().collect();
        for subscription in &subscriptions {
            let filter = &subscription.filter;
            let what = || Happening::Unsubscribed(client.clone(), filter.clone());
            self.happened(EventKinds::SUBSCRIPTIONS, what);
        }
        // In slices, so that publishers get their turn.
        for some in subscriptions.chunks(256) {
            let mut trie = self.trie.write();
            for subscription in some.iter().filter(|subscription| subscription.share.is_none()) {
                trie.remove(subscription.filter.as_str(), mailbox.id);
            }
        }
        for subscription in &subscriptions {
            if let Some(share) = &subscription.share {
                self.leave_group(share, &subscription.filter, mailbox.id);
            }
        }
        if !subscriptions.is_empty() {
            self.subscriptions_changed();
        }
        for queued in &left_behind {
            queued.forget(mailbox.id, changes);
        }
        if durable {
            changes.push(Change::MailboxGone(mailbox.id));
        }
        self.hand_on(worker, left_behind);
        self.fire_will(worker, now, mailbox.id);
    }

    /// What stands in the trie for a client's own subscription.
    pub(super) fn subscriber(mailbox: &Arc<Mailbox>, options: crate::dialogue::SubscribeOptions) -> Subscriber {
        Subscriber::Single(mailbox.clone(), options)
    }
}

fn record(client: &Arc<Client>, attach: &Attach, expiry_seconds: u32) -> MailboxRecord {
    MailboxRecord {
        client: client.clone(),
        expiry_seconds,
        detached: None,
        per_subscription: attach.per_subscription,
        sent_to: 0,
    }
}

/// The scope of a connection that has not said who it is.
pub fn nobody(listener: &str, protocol: Protocol) -> Scope {
    Scope { listener: listener.into(), protocol, identity: None }
}
