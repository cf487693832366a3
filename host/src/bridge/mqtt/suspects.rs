//! Messages over which the other broker ends the connection: MQTT 3.1.1 has no other way to refuse one (3.3.5), and some brokers
//! take that way in 5.0 too. Such a message is sent again with each connection, and would be all that ever happens.
//!
//! Where a connection ends before any message of it was answered, the next one sends them one at a time. A message that was twice
//! the only one without an answer is known then. Where the other broker said both times that it will never take such a packet it is
//! dropped, as one that a PUBACK refuses for good; otherwise it waits, ever longer, with those of its topic behind it, while
//! others go on.

use super::super::held::Entry;
use crate::dialogue::{Delivery, Handle};
use std::collections::HashMap;
use std::time::Duration;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// So often a message has to be the only one without an answer.
const CUTS_MIN: u32 = 2;

/// How the other broker ended a connection.
#[derive(Debug)]
pub struct Cut {
    /// For people.
    pub reason: String,
    /// It says that the packet is one which it will never take.
    pub for_good: bool,
}

/// Kept from one connection to the next.
#[derive(Debug, Default)]
pub struct Suspects {
    /// So many messages more are sent one at a time.
    one_at_a_time: usize,
    blamed: HashMap<Handle, Blame>,
}

#[derive(Debug)]
struct Blame {
    /// Of the message: its handle may be another one's later.
    digest: u64,
    cuts: u32,
    reason: String,
    for_good: bool,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is sent as others.
    Send,
    /// It waits, as it was behind so many ends, of which the last was told so.
    Aside(u32, String),
    /// The other broker will never take it, in these words.
    Drop(String),
}

impl Suspects {
    /// Whether one more may be sent while so many have no answer.
    pub fn lets_go(&self, unanswered: usize) -> bool {
        self.one_at_a_time == 0 || unanswered == 0
    }

    /// The other broker has said what becomes of a message, or it is dropped.
    pub fn answered(&mut self, handle: Handle) {
        self.one_at_a_time = self.one_at_a_time.saturating_sub(1);
        if !self.blamed.is_empty() {
            self.blamed.remove(&handle);
        }
    }

    /// The other broker has ended a connection. Some of its messages have no answer; `any` says whether others had one.
    pub fn cut(&mut self, cut: Cut, unanswered: &HashMap<Handle, Entry<Delivery>>, any: bool) {
        let known = |entry: &&Entry<Delivery>| matches!(self.judge(&entry.item), Judgement::Aside(..));
        let mut guilty: Vec<_> = unanswered.values().filter(known).map(|entry| &entry.item).collect();
        if let (true, Some(only)) = (guilty.is_empty() && unanswered.len() == 1, unanswered.values().next()) {
            guilty.push(&only.item);
        }
        if guilty.is_empty() && !any {
            self.one_at_a_time = unanswered.len();
        }
        for delivery in guilty {
            let digest = digest(delivery);
            let former = self.blamed.remove(&delivery.handle).filter(|blame| blame.digest == digest);
            let (cuts, for_good) = former.map_or((0, true), |blame| (blame.cuts, blame.for_good));
            let (cuts, for_good) = (cuts.saturating_add(1), for_good && cut.for_good);
            self.blamed.insert(delivery.handle, Blame { digest, cuts, reason: cut.reason.clone(), for_good });
        }
    }

    /// What becomes of a message that is about to be sent.
    pub fn judge(&self, delivery: &Delivery) -> Judgement {
        // The busy path: nobody is blamed.
        let blame = if self.blamed.is_empty() { None } else { self.blamed.get(&delivery.handle) };
        let blame = blame.filter(|blame| blame.cuts >= CUTS_MIN && blame.digest == digest(delivery));
        match blame {
            None => Judgement::Send,
            Some(blame) if blame.for_good => Judgement::Drop(blame.reason.clone()),
            Some(blame) => Judgement::Aside(blame.cuts, blame.reason.clone()),
        }
    }
}

/// How long a message waits that was behind so many ends.
pub fn wait(cuts: u32, min: Duration, max: Duration) -> Duration {
    min.saturating_mul(2u32.saturating_pow(cuts)).min(max)
}

fn digest(delivery: &Delivery) -> u64 {
    xxh3_64_with_seed(delivery.message.payload(), xxh3_64(delivery.message.topic().as_str().as_bytes()))
}
