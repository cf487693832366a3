//! Queues: mailboxes of nobody, each filled by the topic of its address and by what is bound to it, and consumed by whoever
//! comes. They are durable, but for temporary ones, which end with the link that made them.

use super::access::denied;
use super::attach::Link;
use super::directory::Kind;
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
use std::collections::HashSet;
use std::sync::Arc;

/// Owns all queues. No client has this name: it cannot be said in any protocol's credentials.
const OWNER: &str = "\0queue";

/// Whether a mailbox with this owner is a queue.
pub(super) fn is_queue(client: &Client) -> bool {
    client.scope.identity.as_deref() == Some(OWNER)
}

/// Names that begin like this are addresses of queues.
const ADDRESSES: &str = "/queues/";

/// Addresses of temporary queues begin like this, and go on with 32 digits.
const TEMPORARY: &str = "/temporary/queues/";

/// Whether a name is the address of a queue by itself.
pub fn is_address_of_queue(name: &str) -> bool {
    name.strip_prefix(ADDRESSES).is_some_and(|name| !name.is_empty())
        || (name.starts_with(TEMPORARY) && is_temporary(name))
}

/// Whether the topic of a queue is that of one that goes with the link that made it; a module may have put something before the
/// address.
fn is_temporary(topic: &str) -> bool {
    topic.rfind(TEMPORARY).is_some_and(|at| {
        let own = &topic[at + TEMPORARY.len()..];
        own.len() == 32 && own.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A new address for a temporary queue: nobody can guess it.
pub fn address_of_temporary_queue() -> String {
    format!("{TEMPORARY}{:032x}", rand::random::<u128>())
}

fn is_gone() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "there is no such temporary queue: it goes with the link that made it")
}

/// How many of them are looked at in one go.
const PAGE: usize = 256;

/// How many are passed over while nobody makes or ends one.
const SKIPPED_AT_ONCE: usize = 4096;

/// What came of a change.
#[derive(Debug)]
pub struct Changed {
    /// When it is on disk.
    pub after: Sequence,
    /// What was done.
    pub how: How,
    /// The queue as it is now.
    pub info: QueueInfo,
}

/// What was done to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was not there.
    Made,
    /// It was kept in another way.
    Changed,
    /// All was so already.
    NotAtAll,
}

/// A queue as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its address in the broker's words.
    pub address: Arc<str>,
    /// How it is kept.
    pub record: Arc<QueueRecord>,
    /// Entries that wait.
    pub waiting: usize,
    /// Entries that consumers have.
    pub held: usize,
    /// Its consumers.
    pub consumers: usize,
}

/// A queue that goes with the link that it was made for.
pub struct Temporary(Arc<Mailbox>);

fn owner(address: &str) -> Client {
    let scope = Scope { listener: "".into(), protocol: Protocol::Amqp, identity: Some(OWNER.into()) }.into();
    Client { id: address.into(), container: None, scope, peer: "".into() }
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
    /// The queue of a topic, made if it is not there; and when that is on disk. A temporary one only [`Self::make_temporary`]
    /// makes.
    pub(super) fn queue(&self, now: Time, topic: &Topic) -> Result<(Arc<Mailbox>, Sequence), Refusal> {
        let _only = self.queues.lock();
        match self.find_queue(topic) {
            Some(queue) => Ok((queue, 0)),
            None if is_temporary(topic.as_str()) => Err(is_gone()),
            None => self.make_queue(now, topic, QueueRecord::default(), None),
        }
    }

    /// Makes the temporary queue of a new address. Whoever has it made ends it.
    ///
    /// # Errors
    /// A bound is reached.
    pub fn make_temporary(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        address: &str,
    ) -> Result<Temporary, Refusal> {
        worker.refresh_for(self, link.client.as_ref().map_or("", |client| &client.id));
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &link.scope, address)?;
        let _only = self.queues.lock();
        self.make_queue(now, &topic, QueueRecord::default(), None).map(|(mailbox, _)| Temporary(mailbox))
    }

    /// The link of a temporary queue has gone, and so does the queue.
    pub fn end_temporary(&self, worker: &mut Worker, now: Time, Temporary(mailbox): &Temporary) {
        let _only = self.queues.lock();
        if !mailbox.lock().gone {
            self.end_queue(worker, now, mailbox);
        }
    }

    /// Whether a client may send to an address; with `is_queue` it is one of a queue, which is made if it is not there.
    ///
    /// # Errors
    /// The client may not publish there, a bound is reached, or the address is not one.
    pub fn may_send_to(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        address: &str,
        is_queue: bool,
    ) -> Result<(), Refusal> {
        let client = link.client.as_ref().ok_or_else(denied)?;
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &link.scope, address)?;
        self.may_publish(worker, client, &mut link.permits, &topic)?;
        if is_queue { self.queue(now, &topic).map(drop) } else { Ok(()) }
    }

    /// Whatever is published to the address of a queue makes the queue. The route that holds then.
    #[inline(always)]
    pub(super) fn queue_on_first_use(
        &self,
        worker: &mut Worker,
        now: Time,
        route: Arc<Route>,
    ) -> Result<Arc<Route>, Refusal> {
        if route.is_queue { self.way_to_queue(worker, now, route) } else { Ok(route) }
    }

    /// The way of a queue's topic, made with its queue if that is not there. One that was worked out while somebody else made
    /// the queue does not lead there: what is sent by it would be accepted, and lost.
    pub(super) fn way_to_queue(
        &self,
        worker: &mut Worker,
        now: Time,
        route: Arc<Route>,
    ) -> Result<Arc<Route>, Refusal> {
        if self.find_queue(&route.topic).is_some_and(|queue| route.leads_to(&queue)) {
            return Ok(route);
        }
        self.queue(now, &route.topic)?;
        Ok(self.route_of(worker, &route.topic))
    }

    pub(super) fn find_queue(&self, topic: &Topic) -> Option<Arc<Mailbox>> {
        self.directory.queue(topic.as_str())
    }

    /// Makes a queue that is not there. Nobody else makes one meanwhile.
    fn make_queue(
        &self,
        now: Time,
        topic: &Topic,
        record: QueueRecord,
        binder: Option<&Arc<Client>>,
    ) -> Result<(Arc<Mailbox>, Sequence), Refusal> {
        self.may_keep_address(topic.as_str())?;
        if self.directory.len() >= self.limits.mailboxes_max || self.directory.queues() >= self.limits.queues_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more queues are made"));
        }
        let expiry_seconds = if is_temporary(topic.as_str()) { 0 } else { u32::MAX };
        if expiry_seconds > 0 {
            self.may_keep_more()?;
        }
        let id = self.directory.next_id();
        let client = Arc::new(owner(topic.as_str()));
        let mailbox = Arc::new(Mailbox::new(id, client.clone(), false, expiry_seconds));
        mailbox.set_consumed(true);
        if expiry_seconds == 0 {
            mailbox.keep_in_memory();
        }
        self.begin_numbers(&mailbox);
        self.directory.put_queue(&client.id, mailbox.clone());
        self.metrics.mailboxes.add(1);
        let kept = MailboxRecord {
            client,
            expiry_seconds,
            detached: Some(now),
            per_subscription: false,
            knows_options: true,
            sent_to: 0,
        };
        // Its own address is bound like others, and stands in no record.
        let mut filters = vec![topic.as_str().into()];
        filters.extend(record.bindings.iter().cloned());
        let after = self.keep_as(&mailbox, vec![Change::Mailbox(id, Box::new(kept))], record, (filters, binder), &[]);
        Ok((mailbox, after))
    }

    /// Puts settings in force, with filters that are bound from now on and such as are not any more. The store hears of them
    /// before a message can come by them.
    fn keep_as(
        &self,
        mailbox: &Arc<Mailbox>,
        mut changes: Vec<Change>,
        record: QueueRecord,
        (bound, binder): (Vec<Box<str>>, Option<&Arc<Client>>),
        unbound: &[Box<str>],
    ) -> Sequence {
        let filters = |names: &[Box<str>]| -> Vec<Filter> {
            names.iter().filter_map(|name| Filter::new(name, &self.limits.topic).ok()).collect()
        };
        changes.push(Change::Queue(mailbox.id, Box::new(record.clone())));
        let own = mailbox.lock().client.id.clone();
        let subscription = |filter: Filter| {
            let binder = binder.filter(|_| filter.as_str() != &*own).cloned();
            Subscription { filter, name: None, share: None, options: OPTIONS, binder }
        };
        let bound: Vec<Subscription> = filters(&bound).into_iter().map(subscription).collect();
        changes.extend(bound.iter().map(|one| Change::Filter(mailbox.id, Box::new(one.clone()))));
        changes.extend(unbound.iter().map(|name| Change::FilterGone(mailbox.id, name.clone(), None)));
        set_up(mailbox, Arc::new(record));
        let after = if mailbox.is_durable() { self.store.submit(changes) } else { 0 };
        for filter in filters(unbound) {
            self.drop_subscription(mailbox, &filter, None);
        }
        for subscription in bound {
            self.metrics.subscriptions.add(1);
            self.put_subscription(mailbox, subscribe::key(&subscription.filter, None), subscription);
        }
        after
    }

    /// What a queue's settings say, or else the hall's bounds.
    pub(super) fn failures_max(&self, state: &State) -> u32 {
        if !is_queue(&state.client) {
            return 0;
        }
        let own = state.consuming.kept_as.as_ref().and_then(|record| record.failures_max);
        own.unwrap_or(self.limits.queue_failures_max)
    }

    /// Makes a queue, or changes how one is kept: `change` makes of what holds (none: it is not there) what is to hold.
    /// Nobody else changes a queue meanwhile.
    ///
    /// # Errors
    /// Those of `change`; a bound is reached, or a name is not one.
    pub fn change_queue<E: From<Refusal>>(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Arc<Client>,
        address: &str,
        change: impl FnOnce(Option<&QueueRecord>) -> Result<QueueRecord, E>,
    ) -> Result<Changed, E> {
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &client.scope, address)?;
        let _only = self.queues.lock();
        let found = self.find_queue(&topic);
        let before = found.as_ref().and_then(|queue| queue.lock().consuming.kept_as.clone());
        let mut record = change(before.as_deref())?;
        // What is sent to its own address it gets as long as it is there.
        record.bindings.retain(|filter| **filter != *topic.as_str());
        self.check_settings(&topic, &record)?;
        let without = |all: &[Box<str>], others: &[Box<str>]| -> Vec<Box<str>> {
            let others: HashSet<&str> = others.iter().map(|filter| &**filter).collect();
            all.iter().filter(|filter| !others.contains(&***filter)).cloned().collect()
        };
        let bound = without(&record.bindings, before.as_ref().map_or(&[], |before| &before.bindings));
        self.may_bind(&bound)?;
        let Some(mailbox) = found else {
            if is_temporary(topic.as_str()) {
                return Err(is_gone().into());
            }
            let (mailbox, after) = self.make_queue(now, &topic, record, Some(client))?;
            return Ok(Changed { after, how: How::Made, info: info(&mailbox) });
        };
        let before = before.unwrap_or_default();
        if record == *before {
            // Whoever had it so may still wait for the disk.
            return Ok(Changed { after: self.store.submitted(), how: How::NotAtAll, info: info(&mailbox) });
        }
        let unbound = without(&before.bindings, &record.bindings);
        if !bound.is_empty() {
            self.may_keep_more()?;
        }
        let after = self.keep_as(&mailbox, Vec::new(), record, (bound, Some(client)), &unbound);
        Ok(Changed { after, how: How::Changed, info: info(&mailbox) })
    }

    /// Looks whether there is room for filters that are to be bound.
    fn may_bind(&self, filters: &[Box<str>]) -> Result<(), Refusal> {
        filters.iter().try_for_each(|filter| self.may_keep_address(filter))?;
        self.may_add_levels(filters.iter().map(|filter| crate::topic::levels(filter).count()).sum())
    }

    fn check_settings(&self, own: &Topic, record: &QueueRecord) -> Result<(), Refusal> {
        let invalid = |why: String| Refusal::new(RefusalKind::TopicInvalid, why);
        for filter in &record.bindings {
            Filter::new(filter, &self.limits.topic).map_err(|error| invalid(error.to_string()))?;
        }
        if record.bindings.len() > self.limits.bindings_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "too many filters are bound to one queue"));
        }
        match record.dead_letters.as_deref() {
            None | Some("") => Ok(()),
            Some(name) if *name == *own.as_str() => {
                Err(invalid("the dead letters of a queue cannot go to itself: name another address".to_owned()))
            }
            Some(name) => {
                self.may_keep_address(name)?;
                let topic = Topic::new(name, &self.limits.topic);
                topic.map(drop).map_err(|error| invalid(format!("dead letters have no such address: {error}")))
            }
        }
    }

    /// Removes a queue with all that waits in it; none: there is none. Its consumers are told.
    pub fn delete_queue(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        address: &str,
    ) -> Result<Option<Sequence>, Refusal> {
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &client.scope, address)?;
        let _only = self.queues.lock();
        let Some(mailbox) = self.find_queue(&topic) else { return Ok(None) };
        Ok(Some(self.end_queue(worker, now, &mailbox)))
    }

    fn end_queue(&self, worker: &mut Worker, now: Time, mailbox: &Arc<Mailbox>) -> Sequence {
        let outlet = mailbox.lock().outlet.clone();
        if let Some(outlet) = outlet {
            outlet.close(Closed::Deleted);
        }
        let mut staged = worker.stage();
        self.end_mailbox(worker, now, mailbox, &mut staged);
        self.commit(worker, staged)
    }

    /// Whether a client may see to queues and bindings.
    ///
    /// # Errors
    /// It may not.
    pub fn may_manage(&self, worker: &mut Worker, client: &Client) -> Result<(), Refusal> {
        worker.refresh_for(self, &client.id);
        self.check(worker, client, Action::Publish, "$management")
    }

    /// A filter in a client's words that is bound to a queue, or is to be, in the broker's words.
    ///
    /// # Errors
    /// It is none.
    pub fn bound_filter(&self, worker: &mut Worker, client: &Client, name: &str) -> Result<String, Refusal> {
        worker.refresh_for(self, &client.id);
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        if name.starts_with("$share/") {
            return Err(Refusal::new(RefusalKind::TopicInvalid, "a queue takes no part in a share"));
        }
        let filter = Filter::new(name, &self.limits.topic).map_err(invalid)?;
        let chain = worker.chain.clone();
        let mapped = chain.subscribe_filter(&mut worker.guests, &client.scope, name)?;
        Ok(mapped.unwrap_or_else(|| filter.as_str().to_owned()))
    }

    /// The same, where it is to be bound.
    ///
    /// # Errors
    /// As [`Broker::bound_filter`], or the client may not subscribe to it.
    pub fn filter_to_bind(&self, worker: &mut Worker, client: &Client, name: &str) -> Result<String, Refusal> {
        let filter = self.bound_filter(worker, client, name)?;
        self.check(worker, client, Action::Subscribe, &filter)?;
        Ok(filter)
    }

    /// An address in a client's words that the dead letters of a queue are to go to, in the broker's words.
    ///
    /// # Errors
    /// It is none, or the client may not publish there.
    pub fn dead_letters_to_set(&self, worker: &mut Worker, client: &Client, name: &str) -> Result<Topic, Refusal> {
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &client.scope, name)?;
        self.check(worker, client, Action::Publish, topic.as_str())?;
        Ok(topic)
    }

    /// A queue as others see it.
    pub fn queue_info(
        &self,
        worker: &mut Worker,
        client: &Client,
        address: &str,
    ) -> Result<Option<QueueInfo>, Refusal> {
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &client.scope, address)?;
        Ok(self.find_queue(&topic).map(|mailbox| info(&mailbox)))
    }

    /// Gives up what has expired at the front of a queue, and everywhere in one that is full then, so that what nobody fetches
    /// keeps nobody out.
    pub(super) fn drop_expired(&self, mailbox: &Arc<Mailbox>, now: Time) {
        let tell = self.modules.wants_events(EventKinds::LOST);
        let mut drained = Drained::default();
        mailbox.drop_expired(now, tell, &mut drained);
        if mailbox.is_full(&self.limits) {
            mailbox.drop_all_expired(now, tell, &mut drained);
        }
        self.drained(mailbox, drained, true);
    }

    /// Up to `limit` queues after an address, in the order of addresses.
    pub fn queues_after(&self, after: Option<&str>, limit: usize) -> Vec<QueueInfo> {
        self.directory.page(Kind::Queue, after, limit).iter().map(|queue| info(queue)).collect()
    }

    /// All queues behind the first `skipped`, in the order of their addresses, a page at a time: others may come and go meanwhile.
    pub fn queues(&self, skipped: usize) -> impl Iterator<Item = QueueInfo> {
        let mut last: Option<Arc<str>> = None;
        let mut left = skipped;
        while left > 0 {
            let (name, count) = self.directory.skip(Kind::Queue, last.as_deref(), left.min(SKIPPED_AT_ONCE));
            if count == 0 {
                break;
            }
            (last, left) = (name, left - count);
        }
        let page = move || {
            let page = self.directory.page(Kind::Queue, last.as_deref(), PAGE);
            last = page.last().map(|queue| queue.lock().client.id.clone());
            last.is_some().then_some(page)
        };
        std::iter::from_fn(page).flatten().map(|queue| info(&queue))
    }
}

fn info(mailbox: &Mailbox) -> QueueInfo {
    let state = mailbox.lock();
    QueueInfo {
        address: state.client.id.clone(),
        record: state.consuming.kept_as.clone().unwrap_or_default(),
        waiting: mailbox.depth(),
        held: state.consuming.held.len(),
        consumers: state.consuming.consumers.len(),
    }
}

/// Puts settings in force.
pub(super) fn set_up(mailbox: &Mailbox, record: Arc<QueueRecord>) {
    let bound = |bound: Option<u64>| bound.map_or(usize::MAX, |bound| usize::try_from(bound).unwrap_or(usize::MAX));
    mailbox.set_bounds(bound(record.messages_max), bound(record.bytes_max));
    mailbox.set_message_expiry(record.expiry_milliseconds);
    mailbox.lock().consuming.change().kept_as = Some(record);
}
