//! Choices that follow from a seed, numbers that the environment may raise, and random lives of a store.

use super::*;

/// What the environment says, or else this.
pub fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A random life: units of changes as the hall hands them over.
pub fn life(dice: &mut Dice, units: usize) -> Vec<Vec<Change>> {
    let mut all = vec![vec![mailbox(1), mailbox(2), Change::Filter(1, subscription("t", None))]];
    let mut next = 1;
    let mut waiting: Vec<(u64, u64)> = Vec::new();
    while all.len() < units {
        let payload = "x".repeat(if dice.once_in(10) { 5_000 } else { dice.below(200) as usize });
        let payload = format!("{next}{payload}");
        all.push(match dice.below(10) {
            0..4 => {
                let to = 1 + dice.below(2);
                waiting.push((to, next));
                let seen = Change::Seen(to, next as u16);
                next += 1;
                vec![Change::Logged(next - 1, message("t", &payload)), queued(to, next - 1, next - 1), seen]
            }
            4..7 if !waiting.is_empty() => {
                let (of, id) = waiting.remove(dice.below(waiting.len() as u64) as usize);
                vec![Change::QueuedGone(of, id), Change::LoggedGone(id), Change::SeenGone(of, id as u16)]
            }
            7 => vec![Change::Retained(message(&format!("r/{}", dice.below(5)), &payload), Time(1))],
            8 => vec![Change::RetainedGone(format!("r/{}", dice.below(5)).into())],
            _ if dice.once_in(2) => vec![Change::Will(9, will(None))],
            _ => vec![Change::WillGone(9), state("k", &payload, None)],
        });
    }
    all
}

/// What is to be seen after each unit, from before the first one on.
pub fn pictures(units: &[Vec<Change>]) -> Vec<String> {
    let disk = Disk::default();
    let (store, loaded) = open(&disk);
    let mut all = vec![picture(&loaded)];
    for unit in units {
        store.submit(unit.iter().cloned());
        assert!(store.flush_blocking(PATIENCE));
        all.push(picture(&open(&disk.copy()).1));
    }
    all
}
