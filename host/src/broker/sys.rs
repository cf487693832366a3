//! The `$SYS` tree: what the broker tells about itself in retained messages, under the names that Mosquitto gave them.
//!
//! Worked out from the counters that are there anyway, at the caller's pace: a message on its way costs nothing for it.
//! The values live in memory only, a new one is sent at most once, and only if it differs from the one before.

use super::Broker;
use super::retain::Keep;
use super::worker::Worker;
use crate::message::{Envelope, Guarantee, Message, Time};
use crate::topic::Topic;
use std::collections::HashMap;
use std::sync::Arc;

/// Counters whose rate is told, by the end of their topics below `$SYS/broker/load/`.
const LOADS: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "connections",
    "sockets",
];

/// The spans over which rates are averaged, in minutes.
const SPANS: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// No more values than this are told.
pub(super) const VALUES_MAX: usize = 64;

/// What the tree has to remember between two looks at the counters.
pub struct SysTree {
    started: Time,
    looked: Time,
    /// Attached clients: the most that a look has seen.
    clients_max: i64,
    loads: [Load; LOADS.len()],
    told: HashMap<String, String>,
}

/// One counter and its rate a minute, averaged with a weight that fades with age.
#[derive(Clone, Copy, Default)]
struct Load {
    counted: u64,
    a_minute: [f64; SPANS.len()],
}

impl Load {
    fn look(&mut self, counted: u64, seconds: f64) {
        let a_minute = counted.saturating_sub(self.counted) as f64 * 60.0 / seconds;
        self.counted = counted;
        for (average, (minutes, _)) in self.a_minute.iter_mut().zip(SPANS) {
            let weight = (-seconds / (60.0 * minutes)).exp();
            *average = a_minute + weight * (*average - a_minute);
        }
    }
}

impl SysTree {
    /// A tree of which nothing was told yet.
    pub fn new(now: Time) -> Self {
        Self { started: now, looked: now, clients_max: 0, loads: Default::default(), told: HashMap::new() }
    }

    /// Looks at the counters and tells what has changed since the last time.
    pub fn publish(&mut self, broker: &Broker, worker: &mut Worker, now: Time) {
        worker.refresh(broker);
        for (name, value) in self.values(broker, now) {
            if self.told.get(&name).is_none_or(|told| *told != value) {
                broker.tell(worker, now, &name, &value);
                self.told.insert(name, value);
            }
        }
        worker.flush(broker, now);
    }

    fn values(&mut self, broker: &Broker, now: Time) -> Vec<(String, String)> {
        let metrics = &broker.metrics;
        let mut values = vec![
            ("version".to_owned(), concat!("pliant version ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime".to_owned(), format!("{} seconds", now.since(self.started) / 1000)),
        ];
        let mut put = |name: &str, value: i128| values.push((name.to_owned(), value.to_string()));
        let (all, here) = (metrics.mailboxes.get().max(0), metrics.clients.get().max(0));
        let away = (all - here).max(0);
        self.clients_max = self.clients_max.max(here);
        put("clients/total", all.into());
        put("clients/connected", here.into());
        put("clients/active", here.into());
        put("clients/disconnected", away.into());
        put("clients/inactive", away.into());
        put("clients/maximum", self.clients_max.into());
        put("clients/expired", metrics.mailboxes_expired_total.get().into());
        put("messages/received", metrics.packets_received_total.get().into());
        put("messages/sent", packets_sent(broker).into());
        put("publish/messages/received", metrics.messages_received_total.get().into());
        put("publish/messages/sent", metrics.messages_sent_total.get().into());
        put("publish/messages/dropped", metrics.messages_dropped_total.get().into());
        put("publish/bytes/received", metrics.payload_received_bytes_total.get().into());
        put("publish/bytes/sent", metrics.payload_sent_bytes_total.get().into());
        put("bytes/received", metrics.bytes_received_total.get().into());
        put("bytes/sent", metrics.bytes_sent_total.get().into());
        put("connections/socket/count", metrics.connections.get().into());
        put("subscriptions/count", metrics.subscriptions.get().into());
        put("shared_subscriptions/count", broker.groups.read().len() as i128);
        put("retained messages/count", metrics.retained_messages.get().into());
        let (messages, bytes) = broker.directory.waiting();
        let stored = messages as i128 + i128::from(metrics.retained_messages.get());
        put("store/messages/count", stored);
        // Its older name.
        put("messages/stored", stored);
        put("store/messages/bytes", bytes as i128 + i128::from(broker.retained.bytes()));
        self.look_at_loads(broker, now, &mut values);
        values
    }

    fn look_at_loads(&mut self, broker: &Broker, now: Time, values: &mut Vec<(String, String)>) {
        let metrics = &broker.metrics;
        let counted = [
            metrics.packets_received_total.get(),
            packets_sent(broker),
            metrics.messages_received_total.get(),
            metrics.messages_sent_total.get(),
            metrics.messages_dropped_total.get(),
            metrics.bytes_received_total.get(),
            metrics.bytes_sent_total.get(),
            metrics.clients_total.get(),
            metrics.connections_total.get(),
        ];
        let seconds = now.since(self.looked) as f64 / 1000.0;
        self.looked = now;
        for ((name, load), counter) in LOADS.iter().zip(&mut self.loads).zip(counted) {
            if seconds > 0.0 {
                load.look(counter, seconds);
            }
            for (average, (_, span)) in load.a_minute.iter().zip(SPANS) {
                values.push((format!("load/{name}/{span}"), format!("{average:.2}")));
            }
        }
    }
}

fn packets_sent(broker: &Broker) -> u64 {
    broker.metrics.messages_sent_total.get() + broker.metrics.answers_sent_total.get()
}

impl Broker {
    /// The broker's id towards others; none: it does not tell it.
    pub fn node(&self) -> Option<&Arc<str>> {
        self.node.get()
    }

    /// Gives it one; the first word holds.
    pub fn set_node(&self, node: &str) {
        let _ = self.node.set(node.into());
    }

    /// Publishes a value of the broker's own below `$SYS/broker/`, past all modules and not to the disk.
    pub fn tell(&self, worker: &mut Worker, now: Time, name: &str, value: &str) {
        let Ok(topic) = Topic::new(&format!("$SYS/broker/{name}"), &self.limits.topic) else { return };
        let envelope = Envelope {
            topic: topic.clone(),
            guarantee: Guarantee::AtMostOnce,
            retain: true,
            expires: None,
            properties: None,
            hops: 0,
        };
        let message = Message::new(envelope, 0, value.as_bytes());
        self.retained.set(message.clone(), now);
        let route = self.route_of(worker, &topic);
        // Nobody waits for the broker's own word: a full queue goes without it.
        let mut staged = worker.stage();
        let _ = self.deliver(worker, now, &message, &route, Keep::No, &mut staged);
        self.commit(worker, staged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_approached_and_a_past_one_fades() {
        let mut load = Load::default();
        for look in 1..=60 {
            load.look(look * 100, 10.0);
        }
        // Ten minutes at 600 a minute.
        let [one, five, fifteen] = load.a_minute;
        assert!((599.0..=600.0).contains(&one) && (515.0..525.0).contains(&five) && (288.0..295.0).contains(&fifteen));
        load.look(6000, 60.0);
        assert!((215.0..225.0).contains(&load.a_minute[0]), "{:?}", load.a_minute);
    }
}
