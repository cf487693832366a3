//! `events`: modules are told what happened, and may publish about it.

use super::super::bindings::exports::pliant::broker::events as wit;
use super::super::chain::{Chain, Link};
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, Incoming, Pairs};
use super::Wish;
use crate::client::{Client, Departure};
use crate::message::Message;
use crate::topic::Filter;
use std::sync::Arc;

/// Bytes of the texts of the events of one call; one event alone may have more.
const CALL_BYTES_MAX: usize = 256 << 10;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A client was let in.
    Connected(Arc<Client>),
    /// A client is gone.
    Disconnected(Arc<Client>, Departure),
    /// A client subscribed to one of the broker's filters.
    Subscribed(Arc<Client>, Filter),
    /// A client gave up a subscription, or its session ended with it.
    Unsubscribed(Arc<Client>, Filter),
    /// A message was given up.
    Lost(Message, Loss),
}

/// Why a message was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// No subscriber and no queue matched.
    Unroutable,
    /// Its time was over before it could be delivered.
    Expired,
    /// A queue was full and its policy was to drop.
    QueueFull,
    /// Rejected by its consumer as often as the limit allows.
    Rejected,
}

/// The kinds of events, as bits: what somebody wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventKinds(pub u8);

impl EventKinds {
    /// [`Happening::Connected`] and [`Happening::Disconnected`].
    pub const CLIENTS: Self = Self(1);
    /// [`Happening::Subscribed`] and [`Happening::Unsubscribed`].
    pub const SUBSCRIPTIONS: Self = Self(2);
    /// [`Happening::Lost`].
    pub const LOST: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Whether these kinds are among them.
    pub fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }
}

impl Happening {
    fn kind(&self) -> EventKinds {
        match self {
            Self::Connected(_) | Self::Disconnected(..) => EventKinds::CLIENTS,
            Self::Subscribed(..) | Self::Unsubscribed(..) => EventKinds::SUBSCRIPTIONS,
            Self::Lost(..) => EventKinds::LOST,
        }
    }

    /// How many wishes stand between what a client sent and this.
    fn hops(&self) -> u8 {
        match self {
            Self::Lost(message, _) => message.envelope().hops,
            _ => 0,
        }
    }

    /// Bytes of its texts.
    fn size(&self) -> usize {
        let of = |client: &Client| client.known_as().len() + client.scope.identity.as_deref().map_or(0, str::len);
        match self {
            Self::Connected(client) | Self::Disconnected(client, _) => of(client),
            Self::Subscribed(client, filter) | Self::Unsubscribed(client, filter) => of(client) + filter.as_str().len(),
            Self::Lost(message, _) => message.size() - message.payload().len(),
        }
    }

    fn topic(&self) -> Option<&str> {
        match self {
            Self::Lost(message, _) => Some(message.topic().as_str()),
            _ => None,
        }
    }
}

impl Chain {
    /// What any module wants to be told.
    pub fn wants_events(&self) -> EventKinds {
        let all = self.events.iter().fold(0, |all, link| all | link.version.manifest.events.kinds.0);
        EventKinds(all)
    }

    /// Tells every module; what they want published. A failed call loses its events, and no more.
    pub fn tell(&self, guests: &mut Guests, happenings: &[Happening]) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for link in &self.events {
            let interest = &link.version.manifest.events;
            let concerns = |it: &&Happening| {
                interest.kinds.has(it.kind()) && it.topic().is_none_or(|topic| interest.lost.covers(topic))
            };
            let told: Vec<&Happening> = happenings.iter().filter(concerns).collect();
            let mut rest = &told[..];
            while !rest.is_empty() {
                let (part, others) = rest.split_at(part_of(rest, guests.inner().limits.wishes_max));
                rest = others;
                wishes.extend(Wish::of(link, self.tell_one(guests, link, part)));
            }
        }
        Wish::within_bounds(guests, &mut wishes);
        wishes
    }

    fn tell_one(&self, guests: &mut Guests, link: &Link, told: &[&Happening]) -> Vec<Message> {
        let hops = told.iter().map(|it| it.hops()).max().unwrap_or(0);
        let pairs: Vec<Pairs<'_>> = told.iter().map(|it| pairs(it)).collect();
        let ask = Ask { chain: self, link, hook: Hook::Events, message: None, about: "" };
        let answer = guests.ask(
            &ask,
            |inner, exports, store| match &exports.events {
                Some(guest) => {
                    let now = || (inner.clock)();
                    let events: Vec<_> = told.iter().zip(&pairs).map(|(it, pairs)| event(it, pairs, now)).collect();
                    guest.call_on_events(store, &events)
                }
                None => Ok(Vec::new()),
            },
            |inner, messages| {
                let hops = hops.saturating_add(1);
                let incoming = Incoming { limits: &inner.limits, now: (inner.clock)(), about: None, hops };
                incoming.wishes(messages, &mut { inner.limits.wish_bytes_max })
            },
            |messages| format!("{} to publish", messages.len()),
        );
        answer.unwrap_or_default()
    }
}

/// How many events go into one call: a module has room for their texts and two wishes for each, and time for all.
fn part_of(told: &[&Happening], wishes_max: usize) -> usize {
    let most = (wishes_max / 2).max(1);
    let mut bytes = 0;
    let fits = |it: &&&Happening| {
        bytes += it.size();
        bytes <= CALL_BYTES_MAX
    };
    told.iter().take(most).take_while(fits).count().max(1)
}

fn pairs(happening: &Happening) -> Pairs<'_> {
    match happening {
        Happening::Lost(message, _) => translate::pairs(message.envelope()),
        _ => Pairs::new(),
    }
}

fn event<'a>(
    happening: &'a Happening,
    pairs: &'a [(&'a str, &'a str)],
    now: impl Fn() -> crate::message::Time,
) -> wit::Event<'a> {
    match happening {
        Happening::Connected(client) => wit::Event::Connected(translate::client(client)),
        Happening::Disconnected(client, how) => {
            wit::Event::Disconnected((translate::client(client), translate::departure(*how)))
        }
        Happening::Subscribed(client, filter) => wit::Event::Subscribed((translate::client(client), filter.as_str())),
        Happening::Unsubscribed(client, filter) => {
            wit::Event::Unsubscribed((translate::client(client), filter.as_str()))
        }
        Happening::Lost(message, loss) => wit::Event::Lost((
            translate::envelope(message, pairs, now),
            match loss {
                Loss::Unroutable => wit::Loss::Unroutable,
                Loss::Expired => wit::Loss::Expired,
                Loss::QueueFull => wit::Loss::QueueFull,
                Loss::Rejected => wit::Loss::Rejected,
            },
        )),
    }
}
