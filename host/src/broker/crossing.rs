//! The other form of a message, where it crosses from one protocol to another. Made once a message, by the module that
//! translates, and remembered on it; a message that stays within its protocol never comes here.

use super::Broker;
use super::mailbox::{Mailbox, State};
use super::queued::Queued;
use super::route::{Route, Target};
use super::via;
use super::worker::Worker;
use crate::dialogue::Consignment;
use crate::message::{Bare, Envelope, FormMissing, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::sections::{Body, Encoding, Form, Value};
use crate::wasm::Chain;
use std::sync::Arc;

/// Entries of a queue that are looked at in one go: those behind are asked for when these are out.
const PAGE: usize = 256;
/// A body of bytes or of text that is longer is not copied into a guest, whose memory is bounded: the module sees an empty one, and
/// what it leaves empty has these bytes in the end.
const SHOWN_BYTES_MAX: usize = 1 << 20;
/// Bytes of all the rest of a message, and how many names it has, at which no module fails for lack of room or time. All that comes in
/// one packet of MQTT has room: 512 KiB of user properties, their places, and three properties of 64 KiB.
const REST_BYTES_MAX: usize = 768 << 10;
const PAIRS_MAX: usize = 2_048;

/// Why a message has no form on the other side.
enum Formless {
    /// It has none.
    Never(Refusal),
    /// The module that translates failed, or there is none.
    NotNow,
}

fn impossible(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotSupported, why.into())
}

fn not_translated() -> Refusal {
    impossible("no module translates this message, and others have to see it")
}

/// Takes out what is not copied into a guest.
fn long_body(body: &mut Body) -> Option<Vec<u8>> {
    match body {
        Body::Data(bytes) | Body::Value(Value::Binary(bytes)) if bytes.len() > SHOWN_BYTES_MAX => {
            Some(std::mem::take(bytes))
        }
        Body::Value(Value::Text(text)) if text.len() > SHOWN_BYTES_MAX => Some(std::mem::take(text).into_bytes()),
        _ => None,
    }
}

/// Whether a guest has room and time for a message without its payload.
fn is_translatable(pairs: usize, bytes: usize) -> Result<(), Refusal> {
    if pairs <= PAIRS_MAX && bytes <= REST_BYTES_MAX {
        return Ok(());
    }
    let reason = format!(
        "a message with {pairs} properties and {bytes} bytes beside its payload is not translated; up to {PAIRS_MAX} and \
         {REST_BYTES_MAX} are"
    );
    Err(Refusal::new(RefusalKind::QuotaExceeded, reason))
}

impl Broker {
    /// The message as modules see it.
    pub(super) fn shown(&self, worker: &mut Worker, message: &Message) -> Result<Message, Refusal> {
        self.cross(worker, message, false);
        message.in_form(false).cloned().map_err(|_| not_translated())
    }

    /// Makes the form of a message that a mailbox wants, and tells whether the mailbox wants the message.
    #[inline(always)]
    pub(super) fn prepare(&self, worker: &mut Worker, message: &Message, mailbox: &Mailbox) -> bool {
        self.cross(worker, message, mailbox.is_consumed());
        self.fits(worker, mailbox, message)
    }

    /// Whether a mailbox's condition holds for a message whose forms are made.
    #[inline(always)]
    pub(super) fn fits(&self, worker: &mut Worker, mailbox: &Mailbox, message: &Message) -> bool {
        match mailbox.predicate() {
            None => true,
            Some(predicate) => message.in_form(true).is_ok_and(|message| {
                worker.work += predicate.work(message);
                (predicate.test)(message, 0)
            }),
        }
    }

    /// Makes the forms of what waits first in a mailbox for a receiver. What has none as long as a module fails, or none
    /// translates, waits.
    pub(super) fn make_forms(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>, receiver: u64, now: Time) {
        let bare = mailbox.is_consumed();
        worker.refresh_for(self, &mailbox.lock().client.id.clone());
        let chain = worker.chain.clone();
        let missing: Vec<Message> = {
            let mut state = mailbox.lock();
            if state.is_paused(chain.delivery_generation(), now) {
                return;
            }
            let missing = |message: &&Message| matches!(message.in_form(bare), Err(FormMissing::NotYet));
            let under_way = state.window.unsent().take(PAGE).map(|flight| flight.queued.content());
            let mut found: Vec<Message> = under_way.filter(missing).cloned().collect();
            let queue = state.queue.range(state.begins_at(receiver, chain.delivery_generation())..);
            let waiting = state.replaying.replayed.iter().chain(queue).chain(&state.express);
            found.extend(waiting.take(PAGE).map(Queued::content).filter(missing).cloned());
            found
        };
        if missing.is_empty() {
            return;
        }
        for message in missing {
            self.cross(worker, &message, bare);
            if !matches!(message.in_form(bare), Err(FormMissing::NotYet)) {
                continue;
            }
            if self.is_given_up(&chain, mailbox, 0, &message, now) {
                message.set_crossed(None);
                continue;
            }
            let mut state = mailbox.lock();
            self.drop_formless(mailbox, &mut state, bare);
            return self.pause(&chain, mailbox, (&mut state, 0), Some(message), now);
        }
        mailbox.lock().pause = None;
    }

    /// Nobody was promised what is at-most-once.
    fn drop_formless(&self, mailbox: &Mailbox, state: &mut State, bare: bool) {
        let is_left = |queued: &Queued| {
            queued.guarantee != Guarantee::AtMostOnce
                || !matches!(queued.content().in_form(bare), Err(FormMissing::NotYet))
        };
        let mut dropped = 0;
        state.express.retain(|queued| {
            let is_left = is_left(queued);
            if !is_left {
                mailbox.count(queued, false);
                dropped += 1;
            }
            is_left
        });
        state.replaying.changed().into_iter().for_each(|replaying| replaying.replayed.retain(is_left));
        self.metrics.messages_dropped_total.add(dropped);
    }

    /// Makes the other form of a message, if that is the one that is wanted.
    #[inline(always)]
    pub(super) fn cross(&self, worker: &mut Worker, message: &Message, bare: bool) {
        if matches!(message.in_form(bare), Err(FormMissing::NotYet)) {
            // Whoever needs it finds out whether it is there.
            let _ = self.make_form(worker, message, bare);
        }
    }

    /// A message that came by AMQP and has, by the word of the module or for lack of one, no form for somebody who is to get
    /// it, is refused to a publisher that waits for an answer.
    #[inline(always)]
    pub(super) fn has_form(&self, worker: &mut Worker, message: &Message, route: &Route) -> Result<(), Refusal> {
        if message.as_bare().is_some_and(|bare| bare.handover != Guarantee::AtMostOnce) {
            self.has_form_for(worker, message, route)
        } else {
            Ok(())
        }
    }

    fn has_form_for(&self, worker: &mut Worker, message: &Message, route: &Route) -> Result<(), Refusal> {
        let crosses = |target: &Target| match target {
            Target::Single(single) => !single.mailbox.is_consumed(),
            Target::Group(group, ..) => group.mailboxes().iter().any(|mailbox| !mailbox.is_consumed()),
        };
        if message.in_form(false).is_ok() || !route.targets.iter().any(crosses) {
            return Ok(());
        }
        match self.make_form(worker, message, false) {
            Err(Formless::Never(refusal)) => Err(refusal),
            Err(Formless::NotNow) if !worker.chain.wants_translation() => Err(not_translated()),
            Err(Formless::NotNow) | Ok(()) => Ok(()),
        }
    }

    fn make_form(&self, worker: &mut Worker, message: &Message, bare: bool) -> Result<(), Formless> {
        let chain = worker.chain.clone();
        let failures = worker.guests.failures();
        let made = match bare {
            true => self.make_bare(worker, &chain, message),
            false => self.unwrap_bare(worker, &chain, message),
        };
        let topic = message.topic().as_str();
        match made {
            Ok(Some(made)) => {
                message.set_crossed(Some(made));
                Ok(())
            }
            Err(refusal) if worker.guests.failures() == failures => {
                tracing::debug!(topic, why = refusal.reason, "a message has no form on the other side");
                message.set_crossed(None);
                Err(Formless::Never(refusal))
            }
            Ok(None) | Err(_) => {
                tracing::debug!(topic, "a message has no form on the other side as long as no module translates it");
                Err(Formless::NotNow)
            }
        }
    }

    /// Writes the name under which a client knows a topic where the form made for all names the broker's. What came by AMQP
    /// stays as its publisher encoded it.
    pub(super) fn rename(&self, consignment: &mut Consignment) {
        if consignment.translated
            && let Some(name) = &consignment.name
            && let Some(renamed) = self.renamed(&consignment.message, name)
        {
            consignment.message = renamed;
        }
    }

    fn renamed(&self, message: &Message, name: &str) -> Option<Message> {
        let encoding = self.encoding.get()?;
        let bare = message.as_bare()?;
        let mut head = encoding.read(message.payload()).ok()?;
        // A module may have written something else there.
        head.to.take_if(|to| to == message.topic().as_str())?;
        head.to = Some(name.to_owned());
        let body = Some(std::mem::take(&mut head.body));
        let encoded = encoding.write(&Form { head, body }, &[]).ok()?;
        Some(Message::bare(message.envelope().clone(), bare, message.publisher(), &encoded))
    }

    fn make_bare(&self, worker: &mut Worker, chain: &Chain, message: &Message) -> Result<Option<Message>, Refusal> {
        let encoding = self.encoding.get().ok_or_else(|| impossible("nobody knows the encoding"))?;
        let name = message.topic().as_str();
        if let Some(properties) = &message.envelope().properties {
            is_translatable(properties.user.len(), properties.size())?;
        }
        let Some(mut form) = chain.to_amqp(&mut worker.guests, name, message)? else { return Ok(None) };
        via::to_annotation(message.envelope().properties.as_deref(), &mut form.head.message_annotations);
        // A duration has 32 bits there, which is 49 days; what lives longer says until when.
        if form.head.ttl == Some(u32::MAX) && form.head.absolute_expiry_time.is_none() {
            let expires = message.envelope().expires;
            form.head.absolute_expiry_time = expires.and_then(|at| i64::try_from(at.0).ok());
        }
        let encoded = encoding.write(&form, message.payload()).map_err(impossible)?;
        let bare = Bare {
            handover: message.envelope().guarantee,
            blank: message.is_blank(),
            durable: form.head.durable,
            priority: form.head.priority.unwrap_or(4),
        };
        Ok(Some(Message::bare(message.envelope().clone(), bare, message.publisher(), &encoded)))
    }

    fn unwrap_bare(&self, worker: &mut Worker, chain: &Chain, message: &Message) -> Result<Option<Message>, Refusal> {
        if super::sessions::is_private(message) {
            return Err(impossible("it is of a service of the broker's own"));
        }
        let encoding = self.encoding.get().ok_or_else(|| impossible("nobody knows the encoding"))?;
        let mut sections = encoding.read(message.payload()).map_err(impossible)?;
        let envelope = message.envelope();
        if let Some(bare) = message.as_bare() {
            sections.durable = bare.durable;
            sections.priority = Some(bare.priority);
        }
        sections.ttl = envelope.expires.map(|at| at.milliseconds_from(self.modules.now()));
        let long = long_body(&mut sections.body);
        is_translatable(sections.pairs(), sections.size())?;
        if sections.body.size() > SHOWN_BYTES_MAX {
            let reason = format!("a list or map of more than {SHOWN_BYTES_MAX} bytes is not translated");
            return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
        }
        let made = chain.from_amqp(&mut worker.guests, envelope.topic.as_str(), &sections)?;
        let Some(mut made) = made else { return Ok(None) };
        if let Some(properties) = &made.0.properties {
            // Whoever sees it next has no more room.
            is_translatable(properties.user.len(), properties.size())?;
        }
        if let Some(long) = long.filter(|_| made.1.is_empty()) {
            made.1 = long;
        }
        via::to_properties(&sections.message_annotations, &mut made.0.properties);
        // Where it goes and for how long was settled when it came.
        let envelope = Envelope { properties: made.0.properties, ..envelope.clone() };
        Ok(Some(Message::new(envelope, message.publisher(), &made.1)))
    }

    /// Says how messages stand on the wire of the protocol that keeps them bare. To be called once.
    pub fn lend_encoding(&self, encoding: Arc<dyn Encoding>) {
        // A second call would change nothing.
        let _ = self.encoding.set(encoding);
    }
}
