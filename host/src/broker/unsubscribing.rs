//! Filters that go: those of UNSUBSCRIBE, and those of a mailbox that has ended. Both in slices, so that a hundred thousand of
//! them hold up nobody. What a filter costs are its levels.

use super::attach::{Link, Parked};
use super::worker::Worker;
use super::{Answer, Broker};
use crate::client::Client;
use crate::dialogue::{Event, Handle, Subscription, Unsubscribe};
use crate::message::{Refusal, Time};
use crate::store::{Change, MailboxId};
use crate::topic::Filter;
use crate::wasm::{EventKinds, Happening};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Levels that one slice takes out: a few milliseconds.
const SLICE: usize = 4_096;
/// Levels under one lock, for which publishers to new topics wait.
const LOCKED: usize = 512;
/// Milliseconds between two slices.
const PAUSE: u64 = 5;

/// What is left of an UNSUBSCRIBE.
pub(super) struct Unsubscribing {
    handle: Handle,
    left: std::vec::IntoIter<(Box<str>, Option<Box<str>>)>,
    removed: Vec<Result<bool, Refusal>>,
}

/// Mailboxes that have ended and still stand in the tree of filters. Nobody puts anything into them. They count as subscriptions
/// until they are out, so that nobody can leave faster than that is done.
#[derive(Default)]
pub struct Leavers(Mutex<VecDeque<Leaver>>);

struct Leaver {
    client: Arc<Client>,
    mailbox: MailboxId,
    left: std::vec::IntoIter<Subscription>,
}

/// What a filter costs.
pub(super) fn levels(filter: &Filter) -> usize {
    1 + filter.as_str().bytes().filter(|byte| *byte == b'/').count()
}

impl Broker {
    pub(super) fn unsubscribe(&self, worker: &mut Worker, link: &mut Link, unsubscribe: Unsubscribe) -> Answer {
        let Unsubscribe { handle, filters } = unsubscribe;
        let removed = Vec::with_capacity(filters.len());
        self.unsubscribe_on(worker, link, Box::new(Unsubscribing { handle, left: filters.into_iter(), removed }))
    }

    /// Works off the next slice.
    pub(super) fn unsubscribe_on(&self, worker: &mut Worker, link: &mut Link, mut going: Box<Unsubscribing>) -> Answer {
        let Some(attachment) = link.attachment.clone() else { return Answer::None };
        let mailbox = &attachment.mailbox;
        // Another connection may have taken the place meanwhile.
        if !mailbox.is_current(attachment.number) {
            return Answer::None;
        }
        worker.refresh_for(self, link.client.as_ref().map_or("", |client| &client.id));
        let (mut steps, mut changes) = (0, Vec::new());
        while steps < SLICE
            && let Some((name, share)) = going.left.next()
        {
            going.removed.push(self.broker_filter(worker, link, &name).map(|filter| {
                steps += levels(&filter);
                let found = self.drop_subscription(mailbox, &filter, share.as_deref());
                if found && let Some(client) = &link.client {
                    let what = || Happening::Unsubscribed(client.clone(), filter.clone());
                    self.happened(EventKinds::SUBSCRIPTIONS, what);
                }
                if found && mailbox.is_durable() {
                    changes.push(Change::FilterGone(mailbox.id, filter.as_str().into(), share));
                }
                found
            }));
        }
        worker.work += steps as u64;
        let after = if changes.is_empty() { 0 } else { self.store.submit(changes) };
        if going.left.len() > 0 {
            link.parked = Some(Parked::Unsubscribe(going));
            link.outlet.wake();
            return Answer::Parked;
        }
        Answer::Say(after, Event::Unsubscribed { handle: going.handle, removed: going.removed })
    }

    /// Takes the filters of a mailbox out that has ended: at once, or what is more than a slice later.
    pub(super) fn take_out(&self, client: &Arc<Client>, mailbox: MailboxId, subscriptions: Vec<Subscription>) {
        let mut leaver = Leaver { client: client.clone(), mailbox, left: subscriptions.into_iter() };
        self.take_out_some(&mut leaver);
        if leaver.left.len() > 0 {
            self.leavers.0.lock().push_back(leaver);
        }
    }

    /// Works off the next slice; returns when to come again, if there is more.
    pub(super) fn take_out_more(&self, now: Time) -> Option<Time> {
        let mut leaver = self.leavers.0.lock().pop_front()?;
        self.take_out_some(&mut leaver);
        let mut leavers = self.leavers.0.lock();
        if leaver.left.len() > 0 {
            leavers.push_front(leaver);
        }
        (!leavers.is_empty()).then(|| now.plus_milliseconds(PAUSE))
    }

    fn take_out_some(&self, leaver: &mut Leaver) {
        let mut steps = 0;
        while steps < SLICE && leaver.left.len() > 0 {
            let (mut some, mut under_lock) = (Vec::new(), 0);
            while under_lock < LOCKED
                && let Some(subscription) = leaver.left.next()
            {
                under_lock += levels(&subscription.filter);
                some.push(subscription);
            }
            steps += under_lock;
            self.take_out_these(leaver, &some);
        }
    }

    fn take_out_these(&self, leaver: &Leaver, subscriptions: &[Subscription]) {
        self.metrics.subscriptions.add(-(subscriptions.len() as i64));
        let leftovers = {
            let mut trie = self.trie.write();
            for subscription in subscriptions.iter().filter(|subscription| subscription.share.is_none()) {
                trie.remove(subscription.filter.as_str(), leaver.mailbox);
            }
            trie.give_back()
        };
        drop(leftovers);
        for subscription in subscriptions {
            let filter = &subscription.filter;
            match &subscription.share {
                Some(share) => self.leave_group(share, filter, leaver.mailbox),
                None => self.changes.announce(filter.as_str()),
            }
            let what = || Happening::Unsubscribed(leaver.client.clone(), filter.clone());
            self.happened(EventKinds::SUBSCRIPTIONS, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::tests::{Hall, Peer, hall};
    use super::*;
    use crate::dialogue::{Request, Subscribe, SubscribeFilter, SubscribeOptions};
    use crate::message::Guarantee;

    const FILTERS: usize = 300;

    fn names() -> Vec<Box<str>> {
        (0..FILTERS).map(|number| format!("{}{number}", "a/".repeat(99)).into()).collect()
    }

    /// A client with so many filters of a hundred levels, alone or as a member of shares.
    fn with_many(hall: &mut Hall, expiry_seconds: u32, share: Option<&str>) -> Peer {
        let (mut peer, _) = hall.attach("s", true, expiry_seconds, 10);
        let options = SubscribeOptions { guarantee: Guarantee::AtLeastOnce, ..Default::default() };
        let filter = |name| SubscribeFilter { name, share: share.map(Into::into), options };
        let filters = names().into_iter().map(filter).collect();
        let (answer, slices) = work_off(hall, &mut peer, Request::Subscribe(Subscribe { handle: 1, filters }));
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else { panic!("{answer:?}") };
        assert!(granted.len() == FILTERS && granted.iter().all(Result::is_ok) && slices > 1, "{slices}");
        peer
    }

    fn work_off(hall: &mut Hall, peer: &mut Peer, request: Request<'static>) -> (Answer, usize) {
        let mut answer = hall.ask(peer, request);
        let mut slices = 1;
        while matches!(answer, Answer::Parked) {
            answer = hall.broker.resume(&mut hall.worker, &mut peer.link, hall.now);
            slices += 1;
        }
        (answer, slices)
    }

    #[test]
    fn the_filters_of_who_has_gone_go_slice_by_slice() {
        for share in [None, Some("g")] {
            let mut hall = hall(Limits::default());
            let mut peer = with_many(&mut hall, 0, share);
            let (mut publisher, _) = hall.attach("p", true, 0, 10);
            hall.lose(&mut peer);
            assert!(hall.broker.client("s").is_none());
            let left = hall.broker.metrics.subscriptions.get();
            assert!(left > 0 && left < FILTERS as i64, "{left} are left");
            // Nobody gets it, and nobody keeps it.
            let answer = hall.publish(&mut publisher, &names()[FILTERS - 1], Guarantee::AtLeastOnce, 1, b"x");
            assert!(matches!(answer, Answer::Say(..)), "{answer:?}");
            // The same client again, with the same filters.
            let again = with_many(&mut hall, 100, share);
            while hall.broker.take_out_more(hall.now).is_some() {}
            assert_eq!(hall.broker.metrics.subscriptions.get(), FILTERS as i64);
            hall.publish(&mut publisher, &names()[FILTERS - 1], Guarantee::AtLeastOnce, 2, b"y");
            assert_eq!(hall.take(&again).len(), 1);
        }
    }

    #[test]
    fn others_come_between_the_filters_of_one_unsubscribe() {
        for share in [None, Some("g")] {
            let mut hall = hall(Limits::default());
            let mut peer = with_many(&mut hall, 100, share);
            let filters = names().into_iter().map(|name| (name, share.map(Into::into))).collect();
            let (answer, slices) =
                work_off(&mut hall, &mut peer, Request::Unsubscribe(Unsubscribe { handle: 2, filters }));
            let Answer::Say(_, Event::Unsubscribed { handle: 2, removed }) = answer else { panic!("{answer:?}") };
            assert!(removed.len() == FILTERS && removed.iter().all(|one| *one == Ok(true)));
            assert!(slices > 1, "{slices}");
            assert_eq!(hall.broker.metrics.subscriptions.get(), 0);
        }
    }
}
