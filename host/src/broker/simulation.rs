//! The hall on a simulated disk: several clients, one thread that drives them, a clock that is an argument, and crashes. A
//! seed chooses what happens; what the writer's thread has on disk by the time of a crash is its own affair.
//!
//! `PLIANT_SEEDS=10000 cargo test --lib broker::simulation -- --nocapture`; `PLIANT_SEED` begins with that one.

use super::tests::{Hall, Peer, opened};
use super::*;
use crate::dialogue::{Event, Handle, Settlement};
use crate::message::Guarantee;
use crate::store::Durability;
use crate::store::tests::dice::{Dice, asked};
use crate::store::tests::simulated_disk::Disk;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Seeds where nobody asks for more.
const SEEDS: u64 = 5;
const STEPS: usize = 400;

pub(super) fn boot(disk: &Disk, limits: Limits) -> Hall {
    let metrics = Arc::new(Metrics::default());
    let backend = disk.clone();
    let cached = crate::store::Limits { cache_bytes: 1 << 20, ..Default::default() };
    let opened_store =
        Store::with_backend(move || Ok(backend.clone()), &cached, Durability::Commit, metrics.clone(), Time(0));
    let (store, loaded) = opened_store.unwrap();
    opened(limits, metrics, store, loaded)
}

/// Publishes its numbers and knows which were answered.
struct Publisher {
    id: String,
    guarantee: Guarantee,
    peer: Option<Peer>,
    next: u32,
    /// Handle, number, whether the broker said that it has it.
    flights: VecDeque<(Handle, u32, bool)>,
    answers: VecDeque<(Sequence, Event)>,
    last_handle: Handle,
}

/// Has a session with one subscription and forgets nothing.
struct Subscriber {
    id: String,
    guarantee: Guarantee,
    peer: Option<Peer>,
    /// Numbers by publisher.
    got: BTreeMap<String, Vec<u32>>,
    unreleased: HashMap<Handle, String>,
    /// What it will say, in order.
    words: VecDeque<(Handle, Word)>,
    answers: VecDeque<(Sequence, Handle)>,
}

enum Word {
    Acknowledged,
    Received,
    Completed,
}

struct World {
    disk: Disk,
    hall: Hall,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    crashes: u32,
}

impl World {
    fn new() -> Self {
        let disk = Disk::default();
        let mut hall = boot(&disk, Limits::default());
        let guarantees = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
        let publishers = (0..4).map(|number| Publisher {
            id: format!("p{number}"),
            guarantee: guarantees[number % 2],
            peer: None,
            next: 0,
            flights: VecDeque::new(),
            answers: VecDeque::new(),
            last_handle: 0,
        });
        let publishers = publishers.collect();
        let subscribers = (0..3).map(|number| {
            let (id, guarantee) = (format!("s{number}"), guarantees[number % 2]);
            let (mut peer, _) = hall.attach(&id, false, u32::MAX, 8);
            hall.subscribe(&mut peer, "load/#", guarantee);
            let (got, unreleased) = (BTreeMap::new(), HashMap::new());
            let (words, answers) = (VecDeque::new(), VecDeque::new());
            Subscriber { id, guarantee, peer: Some(peer), got, unreleased, words, answers }
        });
        let subscribers = subscribers.collect();
        commit(&hall);
        Self { disk, hall, publishers, subscribers, crashes: 0 }
    }

    /// The process is gone; what it had written is what there is.
    fn crash(&mut self) {
        self.disk = self.disk.copy();
        self.hall = boot(&self.disk, Limits::default());
        for publisher in &mut self.publishers {
            (publisher.peer, publisher.answers) = (None, VecDeque::new());
        }
        for subscriber in &mut self.subscribers {
            (subscriber.peer, subscriber.answers, subscriber.words) = (None, VecDeque::new(), VecDeque::new());
        }
        self.crashes += 1;
    }

    fn step(&mut self, dice: &mut Dice) {
        let (one, other) = (dice.below(4) as usize, dice.below(3) as usize);
        let hall = &mut self.hall;
        match dice.below(60) {
            0..22 => self.publishers[one].publish(hall),
            22..34 => self.publishers[one].hear(hall),
            34..42 => self.subscribers[other].drain(hall),
            42..50 => self.subscribers[other].speak(hall),
            50..54 => self.subscribers[other].hear(hall),
            54 => self.publishers[one].leave(hall),
            55 => self.subscribers[other].leave(hall),
            56 => {
                hall.now = hall.now.plus_milliseconds(dice.below(10_000));
                hall.broker.tick(&mut hall.worker, hall.now);
            }
            57 => commit(hall),
            58 if dice.once_in(2) => self.crash(),
            _ => {}
        }
    }

    /// Everybody comes to an end.
    fn end(&mut self) {
        let hall = &mut self.hall;
        for publisher in &mut self.publishers {
            publisher.come(hall);
            while !publisher.flights.is_empty() {
                commit(hall);
                publisher.hear(hall);
            }
        }
        for subscriber in &mut self.subscribers {
            loop {
                subscriber.drain(hall);
                commit(hall);
                subscriber.hear(hall);
                if subscriber.words.is_empty() && subscriber.answers.is_empty() {
                    break;
                }
                while !subscriber.words.is_empty() {
                    subscriber.speak(hall);
                }
            }
        }
    }

    fn check(&self, seed: u64) {
        for subscriber in &self.subscribers {
            for publisher in &self.publishers {
                let got = subscriber.got.get(&publisher.id).map_or(&[][..], Vec::as_slice);
                let mut first = Vec::new();
                for number in got {
                    if !first.contains(number) {
                        first.push(*number);
                    }
                }
                let what = format!("seed {seed}: {} of {}: {got:?}", subscriber.id, publisher.id);
                assert!(first.iter().copied().eq(0..publisher.next), "lost, out of order or never sent: {what}");
                let exactly = subscriber.guarantee.min(publisher.guarantee) == Guarantee::ExactlyOnce;
                assert!(!exactly || got.len() == first.len(), "twice: {what}");
            }
        }
    }
}

fn commit(hall: &Hall) {
    assert!(hall.broker.store.flush_blocking(Duration::from_secs(60)));
}

impl Publisher {
    fn come(&mut self, hall: &mut Hall) {
        if self.peer.is_some() {
            return;
        }
        let (peer, resumed) = hall.attach(&self.id, false, u32::MAX, 8);
        commit(hall);
        assert!(resumed || self.next == 0, "{}: its session is lost", self.id);
        self.peer = Some(peer);
        for (handle, number, is_received) in self.flights.clone() {
            if is_received { self.release(hall, handle) } else { self.send(hall, handle, number) }
        }
    }

    fn leave(&mut self, hall: &mut Hall) {
        if let Some(mut peer) = self.peer.take() {
            hall.lose(&mut peer);
            self.answers.clear();
        }
    }

    fn publish(&mut self, hall: &mut Hall) {
        self.come(hall);
        if self.flights.len() >= 6 {
            return;
        }
        self.last_handle = self.last_handle % 9 + 1;
        while self.flights.iter().any(|(handle, ..)| *handle == self.last_handle) {
            self.last_handle = self.last_handle % 9 + 1;
        }
        self.flights.push_back((self.last_handle, self.next, false));
        self.next += 1;
        self.send(hall, self.last_handle, self.next - 1);
    }

    fn send(&mut self, hall: &mut Hall, handle: Handle, number: u32) {
        let Some(peer) = &mut self.peer else { return };
        let (name, payload) = (format!("load/{}", self.id), format!("{} {number}", self.id));
        match hall.publish(peer, &name, self.guarantee, handle, payload.as_bytes()) {
            Answer::Say(after, event) => self.answers.push_back((after, event)),
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, hall: &mut Hall, handle: Handle) {
        let Some(peer) = &mut self.peer else { return };
        match hall.ask(peer, Request::Release(handle)) {
            Answer::Say(after, event) => self.answers.push_back((after, event)),
            other => panic!("{other:?}"),
        }
    }

    /// Hears what may be said by now.
    fn hear(&mut self, hall: &mut Hall) {
        while let Some((after, _)) = self.answers.front() {
            if !hall.broker.is_committed(*after) {
                return;
            }
            match self.answers.pop_front() {
                Some((_, Event::Published { handle, guarantee, outcome: Ok(_) })) => {
                    if guarantee == Guarantee::AtLeastOnce {
                        self.flights.retain(|flight| flight.0 != handle);
                    } else {
                        self.flights.iter_mut().filter(|flight| flight.0 == handle).for_each(|flight| flight.2 = true);
                        self.release(hall, handle);
                    }
                }
                Some((_, Event::Released(handle, _))) => self.flights.retain(|flight| flight.0 != handle),
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Subscriber {
    fn come(&mut self, hall: &mut Hall) {
        if self.peer.is_some() {
            return;
        }
        let (peer, resumed) = hall.attach(&self.id, false, u32::MAX, 8);
        commit(hall);
        assert!(resumed, "{}: its session is lost", self.id);
        self.peer = Some(peer);
    }

    fn leave(&mut self, hall: &mut Hall) {
        if let Some(mut peer) = self.peer.take() {
            hall.lose(&mut peer);
            self.answers.clear();
            self.words.clear();
        }
    }

    fn drain(&mut self, hall: &mut Hall) {
        self.come(hall);
        let Some(peer) = &self.peer else { return };
        for (handle, text, _) in hall.take(peer) {
            if text == "release" {
                self.unreleased.remove(&handle);
                self.words.push_back((handle, Word::Completed));
                continue;
            }
            let (publisher, number) = text.split_once(' ').unwrap();
            let number: u32 = number.parse().unwrap();
            let exactly = self.guarantee == Guarantee::ExactlyOnce && ["p1", "p3"].contains(&publisher);
            if !exactly {
                self.got.entry(publisher.to_owned()).or_default().push(number);
                self.words.push_back((handle, Word::Acknowledged));
                continue;
            }
            match self.unreleased.insert(handle, text.clone()) {
                Some(known) => assert_eq!(known, text, "a handle that is not released has another message"),
                None => self.got.entry(publisher.to_owned()).or_default().push(number),
            }
            self.words.push_back((handle, Word::Received));
        }
    }

    fn speak(&mut self, hall: &mut Hall) {
        let (Some(peer), Some((handle, word))) = (&mut self.peer, self.words.pop_front()) else { return };
        match word {
            Word::Acknowledged => drop(hall.ask(peer, Request::Settle(handle, Settlement::Acknowledged))),
            Word::Completed => drop(hall.ask(peer, Request::Settle(handle, Settlement::Completed))),
            Word::Received => match hall.ask(peer, Request::Received(handle)) {
                Answer::Say(after, Event::Release(handle, _)) => self.answers.push_back((after, handle)),
                other => panic!("{other:?}"),
            },
        }
    }

    fn hear(&mut self, hall: &Hall) {
        while self.answers.front().is_some_and(|(after, _)| hall.broker.is_committed(*after)) {
            let Some((_, handle)) = self.answers.pop_front() else { return };
            self.unreleased.remove(&handle);
            self.words.push_back((handle, Word::Completed));
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_every_message_arrives_as_promised() {
    let first = asked("PLIANT_SEED", 1);
    let last = first + asked("PLIANT_SEEDS", SEEDS);
    let (mut crashes, mut messages) = (0, 0);
    for seed in first..last {
        let mut dice = Dice(seed);
        let mut world = World::new();
        for _ in 0..STEPS {
            world.step(&mut dice);
        }
        world.end();
        world.check(seed);
        crashes += world.crashes;
        messages += world.publishers.iter().map(|publisher| publisher.next).sum::<u32>();
    }
    println!("seeds {first} to {}: {crashes} crashes, {messages} messages, nothing lost", last - 1);
}
