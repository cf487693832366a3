//! The subscriptions of one mailbox that go to other filters of the broker's, all at once: in the tree, in the mailbox and in the
//! store. They keep their options; of what is retained nothing comes of it.

use super::Broker;
use super::mailbox::{Mailbox, State};
use super::remap::Turn;
use super::subscribe::{FILTERS_TOLD_APART, key, weight};
use super::unsubscribing::levels;
use crate::client::Client;
use crate::dialogue::Subscription;
use crate::message::Refusal;
use crate::store::Change;
use crate::wasm::{EventKinds, Happening};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// Levels that change under one lock, for which publishers to new topics wait.
const LOCKED: usize = 512;

type Subscriptions = HashMap<Arc<str>, Subscription>;

/// What changes.
pub(super) struct Moving {
    /// All that the mailbox has then.
    next: Subscriptions,
    /// Those of them that it did not have.
    put: Vec<Subscription>,
    /// What stood under filters that nothing stands under then.
    gone: Vec<Subscription>,
    /// Refused now, and why.
    pub ended: Vec<(Subscription, Refusal)>,
    /// How many have another filter.
    pub moved: u64,
}

impl Moving {
    /// What of a client's words is another filter now: by what it stood under, if it does still.
    pub fn new(before: &Subscriptions, mut turns: HashMap<Arc<str>, Turn>) -> Self {
        let (mut next, mut moved, mut ended) = (HashMap::with_capacity(before.len()), Vec::new(), Vec::new());
        for (key, subscription) in before {
            match turns.remove(key).filter(|(said, _)| **said == *subscription.said()) {
                None => _ = next.insert(key.clone(), subscription.clone()),
                Some((_, Ok(filter))) => moved.push((subscription.clone(), filter)),
                Some((_, Err(refusal))) => ended.push((subscription.clone(), refusal)),
            }
        }
        moved.sort_unstable_by(|(one, _), (other, _)| one.said().cmp(other.said()));
        let count = moved.len() as u64;
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for (old, filter) in moved {
            let name = (filter.as_str() != old.said()).then(|| old.said().into());
            let new = Subscription { filter, name, ..old.clone() };
            let key = key(&new.filter, new.share.as_deref());
            gone.push(old);
            // Two names may have become one filter: as wherever a mailbox has several, the greater guarantee holds. What its client
            // has subscribed to since then is newer.
            let gives_way =
                |stands: &Subscription| stands.said() != new.said() && stands.options.guarantee < new.options.guarantee;
            if next.get(&key).is_none_or(gives_way) {
                next.insert(key.clone(), new);
                put.push(key);
            }
        }
        gone.extend(ended.iter().map(|(old, _)| old.clone()));
        gone.retain(|old| !next.contains_key(&key(&old.filter, old.share.as_deref())));
        let mut seen = HashSet::new();
        put.retain(|key| seen.insert(key.clone()));
        let put = put.iter().filter_map(|key| next.get(key).cloned()).collect();
        Self { next, put, gone, ended, moved: count }
    }
}

fn alone(subscription: &&Subscription) -> bool {
    subscription.share.is_none()
}

impl Broker {
    /// Publishers find a subscription under its new filter from the moment on that they do not under its old one.
    pub(super) fn move_in_trie(&self, mailbox: &Arc<Mailbox>, moving: &Moving) {
        let mut put = moving.put.iter().filter(alone).peekable();
        let mut gone = moving.gone.iter().filter(alone).peekable();
        while put.peek().is_some() || gone.peek().is_some() {
            let (mut trie, mut under_lock) = (self.trie.write(), 0);
            while under_lock < LOCKED && (put.peek().is_some() || gone.peek().is_some()) {
                if let Some(new) = put.next() {
                    trie.insert(new.filter.as_str(), mailbox.id, Self::subscriber(mailbox, new.options));
                    under_lock += levels(&new.filter);
                }
                if let Some(old) = gone.next() {
                    trie.remove(old.filter.as_str(), mailbox.id);
                    under_lock += levels(&old.filter);
                }
            }
        }
        for new in moving.put.iter().filter(|one| one.share.is_some()) {
            self.join_group(mailbox, new);
        }
        self.leave_groups(mailbox, &moving.gone);
        self.announce_moved(moving);
    }

    fn leave_groups(&self, mailbox: &Mailbox, gone: &[Subscription]) {
        for old in gone {
            if let Some(share) = &old.share {
                self.leave_group(share, &old.filter, mailbox.id);
            }
        }
    }

    fn announce_moved(&self, moving: &Moving) {
        if moving.put.len() + moving.gone.len() > FILTERS_TOLD_APART {
            return self.changes.announce_all();
        }
        moving.put.iter().chain(&moving.gone).for_each(|one| self.changes.announce(one.filter.as_str()));
    }

    /// The mailbox has ended meanwhile, and what it had before is taken out by whoever ended it.
    pub(super) fn take_back(&self, mailbox: &Mailbox, moving: &Moving) {
        for new in moving.put.iter().filter(alone) {
            self.trie.write().remove(new.filter.as_str(), mailbox.id);
        }
        self.leave_groups(mailbox, &moving.put);
        self.announce_moved(moving);
    }

    /// The mailbox, and the store in one unit. Under the mailbox's lock, so that whoever comes next tells the store after us.
    pub(super) fn move_in_mailbox(&self, mailbox: &Mailbox, state: &mut State, moving: &mut Moving) {
        let State { subscriptions, subscription_bytes, replaying, .. } = state;
        *subscriptions = std::mem::take(&mut moving.next);
        *subscription_bytes = subscriptions.values().map(weight).sum();
        // What is retained under the old names is not for it any more.
        if let Some(replaying) = replaying.changed() {
            replaying.replays.retain(|one| subscriptions.contains_key(&key(&one.subscription.filter, None)));
        }
        if mailbox.is_durable() {
            let gone = moving
                .gone
                .iter()
                .map(|old| Change::FilterGone(mailbox.id, old.filter.as_str().into(), old.share.clone()));
            let put = moving.put.iter().map(|new| Change::Filter(mailbox.id, Box::new(new.clone())));
            self.store.submit(gone.chain(put).collect::<Vec<_>>());
        }
    }

    /// To modules a subscription that moves is one that ends, and another.
    pub(super) fn tell_moved(&self, client: &Arc<Client>, moving: &Moving) {
        for old in &moving.gone {
            let what = || Happening::Unsubscribed(client.clone(), old.filter.clone());
            self.happened(EventKinds::SUBSCRIPTIONS, what);
        }
        for new in &moving.put {
            self.happened(EventKinds::SUBSCRIPTIONS, || Happening::Subscribed(client.clone(), new.filter.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::SubscribeOptions;
    use crate::message::{Guarantee, RefusalKind};
    use crate::topic::{Filter, Limits};
    use Guarantee::{AtLeastOnce, AtMostOnce};

    fn filter(name: &str) -> Filter {
        Filter::new(name, &Limits::default()).unwrap()
    }

    /// What stands under a filter, said in these words.
    fn one(stands: &str, said: &str, guarantee: Guarantee) -> (Arc<str>, Subscription) {
        let options = SubscribeOptions { guarantee, ..Default::default() };
        let name = (stands != said).then(|| said.into());
        (stands.into(), Subscription { filter: filter(stands), name, share: None, options, binder: None })
    }

    fn turn(stands: &str, said: &str, to: &str) -> (Arc<str>, Turn) {
        (stands.into(), (said.into(), Ok(filter(to))))
    }

    fn outcome(moving: &Moving) -> Vec<(&str, &str, Guarantee)> {
        let all = moving.next.iter().map(|(key, one)| (&**key, one.said(), one.options.guarantee));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    }

    fn names(all: &[Subscription]) -> Vec<&str> {
        all.iter().map(|one| one.filter.as_str()).collect()
    }

    #[test]
    fn two_names_that_exchange_their_filters_both_stay() {
        let before = [one("a", "a", AtLeastOnce), one("b", "b", AtMostOnce)].into_iter().collect();
        let moving = Moving::new(&before, [turn("a", "a", "b"), turn("b", "b", "a")].into_iter().collect());
        assert_eq!(outcome(&moving), [("a", "b", AtMostOnce), ("b", "a", AtLeastOnce)]);
        assert_eq!((names(&moving.gone).len(), moving.put.len(), moving.moved), (0, 2, 2));
    }

    #[test]
    fn of_two_names_that_become_one_filter_the_greater_guarantee_holds() {
        let before = [one("a", "a", AtLeastOnce), one("b", "b", AtMostOnce)].into_iter().collect();
        let moving = Moving::new(&before, [turn("a", "a", "c"), turn("b", "b", "c")].into_iter().collect());
        assert_eq!(outcome(&moving), [("c", "a", AtLeastOnce)]);
        assert_eq!((names(&moving.put), names(&moving.gone)), (vec!["c"], vec!["a", "b"]));
        let before = [one("a", "a", AtLeastOnce), one("c", "c", AtMostOnce)].into_iter().collect();
        let moving = Moving::new(&before, [turn("a", "a", "c")].into_iter().collect());
        assert_eq!(outcome(&moving), [("c", "a", AtLeastOnce)]);
    }

    /// Its client has subscribed again since names mean something else.
    #[test]
    fn what_was_said_again_since_then_holds_as_it_is() {
        let before = [one("a", "x", AtLeastOnce), one("b", "x", AtMostOnce)].into_iter().collect();
        let moving = Moving::new(&before, [turn("a", "x", "b")].into_iter().collect());
        assert_eq!(outcome(&moving), [("b", "x", AtMostOnce)]);
        assert_eq!((moving.put.len(), names(&moving.gone)), (0, vec!["a"]));
    }

    #[test]
    fn what_is_refused_ends_and_what_was_said_in_other_words_since_stays() {
        let refused = || Err(Refusal::new(RefusalKind::NotAuthorized, "no"));
        let before = [one("a", "a", AtLeastOnce), one("b", "b", AtLeastOnce)].into_iter().collect();
        let turns = [("a".into(), ("a".into(), refused())), ("b".into(), ("other".into(), refused()))];
        let moving = Moving::new(&before, turns.into_iter().collect());
        assert_eq!(outcome(&moving), [("b", "b", AtLeastOnce)]);
        assert_eq!((names(&moving.gone), moving.ended.len()), (vec!["a"], 1));
    }
}
