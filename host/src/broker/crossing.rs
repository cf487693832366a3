//! The other form of a message, where it crosses from one protocol to another. Made once a message, by the module that
//! translates, and remembered on it; a message that stays within its protocol never comes here.

use super::Broker;
use super::mailbox::Mailbox;
use super::queued::Queued;
use super::via;
use super::worker::Worker;
use crate::message::{Bare, Envelope, FormMissing, Message, Refusal, RefusalKind};
use crate::sections::{Body, Encoding};
use crate::wasm::Chain;
use std::sync::Arc;

/// Entries of a queue that are looked at in one go: those behind are asked for when these are out.
const PAGE: usize = 256;
/// A body of bytes that is longer is not copied into a guest, whose memory is bounded: the module sees an empty one, and what
/// it leaves empty has these bytes in the end.
const SHOWN_BYTES_MAX: usize = 1 << 20;

impl Broker {
    /// The message as modules see it.
    pub(super) fn shown(&self, worker: &mut Worker, message: &Message) -> Result<Message, Refusal> {
        self.cross(worker, message, false);
        message.in_form(false).cloned().map_err(|_| {
            Refusal::new(RefusalKind::NotSupported, "no module translates this message, and others have to see it")
        })
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
                (predicate.test)(message)
            }),
        }
    }

    /// Makes the forms of what waits first in a mailbox.
    pub(super) fn make_forms(&self, worker: &mut Worker, mailbox: &Arc<Mailbox>) {
        let bare = mailbox.is_consumed();
        let missing: Vec<Message> = {
            let mut state = mailbox.lock();
            let missing = |message: &&Message| matches!(message.in_form(bare), Err(FormMissing::NotYet));
            let under_way = state.window.unsent().take(PAGE).map(|flight| flight.queued.content());
            let mut found: Vec<Message> = under_way.filter(missing).cloned().collect();
            let waiting = state.replayed.iter().chain(&state.queue).chain(&state.express);
            found.extend(waiting.take(PAGE).map(Queued::content).filter(missing).cloned());
            found
        };
        worker.refresh(self);
        for message in missing {
            self.cross(worker, &message, bare);
        }
    }

    /// Makes the other form of a message, if that is the one that is wanted.
    #[inline(always)]
    pub(super) fn cross(&self, worker: &mut Worker, message: &Message, bare: bool) {
        if matches!(message.in_form(bare), Err(FormMissing::NotYet)) {
            self.make_form(worker, message, bare);
        }
    }

    fn make_form(&self, worker: &mut Worker, message: &Message, bare: bool) {
        let chain = worker.chain.clone();
        let made = match bare {
            true => self.make_bare(worker, &chain, message),
            false => self.unwrap_bare(worker, &chain, message),
        };
        if let Err(why) = &made {
            tracing::debug!(topic = message.topic().as_str(), why, "a message has no form on the other side");
        }
        message.set_crossed(made.ok());
    }

    fn make_bare(&self, worker: &mut Worker, chain: &Chain, message: &Message) -> Result<Message, String> {
        let encoding = self.encoding.get().ok_or("nobody knows the encoding")?;
        let name = message.topic().as_str();
        let form = chain.to_amqp(&mut worker.guests, name, message).map_err(|refusal| refusal.reason)?;
        let mut form = form.ok_or("no module translates")?;
        via::to_annotation(message.envelope().properties.as_deref(), &mut form.head.message_annotations);
        // A duration has 32 bits there, which is 49 days; what lives longer says until when.
        if form.head.ttl == Some(u32::MAX) && form.head.absolute_expiry_time.is_none() {
            let expires = message.envelope().expires;
            form.head.absolute_expiry_time = expires.and_then(|at| i64::try_from(at.0).ok());
        }
        let encoded = encoding.write(&form, message.payload())?;
        let bare = Bare {
            handover: message.envelope().guarantee,
            blank: message.is_blank(),
            durable: form.head.durable,
            priority: form.head.priority.unwrap_or(4),
        };
        Ok(Message::bare(message.envelope().clone(), bare, message.publisher(), &encoded))
    }

    fn unwrap_bare(&self, worker: &mut Worker, chain: &Chain, message: &Message) -> Result<Message, String> {
        if super::sessions::is_private(message.topic()) {
            return Err("it is of a service of the broker's own".to_owned());
        }
        let encoding = self.encoding.get().ok_or("nobody knows the encoding")?;
        let mut sections = encoding.read(message.payload())?;
        let envelope = message.envelope();
        if let Some(bare) = message.as_bare() {
            sections.durable = bare.durable;
            sections.priority = Some(bare.priority);
        }
        let long = match &mut sections.body {
            Body::Data(bytes) if bytes.len() > SHOWN_BYTES_MAX => Some(std::mem::take(bytes)),
            _ => None,
        };
        let made = chain.from_amqp(&mut worker.guests, envelope.topic.as_str(), &sections);
        let mut made = made.map_err(|refusal| refusal.reason)?.ok_or("no module translates")?;
        if let Some(long) = long.filter(|_| made.1.is_empty()) {
            made.1 = long;
        }
        via::to_properties(&sections.message_annotations, &mut made.0.properties);
        // Where it goes and for how long was settled when it came.
        let envelope = Envelope { properties: made.0.properties, ..envelope.clone() };
        Ok(Message::new(envelope, message.publisher(), &made.1))
    }

    /// Says how messages stand on the wire of the protocol that keeps them bare. To be called once.
    pub fn lend_encoding(&self, encoding: Arc<dyn Encoding>) {
        // A second call would change nothing.
        let _ = self.encoding.set(encoding);
    }
}
