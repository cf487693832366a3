//! States of a delivery (3.4, 4.5.5, 4.5.6), in a form that costs nothing for the usual one.

use super::condition::{Error, Fields};
use smallvec::SmallVec;

/// Names a delivery on its link while one of the two sides remembers it (2.8.7): up to 32 bytes.
pub type Tag = SmallVec<[u8; 16]>;

/// Names a transaction at the broker that began it (4.5.4).
pub type TxnId = SmallVec<[u8; 16]>;

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 3.4.2: processed.
    Accepted,
    /// 3.4.3: invalid, and why.
    Rejected(Option<Box<Error>>),
    /// 3.4.4: not processed, and no attempt was made.
    Released,
    /// 3.4.5: not processed, and changed.
    Modified(Box<Modified>),
}

/// 3.4.5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modified {
    /// It counts as a failed attempt: delivery-count goes up.
    pub delivery_failed: bool,
    /// Not to this receiver again.
    pub undeliverable_here: bool,
    /// To be merged into the message annotations.
    pub annotations: Option<Fields>,
}

/// What one side thinks of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// 3.4.1: a part has arrived.
    Received {
        /// Sections before the first byte that is missing.
        section: u32,
        /// Bytes of that section that have arrived.
        offset: u64,
    },
    /// It has ended.
    Ended(Outcome),
    /// 4.5.5: answer to a declare.
    Declared(TxnId),
    /// 4.5.6: it ends with the transaction, in this way.
    Transactional {
        /// Which.
        txn: TxnId,
        /// None: not decided yet (a posted message).
        outcome: Option<Outcome>,
    },
}

impl State {
    /// Accepted, the usual one.
    pub const ACCEPTED: Self = Self::Ended(Outcome::Accepted);
    /// Released.
    pub const RELEASED: Self = Self::Ended(Outcome::Released);

    /// Rejected for this reason.
    pub fn rejected(error: Error) -> Self {
        Self::Ended(Outcome::Rejected(Some(Box::new(error))))
    }
}
