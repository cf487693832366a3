//! How a connection ends, what its client hears of it, and what the hall does.

use super::amqp::Over;
use super::connection::Connection;
use super::gate::Crowded;
use super::linger::linger;
use super::machine::{Machine, Writer};
use super::partial::Partial;
use super::session::Fault;
use crate::client::Departure;
use crate::dialogue::{Closed, Detach};
use crate::mqtt::Violation;
use crate::store::Sequence;

/// How a connection ends.
pub enum End {
    /// The client said goodbye: the hall knows. What it counts on is on disk after that.
    Detached(Sequence),
    /// Nobody is there to hear anything.
    Lost,
    Violation(Violation),
    /// The transport broke its rules, and was told.
    Fault(Fault),
    /// A bound on connections was reached.
    Crowded(Crowded),
    /// It takes nothing of what waits for it.
    Stalled,
    Silent,
    Closed(Closed),
    /// What had to be said was said.
    Refused(Departure),
}

impl From<Over> for End {
    fn from(over: Over) -> Self {
        Self::Refused(over.0)
    }
}

impl Connection {
    /// A client that never came in has to hear why, too.
    pub(super) fn find_words(&mut self) {
        let mut out = self.outlet.lock();
        if matches!(out.writer, Writer::Silent) {
            out.writer = self.machine.writer();
        }
    }

    pub(super) async fn finish(mut self, end: End) {
        // Others may need the room while this one waits for its client.
        self.partial_weight = Partial::default();
        self.newcomer.ticket.give_back();
        self.admission.give_up();
        if let Machine::Amqp(side) = &mut self.machine {
            side.give_up_place();
        }
        let now = self.context.clock.now();
        let metrics = self.context.broker.metrics().clone();
        let departure = match &end {
            // Its sign is that the connection is closed.
            End::Detached(after) => {
                self.await_disk(*after).await;
                None
            }
            End::Lost => Some(Departure::ConnectionLost),
            End::Violation(violation) => {
                metrics.protocol_violations_total.add(1);
                self.find_words();
                self.outlet.violation(now, violation);
                tracing::debug!(%violation, "a client broke the rules");
                Some(Departure::ProtocolViolation)
            }
            End::Fault(fault) => {
                metrics.transport_faults_total.add(1);
                tracing::debug!(%fault, peer = %self.newcomer.peer, "a client broke the rules of its transport");
                Some(Departure::ProtocolViolation)
            }
            End::Crowded(bound) => {
                tracing::debug!(%bound, peer = %self.newcomer.peer, "a connection was turned away");
                Some(Departure::ProtocolViolation)
            }
            End::Stalled => {
                metrics.write_timeouts_total.add(1);
                tracing::debug!(peer = %self.newcomer.peer, "a client that takes nothing was cut off");
                Some(Departure::ConnectionLost)
            }
            End::Silent => {
                match self.newcomer.ticket.is_outside() {
                    true => metrics.opening_timeouts_total.add(1),
                    false => metrics.keep_alive_timeouts_total.add(1),
                }
                self.find_words();
                if let Some(violation) = self.machine.silence() {
                    self.outlet.violation(now, &violation);
                }
                Some(Departure::KeepAliveExpired)
            }
            End::Closed(why) => {
                // What was taken is answered, also that it came in: it hears why it goes after that.
                if !self.answers.is_empty() {
                    self.last_answers().await;
                }
                self.outlet.farewell(now, why.clone());
                Some(match why {
                    Closed::ShuttingDown => Departure::BrokerDown,
                    _ => Departure::ClosedByBroker,
                })
            }
            End::Refused(departure) => Some(*departure),
        };
        if let Some(departure) = departure {
            if let Machine::Amqp(side) = &mut self.machine {
                if let End::Closed(why) = &end {
                    side.farewell(why);
                }
                // Links may hold much that goes back: others come in between.
                self.context.begin_turn(now);
                while !side.drop_links(now, departure) {
                    self.context.worker.borrow_mut().flush(&self.context.broker, now);
                    tokio::task::yield_now().await;
                    self.context.begin_turn(self.context.clock.now());
                }
                side.finish(now, departure);
                self.outlet.send(now, |_, _| {});
            }
            let detach = Detach { departure, expiry_seconds: None };
            let mut worker = self.context.worker.borrow_mut();
            self.context.broker.detach(&mut worker, &mut self.link, now, detach);
        }
        self.context.worker.borrow_mut().flush(&self.context.broker, now);
        self.way.clear();
        drop(self.outlet.waiting_for_way());
        // Whoever said goodbye, and nothing after that, hears all that was said before: closing alone resets nothing.
        let is_over =
            matches!(end, End::Detached(_)) && !self.layered && self.partial.is_empty() && !self.outlet.is_blocked();
        let in_order = !matches!(end, End::Lost | End::Stalled | End::Crowded(_));
        self.partial = Vec::new();
        if !is_over && in_order {
            self.outlet.close_session(now);
            linger(self.outlet.socket(), &mut self.read).await;
        } else if self.layered && matches!(end, End::Lost) {
            // TLS wants a goodbye also from who was said goodbye to (RFC 8446, 6.1).
            self.outlet.close_session(now);
        }
        self.outlet.socket().depart(in_order).await;
    }
}
