//! From answers to bytes: what is said once the disk has got so far, and in which order.

use super::connection::Connection;
use super::ending::End;
use super::machine::{Machine, Say};
use crate::client::Departure;
use crate::dialogue::Event;
use crate::message::{Guarantee, Time};
use crate::store::Sequence;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How often a publisher that waits for room looks again, even if nobody wakes it.
const PARKED_RETRY: Duration = Duration::from_secs(1);
/// How often a connection that goes looks whether its answers are on disk.
const DISK_LOOK: Duration = Duration::from_millis(1);
/// For how long the broker, when it shuts down, waits for the disk to give the answers that it owes.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

impl Connection {
    /// Ends a batch: says what may be said, sends what waits for this client, then what waits for others.
    pub(super) fn flush(&mut self, now: Time) -> Result<(), End> {
        let context = self.context.clone();
        if let Machine::Amqp(side) = &mut self.machine {
            side.flush();
            if side.is_in() {
                self.newcomer.ticket.let_in();
            }
            if side.is_waiting() && self.retry.is_none() {
                self.retry = Some(Instant::now() + PARKED_RETRY);
            }
            self.outlet.send(now, |_, _| {});
            context.end_batch(now);
            return Ok(());
        }
        let ended = if self.answers.is_empty() { Ok(()) } else { self.answer(now) };
        context.end_batch(now);
        if let Some((after, _)) = self.answers.front()
            && self.awaited != *after
        {
            self.awaited = *after;
            context.broker.await_answer(*after, self.outlet.clone());
        }
        if self.link.is_parked() && self.retry.is_none() {
            self.retry = Some(Instant::now() + PARKED_RETRY);
        }
        ended
    }

    /// Says what may be said. A message that comes back to its publisher goes before the acknowledgement that ends its
    /// publication, as clients know it from other brokers.
    fn answer(&mut self, now: Time) -> Result<(), End> {
        let Self { answers, machine, newcomer, outlet, context, link, .. } = self;
        let (mut ended, mut said_so_far, mut has_said_receipt, mut rests) = (Ok(()), 0, false, false);
        outlet.send(now, |out, bytes| {
            let mut filled = false;
            // A client hears that its exactly-once publication was taken before it gets a copy of it.
            out.holding =
                answers.iter().any(|(after, say)| is_exactly_once(say) && !context.broker.is_committed(*after));
            while let Some((_, say)) = answers.pop_front_if(|(after, _)| context.broker.is_committed(*after)) {
                // What the socket does not take now would only wait in another place.
                if !filled
                    && !outlet.is_blocked()
                    && ends_publication(&say)
                    && link.attachment().is_some_and(|own| own.mailbox.depth() > 0)
                {
                    filled = true;
                    outlet.fill(out, bytes, now);
                }
                if let Say::Event(event) = &say {
                    machine.answered(event);
                }
                let before = bytes.len();
                let said = out.writer.say(&say, bytes);
                // A refusal has a word in most protocols, though the connection ends with it.
                said_so_far += u64::from(said || bytes.len() > before);
                has_said_receipt |= is_exactly_once(&say);
                rests |= matches!(&say, Say::Pong | Say::Event(Event::Attached(_)));
                match &say {
                    _ if !said => ended = Err(End::Refused(Departure::ClosedByBroker)),
                    Say::Event(Event::Attached(_)) => {
                        newcomer.ticket.let_in();
                        outlet.socket().let_in();
                        out.attachment = link.attachment().cloned();
                    }
                    Say::Event(Event::Refused(_)) => ended = Err(End::Refused(Departure::ClosedByBroker)),
                    Say::Event(Event::Closed(_)) => ended = Err(End::Refused(Departure::ProtocolViolation)),
                    _ => {}
                }
                if ended.is_err() {
                    out.attachment = None;
                    break;
                }
            }
            // The disk may have got further meanwhile: only what is left holds anything up.
            out.holding = false;
            let holding = answers.iter().any(|(_, say)| is_exactly_once(say));
            // Whoever publishes without a pause has one under way at any time: with each round of them goes a batch of what waits,
            // though a copy of its own at a lower guarantee may be among it.
            if holding && has_said_receipt && !outlet.is_blocked() {
                outlet.fill(out, bytes, now);
            }
            out.holding = holding;
        });
        if rests && answers.is_empty() {
            // Who has just come, or shows that it is there, may have nothing to say for long.
            *answers = VecDeque::new();
        }
        context.broker.metrics().answers_sent_total.add(said_so_far);
        ended
    }

    /// Waits until so much is on disk, for a bounded time, and gives the answers that wait for it, too: who says goodbye may
    /// wait for those, and reads them until the connection is closed (MQTT-3.8.4-1, MQTT-4.3.2-4).
    pub(super) async fn await_disk(&mut self, after: Sequence) {
        if after > 0 {
            self.answers.push_back((after, Say::Bytes(Vec::new())));
        }
        if !self.answers.is_empty() {
            self.last_answers().await;
        }
    }

    /// What was taken is answered before the broker goes: who has released a message and hears nothing would have to
    /// remember that (MQTT-4.3.3-6), and not every client does.
    pub(super) async fn last_answers(&mut self) {
        let until = Instant::now() + LAST_ANSWERS;
        loop {
            let now = self.context.clock.now();
            self.context.worker.borrow_mut().flush(&self.context.broker, now);
            if self.answer(now).is_err() || self.answers.is_empty() || Instant::now() >= until {
                return;
            }
            tokio::time::sleep(DISK_LOOK).await;
        }
    }
}

fn is_exactly_once(say: &Say) -> bool {
    matches!(say, Say::Event(Event::Published { guarantee: Guarantee::ExactlyOnce, .. }))
}

/// Whether this is the last word about a publication.
fn ends_publication(say: &Say) -> bool {
    match say {
        Say::Event(Event::Published { guarantee, .. }) => *guarantee == Guarantee::AtLeastOnce,
        _ => false,
    }
}
