//! One copy of a message in the queue of a mailbox.

use super::consumers::Handling;
use super::shared_groups::Group;
use crate::dialogue::{self, Delivery, Handle, Identifiers};
use crate::message::{Guarantee, Message, Time};
use crate::store::{Change, MailboxId, Sequence};
use smallvec::SmallVec;
use std::sync::Arc;

/// A sequence number for what is not submitted yet: later than every real one.
pub const NOT_SUBMITTED: Sequence = Sequence::MAX;

/// One copy of a message in a queue.
#[derive(Debug, Clone)]
pub struct Queued {
    /// What.
    pub message: Message,
    /// The topic in the client's words; none: as the broker knows it.
    pub name: Option<Arc<str>>,
    /// Subscriptions that matched.
    pub identifiers: Identifiers,
    /// Ascending in the mailbox; 0: not given yet, or not needed.
    pub number: u64,
    /// When it came into the mailbox, compared with others.
    pub arrival: u64,
    /// May leave when so much is on disk.
    pub after: Sequence,
    /// The group that the copy may go back to when this mailbox goes.
    pub group: Option<Arc<Group>>,
    /// As granted.
    pub guarantee: Guarantee,
    /// The retain flag to show.
    pub retain: bool,
    /// It may have been sent before.
    pub duplicate: bool,
    /// It was under way when an earlier start of the broker ended: it does not expire any more.
    pub under_way: bool,
    /// The store has it.
    pub stored: bool,
    /// Under this generation of delivery modules it may leave: they were asked, or do not want to see it. 0: none.
    pub cleared: u64,
    /// To whom: the number of a consumer; 0: to whoever gets it. Modules are asked anew for another consumer of a queue.
    pub cleared_for: u64,
    /// What leaves in its place, as a module said.
    pub instead: Option<Message>,
    /// What consumers did with it before, if anything.
    pub handling: Option<Box<Handling>>,
}

impl Queued {
    /// A copy with nothing special about it.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            name: None,
            identifiers: Identifiers::new(),
            number: 0,
            arrival: 0,
            after: 0,
            group: None,
            guarantee: Guarantee::AtMostOnce,
            retain: false,
            duplicate: false,
            under_way: false,
            stored: false,
            cleared: 0,
            cleared_for: 0,
            instead: None,
            handling: None,
        }
    }

    /// What leaves.
    pub fn content(&self) -> &Message {
        self.instead.as_ref().unwrap_or(&self.message)
    }

    /// Attempts to have it dealt with that failed.
    pub fn failures(&self) -> u32 {
        self.handling.as_deref().map_or(0, |handling| handling.failures)
    }

    /// Whether it expired before it was sent: what may have been sent has to be sent again (MQTT 5.0, 4.3.3 and 4.4).
    pub fn is_too_late(&self, now: Time) -> bool {
        !self.under_way && self.is_expired(now)
    }

    /// Whether it is worthless by now, by the word of its publisher or of a module that gave it another time.
    pub fn is_expired(&self, now: Time) -> bool {
        self.message.is_expired(now) || self.instead.as_ref().is_some_and(|instead| instead.is_expired(now))
    }

    /// Whether the store has to know that it is under way: a bound on how many were is not enough. Of exactly-once copies nobody else
    /// may be sent those that have begun (MQTT-4.8.2-5), and what has not begun when its time is over is not sent (MQTT-3.3.2-5).
    #[inline]
    pub fn is_noted_under_way(&self) -> bool {
        self.guarantee == Guarantee::ExactlyOnce || self.message.envelope().expires.is_some()
    }

    /// Whether its publisher was promised nothing, whatever its receiver is.
    pub(super) fn dropped_when_full(&self) -> bool {
        let published = self.message.as_bare().map_or(Guarantee::AtMostOnce, |bare| bare.handover);
        published.max(self.message.envelope().guarantee) == Guarantee::AtMostOnce
    }

    pub(super) fn delivery(&self, handle: Handle) -> Delivery {
        Delivery {
            message: self.content().in_form(false).unwrap_or(&self.message).clone(),
            name: self.name.clone(),
            guarantee: self.guarantee,
            retain: self.retain,
            duplicate: self.duplicate,
            handle,
            identifiers: dialogue::copied(&self.identifiers),
        }
    }

    /// The same for what nobody settles: nothing of it stays.
    #[inline(always)]
    pub(super) fn into_delivery(self) -> Delivery {
        let content = self.instead.unwrap_or(self.message);
        let crossed = content.in_form(false).ok().filter(|crossed| !crossed.is(&content)).cloned();
        Delivery {
            message: crossed.unwrap_or(content),
            name: self.name,
            guarantee: self.guarantee,
            retain: self.retain,
            duplicate: self.duplicate,
            handle: 0,
            identifiers: self.identifiers,
        }
    }

    /// Whether it may leave as far as delivery modules are concerned.
    pub(super) fn is_cleared(&self, generation: u64) -> bool {
        generation == 0 || self.cleared == generation
    }

    /// The same for one of several who may get it.
    pub(super) fn is_cleared_for(&self, consumer: u64, generation: u64) -> bool {
        generation == 0 || self.cleared == generation && (self.cleared_for == 0 || self.cleared_for == consumer)
    }

    /// Whether a consumer is not to get it, under this generation of delivery modules.
    pub(super) fn is_not_for(&self, consumer: u64, generation: u64) -> bool {
        self.handling.as_deref().is_some_and(|handling| {
            let (under, withheld) = &handling.withheld;
            handling.not_for.contains(&consumer) || (*under == generation && withheld.contains(&consumer))
        })
    }

    /// What modules said of one receiver of a queue does not hold any more.
    pub(super) fn forget_answer(&mut self) {
        if self.cleared_for != 0 {
            (self.cleared, self.cleared_for, self.instead, self.name) = (0, 0, None, None);
        }
    }

    /// A consumer is not to get it, like those of which that was so before and that are still `there`: the others will not come
    /// back under their number.
    pub(super) fn leave_to_others(&mut self, consumer: u64, there: &[u64]) {
        note(&mut self.handling.get_or_insert_default().not_for, consumer, there);
    }

    /// The same by the word of modules, which holds as long as these are asked.
    pub(super) fn withhold_from(&mut self, consumer: u64, generation: u64, there: &[u64]) {
        let (under, withheld) = &mut self.handling.get_or_insert_default().withheld;
        if std::mem::replace(under, generation) != generation {
            withheld.clear();
        }
        note(withheld, consumer, there);
    }

    /// Notes in `changes` that the store may forget this copy.
    pub fn forget(&self, mailbox: MailboxId, changes: &mut Vec<Change>) {
        if self.stored {
            changes.push(Change::QueuedGone(mailbox, self.number));
            if self.message.drop_log_use() {
                changes.push(Change::LoggedGone(self.message.log_id()));
            }
        }
    }
}

fn note(consumers: &mut SmallVec<[u64; 2]>, consumer: u64, there: &[u64]) {
    consumers.retain(|one| there.contains(one) && *one != consumer);
    consumers.push(consumer);
}
