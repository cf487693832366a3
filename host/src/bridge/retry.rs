//! How long a bridge waits before it tries again.

use super::settings::Settings;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Waits that double up to a bound, each with a random part on top, so that many bridges do not come back as one.
pub struct Retry {
    builder: ExponentialBuilder,
    waits: ExponentialBackoff,
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
        Self { builder, waits: builder.build(), max }
    }

    /// It went well: the next wait is a short one.
    pub fn reset(&mut self) {
        self.waits = self.builder.build();
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.max)
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
}
