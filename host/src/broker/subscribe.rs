//! Adding a filter and removing one: what the trie, the groups and the mailbox have to know. Whole requests are worked off in
//! `subscribing` and `unsubscribing`.

use super::Broker;
use super::attach::Link;
use super::mailbox::{Mailbox, State};
use super::route::Subscriber;
use super::shared_groups::Group;
use super::subscription_trie::SubscriptionTrie;
use super::unsubscribing::levels;
use super::worker::Worker;
use crate::client::Client;
use crate::dialogue::Subscription;
use crate::message::{Refusal, RefusalKind};
use crate::topic::Filter;
use crate::wasm::Action;
use crate::wasm::{EventKinds, Happening};
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Filters of one client that are told apart where all of them change.
const FILTERS_TOLD_APART: usize = 64;

/// Groups by share name and filter.
pub(super) type Groups = HashMap<(Box<str>, Filter), Arc<Group>>;

/// Bytes that a subscription takes, with all levels of its filter, as if they were in no other one.
pub(super) fn weight(subscription: &Subscription) -> usize {
    let (name, share) = (subscription.name.as_deref(), subscription.share.as_deref());
    let texts = subscription.filter.as_str().len() + name.map_or(0, str::len) + share.map_or(0, str::len);
    texts + levels(&subscription.filter) * LEVEL_BYTES
}

/// What a level takes that is in no other filter.
pub(super) const LEVEL_BYTES: usize = SubscriptionTrie::<Subscriber>::NODE_BYTES;

impl Broker {
    /// Whether a client may subscribe to a filter in its words. Nothing comes of it yet.
    pub(super) fn may_subscribe(
        &self,
        worker: &mut Worker,
        link: &Link,
        client: &Client,
        name: &str,
    ) -> Result<(), Refusal> {
        let filter = self.broker_filter(worker, link, name)?;
        self.check(worker, client, Action::Subscribe, filter.as_str())
    }

    pub(super) fn subscribed(&self, link: &Link, filter: impl FnOnce() -> Filter) {
        if let Some(client) = &link.client {
            self.happened(EventKinds::SUBSCRIPTIONS, || Happening::Subscribed(client.clone(), filter()));
        }
    }

    /// Looks whether there is room for filters of so many levels.
    ///
    /// # Errors
    /// All filters take as much memory as they may.
    pub(super) fn may_add_levels(&self, levels: usize) -> Result<(), Refusal> {
        if levels == 0 || self.trie.read().bytes() + levels * LEVEL_BYTES <= self.limits.subscription_bytes_max {
            return Ok(());
        }
        let reason = "all filters take as much memory as they may (broker.subscription_bytes_max)";
        Err(Refusal::new(RefusalKind::QuotaExceeded, reason))
    }

    /// Takes a subscriber from where publishers find it.
    fn take_from_trie(&self, filter: &Filter, key: u64) {
        let leftovers = {
            let mut trie = self.trie.write();
            trie.remove(filter.as_str(), key);
            trie.give_back()
        };
        drop(leftovers);
    }

    /// Puts a subscription where publishers find it. False: its mailbox has ended meanwhile.
    pub(super) fn put_subscription(&self, mailbox: &Arc<Mailbox>, key: Arc<str>, subscription: Subscription) -> bool {
        let filter = subscription.filter.clone();
        match &subscription.share {
            None => {
                let subscriber = Self::subscriber(mailbox, subscription.options);
                self.trie.write().insert(filter.as_str(), mailbox.id, subscriber);
            }
            Some(share) => {
                let mut groups = self.groups.write();
                let group = groups.entry((share.clone(), filter.clone())).or_insert_with(|| {
                    // Mailboxes and groups stand side by side in the trie: the topmost bit keeps their keys apart.
                    let key = self.next_group.fetch_add(1, Ordering::Relaxed) | 1 << 63;
                    let group = Arc::new(Group::new(key, share.clone(), filter.clone()));
                    self.trie.write().insert(filter.as_str(), key, Subscriber::Group(group.clone()));
                    group
                });
                group.join(mailbox, subscription.options);
            }
        }
        self.changes.announce(filter.as_str());
        let mut state = mailbox.lock();
        if !state.gone {
            state.subscription_bytes += weight(&subscription);
            if let Some(old) = state.subscriptions.insert(key, subscription) {
                state.subscription_bytes -= weight(&old);
            }
            return true;
        }
        drop(state);
        match &subscription.share {
            None => {
                self.take_from_trie(&filter, mailbox.id);
                self.changes.announce(filter.as_str());
            }
            Some(share) => self.leave_group(share, &filter, mailbox.id),
        }
        false
    }

    pub(super) fn leave_group(&self, share: &str, filter: &Filter, mailbox: u64) {
        let mut groups = self.groups.write();
        let key = (Box::from(share), filter.clone());
        let Some(group) = groups.get(&key) else { return };
        if group.leave(mailbox) {
            self.take_from_trie(filter, group.key);
            groups.remove(&key);
        }
        self.changes.announce(filter.as_str());
    }

    /// Says that copies for a mailbox are made in another way now: names and rules are its client's.
    pub(super) fn receiver_changed(&self, state: &State) {
        if state.subscriptions.len() > FILTERS_TOLD_APART {
            return self.changes.announce_all();
        }
        state.subscriptions.values().for_each(|subscription| self.changes.announce(subscription.filter.as_str()));
    }

    pub(super) fn drop_subscription(&self, mailbox: &Arc<Mailbox>, filter: &Filter, share: Option<&str>) -> bool {
        let mut state = mailbox.lock();
        let Some(old) = state.subscriptions.remove(&key(filter, share)) else { return false };
        state.subscription_bytes -= weight(&old);
        super::spares::shed_table(&mut state.subscriptions);
        // What is retained goes to subscriptions that are not shared (MQTT 5.0, 4.8.2).
        if share.is_none() {
            state.replaying.changed().into_iter().for_each(|replaying| replaying.replays.remove(filter));
        }
        drop(state);
        self.metrics.subscriptions.add(-1);
        match share {
            None => {
                self.take_from_trie(filter, mailbox.id);
                self.changes.announce(filter.as_str());
            }
            Some(share) => self.leave_group(share, filter, mailbox.id),
        }
        true
    }

    /// The broker's filter for one in the client's words.
    pub(super) fn broker_filter(&self, worker: &mut Worker, link: &Link, name: &str) -> Result<Filter, Refusal> {
        let invalid = |error: crate::topic::NameError| Refusal::new(RefusalKind::TopicInvalid, error.to_string());
        let filter = Filter::new(name, &self.limits.topic).map_err(invalid)?;
        let chain = worker.chain.clone();
        match chain.subscribe_filter(&mut worker.guests, &link.scope, name)? {
            Some(mapped) => Filter::new(&mapped, &self.limits.topic).map_err(invalid),
            None => Ok(filter),
        }
    }
}

/// Under which a mailbox keeps a subscription.
pub(super) fn key(filter: &Filter, share: Option<&str>) -> Arc<str> {
    match share {
        None => filter.clone().into(),
        Some(share) => format!("$share/{share}/{filter}").into(),
    }
}
