//! One subscriber: acknowledges what it is sent and notes how long it was on its way, what came twice and what came out
//! of order.

use super::connection::{Connection, wrong};
use super::heard::Heard;
use super::play::Run;
use crate::cli::Failure;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PubAck, PubComp, PubRec, Publish, Subscribe, SubscribeFilter, SubscribeReasonCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Filters of one SUBSCRIBE.
const FILTERS_AT_ONCE: usize = 100;

struct Subscriber {
    number: u32,
    run: Arc<Run>,
    connection: Connection,
    heard: Heard,
}

/// Connects and subscribes; what it gives back listens until the run is stopped.
pub(super) fn open(run: &Arc<Run>, number: u32) -> Result<impl FnOnce() -> Result<Heard, Failure> + use<>, Failure> {
    let plan = &run.plan;
    let mut connection = run.connect("sub", number, !plan.durable)?;
    ask(&mut connection, &[filter(run, number)], plan.subscribe_qos)?;
    // Retained messages may come before the answer.
    if !plan.retain {
        answered(&connection.expect()?)?;
    }
    Ok(listener(run, number, connection))
}

/// Subscribes for a session that stays, and goes.
pub(super) fn leave(run: &Run, number: u32) -> Result<(), Failure> {
    let mut connection = run.connect("sub", number, false)?;
    ask(&mut connection, &[filter(run, number)], run.plan.subscribe_qos)?;
    answered(&connection.expect()?)?;
    connection.leave()
}

/// Comes back for a session; what it gives back listens until the run is stopped.
pub(super) fn resume(run: &Arc<Run>, number: u32) -> Result<impl FnOnce() -> Result<Heard, Failure> + use<>, Failure> {
    let connection = run.connect("sub", number, false)?;
    Ok(listener(run, number, connection))
}

fn listener(run: &Arc<Run>, number: u32, connection: Connection) -> impl FnOnce() -> Result<Heard, Failure> + use<> {
    let mut subscriber = Subscriber { number, run: run.clone(), connection, heard: Heard::new(&run.plan) };
    move || subscriber.work().and_then(|()| subscriber.end())
}

/// What a subscriber hears.
fn filter(run: &Run, number: u32) -> String {
    let share = if run.plan.shared { "$share/bench/" } else { "" };
    let whose = if run.plan.pairs { format!("/{number}") } else { String::new() };
    format!("{share}{}{whose}/#", run.root)
}

/// Somebody else's filters, which stay as long as the connection.
pub(super) fn others(run: &Run) -> Result<Option<Connection>, Failure> {
    if run.plan.filters == 0 {
        return Ok(None);
    }
    let mut connection = run.connect("others", 0, true)?;
    let filters: Vec<String> = (0..run.plan.filters).map(|at| format!("{}/others/{at}/+", run.root)).collect();
    for filters in filters.chunks(FILTERS_AT_ONCE) {
        ask(&mut connection, filters, QoS::AtMostOnce)?;
        answered(&connection.expect()?)?;
    }
    Ok(Some(connection))
}

fn ask(connection: &mut Connection, filters: &[String], qos: QoS) -> Result<(), Failure> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = 1;
    subscribe.write(&mut connection.outgoing).map_err(wrong)?;
    connection.flush()
}

/// Whether the broker takes a subscription.
fn answered(packet: &Packet) -> Result<(), Failure> {
    match packet {
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
        // Messages may have come together with the answer to CONNECT or SUBSCRIBE.
        while !self.run.stop.load(Ordering::Relaxed) {
            let now = self.run.micros();
            while let Some(packet) = self.connection.here()? {
                match packet {
                    Packet::Publish(publish) => self.take(&publish, now)?,
                    Packet::PubRel(release) => {
                        PubComp::new(release.pkid).write(&mut self.connection.outgoing).map_err(wrong)?;
                    }
                    answer @ Packet::SubAck(_) => answered(&answer)?,
                    other => return Err(Failure::Failed(format!("a subscriber was sent {other:?}"))),
                }
            }
            self.connection.flush()?;
            self.heard.wake(&self.run);
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
        self.heard
            .note(&self.run, &publish.payload, now)
            .map_err(|()| Failure::Failed(format!("a message on {} that is not of this run", publish.topic)))
    }
}
