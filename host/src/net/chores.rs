//! The threads that call modules for what nobody waits for: events and timers on one, timers of modules that may speak to
//! servers outside on the other. Threads that serve clients come before both, and the first rests after long work, so that a
//! module that floods or loops there takes little from anybody else.

use super::Clock;
use crate::broker::{Broker, Chores};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest sleep: a module that begins to want ticks is noticed after this.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// From here on what was done is followed by a rest that is as long, or [`SLEEP_MAX`].
const LONG: Duration = Duration::from_millis(1);

/// Rounds at the end: enough for all events that may wait by default.
const LAST_ROUNDS_MAX: usize = 64;

/// The running thread.
pub struct ChoresThread {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl ChoresThread {
    /// Starts it.
    pub fn start(broker: Arc<Broker>, clock: Clock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let hall = broker.clone();
        let body = move || {
            let mut chores = Chores::new(&hall);
            while !stopped.load(Ordering::Acquire) {
                let (now, begun) = (clock.now(), Instant::now());
                let next = hall.do_chores(&mut chores, now);
                let took = begun.elapsed();
                if took >= LONG {
                    thread::sleep(took.min(SLEEP_MAX));
                }
                let sleep = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.since(now)).min(SLEEP_MAX));
                thread::park_timeout(sleep.max(Duration::from_millis(1)));
            }
            // What happened before the end was set. What comes of that is not waited for without end.
            for _ in 0..LAST_ROUNDS_MAX {
                let now = clock.now();
                if hall.do_chores(&mut chores, now) != Some(now) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("chores".into()).spawn(body);
        let thread = thread.expect("the system has room for a few threads at the start");
        let waked = thread.thread().clone();
        broker.on_chore(Box::new(move || waked.unpark()));
        Self { thread, stop }
    }

    /// Starts one for timers that may wait.
    pub fn start_patient(broker: Arc<Broker>, clock: Clock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let body = move || {
            let mut chores = Chores::patient(&broker);
            while !stopped.load(Ordering::Acquire) {
                let next = broker.do_ticks(&mut chores, &|| clock.now());
                let now = clock.now();
                let sleep = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.since(now)).min(SLEEP_MAX));
                thread::park_timeout(sleep.max(Duration::from_millis(1)));
            }
        };
        let thread = thread::Builder::new().name("timers-out".into()).spawn(body);
        Self { thread: thread.expect("the system has room for a few threads at the start"), stop }
    }

    /// Tells what is left to tell, and ends.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A panic in it was printed; there is nothing more to do about it.
        let _ = self.thread.join();
    }
}
