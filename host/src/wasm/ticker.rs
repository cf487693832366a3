//! The thread that moves the epoch on, so that guests which run too long are looked at. It sleeps while nobody calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// No call began for two windows: the thread sleeps.
const PARKED: u8 = 0;
/// No call began in this window yet.
const QUIET: u8 = 1;
/// A call began in this window.
const BUSY: u8 = 2;

/// Length of a tick, at least. A finer one would wake the thread more often than deadlines of milliseconds are worth.
const TICK: Duration = Duration::from_millis(1);

/// Wakes the thread of ticks, from whatever thread.
#[derive(Clone)]
pub(super) struct Waker(Option<(Arc<Shared>, thread::Thread)>);

impl Waker {
    /// Of no thread.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
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

/// One thread of ticks.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: AtomicU8,
    stop: AtomicBool,
}

impl Ticker {
    /// `longest` is the length in ticks of the longest call; a window has to be longer, so that a call is over before
    /// the thread takes its silence for rest.
    pub(super) fn start(engine: wasmtime::Engine, longest: u64) -> Self {
        let shared = Arc::new(Shared { state: AtomicU8::new(PARKED), stop: AtomicBool::new(false) });
        let inner = shared.clone();
        let window = longest + 100;
        let thread = thread::Builder::new()
            .name("guest-epoch".into())
            .spawn(move || run(&inner, &engine, window))
            .expect("a thread can be started while the broker starts");
        Self { shared, thread: Some(thread) }
    }

    /// For whoever has no ticker at hand.
    pub(super) fn waker(&self) -> Waker {
        Waker(self.thread.as_ref().map(|thread| (self.shared.clone(), thread.thread().clone())))
    }

    /// To be called before each call of a guest. One load of a word that seldom changes, while calls are frequent.
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

fn run(shared: &Shared, engine: &wasmtime::Engine, window: u64) {
    come_first();
    let mut left = window;
    while !shared.stop.load(Ordering::Acquire) {
        if shared.state.load(Ordering::Acquire) == PARKED {
            thread::park();
            left = window;
            continue;
        }
        thread::sleep(TICK);
        engine.increment_epoch();
        left -= 1;
        if left == 0 {
            left = window;
            // BUSY becomes QUIET; QUIET, which nobody touched for a whole window, becomes PARKED.
            if shared.state.compare_exchange(QUIET, PARKED, Ordering::AcqRel, Ordering::Acquire).is_err() {
                let _ = shared.state.compare_exchange(BUSY, QUIET, Ordering::AcqRel, Ordering::Acquire);
            }
        }
    }
}

/// Asks that this thread is run before all others when it is due. A guest that loops has its processor until then, and where
/// more threads want processors than there are a thread like the others is woken many milliseconds late. What it does when it
/// is woken takes some microseconds, so nobody notices. Needs CAP_SYS_NICE or a limit (`LimitRTPRIO=1` or `LimitNICE=-20` of
/// systemd); without them it stays a thread like the others.
#[cfg(target_os = "linux")]
fn come_first() {
    use thread_priority::unix::set_thread_priority_and_policy as set;
    use thread_priority::{
        NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    };
    let this = thread_priority::unix::thread_native_id();
    let real_time = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let how = if set(this, ThreadPriority::Min, real_time).is_ok() {
        "before all others"
    } else if set(this, ThreadPriority::Max, normal).is_ok() {
        "nice -20"
    } else {
        "like the others"
    };
    tracing::debug!(how, "the thread that stops guests is scheduled");
}

#[cfg(not(target_os = "linux"))]
fn come_first() {}
