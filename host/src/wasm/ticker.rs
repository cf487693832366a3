//! The thread that moves the epoch on, so that guests which run too long are looked at. It sleeps while nobody calls: who
//! calls wakes it, and a call that is seen at a tick keeps it awake until it is over.

use super::priority;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No call began for two windows: the thread sleeps.
const PARKED: u8 = 0;
/// No call began in this window yet.
const QUIET: u8 = 1;
/// A call began in this window.
const BUSY: u8 = 2;

/// Length of a tick, at least. A finer one would wake the thread more often than deadlines of milliseconds are worth.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Ticks of a window: it goes on for one or two of them after the last call.
const WINDOW: u32 = 10;

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

    /// To be called before each call of a guest, after its deadline was set: from then on there are as many ticks as a window
    /// has, at least. One load of a word that seldom changes, while calls are frequent.
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
    let mut left = WINDOW;
    while !shared.stop.load(Ordering::Acquire) {
        if shared.state.load(Ordering::Acquire) == PARKED {
            thread::park();
            left = WINDOW;
            continue;
        }
        let before = Instant::now();
        thread::sleep(TICK);
        // Who comes before all others and is late was kept from it by the machine below, and guests with it. Others may have run.
        let late = if comes_first { before.elapsed().as_micros() / TICK.as_micros() } else { 1 };
        shared.ticks.fetch_add(u64::try_from(late).unwrap_or(u64::MAX).max(1), Ordering::AcqRel);
        engine.increment_epoch();
        left -= 1;
        if left == 0 {
            left = WINDOW;
            if shared.held.load(Ordering::Acquire) > 0 {
                continue;
            }
            // BUSY becomes QUIET; QUIET, which nobody touched for a whole window, becomes PARKED.
            if shared.state.compare_exchange(QUIET, PARKED, Ordering::AcqRel, Ordering::Acquire).is_err() {
                let _ = shared.state.compare_exchange(BUSY, QUIET, Ordering::AcqRel, Ordering::Acquire);
            }
        }
    }
}
