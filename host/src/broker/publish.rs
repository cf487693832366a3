//! One message from its arrival to the mailboxes, as MQTT clients and HTTP send it. What AMQP clients send comes by [`super::bare`],
//! in transactions by [`super::transact`], wills that are due by [`super::due_wills`], and what modules want published beside it by
//! [`super::wishes`]: modules are asked, and copies handed out, by the functions here.
//!
//! Topic mapping and matching are one look-up for a name seen before ([`super::route`]). Then routing modules decide, then
//! the retain policy, then copies go to mailboxes ([`super::deliver`]). What the publisher hears waits for the disk where
//! anything durable came of it.

use super::alter::under_other_topic;
use super::attach::{Link, Parked};
use super::deliver::Full;
use super::retain::Keep;
use super::route::Route;
use super::staged::Staged;
use super::wishes::{Beside, Wanted, promised};
use super::worker::Worker;
use super::{Answer, Attachment, Broker};
use crate::client::{Client, Scope};
use crate::dialogue::{Event, Handle, Publish, Routed};
use crate::message::{Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::{Change, Sequence};
use crate::wasm::{Action, EventKinds, Outcome, RetainAsk};
use std::sync::{Arc, OnceLock};

/// Why a message is refused that a module gave such a topic.
pub(super) const RESERVED: &str = "a module gave it a topic that is the broker's own";

/// What became of a message.
pub(super) enum Passed {
    /// It was taken; its durable effects are staged.
    Taken(Routed),
    /// It was not.
    Refused(Refusal),
    /// Decided upon, but a queue is full.
    Full(Box<Decided>, Full),
}

/// What modules make of a message.
pub(super) enum Decision {
    /// It is not taken.
    Refused(Refusal),
    /// It goes this way.
    Go(Decided, Arc<Route>),
}

/// A message about which every module has been asked.
pub(super) struct Decided {
    pub message: Message,
    pub keep: Keep,
    pub beside: Beside,
}

/// A publication that waits for room in a queue.
pub(super) struct Waiting {
    decided: Box<Decided>,
    publication: Publication,
}

/// What its publisher has to be told about.
#[derive(Clone, Copy)]
pub(super) struct Publication {
    pub guarantee: Guarantee,
    /// 0: its publisher names it in another way.
    pub handle: Handle,
    /// When it came, or came back from modules that took long.
    pub since: Time,
}

impl Waiting {
    pub(super) fn new(decided: Decided, publication: Publication) -> Self {
        Self { decided: Box::new(decided), publication }
    }
}

impl Broker {
    pub(super) fn publish(&self, worker: &mut Worker, link: &mut Link, now: Time, publish: Publish<'_>) -> Answer {
        let (Some(attachment), Some(client)) = (&link.attachment, &link.client) else {
            return Answer::None;
        };
        worker.refresh_for(self, &client.id);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.payload.len() as u64;
        let (guarantee, handle, name) = (publish.guarantee, publish.handle, publish.name);
        if guarantee == Guarantee::ExactlyOnce
            && let Err(answer) = self.take_handle(attachment, handle)
        {
            return answer;
        }
        let publication = Publication { guarantee, handle, since: now };
        let mut staged = worker.stage();
        let passed = match self.route(worker, &link.scope, publish.name) {
            Ok(route) => match self.may_publish(worker, client, &mut link.permits, &route.topic) {
                Ok(()) => match self.make(&route, now, attachment.mailbox.origin(), publish) {
                    Some(message) => {
                        self.recorder.note(client, name, &message, now);
                        if route.wants_routing && self.takes_long(worker, link, &message) {
                            self.commit(worker, staged);
                            return self.send_round(worker, link, (message, route), publication);
                        }
                        self.pass(worker, now, client, message, route, &mut staged)
                    }
                    None => Passed::Taken(Routed::NoSubscriber),
                },
                Err(refusal) => Passed::Refused(refusal),
            },
            Err(refusal) => Passed::Refused(refusal),
        };
        self.answer(worker, link, passed, staged, publication)
    }

    /// Notes that an exactly-once publication under this handle is being taken, so that nobody else takes it.
    fn take_handle(&self, attachment: &Attachment, handle: Handle) -> Result<(), Answer> {
        let mut state = attachment.mailbox.lock();
        if state.attachment != attachment.number {
            return Err(Answer::None);
        }
        let say = |after, outcome| Err(Answer::Say(after, published(handle, Guarantee::ExactlyOnce, outcome)));
        if state.seen.get().is_some_and(|seen| seen.contains(&handle)) {
            drop(state);
            // The first copy may still be on its way to the disk.
            return say(self.store.submitted(), Ok(Routed::Matched));
        }
        if state.seen.get().map_or(0, |seen| seen.len()) >= self.limits.unreleased_max {
            return say(0, Err(Refusal::new(RefusalKind::QuotaExceeded, "too many publications are not released")));
        }
        if attachment.mailbox.is_durable() && !self.store.is_healthy() {
            return say(0, Err(Full::Broken.refusal()));
        }
        if attachment.mailbox.is_durable()
            && let Err(refusal) = self.may_keep_little()
        {
            return say(0, Err(refusal));
        }
        state.seen.change().insert(handle);
        Ok(())
    }

    /// Goes on with what was parked.
    pub fn resume(&self, worker: &mut Worker, link: &mut Link, now: Time) -> Answer {
        match link.parked.take() {
            Some(Parked::Publish(waiting)) => self.try_again(worker, link, now, *waiting),
            Some(Parked::Elsewhere(awaited)) => self.come_back(worker, link, now, awaited),
            Some(Parked::Subscribe(subscribing)) => self.subscribe_on(worker, link, now, subscribing),
            Some(Parked::Unsubscribe(going)) => self.unsubscribe_on(worker, link, going),
            None => Answer::None,
        }
    }

    /// Whether a connection may wait for room: not for those who wait for it themselves.
    fn may_wait(&self, link: &Link, full: &Full) -> bool {
        match (full, link.outlet.connection()) {
            (Full::Queue(mailbox) | Full::Memory(mailbox), _) if mailbox.lock().is_waited_for_in_vain() => false,
            (Full::Queue(mailbox) | Full::Memory(mailbox), Some(connection)) => self.waits.begin(connection, mailbox),
            (Full::Disk, _) => !self.waits.is_disk_stuck(self.store.committed()),
            _ => true,
        }
    }

    /// Forgets a publication that waits: nobody was promised anything for it.
    pub fn give_up(&self, link: &mut Link) {
        if link.parked.take().is_some()
            && let Some(connection) = link.outlet.connection()
        {
            self.waits.end(connection);
        }
    }

    /// Tries to publish again after a wait.
    pub(super) fn try_again(&self, worker: &mut Worker, link: &mut Link, now: Time, waiting: Waiting) -> Answer {
        if let Some(connection) = link.outlet.connection() {
            self.waits.end(connection);
        }
        let attachment = link.attachment.clone();
        let Waiting { decided, publication } = waiting;
        if publication.guarantee == Guarantee::ExactlyOnce
            && let Some(attachment) = &attachment
            && let Err(answer) = self.take_handle(attachment, publication.handle)
        {
            return answer;
        }
        let mut staged = worker.stage();
        worker.refresh_for(self, link.client.as_ref().map_or("", |client| &client.id));
        let passed = match self.may_still_publish(worker, link) {
            Ok(()) => self.carry_out(worker, now, decided, &mut staged),
            Err(refusal) => Passed::Refused(refusal),
        };
        let passed = match passed {
            Passed::Full(_, full) if now.since(publication.since) > self.limits.publisher_wait_milliseconds_max => {
                match &full {
                    Full::Queue(mailbox) | Full::Memory(mailbox) => mailbox.lock().blocked.change().give_up(),
                    Full::Disk => self.waits.give_up_on_disk(self.store.committed()),
                    Full::Space | Full::Broken | Full::Wish(_) => {}
                }
                Passed::Refused(full.refusal())
            }
            passed => passed,
        };
        self.answer(worker, link, passed, staged, publication)
    }

    /// Ends the unit of a publication, or lets it wait.
    #[inline(always)]
    pub(super) fn answer(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        passed: Passed,
        staged: Staged,
        publication: Publication,
    ) -> Answer {
        if let Passed::Taken(routed) = passed {
            worker.tally.unroutable += u64::from(routed == Routed::NoSubscriber);
            let Publication { guarantee, handle, .. } = publication;
            if guarantee != Guarantee::ExactlyOnce {
                let after = self.commit(worker, staged);
                return match guarantee {
                    Guarantee::AtMostOnce => Answer::None,
                    _ => Answer::Say(after, published(handle, guarantee, Ok(routed))),
                };
            }
        }
        self.answer_in_words(worker, link, passed, staged, publication)
    }

    fn answer_in_words(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        passed: Passed,
        mut staged: Staged,
        publication: Publication,
    ) -> Answer {
        let Publication { guarantee, handle, .. } = publication;
        let own = link.attachment.as_ref().filter(|_| guarantee == Guarantee::ExactlyOnce);
        let exactly_once = own.map(|attachment| attachment.mailbox.clone());
        let outcome = match passed {
            Passed::Taken(routed) => {
                if let Some(mailbox) = exactly_once.as_ref().filter(|mailbox| mailbox.is_durable()) {
                    staged.change(Change::Seen(mailbox.id, handle));
                }
                Ok(routed)
            }
            Passed::Refused(refusal) => Err(refusal),
            Passed::Full(decided, full)
                if full.waits_for(decided.message.publisher()) && self.may_wait(link, &full) =>
            {
                self.metrics.publishers_paused_total.add(1);
                match full {
                    Full::Queue(mailbox) | Full::Memory(mailbox) => mailbox.lock().blocked.change().add(&link.outlet),
                    Full::Disk | Full::Space | Full::Broken | Full::Wish(_) => {
                        self.await_answer(self.store.committed() + 1, link.outlet.clone())
                    }
                }
                link.parked = Some(Parked::Publish(Box::new(Waiting { decided, publication })));
                self.commit(worker, staged);
                if let Some(mailbox) = exactly_once {
                    mailbox.lock().forget_seen(handle);
                }
                return Answer::Parked;
            }
            Passed::Full(_, full) => Err(full.refusal()),
        };
        let after = self.commit(worker, staged);
        if outcome.is_err() {
            self.metrics.messages_refused_total.add(1);
            if let Some(mailbox) = exactly_once {
                mailbox.lock().forget_seen(handle);
            }
        }
        if guarantee == Guarantee::AtMostOnce {
            return Answer::None;
        }
        Answer::Say(after, published(handle, guarantee, outcome))
    }

    /// Tells a publisher that its message is refused.
    pub(super) fn refuse(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        refusal: Refusal,
        publication: Publication,
    ) -> Answer {
        let staged = worker.stage();
        self.answer(worker, link, Passed::Refused(refusal), staged, publication)
    }

    /// Asks the modules about a message and carries out what they say.
    pub(super) fn pass(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        message: Message,
        route: Arc<Route>,
        staged: &mut Staged,
    ) -> Passed {
        match self.judge(worker, now, publisher, message, route) {
            Decision::Refused(refusal) => Passed::Refused(refusal),
            Decision::Go(decided, route) => {
                if let Err(refusal) = self.check_form(worker, &decided, &route) {
                    return Passed::Refused(refusal);
                }
                match self.all_has_room(now, &decided, &route) {
                    Ok(()) => Passed::Taken(self.hand_out_all(worker, now, decided, &route, staged)),
                    Err(full) => Passed::Full(Box::new(decided), full),
                }
            }
        }
    }

    /// Whether a message that goes on has the forms that its receivers need.
    #[inline(always)]
    pub(super) fn check_form(&self, worker: &mut Worker, decided: &Decided, route: &Arc<Route>) -> Result<(), Refusal> {
        if decided.beside.is_discarded() { Ok(()) } else { self.has_form(worker, &decided.message, route) }
    }

    /// Whether nothing is in the way of a message, or of what modules want published beside it.
    #[inline(always)]
    pub(super) fn all_has_room(&self, now: Time, decided: &Decided, route: &Arc<Route>) -> Result<(), Full> {
        if !decided.beside.is_discarded() {
            self.has_room(now, &decided.message, route, decided.keep)?;
        }
        self.wishes_have_room(now, &decided.beside)
    }

    /// Carries out what modules made of a message. Nothing holds up what comes this far: who calls has looked.
    #[inline(always)]
    pub(super) fn hand_out_all(
        &self,
        worker: &mut Worker,
        now: Time,
        decided: Decided,
        route: &Arc<Route>,
        staged: &mut Staged,
    ) -> Routed {
        let routed = match decided.beside.is_discarded() {
            false => self.hand_out(worker, now, &decided.message, route, decided.keep, staged),
            true => {
                self.metrics.messages_discarded_total.add(1);
                Routed::Matched
            }
        };
        self.publish_wishes(worker, now, decided.beside, staged);
        routed
    }

    /// Asks the modules about a message, and about what they want published beside it. Nothing comes of it yet but the queues that
    /// it goes to, where those were not there.
    #[inline(always)]
    pub(super) fn judge(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        message: Message,
        route: Arc<Route>,
    ) -> Decision {
        if route.wants_routing {
            return self.judge_by_routing(worker, now, publisher, message, route);
        }
        self.judge_retention(worker, now, publisher, (message, None), route)
    }

    fn judge_by_routing(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        mut message: Message,
        mut route: Arc<Route>,
    ) -> Decision {
        let chain = worker.chain.clone();
        let shown = match self.shown(worker, &message) {
            Ok(shown) => shown,
            Err(refusal) => return Decision::Refused(refusal),
        };
        let verdict = chain.route(&mut worker.guests, publisher, shown.clone());
        let mut wishes = verdict.wishes;
        for wish in &mut wishes {
            if let Some(copy) = under_other_topic(&message, &shown, &wish.message) {
                wish.message = copy;
            }
        }
        // Whoever was promised nothing hears nothing either: it is not to lose its message for want of room elsewhere.
        let bind = promised(&message) != Guarantee::AtMostOnce;
        let wanted: Wanted = (!wishes.is_empty()).then(|| Box::new((wishes, bind)));
        match verdict.outcome {
            Outcome::Pass(passed) if passed.topic().is_reserved() => {
                return Decision::Refused(Refusal::new(RefusalKind::NotAuthorized, RESERVED));
            }
            Outcome::Pass(passed) => {
                if passed.topic() != &route.topic {
                    route = self.route_of(worker, passed.topic());
                }
                // What no module changed goes on as its publisher encoded it.
                if !passed.is(&shown) {
                    message = self.altered(worker, &chain, &message, &shown, passed);
                }
            }
            Outcome::Refuse(refusal) => return Decision::Refused(refusal),
            Outcome::Discard => {
                let beside = Beside::discarded(self.judge_wishes(worker, now, wanted));
                return Decision::Go(Decided { message, keep: Keep::No, beside }, route);
            }
        }
        self.judge_retention(worker, now, publisher, (message, wanted), route)
    }

    #[inline(always)]
    fn judge_retention(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        (message, wanted): (Message, Wanted),
        route: Arc<Route>,
    ) -> Decision {
        let keep = match route.unflagged {
            RetainAsk::Never if !message.envelope().retain => Ok(Keep::No),
            _ => self.retention(worker, now, publisher, &message, &route),
        };
        // What goes to the address of a queue makes the queue; where one cannot be made, nothing of the message is taken.
        let way = keep.and_then(|keep| Ok((keep, self.queue_on_first_use(worker, now, route)?)));
        match way {
            Ok((keep, route)) => {
                let beside = self.judge_wishes(worker, now, wanted);
                Decision::Go(Decided { message, keep, beside }, route)
            }
            Err(refusal) => Decision::Refused(refusal),
        }
    }

    /// Carries out what the modules said, after a wait. Who subscribes may have changed meanwhile.
    fn carry_out(&self, worker: &mut Worker, now: Time, mut decided: Box<Decided>, staged: &mut Staged) -> Passed {
        let mut route = self.route_of(worker, decided.message.topic());
        if !decided.beside.is_discarded() {
            route = match self.queue_on_first_use(worker, now, route) {
                Ok(route) => route,
                Err(refusal) => return Passed::Refused(refusal),
            };
        }
        self.renew_wishes(worker, now, &mut decided.beside);
        match self.all_has_room(now, &decided, &route) {
            Ok(()) => Passed::Taken(self.hand_out_all(worker, now, *decided, &route, staged)),
            Err(full) => Passed::Full(decided, full),
        }
    }

    /// Publishes on behalf of somebody who has no connection: HTTP, a will, a module's timer.
    pub fn publish_as(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        publish: Publish<'_>,
    ) -> Result<(Sequence, Routed), Refusal> {
        worker.refresh_for(self, &client.id);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.payload.len() as u64;
        let route = self.route(worker, &client.scope, publish.name)?;
        self.check(worker, client, Action::Publish, route.topic.as_str())?;
        let Some(message) = self.make(&route, now, 0, publish) else { return Ok((0, Routed::NoSubscriber)) };
        let mut staged = worker.stage();
        let passed = self.pass_now(worker, now, client, message, route, &mut staged);
        let after = self.commit(worker, staged);
        Ok((after, passed?))
    }

    /// The message, unless nothing can come of it.
    fn make(&self, route: &Route, now: Time, publisher: u64, publish: Publish<'_>) -> Option<Message> {
        let asked = publish.retain || !matches!(route.unflagged, RetainAsk::Never);
        let nothing = route.targets.is_empty() && !route.is_queue && !asked && !route.wants_routing;
        if nothing && !self.modules.wants_events(EventKinds::LOST) && !self.recorder.is_on() {
            return None;
        }
        let envelope = Envelope {
            topic: route.topic.clone(),
            guarantee: publish.guarantee,
            retain: publish.retain,
            expires: publish.expiry_seconds.map(|seconds| now.plus_seconds(seconds)),
            properties: publish.properties,
            hops: 0,
        };
        Some(Message::new(envelope, publisher, publish.payload))
    }

    /// Publishes a message whose topic is the broker's, for somebody who cannot be made to wait.
    pub(super) fn pass_now(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        message: Message,
        route: Arc<Route>,
        staged: &mut Staged,
    ) -> Result<Routed, Refusal> {
        match self.pass(worker, now, client, message, route, staged) {
            Passed::Taken(routed) => Ok(routed),
            Passed::Refused(refusal) => Err(refusal),
            Passed::Full(_, full) => Err(full.refusal()),
        }
    }
}

fn published(handle: Handle, guarantee: Guarantee, outcome: Result<Routed, Refusal>) -> Event {
    Event::Published { handle, guarantee, outcome }
}

/// The publisher of what a module wishes for.
pub(super) fn module_client(module: Arc<str>, scope: Arc<Scope>) -> Client {
    Client { id: module, container: None, scope, peer: nothing() }
}

fn nothing() -> Arc<str> {
    static NOTHING: OnceLock<Arc<str>> = OnceLock::new();
    NOTHING.get_or_init(|| "".into()).clone()
}
