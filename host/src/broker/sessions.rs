//! Sessions and wills of clients that say in messages what others say on connecting: a mailbox is filled, listed and ended
//! without anybody being attached to it.

use super::attach::Link;
use super::link_names::OF_LINKS;
use super::mailbox::{Mailbox, Outlet};
use super::queued::Queued;
use super::staged::Staged;
use super::worker::Worker;
use super::{Broker, PublishBare, queues};
use crate::client::{Client, Departure};
use crate::dialogue::{Predicate, SubscribeFilter, WillRequest};
use crate::message::{Bare, Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::{Change, MailboxId, MailboxRecord, Sequence};
use crate::topic::{Filter, Topic};
use std::sync::Arc;

/// Topic of what services put into a mailbox themselves. A client may use it like any other.
const PRIVATE: &str = "$mqtt.private";
/// The publisher of that, as nobody else is: what services say has no form in other protocols, and is for whoever asked.
const SERVICES: u64 = u64::MAX;
/// Seconds for which a session that is to end with its receiver waits for the first one.
const FIRST_RECEIVER_SECONDS: u32 = 60;
/// Those of this broker's bridges begin like this.
pub const OF_BRIDGES: &str = "bridge/";
/// The listener that bridges are seen behind; no other is called so.
pub const BRIDGES: &str = "bridge";

/// Whether a mailbox of this owner, if it is consumed, is a client's session.
pub(super) fn is_session(client: &Client) -> bool {
    !queues::is_queue(client) && reserved(client).is_none() && &*client.scope.listener != BRIDGES
}

/// Why nobody may have a session of this name under this client's scope; none: it may.
fn reserved(client: &Client) -> Option<&'static str> {
    if client.id.starts_with(OF_LINKS) {
        return Some("ids that begin like this belong to receivers of AMQP");
    }
    let is_taken = client.id.starts_with(OF_BRIDGES) && &*client.scope.listener != BRIDGES;
    is_taken.then_some("ids that begin with bridge/ belong to bridges")
}

/// Looks whether a client may have a session under its name.
///
/// # Errors
/// It begins like those of others do.
pub fn may_be_called(client: &Client) -> Result<(), Refusal> {
    reserved(client).map_or(Ok(()), |why| Err(Refusal::new(RefusalKind::NotAuthorized, why)))
}

/// Whether a message was put into its mailbox by a service.
pub fn is_private(message: &Message) -> bool {
    message.publisher() == SERVICES
}

/// A session as its client may see it.
pub struct SessionInfo {
    /// What it is subscribed to, in the client's words.
    pub filters: Vec<(String, Guarantee)>,
    /// Whether something waits, or filters are there.
    pub is_empty: bool,
    /// What its receiver wants of what those match.
    pub condition: Option<Predicate>,
    /// What its receiver publishes itself is not for it.
    pub no_local: bool,
    /// Seconds for which it outlives its receiver; `u32::MAX`: for ever.
    pub expiry_seconds: u32,
    /// When it ends, if nobody comes.
    pub until: Option<Time>,
}

/// An entry that a receiver has had: its number and its message.
pub struct Held<'a> {
    /// As in the delivery.
    pub number: u64,
    /// What was delivered.
    pub message: &'a Message,
}

impl Broker {
    /// The mailbox of a client's session; none: it has none.
    ///
    /// # Errors
    /// The name is somebody else's.
    fn session_of(&self, worker: &mut Worker, client: &Client) -> Result<Option<Arc<Mailbox>>, Refusal> {
        self.may_claim(worker, client)?;
        Ok(self.directory.get(&client.id))
    }

    fn make_session(&self, worker: &mut Worker, now: Time, client: &Arc<Client>) -> Result<Arc<Mailbox>, Refusal> {
        loop {
            if let Some(mailbox) = self.session_of(worker, client)? {
                return Ok(mailbox);
            }
            if self.directory.len() >= self.limits.mailboxes_max {
                return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more clients are taken"));
            }
            self.may_keep_name(&client.id)?;
            self.may_keep_more()?;
            let seconds = self.limits.expiry_seconds_max;
            let mailbox = Arc::new(Mailbox::new(self.directory.next_id(), client.clone(), false, seconds));
            mailbox.set_consumed(true);
            mailbox.set_session(true);
            mailbox.lock().detached = Some(now);
            self.begin_numbers(&mailbox);
            if !self.directory.replace(&client.id, None, mailbox.clone()) {
                continue;
            }
            self.metrics.mailboxes.add(1);
            let mut staged = worker.stage();
            self.note_expiry(&mailbox, now, &mut staged);
            self.commit(worker, staged);
            return Ok(mailbox);
        }
    }

    /// Tells the store, and the clock, for how long a session without a receiver stays.
    fn note_expiry(&self, mailbox: &Arc<Mailbox>, now: Time, staged: &mut Staged) {
        let state = mailbox.lock();
        let detached = state.outlet.is_none().then_some(now);
        let expiry_seconds = state.expiry_seconds;
        let record = MailboxRecord {
            client: state.client.clone(),
            expiry_seconds,
            detached,
            per_subscription: mailbox.per_subscription(),
            knows_options: mailbox.knows_options(),
            sent_to: 0,
        };
        staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
        drop(state);
        if detached.is_some() && expiry_seconds != u32::MAX {
            let seconds = if expiry_seconds == 0 { FIRST_RECEIVER_SECONDS } else { expiry_seconds };
            self.deadlines.mailbox(now.plus_seconds(seconds), mailbox.id);
        }
    }

    /// A client's session; none: there is none.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session(&self, worker: &mut Worker, client: &Client) -> Result<Option<SessionInfo>, Refusal> {
        Ok(self.session_of(worker, client)?.map(|mailbox| {
            let state = mailbox.lock();
            let named = state.subscriptions.values().map(|subscription| {
                let name = subscription.said();
                let name = match &subscription.share {
                    Some(share) => format!("$share/{share}/{name}"),
                    None => name.to_owned(),
                };
                (name, subscription.options.guarantee)
            });
            let filters: Vec<_> = named.collect();
            let is_empty = filters.is_empty() && state.has_nothing() && state.consuming.held.is_empty();
            SessionInfo {
                filters,
                is_empty,
                condition: mailbox.predicate(),
                no_local: state.subscriptions.values().any(|subscription| subscription.options.no_local),
                expiry_seconds: state.stays(),
                until: state.ends(),
            }
        }))
    }

    /// For how many seconds a client's session stays when its receiver is gone; `u32::MAX`: for ever.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session_expires(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        seconds: u32,
    ) -> Result<Sequence, Refusal> {
        let Some(mailbox) = self.session_of(worker, client)? else { return Ok(0) };
        let mut state = mailbox.lock();
        let was_kept = mailbox.is_kept();
        mailbox.set_expiry(&mut state, seconds.min(self.limits.expiry_seconds_max));
        if !was_kept && mailbox.is_kept() {
            self.keep_subscriptions(&mailbox, &state, |_| true);
        }
        if state.outlet.is_none() {
            state.detached = Some(now);
        }
        drop(state);
        let mut staged = worker.stage();
        self.note_expiry(&mailbox, now, &mut staged);
        Ok(self.commit(worker, staged))
    }

    /// Adds filters to a client's session, made if there is none; what was granted for each, in order. `each`: those that may
    /// be; else all of them, or none if one is refused.
    ///
    /// # Errors
    /// It is somebody else's, or none can be made.
    pub fn session_subscribe(
        &self,
        worker: &mut Worker,
        now: Time,
        outlet: &Arc<dyn Outlet>,
        client: &Arc<Client>,
        filters: Vec<SubscribeFilter>,
        each: bool,
    ) -> Result<(Sequence, Vec<Result<Guarantee, Refusal>>), Refusal> {
        worker.refresh_for(self, &client.id);
        self.may_claim(worker, client)?;
        let link = Link::of(outlet.clone(), client.clone());
        let checked: Vec<Result<(), Refusal>> =
            filters.iter().map(|filter| self.may_subscribe(worker, &link, client, &filter.name)).collect();
        let refused = checked.iter().filter(|one| one.is_err()).count();
        if refused > 0 && (!each || refused == filters.len()) {
            let granted = filters.iter().zip(checked);
            return Ok((0, granted.map(|(filter, one)| one.map(|()| filter.options.guarantee)).collect()));
        }
        let mailbox = self.make_session(worker, now, client)?;
        let mut staged = worker.stage();
        let mut granted: Vec<Result<Guarantee, Refusal>> = Vec::new();
        let mut added: Vec<Box<str>> = Vec::new();
        for (filter, checked) in filters.into_iter().zip(checked) {
            let (name, share) = (filter.name.clone(), filter.share.clone());
            let is_new = self.find_subscription(&mailbox, &name, share.as_deref()).is_none();
            let subscribed =
                checked.and_then(|()| self.subscribe_one(worker, &link, now, &mailbox, filter, &mut staged));
            if is_new && subscribed.is_ok() {
                added.push(name);
            }
            granted.push(subscribed);
        }
        if !each && granted.iter().any(Result::is_err) {
            // A bound was reached on the way.
            let added: Vec<String> = added.into_iter().map(String::from).collect();
            self.drop_named(&mailbox, &added, &mut staged);
        }
        let after = self.commit(worker, staged);
        let mut state = mailbox.lock();
        if !state.touched && !state.has_nothing() {
            state.touched = true;
            worker.touched.extend(state.outlet.clone());
        }
        drop(state);
        Ok((after, granted))
    }

    /// The subscription of a session by the name that its client gave it, whatever topic mapping made of it.
    fn find_subscription(&self, mailbox: &Mailbox, name: &str, share: Option<&str>) -> Option<Filter> {
        mailbox.lock().subscriptions.values().find_map(|subscription| {
            (subscription.said() == name && subscription.share.as_deref() == share).then(|| subscription.filter.clone())
        })
    }

    fn drop_named(&self, mailbox: &Arc<Mailbox>, names: &[String], staged: &mut Staged) {
        for name in names {
            let (share, name) = split_share(name);
            let Some(filter) = self.find_subscription(mailbox, name, share) else { continue };
            if self.drop_subscription(mailbox, &filter, share) {
                staged.change(Change::FilterGone(mailbox.id, filter.as_str().into(), share.map(Into::into)));
            }
        }
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
        let Some(mailbox) = self.session_of(worker, client)? else { return Ok(0) };
        let mut staged = worker.stage();
        self.drop_named(&mailbox, filters, &mut staged);
        Ok(self.commit(worker, staged))
    }

    /// Ends a client's session. A receiver of this very connection (`origin`) goes on with an empty one.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn session_end(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        origin: u64,
    ) -> Result<Sequence, Refusal> {
        let Some(mailbox) = self.session_of(worker, client)? else { return Ok(0) };
        let mut staged = worker.stage();
        let state = mailbox.lock();
        let stays = state.gap.is_none()
            && !state.consuming.consumers.is_empty()
            && state.consuming.consumers.iter().all(|consumer| consumer.origin == origin);
        drop(state);
        if stays && mailbox.depth() <= super::reaper::SLICE {
            self.empty_session(&mailbox, &mut staged);
        } else {
            self.end_mailbox(worker, now, &mailbox, &mut staged);
        }
        Ok(self.commit(worker, staged))
    }

    fn empty_session(&self, mailbox: &Arc<Mailbox>, staged: &mut Staged) {
        let all: Vec<_> = {
            let state = mailbox.lock();
            let keys = state.subscriptions.values();
            keys.map(|subscription| (subscription.filter.clone(), subscription.share.clone())).collect()
        };
        for (filter, share) in all {
            if self.drop_subscription(mailbox, &filter, share.as_deref()) {
                staged.change(Change::FilterGone(mailbox.id, filter.as_str().into(), share));
            }
        }
        let mut state = mailbox.lock();
        for queued in mailbox.clear(&mut state) {
            queued.forget(mailbox.id, staged.changes());
        }
    }

    /// Puts a message of a service's own into the mailbox of this name, if it is there and the client's.
    pub fn hand(&self, worker: &mut Worker, client: &Client, name: &str, encoded: &[u8]) -> Sequence {
        let mut staged = worker.stage();
        self.hand_staged(worker, client, name, encoded, &mut staged);
        self.commit(worker, staged)
    }

    fn hand_staged(&self, worker: &mut Worker, client: &Client, name: &str, encoded: &[u8], staged: &mut Staged) {
        let Some(mailbox) = self.directory.get(name) else { return };
        if !mailbox.is_consumed() || mailbox.lock().client.scope.identity != client.scope.identity {
            return;
        }
        let Ok(topic) = Topic::new(PRIVATE, &self.limits.topic) else { return };
        let envelope = Envelope {
            topic,
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expires: None,
            properties: None,
            hops: 0,
        };
        let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 };
        let message = Message::bare(envelope, bare, SERVICES, encoded);
        let copy = Queued { guarantee: Guarantee::AtLeastOnce, ..Queued::new(message) };
        self.queue_one(worker, &mailbox, copy, staged);
    }

    /// A receiver has an exactly-once message for good: the one of its session's entries under way of which `is_it` holds is
    /// forgotten, and `encoded` takes its place, in one unit.
    ///
    /// # Errors
    /// The session is somebody else's.
    pub fn session_release(
        &self,
        worker: &mut Worker,
        client: &Client,
        is_it: &dyn Fn(Held<'_>) -> bool,
        encoded: &[u8],
    ) -> Result<Sequence, Refusal> {
        let Some(mailbox) = self.session_of(worker, client)? else { return Ok(0) };
        let mut staged = worker.stage();
        {
            let mut state = mailbox.lock();
            let test = |queued: &Queued| {
                let is_candidate = queued.guarantee == Guarantee::ExactlyOnce && !is_private(&queued.message);
                let message = queued.content().in_form(true).unwrap_or(&queued.message);
                is_candidate && is_it(Held { number: queued.number, message })
            };
            let held =
                state.consuming.held.values().filter(|held| test(&held.queued)).map(|held| held.queued.number).min();
            if let Some(held) = held.and_then(|number| state.take_held(number)) {
                held.queued.forget(mailbox.id, staged.changes());
            } else if let Some(at) = state.queue.iter().position(|queued| queued.duplicate && test(queued))
                && let Some(queued) = state.queue.remove(at)
            {
                mailbox.count(&queued, false);
                queued.forget(mailbox.id, staged.changes());
            }
        }
        self.hand_staged(worker, client, &client.id, encoded, &mut staged);
        Ok(self.commit(worker, staged))
    }

    /// Puts the properties of a publication, and its payload in words of other protocols, into a will that was asked for in it.
    /// Where no module translates it stays as it is.
    pub fn describe_will(&self, worker: &mut Worker, will: &mut WillRequest, publish: PublishBare<'_>) {
        let Ok(topic) = Topic::new(publish.name, &self.limits.topic) else { return };
        let envelope = Envelope {
            topic,
            guarantee: publish.guarantee,
            retain: publish.retain,
            expires: None,
            properties: None,
            hops: 0,
        };
        let message = Message::bare(envelope, publish.bare, 0, publish.encoded);
        if let Ok(shown) = self.shown(worker, &message) {
            will.properties.clone_from(&shown.envelope().properties);
            will.payload = shown.payload().into();
        }
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
        worker.refresh_for(self, &client.id);
        self.may_claim(worker, client)?;
        self.may_keep_will(will)?;
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
        self.owner_leaves(now, owner, how, u32::MAX);
        self.owner_left(worker, now, owner, &mut staged);
        self.commit(worker, staged);
    }
}

/// `$share/GROUP/FILTER` taken apart; anything else is a filter.
pub(super) fn split_share(name: &str) -> (Option<&str>, &str) {
    match name.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((group, filter)) if !group.is_empty() && !filter.is_empty() => (Some(group), filter),
        _ => (None, name),
    }
}
