//! What one module has of the broker, shared by all its instances: log, state, figures, clock, retained messages, servers
//! outside.

use super::hooks::UnmetWishes;
use super::imports::log::Log;
use super::imports::metrics::Figures;
use super::imports::state::State;
use super::limits::Limits;
use super::outside::Outside;
use super::quota::Refusals;
use super::tally::Tallies;
use crate::message::{Message, Time};
use std::sync::{Arc, OnceLock};

/// Tells the broker's time; an argument of the room, so that tests can own it.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Finds the retained message of exactly this topic.
pub type RetainedLookup = Arc<dyn Fn(&str) -> Option<Message> + Send + Sync>;

/// Set once the hall exists; before that nothing is retained.
pub(super) type RetainedSlot = Arc<OnceLock<RetainedLookup>>;

/// Services of one module.
pub(super) struct Services {
    pub(super) module: Arc<str>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) log: Log,
    pub(super) state: State,
    pub(super) figures: Figures,
    pub(super) retained: RetainedSlot,
    pub(super) outside: Outside,
    pub(super) refusals: Refusals,
    pub(super) unmet_wishes: UnmetWishes,
    pub(super) tallies: Tallies,
}

/// A module from its deployment to its removal, as the owner of what it logs.
pub struct LogOwner(pub(super) Arc<Services>);

impl PartialEq for LogOwner {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Services {
    /// Whether one more request to a server outside fits into this second; it is taken off it.
    pub(super) fn may_send(&self) -> bool {
        self.outside.sent.lock().take((self.clock)(), self.limits.http_requests_per_second_max, 1)
    }

    /// A start for the sequence behind `wasi:random` of a new instance. Good enough for hash tables; a module that
    /// needs secrets is not to make them.
    pub(super) fn seed(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(self.module.as_bytes(), (self.clock)().0)
    }
}
