//! Every operation of a long trace fails once: a write, a sync, a growth, with an error of the disk or for want of room.
//!
//! `PLIANT_ERRORS=5000 cargo test --lib store::tests::errors -- --nocapture` fails so many, one after the other.

use super::dice::{Dice, asked, life, pictures};
use super::*;

/// Failures where nobody asks for more, spread over their trace.
const ERRORS: u64 = 100;

#[test]
fn each_operation_fails_once_and_nothing_is_lost() {
    let errors_max = asked("PLIANT_ERRORS", ERRORS);
    let first = asked("PLIANT_SEED", 1);
    let mut tried = 0;
    for seed in first.. {
        let mut dice = Dice(seed);
        let units = life(&mut dice, 20);
        let pictures = pictures(&units);
        let step = if errors_max > ERRORS { 1 } else { 17 };
        let mut operation = dice.below(step);
        while run(&units, &pictures, operation, &mut dice, seed) {
            operation += step;
            tried += 1;
            if tried >= errors_max {
                println!("{tried} operations failed, seeds {first} to {seed}: nothing lost");
                return;
            }
        }
    }
}

/// A life in which this operation fails; false: it has fewer.
fn run(units: &[Vec<Change>], pictures: &[String], operation: u64, dice: &mut Dice, seed: u64) -> bool {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    disk.fail_once_after(operation, if dice.once_in(2) { io::ErrorKind::StorageFull } else { io::ErrorKind::Other });
    for unit in units {
        store.submit(unit.iter().cloned());
        if !store.flush_blocking(PATIENCE) {
            // What a crash would find now has all that was acknowledged, and nothing that was not handed over.
            let committed = store.committed() as usize;
            let seen = picture(&open(&disk.copy()).1);
            assert!(pictures[committed..].contains(&seen), "seed {seed}, operation {operation}: {seen}");
            // It works again by itself: the disk failed only once.
            while !store.flush_blocking(PATIENCE) {
                std::thread::yield_now();
            }
        }
    }
    let failures = disk.failures();
    assert!(store.close() && failures <= 1);
    let seen = picture(&open(&disk).1);
    assert_eq!(seen, pictures[units.len()], "seed {seed}, operation {operation}");
    failures == 1
}
