//! Counters and gauges of the whole process, named with their units. No exporter here: the admin room prints them.

mod bridges;
mod spread;

pub use bridges::{BridgeFigures, BridgeStanding, BridgeState, RouteFigures, RouteStanding, RouteState};
pub use spread::Spread;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        if n != 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Only ever grows, with each message or batch of them.
#[derive(Debug, Default)]
pub struct BusyCounter(Spread);

impl BusyCounter {
    /// Adds.
    pub fn add(&self, n: u64) {
        if n != 0 {
            self.0.add(n.cast_signed());
        }
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.sum().cast_unsigned()
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds, or takes away.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident, $help:literal;)+) => {
        /// What the broker counts. One field a figure; the field's name is the exported one behind `pliant_`.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])+ pub $name: $kind,)+
        }

        impl Metrics {
            /// Calls `visit` with name, kind (`counter` or `gauge`), help text and value of each figure.
            pub fn each(&self, mut visit: impl FnMut(&'static str, &'static str, &'static str, i128)) {
                $(visit(stringify!($name), metrics!(@kind $kind), $help, i128::from(self.$name.get()));)+
            }
        }
    };
    (@kind Counter) => { "counter" };
    (@kind BusyCounter) => { "counter" };
    (@kind Gauge) => { "gauge" };
}

metrics! {
    /// Lines of the log that are lost.
    log_lines_lost_total: Counter, "Lines of the log that were lost because it was not read or could not be written.";
    /// Connections that are open, before and after they said who they are.
    connections: Gauge, "Open connections.";
    /// Connections that were ever accepted.
    connections_total: Counter, "Connections accepted.";
    /// Connections turned away because there were too many.
    connections_refused_total: Counter, "Connections turned away by a bound on connections.";
    /// Times that accepting waited for the bound on its rate.
    accepts_delayed_total: Counter, "Times that accepting connections waited for the bound on its rate.";
    /// Clients cut off because they took nothing.
    write_timeouts_total: Counter, "Connections closed because the client took nothing of what waited for it.";
    /// Clients cut off before they said who they are.
    opening_timeouts_total: Counter, "Connections closed because the client did not say in time who it is.";
    /// 1 while clients are sent to another server.
    draining: Gauge, "1 while clients are sent to another server, by a drain or by [redirect].";
    /// Clients that are attached.
    clients: Gauge, "Attached clients.";
    /// Clients that were ever let in.
    clients_total: Counter, "Clients let in.";
    /// Clients that proved who they are.
    authentications_total: Counter, "Clients that proved who they are.";
    /// Clients that were turned away since they did not.
    authentications_failed_total: Counter, "Clients turned away because they did not prove who they are.";
    /// Of those, clients that waited for it.
    authentications_delayed_total: Counter, "Clients whose refusal was delayed because many came from their address.";
    /// Times at which a module, or its failure, denied a client what it wanted to do.
    access_denied_total: Counter, "Times at which access was denied by a module or its failure.";
    /// Connections that were ended since their proof was withdrawn or ran out.
    logins_withdrawn_total: Counter, "Connections ended because their proof was withdrawn or ran out.";
    /// Mailboxes, attached or waiting for their client.
    mailboxes: Gauge, "Mailboxes, attached or not.";
    /// Mailboxes that ended because nobody came back to them in time.
    mailboxes_expired_total: Counter, "Mailboxes that nobody came back to in time.";
    /// Subscriptions.
    subscriptions: Gauge, "Subscriptions.";
    /// Retained messages.
    retained_messages: Gauge, "Retained messages.";
    /// Messages that arrived from anywhere.
    messages_received_total: BusyCounter, "Messages received from clients, HTTP, wills and modules.";
    /// Payload bytes of those.
    payload_received_bytes_total: BusyCounter, "Payload bytes received.";
    /// Copies handed to connections.
    messages_sent_total: BusyCounter, "Message copies sent to clients.";
    /// Payload bytes of those.
    payload_sent_bytes_total: BusyCounter, "Payload bytes sent.";
    /// Messages for which nobody was there.
    messages_unroutable_total: Counter, "Messages that nobody was there for: no subscription matched, or at QoS 0 only those of clients that are away.";
    /// Messages refused to their publisher.
    messages_refused_total: Counter, "Messages refused to their publisher.";
    /// Messages that a module discarded.
    messages_discarded_total: Counter, "Messages that a module discarded.";
    /// Copies that expired while they waited.
    messages_expired_total: Counter, "Message copies that expired in a queue.";
    /// Copies and messages that were given up.
    messages_dropped_total: Counter, "Copies and messages given up: at QoS 0 at a full queue or for an MQTT bridge whose other broker is away, modules' wishes without room, what has no form for its receiver, what a module failed on for too long.";
    /// Wills that found no room when they were due.
    wills_held_total: Counter, "Wills that found no room when they were due, and are tried again.";
    /// Wills that were lost.
    wills_dropped_total: Counter, "Wills that found no room when too many were held already.";
    /// Dead letters that wait in the queue that they come from.
    dead_letters_held_total: Counter, "Dead letters that found no room, or were refused, and wait in their queue.";
    /// Queue entries that nobody could deal with.
    messages_buried_total: Counter, "Queue entries that were rejected, or failed too often.";
    /// Copies that modules failed on.
    deliveries_paused_total: Counter, "Times that a client's queue stood still for a second because a module failed on it.";
    /// Copies too large for the receiver's maximum packet size.
    messages_oversize_total: Counter, "Message copies left out because the receiver's maximum packet size is smaller.";
    /// Memory of all messages.
    message_bytes: Gauge, "Bytes of memory that all messages take, roughly.";
    /// Times that the mark on memory was passed.
    memory_alarms_total: Counter, "Times that messages took more memory than the mark on it.";
    /// Times a publisher was made to wait for a full queue.
    publishers_paused_total: Counter, "Times that a publisher had to wait for a full queue.";
    /// Publications that went another way to slow modules.
    publications_aside_total: Counter, "Publications about which modules that take long were asked on a thread of their own.";
    /// Clients that broke the rules of their protocol.
    protocol_violations_total: Counter, "Connections closed because the client broke its protocol.";
    /// Clients that broke the rules of TLS, WebSocket or PROXY.
    transport_faults_total: Counter, "Connections closed because the client broke TLS, WebSocket or PROXY rules.";
    /// Connections closed for silence.
    keep_alive_timeouts_total: Counter, "Connections closed because the client was silent too long.";
    /// Packets of the protocol read, of any kind.
    packets_received_total: BusyCounter, "Protocol packets received, of any kind.";
    /// Packets of the protocol written that are no messages: answers of all kinds.
    answers_sent_total: BusyCounter, "Protocol packets sent that are no messages.";
    /// Bytes read from sockets.
    bytes_received_total: BusyCounter, "Bytes read from sockets.";
    /// Bytes written to sockets.
    bytes_sent_total: BusyCounter, "Bytes written to sockets.";
    /// Wills published.
    wills_published_total: Counter, "Wills published.";
    /// Commits of the store.
    store_commits_total: Counter, "Commits of the store.";
    /// Changes in those.
    store_changes_total: Counter, "Changes committed to the store.";
    /// Times that the store stopped acknowledging because the disk failed.
    store_failures_total: Counter, "Times that the store failed and stopped acknowledging.";
    /// Rows of the store that were not what was once written.
    store_damaged_rows_total: Counter, "Rows of the store found damaged and set aside.";
    /// Wishes of modules that were published.
    module_wishes_total: Counter, "Messages published on behalf of modules.";
    /// Events that modules were too slow to take.
    module_events_dropped_total: Counter, "Events dropped because modules did not keep up.";
    /// Versions of modules put into quarantine because they failed again and again.
    module_quarantines_total: Counter, "Versions of modules put into quarantine.";
    /// Times that a module went back to an older version by itself.
    module_rollbacks_total: Counter, "Times that a module went back to an older version by itself.";
    /// Requests that modules made of servers outside.
    module_http_requests_total: Counter, "HTTP requests that modules made.";
    /// Those without an answer.
    module_http_failures_total: Counter, "HTTP requests of modules that got no answer, or one that is too large.";
    /// Requests that were not made, since the host is not granted or the hook may not wait.
    module_http_denied_total: Counter, "HTTP requests that modules were not allowed to make.";
    /// Bodies of requests to the admin API that found no room.
    admin_bodies_refused_total: Counter, "Requests to the admin API refused because too many bodies were on their way.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_visited_with_its_value() {
        let metrics = Metrics::default();
        metrics.clients.add(3);
        metrics.bytes_sent_total.add(5);
        let mut seen = Vec::new();
        metrics.each(|name, kind, _, value| seen.push((name, kind, value)));
        assert!(seen.contains(&("clients", "gauge", 3)));
        assert!(seen.contains(&("bytes_sent_total", "counter", 5)));
    }
}
