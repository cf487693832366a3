//! For how long one connection may have its thread while modules take long over what it sent, or over what it gets: then the
//! others have theirs. Slow calls of all connections of a thread may take half of its time; whose messages they are waits.

use super::context::Context;
use crate::broker::{Spent, Worker};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Nobody waits for longer before his next turn, however many wait with him.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The turns of one thread's connections.
#[derive(Default)]
pub struct Turns {
    /// What modules had taken when the present turn began.
    began: Cell<Spent>,
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
    fn begin(&self, worker: &Worker) {
        self.began.set(worker.spent());
    }

    fn is_over(&self, worker: &Worker, most: Duration) -> bool {
        let spent = worker.spent().nanoseconds.wrapping_sub(self.began.get().nanoseconds);
        Duration::from_nanos(spent) >= most
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
    pub fn begin_turn(&self) {
        self.turns.begin(&self.worker.borrow());
    }

    /// Whether modules have taken so long that it is over.
    #[inline]
    pub fn is_turn_over(&self, worker: &Worker) -> bool {
        self.turns.is_over(worker, Duration::from_millis(self.limits.turn_milliseconds_max.into()))
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
