//! Transactions: what is posted and retired under one waits until it is discharged.

use super::outcome::Told;
use super::side::Side;
use crate::amqp::{DeliveryId, Error, LinkId, Outcome, Settled, State, TransactionError, Transfer, TxnId, error};
use crate::message::{Guarantee, Time};

impl Side {
    pub(super) fn declare(&mut self, link: LinkId, delivery: DeliveryId) {
        let why = error(TransactionError::Rollback, "transactions are not there yet");
        self.answers.push_back((0, Told::Incoming { link, delivery, state: State::rejected(why), settled: true }));
    }

    pub(super) fn discharge(&mut self, _now: Time, link: LinkId, delivery: DeliveryId, _txn: &TxnId, _fail: bool) {
        let why = error(TransactionError::UnknownId, "there is no such transaction");
        self.answers.push_back((0, Told::Incoming { link, delivery, state: State::rejected(why), settled: true }));
    }

    pub(super) fn post(&mut self, _: &Transfer<'_>, _: &TxnId, _: &str, _: Guarantee) -> Result<(), Error> {
        Err(error(TransactionError::UnknownId, "there is no such transaction"))
    }

    pub(super) fn retire(&mut self, _: LinkId, _: &TxnId, _: Outcome, _: &[Settled]) {}

    pub(super) fn coordinator_gone(&mut self, _: LinkId) {}
}
