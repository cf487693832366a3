//! Transactions (part 4): what is posted and retired under one waits here until it is discharged, and then takes effect as
//! one unit of the store, or not at all.

use super::outcome::{Told, disposal};
use super::publish::publication;
use super::side::{End, Side};
use super::words;
use crate::amqp::sections::Sections;
use crate::amqp::{
    AmqpError, DeliveryId, Error, LinkId, Outcome, Settled, State, Tag, TransactionError, Transfer, TxnId, error,
};
use crate::broker::{Attachment, PublishBare, Retired, Tagged};
use crate::dialogue::Disposal;
use crate::message::{Bare, Guarantee, Time, Weight};
use smallvec::SmallVec;
use std::collections::HashMap;

/// All that are open on a connection.
#[derive(Default)]
pub(super) struct Transactions {
    open: HashMap<TxnId, Transaction>,
    /// For the next one's name.
    begun: u64,
    /// Bytes that wait in all of them.
    bytes: u64,
    /// In which of them an entry of a link is to end, and at which place there.
    enlisted: HashMap<(LinkId, u64), (TxnId, usize)>,
    /// The same of what was posted on links that settle second, by link and tag.
    posted: HashMap<LinkId, HashMap<Tag, (TxnId, usize)>>,
}

struct Transaction {
    coordinator: LinkId,
    posted: Vec<Posted>,
    retired: Vec<Retiral>,
    /// Something of it could not be taken: it cannot be committed any more (4.3), whether its client has heard of that or not.
    failed: Option<Error>,
}

impl Transaction {
    fn len(&self) -> usize {
        self.posted.len() + self.retired.len()
    }
}

impl Transactions {
    /// The client has forgotten a delivery; whether that is to end with a transaction.
    fn forget(&mut self, link: LinkId, number: u64) -> bool {
        let Some((txn, at)) = self.enlisted.get(&(link, number)) else { return false };
        let retiral = self.open.get_mut(txn).and_then(|transaction| transaction.retired.get_mut(*at));
        retiral.map(|retiral| retiral.settled = true).is_some()
    }

    /// Nobody will ask for a post again: it need not be known when it is committed.
    fn not_asked_for(&mut self, (txn, at): &(TxnId, usize)) {
        let posted = self.open.get_mut(txn).and_then(|transaction| transaction.posted.get_mut(*at));
        if let Some(posted) = posted {
            posted.tag = None;
        }
    }

    /// Whether a post of this link waits under this tag.
    pub(super) fn has_post(&self, link: LinkId, tag: &Tag) -> bool {
        self.posted.get(&link).is_some_and(|of_link| of_link.contains_key(tag))
    }

    /// The sender of a post has settled it.
    pub(super) fn post_settled(&mut self, link: LinkId, tag: &Tag) {
        if let Some(place) = self.posted.get_mut(&link).and_then(|of_link| of_link.remove(tag)) {
            self.not_asked_for(&place);
        }
    }

    /// A link is closed: it is not resumed (2.6.6).
    pub(super) fn link_closed(&mut self, link: LinkId) {
        for place in self.posted.remove(&link).into_iter().flat_map(HashMap::into_values) {
            self.not_asked_for(&place);
        }
    }
}

/// A message that is not yet published.
struct Posted {
    name: Box<str>,
    guarantee: Guarantee,
    retain: bool,
    /// Its time runs from when it came (3.2.1).
    expires: Option<Time>,
    bare: Bare,
    encoded: Box<[u8]>,
    /// Under which it is known until its sender settles it, as that settles second.
    tag: Option<(LinkId, Tag)>,
    /// It counts like a message that waits.
    _weight: Weight,
}

/// Entries of a mailbox that are not yet disposed of.
struct Retiral {
    link: LinkId,
    attachment: Attachment,
    number: u64,
    disposal: Disposal,
    delivery: DeliveryId,
    settled: bool,
}

impl Side {
    pub(super) fn declare(&mut self, now: Time, link: LinkId, delivery: DeliveryId, is_global: bool) {
        if is_global {
            let why = error(AmqpError::NotImplemented, "global transactions are not offered");
            return self.refuse(now, link, delivery, why);
        }
        let transactions = &mut self.transactions;
        if transactions.open.len() >= self.context.amqp.transactions_max {
            let why = error(AmqpError::ResourceLimitExceeded, "too many transactions are open");
            return self.refuse(now, link, delivery, why);
        }
        transactions.begun += 1;
        let id = TxnId::from_slice(&transactions.begun.to_be_bytes());
        let transaction = Transaction { coordinator: link, posted: Vec::new(), retired: Vec::new(), failed: None };
        transactions.open.insert(id.clone(), transaction);
        let state = State::Declared(id);
        self.answers.push_back((0, Told::Incoming { link, delivery, state, settled: true }));
    }

    /// A transaction is not begun, or not as its client wants it ended. A client that cannot be told so by an outcome hears it
    /// with the end of its link (4.2, 4.3).
    fn refuse(&mut self, now: Time, link: LinkId, delivery: DeliveryId, why: Error) {
        let told = match self.end(link) {
            Some(End::Coordinator { rejects: false }) => Told::Ended { link, now, why },
            _ => Told::Incoming { link, delivery, state: State::rejected(why), settled: true },
        };
        self.answers.push_back((0, told));
    }

    /// A message comes under a transaction.
    pub(super) fn post(
        &mut self,
        now: Time,
        transfer: &Transfer<'_>,
        txn: &TxnId,
        name: &str,
        handover: Guarantee,
    ) -> Result<(), Error> {
        let (link, delivery, settles_second) = (transfer.link, transfer.delivery, handover == Guarantee::ExactlyOnce);
        let of_link = self.transactions.posted.get(&link).filter(|_| settles_second);
        let before = of_link.and_then(|of_link| of_link.get(&transfer.tag)).map(|(txn, _)| txn.clone());
        if before.is_none() {
            self.keep_post(now, transfer, txn, name, handover)?;
        }
        if !transfer.settled {
            let txn = before.unwrap_or_else(|| txn.clone());
            let state = State::Transactional { txn, outcome: Some(Outcome::Accepted) };
            self.answers.push_back((0, Told::Incoming { link, delivery, state, settled: !settles_second }));
        }
        Ok(())
    }

    fn keep_post(
        &mut self,
        now: Time,
        transfer: &Transfer<'_>,
        txn: &TxnId,
        name: &str,
        handover: Guarantee,
    ) -> Result<(), Error> {
        let sections = Sections::scan(&transfer.bytes, &self.context.amqp).map_err(|why| *why)?;
        let PublishBare { guarantee, retain, expiry_milliseconds, bare, encoded, .. } =
            publication(&sections, name, handover, self.origin, now);
        let limits = &self.context.amqp;
        let transactions = &mut self.transactions;
        let transaction = transactions.open.get_mut(txn).ok_or_else(unknown)?;
        let bytes = transactions.bytes + encoded.len() as u64;
        if bytes > limits.transaction_bytes_max || transaction.len() >= limits.transaction_entries_max {
            return Err(too_much());
        }
        if self.context.broker.is_short() {
            return Err(error(AmqpError::ResourceLimitExceeded, "messages take too much memory; try again later"));
        }
        transactions.bytes = bytes;
        let name = name.into();
        let (encoded, _weight) = (encoded.into(), Weight::new(encoded.len()));
        let tag = (handover == Guarantee::ExactlyOnce).then(|| (transfer.link, transfer.tag.clone()));
        if let Some((link, tag)) = tag.clone() {
            transactions.posted.entry(link).or_default().insert(tag, (txn.clone(), transaction.posted.len()));
        }
        let expires = expiry_milliseconds.map(|left| now.plus_milliseconds(left));
        let posted = Posted { name, guarantee, retain, expires, bare, encoded, tag, _weight };
        transaction.posted.push(posted);
        Ok(())
    }

    /// A link is gone, and may come back: its sender is told then that what it posted there never came (2.6.13), so none of that
    /// may come afterwards.
    pub(super) fn posts_lost(&mut self, link: LinkId) {
        for (txn, _) in self.transactions.posted.remove(&link).into_iter().flat_map(HashMap::into_values) {
            self.spoil(&txn, &error(TransactionError::Rollback, "a link that settles second is gone"));
        }
    }

    /// Messages that the client got are to end with a transaction.
    pub(super) fn retire(&mut self, now: Time, link: LinkId, txn: &TxnId, outcome: Outcome, all: &[Settled]) {
        let Some(End::Outgoing(receiver)) = self.end(link) else { return };
        let Some(attachment) = receiver.link.attachment().cloned() else { return };
        let Some(transaction) = self.transactions.open.get_mut(txn) else {
            let why = unknown();
            return self.end_link(now, link, &why);
        };
        let disposal = disposal(outcome);
        let enlisted = &mut self.transactions.enlisted;
        let is_elsewhere = |one: &Settled| enlisted.get(&(link, one.token)).is_some_and(|(other, _)| other != txn);
        if all.iter().any(is_elsewhere) {
            let coordinator = transaction.coordinator;
            self.leave_as_it_is(now, link, all);
            return self.end_link(now, coordinator, &retired_twice());
        }
        if transaction.len() + all.len() > self.context.amqp.transaction_entries_max {
            transaction.failed = Some(too_much());
            return self.leave_as_it_is(now, link, all);
        }
        for one in all {
            let retired = &mut transaction.retired;
            match enlisted.get(&(link, one.token)).and_then(|(_, at)| retired.get_mut(*at)) {
                // Its last word counts.
                Some(before) => (before.disposal, before.settled) = (disposal.clone(), before.settled || one.settled),
                None => {
                    enlisted.insert((link, one.token), (txn.clone(), retired.len()));
                    retired.push(Retiral {
                        link,
                        attachment: attachment.clone(),
                        number: one.token,
                        disposal: disposal.clone(),
                        delivery: one.delivery,
                        settled: one.settled,
                    });
                }
            }
        }
    }

    /// What was said of deliveries has no effect. Those of them that the client has forgotten by saying it wait again, or
    /// for the transaction in which they are to end.
    fn leave_as_it_is(&mut self, now: Time, link: LinkId, all: &[Settled]) {
        let forgotten = all.iter().filter(|one| one.settled);
        let numbers: Vec<u64> =
            forgotten.map(|one| one.token).filter(|number| !self.transactions.forget(link, *number)).collect();
        let Some(End::Outgoing(receiver)) = self.end(link) else { return };
        let Some(attachment) = receiver.link.attachment().cloned() else { return };
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        context.broker.dispose(&mut worker, now, &attachment, &numbers, &Disposal::Released, false);
    }

    /// The client settles deliveries outside of any transaction; `says`: with a state. Which of them are to be disposed of
    /// now: one that is to end with a transaction does, if it was settled without a word; with one that transaction cannot
    /// be committed any more.
    pub(super) fn not_enlisted(&mut self, link: LinkId, says: bool, all: &[Settled]) -> SmallVec<[u64; 16]> {
        let numbers = all.iter().map(|one| one.token);
        if self.transactions.enlisted.is_empty() {
            return numbers.collect();
        }
        if !says {
            return numbers.filter(|number| !self.transactions.forget(link, *number)).collect();
        }
        for one in all {
            if let Some((txn, _)) = self.transactions.enlisted.get(&(link, one.token)).cloned() {
                self.spoil(&txn, &error(TransactionError::Rollback, "a delivery was settled outside of it"));
            }
        }
        numbers.collect()
    }

    pub(super) fn discharge(&mut self, now: Time, link: LinkId, delivery: DeliveryId, txn: &TxnId, fail: bool) {
        let state = |state| Told::Incoming { link, delivery, state, settled: true };
        let Some(transaction) = self.take_out(txn) else {
            return self.refuse(now, link, delivery, unknown());
        };
        if fail {
            self.roll_back(now, transaction);
            return self.answers.push_back((0, state(State::ACCEPTED)));
        }
        if let Some(why) = &transaction.failed {
            let why = error(TransactionError::Rollback, why.description.clone().unwrap_or_default());
            self.roll_back(now, transaction);
            return self.refuse(now, link, delivery, why);
        }
        let context = self.context.clone();
        let origin = self.origin;
        let publications: Vec<PublishBare<'_>> = transaction
            .posted
            .iter()
            .map(|posted| PublishBare {
                name: &posted.name,
                guarantee: posted.guarantee,
                retain: posted.retain,
                expiry_milliseconds: posted.expires.map(|at| at.since(now)),
                bare: posted.bare,
                origin,
                encoded: &posted.encoded,
            })
            .collect();
        let retired = transaction.retired.iter().map(|retiral| Retired {
            attachment: &retiral.attachment,
            number: retiral.number,
            disposal: &retiral.disposal,
        });
        let tags: Vec<Tagged> = transaction.posted.iter().filter_map(|posted| self.tagged(posted)).collect();
        let done = {
            let mut worker = context.worker.borrow_mut();
            let retired = retired.collect();
            context.broker.transact(&mut worker, &mut self.publisher, now, publications, retired, &tags)
        };
        match done {
            Ok(after) => {
                for retiral in transaction.retired.iter().filter(|retiral| !retiral.settled) {
                    let told = Told::Outgoing { link: retiral.link, delivery: retiral.delivery };
                    self.answers.push_back((after, told));
                }
                self.answers.push_back((after, state(State::ACCEPTED)));
            }
            Err(refusal) => {
                let why = error(TransactionError::Rollback, words::refused(&refusal).description.unwrap_or_default());
                self.roll_back(now, transaction);
                self.refuse(now, link, delivery, why);
            }
        }
    }

    /// What a post is known by, if its sender has not settled it.
    fn tagged(&self, posted: &Posted) -> Option<Tagged> {
        let (link, tag) = posted.tag.as_ref()?;
        let Some(End::Incoming(incoming)) = self.end(*link) else { return None };
        Some(Tagged { link: incoming.name.clone(), tag: tag[..].into() })
    }

    /// Something that came under a transaction was refused: all of it is.
    pub(super) fn spoil(&mut self, txn: &TxnId, why: &Error) {
        if let Some(transaction) = self.transactions.open.get_mut(txn) {
            transaction.failed.get_or_insert_with(|| why.clone());
        }
    }

    /// The entries of a link that are to end with a transaction, in order.
    pub(super) fn retired_of(&self, link: LinkId) -> Vec<u64> {
        let retired = self.transactions.open.values().flat_map(|one| &one.retired);
        let mut numbers: Vec<u64> =
            retired.filter(|retiral| retiral.link == link).map(|retiral| retiral.number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn take_out(&mut self, txn: &TxnId) -> Option<Transaction> {
        let transaction = self.transactions.open.remove(txn)?;
        for retiral in &transaction.retired {
            self.transactions.enlisted.remove(&(retiral.link, retiral.number));
        }
        for (link, tag) in transaction.posted.iter().filter_map(|posted| posted.tag.as_ref()) {
            if let Some(of_link) = self.transactions.posted.get_mut(link) {
                of_link.remove(tag);
            }
        }
        self.transactions.bytes -= transaction.posted.iter().map(|posted| posted.encoded.len() as u64).sum::<u64>();
        Some(transaction)
    }

    /// Nothing of it takes effect. What the client has settled, and so forgotten, comes again, and what its link has left
    /// behind. That was an attempt which failed (3.2.1): a message that nobody can deal with would come for ever.
    fn roll_back(&mut self, now: Time, transaction: Transaction) {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        for retiral in &transaction.retired {
            // One that is detached from a subscription has nothing in its hands.
            let has_it = |end: &End| match end {
                End::Outgoing(receiver) => !receiver.is_parted || receiver.is_queue,
                _ => true,
            };
            if !retiral.settled && self.end(retiral.link).is_some_and(has_it) {
                continue;
            }
            let numbers = [retiral.number];
            let failed = Disposal::Modified { failed: true, elsewhere: false, notes: None };
            context.broker.dispose(&mut worker, now, &retiral.attachment, &numbers, &failed, true);
        }
    }

    /// A link to a coordinator is gone, and what was begun on it is rolled back.
    pub(super) fn coordinator_gone(&mut self, now: Time, link: LinkId) {
        let open = &self.transactions.open;
        let gone = open.iter().filter(|(_, one)| one.coordinator == link).map(|(id, _)| id.clone());
        for id in gone.collect::<Vec<_>>() {
            if let Some(transaction) = self.take_out(&id) {
                self.roll_back(now, transaction);
            }
        }
    }
}

/// 4.4.2
fn retired_twice() -> Error {
    error(TransactionError::Rollback, "a delivery is to end with another transaction already")
}

fn too_much() -> Error {
    error(AmqpError::ResourceLimitExceeded, "too much waits in transactions")
}

fn unknown() -> Error {
    error(TransactionError::UnknownId, "there is no such transaction")
}
