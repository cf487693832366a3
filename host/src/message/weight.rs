//! How many bytes all messages of this process take. Counted where a message is made and where its last copy goes, on
//! counters that threads share as little as they can; the sum is asked for once in a while.

use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// Counters; more threads than these share some.
const COUNTERS: usize = 16;

/// A message's bytes beside topic, properties and payload, roughly.
const OVERHEAD: usize = 256;

/// One counter, on a line of the cache of its own.
#[repr(align(64))]
struct Counter(AtomicIsize);

static LIVE: [Counter; COUNTERS] = [const { Counter(AtomicIsize::new(0)) }; COUNTERS];
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % COUNTERS;
}

/// Bytes of a message, or of what is to become one, counted for as long as this lives.
pub struct Weight(usize);

impl Weight {
    /// Of a message with so many bytes of content.
    pub fn new(content: usize) -> Self {
        let bytes = content.saturating_add(OVERHEAD);
        add(bytes.cast_signed());
        Self(bytes)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        add(-self.0.cast_signed());
    }
}

/// A thread that ends has no number of its own any more.
fn add(bytes: isize) {
    let own = OWN.try_with(|own| *own).unwrap_or_default();
    LIVE[own].0.fetch_add(bytes, Ordering::Relaxed);
}

/// Bytes of all messages that are alive, roughly.
pub fn live_bytes() -> usize {
    let sum: isize = LIVE.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or_default()
}
