//! `timers`: a module's own pulse.

use super::super::chain::{Chain, Link};
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate::Incoming;
use super::Wish;
use crate::message::Time;
use hashbrown::HashMap;
use std::sync::Arc;

/// When which module is to be called next, whichever version of it. Belongs to the one thread that calls.
#[derive(Default)]
pub struct Pulses(HashMap<Arc<str>, Pulse>);

/// Of one module.
struct Pulse {
    every_milliseconds: u64,
    next: Time,
}

impl Pulse {
    fn new(every_milliseconds: u64, now: Time) -> Self {
        Self { every_milliseconds, next: now.plus_milliseconds(every_milliseconds) }
    }

    /// Another version may want another pulse: it counts from the last time, so that no number of versions puts it off.
    fn beats_every(&mut self, milliseconds: u64) {
        let before = std::mem::replace(&mut self.every_milliseconds, milliseconds);
        self.next = Time(self.next.0.saturating_sub(before)).plus_milliseconds(milliseconds);
    }
}

impl Chain {
    /// Calls every module whose time has come, and that is to be called by such a thread: on one that may wait for servers
    /// outside those that may speak to some, on another one all others. Tells what they want published, and when the next one is due. A tick
    /// that was missed is left out; a failed call publishes nothing.
    pub fn tick(&self, guests: &mut Guests, pulses: &mut Pulses, now: Time) -> (Vec<Wish>, Option<Time>) {
        let mut wishes = Vec::new();
        let patient = guests.is_patient();
        let ours = || self.timers.iter().filter(|link| link.goes_out == patient);
        let Pulses(pulses) = pulses;
        let beats = |link: &Link| link.version.manifest.tick_milliseconds.is_some();
        pulses.retain(|module, _| ours().any(|link| beats(link) && link.version.services.module == *module));
        for link in ours() {
            let Some(milliseconds) = link.version.manifest.tick_milliseconds else { continue };
            let milliseconds = u64::from(milliseconds).max(guests.inner().limits.tick_milliseconds_min);
            let module = link.version.services.module.clone();
            let pulse = pulses.entry(module).or_insert_with(|| Pulse::new(milliseconds, now));
            if pulse.every_milliseconds != milliseconds {
                pulse.beats_every(milliseconds);
            }
            if pulse.next > now {
                continue;
            }
            *pulse = Pulse::new(milliseconds, now);
            wishes.extend(self.tick_one(guests, link, now));
        }
        Wish::within_bounds(guests, &mut wishes);
        (wishes, pulses.values().map(|pulse| pulse.next).min())
    }

    /// Calls every module now, whatever it asked for.
    pub fn tick_all(&self, guests: &mut Guests, now: Time) -> Vec<Wish> {
        self.timers.iter().flat_map(|link| self.tick_one(guests, link, now)).collect()
    }

    fn tick_one(&self, guests: &mut Guests, link: &Arc<Link>, now: Time) -> Vec<Wish> {
        let ask = Ask { chain: self, link, hook: Hook::Tick, message: None, about: "" };
        let answer = guests.ask(
            &ask,
            |_, exports, store| match &exports.timers {
                Some(guest) => guest.call_on_tick(store, now.0),
                None => Ok(Vec::new()),
            },
            |inner, messages| {
                let incoming = Incoming { limits: &inner.limits, now, about: None, hops: 1 };
                incoming.wishes(messages, &mut { inner.limits.wish_bytes_max })
            },
            |messages| format!("{} to publish", messages.len()),
        );
        Wish::of(link, answer.unwrap_or_default()).collect()
    }
}
