//! The broker's clock: the wall clock as it was at the start, carried on by the monotonic clock.

use crate::message::Time;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// See the head of this file. Cheap to copy; all copies tell the same time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: u64,
}

impl Clock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: since_epoch.as_millis() as u64 }
    }

    /// The time.
    pub fn now(&self) -> Time {
        Time(self.started_at + self.started.elapsed().as_millis() as u64)
    }

    /// When that time comes on the monotonic clock.
    pub fn instant(&self, at: Time) -> Instant {
        self.started + std::time::Duration::from_millis(at.0.saturating_sub(self.started_at))
    }
}

/// For QUIC's proofs of addresses, so that a jump of the wall clock makes none of them old.
impl quinn::TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_millis(Clock::now(self).0)
    }
}
