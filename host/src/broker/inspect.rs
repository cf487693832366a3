//! What operators may see and do.

use super::directory::Kind;
use super::mailbox::State;
use super::sys;
use super::worker::Worker;
use super::{Broker, Mailbox};
use crate::client::Protocol;
use crate::dialogue::Closed;
use crate::message::{Message, Time};
use crate::store::Sequence;
use crate::topic::Topic;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// One client, attached or expected back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// MQTT client identifier, or AMQP container id.
    pub id: Arc<str>,
    /// The authenticated name.
    pub identity: Option<Arc<str>>,
    /// How it speaks, or spoke.
    pub protocol: Protocol,
    /// By which listener it came.
    pub listener: Arc<str>,
    /// `address:port`.
    pub peer: Arc<str>,
    /// Whether it is there.
    pub attached: bool,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Copies waiting.
    pub queued: usize,
    /// Copies sent and not settled.
    pub in_flight: usize,
    /// Seconds that its mailbox outlives its connection; `u32::MAX`: for ever.
    pub expiry_seconds: u32,
}

/// Bytes of texts behind which no row of subscriptions follows.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// Clients that are looked at for one page of subscriptions.
const CLIENTS_A_PAGE: usize = 10_000;

/// Where a page of subscriptions begins: behind a client, or behind a key of its subscriptions.
pub type SubscriptionsAfter = (Arc<str>, Option<Arc<str>>);

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// Whose.
    pub client: Arc<str>,
    /// Under which its client has it: the filter in the broker's words, with the share before it.
    pub key: Arc<str>,
    /// As the mailbox keeps it.
    pub subscription: crate::dialogue::Subscription,
}

impl Broker {
    /// Up to `limit` clients after an id, in the order of ids.
    pub fn clients(&self, after: Option<&str>, limit: usize) -> Vec<ClientInfo> {
        self.directory.page(Kind::Client, after, limit).iter().map(info).collect()
    }

    /// One client.
    pub fn client(&self, id: &str) -> Option<ClientInfo> {
        self.directory.get(id).map(|mailbox| info(&mailbox))
    }

    /// Ends a client's connection; false: it has none.
    pub fn disconnect(&self, id: &str) -> bool {
        self.close_one(id, Closed::ByOperator)
    }

    pub(super) fn close_one(&self, id: &str, why: Closed) -> bool {
        let Some(mailbox) = self.directory.get(id) else { return false };
        let outlet = mailbox.lock().outlet.clone();
        outlet.map(|outlet| outlet.close(why)).is_some()
    }

    /// Up to `limit` subscriptions, by client and key, fewer where they are long or many clients have none; and behind what the
    /// next page begins, if there may be one.
    pub fn subscriptions(
        &self,
        after: Option<SubscriptionsAfter>,
        limit: usize,
    ) -> (Vec<SubscriptionInfo>, Option<SubscriptionsAfter>) {
        let mut rows = Vec::new();
        let mut client = after.as_ref().map(|(client, _)| client.clone());
        if let Some((client, Some(key))) = &after
            && let Some(mailbox) = self.directory.get(client)
        {
            rows = subscriptions_of(&mailbox, Some(key), limit + 1);
        }
        for _ in 0..CLIENTS_A_PAGE {
            if let Some(next) = cut(&mut rows, limit) {
                return (rows, Some(next));
            }
            let Some(mailbox) = self.directory.page(Kind::Client, client.as_deref(), 1).pop() else {
                return (rows, None);
            };
            rows.extend(subscriptions_of(&mailbox, None, limit + 1 - rows.len()));
            client = Some(mailbox.lock().client.id.clone());
        }
        let next = cut(&mut rows, limit).or_else(|| client.map(|client| (client, None)));
        (rows, next)
    }

    /// Up to `most` keys of a client's subscriptions after one, in their order.
    pub fn subscription_keys(&self, client: &str, after: &str, most: usize) -> Vec<String> {
        let Some(mailbox) = self.directory.get(client) else { return Vec::new() };
        keys_after(&mailbox.lock(), Some(after), most).into_iter().map(|key| key.to_string()).collect()
    }

    /// Up to `limit` retained messages after a topic, and when each was stored.
    pub fn retained(&self, after: Option<&str>, limit: usize) -> Vec<(Message, Time)> {
        let after = after.and_then(|after| Topic::new(after, &self.limits.topic).ok());
        // The broker's own values are no messages that somebody left.
        let own = sys::VALUES_MAX;
        let kept = self.retained.list(after.as_ref(), limit.saturating_add(own)).into_iter();
        let others = kept.filter(|kept| !kept.message.topic().as_str().starts_with("$SYS/"));
        others.take(limit).map(|kept| (kept.message, kept.stored)).collect()
    }

    /// The retained message of exactly this topic.
    pub fn retained_message(&self, topic: &str, now: Time) -> Option<Message> {
        let topic = Topic::new(topic, &self.limits.topic).ok()?;
        self.retained.get(&topic, now).map(|kept| kept.message)
    }

    /// Deletes a retained message; on disk after the sequence; none: there is none.
    pub fn retained_remove(&self, worker: &mut Worker, topic: &str) -> Option<Sequence> {
        let topic = Topic::new(topic, &self.limits.topic).ok()?;
        self.forget_retained(&topic).then(|| {
            let mut staged = worker.stage();
            staged.retained(&topic);
            self.commit(worker, staged)
        })
    }
}

/// The first keys of subscriptions after one. Of many it takes no more than it returns.
fn keys_after<'s>(state: &'s State, after: Option<&str>, most: usize) -> Vec<&'s Arc<str>> {
    let mut first = BinaryHeap::with_capacity(most.min(state.subscriptions.len()));
    for key in state.subscriptions.keys().filter(|key| after.is_none_or(|after| ***key > *after)) {
        if first.len() < most {
            first.push(key);
        } else if first.peek().is_some_and(|last| key < *last) {
            first.pop();
            first.push(key);
        }
    }
    first.into_sorted_vec()
}

fn subscriptions_of(mailbox: &Mailbox, after: Option<&str>, most: usize) -> Vec<SubscriptionInfo> {
    let state = mailbox.lock();
    let client = &state.client.id;
    let row = |key: &Arc<str>| {
        let subscription = state.subscriptions.get(key)?.clone();
        Some(SubscriptionInfo { client: client.clone(), key: key.clone(), subscription })
    };
    keys_after(&state, after, most).into_iter().filter_map(row).collect()
}

/// Leaves out what is too much for one page; behind what the next one begins then.
fn cut(rows: &mut Vec<SubscriptionInfo>, limit: usize) -> Option<SubscriptionsAfter> {
    let mut bytes = 0;
    let fit = rows.iter().take_while(|row| {
        let is_room = bytes < ROWS_BYTES_MAX;
        bytes += row.key.len() + row.client.len() + row.subscription.name.as_deref().map_or(0, str::len);
        is_room
    });
    let fit = fit.count().min(limit);
    let following = rows.get(fit)?.client.clone();
    rows.truncate(fit);
    rows.last().map(|last| (last.client.clone(), (last.client == following).then(|| last.key.clone())))
}

fn info(mailbox: &Arc<Mailbox>) -> ClientInfo {
    let state = mailbox.lock();
    ClientInfo {
        id: state.client.id.clone(),
        identity: state.client.scope.identity.clone(),
        protocol: state.client.scope.protocol,
        listener: state.client.scope.listener.clone(),
        peer: state.client.peer.clone(),
        attached: state.outlet.is_some(),
        subscriptions: state.subscriptions.len(),
        queued: mailbox.depth(),
        in_flight: state.window.len(),
        expiry_seconds: state.expiry_seconds,
    }
}
