//! Many kills of one broker on one store.

use super::keeper::{Keeper, Ledger};
use super::mortal::Mortal;
use super::publisher::Publisher;
use super::reader::Reader;
use super::reloader::Reloader;
use super::{Actor, Dice, Site, audit, churner::Churner, keeper};
use crate::harness::*;
use std::time::Duration;

/// Kills where nobody asks for more.
const KILLS: u64 = 3;

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
        }
    }

    fn set_up(&self, site: &Site) {
        for reader in self.readers.iter().chain(&self.group).chain([&self.mourner]) {
            reader.set_up(site);
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
        all
    }

    fn readers(&mut self) -> Vec<&mut dyn Actor> {
        let readers = self.readers.iter_mut().chain(&mut self.group).chain([&mut self.mourner]);
        readers.map(|actor| actor as &mut dyn Actor).collect()
    }

    fn faults(&mut self) -> Vec<String> {
        self.busy().into_iter().flat_map(|actor| actor.faults()).collect()
    }
}

fn site(broker: &Process, ending: bool) -> Site {
    Site { at: broker.address(), admin: broker.admin(), ending: ending.into() }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Scenarios D1 to D4: nothing acknowledged is lost, nothing at QoS 2 comes twice, nothing comes that nobody sent, order
/// holds for each publisher and topic; sessions, subscriptions, wills, retained messages and modules stay.
#[test]
fn nothing_acknowledged_is_lost_over_many_kills() {
    let Some(mut broker) = Process::start() else { return };
    let kills = number("PLIANT_KILLS").unwrap_or(KILLS);
    let seed = number("PLIANT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{kills} kills with PLIANT_SEED={seed}");
    let mut cast = Cast::new(seed);
    let mut dice = Dice::new(seed, 0);
    cast.set_up(&site(&broker, false));
    for kill in 1..=kills {
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
    }
    let faults = end(&broker, &mut cast);
    let wills: usize = cast.mortals.iter().map(|mortal| mortal.wills.len()).sum();
    println!(
        "{kills} kills, {} acknowledged, {wills} wills, {} deployments: {} faults",
        acknowledged(&cast),
        cast.reloader.sent,
        faults.len()
    );
    assert!(
        faults.is_empty(),
        "seed {seed}: {} faults, the first: {:#?}",
        faults.len(),
        &faults[..faults.len().min(20)]
    );
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
    for reader in &cast.readers {
        faults.extend(audit::of_reader(reader, &cast.publishers));
    }
    faults.extend(audit::of_group(&cast.group.iter().collect::<Vec<_>>(), &cast.publishers));
    faults.extend(audit::of_wills(&cast.mourner, &cast.mortals));
    faults
}
