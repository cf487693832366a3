//! What strangers can make happen as often as they like: the log says it once in so much time, and how often it was.

use std::time::{Duration, Instant};

/// The log says it once in so much time.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// See the head of this file.
#[derive(Default)]
pub(super) struct Seldom {
    /// When the log last said it.
    told: Option<Instant>,
    /// How often it was since then.
    untold: u64,
    /// When it last was.
    last: Option<Instant>,
}

impl Seldom {
    /// Counts one; how many there are to tell of, if it is time.
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        self.last = Some(now);
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// Whether it has not been for a while.
    pub fn is_over(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where descriptors are short one connection is accepted between two that are not: each was a line, on each thread.
    #[test]
    fn what_comes_and_goes_is_told_once_in_a_while_with_its_count() {
        let (mut seldom, begin) = (Seldom::default(), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let told: Vec<u64> = (0..200).filter_map(|step| seldom.next(at(step * 100))).collect();
        assert_eq!(told, [1, 100]);
        assert!(!seldom.is_over(at(20_000)) && seldom.is_over(at(29_900)));
    }
}
