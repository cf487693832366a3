//! The last value of each topic, found by topic or by filter.
//!
//! Topics are kept in order of their levels, so that a filter is answered by walking the part of the order that it can
//! match and jumping over what it cannot: `a/+/c` on a million topics under `a` costs a jump for each second level.

use crate::message::{Message, Time};
use crate::store::Change;
use crate::topic::{Filter, Topic, levels};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering as Order};

/// Topics whose values may be set at the same time.
const TURNS: usize = 64;

/// The last values.
pub struct Retained {
    kept: RwLock<BTreeMap<ByLevel, Kept>>,
    /// How many values come from each publisher, by its number; bounded by the values.
    owned: Mutex<HashMap<u64, usize>>,
    /// Bytes of their payloads, without those of the broker's own values.
    bytes: AtomicI64,
    /// What they add to the memory of all messages, without the broker's own.
    weight: AtomicI64,
    /// Number of the value that was stored last.
    last: AtomicU64,
    order: Mutex<()>,
    /// By the hash of a topic.
    turns: [Mutex<()>; TURNS],
    hasher: DefaultHashBuilder,
}

impl Default for Retained {
    fn default() -> Self {
        Self {
            kept: RwLock::default(),
            owned: Mutex::default(),
            bytes: AtomicI64::default(),
            weight: AtomicI64::default(),
            last: AtomicU64::default(),
            order: Mutex::default(),
            turns: std::array::from_fn(|_| Mutex::default()),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

/// A value and when it was stored.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The message as it was published.
    pub message: Message,
    /// When.
    pub stored: Time,
    /// Values are numbered as they are stored, in this process.
    pub number: u64,
}

/// A topic ordered level by level.
#[derive(Clone, PartialEq, Eq)]
struct ByLevel(Topic);

impl Ord for ByLevel {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.0.as_str().as_bytes(), other.0.as_str().as_bytes());
        match first_difference(a, b) {
            // U+0000 is in no topic, so it may stand for the slash, which then comes before everything else.
            Some(at) => {
                let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
                rank(a[at]).cmp(&rank(b[at]))
            }
            None => a.len().cmp(&b.len()),
        }
    }
}

impl PartialOrd for ByLevel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where two names part, if they do before one of them ends. By slices, since many may begin with the same 65,000 bytes.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    const SLICE: usize = 64;
    let same = a.chunks_exact(SLICE).zip(b.chunks_exact(SLICE)).take_while(|(a, b)| a == b).count() * SLICE;
    a[same..].iter().zip(&b[same..]).position(|(a, b)| a != b).map(|at| same + at)
}

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Behind this topic.
    After(Topic),
    /// At this one, which need not be there.
    At(Topic),
}

impl Start {
    fn bound(self) -> Bound<ByLevel> {
        match self {
            Self::After(topic) => Bound::Excluded(ByLevel(topic)),
            Self::At(topic) => Bound::Included(ByLevel(topic)),
        }
    }
}

/// What a walk found.
pub struct Page {
    /// In the order of topics.
    pub found: Vec<Kept>,
    /// Where to go on; none: there is no more.
    pub next: Option<Start>,
    /// What it cost: one for each value that was looked at, more for one with a long topic.
    pub steps: usize,
}

/// Bytes of a topic that cost as much as a look at one more value.
const BYTES_A_STEP: usize = 256;

impl Retained {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the value that was stored last.
    pub fn last(&self) -> u64 {
        // With the lock, so that whoever stores a later one has not yet begun.
        let _kept = self.kept.read();
        self.last.load(Order::Relaxed)
    }

    /// Held by whoever tells the store about values, so that it hears of them in the order in which memory changed.
    pub fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock()
    }

    /// Held by whoever sets or deletes the value of a topic until its copies are in their queues, so that the value that stays
    /// is the one that subscribers see last.
    pub fn turn(&self, topic: &Topic) -> MutexGuard<'_, ()> {
        self.turns[self.hasher.hash_one(topic.as_str()) as usize % TURNS].lock()
    }

    /// What the store has to know about a topic.
    pub fn change(&self, topic: &Topic) -> Change {
        match self.kept.read().get(&ByLevel(topic.clone())) {
            Some(kept) => Change::Retained(kept.message.clone(), kept.stored),
            None => Change::RetainedGone(topic.as_str().into()),
        }
    }

    /// The value of exactly this topic.
    pub fn get(&self, topic: &Topic, now: Time) -> Option<Kept> {
        let kept = self.kept.read();
        kept.get(&ByLevel(topic.clone())).filter(|kept| !kept.message.is_expired(now)).cloned()
    }

    /// Stores a value; true if the topic had none.
    pub fn set(&self, message: Message, stored: Time) -> bool {
        let key = ByLevel(message.topic().clone());
        let mut kept = self.kept.write();
        let number = self.last.fetch_add(1, Order::Relaxed) + 1;
        let publisher = message.publisher();
        self.count_bytes(&message, 1);
        let old = kept.insert(key, Kept { message, stored, number });
        self.count_owned(publisher, old.as_ref());
        old.is_none()
    }

    /// Deletes a value; true if there was one.
    pub fn remove(&self, topic: &Topic) -> bool {
        let mut kept = self.kept.write();
        let old = kept.remove(&ByLevel(topic.clone()));
        self.count_owned(0, old.as_ref());
        old.is_some()
    }

    /// Deletes a value if it has expired; true if it did.
    pub fn remove_expired(&self, topic: &Topic, now: Time) -> bool {
        let mut kept = self.kept.write();
        let key = ByLevel(topic.clone());
        if !kept.get(&key).is_some_and(|found| found.message.is_expired(now)) {
            return false;
        }
        let old = kept.remove(&key);
        self.count_owned(0, old.as_ref());
        true
    }

    /// When the value of a topic expires; none: never, or there is none.
    pub fn expires(&self, topic: &Topic) -> Option<Time> {
        self.kept.read().get(&ByLevel(topic.clone()))?.message.envelope().expires
    }

    /// Whether the value of a topic comes from a publisher.
    pub fn is_of(&self, topic: &Topic, publisher: u64) -> bool {
        self.kept.read().get(&ByLevel(topic.clone())).is_some_and(|kept| kept.message.publisher() == publisher)
    }

    /// How many values come from a publisher. What no client has sent is nobody's.
    pub fn owned_by(&self, publisher: u64) -> usize {
        self.owned.lock().get(&publisher).copied().unwrap_or(0)
    }

    /// Bytes of the payloads of all values but the broker's own.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Order::Relaxed)
    }

    /// What they add to the memory of all messages, but for the broker's own.
    pub fn weight(&self) -> usize {
        usize::try_from(self.weight.load(Order::Relaxed)).unwrap_or_default()
    }

    /// The same of the value of a topic; none: it has none.
    pub fn weight_of(&self, topic: &Topic) -> Option<usize> {
        self.kept.read().get(&ByLevel(topic.clone())).map(|kept| kept.message.weight())
    }

    fn count_bytes(&self, message: &Message, sign: i64) {
        if !message.topic().is_reserved() {
            self.weight.fetch_add(sign * message.weight() as i64, Order::Relaxed);
            self.bytes.fetch_add(sign * message.payload().len() as i64, Order::Relaxed);
        }
    }

    /// One value more of a publisher (0: of nobody), and the one that it took the place of less.
    fn count_owned(&self, publisher: u64, old: Option<&Kept>) {
        if let Some(old) = old {
            self.count_bytes(&old.message, -1);
        }
        let former = old.map_or(0, |old| old.message.publisher());
        if former == publisher {
            return;
        }
        let mut owned = self.owned.lock();
        if publisher != 0 {
            *owned.entry(publisher).or_insert(0) += 1;
        }
        if let Some(count) = owned.get_mut(&former) {
            *count -= 1;
            if *count == 0 {
                owned.remove(&former);
            }
        }
    }

    /// How many of the first `most` values match, of those that can; and how many were looked at.
    pub fn count(&self, filter: &Filter, now: Time, most: usize) -> (u64, usize) {
        let (mut count, mut looked, mut after) = (0, 0, None);
        while looked < most {
            let page = self.page(filter, after, 256, now);
            count += page.found.len();
            looked += page.steps;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        (count as u64, looked)
    }

    /// Up to `most` values that match, after a topic. Holds the lock for a bounded number of steps only, so it may find
    /// fewer and still say where to go on.
    pub fn page(&self, filter: &Filter, from: Option<Start>, most: usize, now: Time) -> Page {
        if !filter.is_wild() {
            return self.exact(filter, from, now);
        }
        let kept = self.kept.read();
        let mut page = Page { found: Vec::new(), next: None, steps: 0 };
        let mut from = from.or_else(|| literal_prefix(filter).map(Start::At));
        let steps_max = most.saturating_mul(4).max(1024);
        'walk: loop {
            let start = from.clone().map_or(Bound::Unbounded, Start::bound);
            for (topic, value) in kept.range((start, Bound::Unbounded)) {
                if page.found.len() >= most || page.steps >= steps_max {
                    page.next = from;
                    return page;
                }
                let bytes = topic.0.as_str().len();
                page.steps += 1 + bytes / BYTES_A_STEP;
                from = Some(Start::After(topic.0.clone()));
                match step(filter.as_str(), topic.0.as_str()) {
                    Step::Match => {
                        if !value.message.is_expired(now) {
                            page.found.push(value.clone());
                        }
                    }
                    Step::Next => {}
                    Step::Jump(to) => {
                        let Ok(to) = Topic::new(&to, &UNLIMITED) else { return page };
                        // It is compared with some of those between.
                        page.steps += 4 * (bytes / BYTES_A_STEP);
                        from = Some(Start::At(to));
                        continue 'walk;
                    }
                    Step::End => return page,
                }
            }
            return page;
        }
    }

    fn exact(&self, filter: &Filter, from: Option<Start>, now: Time) -> Page {
        let topic = Topic::new(filter.as_str(), &UNLIMITED).ok().filter(|_| from.is_none());
        Page {
            found: topic.and_then(|topic| self.get(&topic, now)).into_iter().collect(),
            next: None,
            steps: 1 + filter.as_str().len() / BYTES_A_STEP,
        }
    }

    /// Up to `most` values after a topic, for operators.
    pub fn list(&self, after: Option<&Topic>, most: usize) -> Vec<Kept> {
        let kept = self.kept.read();
        let from = after.map_or(Bound::Unbounded, |topic| Bound::Excluded(ByLevel(topic.clone())));
        kept.range((from, Bound::Unbounded)).take(most).map(|(_, kept)| kept.clone()).collect()
    }
}

/// Names in the store were checked when they came in.
const UNLIMITED: crate::topic::Limits = crate::topic::Limits { levels_max: usize::MAX, bytes_max: usize::MAX };

enum Step {
    Match,
    /// No match; the next in order may be one.
    Next,
    /// No match before this name.
    Jump(String),
    /// No match from here on.
    End,
}

/// How a walk goes on after it met `topic`.
fn step(filter: &str, topic: &str) -> Step {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        // `%` is the character after `$`.
        return Step::Jump("%".into());
    }
    let mut names = levels(topic);
    let mut at = 0;
    let mut after_plus = None;
    for level in levels(filter) {
        if level == "#" {
            return Step::Match;
        }
        let Some(name) = names.next() else { return Step::Next };
        if level == "+" {
            after_plus = Some(at + name.len());
        } else {
            match (ByLevelStr(name)).cmp(&ByLevelStr(level)) {
                Ordering::Equal => {}
                Ordering::Less => return Step::Jump(format!("{}{level}", &topic[..at])),
                Ordering::Greater => return past(topic, after_plus),
            }
        }
        at += name.len() + 1;
    }
    if names.next().is_none() { Step::Match } else { past(topic, after_plus) }
}

/// The first name after all that begin as `topic` does up to its last `+`.
fn past(topic: &str, after_plus: Option<usize>) -> Step {
    match after_plus {
        // A space is the smallest character that a level can go on with.
        Some(end) => Step::Jump(format!("{} ", &topic[..end])),
        None => Step::End,
    }
}

struct ByLevelStr<'a>(&'a str);

impl ByLevelStr<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

/// What all topics that match begin with: the levels before the first wildcard.
fn literal_prefix(filter: &Filter) -> Option<Topic> {
    let levels: Vec<&str> = levels(filter.as_str()).take_while(|level| *level != "+" && *level != "#").collect();
    Topic::new(&levels.join("/"), &UNLIMITED).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Guarantee};
    use crate::topic::Limits;
    use proptest::prelude::*;

    fn message(topic: &str) -> Message {
        expiring(topic, None)
    }

    fn expiring(topic: &str, expires: Option<Time>) -> Message {
        let topic = Topic::new(topic, &Limits::default()).unwrap();
        let guarantee = Guarantee::AtMostOnce;
        let envelope = Envelope { topic, guarantee, retain: true, expires, properties: None, hops: 0 };
        Message::new(envelope, 0, b"x")
    }

    fn walk(retained: &Retained, filter: &Filter, most: usize) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = retained.page(filter, after, most, Time(0));
            all.extend(page.found.iter().map(|kept| kept.message.topic().as_str().to_owned()));
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn values_are_set_replaced_and_removed() {
        let retained = Retained::default();
        let topic = message("a/b").topic().clone();
        assert!(retained.set(message("a/b"), Time(1)));
        assert!(!retained.set(expiring("a/b", Some(Time(5))), Time(2)));
        assert!(retained.get(&topic, Time(4)).is_some());
        assert!(retained.get(&topic, Time(5)).is_none());
        assert!(!retained.remove_expired(&topic, Time(4)));
        assert!(retained.remove_expired(&topic, Time(5)));
        assert!(!retained.remove(&topic) && retained.is_empty());
    }

    #[test]
    fn a_walk_jumps_over_what_cannot_match() {
        let retained = Retained::default();
        for group in 0..100 {
            for device in 0..100 {
                retained.set(message(&format!("g/{group}/{device}/t")), Time(0));
            }
        }
        let filter = Filter::new("g/+/42/t", &Limits::default()).unwrap();
        let page = retained.page(&filter, None, 1000, Time(0));
        assert_eq!((page.found.len(), page.next), (100, None));
    }

    #[test]
    fn names_part_where_they_part() {
        for (a, b, at) in [("a", "b", Some(0)), ("a", "ab", None), ("", "", None)] {
            assert_eq!(first_difference(a.as_bytes(), b.as_bytes()), at);
        }
        for at in [0, 63, 64, 65, 127, 128, 199] {
            let (a, mut b) = (vec![b'x'; 200], vec![b'x'; 300]);
            b[at] = b'y';
            assert_eq!(first_difference(&a, &b), Some(at));
        }
    }

    /// 4,000 topics that begin alike kept everybody waiting for 4.4 s.
    #[test]
    fn a_walk_over_long_topics_stops_earlier_and_goes_on_where_it_jumped_to() {
        let retained = Retained::default();
        let long = "x".repeat(60_000);
        for group in 0..20 {
            for name in ["a", "b", "z"] {
                retained.set(message(&format!("{long}/{group:02}/{name}")), Time(0));
            }
        }
        let filter = Filter::new(&format!("{long}/+/z"), &Limits::default()).unwrap();
        let (mut found, mut pages, mut from) = (0, 0, None);
        loop {
            let page = retained.page(&filter, from, 256, Time(0));
            (found, pages, from) = (found + page.found.len(), pages + 1, page.next);
            assert!(page.steps < 1024 + 5 * 236, "{}", page.steps);
            if from.is_none() {
                break;
            }
        }
        // Of each group its first topic is looked at, and the one that is jumped to.
        assert!(found == 20 && (20..=41).contains(&pages), "{found} in {pages}");
    }

    proptest! {
        #[test]
        fn a_walk_finds_what_matches_one_by_one(
            topics in prop::collection::btree_set("([ab$!.]{0,2}/){0,3}[ab]{1,2}", 0..40),
            filter in "([ab+]{1}/){0,3}([ab+#]|)",
            most in 1usize..5,
        ) {
            let Ok(filter) = Filter::new(&filter, &Limits::default()) else { return Ok(()) };
            let retained = Retained::default();
            for topic in &topics {
                retained.set(message(topic), Time(0));
            }
            let mut found = walk(&retained, &filter, most);
            found.sort();
            let expected: Vec<String> = topics.iter().filter(|topic| filter.matches(topic)).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
