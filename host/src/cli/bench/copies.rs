//! How many of each publisher's messages have arrived whole, so that its window can hold for QoS 0 as well.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

/// See the head of this file.
pub(super) struct Copies {
    /// Copies of one message.
    each: u64,
    publishers: Vec<Publisher>,
}

#[derive(Default)]
struct Publisher {
    arrived: AtomicU64,
    /// Who waits for them.
    thread: OnceLock<Thread>,
}

impl Copies {
    /// Nothing has arrived yet.
    pub fn new(publishers: u32, each: u64) -> Self {
        Self { each: each.max(1), publishers: (0..publishers).map(|_| Publisher::default()).collect() }
    }

    /// The calling thread is a publisher's from now on.
    pub fn wait_here(&self, publisher: u32) {
        if let Some(publisher) = self.publishers.get(publisher as usize) {
            // A number has one thread; a second is not woken, and looks ten times a second.
            let _ = publisher.thread.set(std::thread::current());
        }
    }

    /// One copy arrived; whether it was the last of a message.
    pub fn note(&self, publisher: u32) -> bool {
        let publisher = self.publishers.get(publisher as usize);
        publisher.is_some_and(|one| (one.arrived.fetch_add(1, Ordering::Release) + 1).is_multiple_of(self.each))
    }

    /// Wakes a publisher that waits.
    pub fn wake(&self, publisher: u32) {
        if let Some(thread) = self.publishers.get(publisher as usize).and_then(|one| one.thread.get()) {
            thread.unpark();
        }
    }

    /// Messages of a publisher that arrived whole.
    pub fn whole(&self, publisher: u32) -> u64 {
        self.publishers.get(publisher as usize).map_or(0, |one| one.arrived.load(Ordering::Acquire) / self.each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_arrived_when_its_last_copy_has() {
        let copies = Copies::new(2, 3);
        let told: Vec<bool> = (0..4).map(|_| copies.note(1)).collect();
        assert_eq!((told, copies.whole(1), copies.whole(0)), (vec![false, false, true, false], 1, 0));
        assert!(!copies.note(2), "nobody's");
    }
}
