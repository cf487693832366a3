//! What came of a run, for people and for scripts.

use super::heard::Heard;
use super::histogram;
use super::play::Run;
use super::span::{Cost, Span};
use crate::cli::{Outcome, output};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::atomic::Ordering;

/// What came of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The broker's name, if it was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    sent: u64,
    received: u64,
    expected: u64,
    out_of_order: u64,
    /// Whether it went by time. Then the counts above are of the whole run, warm-up and end included; speeds, latency and
    /// what the broker spent are of the time that was measured.
    timed: bool,
    /// From the first message to the last acknowledgement (QoS 0: the last write); by time: what was measured.
    publish_seconds: f64,
    /// From the first message to the last copy; retained and offline: from when the subscribers came; by time: what was
    /// measured.
    seconds: f64,
    sent_per_second: f64,
    received_per_second: f64,
    latency_microseconds: Latency,
    #[serde(flatten)]
    process: Option<ProcessReport>,
}

/// What the broker's process spent.
#[derive(Debug, Serialize)]
struct ProcessReport {
    /// User and system time while messages were measured.
    broker_cpu_seconds: f64,
    /// A copy that arrived, or, where nobody listens, a message that was sent; of connections and storm: a connection.
    broker_cpu_microseconds_per_message: Option<f64>,
    /// Resident memory at the end.
    broker_rss_bytes: u64,
    /// How much more that is than at the beginning.
    broker_rss_growth_bytes: i64,
}

impl ProcessReport {
    fn new(cost: &Cost, messages: u64) -> Self {
        let each = (messages > 0).then(|| (cost.cpu_micros / messages as f64 * 1e3).round() / 1e3);
        Self {
            broker_cpu_seconds: cost.cpu_micros.round() / 1e6,
            broker_cpu_microseconds_per_message: each,
            broker_rss_bytes: cost.resident,
            broker_rss_growth_bytes: cost.grown,
        }
    }
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
    /// Of so many messages; it took so many microseconds to publish them.
    pub(super) fn new(run: &Run, span: &Span, published: u64, heard: Vec<Heard>) -> Self {
        let last = heard.iter().map(|one| one.last).max().filter(|last| *last > 0);
        let took = last.map_or(published, |last| last.saturating_sub(span.begun));
        Self::of(run, span, (published, took), heard)
    }

    /// Of so much time.
    pub(super) fn of_time(run: &Run, span: &Span, heard: Vec<Heard>) -> Self {
        let took = span.ended - span.begun;
        Self::of(run, span, (took, took), heard)
    }

    fn of(run: &Run, span: &Span, (published, took): (u64, u64), heard: Vec<Heard>) -> Self {
        let mut latency = histogram();
        for one in &heard {
            latency += &one.latency;
        }
        let sent = run.sent.load(Ordering::Relaxed);
        let (publish_seconds, seconds) = (published as f64 / 1e6, took as f64 / 1e6);
        let arrives = run.plan.expected(1) > 0;
        // What retained and offline publish lies before their span.
        let sent_meanwhile = if span.sent > 0 { span.sent } else { sent };
        Self {
            broker: run.name.clone(),
            sent,
            received: run.received.load(Ordering::Relaxed),
            expected: run.plan.expected(sent),
            out_of_order: heard.iter().map(|one| one.out_of_order).sum(),
            timed: run.plan.timed.is_some(),
            publish_seconds,
            seconds,
            sent_per_second: a_second(sent_meanwhile, publish_seconds),
            received_per_second: a_second(span.received, seconds),
            latency_microseconds: Latency::new(&latency),
            process: span
                .cost
                .as_ref()
                .map(|cost| ProcessReport::new(cost, if arrives { span.received } else { span.sent })),
        }
    }

    /// Of connections: sent are CONNECTs, received CONNACKs.
    pub(super) fn of_arrivals(run: &Run, span: &Span, latency: &Histogram<u64>) -> Self {
        let took = span.ended - span.begun;
        let report = Self::of(run, span, (took, took), Vec::new());
        let cost = span.cost.as_ref().map(|cost| ProcessReport::new(cost, span.received));
        Self { expected: report.sent, latency_microseconds: Latency::new(latency), process: cost, ..report }
    }

    /// Microseconds of CPU that the broker spent on each message.
    pub(super) fn cpu(&self) -> Option<f64> {
        self.process.as_ref().and_then(|process| process.broker_cpu_microseconds_per_message)
    }

    pub(super) fn print(&self) -> Outcome {
        let Latency { p50, p90, p99, p999, max } = self.latency_microseconds;
        let over = |seconds: f64, rate: f64| match self.timed {
            true => format!("{rate:.0}/s over {seconds:.3} s of that"),
            false => format!("{rate:.0}/s over {seconds:.3} s"),
        };
        output::line(&format!(
            "sent      {}, {}\nreceived  {} of {}, {}\norder     {} out of order\n\
             latency   p50 {p50} us, p90 {p90} us, p99 {p99} us, p99.9 {p999} us, max {max} us",
            self.sent,
            over(self.publish_seconds, self.sent_per_second),
            self.received,
            self.expected,
            over(self.seconds, self.received_per_second),
            self.out_of_order,
        ))?;
        let Some(process) = &self.process else { return Ok(()) };
        let each =
            process.broker_cpu_microseconds_per_message.map_or_else(|| "-".to_owned(), |each| format!("{each:.3}"));
        let name = self.broker.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        output::line(&format!(
            "broker    {name}{each} us of CPU each, {:.3} s in all; {} KiB resident, {} KiB more than before",
            process.broker_cpu_seconds,
            process.broker_rss_bytes / 1024,
            process.broker_rss_growth_bytes / 1024,
        ))
    }
}
