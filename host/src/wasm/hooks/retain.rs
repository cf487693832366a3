//! `retain-policy`: what is kept as the last known value of a topic, and who is shown it.

use super::super::bindings::exports::pliant::broker::retain_policy as wit;
use super::super::chain::{Chain, Link, OnFailure};
use super::super::fault;
use super::super::instance::Payload;
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate;
use crate::client::Client;
use crate::message::{Message, Refusal};
use std::sync::Arc;
use wasmtime::component::Resource;

/// Whether [`Chain::retain`] has to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainAsk {
    /// No module wants to see such messages: as flagged.
    Never,
    /// Once for this topic and this retain flag; the answer holds as long as the generation.
    PerTopic,
    /// For each message.
    Each,
}

/// What becomes of the stored value of the message's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Store if flagged, delete if flagged and empty, else leave alone.
    AsFlagged,
    /// Store, for so many seconds if given, whatever the flag says.
    Store(Option<u32>),
    /// Leave alone, whatever the flag says.
    Leave,
    /// Delete.
    Delete,
}

/// Which stored values a new subscription is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// All that match.
    All,
    /// None.
    None,
    /// At most so many, the most recently stored first.
    Newest(u32),
}

impl Chain {
    /// Whether the modules have to be asked about a message of this topic, with or without the retain flag.
    pub fn wants_retain(&self, topic: &str, flagged: bool) -> RetainAsk {
        let mut concerned = self.retain.iter().filter(|link| concerns(link, topic, flagged)).peekable();
        if concerned.peek().is_none() {
            RetainAsk::Never
        } else if concerned.all(|link| link.version.manifest.retain_by_topic) {
            RetainAsk::PerTopic
        } else {
            RetainAsk::Each
        }
    }

    /// Asks in order; the first module whose answer is not "as flagged" decides. A failure under `discard` leaves the
    /// stored value alone. As for names, answers during which [`Guests::failures`] changed must not be remembered.
    pub fn retain(&self, guests: &mut Guests, publisher: &Client, message: &Message) -> Result<Retention, Refusal> {
        let (topic, flagged) = (message.topic().as_str(), message.envelope().retain);
        for link in self.retain.iter().filter(|link| concerns(link, topic, flagged)) {
            match self.retain_one(guests, link, publisher, message) {
                Some(Ok(Retention::AsFlagged)) => {}
                Some(answer) => return answer,
                None => match link.on_failure {
                    OnFailure::Refuse => return Err(fault::refusal()),
                    OnFailure::Bypass => {}
                    OnFailure::Discard => return Ok(Retention::Leave),
                },
            }
        }
        Ok(Retention::AsFlagged)
    }

    fn retain_one(
        &self,
        guests: &mut Guests,
        link: &Arc<Link>,
        publisher: &Client,
        message: &Message,
    ) -> Option<Result<Retention, Refusal>> {
        let pairs = translate::pairs(message.envelope());
        let ask =
            Ask { chain: self, link, hook: Hook::Retain, message: Some(message), about: message.topic().as_str() };
        guests.ask(
            &ask,
            |inner, exports, store| match &exports.retain_policy {
                Some(guest) => {
                    let envelope = translate::envelope(message, &pairs, || (inner.clock)());
                    let payload = Resource::<Payload>::new_borrow(0);
                    guest.call_on_publish(store, translate::client(publisher), envelope, payload)
                }
                None => Ok(wit::Retention::AsFlagged),
            },
            |_, answer| {
                Ok(Ok(match answer {
                    wit::Retention::AsFlagged => Retention::AsFlagged,
                    wit::Retention::Store(seconds) => Retention::Store(seconds),
                    wit::Retention::Leave => Retention::Leave,
                    wit::Retention::Delete => Retention::Delete,
                    wit::Retention::Refuse(refusal) => return Ok(Err(translate::refusal(refusal))),
                }))
            },
            |answer| match answer {
                Ok(Retention::AsFlagged) => "as flagged".to_owned(),
                Ok(Retention::Store(None)) => "store".to_owned(),
                Ok(Retention::Store(Some(seconds))) => format!("store for {seconds} s"),
                Ok(Retention::Leave) => "leave".to_owned(),
                Ok(Retention::Delete) => "delete".to_owned(),
                Err(refusal) => format!("refuse: {}", refusal.reason),
            },
        )
    }

    /// Whether any module wants to say what new subscriptions are sent.
    pub fn wants_replay(&self) -> bool {
        !self.retain.is_empty()
    }

    /// Asks in order; the first module whose answer is not "all" decides. After a failure nothing is sent, unless its
    /// policy is `bypass`.
    pub fn replay(&self, guests: &mut Guests, subscriber: &Client, filter: &str, matching: u64) -> Replay {
        for link in &self.retain {
            let ask = Ask { chain: self, link, hook: Hook::Replay, message: None, about: filter };
            let answer = guests.ask(
                &ask,
                |_, exports, store| match &exports.retain_policy {
                    Some(guest) => guest.call_on_subscribe(store, translate::client(subscriber), filter, matching),
                    None => Ok(wit::Replay::All),
                },
                |_, answer| {
                    Ok(match answer {
                        wit::Replay::All => Replay::All,
                        wit::Replay::None => Replay::None,
                        wit::Replay::Newest(count) => Replay::Newest(count),
                    })
                },
                |answer| match answer {
                    Replay::All => "all".to_owned(),
                    Replay::None => "none".to_owned(),
                    Replay::Newest(count) => format!("the newest {count}"),
                },
            );
            match answer {
                Some(Replay::All) => {}
                Some(other) => return other,
                None if link.on_failure == OnFailure::Bypass => {}
                None => return Replay::None,
            }
        }
        Replay::All
    }
}

/// Flagged messages are shown to every module, others to those that asked for them.
fn concerns(link: &Link, topic: &str, flagged: bool) -> bool {
    let unflagged = link.version.manifest.unflagged_retain.as_ref();
    flagged || unflagged.is_some_and(|interest| interest.covers(topic))
}
