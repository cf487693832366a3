//! What a module may have of a service each second, and how often each service said no to it.

use crate::message::Time;
use crate::metrics::Counter;

/// A second and what was had of it. Kept under the lock of whatever it guards.
#[derive(Debug, Default)]
pub(super) struct Window {
    since: Time,
    had: u64,
}

impl Window {
    /// Takes so much of the second's `most`; false: it is used up, and nothing was taken. What is greater than a whole second's
    /// is never given.
    pub(super) fn take(&mut self, now: Time, most: u64, amount: u64) -> bool {
        // A clock that was set back begins anew as well.
        if now.0.abs_diff(self.since.0) >= 1_000 {
            (self.since, self.had) = (now, 0);
        }
        let after = self.had.saturating_add(amount);
        if after > most {
            return false;
        }
        self.had = after;
        true
    }
}

/// How often a service gave a module less than it wanted, since the start.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) log: Counter,
    pub(super) metrics: Counter,
    pub(super) state: Counter,
    pub(super) retained: Counter,
    pub(super) http: Counter,
}

impl Refusals {
    pub(super) fn list(&self) -> [(&'static str, u64); 5] {
        let Self { log, metrics, state, retained, http } = self;
        [("log", log), ("metrics", metrics), ("state", state), ("retained", retained), ("http", http)]
            .map(|(service, counter)| (service, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_most_and_the_next_one_too() {
        let mut window = Window::default();
        for (now, amount, given) in [
            (5_000, 3, true),
            (5_500, 8, false),
            (5_999, 7, true),
            (5_999, 1, false),
            (6_000, 11, false),
            (6_000, 10, true),
        ] {
            assert_eq!(window.take(Time(now), 10, amount), given, "{amount} at {now}");
        }
        assert!(window.take(Time(100), 10, 1), "the clock was set back");
    }
}
