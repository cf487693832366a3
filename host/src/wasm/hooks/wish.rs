//! What a module wants published, in whose name, and who hears of it where nothing comes of it.

use super::super::chain::Link;
use super::super::imports::log::LogLevel;
use super::super::pool::Guests;
use super::super::services::Services;
use super::super::translate::shortened;
use crate::message::Message;
use crate::metrics::Counter;
use parking_lot::Mutex;
use std::sync::Arc;

/// A message that a module wants published.
#[derive(Clone)]
pub struct Wish {
    /// What, one hop older than what caused it.
    pub message: Message,
    by: Arc<Services>,
}

/// Why nothing comes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// It is past [`super::super::Limits::hops_max`].
    Hops,
    /// More wishes come of one message than may.
    Budget,
    /// Its topic is longer or deeper than the operator allows.
    Topic,
    /// Its topic is the broker's own.
    Reserved,
    /// The module may not publish there.
    Denied,
    /// There is no room where it goes.
    Full,
    /// Another module refuses it.
    Refused,
}

const ALL: [(Unmet, &str); 7] = [
    (Unmet::Hops, "hops"),
    (Unmet::Budget, "budget"),
    (Unmet::Topic, "topic"),
    (Unmet::Reserved, "reserved"),
    (Unmet::Denied, "denied"),
    (Unmet::Full, "full"),
    (Unmet::Refused, "refused"),
];

/// Milliseconds between two lines about wishes of one module that come to nothing for the same reason.
const TELL_EVERY_MILLISECONDS: u64 = 1_000;

/// What came to nothing of one module's wishes.
#[derive(Default)]
pub(in super::super) struct UnmetWishes([UnmetFor; ALL.len()]);

#[derive(Default)]
struct UnmetFor {
    counter: Counter,
    /// When it was told last, in milliseconds (0: never), and how many were not told since.
    told: Mutex<(u64, u64)>,
}

impl UnmetWishes {
    /// How many, by reason.
    pub(in super::super) fn list(&self) -> [(&'static str, u64); ALL.len()] {
        ALL.map(|(why, name)| (name, self.0[why as usize].counter.get()))
    }
}

impl Wish {
    /// Which module; it is the publisher.
    pub fn module(&self) -> &Arc<str> {
        &self.by.module
    }

    /// Nothing comes of it: counted, and told in the log of the module and of the broker, once a second.
    #[cold]
    pub fn comes_to_nothing(&self, unmet: Unmet, why: &str) {
        let UnmetFor { counter, told } = &self.by.unmet_wishes.0[unmet as usize];
        counter.add(1);
        let now = (self.by.clock)();
        let untold = {
            let (at, untold) = &mut *told.lock();
            if *at != 0 && now.0.abs_diff(*at) < TELL_EVERY_MILLISECONDS {
                *untold += 1;
                return;
            }
            *at = now.0.max(1);
            std::mem::take(untold)
        };
        let more = if untold == 0 { String::new() } else { format!(" (and {untold} more like it before)") };
        let (module, topic) = (&*self.by.module, shortened(self.message.topic().as_str()));
        self.by.log.keep(now, LogLevel::Warn, &format!("a wish for {topic:?} comes to nothing: {why}{more}"));
        tracing::warn!(module, topic, why, untold, "a module's wish comes to nothing");
    }

    pub(super) fn of(link: &Link, messages: Vec<Message>) -> impl Iterator<Item = Self> {
        let by = &link.version.services;
        messages.into_iter().map(move |message| Self { message, by: by.clone() })
    }

    /// Leaves out and counts those past the hop limit, so that loops end, and those past the bounds of topics, which are
    /// often made of what clients call themselves.
    pub(super) fn within_bounds(guests: &Guests, wishes: &mut Vec<Self>) {
        if wishes.is_empty() {
            return;
        }
        let limits = &guests.inner().limits;
        wishes.retain(|wish| {
            let (unmet, why) = if wish.message.envelope().hops > limits.hops_max {
                let most = limits.hops_max;
                (Unmet::Hops, format!("wasm.hops_max ({most}) wishes led to it, one to the next"))
            } else if let Err(error) = wish.message.topic().check_length(&limits.topics) {
                (Unmet::Topic, format!("{error} (topic.bytes_max, topic.levels_max)"))
            } else {
                return true;
            };
            if !guests.rehearses() {
                wish.comes_to_nothing(unmet, &why);
            }
            false
        });
    }

    /// Of messages that a module returned those within the same bounds.
    pub(super) fn of_them_within_bounds(guests: &Guests, link: &Link, messages: Vec<Message>) -> Vec<Message> {
        let mut wishes = Self::of(link, messages).collect();
        Self::within_bounds(guests, &mut wishes);
        wishes.into_iter().map(|wish| wish.message).collect()
    }
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish").field("module", self.module()).field("message", &self.message).finish()
    }
}
