//! Queues: durable mailboxes of nobody, each filled by the topic of its address and by what is bound to it, and consumed by
//! whoever comes.

use super::access::denied;
use super::attach::Link;
use super::handout::Drained;
use super::mailbox::{Mailbox, State};
use super::route::Route;
use super::worker::Worker;
use super::{Broker, subscribe};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Closed, RetainHandling, SubscribeOptions, Subscription};
use crate::message::{Guarantee, Refusal, RefusalKind, Time};
use crate::store::{Change, MailboxRecord, QueueRecord, Sequence};
use crate::topic::{Filter, Topic};
use crate::wasm::{Action, EventKinds};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Owns all queues. No client has this name: it cannot be said in any protocol's credentials.
const OWNER: &str = "\0queue";

/// Whether a mailbox with this owner is a queue.
pub(super) fn is_queue(client: &Client) -> bool {
    client.scope.identity.as_deref() == Some(OWNER)
}

/// Names that begin like this are addresses of queues.
const ADDRESSES: &str = "/queues/";

/// Whether a name is the address of a queue by itself.
pub fn is_address_of_queue(name: &str) -> bool {
    name.strip_prefix(ADDRESSES).is_some_and(|name| !name.is_empty())
}

/// A queue as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its address in the broker's words.
    pub address: Arc<str>,
    /// How it is kept.
    pub record: QueueRecord,
    /// Entries that wait.
    pub waiting: usize,
    /// Entries that consumers have.
    pub held: usize,
    /// Its consumers.
    pub consumers: usize,
}

fn owner(address: &str) -> Client {
    let scope = Scope { listener: "".into(), protocol: Protocol::Amqp, identity: Some(OWNER.into()) };
    Client { id: address.into(), scope, peer: "".into() }
}

/// What a queue wants of its topics: everything, once.
const OPTIONS: SubscribeOptions = SubscribeOptions {
    guarantee: Guarantee::ExactlyOnce,
    no_local: false,
    retain_as_published: true,
    retain_handling: RetainHandling::Never,
    identifier: None,
};

impl Broker {
    /// The queue of a topic, made if it is not there; and when that is on disk.
    pub(super) fn queue(&self, now: Time, topic: &Topic) -> Result<(Arc<Mailbox>, Sequence), Refusal> {
        match self.find_queue(topic)? {
            Some(queue) => Ok((queue, 0)),
            None => self.make_queue(now, topic, QueueRecord::default()),
        }
    }

    /// Makes the queue of an address for a client that wants to send to it, if it is not there.
    ///
    /// # Errors
    /// The client may not publish there, a bound is reached, or the address is not one.
    pub fn queue_to_send_to(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        address: &str,
    ) -> Result<(), Refusal> {
        let client = link.client.as_ref().ok_or_else(denied)?;
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &link.scope, address)?;
        self.may_publish(worker, client, &mut link.permits, &topic)?;
        match self.find_queue(&topic)? {
            Some(_) => Ok(()),
            None => self.make_queue(now, &topic, QueueRecord::default()).map(drop),
        }
    }

    /// Whoever publishes to an address of a queue makes the queue. The route that holds then.
    #[inline(always)]
    pub(super) fn queue_on_first_use(
        &self,
        worker: &mut Worker,
        now: Time,
        name: &str,
        route: Arc<Route>,
    ) -> Result<Arc<Route>, Refusal> {
        if is_address_of_queue(name) { self.with_queue(worker, now, route) } else { Ok(route) }
    }

    fn with_queue(&self, worker: &mut Worker, now: Time, route: Arc<Route>) -> Result<Arc<Route>, Refusal> {
        if self.find_queue(&route.topic)?.is_some() {
            return Ok(route);
        }
        self.make_queue(now, &route.topic, QueueRecord::default())?;
        Ok(self.route_of(worker, &route.topic))
    }

    pub(super) fn find_queue(&self, topic: &Topic) -> Result<Option<Arc<Mailbox>>, Refusal> {
        let Some(mailbox) = self.directory.get(topic.as_str()) else { return Ok(None) };
        if !self.is_queue(&mailbox) {
            return Err(Refusal::new(RefusalKind::NotAuthorized, "a client has this name"));
        }
        Ok(Some(mailbox))
    }

    /// Makes a queue, unless somebody else was faster.
    pub(super) fn make_queue(
        &self,
        now: Time,
        topic: &Topic,
        record: QueueRecord,
    ) -> Result<(Arc<Mailbox>, Sequence), Refusal> {
        let queues = self.queue_count.load(Ordering::Relaxed);
        if self.directory.len() >= self.limits.mailboxes_max || queues >= self.limits.queues_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more queues are made"));
        }
        if record.bindings.len() > self.limits.bindings_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "too many filters are bound to one queue"));
        }
        let id = self.directory.next_id();
        let client = Arc::new(owner(topic.as_str()));
        let mailbox = Arc::new(Mailbox::new(id, client.clone(), false, u32::MAX));
        mailbox.set_consumed(true);
        self.begin_numbers(&mailbox);
        set_up(&mailbox, &record);
        if !self.directory.replace(&client.id, None, mailbox.clone()) {
            return match self.find_queue(topic)? {
                Some(queue) => Ok((queue, self.store.submitted())),
                None => Err(Refusal::new(RefusalKind::Unavailable, "the queue goes at this moment")),
            };
        }
        self.metrics.mailboxes.add(1);
        self.queue_count.fetch_add(1, Ordering::Relaxed);
        let kept = MailboxRecord {
            client,
            expiry_seconds: u32::MAX,
            detached: Some(now),
            per_subscription: false,
            sent_to: 0,
        };
        let mut changes = vec![Change::Mailbox(id, Box::new(kept)), Change::Queue(id, Box::new(record.clone()))];
        for filter in std::iter::once(topic.as_str()).chain(record.bindings.iter().map(|filter| &**filter)) {
            self.bind(&mailbox, filter, &mut changes)?;
        }
        self.subscriptions_changed();
        Ok((mailbox, self.store.submit(changes)))
    }

    fn bind(&self, mailbox: &Arc<Mailbox>, filter: &str, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        let filter = Filter::new(filter, &self.limits.topic).map_err(invalid)?;
        let key = subscribe::key(&filter, None);
        let subscription = Subscription { filter, name: None, share: None, options: OPTIONS };
        changes.push(Change::Filter(mailbox.id, Box::new(subscription.clone())));
        if !mailbox.lock().subscriptions.contains_key(&key) {
            self.metrics.subscriptions.add(1);
        }
        self.put_subscription(mailbox, key, subscription);
        Ok(())
    }

    /// What a queue's settings say, or else the hall's bounds.
    pub(super) fn failures_max(&self, _mailbox: &Mailbox, state: &State) -> u32 {
        if !is_queue(&state.client) {
            return 0;
        }
        let own = state.kept_as.as_ref().and_then(|record| record.failures_max);
        own.unwrap_or(self.limits.queue_failures_max)
    }

    /// Makes a queue with settings of its own, or changes those of one that is there.
    ///
    /// # Errors
    /// A bound is reached or a name is not one.
    pub fn declare_queue(
        &self,
        worker: &mut Worker,
        now: Time,
        scope: &Scope,
        address: &str,
        mut record: QueueRecord,
    ) -> Result<(Sequence, bool), Refusal> {
        worker.refresh(self);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, scope, address)?;
        // What is sent to its own address it gets as long as it is there.
        record.bindings.retain(|filter| **filter != *topic.as_str());
        for filter in record.bindings.iter().map(|filter| &**filter) {
            Filter::new(filter, &self.limits.topic)
                .map_err(|error| Refusal::new(RefusalKind::TopicInvalid, error.to_string()))?;
        }
        let Some(mailbox) = self.find_queue(&topic)? else {
            let (_, after) = self.make_queue(now, &topic, record)?;
            return Ok((after, true));
        };
        if record.bindings.len() > self.limits.bindings_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "too many filters are bound to one queue"));
        }
        let mut changes = vec![Change::Queue(mailbox.id, Box::new(record.clone()))];
        let before = mailbox.lock().kept_as.as_deref().map_or_else(Vec::new, |record| record.bindings.clone());
        for filter in before.iter().filter(|filter| !record.bindings.contains(filter) && ***filter != *topic.as_str()) {
            if let Ok(filter) = Filter::new(filter, &self.limits.topic)
                && self.drop_subscription(&mailbox, &filter, None)
            {
                changes.push(Change::FilterGone(mailbox.id, filter.as_str().into(), None));
            }
        }
        for filter in record.bindings.iter().filter(|filter| !before.contains(filter)) {
            self.bind(&mailbox, filter, &mut changes)?;
        }
        set_up(&mailbox, &record);
        self.subscriptions_changed();
        Ok((self.store.submit(changes), false))
    }

    /// Removes a queue with all that waits in it; none: there is none. Its consumers are told.
    pub fn delete_queue(
        &self,
        worker: &mut Worker,
        now: Time,
        scope: &Scope,
        address: &str,
    ) -> Result<Option<Sequence>, Refusal> {
        worker.refresh(self);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, scope, address)?;
        let Some(mailbox) = self.find_queue(&topic)? else { return Ok(None) };
        let outlet = mailbox.lock().outlet.clone();
        if let Some(outlet) = outlet {
            outlet.close(Closed::ByOperator);
        }
        let mut staged = worker.stage();
        self.end_mailbox(worker, now, &mailbox, &mut staged);
        Ok(Some(self.commit(worker, staged)))
    }

    /// Whether a client may see to queues and bindings.
    ///
    /// # Errors
    /// It may not.
    pub fn may_manage(&self, worker: &mut Worker, client: &Client) -> Result<(), Refusal> {
        worker.refresh_for(self, &client.id);
        self.check(worker, client, Action::Publish, "$management")
    }

    /// A filter in a client's words that it wants to bind to a queue, in the broker's words.
    ///
    /// # Errors
    /// It is none, or the client may not subscribe to it.
    pub fn filter_to_bind(&self, worker: &mut Worker, client: &Client, name: &str) -> Result<String, Refusal> {
        worker.refresh_for(self, &client.id);
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        if name.starts_with("$share/") {
            return Err(Refusal::new(RefusalKind::TopicInvalid, "a queue takes no part in a share"));
        }
        let filter = Filter::new(name, &self.limits.topic).map_err(invalid)?;
        let chain = worker.chain.clone();
        let mapped = chain.subscribe_filter(&mut worker.guests, &client.scope, name)?;
        let filter = mapped.unwrap_or_else(|| filter.as_str().to_owned());
        self.check(worker, client, Action::Subscribe, &filter)?;
        Ok(filter)
    }

    /// A queue as others see it.
    pub fn queue_info(&self, worker: &mut Worker, scope: &Scope, address: &str) -> Result<Option<QueueInfo>, Refusal> {
        worker.refresh(self);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, scope, address)?;
        Ok(self.find_queue(&topic)?.map(|mailbox| info(&mailbox)))
    }

    /// Gives up what has expired at the front of a queue that is full, so that what nobody fetches keeps nobody out.
    pub(super) fn drop_expired(&self, mailbox: &Arc<Mailbox>, now: Time) {
        let mut drained = Drained::default();
        mailbox.drop_expired(now, self.modules.wants_events(EventKinds::LOST), &mut drained);
        self.drained(mailbox, drained, true);
    }

    /// Up to `most` queues.
    pub fn queues(&self, most: usize) -> Vec<QueueInfo> {
        let all = self.directory.all();
        all.iter().filter(|mailbox| self.is_queue(mailbox)).take(most).map(|mailbox| info(mailbox)).collect()
    }
}

fn info(mailbox: &Mailbox) -> QueueInfo {
    let state = mailbox.lock();
    QueueInfo {
        address: state.client.id.clone(),
        record: state.kept_as.as_deref().cloned().unwrap_or_default(),
        waiting: mailbox.depth(),
        held: state.held.len(),
        consumers: state.consumers.len(),
    }
}

/// Puts settings in force.
pub(super) fn set_up(mailbox: &Mailbox, record: &QueueRecord) {
    let bound = |bound: Option<u64>| bound.map_or(usize::MAX, |bound| usize::try_from(bound).unwrap_or(usize::MAX));
    mailbox.set_bounds(bound(record.messages_max), bound(record.bytes_max));
    mailbox.set_message_expiry(record.expiry_milliseconds);
    mailbox.lock().kept_as = Some(Box::new(record.clone()));
}
