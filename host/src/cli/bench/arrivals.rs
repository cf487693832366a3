//! Scenarios `connections` and `storm`: clients come one after the other; they stay until the last is there, or go at once.

use super::histogram;
use super::play::Run;
use super::report::Report;
use super::span::Mark;
use crate::cli::Failure;
use std::sync::atomic::Ordering;

/// Opens all connections; what is measured is the time from the first byte to CONNACK.
pub(super) fn play(run: &Run) -> Result<Report, Failure> {
    let mut latency = histogram();
    let mut held = Vec::new();
    let mark = Mark::new(run)?;
    for number in 0..run.plan.publishers {
        let before = run.micros();
        run.sent.fetch_add(1, Ordering::Relaxed);
        let connection = run.connect("connection", number, true)?;
        run.received.fetch_add(1, Ordering::Relaxed);
        latency.saturating_record(run.micros() - before);
        if run.plan.leaves {
            connection.leave()?;
        } else {
            held.push(connection);
        }
    }
    Ok(Report::of_arrivals(run, &mark.end(run)?, &latency))
}
