//! One publisher: sends stamped messages as fast as its window, or as its rate, lets it.

use super::connection::{self, Connection, wrong};
use super::play::Run;
use crate::cli::Failure;
use bytes::Bytes;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PubRel, Publish};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{park_timeout, sleep};
use std::time::{Duration, Instant};

/// Bytes that gather before they are sent.
const BATCH_BYTES: usize = 64 << 10;

/// How long copies are waited for while none arrives.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a publisher that waits for copies looks whether the run is over.
const LOOK: Duration = Duration::from_millis(100);

struct Publisher {
    run: Arc<Run>,
    number: u32,
    connection: Connection,
    next: u64,
    under_way: u16,
    begun: Instant,
}

/// Connects; what it gives back publishes all messages and waits for their acknowledgements.
pub(super) fn open(run: &Arc<Run>, number: u32) -> Result<impl FnOnce() -> Result<(), Failure> + use<>, Failure> {
    let connection = run.connect("pub", number, true)?;
    let mut publisher =
        Publisher { run: run.clone(), number, connection, next: 0, under_way: 0, begun: Instant::now() };
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
        self.run.copies.wait_here(self.number);
        self.begun = Instant::now();
        loop {
            let due = self.due();
            while self.next < due && self.has_room() && self.connection.outgoing.len() < BATCH_BYTES {
                self.put()?;
            }
            self.connection.flush()?;
            let is_due = self.next < due;
            if self.under_way > 0 && !(is_due && self.has_room()) {
                self.acknowledgements()?;
            } else if self.next >= self.end() {
                return Ok(());
            } else if !is_due {
                sleep(self.time_to_next());
            } else if !self.has_room() {
                self.copies()?;
            }
        }
    }

    /// Number of the message after the last.
    fn end(&self) -> u64 {
        if self.run.enough.load(Ordering::Relaxed) { self.next } else { self.run.plan.messages }
    }

    /// Number of the first message that is not due yet. With a rate publishers take turns.
    fn due(&self) -> u64 {
        let Some(rate) = self.run.plan.rate else { return self.end() };
        let turns = self.begun.elapsed().as_secs_f64() * rate as f64 + 1.0 - self.turn();
        (turns.max(0.0) as u64).min(self.end())
    }

    /// Until the next message is due.
    fn time_to_next(&self) -> Duration {
        let rate = self.run.plan.rate.map_or(1.0, |rate| rate as f64);
        let due = Duration::try_from_secs_f64((self.next as f64 + self.turn()) / rate).unwrap_or(LOOK);
        due.saturating_sub(self.begun.elapsed()).min(LOOK)
    }

    /// Which part of the time between two messages this publisher begins after the first one.
    fn turn(&self) -> f64 {
        f64::from(self.number) / f64::from(self.run.plan.publishers)
    }

    /// Whether one more may be under way.
    fn has_room(&self) -> bool {
        let plan = &self.run.plan;
        let window = plan.window;
        self.under_way < window && !(plan.await_copies && self.missing() >= u64::from(window))
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

    /// Messages that have not arrived whole. A copy that comes twice counts twice.
    fn missing(&self) -> u64 {
        self.next.saturating_sub(self.run.copies.whole(self.number))
    }

    /// Waits until one more message has arrived whole.
    fn copies(&self) -> Result<(), Failure> {
        let since = Instant::now();
        while !self.has_room() && self.next < self.end() {
            if since.elapsed() > PATIENCE {
                let reason = format!("{} messages of publisher {} do not arrive", self.missing(), self.number);
                return Err(Failure::Failed(reason));
            }
            park_timeout(LOOK);
        }
        Ok(())
    }

    /// Works off the acknowledgements that are there, or waits for the first.
    fn acknowledgements(&mut self) -> Result<(), Failure> {
        let asked = Instant::now();
        while !self.connection.more()? {
            if asked.elapsed() > connection::PATIENCE {
                return Err(connection::silent());
            }
        }
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
