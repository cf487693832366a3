//! Stops asking a version that fails again and again. With an older version to go back to, that one is asked in its place;
//! without, what failed is given the failure policy at once, and everything once too much has failed, so that the
//! failing costs nobody's time.

use super::limits::Limits;
use crate::message::Time;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// Things that failed and are remembered one by one; beyond them everything counts as failing.
const REMEMBERED_MAX: usize = 64;

/// The breaker of one version, for all threads.
#[derive(Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When calls failed and what they were about, oldest first.
    failures: VecDeque<(Time, u64)>,
    /// Until then nothing is asked.
    closed_to_all: Time,
}

impl Breaker {
    /// Whether the version is in quarantine. One load.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes a failure; true if it is the one that opens the breaker. `about` stands for what the call was about.
    pub(super) fn failed(&self, limits: &Limits, now: Time, about: u64) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        state.failures.push_back((now, about));
        if self.is_open() {
            if state.failures.len() > REMEMBERED_MAX {
                state.closed_to_all = now.plus_milliseconds(limits.failures_window_milliseconds);
                state.failures.pop_front();
            }
            return false;
        }
        let opens = limits.failures_max > 0 && state.failures.len() >= limits.failures_max;
        self.open.store(opens, Ordering::Relaxed);
        opens
    }

    /// Whether a call about this would fail as one did a short while ago.
    #[cold]
    pub(super) fn blocks(&self, limits: &Limits, now: Time, about: u64) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        now < state.closed_to_all || state.failures.iter().any(|(_, failed)| *failed == about)
    }

    /// Closes it once nothing has failed for as long as failures are remembered; true for the one who did.
    #[cold]
    pub(super) fn calms_down(&self, limits: &Limits, now: Time) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        let is_calm = state.failures.is_empty() && now >= state.closed_to_all;
        is_calm && self.open.swap(false, Ordering::Relaxed)
    }

    /// The operator wants it asked again.
    pub(super) fn reset(&self) {
        *self.state.lock() = State::default();
        self.open.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn forget(&mut self, limits: &Limits, now: Time) {
        let window = limits.failures_window_milliseconds;
        while self.failures.front().is_some_and(|(at, _)| now.since(*at) >= window) {
            self.failures.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits =
        || Limits { failures_max: 3, failures_window_milliseconds: 1_000, ..Limits::default() };

    #[test]
    fn it_opens_when_enough_fails_in_time() {
        let breaker = Breaker::default();
        for (now, opens) in [(0, false), (600, false), (1_100, false), (1_200, true), (1_300, false)] {
            assert_eq!(breaker.failed(&LIMITS(), Time(now), 1), opens, "at {now}");
        }
        assert!(breaker.is_open());
        breaker.reset();
        assert!(!breaker.is_open());
    }

    #[test]
    fn an_open_one_blocks_what_failed_and_closes_after_a_quiet_time() {
        let (breaker, limits) = (Breaker::default(), LIMITS());
        (0..3).for_each(|now| assert_eq!(breaker.failed(&limits, Time(now), now), now == 2));
        assert!(breaker.blocks(&limits, Time(10), 1));
        assert!(!breaker.blocks(&limits, Time(10), 9), "what did not fail is asked");
        assert!(!breaker.calms_down(&limits, Time(1_001)) && breaker.is_open());
        assert!(!breaker.blocks(&limits, Time(1_002), 1));
        assert!(breaker.calms_down(&limits, Time(1_002)) && !breaker.is_open());
        assert!(!breaker.calms_down(&limits, Time(1_003)), "it is told once");
    }

    #[test]
    fn when_too_much_fails_everything_is_blocked_for_a_while() {
        let (breaker, limits) = (Breaker::default(), LIMITS());
        for about in 0..=REMEMBERED_MAX as u64 {
            breaker.failed(&limits, Time(0), about);
        }
        assert!(breaker.blocks(&limits, Time(999), 12_345));
        assert!(!breaker.blocks(&limits, Time(1_000), 12_345));
    }

    #[test]
    fn without_a_bound_it_never_opens() {
        let limits = Limits { failures_max: 0, ..LIMITS() };
        let breaker = Breaker::default();
        assert!((0..100).all(|now| !breaker.failed(&limits, Time(now), 1)));
    }
}
