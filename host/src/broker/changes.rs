//! What a change of subscriptions leaves as it was: changes are counted apart by the first levels of their filters, so that
//! somebody who subscribes here does not have all others forget the ways of their topics.

use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Levels by which filters are told apart.
const LEVELS: usize = 3;

/// Counters. Where filters share one, routes are worked out anew for nothing.
const COUNTERS: usize = 4_096;

/// The counter of filters that begin with a wildcard.
const ANYWHERE: usize = 0;

/// Counts changes of subscriptions.
pub(super) struct Changes {
    hasher: DefaultHashBuilder,
    all: AtomicU64,
    counters: Box<[AtomicU64]>,
}

/// What the counters said that a topic has to do with. Counters only grow, so that the sum is the same while all are.
#[derive(Clone, Copy, Default)]
pub(super) struct Stamp {
    counters: [u16; LEVELS + 1],
    sum: u64,
}

impl Default for Changes {
    fn default() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: DefaultHashBuilder::default(), all: AtomicU64::new(1), counters }
    }
}

impl Changes {
    /// How many there were.
    #[inline]
    pub fn count(&self) -> u64 {
        self.all.load(Ordering::Acquire)
    }

    /// Says that who is subscribed to a filter, or how, is not what it was. To be said when that is so.
    pub fn announce(&self, filter: &str) {
        let literal = prefixes(filter).take_while(|prefix| !prefix.ends_with(['+', '#']));
        self.add(literal.last().map_or(ANYWHERE, |prefix| self.counter(prefix)));
    }

    /// The same of any filters.
    pub fn announce_all(&self) {
        self.add(ANYWHERE);
    }

    fn add(&self, counter: usize) {
        self.counters[counter].fetch_add(1, Ordering::AcqRel);
        // Who has seen this count sees the counter as it is now.
        self.all.fetch_add(1, Ordering::AcqRel);
    }

    /// The state of all that a topic has to do with. To be taken before its way is looked for.
    pub fn stamp(&self, topic: &str) -> Stamp {
        let mut counters = [ANYWHERE as u16; LEVELS + 1];
        for (place, prefix) in counters[1..].iter_mut().zip(prefixes(topic)) {
            *place = self.counter(prefix) as u16;
        }
        Stamp { counters, sum: self.sum(counters) }
    }

    /// Whether nothing has changed since then.
    pub fn holds(&self, stamp: &Stamp) -> bool {
        self.sum(stamp.counters) == stamp.sum
    }

    fn sum(&self, counters: [u16; LEVELS + 1]) -> u64 {
        counters.iter().map(|counter| self.counters[usize::from(*counter)].load(Ordering::Acquire)).sum()
    }

    fn counter(&self, prefix: &str) -> usize {
        1 + self.hasher.hash_one(prefix) as usize % (COUNTERS - 1)
    }
}

/// The first level of a name, the first two, and so on.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'/', name.as_bytes()).chain([name.len()]);
    ends.take(LEVELS).map(|end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Filter, Limits};

    #[test]
    fn a_change_touches_every_topic_that_its_filter_matches() {
        let names = ["a", "b", "+", "#", "", "$x"];
        let level = |n: usize| names[n % names.len()];
        for n in 0..names.len().pow(4) {
            let all: Vec<_> = (0..4).map(|depth| level(n / names.len().pow(depth))).collect();
            for depth in 1..=4 {
                let Ok(filter) = Filter::new(&all[..depth].join("/"), &Limits::default()) else { continue };
                for topic in ["a", "b", "a/b", "b/a/b", "a/a/a/a", "a/b/a/b", "b/b/b/b/b", "/", "//a", "$x/a/b", "a/"] {
                    let changes = Changes::default();
                    let stamp = changes.stamp(topic);
                    changes.announce(filter.as_str());
                    assert!(!filter.matches(topic) || !changes.holds(&stamp), "{filter} matches {topic}");
                }
            }
        }
    }

    #[test]
    fn most_other_topics_keep_their_ways() {
        let changes = Changes::default();
        let stamps: Vec<_> = (0..1_000).map(|n| changes.stamp(&format!("home/{n}/state"))).collect();
        (0..10).for_each(|n| changes.announce(&format!("devices/{n}/commands/#")));
        let kept = stamps.iter().filter(|stamp| changes.holds(stamp)).count();
        assert!(kept > 900, "{kept}");
        changes.announce("home/+/state");
        assert!(stamps.iter().all(|stamp| !changes.holds(stamp)));
    }

    #[test]
    fn a_change_of_any_filters_touches_all() {
        let changes = Changes::default();
        let stamp = changes.stamp("a/b/c");
        let before = changes.count();
        changes.announce_all();
        assert!(!changes.holds(&stamp) && changes.count() > before);
        assert!(changes.holds(&changes.stamp("a/b/c")));
    }
}
