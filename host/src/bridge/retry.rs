//! How long a bridge waits before it tries again.

use super::settings::Settings;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// What lasted this long went well, whatever the wait before it was.
const STEADY: Duration = Duration::from_secs(10);

/// Waits that double up to a bound, each with a random part on top, so that many bridges do not come back as one.
#[derive(Debug)]
pub struct Retry {
    builder: ExponentialBuilder,
    waits: ExponentialBackoff,
    last: Duration,
    max: Duration,
}

impl Retry {
    /// As configured.
    pub fn new(settings: &Settings) -> Self {
        let max = Duration::from_millis(settings.retry_milliseconds_max);
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(settings.retry_milliseconds_min))
            .with_max_delay(max)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times();
        Self { builder, waits: builder.build(), last: Duration::ZERO, max }
    }

    /// It went well: the next wait is a short one.
    pub fn reset(&mut self) {
        self.waits = self.builder.build();
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.last = self.waits.next().unwrap_or(self.max);
        self.last
    }

    /// The next wait after something that lasted so long: a short one only if that was as long as the wait before it. So
    /// what works for a moment and breaks again and again is tried ever more seldom.
    pub fn next_wait_after(&mut self, lasted: Duration) -> Duration {
        if lasted >= self.last.min(STEADY) && !lasted.is_zero() {
            self.reset();
        }
        self.next_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew() {
        let settings = Settings { retry_milliseconds_min: 100, retry_milliseconds_max: 1000, ..Settings::named("b") };
        let mut retry = Retry::new(&settings);
        let waits: Vec<_> = (0..12).map(|_| retry.next_wait().as_millis()).collect();
        assert!((100..=200).contains(&waits[0]), "{waits:?}");
        assert!(waits[1..].iter().all(|wait| (200..=2000).contains(wait)), "{waits:?}");
        assert!(waits[11] >= 1000, "{waits:?}");
        retry.reset();
        assert!(retry.next_wait().as_millis() <= 200);
    }

    #[test]
    fn what_breaks_soon_is_tried_ever_more_seldom() {
        let settings =
            Settings { retry_milliseconds_min: 1000, retry_milliseconds_max: 60_000, ..Settings::named("b") };
        let mut retry = Retry::new(&settings);
        for _ in 0..8 {
            retry.next_wait_after(Duration::from_millis(50));
        }
        assert!(retry.next_wait_after(Duration::from_millis(50)) >= Duration::from_secs(60));
        assert!(retry.next_wait_after(Duration::from_secs(9)) >= Duration::from_secs(60));
        assert!(retry.next_wait_after(Duration::from_secs(10)) <= Duration::from_secs(2));
        assert!(retry.next_wait_after(Duration::from_secs(2)) <= Duration::from_secs(2));
    }
}
