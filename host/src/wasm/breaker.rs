//! Stops asking a version that fails again and again. With an older version to go back to, that one is asked in its place;
//! without, what failed is given the failure policy at once, and everything once too much has failed, so that the
//! failing costs nobody's time.

use super::limits::Limits;
use super::meter::Hook;
use crate::message::Time;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// Things of one hook that failed and are remembered one by one; beyond them all of the hook counts as failing, unless more was
/// answered meanwhile: what one client sends is not to cost all others.
const REMEMBERED_MAX: usize = 64;

/// What a call was about: its hook, and a number for the rest.
pub(super) type What = (Hook, u64);

/// The breaker of one version, for all threads.
#[derive(Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When calls failed and what they were about, oldest first.
    failures: VecDeque<(Time, What)>,
    /// Hooks of which nothing is asked, and until when.
    closed: Vec<(Hook, Time)>,
    /// Hooks that failed, and how many calls of each had been answered then: of this window.
    marks: Vec<(Hook, Time, u64)>,
}

impl Breaker {
    /// Whether the version is in quarantine. One load.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes a failure; true if it is the one that opens the breaker. So many calls of the hook were answered up to now.
    pub(super) fn failed(&self, limits: &Limits, now: Time, what: What, answered: u64) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        state.failures.push_back((now, what));
        let answered = state.answered_since(limits, now, what.0, answered);
        if self.is_open() {
            state.close(limits, now, what.0, answered);
            return false;
        }
        let opens = limits.failures_max > 0 && state.failures.len() >= limits.failures_max;
        self.open.store(opens, Ordering::Relaxed);
        opens
    }

    /// Whether a call about this would fail as one did a short while ago.
    #[cold]
    pub(super) fn blocks(&self, limits: &Limits, now: Time, what: What) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        state.closed.iter().any(|(hook, _)| *hook == what.0) || state.failures.iter().any(|(_, failed)| *failed == what)
    }

    /// Closes it once nothing has failed for as long as failures are remembered; true for the one who did.
    #[cold]
    pub(super) fn calms_down(&self, limits: &Limits, now: Time) -> bool {
        let mut state = self.state.lock();
        state.forget(limits, now);
        let is_calm = state.failures.is_empty() && state.closed.is_empty();
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
        self.closed.retain(|(_, until)| now < *until);
    }

    /// How many calls of a hook were answered since it first failed in this window.
    fn answered_since(&mut self, limits: &Limits, now: Time, hook: Hook, answered: u64) -> u64 {
        self.marks.retain(|(_, at, _)| now.since(*at) < limits.failures_window_milliseconds);
        match self.marks.iter().find(|(marked, ..)| *marked == hook) {
            Some((_, _, then)) => answered.saturating_sub(*then),
            None => {
                self.marks.push((hook, now, answered));
                0
            }
        }
    }

    /// Closes a hook where too much of it has failed to be remembered one by one.
    fn close(&mut self, limits: &Limits, now: Time, hook: Hook, answered: u64) {
        let mut failed = self.failures.iter().enumerate().filter(|(_, (_, (failed, _)))| *failed == hook);
        let Some((oldest, _)) = failed.next() else { return };
        let count = 1 + failed.count();
        if count <= REMEMBERED_MAX {
            return;
        }
        self.failures.remove(oldest);
        if answered <= count as u64 {
            self.closed.retain(|(closed, _)| *closed != hook);
            self.closed.push((hook, now.plus_milliseconds(limits.failures_window_milliseconds)));
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
            assert_eq!(breaker.failed(&LIMITS(), Time(now), (Hook::Route, 1), 0), opens, "at {now}");
        }
        assert!(breaker.is_open());
        breaker.reset();
        assert!(!breaker.is_open());
    }

    #[test]
    fn an_open_one_blocks_what_failed_and_closes_after_a_quiet_time() {
        let (breaker, limits) = (Breaker::default(), LIMITS());
        (0..3).for_each(|now| assert_eq!(breaker.failed(&limits, Time(now), (Hook::Route, now), 0), now == 2));
        assert!(breaker.blocks(&limits, Time(10), (Hook::Route, 1)));
        assert!(!breaker.blocks(&limits, Time(10), (Hook::Route, 9)), "what did not fail is asked");
        assert!(!breaker.calms_down(&limits, Time(1_001)) && breaker.is_open());
        assert!(!breaker.blocks(&limits, Time(1_002), (Hook::Route, 1)));
        assert!(breaker.calms_down(&limits, Time(1_002)) && !breaker.is_open());
        assert!(!breaker.calms_down(&limits, Time(1_003)), "it is told once");
    }

    #[test]
    fn when_too_much_of_a_hook_fails_all_of_it_is_blocked_for_a_while_and_no_other() {
        let (breaker, limits) = (Breaker::default(), LIMITS());
        for about in 0..=REMEMBERED_MAX as u64 {
            breaker.failed(&limits, Time(0), (Hook::Route, about), 1_000);
        }
        assert!(breaker.blocks(&limits, Time(999), (Hook::Route, 12_345)));
        assert!(!breaker.blocks(&limits, Time(999), (Hook::Authenticate, 12_345)));
        assert!(!breaker.blocks(&limits, Time(1_000), (Hook::Route, 12_345)));
    }

    /// What one client can make fail is not to stop the others.
    #[test]
    fn what_fails_less_often_than_it_answers_is_blocked_one_by_one() {
        let (breaker, limits) = (Breaker::default(), LIMITS());
        for about in 0..=2 * REMEMBERED_MAX as u64 {
            breaker.failed(&limits, Time(0), (Hook::Route, about), 2 * about);
        }
        assert!(!breaker.blocks(&limits, Time(10), (Hook::Route, 12_345)));
        assert!(breaker.blocks(&limits, Time(10), (Hook::Route, 2 * REMEMBERED_MAX as u64)));
    }

    #[test]
    fn without_a_bound_it_never_opens() {
        let limits = Limits { failures_max: 0, ..LIMITS() };
        let breaker = Breaker::default();
        assert!((0..100).all(|now| !breaker.failed(&limits, Time(now), (Hook::Route, 1), 0)));
    }
}
