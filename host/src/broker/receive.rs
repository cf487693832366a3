//! Receivers that consume a mailbox come and go: on a subscription, or on a queue.

use super::attach::{Leaving, Link};
use super::consumers::{Aftermath, Consumer, Patience, Take};
use super::consuming::Consuming;
use super::mailbox::{Mailbox, Outlet};
use super::queued::Queued;
use super::staged::Staged;
use super::worker::Worker;
use super::{Attachment, Broker, queues};
use crate::client::{Client, Departure};
use crate::dialogue::{Closed, Consignment, Disposal, Predicate, SubscribeFilter, Subscription};
use crate::message::{Guarantee, Refusal, RefusalKind, Time};
use crate::store::{Change, MailboxRecord, Sequence};
use crate::wasm::Action;
use std::sync::Arc;

/// A receiver that wants to consume.
pub struct Receive {
    /// Who, under the name of the mailbox if that is one of its own.
    pub client: Client,
    /// Publications under this number come from the same connection.
    pub origin: u64,
    /// Of what.
    pub source: Source,
    /// What it wants of it; none: everything, or what a mailbox that was kept takes.
    pub predicate: Option<Predicate>,
}

/// What a receiver consumes.
pub enum Source {
    /// Its own mailbox, which its filters fill.
    Subscription {
        /// What it subscribes to when it comes. None: its filters come from elsewhere.
        filter: Option<SubscribeFilter>,
        /// Seconds for which the mailbox outlives the receiver; `u32::MAX`: for ever; 0: not at all.
        expiry_seconds: u32,
        /// Begin with nothing.
        clean: bool,
        /// Others may receive of it at the same time: each message goes to one of them.
        shared: bool,
    },
    /// Its own mailbox as it was left: with its filters, its condition and its time.
    Kept {
        /// As of a subscription.
        shared: bool,
    },
    /// A client's session, whichever protocol it was made by; its filters come from elsewhere.
    Session,
    /// A queue, made on first use.
    Queue {
        /// Its address, which is the topic that fills it.
        address: Box<str>,
        /// Copies only, nothing is taken away.
        browses: bool,
        /// The name of its link, the same whenever it comes back; empty: it never does.
        link: Box<str>,
    },
}

/// What a receiver wants of a mailbox of its own.
struct Own {
    filter: Option<SubscribeFilter>,
    /// None: as it is, and for ever if it is new.
    expiry_seconds: Option<u32>,
    clean: bool,
    shared: bool,
    /// It has to be there, and stays as it is.
    is_kept: bool,
}

/// A receiver is there.
pub struct Received {
    /// Its hold on the mailbox.
    pub link: Link,
    /// The mailbox was there before.
    pub resumed: bool,
    /// What is durable about it is on disk after that.
    pub after: Sequence,
}

/// How a receiver goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// For good: a mailbox of its own goes with it.
    Closed,
    /// A mailbox of its own stays for so many seconds.
    Kept(u32),
    /// As before, and what it held counts as a failed attempt: it did not say goodbye.
    Lost(u32),
    /// A session stays for as long as it was told to.
    Session,
    /// A mailbox of its own stays until [`Broker::let_go`], and for so many seconds from then on.
    Held(u32),
}

impl Broker {
    /// Lets a receiver in.
    ///
    /// # Errors
    /// A bound is reached, the address is not one, or the mailbox is somebody else's.
    pub fn receive(
        &self,
        worker: &mut Worker,
        now: Time,
        outlet: Arc<dyn Outlet>,
        receive: Receive,
    ) -> Result<Received, Refusal> {
        let Receive { client, origin, source, predicate } = receive;
        worker.refresh_for(self, &client.id);
        let client = Arc::new(client);
        match source {
            Source::Queue { address, browses, link: name } => {
                let who = client.clone();
                let mut link = Link::of(outlet.clone(), client);
                let chain = worker.chain.clone();
                let topic = self.mapped(&chain, &mut worker.guests, &link.scope, &address)?;
                self.check(worker, &who, Action::Subscribe, topic.as_str())?;
                let (mailbox, after) = self.queue(now, &topic)?;
                let number = self.consumer_numbers.next();
                let client = who;
                let consumer = Consumer { browses, predicate, ..Consumer::new(number, client, name, outlet, origin) };
                self.start(worker, &mailbox, consumer)?;
                link.attachment = Some(Attachment { mailbox, number });
                Ok(Received { link, resumed: true, after })
            }
            Source::Session => {
                self.comes_as(worker, now, &client, origin)?;
                let own = Own { filter: None, expiry_seconds: None, clean: false, shared: false, is_kept: false };
                let received = self.receive_own(worker, now, outlet, (client, origin, predicate), own)?;
                if let Some(attachment) = &received.link.attachment {
                    attachment.mailbox.set_session(true);
                }
                Ok(received)
            }
            Source::Subscription { filter, expiry_seconds, clean, shared } => {
                let own = Own { filter, expiry_seconds: Some(expiry_seconds), clean, shared, is_kept: false };
                self.receive_own(worker, now, outlet, (client, origin, predicate), own)
            }
            Source::Kept { shared } => {
                let own = Own { filter: None, expiry_seconds: None, clean: false, shared, is_kept: true };
                self.receive_own(worker, now, outlet, (client, origin, None), own)
            }
        }
    }

    /// A receiver with a mailbox of its own.
    fn receive_own(
        &self,
        worker: &mut Worker,
        now: Time,
        outlet: Arc<dyn Outlet>,
        (client, origin, predicate): (Arc<Client>, u64, Option<Predicate>),
        own: Own,
    ) -> Result<Received, Refusal> {
        let found = self.shared_mailbox(worker, &client, &own, predicate.as_ref())?;
        let is_joined = found.is_some();
        if let Some(shared) = &found {
            self.may_join(worker, shared, &client)?;
        }
        let (mailbox, resumed) = loop {
            if let Some(found) = found {
                break (found, true);
            }
            if let Some(found) = self.own_mailbox(worker, now, &client, &own)? {
                break found;
            }
        };
        mailbox.set_origin(origin);
        if !is_joined && !own.is_kept {
            mailbox.set_predicate(predicate, resumed);
        }
        let mut link = Link::of(outlet.clone(), client.clone());
        let number = self.consumer_numbers.next();
        link.attachment = Some(Attachment { mailbox: mailbox.clone(), number });
        self.start(worker, &mailbox, Consumer::new(number, client, Box::default(), outlet, origin))?;
        if is_joined && worker.chain.wants_access() {
            // What waits, and the ways that are known, were asked about for the others only.
            let mut state = mailbox.lock();
            state.unclear();
            self.receiver_changed(&state);
        }
        let mut staged = worker.stage();
        if mailbox.is_durable() {
            // Who joins others does not become the owner.
            let state = mailbox.lock();
            staged.change(Change::Mailbox(mailbox.id, Box::new(record(&state.client, state.expiry_seconds, None))));
            drop(state);
            if !own.is_kept {
                staged.changes().extend(mailbox.keep_condition());
            }
        }
        if let Some(filter) = &own.filter {
            self.drop_others(&mailbox, &filter.name, &mut staged);
        }
        if let Some(filter) = own.filter
            && let Err(refusal) = self.subscribe_one(worker, &link, now, &mailbox, filter, &mut staged)
        {
            self.commit(worker, staged);
            self.part(worker, now, &link, Parting::Closed);
            return Err(refusal);
        }
        let after = self.commit(worker, staged);
        Ok(Received { link, resumed, after })
    }

    /// The mailbox of a shared subscription that others receive of just now.
    ///
    /// # Errors
    /// What they subscribed to is something else, or it is somebody else's.
    fn shared_mailbox(
        &self,
        worker: &mut Worker,
        client: &Client,
        own: &Own,
        predicate: Option<&Predicate>,
    ) -> Result<Option<Arc<Mailbox>>, Refusal> {
        let Some(mailbox) = self.directory.get(&client.id).filter(|_| own.shared) else { return Ok(None) };
        let state = mailbox.lock();
        if state.consuming.consumers.is_empty() || state.gone {
            return Ok(None);
        }
        drop(state);
        self.may_take(worker, &mailbox, client)?;
        let state = mailbox.lock();
        let same = own
            .filter
            .as_ref()
            .is_none_or(|filter| state.subscriptions.values().any(|own| own.said() == &*filter.name));
        drop(state);
        let words = |predicate: &Predicate| predicate.words.clone();
        let same = same && (own.is_kept || mailbox.predicate().as_ref().map(words) == predicate.map(words));
        if !same {
            let reason = "others share the subscription of this name with another address or other filters";
            return Err(Refusal::new(RefusalKind::TopicInvalid, reason));
        }
        Ok(Some(mailbox))
    }

    /// Whether a client may have a part of what others have subscribed to.
    fn may_join(&self, worker: &mut Worker, mailbox: &Mailbox, client: &Client) -> Result<(), Refusal> {
        let filters: Vec<_> = mailbox.lock().subscriptions.values().map(|one| one.filter.clone()).collect();
        filters.iter().try_for_each(|filter| self.check(worker, client, Action::Subscribe, filter.as_str()))
    }

    /// A receiver that comes back may want something else: what it was subscribed to before ends.
    fn drop_others(&self, mailbox: &Arc<Mailbox>, name: &str, staged: &mut Staged) {
        let others: Vec<_> = {
            let state = mailbox.lock();
            let is_other = |own: &&Subscription| own.said() != name;
            state.subscriptions.values().filter(is_other).map(|own| (own.filter.clone(), own.share.clone())).collect()
        };
        for (filter, share) in others {
            if self.drop_subscription(mailbox, &filter, share.as_deref()) && mailbox.is_durable() {
                staged.change(Change::FilterGone(mailbox.id, filter.as_str().into(), share));
            }
        }
    }

    /// # Errors
    /// The mailbox has ended meanwhile.
    fn start(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>, consumer: Consumer) -> Result<(), Refusal> {
        let mut state = mailbox.lock();
        if state.gone {
            return Err(just_ended());
        }
        mailbox.join(&mut state, consumer);
        (state.detached, state.consuming.change().held_by) = (None, None);
        // What waits is sent at the end of this batch, behind the answer.
        state.touched = true;
        worker.touched.extend(state.outlet.clone());
        Ok(())
    }

    /// The mailbox of the client's name, taken from whoever had it, or a new one; none: look again.
    fn own_mailbox(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Arc<Client>,
        own: &Own,
    ) -> Result<Option<(Arc<Mailbox>, bool)>, Refusal> {
        let old = self.directory.get(&client.id);
        if let Some(old) = &old {
            self.may_take(worker, old, client)?;
            let leaving = Leaving { number: None, how: Departure::TakenOver, expiry_seconds: u32::MAX };
            let mut staged = worker.stage();
            self.leave(worker, now, old, leaving, &mut staged);
            self.commit(worker, staged);
            if !own.clean && old.is_kept() && !is_past(old, now) {
                let mut state = old.lock();
                if state.gone {
                    return Ok(None);
                }
                // Another protocol may have left deliveries under way: they are as unsettled as all the rest. Releases wait for
                // the client that they are for (MQTT-4.4.0-1).
                let under_way: Vec<_> = state.window.drain().collect();
                let mut returned = Vec::with_capacity(under_way.len());
                for flight in under_way {
                    if flight.phase == super::window::Phase::Received {
                        state.window.restore(flight);
                    } else {
                        let under_way = flight.queued.guarantee == Guarantee::ExactlyOnce || flight.queued.under_way;
                        returned.push(Queued { duplicate: true, under_way, ..flight.queued });
                    }
                }
                old.put_all_back(&mut state, returned);
                old.set_consumed(true);
                old.set_knows_options(true);
                let expiry_seconds = own.expiry_seconds.unwrap_or(state.stays()).min(self.limits.expiry_seconds_max);
                old.set_expiry(&mut state, expiry_seconds);
                state.client = client.clone();
                state.unclear();
                self.receiver_changed(&state);
                drop(state);
                return Ok(Some((old.clone(), true)));
            }
        } else if self.directory.len() >= self.limits.mailboxes_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more receivers are taken"));
        }
        if own.is_kept {
            return Err(just_ended());
        }
        let expiry_seconds = own.expiry_seconds.unwrap_or(u32::MAX).min(self.limits.expiry_seconds_max);
        if expiry_seconds > 0 && !old.as_ref().is_some_and(|old| old.is_kept()) {
            self.may_keep_name(&client.id)?;
            self.may_keep_more()?;
        }
        let mailbox = Arc::new(Mailbox::new(self.directory.next_id(), client.clone(), false, expiry_seconds));
        mailbox.set_consumed(true);
        self.begin_numbers(&mailbox);
        if !self.directory.replace(&client.id, old.as_ref(), mailbox.clone()) {
            return Ok(None);
        }
        self.metrics.mailboxes.add(1);
        if let Some(old) = old {
            let mut staged = worker.stage();
            self.end_mailbox(worker, now, &old, &mut staged);
            self.commit(worker, staged);
        }
        Ok(Some((mailbox, false)))
    }

    /// A receiver goes. What it held goes back, for others or for its return.
    pub fn part(&self, worker: &mut Worker, now: Time, link: &Link, how: Parting) {
        self.part_but(worker, now, link, how, &[]);
    }

    /// A receiver goes, but entries with these numbers, in order, stay held in its name until [`Broker::dispose`].
    pub fn part_but(&self, worker: &mut Worker, now: Time, link: &Link, how: Parting, kept: &[u64]) {
        let Some(Attachment { mailbox, number }) = &link.attachment else { return };
        let is_queue = self.is_queue(mailbox);
        let mut state = mailbox.lock();
        let Some(left) = mailbox.part(&mut state, *number, kept) else { return };
        let failures_max = self.failures_max(&state);
        let (mut buried, mut returned) = (Vec::new(), Vec::with_capacity(left.len()));
        for mut queued in left {
            if mailbox.is_session() && queued.guarantee == Guarantee::AtMostOnce {
                continue;
            }
            queued.duplicate = true;
            if is_queue && matches!(how, Parting::Lost(_)) {
                let handling = queued.handling.get_or_insert_default();
                handling.failures += 1;
                if failures_max != 0 && handling.failures >= failures_max {
                    buried.push(queued);
                    continue;
                }
                if queued.stored {
                    worker.later.change(handling.kept(mailbox.id, queued.number));
                }
            }
            returned.push(queued);
        }
        mailbox.put_all_back(&mut state, returned);
        let others = state.outlet.clone();
        if others.is_none() && mailbox.is_session() {
            mailbox.drop_at_most_once(&mut state);
        }
        if others.is_some() && !state.queue.is_empty() && !state.touched {
            state.touched = true;
            worker.touched.extend(others.clone());
        }
        let is_untold = !buried.is_empty();
        state.untold += u32::from(is_untold);
        let blocked = others.is_none().then(|| state.take_blocked());
        drop(state);
        blocked.into_iter().flatten().for_each(|outlet| outlet.wake());
        let mut staged = worker.stage();
        for queued in buried {
            self.bury(worker, now, mailbox, queued, &mut staged);
        }
        self.commit(worker, staged);
        if is_untold {
            mailbox.lock().untold -= 1;
        }
        if is_queue || others.is_some() {
            return;
        }
        let expiry_seconds = match how {
            Parting::Closed => 0,
            Parting::Session => mailbox.lock().expiry_seconds,
            Parting::Kept(seconds) | Parting::Lost(seconds) => seconds,
            Parting::Held(seconds) => return self.hold(worker, now, mailbox, *number, seconds),
        };
        self.leave_behind(worker, now, mailbox, expiry_seconds);
    }

    /// A mailbox stays while something lasts that a crash would end: the store has it as one whose receiver is there.
    fn hold(&self, worker: &mut Worker, now: Time, mailbox: &Arc<Mailbox>, number: u64, expiry_seconds: u32) {
        let mut state = mailbox.lock();
        if state.gone || !state.consuming.consumers.is_empty() {
            return;
        }
        mailbox.set_expiry(&mut state, u32::MAX);
        let expiry_seconds = expiry_seconds.min(self.limits.expiry_seconds_max);
        (state.consuming.change().held_by, state.detached) = (Some((number, expiry_seconds)), Some(now));
        let record = record(&state.client, expiry_seconds, None);
        let mut staged = worker.stage();
        staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
        // Under the lock, so that whoever comes back tells the store after us.
        let after = self.submit(&mut staged);
        drop(state);
        self.announce(worker, staged, after);
    }

    /// What a mailbox was held for is over: its time begins, unless a receiver has come meanwhile.
    pub fn let_go(&self, worker: &mut Worker, now: Time, link: &Attachment, expiry_seconds: u32) {
        let Attachment { mailbox, number } = link;
        let let_go = |consuming: &mut Consuming| consuming.held_by.take_if(|(by, _)| *by == *number);
        let is_held = mailbox.lock().consuming.changed().and_then(let_go).is_some();
        if is_held {
            self.leave_behind(worker, now, mailbox, expiry_seconds);
        }
    }

    /// Nobody receives from a mailbox: it stays for so long.
    fn leave_behind(&self, worker: &mut Worker, now: Time, mailbox: &Arc<Mailbox>, expiry_seconds: u32) {
        let expiry_seconds = expiry_seconds.min(self.limits.expiry_seconds_max);
        let mut state = mailbox.lock();
        // Somebody may have come in this very moment.
        if state.gone || !state.consuming.consumers.is_empty() {
            return;
        }
        let mut staged = worker.stage();
        if expiry_seconds == 0 {
            drop(state);
            self.end_mailbox(worker, now, mailbox, &mut staged);
        } else {
            mailbox.set_expiry(&mut state, expiry_seconds);
            state.detached = Some(now);
            let record = record(&state.client, expiry_seconds, Some(now));
            staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
            if expiry_seconds != u32::MAX {
                self.deadlines.mailbox(now.plus_seconds(expiry_seconds), mailbox.id);
            }
            // Under the lock, so that whoever comes back tells the store after us.
            let after = self.submit(&mut staged);
            drop(state);
            return self.announce(worker, staged, after);
        }
        self.commit(worker, staged);
    }

    /// Hands out what a receiver may have now, in order, until `sink` has had enough. `settle`: without waiting for what it
    /// says about them. Whether all was looked at: if not, more comes without another word.
    pub fn consume(
        &self,
        link: &Attachment,
        now: Time,
        settle: bool,
        sink: &mut dyn FnMut(Consignment) -> Take,
    ) -> bool {
        let mailbox = &link.mailbox;
        let mut full = false;
        let mut drained = mailbox.acquire(link.number, self.terms(now), settle, &mut |mut consignment| {
            self.rename(&mut consignment);
            let take = sink(consignment);
            full = take == Take::Enough;
            take
        });
        self.set_aside(now, link, std::mem::take(&mut drained.set_aside), false);
        if drained.sent > 0 && mailbox.has_room_again(&self.limits) {
            drained.unblocked.extend(mailbox.lock().take_blocked());
        }
        let later = drained.waits_for_page
            || drained.wants_replay
            || drained.wants_decision
            || drained.wants_form
            || drained.goes_on.is_some()
            || drained.has_its_part
            || drained.awaits != 0;
        self.drained(mailbox, drained, full);
        !full && !later
    }

    /// A receiver disposes of entries that it has. Returns what to wait for until that is on disk; 0 where nobody wants to
    /// wait (`awaited`), and nothing has to be.
    pub fn dispose(
        &self,
        worker: &mut Worker,
        now: Time,
        link: &Attachment,
        numbers: &[u64],
        how: &Disposal,
        awaited: bool,
    ) -> Sequence {
        self.dispose_as(worker, now, link, numbers, (how, awaited, true))
    }

    /// A receiver goes, and this is what it has said beforehand of all that it has. Clients fetch ahead: an attempt that nobody
    /// made counts if they say so, but makes no dead letter.
    pub fn dispose_unseen(&self, worker: &mut Worker, now: Time, link: &Attachment, numbers: &[u64], how: &Disposal) {
        self.dispose_as(worker, now, link, numbers, (how, true, false));
    }

    fn dispose_as(
        &self,
        worker: &mut Worker,
        now: Time,
        link: &Attachment,
        numbers: &[u64],
        (how, awaited, buries): (&Disposal, bool, bool),
    ) -> Sequence {
        let mailbox = &link.mailbox;
        let mut staged = worker.stage();
        let changes = staged.changes();
        let (mut buried, mut returned, mut is_between, mut owes) = (Vec::new(), Vec::new(), false, false);
        let mut state = mailbox.lock();
        let failures_max = if buries { self.failures_max(&state) } else { 0 };
        // Past the mark on memory nothing is written on what waits.
        let notes_bytes_max = if self.is_short() { 0 } else { self.limits.notes_bytes_max };
        let patience = Patience { failures_max, notes_bytes_max };
        for number in numbers {
            match mailbox.dispose(&mut state, link.number, *number, how, patience, changes) {
                Some(Aftermath::Forget(queued)) => {
                    is_between |= state.queue.front().is_some_and(|first| first.number < queued.number);
                    owes |= mailbox.end_entry(&mut state, queued, changes);
                }
                Some(Aftermath::Bury(queued)) => buried.push(queued),
                Some(Aftermath::Back(queued)) => returned.push(queued),
                None => {}
            }
        }
        mailbox.put_all_back(&mut state, returned);
        let room = !state.blocked.is_blank() && mailbox.has_room_again(&self.limits);
        let blocked = room.then(|| state.take_blocked());
        if !state.touched && !state.queue.is_empty() {
            state.touched = true;
            worker.touched.extend(state.outlet.clone());
        }
        let waits = awaited || owes || worker.gathering.is_some() || !matches!(how, Disposal::Accepted);
        // Those around it may be left to the store at any time, and it would be read again with them.
        let is_untold = (is_between && waits) || !buried.is_empty();
        if is_untold {
            state.untold += 1;
        } else if is_between {
            self.submit_later(&mut staged);
        }
        drop(state);
        blocked.into_iter().flatten().for_each(|outlet| outlet.wake());
        for queued in buried {
            self.bury(worker, now, mailbox, queued, &mut staged);
        }
        if waits || !staged.is_only_changes() {
            let after = self.commit(worker, staged);
            if is_untold {
                mailbox.lock().untold -= 1;
            }
            if owes {
                mailbox.lock().window.abandonment_noted(after);
            }
            return after;
        }
        worker.later.append(&mut staged);
        worker.spare = Some(staged);
        0
    }

    /// A receiver of a queue that comes back may be faster than the news that its former connection is gone: it takes the
    /// place of whoever has its name (AMQP 2.6.1), with what that one holds.
    pub fn steal(&self, worker: &mut Worker, now: Time, link: &Attachment) {
        let former = {
            let state = link.mailbox.lock();
            let Some(new) = state.consuming.consumers.iter().find(|consumer| consumer.number == link.number) else {
                return;
            };
            let is_former = |other: &&Consumer| {
                let same_user = other.client.scope.identity == new.client.scope.identity;
                other.number != new.number && !new.name.is_empty() && other.name == new.name && same_user
            };
            let known = |old: &Consumer| (old.number, old.outlet.clone(), old.client.clone());
            state.consuming.consumers.iter().filter(is_former).map(known).collect::<Vec<_>>()
        };
        for (number, outlet, client) in former {
            let mut old = Link::of(outlet.clone(), client);
            old.attachment = Some(Attachment { mailbox: link.mailbox.clone(), number });
            self.part(worker, now, &old, Parting::Kept(0));
            outlet.close(Closed::TakenOver);
        }
    }

    /// Those of these entries that the mailbox has still, held by nobody: a receiver that comes back asks about what it
    /// remembers. They are kept for it from now on, whoever else takes from the mailbox; but not what it does not want any
    /// more.
    pub fn still_waiting(&self, link: &Attachment, numbers: &[u64]) -> Vec<u64> {
        let mut state = link.mailbox.lock();
        let consumer = state.consuming.consumers.iter().find(|consumer| consumer.number == link.number);
        let is_wanted = |queued: &Queued| match consumer.and_then(|consumer| consumer.predicate.as_ref()) {
            None => true,
            Some(predicate) => {
                let is_wanted = |message| (predicate.test)(message, queued.failures());
                queued.message.in_form(true).map_or(true, is_wanted)
            }
        };
        let has = |number: &u64| {
            !state.consuming.promised.contains_key(number)
                && match state.queue.binary_search_by_key(number, |queued| queued.number) {
                    Ok(at) => state.queue.get(at).is_some_and(is_wanted),
                    Err(_) => state.is_in_gap(*number),
                }
        };
        let waiting: Vec<u64> = numbers.iter().copied().filter(has).collect();
        if consumer.is_some() {
            state.consuming.change().promised.extend(waiting.iter().map(|number| (*number, link.number)));
        }
        waiting
    }

    /// A receiver takes nothing more, and keeps what it has.
    pub fn rest(&self, worker: &mut Worker, link: &Attachment) {
        let mut state = link.mailbox.lock();
        if let Some(consumer) = state.consumer_mut(link.number) {
            consumer.resumes_only = true;
        }
        link.mailbox.take_back_promises(&mut state, link.number);
        if !state.queue.is_empty() && !state.touched {
            state.touched = true;
            worker.touched.extend(state.outlet.clone());
        }
    }

    /// Entries in the hands of a receiver but for these, in order, and for those that a transaction ends just now.
    pub fn held_by(&self, link: &Attachment, but: &[u64]) -> Vec<u64> {
        let state = link.mailbox.lock();
        let is_its = |held: &super::consumers::Held| held.holder == link.number && !held.is_claimed;
        let held =
            state.consuming.held.iter().filter(|(number, held)| is_its(held) && but.binary_search(number).is_err());
        let mut numbers: Vec<u64> = held.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A receiver that came back could not say all that it has: from now on it gets what it is promised, and nothing new.
    pub fn resume_only(&self, link: &Attachment) {
        let mut state = link.mailbox.lock();
        if let Some(consumer) = state.consumer_mut(link.number) {
            consumer.resumes_only = true;
        }
    }

    pub(super) fn is_queue(&self, mailbox: &Mailbox) -> bool {
        queues::is_queue(&mailbox.lock().client)
    }

    /// The copy of a message that a consumed mailbox gets is settled by its receiver, whatever was published.
    pub(super) fn granted(mailbox: &Mailbox, message: &crate::message::Message, wanted: Guarantee) -> Guarantee {
        let published = message.envelope().guarantee;
        if !mailbox.is_consumed() {
            return published.min(wanted);
        }
        let handover = message.as_bare().map_or(published, |bare| bare.handover.max(published));
        let least = if mailbox.is_session() { Guarantee::AtMostOnce } else { Guarantee::AtLeastOnce };
        handover.min(wanted).max(least)
    }
}

fn just_ended() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "it has just ended: ask for it anew")
}

/// Whether a mailbox was to end before now, and is there only because nobody has come to it.
fn is_past(mailbox: &Mailbox, now: Time) -> bool {
    let state = mailbox.lock();
    state.expiry_seconds > 0 && state.is_over(now)
}

fn record(client: &Arc<Client>, expiry_seconds: u32, detached: Option<Time>) -> MailboxRecord {
    let client = client.clone();
    MailboxRecord { client, expiry_seconds, detached, per_subscription: false, knows_options: true, sent_to: 0 }
}
