//! The real binary, killed as by `kill -9`: single steps, and a campaign of many kills under everything that clients do.
//!
//! `PLIANT_KILLS=1000 cargo test --test all durability::kill::campaign -- --nocapture` kills it a thousand times;
//! `PLIANT_SEED` repeats the choices of a run that is printed with its seed. What the operating system and the broker's
//! threads do in between is not repeated.

mod activation;
mod amqp;
mod audit;
mod campaign;
mod churner;
mod keeper;
mod mortal;
mod publisher;
mod reader;
mod reloader;
mod steps;

use crate::harness::Admin;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What actors find between two kills.
pub struct Site {
    /// Where MQTT is.
    pub at: SocketAddr,
    /// Where AMQP is.
    pub amqp: SocketAddr,
    /// Its admin API.
    pub admin: Admin,
    /// Nothing new is begun any more; what is under way comes to its end.
    pub ending: AtomicBool,
}

impl Site {
    /// Whether only what is under way goes on.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Somebody who uses the broker and writes down what it said. What it knows outlives the broker.
pub trait Actor: Send {
    /// Acts until the broker is gone or, at the end, until nothing is left to do.
    fn act(&mut self, site: &Site);
    /// What it saw that must not be.
    fn faults(&mut self) -> Vec<String>;
}

/// A clock that orders what actors do and hear.
pub fn stamp() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1);
    NOW.fetch_add(1, Ordering::SeqCst)
}

/// Choices that follow from a seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// One of many from one seed.
    pub fn new(seed: u64, of: u64) -> Self {
        Self(seed ^ of.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A number below `end` (SplitMix64).
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
