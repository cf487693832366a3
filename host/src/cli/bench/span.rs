//! What is measured of a run: from one mark to the next, and what it cost the broker.

use super::play::Run;
use super::process::Usage;
use crate::cli::Failure;
use std::sync::atomic::Ordering;

/// The beginning of what is measured.
pub(super) struct Mark {
    /// In microseconds of the run.
    pub at: u64,
    sent: u64,
    received: u64,
    usage: Option<Usage>,
}

/// What lies between two marks.
pub(super) struct Span {
    /// Microseconds of the run.
    pub begun: u64,
    pub ended: u64,
    pub sent: u64,
    pub received: u64,
    pub cost: Option<Cost>,
}

/// What the broker spent, and what it holds in the end.
pub(super) struct Cost {
    pub cpu_micros: f64,
    pub resident: u64,
    /// Bytes more than at the beginning.
    pub grown: i64,
}

impl Mark {
    pub fn new(run: &Run) -> Result<Self, Failure> {
        let (sent, received) = (run.sent.load(Ordering::Relaxed), run.received.load(Ordering::Relaxed));
        let usage = run.process.map(|process| process.look()).transpose()?;
        Ok(Self { at: run.micros(), sent, received, usage })
    }

    /// What has passed since.
    pub fn end(&self, run: &Run) -> Result<Span, Failure> {
        let now = Self::new(run)?;
        let cost = now.usage.zip(self.usage).map(|(now, then)| Cost {
            cpu_micros: now.micros_since(&then),
            resident: now.resident,
            grown: now.resident.cast_signed() - then.resident.cast_signed(),
        });
        let (sent, received) = (now.sent - self.sent, now.received - self.received);
        Ok(Span { begun: self.at, ended: now.at, sent, received, cost })
    }
}
