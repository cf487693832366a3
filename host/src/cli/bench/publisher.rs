//! One publisher: sends stamped messages as fast as its window, or as its rate, lets it.

use super::Run;
use super::connection::{Connection, wrong};
use crate::cli::Failure;
use bytes::Bytes;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PubRel, Publish};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes that gather before they are sent.
const BATCH_BYTES: usize = 64 << 10;

struct Publisher {
    run: Arc<Run>,
    number: u32,
    connection: Connection,
    next: u64,
    under_way: u16,
}

/// Connects; what it gives back publishes all messages and waits for their acknowledgements.
pub(super) fn open(run: &Arc<Run>, number: u32) -> Result<impl FnOnce() -> Result<(), Failure> + use<>, Failure> {
    let connection = run.connect("pub", number, true)?;
    let mut publisher = Publisher { run: run.clone(), number, connection, next: 0, under_way: 0 };
    Ok(move || publisher.work())
}

/// Deletes the values that a run with retained messages has left.
pub(super) fn forget(run: &Arc<Run>) -> Result<(), Failure> {
    let mut connection = run.connect("forget", 0, true)?;
    for number in 0..run.plan.publishers {
        for topic in 0..run.plan.topics.min(run.plan.messages) {
            let topic = format!("{}/{number}/{topic}", run.root);
            let mut publish = Publish::from_bytes(topic, QoS::AtMostOnce, Bytes::new());
            publish.retain = true;
            publish.write(&mut connection.outgoing).map_err(wrong)?;
            if connection.outgoing.len() >= BATCH_BYTES {
                connection.flush()?;
            }
        }
    }
    connection.leave()
}

impl Publisher {
    fn work(&mut self) -> Result<(), Failure> {
        let (messages, rate, window) = (self.run.plan.messages, self.run.plan.rate, self.run.plan.window);
        let begun = Instant::now();
        while self.next < messages || self.under_way > 0 {
            let due = rate.map_or(messages, |rate| {
                ((begun.elapsed().as_secs_f64() * rate as f64) as u64).saturating_add(1).min(messages)
            });
            while self.next < due && self.under_way < window && self.connection.outgoing.len() < BATCH_BYTES {
                self.put()?;
            }
            self.connection.flush()?;
            if self.under_way > 0 && (self.under_way >= window || self.next >= due) {
                self.acknowledgements()?;
            } else if self.next >= due && self.next < messages {
                sleep(Duration::from_micros(500));
            }
        }
        Ok(())
    }

    /// Writes the next message to the batch.
    fn put(&mut self) -> Result<(), Failure> {
        let plan = &self.run.plan;
        let payload = self.run.payload(self.number, self.next);
        let topic = self.run.topic(self.number, self.next);
        let mut publish = Publish::from_bytes(topic, plan.qos, Bytes::from(payload));
        publish.retain = plan.retain;
        if publish.qos != QoS::AtMostOnce {
            publish.pkid = (self.next % u64::from(u16::MAX)) as u16 + 1;
            self.under_way += 1;
        }
        publish.write(&mut self.connection.outgoing).map_err(wrong)?;
        self.next += 1;
        self.run.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Works off the acknowledgements that are there, or waits for the first.
    fn acknowledgements(&mut self) -> Result<(), Failure> {
        self.connection.more()?;
        while let Some(packet) = self.connection.here()? {
            match packet {
                Packet::PubAck(_) | Packet::PubComp(_) => self.under_way -= 1,
                Packet::PubRec(answer) => {
                    PubRel::new(answer.pkid).write(&mut self.connection.outgoing).map_err(wrong)?;
                }
                other => return Err(Failure::Failed(format!("a publisher was sent {other:?}"))),
            }
        }
        Ok(())
    }
}
