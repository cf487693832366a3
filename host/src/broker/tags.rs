//! Exactly-once publications of AMQP links, by link and tag: which were taken, and who may publish on a link.

use super::Broker;
use super::staged::Staged;
use super::worker::Worker;
use crate::message::{Refusal, RefusalKind, Time, Weight};
use crate::store::{Change, Sequence};
use hashbrown::HashMap;
use std::time::Duration;

/// Longest wait of a connection that takes a link over for the publication that is under way on it: its modules' deadlines
/// are far shorter.
const UNDER_WAY_MAX: Duration = Duration::from_secs(1);

/// What is known of all links.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Publications that were taken and whose publishers may not know it.
    taken: HashMap<Box<str>, Taken>,
    /// How many those are.
    count: usize,
    owners: HashMap<Box<str>, Owner>,
    /// The last number of an attach.
    attached: u64,
    /// Connections that wait for a publication to be over.
    waiting: usize,
}

/// Publications of one link.
#[derive(Debug, Default)]
struct Taken {
    tags: HashMap<Box<[u8]>, Tag>,
    /// Since then nobody publishes on the link.
    left: Option<Time>,
}

/// One of them.
#[derive(Debug)]
struct Tag {
    /// The number of the attach after which it came; 0: before the broker started.
    attach: u64,
    _weight: Weight,
}

/// Who publishes on a link now.
#[derive(Debug)]
struct Owner {
    /// The number of its connection ([`Broker::origin`]).
    origin: u64,
    /// The number of its attach.
    attach: u64,
    /// Publications between [`Broker::admit`] and their end.
    publishing: usize,
}

impl Ledger {
    /// A publication that was taken before the broker started.
    pub(super) fn restore(&mut self, link: Box<str>, tag: Box<[u8]>) {
        self.keep(link, tag, 0);
    }

    fn keep(&mut self, link: Box<str>, tag: Box<[u8]>, attach: u64) {
        let kept = Tag { attach, _weight: Weight::new(link.len() + tag.len()) };
        if self.taken.entry(link).or_default().tags.insert(tag, kept).is_none() {
            self.count += 1;
        }
    }
}

/// The right to publish under a tag, once. Until the publication has ended nobody takes the link over.
#[derive(Debug)]
pub struct Slot<'a> {
    link: &'a str,
    tag: &'a [u8],
}

impl Slot<'_> {
    /// What tells the store of it.
    pub(super) fn change(&self) -> Change {
        Change::Tag(self.link.into(), self.tag.into())
    }
}

/// An exactly-once publication of a transaction.
#[derive(Debug)]
pub struct Tagged {
    /// Its link.
    pub link: Box<str>,
    /// Its tag.
    pub tag: Box<[u8]>,
}

/// What there is to say to an exactly-once publication.
#[derive(Debug)]
pub enum Admission<'a> {
    /// Publish it.
    New(Slot<'a>),
    /// It came before; what came of it is on disk after that.
    Known(Sequence),
    /// The same, and it came since its link was attached: two deliveries that are not settled have one tag.
    Repeated(Sequence),
    /// The link goes on over another connection.
    Stolen,
    /// Its link has too many of them.
    Full(Refusal),
}

impl Broker {
    /// Whether a publication under this tag may come from this connection. If so, [`Broker::publish_bare`] or
    /// [`Broker::resume_bare`] follows at once.
    pub fn admit<'a>(&self, link: &'a str, tag: &'a [u8], origin: u64) -> Admission<'a> {
        let mut ledger = self.tags.lock();
        let Ledger { taken, owners, count, .. } = &mut *ledger;
        let Some(owner) = owners.get_mut(link).filter(|owner| owner.origin == origin) else { return Admission::Stolen };
        // Tags of a link count like a client's unreleased publications, all together like mailboxes.
        let of_link = taken.get(link);
        if let Some(known) = of_link.and_then(|of_link| of_link.tags.get(tag)) {
            let is_repeated = known.attach == owner.attach;
            return if is_repeated { Admission::Repeated } else { Admission::Known }(self.store.submitted());
        }
        let of_link = of_link.map_or(0, |of_link| of_link.tags.len()) + owner.publishing;
        let is_closed_for_more = self.is_short() && of_link > 0;
        if of_link >= self.limits.unreleased_max || *count >= self.limits.mailboxes_max || is_closed_for_more {
            return Admission::Full(Refusal::new(RefusalKind::QuotaExceeded, "too many messages are not settled"));
        }
        if let Err(refusal) = self.may_keep_little() {
            return Admission::Full(refusal);
        }
        owner.publishing += 1;
        Admission::New(Slot { link, tag })
    }

    /// The same for all publications of a transaction, each with its link and tag.
    ///
    /// # Errors
    /// One of them may not: none does.
    pub(super) fn admit_all<'a>(&self, tags: &'a [Tagged], origin: u64) -> Result<Vec<Slot<'a>>, Refusal> {
        let mut slots = Vec::with_capacity(tags.len());
        for Tagged { link, tag } in tags {
            let refused = |why: &str| Refusal::new(RefusalKind::Unavailable, why);
            let refusal = match self.admit(link, tag, origin) {
                Admission::New(slot) => {
                    slots.push(slot);
                    continue;
                }
                Admission::Full(refusal) => refusal,
                Admission::Known(_) | Admission::Repeated(_) => refused("one of its messages has come before"),
                Admission::Stolen => refused("a link of it goes on over another connection"),
            };
            self.end_slots(&slots, false);
            return Err(refusal);
        }
        Ok(slots)
    }

    /// Publications are over. If they were taken, they are known until they are settled.
    pub(super) fn end_slots(&self, slots: &[Slot<'_>], are_taken: bool) {
        if slots.is_empty() {
            return;
        }
        let mut ledger = self.tags.lock();
        for Slot { link, tag } in slots {
            if are_taken {
                let attach = ledger.owners.get(*link).map_or(0, |owner| owner.attach);
                ledger.keep((*link).into(), (*tag).into(), attach);
            }
            if let Some(owner) = ledger.owners.get_mut(*link) {
                owner.publishing = owner.publishing.saturating_sub(1);
            }
        }
        if ledger.waiting > 0 {
            self.tag_ended.notify_all();
        }
    }

    /// What comes of an exactly-once publication is told to the store together with its tag.
    pub(super) fn begin_tagged(&self, worker: &mut Worker, slot: Option<&Slot<'_>>) {
        if slot.is_some() {
            worker.gathering = Some(Staged::default());
        }
    }

    /// Tells the store what was gathered. If the publication was taken, with its tag, and until it is settled it is known.
    pub(super) fn end_tagged(&self, worker: &mut Worker, slot: Slot<'_>, is_taken: bool) -> Sequence {
        let mut staged = worker.gathering.take().unwrap_or_default();
        if is_taken {
            staged.change(slot.change());
        }
        // Otherwise nothing came of it but what modules wished for on the way.
        let after = self.commit(worker, staged);
        self.end_slots(&[slot], is_taken);
        after
    }

    /// From now on publications of an exactly-once link count that come from this connection, and no others: what an earlier
    /// connection still has to read was said to be unknown when its client came back (2.6.13), and comes again. What that
    /// one is publishing at this moment is known first.
    pub fn own_tags(&self, link: &str, origin: u64) {
        let mut ledger = self.tags.lock();
        ledger.waiting += 1;
        let is_publishing = |ledger: &mut Ledger| ledger.owners.get(link).is_some_and(|owner| owner.publishing > 0);
        self.tag_ended.wait_while_for(&mut ledger, is_publishing, UNDER_WAY_MAX);
        ledger.waiting -= 1;
        ledger.attached += 1;
        let attach = ledger.attached;
        ledger.owners.insert(link.into(), Owner { origin, attach, publishing: 0 });
    }

    /// The link of this connection is over. If nobody takes it over for long, what is known of it is forgotten.
    pub fn disown_tags(&self, now: Time, link: &str, origin: u64) {
        let mut ledger = self.tags.lock();
        if ledger.owners.get(link).is_some_and(|owner| owner.origin == origin) {
            ledger.owners.remove(link);
            if let Some(of_link) = ledger.taken.get_mut(link) {
                of_link.left = Some(now);
                self.deadlines.tags(now.plus_seconds(self.limits.tags_expiry_seconds), link.into());
            }
        }
    }

    /// Links with such publications that an earlier start of the broker had: nobody publishes on them yet.
    pub(super) fn disown_all_tags(&self, now: Time) {
        for (link, of_link) in &mut self.tags.lock().taken {
            of_link.left = Some(now);
            self.deadlines.tags(now.plus_seconds(self.limits.tags_expiry_seconds), link.clone());
        }
    }

    /// Whether anything is known of a link.
    pub(super) fn knows_tags(&self, link: &str) -> bool {
        self.tags.lock().taken.contains_key(link)
    }

    /// Forgets a link that nobody came back to.
    pub(super) fn expire_tags(&self, now: Time, link: &str) {
        let is_over = {
            let ledger = self.tags.lock();
            let left = ledger.taken.get(link).filter(|_| !ledger.owners.contains_key(link)).and_then(|one| one.left);
            left.is_some_and(|left| left.plus_seconds(self.limits.tags_expiry_seconds) <= now)
        };
        if is_over {
            self.forget_tags(link);
        }
    }

    /// Nobody will ask for the publications of a link again. Whether there were any.
    pub fn forget_tags(&self, link: &str) -> bool {
        let of_link = {
            let mut ledger = self.tags.lock();
            let Some(of_link) = ledger.taken.remove(link) else { return false };
            ledger.count -= of_link.tags.len();
            of_link
        };
        self.store.submit(of_link.tags.into_keys().map(|tag| Change::TagGone(link.into(), tag)));
        true
    }

    /// Whether an exactly-once publication under this tag was taken and its publisher may not know it yet.
    pub fn has_tag(&self, link: &str, tag: &[u8]) -> bool {
        self.tags.lock().taken.get(link).is_some_and(|of_link| of_link.tags.contains_key(tag))
    }

    /// All such tags of a link.
    pub fn tags(&self, link: &str) -> Vec<Box<[u8]>> {
        self.tags.lock().taken.get(link).map_or_else(Vec::new, |of_link| of_link.tags.keys().cloned().collect())
    }

    /// Its publisher knows.
    pub fn forget_tag(&self, link: &str, tag: &[u8]) {
        let mut ledger = self.tags.lock();
        let Some(of_link) = ledger.taken.get_mut(link) else { return };
        if of_link.tags.remove(tag).is_none() {
            return;
        }
        if of_link.tags.is_empty() {
            ledger.taken.remove(link);
        }
        ledger.count -= 1;
        drop(ledger);
        self.store.submit([Change::TagGone(link.into(), tag.into())]);
    }

    /// How many connections wait for a publication of somebody else to be over.
    #[cfg(test)]
    pub(super) fn waiting_for_tags(&self) -> usize {
        self.tags.lock().waiting
    }
}
