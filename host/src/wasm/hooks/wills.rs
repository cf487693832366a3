//! `will-handling`: the message a client leaves to be published when it is gone.

use super::super::chain::{Chain, Link, OnFailure};
use super::super::fault;
use super::super::meter::Hook;
use super::super::modules::Inner;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, Incoming};
use super::Wish;
use crate::client::{Client, Departure};
use crate::message::{Message, Refusal, Will};
use std::sync::Arc;

impl Chain {
    /// A client leaves a will: modules in order, each fed what the former kept. None: no will is kept. A failure under
    /// `discard` keeps none.
    pub fn will_registered(&self, guests: &mut Guests, owner: &Client, will: Will) -> Result<Option<Will>, Refusal> {
        let mut current = will;
        for link in &self.wills {
            match self.register_one(guests, link, owner, &current) {
                Some(Ok(Some(will))) => current = will,
                Some(Ok(None)) => return Ok(None),
                Some(Err(refusal)) => return Err(refusal),
                None => match link.on_failure {
                    OnFailure::Refuse => return Err(fault::refusal()),
                    OnFailure::Bypass => {}
                    OnFailure::Discard => return Ok(None),
                },
            }
        }
        Ok(Some(current))
    }

    fn register_one(
        &self,
        guests: &mut Guests,
        link: &Arc<Link>,
        owner: &Client,
        will: &Will,
    ) -> Option<Result<Option<Will>, Refusal>> {
        let pairs = translate::pairs(will.message.envelope());
        let ask =
            Ask { chain: self, link, hook: Hook::WillRegistered, message: None, about: will.message.topic().as_str() };
        guests.ask(
            &ask,
            |inner, exports, store| match &exports.will_handling {
                Some(guest) => {
                    let will = translate::will(will, &pairs, || (inner.clock)());
                    guest.call_on_register(store, translate::client(owner), will).map(Some)
                }
                None => Ok(None),
            },
            |inner, answer| {
                Ok(match answer {
                    None => Ok(Some(will.clone())),
                    Some(Ok(None)) => Ok(None),
                    Some(Ok(Some(new))) => Ok(Some(incoming(inner, will).will(new, will.message.publisher())?)),
                    Some(Err(refusal)) => Err(translate::refusal(refusal)),
                })
            },
            |answer| match answer {
                Ok(Some(will)) => format!("keep {:?}, delay {} s", will.message.topic(), will.delay_seconds),
                Ok(None) => "none".to_owned(),
                Err(refusal) => format!("refuse: {}", refusal.reason),
            },
        )
    }

    /// The will is due: what is to be published. The first module is asked about the will, each further one about each
    /// message that the former returned. A failure publishes nothing of what it was asked about, unless its policy is
    /// `bypass`.
    pub fn will_due(&self, guests: &mut Guests, owner: &Client, will: Will, how: Departure) -> Vec<Message> {
        let mut wills = vec![will];
        for link in &self.wills {
            let mut next = Vec::new();
            for will in wills {
                match self.due_one(guests, link, owner, &will, how) {
                    Some(messages) => {
                        next.extend(messages.into_iter().map(|message| Will { message, delay_seconds: 0 }));
                    }
                    None if link.on_failure == OnFailure::Bypass => next.push(will),
                    None => {}
                }
            }
            next.truncate(guests.inner().limits.wishes_max);
            wills = next;
        }
        wills.into_iter().map(|will| will.message).collect()
    }

    fn due_one(
        &self,
        guests: &mut Guests,
        link: &Arc<Link>,
        owner: &Client,
        will: &Will,
        how: Departure,
    ) -> Option<Vec<Message>> {
        let pairs = translate::pairs(will.message.envelope());
        let ask = Ask { chain: self, link, hook: Hook::WillDue, message: None, about: will.message.topic().as_str() };
        let messages = guests.ask(
            &ask,
            |inner, exports, store| match &exports.will_handling {
                Some(guest) => {
                    let will = translate::will(will, &pairs, || (inner.clock)());
                    guest.call_on_departure(store, translate::client(owner), will, translate::departure(how)).map(Some)
                }
                None => Ok(None),
            },
            |inner, answer| match answer {
                None => Ok(vec![will.message.clone()]),
                Some(messages) => {
                    let mut left = inner.limits.wish_bytes_max;
                    let messages = incoming(inner, will).wishes(messages, &mut left)?;
                    // Whatever a module makes of a will, it is its owner's.
                    let owner = will.message.publisher();
                    Ok(messages.into_iter().map(|message| message.published_by(owner)).collect())
                }
            },
            |messages| {
                let topics: Vec<_> = messages.iter().map(|message| message.topic().as_str()).collect();
                format!("publish {topics:?}")
            },
        );
        Some(Wish::of_them_within_bounds(guests, link, messages?))
    }
}

fn incoming<'a>(inner: &'a Inner, will: &'a Will) -> Incoming<'a> {
    let hops = will.message.envelope().hops;
    Incoming { limits: &inner.limits, now: (inner.clock)(), about: Some(&will.message), hops }
}
