//! Messages that one side does not take now: they wait here, each behind those of its own topic, while other topics go on.

use super::retry::Retry;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// See the head of this file.
#[derive(Debug)]
pub struct Held<T> {
    /// As they came.
    entries: VecDeque<Entry<T>>,
    /// How many there are of each topic.
    counts: HashMap<Box<str>, usize>,
    /// Topics that nothing is tried of.
    stuck: HashMap<Box<str>, Stuck>,
    bytes: usize,
    due: Option<Instant>,
    /// The same for what was put aside.
    due_aside: Option<Instant>,
    retry: Retry,
}

/// One message.
#[derive(Debug)]
pub struct Entry<T> {
    /// When it came, compared with others.
    pub order: u64,
    /// The route that it belongs to.
    pub route: usize,
    /// Its topic.
    pub topic: Box<str>,
    /// What it costs in memory.
    pub bytes: usize,
    /// The message.
    pub item: T,
}

#[derive(Debug)]
struct Stuck {
    route: usize,
    /// One message is under way to see whether others may follow.
    asked: bool,
    /// It waits for a time of its own.
    aside: bool,
}

impl<T> Held<T> {
    /// Nothing, with waits like these.
    pub fn new(retry: Retry) -> Self {
        let (entries, counts, stuck) = (VecDeque::new(), HashMap::new(), HashMap::new());
        Self { entries, counts, stuck, bytes: 0, due: None, due_aside: None, retry }
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they cost in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of this topic has to wait behind others.
    pub fn blocks(&self, topic: &str) -> bool {
        // The busy path: nothing waits.
        !(self.entries.is_empty() && self.stuck.is_empty())
            && (self.counts.contains_key(topic) || self.stuck.contains_key(topic))
    }

    /// Messages of this route that wait.
    pub fn count(&self, route: usize) -> usize {
        self.entries.iter().filter(|entry| entry.route == route).count()
    }

    /// Whether something of this route waits.
    pub fn concerns(&self, route: usize) -> bool {
        self.entries.iter().any(|entry| entry.route == route) || self.stuck.values().any(|stuck| stuck.route == route)
    }

    /// Lets one wait, in its place.
    pub fn put(&mut self, entry: Entry<T>) {
        *self.counts.entry(entry.topic.clone()).or_default() += 1;
        self.bytes += entry.bytes;
        let at = self.entries.partition_point(|other| other.order < entry.order);
        self.entries.insert(at, entry);
    }

    /// Lets one wait that was not taken; its topic is tried again after a while.
    pub fn refused(&mut self, now: Instant, entry: Entry<T>) {
        self.stuck.insert(entry.topic.clone(), Stuck { route: entry.route, asked: false, aside: false });
        self.due.get_or_insert_with(|| now + self.retry.next_wait());
        self.put(entry);
    }

    /// Lets one wait until a time of its own, or of the first that waits so.
    pub fn put_aside(&mut self, until: Instant, entry: Entry<T>) {
        self.stuck.insert(entry.topic.clone(), Stuck { route: entry.route, asked: false, aside: true });
        self.due_aside.get_or_insert(until);
        self.put(entry);
    }

    /// When to look again; none: there is nothing to be tried again.
    pub fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.due_aside).min()
    }

    /// Whether it is time; if so, all topics may be tried.
    pub fn begin(&mut self, now: Instant) -> bool {
        let mut is_time = false;
        for (due, aside) in [(&mut self.due, false), (&mut self.due_aside, true)] {
            if due.take_if(|due| *due <= now).is_some() {
                is_time = true;
                self.stuck.retain(|_, stuck| stuck.asked || stuck.aside != aside);
            }
        }
        is_time
    }

    /// The first message that may be tried.
    pub fn next(&mut self) -> Option<Entry<T>> {
        let at = self.entries.iter().position(|entry| !self.stuck.contains_key(&entry.topic))?;
        let entry = self.entries.remove(at)?;
        self.bytes -= entry.bytes;
        if let Some(count) = self.counts.get_mut(&entry.topic) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.topic);
            }
        }
        Some(entry)
    }

    /// A message of this topic is under way: no other is tried before [`Self::taken`] or [`Self::refused`].
    pub fn ask(&mut self, topic: Box<str>, route: usize) {
        self.stuck.insert(topic, Stuck { route, asked: true, aside: false });
    }

    /// A message of this topic was taken: others may follow. Whether anything had to wait for that.
    pub fn taken(&mut self, topic: &str) -> bool {
        !self.stuck.is_empty() && self.stuck.remove(topic).is_some()
    }

    /// Where nothing waits any more, the next wait is a short one. Whether that is so.
    pub fn rest(&mut self) -> bool {
        let rests = self.entries.is_empty() && self.stuck.is_empty();
        if rests {
            (self.due, self.due_aside) = (None, None);
            self.retry.reset();
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;
    use std::time::Duration;

    fn held() -> Held<u32> {
        let settings = Settings { retry_milliseconds_min: 100, retry_milliseconds_max: 1000, ..Settings::named("b") };
        Held::new(Retry::new(&settings))
    }

    fn entry(order: u64, topic: &str) -> Entry<u32> {
        Entry { order, route: 0, topic: topic.into(), bytes: 10, item: order as u32 }
    }

    fn all(held: &mut Held<u32>) -> Vec<u32> {
        std::iter::from_fn(|| held.next()).map(|entry| entry.item).collect()
    }

    #[test]
    fn a_topic_waits_in_order_and_others_do_not() {
        let (mut held, now) = (held(), Instant::now());
        held.refused(now, entry(2, "a"));
        assert!(held.blocks("a") && !held.blocks("b"));
        held.put(entry(4, "a"));
        // It was under way at the same time, and is refused later.
        held.refused(now, entry(3, "a"));
        assert_eq!((held.len(), held.bytes()), (3, 30));
        assert!(all(&mut held).is_empty() && !held.begin(now));
        assert!(held.begin(now + Duration::from_millis(200)));
        assert_eq!(all(&mut held), [2, 3, 4]);
        assert_eq!((held.len(), held.bytes(), held.concerns(0)), (0, 0, false));
    }

    #[test]
    fn one_message_of_a_topic_asks_for_the_others() {
        let (mut held, now) = (held(), Instant::now());
        for order in 1..4 {
            held.refused(now, entry(order, "a"));
        }
        held.refused(now, entry(9, "b"));
        let later = held.due().unwrap();
        assert!(held.begin(later));
        let mut asked = Vec::new();
        while let Some(entry) = held.next() {
            held.ask(entry.topic.clone(), entry.route);
            asked.push(entry.item);
        }
        assert_eq!(asked, [1, 9]);
        assert!(held.blocks("b") && held.concerns(0) && held.taken("b") && !held.blocks("b"));
        held.refused(later, entry(1, "a"));
        assert!(held.begin(held.due().unwrap()));
        assert_eq!(held.next().map(|entry| entry.item), Some(1));
        held.ask("a".into(), 0);
        assert!(all(&mut held).is_empty());
        assert!(held.taken("a"));
        assert_eq!(all(&mut held), [2, 3]);
        held.rest();
        assert_eq!((held.due(), held.concerns(0)), (None, false));
    }

    #[test]
    fn waits_double_until_nothing_waits() {
        let (mut held, mut now) = (held(), Instant::now());
        let mut waits = Vec::new();
        held.refused(now, entry(1, "a"));
        for _ in 0..6 {
            let due = held.due().unwrap();
            waits.push((due - now).as_millis());
            now = due;
            assert!(held.begin(now));
            let entry = held.next().unwrap();
            held.refused(now, entry);
        }
        assert!(waits[0] <= 200 && waits[5] >= 1000, "{waits:?}");
        assert!(held.begin(held.due().unwrap()) && held.next().is_some());
        held.rest();
        held.refused(now, entry(2, "a"));
        assert!((held.due().unwrap() - now).as_millis() <= 200);
    }
}
