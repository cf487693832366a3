//! One subscriber: acknowledges what it is sent and notes how long it was on its way, what came twice and what came out
//! of order.

use super::connection::{Connection, wrong};
use super::{Run, histogram};
use crate::cli::Failure;
use hdrhistogram::Histogram;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PubAck, PubComp, PubRec, Publish, Subscribe, SubscribeFilter, SubscribeReasonCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Topics whose order is looked at by each subscriber.
const TOPICS_MAX: u64 = 1 << 20;

/// Filters of one SUBSCRIBE.
const FILTERS_AT_ONCE: usize = 100;

/// What one subscriber heard.
pub(super) struct Heard {
    /// Microseconds from the publisher's batch to here.
    pub latency: Histogram<u64>,
    /// Messages that came when a later one of the same publisher and topic had been there.
    pub out_of_order: u64,
    /// When the last one came, in microseconds of the run.
    pub last: u64,
}

struct Subscriber {
    number: u32,
    run: Arc<Run>,
    connection: Connection,
    heard: Heard,
    /// Number of the message that is expected next at the earliest, by publisher and topic.
    next: Vec<u64>,
}

/// Connects and subscribes; what it gives back listens until the run is stopped.
pub(super) fn open(run: &Arc<Run>, number: u32) -> Result<impl FnOnce() -> Result<Heard, Failure> + use<>, Failure> {
    let plan = &run.plan;
    let mut connection = run.connect("sub", number, !plan.durable)?;
    let share = if plan.shared { "$share/bench/" } else { "" };
    let whose = if plan.pairs { format!("/{number}") } else { String::new() };
    subscribe(&mut connection, &[format!("{share}{}{whose}/#", run.root)], plan.qos)?;
    let topics = (u64::from(plan.publishers) * plan.topics).min(TOPICS_MAX) as usize;
    let heard = Heard { latency: histogram(), out_of_order: 0, last: 0 };
    let mut subscriber = Subscriber { number, run: run.clone(), connection, heard, next: vec![0; topics] };
    Ok(move || subscriber.work().and_then(|()| subscriber.end()))
}

/// Somebody else's filters, which stay as long as the connection.
pub(super) fn others(run: &Run) -> Result<Option<Connection>, Failure> {
    if run.plan.filters == 0 {
        return Ok(None);
    }
    let mut connection = run.connect("others", 0, true)?;
    let filters: Vec<String> = (0..run.plan.filters).map(|at| format!("{}/others/{at}/+", run.root)).collect();
    for filters in filters.chunks(FILTERS_AT_ONCE) {
        subscribe(&mut connection, filters, QoS::AtMostOnce)?;
    }
    Ok(Some(connection))
}

fn subscribe(connection: &mut Connection, filters: &[String], qos: QoS) -> Result<(), Failure> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = 1;
    subscribe.write(&mut connection.outgoing).map_err(wrong)?;
    connection.flush()?;
    match connection.expect()? {
        Packet::SubAck(answer) if !answer.return_codes.contains(&SubscribeReasonCode::Failure) => Ok(()),
        other => Err(Failure::Failed(format!("the broker does not take the subscription: {other:?}"))),
    }
}

impl Subscriber {
    /// A session that outlives its connection is taken away.
    fn end(self) -> Result<Heard, Failure> {
        if self.run.plan.durable {
            self.connection.leave()?;
            self.run.connect("sub", self.number, true)?.leave()?;
        }
        Ok(self.heard)
    }

    fn work(&mut self) -> Result<(), Failure> {
        // Retained messages may have come together with the answer to the subscription.
        while !self.run.stop.load(Ordering::Relaxed) {
            let now = self.run.micros();
            while let Some(packet) = self.connection.here()? {
                match packet {
                    Packet::Publish(publish) => self.take(&publish, now)?,
                    Packet::PubRel(release) => {
                        PubComp::new(release.pkid).write(&mut self.connection.outgoing).map_err(wrong)?;
                    }
                    other => return Err(Failure::Failed(format!("a subscriber was sent {other:?}"))),
                }
            }
            self.connection.flush()?;
            self.connection.more()?;
        }
        Ok(())
    }

    fn take(&mut self, publish: &Publish, now: u64) -> Result<(), Failure> {
        let out = &mut self.connection.outgoing;
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => drop(PubAck::new(publish.pkid).write(out).map_err(wrong)?),
            QoS::ExactlyOnce => drop(PubRec::new(publish.pkid).write(out).map_err(wrong)?),
        }
        let Some((publisher, number, sent)) = stamp(&publish.payload) else {
            return Err(Failure::Failed(format!("a message on {} that is not of this run", publish.topic)));
        };
        self.run.received.fetch_add(1, Ordering::Relaxed);
        self.heard.latency.saturating_record(now.saturating_sub(sent));
        self.heard.last = now;
        let topics = self.run.plan.topics;
        let topic = u64::from(publisher) * topics + number % topics;
        if let Some(next) = usize::try_from(topic).ok().and_then(|topic| self.next.get_mut(topic)) {
            if number < *next {
                self.heard.out_of_order += 1;
            } else {
                *next = number + 1;
            }
        }
        Ok(())
    }
}

/// Publisher, number and time of a payload.
fn stamp(payload: &[u8]) -> Option<(u32, u64, u64)> {
    let (publisher, rest) = payload.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (sent, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*publisher), u64::from_be_bytes(*number), u64::from_be_bytes(*sent)))
}

#[cfg(test)]
mod tests {
    use super::super::STAMP_BYTES;
    use super::*;

    #[test]
    fn a_payload_that_is_too_short_has_no_stamp() {
        let mut payload = vec![0; STAMP_BYTES];
        payload[3] = 1;
        payload[11] = 2;
        payload[19] = 3;
        assert_eq!(stamp(&payload), Some((1, 2, 3)));
        assert_eq!(stamp(&payload[1..]), None);
    }
}
