//! What one subscriber heard: how long it was on its way, and what came out of order.

use super::histogram;
use super::play::Run;
use super::scenario::Plan;
use hdrhistogram::Histogram;
use std::sync::atomic::Ordering;

/// Topics whose order is looked at by each subscriber.
const TOPICS_MAX: u64 = 1 << 20;

/// See the head of this file.
pub(super) struct Heard {
    /// Microseconds from the publisher's batch to here.
    pub latency: Histogram<u64>,
    /// Messages that came when a later one of the same publisher and topic had been there.
    pub out_of_order: u64,
    /// When the last one came, in microseconds of the run.
    pub last: u64,
    /// Number of the message that is expected next at the earliest, by publisher and topic.
    next: Vec<u64>,
    /// Publishers whose messages have arrived whole since the last [`Heard::wake`].
    whole: Vec<u32>,
}

impl Heard {
    pub fn new(plan: &Plan) -> Self {
        let topics = u64::from(plan.publishers).saturating_mul(plan.topics).min(TOPICS_MAX) as usize;
        Self { latency: histogram(), out_of_order: 0, last: 0, next: vec![0; topics], whole: Vec::new() }
    }

    /// One message; an error: it is not of this run.
    pub fn note(&mut self, run: &Run, payload: &[u8], now: u64) -> Result<(), ()> {
        let (publisher, number, sent) = stamp(payload).ok_or(())?;
        run.received.fetch_add(1, Ordering::Relaxed);
        if run.plan.await_copies && run.copies.note(publisher) && self.whole.last() != Some(&publisher) {
            self.whole.push(publisher);
        }
        if run.is_measured.load(Ordering::Relaxed) {
            self.latency.saturating_record(now.saturating_sub(sent));
        }
        self.last = now;
        let topics = run.plan.topics;
        let topic = u64::from(publisher).saturating_mul(topics).saturating_add(number % topics);
        if let Some(next) = usize::try_from(topic).ok().and_then(|topic| self.next.get_mut(topic)) {
            if number < *next {
                self.out_of_order += 1;
            } else {
                *next = number + 1;
            }
        }
        Ok(())
    }

    /// Tells publishers that wait for it that messages of theirs have arrived.
    pub fn wake(&mut self, run: &Run) {
        for publisher in self.whole.drain(..) {
            run.copies.wake(publisher);
        }
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
    use super::super::play::STAMP_BYTES;
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
