//! The thread that moves the epoch on, so that guests which run too long are looked at. It sleeps while nobody calls: who
//! calls wakes it, and a call that is seen at a tick keeps it awake until it is over.

use super::priority;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The thread sleeps until a call begins.
const PARKED: u8 = 0;
/// No call has begun since the last tick.
const QUIET: u8 = 1;
/// A call has begun since the last tick.
const BUSY: u8 = 2;

/// Length of a tick, at least. A finer one would wake the thread more often than deadlines of milliseconds are worth.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Wakes the thread of ticks, from whatever thread.
#[derive(Clone)]
pub(super) struct Waker(Option<(Arc<Shared>, thread::Thread)>);

impl Waker {
    /// Of no thread.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Keeps the thread awake for as long as that lives.
    pub(super) fn hold(&self) -> Option<Awake> {
        let (shared, _) = self.0.as_ref()?;
        shared.held.fetch_add(1, Ordering::AcqRel);
        self.touch();
        Some(Awake(shared.clone()))
    }

    /// How many ticks have gone by.
    pub(super) fn ticks(&self) -> u64 {
        self.0.as_ref().map_or(0, |(shared, _)| shared.ticks.load(Ordering::Acquire))
    }

    /// As [`Ticker::touch`].
    pub(super) fn touch(&self) {
        if let Some((shared, thread)) = &self.0
            && shared.state.swap(BUSY, Ordering::AcqRel) == PARKED
        {
            thread.unpark();
        }
    }
}

/// A call that lasts.
pub(super) struct Awake(Arc<Shared>);

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One thread of ticks.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: AtomicU8,
    /// Calls that last.
    held: AtomicUsize,
    /// Ticks that have gone by, those included that it missed since no processor of the machine was there for it.
    ticks: AtomicU64,
    stop: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(PARKED),
            held: AtomicUsize::new(0),
            ticks: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let inner = shared.clone();
        let thread = thread::Builder::new()
            .name("guest-epoch".into())
            .spawn(move || run(&inner, &engine))
            .expect("a thread can be started while the broker starts");
        Self { shared, thread: Some(thread) }
    }

    /// For whoever has no ticker at hand.
    pub(super) fn waker(&self) -> Waker {
        Waker(self.thread.as_ref().map(|thread| (self.shared.clone(), thread.thread().clone())))
    }

    /// To be called before each call of a guest, after its deadline was set: one tick comes after that, and a call which is seen
    /// at it holds the thread. One load of a word that changes twice a tick at most.
    #[inline]
    pub(super) fn touch(&self) {
        if self.shared.state.load(Ordering::Acquire) != BUSY {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if self.shared.state.swap(BUSY, Ordering::AcqRel) == PARKED
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread does nothing that can fail.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, engine: &wasmtime::Engine) {
    let comes_first = priority::come_first();
    while !shared.stop.load(Ordering::Acquire) {
        // Whoever called before has its tick now; who calls from here on sees to one more.
        let began = shared.state.compare_exchange(BUSY, QUIET, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let is_held = shared.held.load(Ordering::Acquire) > 0;
        if !began && !is_held {
            // QUIET becomes PARKED, unless somebody has called meanwhile.
            let parked = shared.state.compare_exchange(QUIET, PARKED, Ordering::AcqRel, Ordering::Acquire);
            if parked.is_ok() || parked == Err(PARKED) {
                thread::park();
            }
            continue;
        }
        let before = Instant::now();
        thread::sleep(TICK);
        // Who comes before all others and is late was kept from it by the machine below, and guests with it. Others may have run.
        let late = if comes_first { before.elapsed().as_micros() / TICK.as_micros() } else { 1 };
        shared.ticks.fetch_add(u64::try_from(late).unwrap_or(u64::MAX).max(1), Ordering::AcqRel);
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_parked(ticker: &Ticker) -> bool {
        ticker.shared.state.load(Ordering::Acquire) == PARKED
    }

    /// Ten calls a second are no reason to wake a thread a thousand times.
    #[test]
    fn it_sleeps_when_a_call_has_had_its_tick_and_none_is_held() {
        let ticker = Ticker::start(wasmtime::Engine::default());
        let (waker, patience) = (ticker.waker(), Instant::now() + Duration::from_secs(60));
        let mut ticks = 0;
        for _ in 0..3 {
            ticker.touch();
            while !is_parked(&ticker) {
                assert!(Instant::now() < patience, "it does not sleep");
                thread::yield_now();
            }
            assert!(waker.ticks() > ticks, "a call has its tick");
            ticks = waker.ticks();
        }
        let held = waker.hold();
        while waker.ticks() < ticks + 5 {
            assert!(Instant::now() < patience && !is_parked(&ticker), "a call that lasts is seen again and again");
        }
        drop(held);
    }
}
