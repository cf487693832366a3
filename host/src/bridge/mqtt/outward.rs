//! Messages that go out, and what the other broker says of them.
//!
//! A message that it does not take now (a full queue) is sent again after a while, with those of its topic behind it in
//! their order; other topics go on, as long as the window has places.

use super::super::VIA;
use super::super::held::{Entry, Held};
use super::super::retry::Retry;
use super::super::settings::Settings;
use super::codec::{Out, Verdict};
use super::connection::{BATCH_BYTES, Connection, Reply};
use super::suspects::{self, Judgement};
use crate::broker::Answer;
use crate::dialogue::{Delivery, Event, Handle, Outgoing, Request, Settlement};
use crate::message::{Guarantee, Time};
use crate::metrics::RouteState;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// See the head of this file.
pub struct Outbox {
    held: Held<Delivery>,
    /// Not answered yet; no more than the window.
    sent: HashMap<Handle, Entry<Delivery>>,
    next: u64,
    is_stuck: bool,
    /// Some message of this connection was answered.
    any_answered: bool,
}

impl Outbox {
    pub fn new(settings: &Settings) -> Self {
        Self {
            held: Held::new(Retry::new(settings)),
            sent: HashMap::new(),
            next: 0,
            is_stuck: false,
            any_answered: false,
        }
    }
}

impl Connection<'_> {
    /// At-least-once, or what the other broker cannot take at a higher level: it has it.
    pub(super) fn acknowledged(&mut self, handle: Handle, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::NotNow(reason) => return self.not_now(handle, &reason),
            Verdict::Never(reason) => self.refused(self.outbox.sent.get(&handle), &reason),
            Verdict::Taken => self.plan.figures.sent_total.add(1),
        }
        self.answered(handle);
        if !self.settle(handle, Settlement::Acknowledged) {
            self.seat.ask(Request::Received(handle));
            self.settle(handle, Settlement::Completed);
        }
        Ok(())
    }

    /// Exactly-once, first half: it has it.
    pub(super) fn received(&mut self, handle: Handle, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::NotNow(reason) => return self.not_now(handle, &reason),
            Verdict::Never(reason) => {
                self.refused(self.outbox.sent.get(&handle), &reason);
                self.answered(handle);
                if !self.settle(handle, Settlement::Refused) {
                    self.settle(handle, Settlement::Completed);
                }
            }
            Verdict::Taken => {
                self.answered(handle);
                if let Answer::Say(after, _) = self.seat.ask(Request::Received(handle)) {
                    self.replies.push_back((after, Reply::Pubrel(handle)));
                }
            }
        }
        Ok(())
    }

    /// It has said what becomes of a message: others of the topic may follow.
    fn answered(&mut self, handle: Handle) {
        if let Some(entry) = self.outbox.sent.remove(&handle) {
            self.outbox.held.taken(&entry.topic);
            self.not_to_blame(handle);
        }
    }

    fn not_to_blame(&mut self, handle: Handle) {
        self.outbox.any_answered = true;
        self.plan.suspects.borrow_mut().answered(handle);
    }

    /// Looks for the message over which the other broker has ended the connection, if that is what it did.
    pub(super) fn suspect(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.plan.suspects.borrow_mut().cut(cut, &self.outbox.sent, self.outbox.any_answered);
        }
    }

    /// Whether one more message may be sent now.
    fn may_send(&self) -> bool {
        self.out.len() < BATCH_BYTES && self.plan.suspects.borrow().lets_go(self.outbox.sent.len())
    }

    /// When to look again at what was not taken; none: nothing waits, or the next answer comes first.
    pub(super) fn send_again_due(&self) -> Option<Instant> {
        self.outbox.held.due().filter(|_| self.plan.suspects.borrow().lets_go(self.outbox.sent.len()))
    }

    /// It does not take a message now.
    fn not_now(&mut self, handle: Handle, reason: &str) -> Result<(), String> {
        let reason = format!("it does not take a message now: {reason}");
        // One of the connection before this, which it had received then: it does not know itself what it wants.
        let Some(mut entry) = self.outbox.sent.remove(&handle) else { return Err(reason) };
        self.plan.note(&self.seat.hall, entry.route, RouteState::Stuck, &reason);
        // Its answer has ended the exchange: the next one is no duplicate (4.3.2, 4.3.3).
        entry.item.duplicate = false;
        self.not_to_blame(handle);
        self.outbox.is_stuck = true;
        self.outbox.held.refused(Instant::now(), entry);
        Ok(())
    }

    /// Whether the delivery could end in this way.
    pub(super) fn settle(&mut self, handle: Handle, how: Settlement) -> bool {
        !matches!(self.seat.ask(Request::Settle(handle, how)), Answer::Say(_, Event::Closed(_)))
    }

    /// Tells what is lost; none: it was sent in an earlier connection.
    fn refused(&self, entry: Option<&Entry<Delivery>>, reason: &str) {
        self.plan.figures.refused_total.add(1);
        let topic = entry.map(|entry| &*entry.topic);
        let bytes = entry.map(|entry| entry.item.message.payload().len());
        let bridge = &self.plan.settings.name;
        let route = entry.map(|entry| self.plan.figures.routes[entry.route].name.as_str());
        tracing::warn!(
            bridge,
            route,
            topic,
            bytes,
            reason,
            "the other broker refuses a message for good; it is dropped"
        );
    }

    /// Sends again what was not taken, where it is time: one message of each topic, and the others when that was taken.
    pub(super) fn send_again(&mut self) -> Result<(), String> {
        if !self.outbox.is_stuck || !self.may_send() {
            return Ok(());
        }
        if self.outbox.held.begin(Instant::now()) {
            while self.may_send() {
                let Some(entry) = self.outbox.held.next() else { break };
                self.outbox.held.ask(entry.topic.clone(), entry.route);
                self.send_one_again(entry)?;
            }
        }
        while self.may_send() {
            let Some(entry) = self.outbox.held.next() else { break };
            self.send_one_again(entry)?;
        }
        Ok(())
    }

    /// Tells how many wait because they were not taken.
    pub(super) fn tell_held(&mut self) {
        if !self.outbox.is_stuck {
            return;
        }
        for (route, _) in self.plan.outward.iter().enumerate() {
            self.plan.figures.routes[route].set_held(self.outbox.held.count(route));
            if !self.outbox.held.concerns(route) {
                self.plan.unstick(&self.seat.hall, route);
            }
        }
        self.outbox.is_stuck = !self.outbox.held.rest();
    }

    fn send_one_again(&mut self, entry: Entry<Delivery>) -> Result<(), String> {
        let now = self.seat.hall.now();
        if entry.item.message.is_expired(now) {
            self.outbox.held.taken(&entry.topic);
            self.drop_delivery(entry.item.handle, entry.item.guarantee);
            return Ok(());
        }
        self.write(entry, now).map(|_| ())
    }

    /// Puts what waits in the session behind what is to be sent, as far as there is room.
    pub(super) fn pump(&mut self) -> Result<(), String> {
        while self.is_known && !self.is_subscribing && self.may_send() {
            let Some(attachment) = self.seat.attachment().cloned() else { return Ok(()) };
            let (broker, now) = (self.seat.hall.broker.clone(), self.seat.hall.now());
            let (mut dropped, mut fault, before) = (Vec::new(), None, self.out.len());
            broker.drain(&attachment, now, &mut |outgoing| {
                let put = match outgoing {
                    Outgoing::Release(handle) => self.codec.pubrel(handle, &mut self.out),
                    Outgoing::Deliver(delivery) => self.deliver(delivery, now, &mut dropped),
                };
                fault = fault.take().or(put.err());
                self.may_send()
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            let more = !dropped.is_empty();
            for (handle, guarantee) in dropped {
                self.drop_delivery(handle, guarantee);
            }
            // Places in the window are free again.
            if !more || self.out.len() == before {
                self.seat.hall.flush();
            }
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn drop_delivery(&mut self, handle: Handle, guarantee: Guarantee) {
        let how = match guarantee {
            Guarantee::ExactlyOnce => Settlement::Refused,
            _ => Settlement::Acknowledged,
        };
        self.seat.ask(Request::Settle(handle, how));
    }

    /// Writes one delivery, lets it wait, or notes that it is to be dropped.
    fn deliver(&mut self, delivery: Delivery, now: Time, dropped: &mut Vec<(Handle, Guarantee)>) -> Result<(), String> {
        let message = &delivery.message;
        let (handle, asked) = (delivery.handle, delivery.guarantee);
        let mut drop = || dropped.extend((handle != 0).then_some((handle, asked)));
        let properties = message.envelope().properties.as_ref();
        let hops = properties.iter().flat_map(|said| &said.user).filter(|(name, _)| &**name == VIA);
        let goes_back = |node: &str| node == &*self.plan.node || self.peer.as_deref() == Some(node);
        let goes_round = hops.clone().any(|(_, node)| goes_back(node));
        if goes_round || hops.count() >= self.plan.settings.hops_max as usize {
            self.plan.figures.looped_total.add(1);
            drop();
            return Ok(());
        }
        let name = delivery.name.as_deref().unwrap_or(message.topic().as_str());
        let ways = || self.plan.outward.iter().enumerate();
        let chosen = ways().find(|(_, way)| delivery.identifiers.contains(&way.number));
        let named = |(route, way): (usize, &super::super::mapping::Way)| Some((route, way.outward(name)?));
        let Some((route, topic)) = chosen.and_then(named).or_else(|| ways().find_map(named)) else {
            // Queued under an earlier configuration.
            self.plan.figures.refused_total.add(1);
            drop();
            return Ok(());
        };
        self.outbox.next += 1;
        let order = self.outbox.next;
        let entry = Entry { order, route, topic: topic.into(), bytes: 0, item: delivery };
        let is_kept = entry.item.guarantee.min(self.bounds.guarantee_max) != Guarantee::AtMostOnce;
        if is_kept && self.outbox.held.blocks(&entry.topic) {
            self.outbox.held.put(entry);
            return Ok(());
        }
        let judgement = self.plan.suspects.borrow().judge(&entry.item);
        match judgement {
            Judgement::Send => {}
            Judgement::Aside(cuts, reason) => {
                self.put_aside(entry, cuts, &reason);
                return Ok(());
            }
            Judgement::Drop(reason) => {
                self.refused(Some(&entry), &reason);
                self.plan.suspects.borrow_mut().answered(handle);
                drop();
                return Ok(());
            }
        }
        if !self.write(entry, now)? {
            drop();
        }
        Ok(())
    }

    /// Lets one wait over which the other broker has ended connections.
    fn put_aside(&mut self, entry: Entry<Delivery>, cuts: u32, reason: &str) {
        let settings = &self.plan.settings;
        let [min, max] = [settings.retry_milliseconds_min, settings.retry_milliseconds_max].map(Duration::from_millis);
        let reason = format!("it ends the connection over a message to {}: {reason}", entry.topic);
        self.plan.note(&self.seat.hall, entry.route, RouteState::Stuck, &reason);
        self.outbox.is_stuck = true;
        self.outbox.held.put_aside(Instant::now() + suspects::wait(cuts, min, max), entry);
    }

    /// Writes a delivery; false: it is over with that.
    fn write(&mut self, entry: Entry<Delivery>, now: Time) -> Result<bool, String> {
        let delivery = &entry.item;
        let guarantee = delivery.guarantee.min(self.bounds.guarantee_max);
        let is_kept = guarantee != Guarantee::AtMostOnce;
        if entry.topic.len() > usize::from(u16::MAX) {
            self.refused(Some(&entry), "its topic there is longer than 65,535 bytes");
            return Ok(false);
        }
        let begin = self.out.len();
        let sent = Out {
            topic: entry.topic.to_string(),
            guarantee,
            retain: delivery.retain && self.bounds.retain,
            duplicate: delivery.duplicate && is_kept,
            handle: if is_kept { delivery.handle } else { 0 },
            message: &delivery.message,
            now,
            node: &self.plan.node,
        };
        self.codec.publish(sent, &mut self.out)?;
        if self.out.len() - begin > self.bounds.bytes_max as usize {
            self.out.truncate(begin);
            self.refused(Some(&entry), "the message is larger than its greatest packet");
            return Ok(false);
        }
        if !is_kept {
            self.plan.figures.sent_total.add(1);
            // It was to be more than that, and the other broker cannot take it: sent is done.
            return Ok(false);
        }
        self.outbox.sent.insert(delivery.handle, entry);
        Ok(true)
    }
}
