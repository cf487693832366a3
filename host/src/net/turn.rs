//! For how long one connection may have its thread with what it sends without a pause, and while modules take long over that, or
//! over what it gets, or while the hall does: then the others have theirs. Slow calls of all connections of a thread may take half of its time; whose
//! messages they are waits.

use super::context::Context;
use crate::broker::{Spent, Worker};
use crate::message::Time;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Nobody waits for longer before his next turn, however many wait with him.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Copies and the like ([`Worker::work`]) after which the clock is looked at: about a millisecond.
const WORK_A_LOOK: u64 = 4096;

/// The turns of one thread's connections.
#[derive(Default)]
pub struct Turns {
    /// What modules had taken when the present turn began.
    began: Cell<Spent>,
    /// When that was.
    began_at: Cell<Time>,
    /// What the hall had done when the clock was looked at last.
    looked: Cell<u64>,
    /// Until then slow calls have had their half.
    paid: Cell<Option<Instant>>,
}

/// What a connection does before its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It lets those who are ready go first.
    Yield,
    /// It waits.
    Until(Instant),
}

impl Turns {
    fn begin(&self, spent: Spent, work: u64, now: Time) {
        self.began.set(spent);
        self.began_at.set(now);
        self.looked.set(work);
    }

    /// Whether the hall has worked for this turn for so long.
    #[inline]
    fn has_worked(&self, work: u64, most: u32, clock: impl FnOnce() -> Time) -> bool {
        if work.wrapping_sub(self.looked.get()) < WORK_A_LOOK {
            return false;
        }
        let is_over = self.lasts(clock()) >= u64::from(most);
        // A turn that is over stays so.
        if !is_over {
            self.looked.set(work);
        }
        is_over
    }

    /// Milliseconds since it began.
    #[inline]
    fn lasts(&self, now: Time) -> u64 {
        now.since(self.began_at.get())
    }

    /// Whether modules have taken so long in this turn.
    #[inline]
    pub fn is_over(&self, worker: &Worker, most_nanoseconds: u64) -> bool {
        worker.spent().nanoseconds.wrapping_sub(self.began.get().nanoseconds) >= most_nanoseconds
    }

    /// Takes what slow calls of this turn took off their half of the thread's time.
    fn settle(&self, worker: &Worker, now: Instant) -> Pause {
        let slow = worker.spent().slow_nanoseconds.wrapping_sub(self.began.get().slow_nanoseconds);
        if slow == 0 {
            return Pause::Yield;
        }
        let paid = self.paid.get().map_or(now, |paid| paid.max(now));
        let until = (paid + Duration::from_nanos(slow)).min(now + PAUSE_MAX);
        self.paid.set(Some(until));
        Pause::Until(until)
    }
}

impl Context {
    /// A connection begins a turn.
    pub fn begin_turn(&self, now: Time) {
        let worker = self.worker.borrow();
        self.turns.begin(worker.spent(), worker.work(), now);
    }

    /// Whether a connection that goes on, for its socket has more, has had its thread for as long as modules may have it.
    #[inline]
    pub fn has_had_its_turn(&self, now: Time) -> bool {
        self.turns.lasts(now) >= u64::from(self.limits.turn_milliseconds_max)
    }

    /// Whether modules, or the hall, have taken so long that it is over.
    #[inline]
    pub fn is_turn_over(&self, worker: &Worker) -> bool {
        self.turns.is_over(worker, u64::from(self.limits.turn_milliseconds_max) * 1_000_000)
            || self.turns.has_worked(worker.work(), self.limits.turn_work_milliseconds_max, || self.clock.now())
    }

    /// What a connection does between its turn, which is at its end, and its next one.
    pub fn pause(&self) -> Option<Pause> {
        let worker = self.worker.borrow();
        self.is_turn_over(&worker).then(|| self.turns.settle(&worker, Instant::now()))
    }
}

impl Pause {
    /// Waits.
    pub async fn pass(self) {
        match self {
            // The runtime looks at all sockets before it comes back here.
            Self::Yield => tokio::task::yield_now().await,
            Self::Until(until) => tokio::time::sleep_until(until).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_work_ends_a_turn_when_its_time_is_over_and_it_stays_so() {
        let turns = Turns::default();
        let never = || -> Time { panic!("the clock is looked at for each message") };
        turns.begin(Spent::default(), 1000, Time(50));
        assert!(!turns.has_worked(1000 + WORK_A_LOOK - 1, 10, never));
        assert!(!turns.has_worked(1000 + WORK_A_LOOK, 10, || Time(59)));
        assert!(!turns.has_worked(1000 + WORK_A_LOOK + 1, 10, never));
        for _ in 0..3 {
            assert!(turns.has_worked(1000 + 2 * WORK_A_LOOK, 10, || Time(60)));
        }
        turns.begin(Spent::default(), 1000 + 2 * WORK_A_LOOK, Time(61));
        assert!(!turns.has_worked(1000 + 2 * WORK_A_LOOK, 10, never));
    }
}
