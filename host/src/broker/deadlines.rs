//! What is to happen when: wills, the end of abandoned mailboxes, retained messages that expire, dead letters that wait.
//!
//! A deadline is never taken back: what is due looks whether it still holds.

use crate::message::Time;
use crate::store::MailboxId;
use crate::topic::Topic;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// The will of the mailbox's owner.
    Will(MailboxId),
    /// A mailbox that nobody came back to.
    Mailbox(MailboxId),
    /// A retained message.
    Retained(Topic),
    /// Dead letters that wait in the queue that they come from.
    DeadLetters(MailboxId),
    /// What receivers said of entries that have just come back from the store.
    Told(MailboxId),
    /// What is known of exactly-once publications of an AMQP link.
    Tags(Box<str>),
    /// Copies that modules failed on.
    Decision(MailboxId),
    /// Entries of a queue that modules keep from a receiver.
    Withheld(MailboxId),
    /// A long queue whose end the store has by then.
    Long(MailboxId),
}

/// Deadlines of one thing that are kept, the newest ones: threads may set them in another order than that in which it changed.
const KEPT: usize = 4;
/// Fewer deadlines than these are not looked through.
const FEW: usize = 4_096;

/// The queue of deadlines. Bounded by mailboxes, wills and retained messages, as long as it is [`Deadlines::tidy`].
#[derive(Default)]
pub struct Deadlines {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// When, counted how many, what.
    heap: BinaryHeap<Reverse<(Time, u64, Due)>>,
    added: u64,
    /// So many were left when it was looked through.
    left: usize,
}

impl Deadlines {
    /// Throws out what newer ones have taken the place of, and what is there no more. Once there are twice as many as were left:
    /// for each that is set that costs little more where there are many. To be called by whoever calls [`Deadlines::pop`].
    pub fn tidy(&self, is_there: impl Fn(Time, &Due) -> bool) {
        let mut all = {
            let mut queue = self.queue.lock();
            if queue.heap.len() <= FEW.max(2 * queue.left) {
                return;
            }
            std::mem::take(&mut queue.heap).into_vec()
        };
        all.sort_unstable_by_key(|Reverse((_, count, _))| Reverse(*count));
        let mut kept: HashMap<Due, usize> = HashMap::new();
        // The lock is let go: what is asked here is asked by others while they set deadlines.
        all.retain(|Reverse((at, _, due))| {
            let kept = kept.entry(due.clone()).or_default();
            *kept += 1;
            *kept <= KEPT && is_there(*at, due)
        });
        let mut queue = self.queue.lock();
        queue.left = all.len();
        let mut tidied = BinaryHeap::from(all);
        tidied.append(&mut queue.heap);
        queue.heap = tidied;
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.queue.lock().heap.len()
    }

    /// A will is due then.
    pub fn will(&self, at: Time, owner: MailboxId) {
        self.add(at, Due::Will(owner));
    }

    /// A mailbox ends then.
    pub fn mailbox(&self, at: Time, id: MailboxId) {
        self.add(at, Due::Mailbox(id));
    }

    /// A retained message expires then.
    pub fn retained(&self, at: Time, topic: Topic) {
        self.add(at, Due::Retained(topic));
    }

    /// Dead letters are tried again then.
    pub fn dead_letters(&self, at: Time, id: MailboxId) {
        self.add(at, Due::DeadLetters(id));
    }

    /// What receivers said of entries is carried out.
    pub fn told(&self, at: Time, id: MailboxId) {
        self.add(at, Due::Told(id));
    }

    /// What is known of a link is forgotten then, if nobody has come back to it.
    pub fn tags(&self, at: Time, link: Box<str>) {
        self.add(at, Due::Tags(link));
    }

    /// Modules are asked again about copies that they failed on.
    pub fn decision(&self, at: Time, id: MailboxId) {
        self.add(at, Due::Decision(id));
    }

    /// It is looked whether others are asked.
    pub fn withheld(&self, at: Time, id: MailboxId) {
        self.add(at, Due::Withheld(id));
    }

    /// The end of a long queue is left to the store.
    pub fn long(&self, at: Time, id: MailboxId) {
        self.add(at, Due::Long(id));
    }

    fn add(&self, at: Time, due: Due) {
        let mut queue = self.queue.lock();
        queue.added += 1;
        let added = queue.added;
        queue.heap.push(Reverse((at, added, due)));
    }

    /// The next deadline that has come.
    pub fn pop(&self, now: Time) -> Option<Due> {
        let heap = &mut self.queue.lock().heap;
        if heap.peek()?.0.0 > now {
            return None;
        }
        heap.pop().map(|Reverse((_, _, due))| due)
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<Time> {
        self.queue.lock().heap.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_not_early() {
        let deadlines = Deadlines::default();
        deadlines.mailbox(Time(20), 2);
        deadlines.will(Time(10), 1);
        assert_eq!(deadlines.next(), Some(Time(10)));
        assert_eq!(deadlines.pop(Time(9)), None);
        assert_eq!(deadlines.pop(Time(25)), Some(Due::Will(1)));
        assert_eq!(deadlines.pop(Time(25)), Some(Due::Mailbox(2)));
        assert_eq!(deadlines.pop(Time(25)), None);
    }

    /// A value that is set each second, for years, does not make the queue grow.
    #[test]
    fn what_is_set_again_and_again_takes_the_place_of_its_old_deadlines() {
        let deadlines = Deadlines::default();
        deadlines.will(Time(5), 7);
        for n in 0..100_000 {
            deadlines.mailbox(Time(1_000_000 + n), n % 3);
            deadlines.tidy(|_, _| true);
        }
        assert!(deadlines.len() <= FEW);
        assert_eq!(deadlines.pop(Time(5)), Some(Due::Will(7)));
        let mut last = None;
        while let Some(due) = deadlines.pop(Time(2_000_000)) {
            last = Some(due);
        }
        assert_eq!(last, Some(Due::Mailbox(99_999 % 3)));
    }

    /// Values that are set for a century and deleted at once, each under another name.
    #[test]
    fn what_is_gone_has_no_deadlines() {
        let deadlines = Deadlines::default();
        for n in 0..100_000 {
            deadlines.mailbox(Time(1_000_000), n);
            deadlines.tidy(|at, due| at == Time(1_000_000) && *due > Due::Mailbox(99_000));
        }
        assert!(deadlines.len() <= FEW + 1_000);
        let left: Vec<_> = std::iter::from_fn(|| deadlines.pop(Time(1_000_000))).collect();
        assert!((99_001..100_000).all(|n| left.contains(&Due::Mailbox(n))));
    }
}
