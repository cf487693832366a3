//! When a thread sends what its connections have put into mailboxes: where many are ready at the same time and write to the
//! same clients, once for all of them, so that a client whom several write to costs one system call; otherwise at once.

use super::context::Context;
use crate::message::Time;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Batches within a millisecond after which others are taken to be ready.
const FEW_BATCHES: u32 = 4;
/// Copies and the like ([`crate::broker::Worker::work`]) that wait for the end of a round: mailboxes have a bound, and caches too.
const WORK_MAX: u64 = 512;
/// Where it does not pay to wait, it is tried with one round in so many.
const TRIAL: u32 = 16;
/// Modules that take longer over a batch hold up nobody else's messages.
const MODULES_NANOSECONDS_MAX: u64 = 500_000;

/// The round of one thread.
#[derive(Default)]
pub struct Round {
    /// Something waits for its end.
    is_due: Cell<bool>,
    /// Something of what was not sent yet has waited.
    was_put_off: Cell<bool>,
    /// Who ends it.
    task: Cell<Option<Waker>>,
    millisecond: Cell<Time>,
    /// Batches in that.
    batches: Cell<u32>,
    /// What the hall had done when everything was sent.
    sent: Cell<u64>,
    /// Counts rounds.
    rounds: Cell<u32>,
    /// What a client was sent at a time where nothing waited, and where it did.
    at_once: Cell<Portions>,
    gathered: Cell<Portions>,
}

/// To how many clients how much was sent, lately.
#[derive(Clone, Copy, Default)]
struct Portions {
    clients: u64,
    work: u64,
}

impl Portions {
    /// What is older counts less and less.
    fn note(&mut self, clients: u64, work: u64) {
        if self.work > 8 * WORK_MAX {
            (self.clients, self.work) = (self.clients / 2, self.work / 2);
        }
        (self.clients, self.work) = (self.clients + clients, self.work + work);
    }

    /// Whether they are a quarter larger than those.
    fn are_larger_than(self, other: Self) -> bool {
        self.work * other.clients * 4 > other.work * self.clients * 5
    }
}

impl Round {
    /// Whether what a batch has brought may wait for what others bring.
    fn gathers(&self, now: Time, work: u64) -> bool {
        let batches = if self.millisecond.replace(now) == now { self.batches.get() + 1 } else { 1 };
        self.batches.set(batches);
        if batches <= FEW_BATCHES || work.wrapping_sub(self.sent.get()) >= WORK_MAX {
            return false;
        }
        let pays = self.gathered.get().are_larger_than(self.at_once.get());
        self.is_due.get() || pays || self.rounds.get().is_multiple_of(TRIAL)
    }

    /// All that waited was sent, to so many clients.
    fn sent(&self, clients: usize, work: u64) {
        let work_done = work.wrapping_sub(self.sent.replace(work));
        if clients == 0 {
            return;
        }
        self.rounds.set(self.rounds.get().wrapping_add(1));
        // What waits for the end of a round stays due until then.
        let portions = if self.was_put_off.take() { &self.gathered } else { &self.at_once };
        let mut noted = portions.get();
        noted.note(clients as u64, work_done);
        portions.set(noted);
    }

    fn ask(&self) {
        self.was_put_off.set(true);
        if !self.is_due.replace(true)
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// Until all that was ready when something was put off has had its turn.
    async fn end(&self) {
        poll_fn(|task| {
            if self.is_due.replace(false) {
                return Poll::Ready(());
            }
            self.task.set(Some(task.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Context {
    /// A connection has worked off a batch.
    pub fn end_batch(&self, now: Time) {
        let may_wait = {
            let worker = self.worker.borrow();
            self.round.gathers(now, worker.work()) && !self.turns.is_over(&worker, MODULES_NANOSECONDS_MAX)
        };
        if may_wait { self.round.ask() } else { self.send_all(now) }
    }

    fn send_all(&self, now: Time) {
        let mut worker = self.worker.borrow_mut();
        let clients = worker.flush(&self.broker, now);
        self.round.sent(clients, worker.work());
    }
}

/// Ends rounds, for as long as the thread lives.
pub async fn rounds(context: Rc<Context>) {
    loop {
        context.round.end().await;
        context.send_all(context.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_little_comes_nothing_waits_and_where_much_comes_a_bounded_part() {
        let round = Round::default();
        for millisecond in 0..100 {
            for _ in 0..FEW_BATCHES {
                assert!(!round.gathers(Time(millisecond), 0));
            }
        }
        let work = 3 * WORK_MAX;
        round.sent(1, work);
        round.gathered.set(Portions { clients: 1, work: 9 });
        round.at_once.set(Portions { clients: 1, work: 1 });
        assert!(round.gathers(Time(99), work) && round.gathers(Time(99), work + WORK_MAX - 1));
        assert!(!round.gathers(Time(99), work + WORK_MAX));
    }

    #[test]
    fn batches_wait_for_each_other_where_they_go_to_the_same_clients() {
        for (clients, of_a_round, waits) in [(1, 1, true), (1, 8, false), (8, 8, true), (8, 64, false)] {
            let round = Round::default();
            let (mut work, mut waited) = (0, 0);
            for millisecond in 0..1000 {
                for _ in 0..FEW_BATCHES {
                    assert!(!round.gathers(Time(millisecond), work));
                }
                if round.gathers(Time(millisecond), work) {
                    waited += 1;
                    round.ask();
                    work += 8 * 32;
                    round.is_due.set(false);
                    round.sent(of_a_round, work);
                } else {
                    work += 32;
                    round.sent(clients, work);
                }
            }
            assert!(if waits { 990..1000 } else { 50..70 }.contains(&waited), "{waited} of 1000");
        }
    }

    #[test]
    fn a_round_that_something_waits_for_ends_once() {
        let round = Round::default();
        let mut task = std::task::Context::from_waker(Waker::noop());
        let mut end = Box::pin(round.end());
        assert!(end.as_mut().poll(&mut task).is_pending());
        round.ask();
        round.ask();
        assert!(end.as_mut().poll(&mut task).is_ready());
        assert!(Box::pin(round.end()).as_mut().poll(&mut task).is_pending());
    }
}
