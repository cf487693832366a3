//! A SUBSCRIBE, worked off in slices: where much is retained, looking for what matches takes long, and others on the thread
//! have to come between.

use super::access::denied;
use super::attach::{Link, Parked};
use super::mailbox::Mailbox;
use super::queued::Queued;
use super::replaying::Replay;
use super::staged::Staged;
use super::subscribe::{key, weight};
use super::unsubscribing::levels;
use super::worker::Worker;
use super::{Answer, Broker};
use crate::dialogue::{Event, Handle, Subscribe, SubscribeFilter, Subscription};
use crate::message::{Guarantee, Refusal, RefusalKind, Time};
use crate::store::Change;
use crate::wasm::Action;
use std::collections::VecDeque;
use std::sync::Arc;

/// Retained values that one slice looks at: a few milliseconds.
const STEPS: usize = 16_384;
/// What a filter costs beside its levels.
const FILTER: usize = 8;

/// What is left of a SUBSCRIBE.
pub(super) struct Subscribing {
    handle: Handle,
    left: std::vec::IntoIter<SubscribeFilter>,
    current: Option<Adding>,
    granted: Vec<Result<Guarantee, Refusal>>,
}

/// Copies for a queue, in order.
#[derive(Default)]
pub(super) struct Found {
    pub copies: VecDeque<Queued>,
    pub bytes: usize,
    /// There are at-most-once ones, too, which are fetched as they are sent.
    pub others: bool,
}

/// A filter that was admitted and is being added.
struct Adding {
    key: Arc<str>,
    subscription: Subscription,
    is_new: bool,
    /// What is still to be looked through of what is retained.
    replay: Option<Replay>,
    /// What was found there. None of it is queued before it is certain that all of it fits: of a subscription that is
    /// refused nothing comes.
    found: Found,
    /// Number of the last value that certainly is queued once that is done, if all are.
    queued_to: Option<u64>,
    /// Publishers find it.
    is_found: bool,
}

impl Broker {
    pub(super) fn subscribe(&self, worker: &mut Worker, link: &mut Link, now: Time, subscribe: Subscribe) -> Answer {
        let Subscribe { handle, filters } = subscribe;
        let granted = Vec::with_capacity(filters.len());
        let subscribing = Subscribing { handle, left: filters.into_iter(), current: None, granted };
        self.subscribe_on(worker, link, now, Box::new(subscribing))
    }

    /// Works off the next slice.
    pub(super) fn subscribe_on(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        mut subscribing: Box<Subscribing>,
    ) -> Answer {
        let Some(attachment) = link.attachment.clone() else { return Answer::None };
        let mailbox = &attachment.mailbox;
        // Another connection may have taken the place meanwhile.
        if !mailbox.is_current(attachment.number) {
            return Answer::None;
        }
        worker.refresh_for(self, link.client.as_ref().map_or("", |client| &client.id));
        let mut staged = worker.stage();
        let done = self.slice(worker, link, now, mailbox, &mut subscribing, &mut staged);
        let after = self.commit(worker, staged);
        if !done {
            link.parked = Some(Parked::Subscribe(subscribing));
            link.outlet.wake();
            return Answer::Parked;
        }
        let mut state = mailbox.lock();
        if !state.touched && !state.has_nothing() {
            state.touched = true;
            worker.touched.extend(state.outlet.clone());
        }
        drop(state);
        Answer::Say(after, Event::Subscribed { handle: subscribing.handle, granted: subscribing.granted })
    }

    fn slice(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        mailbox: &Arc<Mailbox>,
        subscribing: &mut Subscribing,
        staged: &mut Staged,
    ) -> bool {
        let mut steps = STEPS;
        let done = self.steps(worker, link, now, mailbox, subscribing, &mut steps, staged);
        worker.work += (STEPS - steps) as u64;
        done
    }

    #[expect(clippy::too_many_arguments, reason = "the body of `slice`")]
    fn steps(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        mailbox: &Arc<Mailbox>,
        subscribing: &mut Subscribing,
        steps: &mut usize,
        staged: &mut Staged,
    ) -> bool {
        while *steps > 0 {
            let adding = match subscribing.current.take() {
                Some(adding) => Ok(adding),
                None => match subscribing.left.next() {
                    Some(wanted) => self.admit_filter(worker, link, now, mailbox, wanted, steps),
                    None => return true,
                },
            };
            let added = adding.and_then(|mut adding| {
                let done = self.add_filter(worker, link, now, mailbox, &mut adding, steps, staged)?;
                Ok((adding, done))
            });
            match added {
                Ok((adding, true)) => subscribing.granted.push(Ok(adding.subscription.options.guarantee)),
                Ok((adding, false)) => subscribing.current = Some(adding),
                Err(refusal) => subscribing.granted.push(Err(refusal)),
            }
        }
        false
    }

    /// Adds one filter at once.
    pub(super) fn subscribe_one(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        mailbox: &Arc<Mailbox>,
        wanted: SubscribeFilter,
        staged: &mut Staged,
    ) -> Result<Guarantee, Refusal> {
        let mut adding = self.admit_filter(worker, link, now, mailbox, wanted, &mut { usize::MAX })?;
        while !self.add_filter(worker, link, now, mailbox, &mut adding, &mut { usize::MAX }, staged)? {}
        Ok(adding.subscription.options.guarantee)
    }

    /// Whether the client may have this subscription, and what is to be done for it.
    fn admit_filter(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        mailbox: &Arc<Mailbox>,
        wanted: SubscribeFilter,
        steps: &mut usize,
    ) -> Result<Adding, Refusal> {
        if mailbox.is_durable() && !self.store.is_healthy() {
            let reason = "the disk fails: nothing is taken that would have to be kept";
            return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
        }
        if wanted.name.is_empty() {
            let reason = "a filter has at least one character; a share is $share/NAME/FILTER, and NAME has one, and no + and no #";
            return Err(Refusal::new(RefusalKind::TopicInvalid, reason));
        }
        let filter = self.broker_filter(worker, link, &wanted.name)?;
        let client = link.client.as_ref().ok_or_else(denied)?;
        self.check(worker, client, Action::Subscribe, filter.as_str())?;
        let name = (filter.as_str() != &*wanted.name).then_some(wanted.name);
        let subscription = Subscription { filter, name, share: wanted.share, options: wanted.options, binder: None };
        let key = key(&subscription.filter, subscription.share.as_deref());
        let is_new = {
            let state = mailbox.lock();
            let is_new = !state.subscriptions.contains_key(&key);
            if is_new && state.subscriptions.len() >= self.limits.subscriptions_per_client_max {
                return Err(Refusal::new(RefusalKind::QuotaExceeded, "the client has too many subscriptions"));
            }
            let bytes = state.subscription_bytes + weight(&subscription);
            if is_new && bytes > self.limits.subscription_bytes_per_client_max {
                let reason = "the client's filters take too much memory (broker.subscription_bytes_per_client_max)";
                return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
            }
            is_new
        };
        if is_new && mailbox.is_durable() {
            self.may_keep_more()?;
        }
        if is_new && self.metrics.subscriptions.get() >= self.limits.subscriptions_max as i64 {
            return Err(Refusal::new(RefusalKind::QuotaExceeded, "there are too many subscriptions"));
        }
        if is_new {
            self.may_add_levels(levels(&subscription.filter))?;
        }
        let replay = self.replay(worker, now, mailbox, &subscription, is_new, steps);
        let queued_to = replay.as_ref().filter(|replay| replay.chosen.is_none()).map(|_| self.retained.last());
        Ok(Adding { key, subscription, is_new, replay, found: Found::default(), queued_to, is_found: false })
    }

    /// Goes on with a filter; false: there is more to do.
    #[expect(clippy::too_many_arguments, reason = "one step of `slice`, with all that it knows")]
    fn add_filter(
        &self,
        worker: &mut Worker,
        link: &Link,
        now: Time,
        mailbox: &Arc<Mailbox>,
        adding: &mut Adding,
        steps: &mut usize,
        staged: &mut Staged,
    ) -> Result<bool, Refusal> {
        *steps = steps.saturating_sub(FILTER + levels(&adding.subscription.filter));
        loop {
            // Retained messages go into the queue before live ones can. What was stored since then is bounded by the time
            // that this took, and the subscription is there: those go in whether they fit or not.
            if let Some(replay) = &mut adding.replay
                && !self.find_retained(worker, now, mailbox, replay, !adding.is_found, steps, &mut adding.found)?
            {
                return Ok(false);
            }
            adding.replay = None;
            if !self.queue_found(worker, mailbox, &mut adding.found, steps, staged) {
                return Ok(false);
            }
            if std::mem::take(&mut adding.found).others {
                self.replay_others(mailbox, &adding.subscription, adding.queued_to.unwrap_or(0));
            }
            if adding.is_found {
                return Ok(true);
            }
            if !self.put_subscription(mailbox, adding.key.clone(), adding.subscription.clone()) {
                return Ok(true);
            }
            if adding.is_new {
                self.metrics.subscriptions.add(1);
            }
            if mailbox.is_durable() {
                staged.change(Change::Filter(mailbox.id, Box::new(adding.subscription.clone())));
            }
            self.subscribed(link, || adding.subscription.filter.clone());
            self.end_replay_here(mailbox);
            adding.is_found = true;
            adding.replay = adding.queued_to.and_then(|queued_to| self.missed(&adding.subscription, queued_to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::subscribe::LEVEL_BYTES;
    use super::super::tests::{Hall, Peer, hall};
    use super::*;
    use crate::dialogue::{Publish, Request, SubscribeOptions, Unsubscribe};

    fn request(names: &[&str]) -> Request<'static> {
        let options = SubscribeOptions { guarantee: Guarantee::AtLeastOnce, ..Default::default() };
        let filters = names.iter().map(|name| SubscribeFilter { name: (*name).into(), share: None, options });
        Request::Subscribe(Subscribe { handle: 1, filters: filters.collect() })
    }

    impl Hall {
        fn retain(&mut self, publisher: &mut Peer, name: &str) {
            let (guarantee, payload) = (Guarantee::AtLeastOnce, &b"v"[..]);
            let (retain, handle, expiry_seconds, properties) = (true, 1, None, None);
            let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
            self.ask(publisher, Request::Publish(publish));
        }
    }

    fn with_much_retained(limits: Limits) -> Hall {
        let mut hall = hall(limits);
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        for number in 0..40_000u32 {
            hall.retain(&mut publisher, &format!("a/{number}/v"));
        }
        hall
    }

    #[test]
    fn looking_through_much_that_is_retained_lets_others_come_between() {
        let mut hall = with_much_retained(Limits::default());
        let (mut peer, _) = hall.attach("s", true, 100, 10);
        let mut answer = hall.ask(&mut peer, request(&["+/+/x", "+/+/y", "a/7/#"]));
        let mut slices = 1;
        while matches!(answer, Answer::Parked) {
            answer = hall.broker.resume(&mut hall.worker, &mut peer.link, hall.now);
            slices += 1;
        }
        let Answer::Say(_, Event::Subscribed { handle: 1, granted }) = answer else { panic!("{answer:?}") };
        assert!(granted.len() == 3 && granted.iter().all(Result::is_ok));
        assert!(slices >= 4, "{slices}");
        assert_eq!(hall.broker.client("s").unwrap().queued, 1);
    }

    /// The subscription is there by then: what publishers stored since it was looked for comes, whether it fits or not.
    #[test]
    fn values_stored_while_others_are_looked_through_are_not_refused_afterwards() {
        let mut hall = with_much_retained(Limits { queue_messages_max: 3, ..Default::default() });
        let (mut publisher, _) = hall.attach("q", true, 0, 10);
        let (mut peer, _) = hall.attach("s", true, 100, 10);
        let mut answer = hall.ask(&mut peer, request(&["+/+/x"]));
        assert!(matches!(answer, Answer::Parked));
        for number in 0..5 {
            hall.retain(&mut publisher, &format!("0/{number}/x"));
        }
        while matches!(answer, Answer::Parked) {
            answer = hall.broker.resume(&mut hall.worker, &mut peer.link, hall.now);
        }
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(granted, [Ok(Guarantee::AtLeastOnce)]);
        assert_eq!(hall.broker.client("s").unwrap().queued, 5);
    }

    /// MQTT 5.0, 3.9.3: nothing comes of a subscription that is refused, and it changes nothing on disk.
    #[test]
    fn of_a_subscription_that_is_refused_since_too_much_is_retained_nothing_is_queued() {
        let mut hall = with_much_retained(Limits { queue_messages_max: 30_000, ..Default::default() });
        let (mut peer, _) = hall.attach("s", true, 100, 10);
        let mut answer = hall.ask(&mut peer, request(&["a/+/v", "a/7/+"]));
        while matches!(answer, Answer::Parked) {
            answer = hall.broker.resume(&mut hall.worker, &mut peer.link, hall.now);
            assert!(hall.broker.client("s").unwrap().queued <= 1, "one slice");
        }
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else { panic!("{answer:?}") };
        assert!(granted[0].is_err() && granted[1].is_ok(), "{granted:?}");
        assert_eq!(hall.broker.client("s").unwrap().queued, 1);
        assert_eq!(hall.broker.directory.get("s").unwrap().lock().subscriptions.len(), 1);
    }

    #[test]
    fn the_filters_of_a_client_have_so_many_bytes_together() {
        let most = 10 + 2 * LEVEL_BYTES;
        let mut hall = hall(Limits { subscription_bytes_per_client_max: most, ..Default::default() });
        let (mut peer, _) = hall.attach("s", true, 100, 10);
        let mut grant = |names: &[&str]| match hall.ask(&mut peer, request(names)) {
            Answer::Say(_, Event::Subscribed { granted, .. }) => {
                granted.into_iter().map(|one| one.map_err(|refusal| refusal.kind)).collect::<Vec<_>>()
            }
            answer => panic!("{answer:?}"),
        };
        let (granted, refused) = (Ok(Guarantee::AtLeastOnce), Err(RefusalKind::QuotaExceeded));
        assert_eq!(grant(&["aaaa", "bbbb", "ccc", "aaaa"]), [granted, granted, refused, granted]);
        hall.ask(&mut peer, Request::Unsubscribe(Unsubscribe { handle: 1, filters: vec![("aaaa".into(), None)] }));
        hall.subscribe(&mut peer, "ccc", Guarantee::AtLeastOnce);
        assert_eq!(hall.broker.directory.get("s").unwrap().lock().subscription_bytes, 7 + 2 * LEVEL_BYTES);
    }

    /// 128 levels of one character took 115 times their text.
    #[test]
    fn the_levels_of_filters_count_in_what_a_client_and_all_clients_may_have() {
        let (filters, deep) = (["a/b", "c/d/e", "b/b"], "a/".repeat(100));
        let (granted, refused) = (Ok(Guarantee::AtLeastOnce), Err(RefusalKind::QuotaExceeded));
        let (mine, all) = (20 + 4 * LEVEL_BYTES, 7 * LEVEL_BYTES);
        let mut hall =
            hall(Limits { subscription_bytes_per_client_max: mine, subscription_bytes_max: all, ..Default::default() });
        let mut grant = |id: &str, names: &[&str]| {
            let (mut peer, _) = hall.attach(id, false, 100, 10);
            match hall.ask(&mut peer, request(names)) {
                Answer::Say(_, Event::Subscribed { granted, .. }) => {
                    granted.into_iter().map(|one| one.map_err(|refusal| refusal.kind)).collect::<Vec<_>>()
                }
                answer => panic!("{answer:?}"),
            }
        };
        assert_eq!(grant("s", &filters), [granted, refused, granted]);
        // What others have already takes nothing more; the root is one, too.
        assert_eq!(grant("t", &[&deep, "a/b", "c/d"]), [refused, granted, granted]);
        assert_eq!(grant("u", &["x"]), [refused]);
    }

    /// Receive Maximum 1 and the same filter again and again held gigabytes, and each walked all that was there.
    #[test]
    fn a_filter_that_is_subscribed_to_again_has_one_replay() {
        let mut hall = hall(Limits::default());
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        ["r", "s"].into_iter().for_each(|name| hall.retain(&mut publisher, name));
        let (mut peer, _) = hall.attach("s", true, 0, 1);
        for _ in 0..50 {
            hall.ask(&mut peer, request(&["r", "s", "r"]));
        }
        let mailbox = hall.broker.directory.get("s").unwrap();
        assert_eq!(mailbox.lock().replaying.replays.len(), 2);
        hall.ask(&mut peer, Request::Unsubscribe(Unsubscribe { handle: 1, filters: vec![("r".into(), None)] }));
        assert_eq!(mailbox.lock().replaying.replays.len(), 1);
    }

    #[test]
    fn a_connection_whose_place_was_taken_goes_on_with_nothing() {
        let mut hall = with_much_retained(Limits::default());
        let (mut peer, _) = hall.attach("s", true, 100, 10);
        assert!(matches!(hall.ask(&mut peer, request(&["+/+/x"])), Answer::Parked));
        let _heir = hall.attach("s", false, 100, 10);
        let over = hall.broker.resume(&mut hall.worker, &mut peer.link, hall.now);
        assert!(matches!(over, Answer::None) && !peer.link.is_parked(), "{over:?}");
        assert!(hall.broker.directory.get("s").unwrap().lock().subscriptions.is_empty());
    }
}
