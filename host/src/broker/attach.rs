//! A client comes, finds what it left behind or begins anew, and goes.

use super::detour::Awaited;
use super::directory::Kind;
use super::mailbox::{Mailbox, Outlet, State};
use super::publish::Waiting;
use super::publisher;
use super::reaper::{self, Over};
use super::route::Subscriber;
use super::staged::Staged;
use super::subscribing::Subscribing;
use super::unsubscribing::Unsubscribing;
use super::worker::Worker;
use super::{Answer, Attachment, Broker, Permits, queues};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Attach, Attached, Closed, Detach, Event};
use crate::message::{Refusal, RefusalKind, Time, Will};
use crate::store::{Change, MailboxRecord, Sequence};
use crate::wasm::{EventKinds, Happening};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The hall's side of one connection. Belongs to the task that reads the connection.
pub struct Link {
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) client: Option<Arc<Client>>,
    pub(super) scope: Arc<Scope>,
    pub(super) attachment: Option<Attachment>,
    pub(super) parked: Option<Parked>,
    /// What modules said of its publications.
    pub(super) permits: Option<Box<Permits>>,
}

/// A request that is gone on with later.
pub(super) enum Parked {
    /// It waits for room in somebody's queue.
    Publish(Box<Waiting>),
    /// It waits for modules that take long.
    Elsewhere(Box<Awaited>),
    /// Others come between.
    Subscribe(Box<Subscribing>),
    /// The same.
    Unsubscribe(Box<Unsubscribing>),
}

impl Link {
    /// A connection that has not said anything yet.
    pub fn new(outlet: Arc<dyn Outlet>, scope: Arc<Scope>) -> Self {
        Self { outlet, client: None, scope, attachment: None, parked: None, permits: None }
    }

    /// A connection, or a part of one, of a client that is in already.
    pub fn of(outlet: Arc<dyn Outlet>, client: Arc<Client>) -> Self {
        let scope = client.scope.clone();
        Self { outlet, client: Some(client), scope, attachment: None, parked: None, permits: None }
    }

    /// Its mailbox, once it is attached.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref()
    }

    /// Whether a request is not yet worked off.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// The client, once it is attached.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.as_ref()
    }
}

/// The number of a connection that has no links of its own beside its mailbox.
const NO_LINKS: u64 = u64::MAX;

/// What a connection found.
struct Claimed {
    attachment: Attachment,
    resumed: bool,
}

/// Which connection goes, how, and for how many seconds its mailbox stays.
pub(super) struct Leaving {
    /// None: whichever there is.
    pub number: Option<u64>,
    pub how: Departure,
    pub expiry_seconds: u32,
}

impl Broker {
    pub(super) fn attach(&self, worker: &mut Worker, link: &mut Link, now: Time, mut attach: Attach) -> Answer {
        if let Some(elsewhere) = self.elsewhere() {
            return Answer::Say(0, Event::Closed(Closed::Elsewhere(elsewhere)));
        }
        worker.refresh(self);
        let proof = attach.proof.take();
        let mut client = attach.client.clone();
        let assigned = client.id.is_empty();
        if assigned {
            client.id = format!("pliant-{:032x}", rand::random::<u128>()).into();
        }
        worker.refresh_for(self, &client.id);
        let client = Arc::new(client);
        if let Err(refusal) = self.comes_as(worker, now, &client, NO_LINKS) {
            return Answer::Say(0, Event::Refused(refusal));
        }
        let expiry_seconds = self.granted_expiry(attach.expiry_seconds);
        let waits = match self.may_come(&client, &attach, expiry_seconds) {
            Ok(waits) => waits,
            Err(refusal) => return Answer::Say(0, Event::Refused(refusal)),
        };
        let will = match attach.will.as_ref().map(|will| self.register_will(worker, now, &client, will)).transpose() {
            Ok(will) => will.flatten(),
            Err(refusal) => return Answer::Say(0, Event::Refused(refusal)),
        };
        let mut staged = worker.stage();
        let claimed = loop {
            match self.claim(worker, link, now, &attach, &client, expiry_seconds, &mut staged) {
                Ok(Some(claimed)) => break claimed,
                Ok(None) => {}
                Err(refusal) => {
                    self.commit(worker, staged);
                    return Answer::Say(0, Event::Refused(refusal));
                }
            }
        };
        let keeps = |state: &State| record(&client, &attach, expiry_seconds, state);
        let after = self.settle_in(worker, now, &claimed.attachment, &client, keeps, will, staged);
        link.scope = client.scope.clone();
        link.client = Some(client.clone());
        link.attachment = Some(claimed.attachment);
        self.metrics.clients.add(1);
        self.happened(EventKinds::CLIENTS, || Happening::Connected(client.clone()));
        self.metrics.clients_total.add(1);
        let resumed = claimed.resumed;
        let after = if waits || !resumed { after } else { 0 };
        Answer::Say(after, Event::Attached(Attached { client, resumed, assigned, expiry_seconds, proof }))
    }

    /// For how many seconds what belongs to a client that asks for so many outlives its connection.
    pub fn granted_expiry(&self, asked_seconds: u32) -> u32 {
        asked_seconds.min(self.limits.expiry_seconds_max)
    }

    /// Tells the store who has come, and leaves its will. Returns what has to be on disk before the client hears that it is in.
    #[expect(clippy::too_many_arguments, reason = "one step of `attach`, with all that it knows")]
    fn settle_in(
        &self,
        worker: &mut Worker,
        now: Time,
        attachment: &Attachment,
        client: &Arc<Client>,
        record: impl FnOnce(&State) -> MailboxRecord,
        will: Option<Will>,
        mut staged: Staged,
    ) -> Sequence {
        let Attachment { mailbox, number } = attachment;
        if will.is_some() && !staged.publishes_will(mailbox.id) {
            self.await_last_will(mailbox.id);
        }
        // Under the lock, so that whoever takes the mailbox over tells the store, and leaves its will, after us.
        let state = mailbox.lock();
        if state.attachment != *number {
            drop(state);
            if let Some(will) = will {
                self.will_of_ousted(worker, now, mailbox, client, will, &mut staged);
            }
            return self.commit(worker, staged);
        }
        if mailbox.is_durable() {
            staged.change(Change::Mailbox(mailbox.id, Box::new(record(&state))));
        }
        if let Some(will) = will {
            self.put_will(&mut staged, mailbox.id, client, will, now);
        }
        let after = self.submit(&mut staged);
        drop(state);
        self.announce(worker, staged, after);
        after
    }

    /// The connection whose place this client would take. What came for it before counts, so whoever attaches does well to
    /// have it work that off first ([`Outlet::make_way`]): a goodbye that was not read yet keeps the will back.
    pub fn occupant(&self, client: &Client) -> Option<Arc<dyn Outlet>> {
        let mailbox = self.directory.get(&client.id)?;
        let state = mailbox.lock();
        let is_same = state.client.scope.identity == client.scope.identity;
        state.outlet.clone().filter(|_| is_same)
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
        staged: &mut Staged,
    ) -> Result<Option<Claimed>, Refusal> {
        let old = self.directory.get(&client.id);
        if let Some(old) = &old {
            self.may_take(worker, old, client)?;
            if !attach.clean && old.is_durable() && !old.lock().ends_with_its_connection(now) {
                return Ok(self.take_over(worker, link, now, attach, client, expiry_seconds, old, staged));
            }
        } else if self.directory.len() >= self.limits.mailboxes_max {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "no more clients are taken"));
        }
        let id = self.directory.next_id();
        let mailbox = Arc::new(Mailbox::new(id, client.clone(), attach.per_subscription, expiry_seconds));
        self.begin_numbers(&mailbox);
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
            self.leave(
                worker,
                now,
                &old,
                Leaving { number: None, how: Departure::TakenOver, expiry_seconds: 0 },
                staged,
            );
            self.end_mailbox(worker, now, &old, staged);
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
        staged: &mut Staged,
    ) -> Option<Claimed> {
        let mut state = loop {
            let leaving = Leaving { number: None, how: Departure::TakenOver, expiry_seconds: u32::MAX };
            self.leave(worker, now, mailbox, leaving, staged);
            self.owner_is_back(worker, now, mailbox.id, staged);
            let state = mailbox.lock();
            if state.gone {
                return None;
            }
            // Another connection may have come between, and gone again: it is thrown out as the first one was, with its will.
            if state.outlet.is_none() && self.due(mailbox.id).is_none() {
                break state;
            }
        };
        // Names are relative to the listener and the protocol, and rules may ask for more of a client than that.
        let is_same = mailbox.per_subscription() == attach.per_subscription
            && mailbox.knows_options() == attach.knows_options
            && state.client.scope == client.scope
            && !worker.chain.wants_access();
        mailbox.set_per_subscription(attach.per_subscription);
        mailbox.set_knows_options(attach.knows_options);
        mailbox.set_consumed(false);
        mailbox.set_session(false);
        // That was the wish of a receiver which is gone.
        mailbox.set_predicate(None, false);
        staged.changes().extend(mailbox.keep_condition());
        mailbox.set_origin(publisher::number(&client.id));
        mailbox.set_expiry(&mut state, expiry_seconds);
        state.client = client.clone();
        state.unclear();
        state.window_max = attach.window;
        state.window.restart();
        state.detached = None;
        mailbox.set_outlet(&mut state, Some(link.outlet.clone()));
        // What waits is sent at the end of this batch, behind the answer.
        state.touched = true;
        worker.touched.push(link.outlet.clone());
        let number = state.attachment;
        if !is_same {
            self.receiver_changed(&state);
        }
        drop(state);
        Some(Claimed { attachment: Attachment { mailbox: mailbox.clone(), number }, resumed: true })
    }

    /// The end of a mailbox's connection: its place and its will. Returns what the count of connections is then; none:
    /// that connection is not there.
    pub(super) fn leave(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Arc<Mailbox>,
        leaving: Leaving,
        staged: &mut Staged,
    ) -> Option<u64> {
        let Leaving { number, how, expiry_seconds } = leaving;
        let mut state = mailbox.lock();
        if state.outlet.is_none() || number.is_some_and(|number| number != state.attachment) {
            return None;
        }
        let outlet = mailbox.set_outlet(&mut state, None);
        let left = state.attachment;
        mailbox.dismiss(&mut state);
        mailbox.drop_at_most_once(&mut state);
        self.owner_leaves(now, mailbox.id, how, expiry_seconds);
        let client = state.client.clone();
        let blocked = state.take_blocked();
        let unfit = state.unfit.take();
        // Modules are asked again when somebody comes back.
        state.permits = None;
        drop(state);
        self.pass_on(worker, mailbox, unfit, staged);
        if !mailbox.is_consumed() {
            self.metrics.clients.add(-1);
            self.happened(EventKinds::CLIENTS, || Happening::Disconnected(client, how));
        }
        if let Some(outlet) = outlet.filter(|_| how == Departure::TakenOver) {
            outlet.close(Closed::TakenOver);
        }
        blocked.for_each(|outlet| outlet.wake());
        self.owner_left(worker, now, mailbox.id, staged);
        Some(left)
    }

    /// A connection is over. Does nothing if another one has taken its place. Returns what has to be on disk before its client
    /// may count on it that its session is over, or its will; 0: nothing.
    pub fn detach(&self, worker: &mut Worker, link: &mut Link, now: Time, detach: Detach) -> Sequence {
        worker.refresh(self);
        self.give_up(link);
        let Some(Attachment { mailbox, number }) = link.attachment.take() else { return 0 };
        let before = mailbox.lock().expiry_seconds;
        let expiry_seconds = detach.expiry_seconds.unwrap_or(before).min(self.limits.expiry_seconds_max);
        let mut staged = worker.stage();
        let leaving = Leaving { number: Some(number), how: detach.departure, expiry_seconds };
        let Some(left) = self.leave(worker, now, &mailbox, leaving, &mut staged) else {
            return self.commit(worker, staged);
        };
        if expiry_seconds == 0 {
            self.end_mailbox(worker, now, &mailbox, &mut staged);
            return self.commit(worker, staged);
        }
        let counts = staged.touches_wills() || expiry_seconds != before;
        // Under the lock, so that whoever comes back tells the store after us.
        let mut state = mailbox.lock();
        if state.attachment == left {
            mailbox.set_expiry(&mut state, expiry_seconds);
            state.detached = Some(now);
            let record = MailboxRecord {
                client: state.client.clone(),
                expiry_seconds,
                detached: Some(now),
                per_subscription: mailbox.per_subscription(),
                knows_options: mailbox.knows_options(),
                sent_to: state.under_way_to(),
            };
            staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
            if expiry_seconds != u32::MAX {
                self.deadlines.mailbox(now.plus_seconds(expiry_seconds), mailbox.id);
            }
        }
        let after = self.submit(&mut staged);
        drop(state);
        self.announce(worker, staged, after);
        if counts { after } else { 0 }
    }

    /// Ends a client's session with all that waits in it, and its connection if there is one; none: it has no session.
    /// Returns what has to be on disk before this is true for ever.
    pub fn end_session(&self, worker: &mut Worker, now: Time, id: &str) -> Option<Sequence> {
        worker.refresh(self);
        let mailbox = self.directory.get(id)?;
        let outlet = mailbox.lock().outlet.clone();
        let mut staged = worker.stage();
        let leaving = Leaving { number: None, how: Departure::ClosedByBroker, expiry_seconds: 0 };
        self.leave(worker, now, &mailbox, leaving, &mut staged);
        // A will that waits longer than the session lasts is due when that ends (MQTT 5.0, 3.1.3.2.2).
        self.fire_will(worker, now, mailbox.id, &mut staged);
        if let Some(outlet) = outlet {
            outlet.close(Closed::Deleted);
        }
        self.end_mailbox(worker, now, &mailbox, &mut staged);
        Some(self.commit(worker, staged))
    }

    /// A mailbox that nobody came back to in time.
    pub(super) fn expire_mailbox(&self, worker: &mut Worker, now: Time, id: u64) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        if !mailbox.lock().is_over(now) {
            return;
        }
        let mut staged = worker.stage();
        self.end_mailbox(worker, now, &mailbox, &mut staged);
        self.metrics.mailboxes_expired_total.add(1);
        self.commit(worker, staged);
    }

    /// Removes a mailbox with all that belongs to it.
    pub(super) fn end_mailbox(&self, worker: &mut Worker, now: Time, mailbox: &Arc<Mailbox>, staged: &mut Staged) {
        let durable = mailbox.is_durable();
        let mut state = mailbox.lock();
        if state.gone {
            return;
        }
        state.gone = true;
        mailbox.keep_nothing();
        let subscriptions = std::mem::take(&mut state.subscriptions);
        let mut left_behind = mailbox.clear(&mut state);
        let gap = state.gap.take();
        let client = state.client.clone();
        let record = MailboxRecord {
            client: client.clone(),
            expiry_seconds: 0,
            detached: Some(now),
            per_subscription: false,
            knows_options: true,
            sent_to: 0,
        };
        // A connection that took the mailbox over in this very moment has to come again.
        state.consuming.changed().into_iter().for_each(|consuming| consuming.consumers.clear());
        self.numbers_begin.fetch_max(mailbox.numbers_end(&state), Ordering::Relaxed);
        let outlet = mailbox.set_outlet(&mut state, None);
        drop(state);
        if let Some(outlet) = outlet {
            if !mailbox.is_consumed() {
                self.metrics.clients.add(-1);
                self.happened(EventKinds::CLIENTS, || Happening::Disconnected(client.clone(), Departure::TakenOver));
            }
            outlet.close(Closed::TakenOver);
        }
        let kind = if queues::is_queue(&client) { Kind::Queue } else { Kind::Client };
        self.directory.remove(kind, &client.id, mailbox.id);
        self.metrics.mailboxes.add(-1);
        let subscriptions: Vec<_> = subscriptions.into_values().collect();
        self.find_groups(&mut left_behind, &subscriptions);
        if gap.is_some() || left_behind.len() > reaper::SLICE {
            // What is left is handed on and forgotten slice by slice; a restart goes on with it.
            if durable {
                staged.change(Change::Mailbox(mailbox.id, Box::new(record)));
            }
            let (rest, sent) = gap.map(|gap| (gap.rest, gap.sent)).unzip();
            let over = Over::new(mailbox.id, durable, left_behind, subscriptions.clone());
            self.reaper.add(over.with_rest(rest, sent));
        } else {
            for queued in &left_behind {
                queued.forget(mailbox.id, staged.changes());
            }
            if durable {
                staged.change(Change::MailboxGone(mailbox.id));
            }
            left_behind.retain(|queued| queued.group.is_some());
            self.hand_on(worker, left_behind, staged);
        }
        self.take_out(&client, mailbox.id, subscriptions);
        self.owner_ended(worker, now, mailbox.id, staged);
    }

    /// What stands in the trie for a client's own subscription.
    pub(super) fn subscriber(mailbox: &Arc<Mailbox>, options: crate::dialogue::SubscribeOptions) -> Subscriber {
        Subscriber::Single(mailbox.clone(), options)
    }
}

fn record(client: &Arc<Client>, attach: &Attach, expiry_seconds: u32, state: &State) -> MailboxRecord {
    MailboxRecord {
        client: client.clone(),
        expiry_seconds,
        detached: None,
        per_subscription: attach.per_subscription,
        knows_options: attach.knows_options,
        // A narrower window than that of an earlier connection takes nothing back that was sent then.
        sent_to: state.under_way_count().max(attach.window.into()),
    }
}

/// The scope of a connection that has not said who it is.
pub fn nobody(listener: &str, protocol: Protocol) -> Arc<Scope> {
    Arc::new(Scope { listener: listener.into(), protocol, identity: None })
}
