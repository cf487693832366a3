//! A queue on a simulated disk: receivers that pick, browse, give back, go and come back, transactions, and crashes. A seed
//! chooses what happens; when the store's thread has read a page or written something is its own affair.
//!
//! `PLIANT_SEEDS=10000 cargo test --lib queue_tests::simulation -- --nocapture`; `PLIANT_SEED` begins with that one.

use super::super::simulation::boot;
use super::*;
use crate::broker::transact::Retired;
use crate::store::Sequence;
use crate::store::tests::dice::{Dice, asked};
use crate::store::tests::simulated_disk::Disk;
use std::collections::BTreeMap;

/// Seeds where nobody asks for more.
const SEEDS: u64 = 5;
const STEPS: usize = 300;
/// So many steps go by before others are active.
const MOOD: usize = 50;
/// Receivers; the last but one takes even numbers only, the last one browses.
const RECEIVERS: usize = 4;
const PICKS: usize = RECEIVERS - 2;
const BROWSES: usize = RECEIVERS - 1;

/// What is known of an entry.
#[derive(Debug, Default)]
struct Entry {
    /// On disk after that; none: it has been since an earlier start.
    published: Option<Sequence>,
    /// It was taken, which is on disk after that; `u64::MAX`: some time.
    ended: Option<Sequence>,
    /// A crash came before somebody was told that it is there, or gone.
    maybe: bool,
    holder: Option<usize>,
    /// It is kept for one that came back.
    promised: Option<usize>,
    /// It may be among the dead letters.
    may_be_dead: bool,
}

#[derive(Default)]
struct Receiver {
    consumer: Option<Consumer>,
    /// Number and text of what it has.
    held: Vec<(u64, u32)>,
    /// What it had in earlier lives.
    remembers: Vec<(u64, u32)>,
}

struct World {
    disk: Disk,
    limits: Limits,
    hall: Hall,
    /// Another thread's.
    other: Worker,
    entries: BTreeMap<u32, Entry>,
    receivers: Vec<Receiver>,
    /// Those that consume, as bits.
    active: usize,
    what: String,
}

fn is_wanted(at: usize, text: u32) -> bool {
    at != PICKS || text.is_multiple_of(2)
}

fn text_of(message: &Message) -> u32 {
    std::str::from_utf8(message.payload()).unwrap().parse().unwrap()
}

fn bare(text: &str) -> PublishBare<'_> {
    PublishBare {
        name: QUEUE,
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        expiry_milliseconds: None,
        bare: Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: true, priority: 4 },
        origin: 5,
        encoded: text.as_bytes(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let resident = if seed.is_multiple_of(2) { 16 } else { 272 };
        let limits = Limits { queue_resident_max: resident, ..Default::default() };
        let disk = Disk::default();
        let mut hall = boot(&disk, limits.clone());
        let other = hall.broker.worker();
        drop(hall.at_queue(false));
        hall.commit();
        let receivers = (0..RECEIVERS).map(|_| Receiver::default()).collect();
        Self { disk, limits, hall, other, entries: BTreeMap::new(), receivers, active: 0, what: format!("seed {seed}") }
    }

    fn step(&mut self, dice: &mut Dice) {
        let at = dice.below(RECEIVERS as u64) as usize;
        match dice.below(40) {
            0..8 => self.send(1 + dice.below(4), false),
            8 => {
                let slowly = dice.once_in(2);
                self.send(dice.below(400), slowly);
            }
            9..20 if self.active >> at & 1 == 0 => {}
            9..20 => {
                let most = if dice.once_in(4) { 200 } else { 5 };
                self.consume(at, 1 + dice.below(most) as usize, dice.once_in(5));
            }
            20..29 => self.dispose(at, dice),
            29..31 => self.transact(at, dice),
            31 => self.part(at, dice),
            32 => self.come_back(at, dice),
            33..36 => self.hall.commit(),
            36 => {
                self.hall.now = self.hall.now.plus_milliseconds(dice.below(1_000));
                self.hall.broker.tick(&mut self.hall.worker, self.hall.now);
            }
            37 if dice.once_in(3) => self.crash(),
            38 if dice.once_in(3) => self.pick_along(dice),
            _ => std::thread::yield_now(),
        }
    }

    fn next(&self) -> u32 {
        self.entries.last_key_value().map_or(0, |(text, _)| text + 1)
    }

    /// `slowly`: what is on disk already may be left there.
    fn send(&mut self, count: u64, slowly: bool) {
        for _ in 0..count {
            let text = self.next();
            match self.hall.send(QUEUE, Guarantee::AtLeastOnce, &text.to_string()) {
                Taken::Yes(after, _) => self.entries.insert(text, Entry { published: Some(after), ..Entry::default() }),
                other => panic!("{}: {other:?}", self.what),
            };
            if slowly {
                self.hall.commit();
            }
        }
    }

    fn come(&mut self, at: usize) {
        if self.receivers[at].consumer.is_none() {
            let test = Arc::new(|message: &Message, _| text_of(message).is_multiple_of(2));
            let predicate = (at == PICKS).then(|| Predicate { test, words: (*b"even").into() });
            let source = Source::Queue { address: QUEUE.into(), browses: at == BROWSES, link: format!("{at}").into() };
            let consumer = self.hall.consumer(source, 77, predicate);
            self.hall.broker.steal(&mut self.hall.worker, self.hall.now, consumer.link.attachment().unwrap());
            self.hall.worker.flush(&self.hall.broker, self.hall.now);
            self.receivers[at].consumer = Some(consumer);
        }
    }

    fn consume(&mut self, at: usize, most: usize, settle: bool) {
        self.come(at);
        let consumer = self.receivers[at].consumer.as_ref().unwrap();
        let mut got = Vec::new();
        self.hall.broker.consume(consumer.link.attachment().unwrap(), self.hall.now, settle, &mut |consignment| {
            got.push((consignment.number, text_of(&consignment.message)));
            if got.len() < most { Take::More } else { Take::Enough }
        });
        assert!(got.is_sorted_by_key(|(number, _)| *number), "{}: out of order: {got:?}", self.what);
        for (number, text) in got {
            let about = format!("{}: {text} (number {number}) for {at}", self.what);
            let entry = self.entries.get_mut(&text).unwrap_or_else(|| panic!("{about} was never sent"));
            assert!(entry.ended.is_none(), "{about} was taken: {entry:?}");
            assert!(is_wanted(at, text), "{about} is not what it wants");
            // Such as nobody has, or had at the crash.
            entry.maybe = false;
            if at == BROWSES {
                continue;
            }
            assert!(entry.holder.is_none(), "{about} is with somebody else: {entry:?}");
            assert!(
                entry.promised.is_none_or(|holder| holder == at),
                "{about} is promised to somebody else: {entry:?}"
            );
            entry.promised = None;
            if settle {
                entry.ended = Some(Sequence::MAX);
            } else {
                entry.holder = Some(at);
                self.receivers[at].held.push((number, text));
            }
        }
    }

    /// What one does not want piles up, and it looks at each that comes.
    fn pick_along(&mut self, dice: &mut Dice) {
        self.come(PICKS);
        let held = std::mem::take(&mut self.receivers[PICKS].held);
        self.dispose_of(PICKS, held, &Disposal::Accepted, dice);
        for _ in 0..dice.below(1_000) {
            self.send(1, true);
            self.consume(PICKS, 9, dice.once_in(9));
            // While it has one that is behind all that is in the store, nothing more is left there.
            let mailbox = self.hall.broker.directory.queue(QUEUE).unwrap();
            let next_in_store = mailbox.lock().gap.as_ref().map_or(0, |gap| gap.rest.to + 1);
            let chosen = self.receivers[PICKS].held.pop_if(|(number, _)| *number != next_in_store);
            self.dispose_of(PICKS, chosen.into_iter().collect(), &Disposal::Accepted, dice);
        }
    }

    fn some_held(&mut self, at: usize, dice: &mut Dice) -> Vec<(u64, u32)> {
        let held = &mut self.receivers[at].held;
        let most = if dice.once_in(4) { 400 } else { 4 };
        let count = dice.below(held.len().min(most) as u64 + 1) as usize;
        (0..count).map(|_| held.swap_remove(dice.below(held.len() as u64) as usize)).collect()
    }

    fn dispose(&mut self, at: usize, dice: &mut Dice) {
        let chosen = self.some_held(at, dice);
        let how = match dice.below(12) {
            0..8 => Disposal::Accepted,
            8 => Disposal::Rejected,
            9 => Disposal::Modified { failed: true, elsewhere: false, notes: None },
            10 => Disposal::Modified { failed: false, elsewhere: true, notes: None },
            _ => Disposal::Released,
        };
        self.dispose_of(at, chosen, &how, dice);
    }

    fn dispose_of(&mut self, at: usize, chosen: Vec<(u64, u32)>, how: &Disposal, dice: &mut Dice) {
        let Some(consumer) = &self.receivers[at].consumer else { return };
        let numbers: Vec<u64> = chosen.iter().map(|(number, _)| *number).collect();
        let awaited = dice.once_in(2);
        let Hall { broker, worker, now } = &mut self.hall;
        let after = broker.dispose(worker, *now, consumer.link.attachment().unwrap(), &numbers, how, awaited);
        match dice.below(4) {
            // Another thread goes on, and this one has not told all.
            0 => std::mem::swap(worker, &mut self.other),
            1 => drop(worker.flush(broker, *now)),
            _ => {}
        }
        for (_, text) in chosen {
            let entry = self.entries.get_mut(&text).unwrap();
            entry.holder = None;
            entry.may_be_dead |= matches!(how, Disposal::Rejected | Disposal::Modified { failed: true, .. });
            if matches!(how, Disposal::Accepted) {
                entry.ended = Some(if after == 0 { Sequence::MAX } else { after });
            }
        }
    }

    fn transact(&mut self, at: usize, dice: &mut Dice) {
        let chosen = self.some_held(at, dice);
        let Some(consumer) = &self.receivers[at].consumer else { return };
        let attachment = consumer.link.attachment().unwrap();
        let how = if dice.once_in(3) { Disposal::Released } else { Disposal::Accepted };
        let retire = |number| Retired { attachment, number, disposal: &how };
        let retired = chosen.iter().map(|(number, _)| retire(*number)).collect();
        let first = self.next();
        let texts: Vec<(u32, String)> = (first..first + dice.below(4) as u32).map(|n| (n, n.to_string())).collect();
        let publications = texts.iter().map(|(_, text)| bare(text)).collect();
        let mut link = Link::of(Arc::new(Probe::default()), Arc::new(client("p")));
        let Hall { broker, worker, now } = &mut self.hall;
        let after = broker.transact(worker, &mut link, *now, publications, retired, &[]).unwrap();
        worker.flush(broker, *now);
        for (_, text) in chosen {
            let entry = self.entries.get_mut(&text).unwrap();
            entry.holder = None;
            entry.ended = matches!(how, Disposal::Accepted).then_some(after);
        }
        let published = Some(after);
        self.entries.extend(texts.iter().map(|(n, _)| (*n, Entry { published, ..Entry::default() })));
    }

    fn part(&mut self, at: usize, dice: &mut Dice) {
        let Some(consumer) = self.receivers[at].consumer.take() else { return };
        // Its connection may be gone without the hall having heard of it: whoever comes in its name takes its place.
        let held = &self.receivers[at].held;
        match dice.below(3) {
            0 => self.hall.part(consumer, Parting::Kept(0)),
            1 => {
                held.iter().for_each(|(_, text)| self.entries.get_mut(text).unwrap().may_be_dead = true);
                self.hall.part(consumer, Parting::Lost(0));
            }
            _ => self.come(at),
        }
        self.forget(at);
    }

    /// What it had is anybody's.
    fn forget(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        for (_, text) in &receiver.held {
            self.entries.get_mut(text).unwrap().holder = None;
        }
        receiver.remembers.append(&mut receiver.held);
        self.entries.values_mut().filter(|entry| entry.promised == Some(at)).for_each(|entry| entry.promised = None);
    }

    /// It says what became of some that it had, and wants others again.
    fn come_back(&mut self, at: usize, dice: &mut Dice) {
        if at == BROWSES {
            return;
        }
        self.come(at);
        let mut remembers = std::mem::take(&mut self.receivers[at].remembers);
        remembers.sort_unstable();
        remembers.dedup();
        let is_waiting = |entry: &Entry| {
            let is_there = entry.ended.is_none() && !entry.maybe && !entry.may_be_dead;
            is_there && entry.holder.is_none() && entry.promised.is_none()
        };
        remembers.retain(|(_, text)| is_waiting(&self.entries[text]));
        let (says, asks): (Vec<_>, Vec<_>) = remembers.into_iter().partition(|_| dice.once_in(2));
        let outcomes: Vec<(u64, Disposal)> = says.iter().map(|(number, _)| (*number, Disposal::Accepted)).collect();
        let attachment = self.receivers[at].consumer.as_ref().unwrap().link.attachment().unwrap();
        let Hall { broker, worker, now } = &mut self.hall;
        let after = broker.dispose_waiting(worker, *now, attachment, &outcomes);
        let numbers: Vec<u64> = asks.iter().map(|(number, _)| *number).collect();
        let waiting = broker.still_waiting(attachment, &numbers);
        worker.flush(broker, *now);
        for (_, text) in says {
            self.entries.get_mut(&text).unwrap().ended = Some(after);
        }
        for (number, text) in asks {
            let entry = self.entries.get_mut(&text).unwrap();
            // Rejected ones and those that failed too often are among the dead letters.
            entry.promised = waiting.contains(&number).then_some(at);
        }
    }

    /// The process is gone; what it had written is what there is.
    fn crash(&mut self) {
        let broker = self.hall.broker.clone();
        let is_sure = |after: Sequence| after != Sequence::MAX && broker.is_committed(after);
        for entry in self.entries.values_mut() {
            let was_there = entry.published.take().is_none_or(is_sure);
            (entry.holder, entry.promised) = (None, None);
            match entry.ended {
                Some(after) if is_sure(after) => entry.ended = Some(0),
                Some(_) => (entry.ended, entry.maybe) = (None, true),
                None => entry.maybe |= !was_there,
            }
        }
        for receiver in &mut self.receivers {
            receiver.consumer = None;
            receiver.remembers.append(&mut receiver.held);
        }
        self.hall.worker.later.changes().clear();
        self.other.later.changes().clear();
        self.disk = self.disk.copy();
        self.hall = boot(&self.disk, self.limits.clone());
        self.other = self.hall.broker.worker();
    }

    /// Everything that somebody who takes all is handed, waiting for pages.
    fn drain(&mut self, consumer: &Consumer) -> Vec<u32> {
        let mut all = Vec::new();
        let mailbox = consumer.link.attachment().unwrap().mailbox.clone();
        for _ in 0..1_000_000 {
            self.hall.broker.tick(&mut self.hall.worker, self.hall.now);
            for one in self.hall.consume(consumer, usize::MAX) {
                all.push(text_of(&one.message));
                self.hall.dispose(consumer, one.number, Disposal::Accepted);
            }
            if mailbox.depth() == 0 {
                break;
            }
            self.hall.commit();
        }
        assert_eq!(mailbox.depth(), 0, "{}: something is left behind", self.what);
        all
    }

    fn end(&mut self) {
        self.other.flush(&self.hall.broker, self.hall.now);
        for at in 0..RECEIVERS {
            if let Some(consumer) = self.receivers[at].consumer.take() {
                self.hall.part(consumer, Parting::Kept(0));
            }
            self.forget(at);
        }
        let (all, letters) = (self.hall.at_queue(false), dead_letters(&mut self.hall));
        let mut found = self.drain(&all);
        found.append(&mut self.drain(&letters));
        found.sort_unstable();
        assert!(found.is_sorted_by(|a, b| a < b), "{}: twice: {found:?}", self.what);
        for (text, entry) in &self.entries {
            let about = format!("{}: {text}: {entry:?}", self.what);
            match found.binary_search(text) {
                Ok(_) => assert!(entry.ended.is_none(), "{about} was taken, and is there"),
                Err(_) => assert!(entry.ended.is_some() || entry.maybe, "{about} is lost"),
            }
        }
        self.hall.commit();
        self.hall = boot(&self.disk.copy(), self.limits.clone());
        self.other = self.hall.broker.worker();
        let mailbox = self.hall.broker.directory.queue(QUEUE).unwrap();
        assert_eq!(mailbox.depth(), 0, "{}: something comes again", self.what);
    }
}

#[test]
fn whatever_receivers_do_a_queue_hands_each_entry_to_one_at_a_time_until_it_is_taken() {
    let first = asked("PLIANT_SEED", 1);
    let last = first + asked("PLIANT_SEEDS", SEEDS);
    let mut entries = 0;
    for seed in first..last {
        let mut dice = Dice(seed);
        let mut world = World::new(seed);
        for step in 0..STEPS {
            if step % MOOD == 0 {
                world.active = dice.below(1 << RECEIVERS) as usize;
            }
            world.step(&mut dice);
        }
        world.end();
        entries += world.entries.len();
    }
    println!("seeds {first} to {}: {entries} entries, nothing lost, nothing twice", last - 1);
}
