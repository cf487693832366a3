//! `topic-mapping`: the names under which clients know a topic, and the one under which the broker does.

use super::super::bindings::exports::pliant::broker::topic_mapping::{Guest, Scope as WitScope};
use super::super::bindings::pliant::broker::types::Refusal as WitRefusal;
use super::super::chain::{Chain, OnFailure};
use super::super::fault;
use super::super::instance::Cell;
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, shortened};
use crate::client::Scope;
use crate::message::{Refusal, RefusalKind};
use crate::topic::{Filter, Limits, NameError, Topic};
use wasmtime::Store;

/// One of the two functions that turn a client's name into the broker's.
type Function =
    for<'a> fn(&Guest, &mut Store<Cell>, WitScope<'a>, &'a str) -> wasmtime::Result<Result<String, WitRefusal>>;

impl Chain {
    /// Whether any module maps names: if not, the three functions below change nothing.
    pub fn wants_mapping(&self) -> bool {
        self.closed.mapping || !self.mapping.is_empty()
    }

    /// The broker's topic for a name that a client publishes to: modules in order, each fed the former's answer. None:
    /// unchanged. A change is a valid topic. An error of kind `Unavailable` comes from a failure and must not be
    /// remembered, nor any answer during which [`Guests::failures`] changed.
    pub fn publish_topic(&self, guests: &mut Guests, scope: &Scope, name: &str) -> Result<Option<String>, Refusal> {
        let check = |name: &str, limits: &Limits| Topic::new(name, limits).map(|_| ());
        self.map(
            guests,
            scope,
            name,
            Hook::PublishTopic,
            |guest, store, scope, name| guest.call_publish_topic(store, scope, name),
            check,
        )
    }

    /// The broker's filter for one that a client subscribes to, as [`Chain::publish_topic`].
    pub fn subscribe_filter(
        &self,
        guests: &mut Guests,
        scope: &Scope,
        filter: &str,
    ) -> Result<Option<String>, Refusal> {
        let check = |filter: &str, limits: &Limits| Filter::new(filter, limits).map(|_| ());
        self.map(
            guests,
            scope,
            filter,
            Hook::SubscribeFilter,
            |guest, store, scope, filter| guest.call_subscribe_filter(store, scope, filter),
            check,
        )
    }

    fn map(
        &self,
        guests: &mut Guests,
        scope: &Scope,
        name: &str,
        hook: Hook,
        function: Function,
        check: fn(&str, &Limits) -> Result<(), NameError>,
    ) -> Result<Option<String>, Refusal> {
        if self.closed.mapping {
            return Err(fault::refusal());
        }
        let limits = guests.inner().limits.topics;
        let mut mapped: Option<String> = None;
        for link in &self.mapping {
            let current = mapped.as_deref().unwrap_or(name);
            let ask = Ask { chain: self, link, hook, message: None, about: current };
            let answer = guests.ask(
                &ask,
                |_, exports, store| match &exports.topic_mapping {
                    Some(guest) => function(guest, store, translate::scope(scope), current),
                    None => Ok(Ok(current.to_owned())),
                },
                |_, answer| match answer {
                    Ok(name) => match check(&name, &limits) {
                        // What was invalid before is the client's fault and told by the caller.
                        Err(_) if name == current => Ok(Ok(name)),
                        // A long name that a rule makes longer is the client's affair: no reason to give up the instance.
                        Err(error @ (NameError::TooLong | NameError::TooDeep)) => {
                            Ok(Err(Refusal::new(RefusalKind::TopicInvalid, error.to_string())))
                        }
                        Err(error) => Err(format!("{:?}: {error}", shortened(&name))),
                        Ok(()) => Ok(Ok(name)),
                    },
                    Err(refusal) => Ok(Err(translate::refusal(refusal))),
                },
                |answer| match answer {
                    Ok(name) if name == current => "unchanged".to_owned(),
                    Ok(name) => format!("{name:?}"),
                    Err(refusal) => format!("refused: {}", refusal.reason),
                },
            );
            match answer {
                Some(Ok(name)) if name == current => {}
                Some(Ok(name)) => mapped = Some(name),
                Some(Err(refusal)) => return Err(refusal),
                None if link.on_failure == OnFailure::Bypass => {}
                None => return Err(fault::refusal()),
            }
        }
        Ok(mapped.filter(|mapped| mapped != name))
    }

    /// Whether any module may show a topic under another name.
    pub fn renames_deliveries(&self) -> bool {
        self.mapping.iter().any(|link| !link.version.manifest.delivers_as_is)
    }

    /// The name to show a subscriber for a topic of the broker: modules in reverse order. None: unchanged. A module
    /// that fails leaves the name as it is.
    pub fn deliver_name(&self, guests: &mut Guests, scope: &Scope, topic: &str) -> Option<String> {
        let limits = guests.inner().limits.topics;
        let mut shown: Option<String> = None;
        for link in self.mapping.iter().rev().filter(|link| !link.version.manifest.delivers_as_is) {
            let current = shown.as_deref().unwrap_or(topic);
            let ask = Ask { chain: self, link, hook: Hook::DeliverName, message: None, about: current };
            let answer = guests.ask(
                &ask,
                |_, exports, store| match &exports.topic_mapping {
                    Some(guest) => guest.call_deliver_name(store, translate::scope(scope), current),
                    None => Ok(current.to_owned()),
                },
                |_, name| match Topic::new(&name, &limits) {
                    Ok(_) => Ok(name),
                    // Of a topic that is long already a rule makes one that is too long: it has no name of its own.
                    Err(NameError::TooLong | NameError::TooDeep) => Ok(current.to_owned()),
                    Err(error) => Err(format!("{:?}: {error}", shortened(&name))),
                },
                |name| if name == current { "unchanged".to_owned() } else { format!("{name:?}") },
            );
            if let Some(name) = answer
                && name != current
            {
                shown = Some(name);
            }
        }
        shown.filter(|shown| shown != topic)
    }
}
