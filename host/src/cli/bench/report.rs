//! What came of a run, for people and for scripts.

use super::heard::Heard;
use super::{Run, histogram};
use crate::cli::{Outcome, output};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::atomic::Ordering;

/// What came of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sent: u64,
    received: u64,
    expected: u64,
    out_of_order: u64,
    /// From the first message to the last acknowledgement (QoS 0: the last write).
    publish_seconds: f64,
    /// From the first message to the last copy.
    seconds: f64,
    sent_per_second: f64,
    received_per_second: f64,
    latency_microseconds: Latency,
}

/// Microseconds from publisher to subscriber.
#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Latency {
    fn new(latency: &Histogram<u64>) -> Self {
        Self {
            p50: latency.value_at_quantile(0.5),
            p90: latency.value_at_quantile(0.9),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
        }
    }
}

fn a_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds).round() } else { 0.0 }
}

impl Report {
    pub(super) fn new(run: &Run, begun: u64, published: u64, heard: Vec<Heard>) -> Self {
        let mut latency = histogram();
        for one in &heard {
            latency += &one.latency;
        }
        let sent = run.sent.load(Ordering::Relaxed);
        let received = run.received.load(Ordering::Relaxed);
        let last = heard.iter().map(|one| one.last).max().unwrap_or(0).max(begun + published);
        let (publish_seconds, seconds) = (published as f64 / 1e6, (last - begun) as f64 / 1e6);
        Self {
            sent,
            received,
            expected: run.plan.expected(sent),
            out_of_order: heard.iter().map(|one| one.out_of_order).sum(),
            publish_seconds,
            seconds,
            sent_per_second: a_second(sent, publish_seconds),
            received_per_second: a_second(received, seconds),
            latency_microseconds: Latency::new(&latency),
        }
    }

    /// Of connections: sent are CONNECTs, received CONNACKs.
    pub(super) fn of_arrivals(run: &Run, micros: u64, latency: &Histogram<u64>) -> Self {
        let (sent, received) = (run.sent.load(Ordering::Relaxed), run.received.load(Ordering::Relaxed));
        let seconds = micros as f64 / 1e6;
        Self {
            sent,
            received,
            expected: sent,
            out_of_order: 0,
            publish_seconds: seconds,
            seconds,
            sent_per_second: a_second(sent, seconds),
            received_per_second: a_second(received, seconds),
            latency_microseconds: Latency::new(latency),
        }
    }

    pub(super) fn print(&self) -> Outcome {
        let Latency { p50, p90, p99, p999, max } = self.latency_microseconds;
        output::line(&format!(
            "sent      {} in {:.3} s, {:.0}/s\nreceived  {} of {} in {:.3} s, {:.0}/s\norder     {} out of order\n\
             latency   p50 {p50} us, p90 {p90} us, p99 {p99} us, p99.9 {p999} us, max {max} us",
            self.sent,
            self.publish_seconds,
            self.sent_per_second,
            self.received,
            self.expected,
            self.seconds,
            self.received_per_second,
            self.out_of_order,
        ))
    }
}
