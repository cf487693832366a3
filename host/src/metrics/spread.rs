//! A sum that all threads add to with each message: each adds to a part of its own, on a line of the cache of its own.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Threads with a part of their own; those that come later share one.
const PARTS: usize = 16;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Spread([Part; PARTS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Part(AtomicI64);

static THREADS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static OWN: usize = Some(THREADS.fetch_add(1, Ordering::Relaxed)).filter(|own| *own < PARTS).unwrap_or_default();
}

impl Spread {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self([const { Part(AtomicI64::new(0)) }; PARTS])
    }

    /// Adds, or takes away.
    #[inline]
    pub fn add(&self, n: i64) {
        // A thread that ends has no part of its own any more.
        let own = OWN.try_with(|own| *own).unwrap_or_default();
        let Part(part) = &self.0[own];
        if own == 0 {
            part.fetch_add(n, Ordering::Relaxed);
        } else {
            // Nobody else writes it.
            part.store(part.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        }
    }

    /// The sum so far.
    pub fn sum(&self) -> i64 {
        self.0.iter().map(|Part(part)| part.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_more_threads_add_than_have_a_part_of_their_own_is_the_sum() {
        let sum = Spread::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| {
                    (0..1000).for_each(|_| sum.add(3));
                    sum.add(-1);
                });
            }
        });
        assert_eq!(sum.sum(), 2 * PARTS as i64 * 2999);
    }
}
