//! Many kills of one broker on one store.

use super::audit::{Got, Sent};
use super::keeper::{Keeper, Ledger};
use super::mortal::{Due, Mortal};
use super::publisher::Publisher;
use super::reader::Reader;
use super::reloader::Reloader;
use super::{Actor, Dice, Site, amqp, audit, churner::Churner, keeper};
use crate::harness::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// Kills where nobody asks for more.
const KILLS: u64 = 3;
/// Then another broker begins: queues of those who are away until the end would be full.
const ACKNOWLEDGED_A_ROUND: u64 = 50_000;

struct Cast {
    publishers: Vec<Publisher>,
    /// Alone with their subscription.
    readers: Vec<Reader>,
    /// Sharing one.
    group: Vec<Reader>,
    /// Of wills.
    mourner: Reader,
    mortals: Vec<Mortal>,
    keepers: Vec<Keeper>,
    churners: Vec<Churner>,
    reloader: Reloader,
    ledger: Ledger,
    by_amqp: ByAmqp,
}

/// Those who speak AMQP.
struct ByAmqp {
    /// To topics, and to the two queues.
    publishers: Vec<amqp::Publisher>,
    /// Alone with their subscription, session or queue.
    consumers: Vec<amqp::Consumer>,
    /// Sharing a queue.
    group: Vec<amqp::Consumer>,
    mortals: Vec<amqp::Mortal>,
}

/// A queue with one consumer, and one with several.
const ALONE: &str = "/queues/alone";
const SHARED: &str = "/queues/shared";

impl ByAmqp {
    fn new(mut dice: impl FnMut() -> Dice) -> Self {
        let to = [
            ("load/1/amqp/0", "load/1/amqp/0", false),
            ("load/2/amqp/0", "load/2/amqp/0", true),
            (ALONE, "alone/1", false),
            (ALONE, "alone/2", true),
            (SHARED, "shared/2", true),
        ];
        let from = [
            ("amqp-alone", amqp::Node::Queue(ALONE.into()), true, 1),
            ("amqp-first", amqp::Node::Subscription("load/#".into()), false, 2),
            ("amqp-second", amqp::Node::Subscription("load/#".into()), true, 1),
            ("amqp-session", amqp::Node::Session("amqp-session".into(), "load/#".into()), true, 2),
        ];
        Self {
            publishers: to
                .into_iter()
                .zip(0..)
                .map(|((address, to, second), number)| amqp::Publisher::new(number, address, to, second, dice()))
                .collect(),
            consumers: from
                .into_iter()
                .map(|(id, node, second, presence)| amqp::Consumer::new(id, node, second, presence, dice()))
                .collect(),
            group: (0..2)
                .map(|number| {
                    let node = amqp::Node::Queue(SHARED.into());
                    amqp::Consumer::new(&format!("amqp-shares-{number}"), node, number == 1, 1, dice())
                })
                .collect(),
            mortals: (0..3).map(|number| amqp::Mortal::new(number, dice())).collect(),
        }
    }

    fn readers(&mut self) -> impl Iterator<Item = &mut dyn Actor> {
        self.consumers.iter_mut().chain(&mut self.group).map(|actor| actor as &mut dyn Actor)
    }

    fn all(&mut self) -> Vec<&mut dyn Actor> {
        let mut all: Vec<&mut dyn Actor> = Vec::new();
        all.extend(self.publishers.iter_mut().map(|actor| actor as &mut dyn Actor));
        all.extend(self.mortals.iter_mut().map(|actor| actor as &mut dyn Actor));
        all.extend(self.consumers.iter_mut().chain(&mut self.group).map(|actor| actor as &mut dyn Actor));
        all
    }

    /// Who came short, or got too much.
    fn faults(&self, sent: &[Sent]) -> Vec<String> {
        let of = |prefix: &str| -> Vec<Sent> {
            sent.iter().filter(|sent| sent.topic.starts_with(prefix)).cloned().collect()
        };
        let mut faults = Vec::new();
        for one in &self.consumers {
            let got = Got { who: &one.id, numbers: vec![&one.got], qos: if one.second { 2 } else { 1 } };
            let is_queue = matches!(one.node, amqp::Node::Queue(_));
            faults.extend(audit::of(&got, &of(if is_queue { "alone/" } else { "load/" })));
        }
        // What one consumer had when it was cut off, another one gets.
        let numbers = self.group.iter().map(|one| &one.got).collect();
        faults.extend(audit::of(&Got { who: SHARED, numbers, qos: 1 }, &of("shared/")));
        faults
    }
}

impl Cast {
    fn new(seed: u64) -> Self {
        let mut next = 0;
        let mut dice = || {
            next += 1;
            Dice::new(seed, next)
        };
        let ledger = Ledger::default();
        Self {
            publishers: [(1, V5), (2, V5), (1, V311), (2, V311), (1, V5), (2, V5)]
                .into_iter()
                .zip(0..)
                .map(|((qos, version), number)| Publisher::new(number, qos, version, dice()))
                .collect(),
            readers: [("always-1", 1, 1, V5), ("always-2", 2, 1, V5), ("seldom-1", 1, 3, V311), ("seldom-2", 2, 3, V5)]
                .map(|(id, qos, presence, version)| Reader::new(id, "load/#", qos, presence, version, dice()))
                .into(),
            group: [("shares-1", 1), ("shares-2", 1), ("shares-3", 3)]
                .map(|(id, presence)| Reader::new(id, "$share/group/load/#", 2, presence, V5, dice()))
                .into(),
            mourner: Reader::new("mourner", "wills/#", 2, 1, V5, dice()),
            mortals: (0..4).map(|number| Mortal::new(number, dice())).collect(),
            keepers: (0..2).map(|number| Keeper::new(number, ledger.clone(), dice())).collect(),
            churners: (0..2).map(|number| Churner::new(number, dice())).collect(),
            reloader: Reloader::default(),
            ledger,
            by_amqp: ByAmqp::new(dice),
        }
    }

    fn set_up(&self, site: &Site) {
        for reader in self.readers.iter().chain(&self.group).chain([&self.mourner]) {
            reader.set_up(site);
        }
        for consumer in self.by_amqp.consumers.iter().chain(&self.by_amqp.group) {
            consumer.set_up(site);
        }
        Keeper::set_up(site);
    }

    fn busy(&mut self) -> Vec<&mut dyn Actor> {
        let mut all: Vec<&mut dyn Actor> = vec![&mut self.reloader];
        all.extend(self.publishers.iter_mut().map(|actor| actor as &mut dyn Actor));
        all.extend(self.mortals.iter_mut().map(|actor| actor as &mut dyn Actor));
        all.extend(self.keepers.iter_mut().map(|actor| actor as &mut dyn Actor));
        all.extend(self.churners.iter_mut().map(|actor| actor as &mut dyn Actor));
        let readers = self.readers.iter_mut().chain(&mut self.group).chain([&mut self.mourner]);
        all.extend(readers.map(|actor| actor as &mut dyn Actor));
        all.extend(self.by_amqp.all());
        all
    }

    fn readers(&mut self) -> Vec<&mut dyn Actor> {
        let readers = self.readers.iter_mut().chain(&mut self.group).chain([&mut self.mourner]);
        readers.map(|actor| actor as &mut dyn Actor).chain(self.by_amqp.readers()).collect()
    }

    fn sent(&self) -> Vec<Sent> {
        let by_mqtt = self.publishers.iter().flat_map(|publisher| {
            let sent =
                |(topic, count): &(String, u32)| Sent { topic: topic.clone(), count: *count, qos: publisher.qos };
            publisher.topics.iter().map(sent)
        });
        let by_amqp = self.by_amqp.publishers.iter().map(|publisher| {
            let (topic, count) = publisher.sent.clone();
            Sent { topic, count, qos: if publisher.second { 2 } else { 1 } }
        });
        by_mqtt.chain(by_amqp).collect()
    }

    fn wills(&self) -> impl Iterator<Item = (&str, &[Due])> {
        let by_mqtt = self.mortals.iter().map(|mortal| (mortal.topic.as_str(), &mortal.wills[..]));
        by_mqtt.chain(self.by_amqp.mortals.iter().map(|mortal| (mortal.topic.as_str(), &mortal.wills[..])))
    }

    fn faults(&mut self) -> Vec<String> {
        self.busy().into_iter().flat_map(|actor| actor.faults()).collect()
    }
}

fn site(broker: &Process, ending: bool) -> Site {
    Site { at: broker.address(), amqp: broker.amqp(), admin: broker.admin(), ending: ending.into() }
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Scenarios D1 to D4: nothing acknowledged is lost, nothing at QoS 2 comes twice, nothing comes that nobody sent, order
/// holds for each publisher and topic; sessions, subscriptions, wills, retained messages and modules stay.
#[test]
fn nothing_acknowledged_is_lost_over_many_kills() {
    let kills = number("PLIANT_KILLS").unwrap_or(KILLS);
    let first = number("PLIANT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let mut done = 0;
    for seed in first.. {
        let Some(broker) = Process::start() else { return };
        done += play(broker, kills - done, seed);
        if done == kills {
            return;
        }
    }
}

/// A broker's life: up to so many kills, and what everybody's books say at the end. How many kills it was.
fn play(mut broker: Process, kills_max: u64, seed: u64) -> u64 {
    println!("at most {kills_max} kills with PLIANT_SEED={seed}");
    let mut kills = 0;
    let mut cast = Cast::new(seed);
    let mut dice = Dice::new(seed, 0);
    cast.set_up(&site(&broker, false));
    for kill in 1..=kills_max {
        kills = kill;
        let site = site(&broker, false);
        let time = Duration::from_millis(20 + dice.below(480));
        std::thread::scope(|scope| {
            for actor in cast.busy() {
                scope.spawn(|| actor.act(&site));
            }
            std::thread::sleep(time);
            broker.kill();
        });
        broker = broker.kill_and_start();
        let mut faults = cast.faults();
        faults.extend(keeper::look(&self::site(&broker, false), &cast.ledger));
        assert!(faults.is_empty(), "kill {kill} of seed {seed}: {faults:#?}");
        if kill % 50 == 0 {
            println!("{kill} kills, {} acknowledged", acknowledged(&cast));
        }
        if acknowledged(&cast) > ACKNOWLEDGED_A_ROUND {
            break;
        }
    }
    let faults = end(&broker, &mut cast);
    let wills: usize = cast.wills().map(|(_, wills)| wills.len()).sum();
    println!(
        "{kills} kills, {} acknowledged by MQTT, {} by AMQP, {wills} wills, {} deployments: {} faults",
        acknowledged(&cast),
        cast.by_amqp.publishers.iter().map(|publisher| publisher.acknowledged).sum::<u64>(),
        cast.reloader.sent,
        faults.len()
    );
    if !faults.is_empty() {
        // Who, and of what: the numbers say little.
        let kind = |fault: &String| fault.replace(|letter: char| letter.is_ascii_digit(), "#");
        let mut kinds = BTreeMap::<String, u32>::new();
        faults.iter().for_each(|fault| *kinds.entry(kind(fault)).or_default() += 1);
        println!("{kinds:#?}");
    }
    assert!(
        faults.is_empty(),
        "seed {seed}: {} faults, the first: {:#?}",
        faults.len(),
        &faults[..faults.len().min(20)]
    );
    kills
}

fn acknowledged(cast: &Cast) -> u64 {
    cast.publishers.iter().map(|publisher| publisher.acknowledged).sum()
}

/// Everybody comes to an end, readers last; then their books are held against each other.
fn end(broker: &Process, cast: &mut Cast) -> Vec<String> {
    let site = site(broker, true);
    for round in [Cast::busy, Cast::readers] {
        std::thread::scope(|scope| {
            for actor in round(cast) {
                scope.spawn(|| actor.act(&site));
            }
        });
    }
    let mut faults = cast.faults();
    faults.extend(keeper::look(&site, &cast.ledger));
    let sent = cast.sent();
    let load: Vec<Sent> = sent.iter().filter(|sent| sent.topic.starts_with("load/")).cloned().collect();
    for reader in &cast.readers {
        faults.extend(audit::of(&Got { who: &reader.id, numbers: vec![&reader.got], qos: reader.qos }, &load));
    }
    let numbers = cast.group.iter().map(|reader| &reader.got).collect();
    faults.extend(audit::of(&Got { who: "the group", numbers, qos: 2 }, &load));
    faults.extend(audit::of_wills(&cast.mourner.got, cast.wills()));
    faults.extend(cast.by_amqp.faults(&sent));
    faults
}
