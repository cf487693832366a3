//! What operators may see and do.

use super::directory::Kind;
use super::sys;
use super::worker::Worker;
use super::{Broker, Mailbox};
use crate::client::Protocol;
use crate::dialogue::Closed;
use crate::message::{Message, Time};
use crate::store::Sequence;
use crate::topic::Topic;
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

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// Whose.
    pub client: Arc<str>,
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

    /// Subscriptions of up to `limit` clients after a client id.
    pub fn subscriptions(&self, after: Option<&str>, limit: usize) -> Vec<SubscriptionInfo> {
        let mut all = Vec::new();
        for mailbox in self.directory.page(Kind::Client, after, limit) {
            let state = mailbox.lock();
            let client = state.client.id.clone();
            let mut of_client: Vec<_> = state
                .subscriptions
                .values()
                .map(|subscription| SubscriptionInfo { client: client.clone(), subscription: subscription.clone() })
                .collect();
            of_client.sort_by(|a, b| a.subscription.filter.cmp(&b.subscription.filter));
            all.extend(of_client);
        }
        all
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
