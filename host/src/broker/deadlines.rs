//! What is to happen when: wills, the end of abandoned mailboxes, retained messages that expire, dead letters that wait.
//!
//! A deadline is never taken back: what is due looks whether it still holds.

use crate::message::Time;
use crate::store::MailboxId;
use crate::topic::Topic;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
}

/// The queue of deadlines. Bounded by mailboxes, wills and retained messages, and by how often those came and went within
/// their time.
#[derive(Default)]
pub struct Deadlines {
    queue: Mutex<BinaryHeap<Reverse<(Time, Due)>>>,
}

impl Deadlines {
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

    fn add(&self, at: Time, due: Due) {
        self.queue.lock().push(Reverse((at, due)));
    }

    /// The next deadline that has come.
    pub fn pop(&self, now: Time) -> Option<Due> {
        let mut queue = self.queue.lock();
        if queue.peek()?.0.0 > now {
            return None;
        }
        queue.pop().map(|Reverse((_, due))| due)
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<Time> {
        self.queue.lock().peek().map(|Reverse((at, _))| *at)
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
}
