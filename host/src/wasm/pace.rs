//! Whether a version takes long to answer about messages of a topic, as its last calls were.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A slow call counts so much more than one that is not: of a module that is well, a call in a thousand is slow because its
/// thread had no processor.
const SLOW: u8 = 4;
/// From here on the next call is taken for a slow one.
const LONG: u8 = 2 * SLOW;
/// So many calls that are not slow make up for all that were.
const MOST: u8 = 4 * SLOW;
/// Topics share so many places. Where one of them is slow the others of its place are taken for slow too.
const PLACES: usize = 64;

/// Of one version, for all threads. Approximate where they meet. A version that is never slow is never written to, and costs one
/// look.
pub(super) struct Pace {
    places: [AtomicU8; PLACES],
    /// Whether any of them counts something.
    counts: AtomicBool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| AtomicU8::default()), counts: AtomicBool::new(false) }
    }
}

impl Pace {
    /// Notes a call.
    #[inline]
    pub(super) fn note(&self, topic: &str, is_slow: bool) {
        if is_slow || self.counts.load(Ordering::Relaxed) {
            self.count(topic, is_slow);
        }
    }

    #[cold]
    fn count(&self, topic: &str, is_slow: bool) {
        let place = self.place(topic);
        let so_far = place.load(Ordering::Relaxed);
        if is_slow {
            place.store((so_far + SLOW).min(MOST), Ordering::Relaxed);
            self.counts.store(true, Ordering::Relaxed);
        } else if so_far > 0 {
            place.store(so_far - 1, Ordering::Relaxed);
            let any = so_far > 1 || self.places.iter().any(|place| place.load(Ordering::Relaxed) > 0);
            self.counts.store(any, Ordering::Relaxed);
        }
    }

    /// Whether the next call is likely to be slow.
    #[inline]
    pub(super) fn is_long(&self, topic: &str) -> bool {
        self.counts.load(Ordering::Relaxed) && self.place(topic).load(Ordering::Relaxed) >= LONG
    }

    fn place(&self, topic: &str) -> &AtomicU8 {
        &self.places[(xxhash_rust::xxh3::xxh3_64(topic.as_bytes()) % PLACES as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_call_is_none_two_are_and_many_quick_ones_make_up_for_them() {
        let pace = Pace::default();
        let notes = |calls: &[bool]| {
            calls.iter().for_each(|slow| pace.note("a", *slow));
            assert!(!pace.is_long("b"), "another topic is not");
            pace.is_long("a")
        };
        assert!(!notes(&[true]));
        assert!(!notes(&[false; 4]));
        assert!(notes(&[true, true]));
        assert!(!notes(&[false]));
        assert!(notes(&[true; 100]));
        assert!(notes(&[false; 8]));
        assert!(!notes(&[false]));
        assert!(pace.counts.load(Ordering::Relaxed));
        notes(&[false; 8]);
        assert!(!pace.counts.load(Ordering::Relaxed), "all is made up for");
    }
}
