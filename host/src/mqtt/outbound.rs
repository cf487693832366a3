//! The half that writes: events and deliveries become packets. It stands behind a lock of its caller's, and whoever has
//! something to say may say it.

use super::limits::Limits;
use super::long::{LONG, Long};
use super::packet::auth::{self, Auth};
use super::packet::connect::AnswerBounds;
use super::packet::control::{self, ConnAckProperties};
use super::packet::publish::{Parts, PropertyParts};
use super::packet::{Version, acknowledgement, text, writer};
use super::quota::Returned;
use super::reasons::{connect_reason, publish_reason, return_code, subscribe_reason, unsubscribe_reason};
use super::same::encoded;
use super::topic_alias::{Alias, OutgoingAliases};
use super::violation::Violation;
use crate::dialogue::{ASSIGNED_ID_BYTES, Attach, Attached, Closed, Delivery, Event, Outgoing, Routed};
use crate::message::{Guarantee, Message, Refusal, RefusalKind, Time};
use std::sync::Arc;

/// The half that writes.
#[derive(Debug)]
pub struct Outbound {
    stage: Stage,
    version: Version,
    wants_problem_information: bool,
    tell_unknown_identifiers: bool,
    acknowledge_unauthorized: bool,
    acknowledge_refused: bool,
    /// The longest packet that the client takes (MQTT-3.1.2-24).
    packet_bytes_max: u32,
    topic_alias_maximum: u16,
    returned: Arc<Returned>,
    aliases: Option<Box<OutgoingAliases>>,
    rare: Option<Box<Rare>>,
}

/// What few clients have.
#[derive(Debug, Default)]
struct Rare {
    /// The method of the exchange that CONNECT began, by which the client proves who it is.
    method: Option<Arc<str>>,
    /// A message that is being written.
    long: Option<Long>,
}

#[derive(Debug)]
enum Stage {
    /// No version is known, or everything was said.
    Mute,
    /// CONNACK is still to come; what to say in it, if CONNECT was a good one.
    Connecting(Option<Box<Greeting>>),
    /// CONNACK was written.
    Connected,
}

/// What CONNECT said that matters to this half.
#[derive(Debug)]
pub(super) struct Greeting {
    pub limits: Arc<Limits>,
    /// The keep-alive time, if it is not the one that the client asked for.
    pub server_keep_alive: Option<u16>,
    /// What the client asked for.
    pub expiry_seconds: u32,
    pub wants_response_information: bool,
    pub wants_problem_information: bool,
    pub packet_bytes_max: u32,
    pub topic_alias_maximum: u16,
    pub authentication_method: Option<Arc<str>>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It was written.
    Whole,
    /// It was begun, and goes on by [`Outbound::go_on`]; no other delivery may come before that is over.
    Begun,
    /// It was left out, since it exceeds the client's maximum packet size; the delivery is to be treated as completed
    /// (MQTT-3.1.2-24, -25).
    TooLarge,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It was written.
    Said,
    /// The connection must be closed after what was written: the event says so, or the client's version or its bound on
    /// packets has no way to say it.
    MustClose,
}

impl Outbound {
    pub(super) fn new(version: Version, greeting: Box<Greeting>, returned: Arc<Returned>) -> Self {
        Self {
            version,
            wants_problem_information: greeting.wants_problem_information,
            acknowledge_unauthorized: greeting.limits.acknowledge_unauthorized,
            acknowledge_refused: greeting.limits.acknowledge_refused,
            tell_unknown_identifiers: greeting.limits.tell_unknown_identifiers && version == Version::V5,
            packet_bytes_max: greeting.packet_bytes_max,
            topic_alias_maximum: greeting.topic_alias_maximum,
            rare: greeting
                .authentication_method
                .clone()
                .map(|method| Box::new(Rare { method: Some(method), long: None })),
            stage: Stage::Connecting(Some(greeting)),
            returned,
            aliases: None,
        }
    }

    /// For a CONNECT that broke a rule.
    pub(super) fn refusing(version: Version, bounds: AnswerBounds) -> Self {
        Self {
            stage: Stage::Connecting(None),
            version,
            packet_bytes_max: bounds.packet_bytes_max,
            wants_problem_information: bounds.wants_problem_information,
            ..Self::mute()
        }
    }

    /// For a client that said nothing it could be answered.
    pub(super) fn mute() -> Self {
        Self {
            stage: Stage::Mute,
            version: Version::V311,
            wants_problem_information: true,
            acknowledge_unauthorized: false,
            acknowledge_refused: false,
            tell_unknown_identifiers: false,
            packet_bytes_max: u32::MAX,
            topic_alias_maximum: 0,
            rare: None,
            returned: Arc::default(),
            aliases: None,
        }
    }

    /// Writes what an event means: CONNACK, AUTH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK or DISCONNECT.
    #[inline]
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) -> Outcome {
        if self.is_amid() {
            return self.behind(|this, out| this.event(event, out));
        }
        match event {
            Event::Published { handle, guarantee, outcome } => self.published(*handle, *guarantee, outcome, out),
            Event::Released(handle, known) => {
                self.returned.give_back();
                acknowledgement::write(out, 0x70, *handle, self.unknown(*known));
                Outcome::Said
            }
            Event::Release(handle, known) => {
                acknowledgement::write(out, 0x62, *handle, self.unknown(*known));
                Outcome::Said
            }
            Event::Attached(attached) => self.attached(attached, out),
            Event::Refused(refusal) => self.refused(refusal, out),
            Event::Challenge(data) => self.auth(0x18, Some(data), out),
            Event::Authenticated(data) => self.auth(0x00, data.as_deref(), out),
            Event::Subscribed { handle, granted } => self.subscribed(*handle, granted, out),
            Event::Unsubscribed { handle, removed } => self.unsubscribed(*handle, removed, out),
            Event::Closed(closed) => self.closed(closed, out),
        }
    }

    /// Writes a PINGRESP.
    pub fn pong(&mut self, out: &mut Vec<u8>) {
        self.reply(&[0xD0, 0], out);
    }

    /// Writes what the other half has answered by itself.
    pub fn reply(&mut self, packet: &[u8], out: &mut Vec<u8>) {
        if self.is_amid() {
            return self.behind(|_, out| out.extend_from_slice(packet));
        }
        out.extend_from_slice(packet);
    }

    /// Whether a delivery was begun and is not over.
    #[inline]
    pub fn is_amid(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.long.is_some())
    }

    /// Writes what has to wait until a delivery is over.
    #[cold]
    fn behind<T>(&mut self, write: impl FnOnce(&mut Self, &mut Vec<u8>) -> T) -> T {
        let mut long = self.rare.as_mut().and_then(|rare| rare.long.take());
        let mut behind = long.as_mut().map(|long| std::mem::take(&mut long.behind)).unwrap_or_default();
        let written = write(self, &mut behind);
        if let (Some(mut long), Some(rare)) = (long, &mut self.rare) {
            long.behind = behind;
            rare.long = Some(long);
        }
        written
    }

    /// Goes on with a delivery that was begun, until `out` has `enough` bytes; true: there is more of it.
    #[inline]
    pub fn go_on(&mut self, enough: usize, out: &mut Vec<u8>) -> bool {
        self.is_amid() && self.write_more(enough, out)
    }

    /// What comes next of a delivery that was begun, where it lies; none: nothing does.
    pub fn rest(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.long.as_ref()?.rest()
    }

    /// So much of that was written.
    pub fn has_written(&mut self, count: usize) {
        if let Some(long) = self.rare.as_mut().and_then(|rare| rare.long.as_mut()) {
            long.has_written(count);
        }
    }

    #[cold]
    fn write_more(&mut self, enough: usize, out: &mut Vec<u8>) -> bool {
        let Some(rare) = &mut self.rare else { return false };
        if rare.long.as_mut().is_some_and(|long| long.go_on(enough, out)) {
            return true;
        }
        if let Some(mut long) = rare.long.take() {
            out.append(&mut long.behind);
        }
        if rare.method.is_none() {
            self.rare = None;
        }
        false
    }

    /// Writes a PUBLISH, or a PUBREL that is sent again.
    #[inline]
    pub fn deliver(&mut self, now: Time, outgoing: &Outgoing, out: &mut Vec<u8>) -> Written {
        match outgoing {
            Outgoing::Release(handle) => {
                acknowledgement::write(out, 0x62, *handle, 0);
                Written::Whole
            }
            Outgoing::Deliver(delivery) if self.version == Version::V5 => self.deliver_v5(now, delivery, out),
            Outgoing::Deliver(delivery) => self.write(&delivery.message, &parts(delivery, None), out),
        }
    }

    fn deliver_v5(&mut self, now: Time, delivery: &Delivery, out: &mut Vec<u8>) -> Written {
        let message = &delivery.message;
        let properties = PropertyParts {
            encoded: encoded(message),
            expiry_seconds: message.expiry_seconds(now),
            alias: 0,
            identifiers: &delivery.identifiers,
        };
        let parts = parts(delivery, Some(properties));
        match self.topic_alias_maximum {
            0 => self.write(message, &parts, out),
            _ => self.write_aliased(delivery, parts, out),
        }
    }

    fn write_aliased(&mut self, delivery: &Delivery, mut parts: Parts<'_>, out: &mut Vec<u8>) -> Written {
        let maximum = self.topic_alias_maximum;
        let found = self.aliases.get_or_insert_with(|| Box::new(OutgoingAliases::new(maximum))).find(parts.topic);
        let (alias, topic) = match found {
            Alias::Known(alias) => (alias, ""),
            Alias::New(alias) => (alias, parts.topic),
            Alias::None => return self.write(&delivery.message, &parts, out),
        };
        let whole = std::mem::replace(&mut parts.topic, topic);
        if let Some(properties) = &mut parts.properties {
            properties.alias = alias;
        }
        let written = self.write(&delivery.message, &parts, out);
        if written != Written::TooLarge {
            if let (Alias::New(alias), Some(aliases)) = (found, &mut self.aliases) {
                let topic = delivery.name.clone().unwrap_or_else(|| delivery.message.topic().clone().into());
                aliases.set(alias, topic);
            }
            return written;
        }
        // A new alias makes the packet longer; without it, it may still fit.
        parts.topic = whole;
        if let Some(properties) = &mut parts.properties {
            properties.alias = 0;
        }
        match found {
            Alias::New(_) => self.write(&delivery.message, &parts, out),
            Alias::Known(_) | Alias::None => written,
        }
    }

    #[inline]
    fn write(&mut self, message: &Message, parts: &Parts<'_>, out: &mut Vec<u8>) -> Written {
        let remaining = parts.remaining();
        let total = 1 + writer::variable_len(remaining) + remaining;
        if total > self.packet_bytes_max as usize {
            return Written::TooLarge;
        }
        if remaining > LONG {
            return self.begin(message, parts, remaining, out);
        }
        parts.write(remaining, out);
        Written::Whole
    }

    #[cold]
    fn begin(&mut self, message: &Message, parts: &Parts<'_>, remaining: usize, out: &mut Vec<u8>) -> Written {
        if remaining > writer::VARIABLE_MAX {
            return Written::TooLarge;
        }
        parts.write_head(remaining, out);
        let long = Long::new(message.clone(), parts.properties.is_some());
        self.rare.get_or_insert_default().long = Some(long);
        Written::Begun
    }

    /// Writes the last packet before the close. Before CONNACK: a CONNACK with a code, where the version has one that
    /// fits. After it: DISCONNECT in 5.0, nothing before.
    pub fn violation(&mut self, violation: &Violation, out: &mut Vec<u8>) {
        if self.is_amid() {
            return self.behind(|this, out| this.violation(violation, out));
        }
        let words = violation.to_string();
        match std::mem::replace(&mut self.stage, Stage::Mute) {
            // Which of the two answers a client of an unknown version understands can only be guessed: a level that
            // exists, with the wrong name, is answered in 3.1.1's form, others in that of 5.0 (MQTT-3.1.2-2).
            Stage::Mute if *violation == Violation::ProtocolMismatch => control::connack(false, 1, out),
            Stage::Mute if *violation == Violation::ProtocolLevel => {
                control::connack_v5(false, 0x84, ConnAckProperties::new(), out);
            }
            Stage::Mute => {}
            Stage::Connecting(_) if self.version == Version::V5 => {
                self.refuse_v5(violation.connect_reason(), &words, out);
            }
            Stage::Connecting(_) => {
                if let Some(code) = violation.return_code() {
                    control::connack(false, code, out);
                }
            }
            Stage::Connected if self.version == Version::V5 => self.disconnect(violation.reason(), Some(&words), out),
            Stage::Connected => {}
        }
    }

    fn unknown(&self, known: bool) -> u8 {
        if known || !self.tell_unknown_identifiers { 0 } else { 0x92 }
    }

    #[inline]
    fn published(
        &mut self,
        handle: u16,
        guarantee: Guarantee,
        outcome: &Result<Routed, Refusal>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let first = if guarantee == Guarantee::ExactlyOnce { 0x50 } else { 0x40 };
        match outcome {
            Ok(routed) => {
                if guarantee != Guarantee::ExactlyOnce {
                    self.returned.give_back();
                }
                let nobody = *routed == Routed::NoSubscriber && self.version == Version::V5;
                acknowledgement::write(out, first, handle, if nobody { 0x10 } else { 0 });
                Outcome::Said
            }
            Err(refusal) if self.version < Version::V5 && self.acknowledges(refusal.kind) => {
                if guarantee != Guarantee::ExactlyOnce {
                    self.returned.give_back();
                }
                acknowledgement::write(out, first, handle, 0);
                Outcome::Said
            }
            Err(_) if self.version < Version::V5 => Outcome::MustClose, // there is no negative acknowledgement
            Err(refusal) => {
                if guarantee == Guarantee::ExactlyOnce {
                    self.returned.give_back_refused(handle);
                } else {
                    self.returned.give_back();
                }
                let reason = publish_reason(refusal.kind);
                self.with_words(refusal, out, |words, out| match words {
                    Some(words) => acknowledgement::write_with_text(out, first, handle, reason, words),
                    None => acknowledgement::write(out, first, handle, reason),
                })
            }
        }
    }

    /// Whether a client that cannot be told no is told yes, and the message is dropped (3.1.1, MQTT-3.3.5-2).
    fn acknowledges(&self, refused: RefusalKind) -> bool {
        match refused {
            RefusalKind::NotAuthorized => self.acknowledge_unauthorized,
            RefusalKind::PayloadInvalid | RefusalKind::TopicInvalid | RefusalKind::NotSupported => {
                self.acknowledge_refused
            }
            // It may be taken the next time.
            _ => false,
        }
    }

    /// Writes CONNACK. If the client does not take a packet of that length, nothing else can be said to it either.
    fn attached(&mut self, attached: &Attached, out: &mut Vec<u8>) -> Outcome {
        let Stage::Connecting(Some(greeting)) = std::mem::replace(&mut self.stage, Stage::Connected) else {
            return Outcome::MustClose;
        };
        if self.version < Version::V5 {
            // MQTT 3.1 has no session present flag.
            control::connack(attached.resumed && self.version > Version::V31, 0, out);
            return Outcome::Said;
        }
        let information = &greeting.limits.response_information;
        let information = Some(information).filter(|text| greeting.wants_response_information && !text.is_empty());
        let assigned = attached.assigned.then_some(&*attached.client.id);
        let write = |information: Option<&String>, out: &mut Vec<u8>| {
            let proof = attached.proof.as_deref();
            let mut properties = self.granted(&greeting, attached.expiry_seconds, assigned, proof);
            properties.response_information = information.cloned();
            control::connack_v5(attached.resumed, 0, properties, out);
        };
        let mut outcome = self.bounded(out, |out| write(information, out));
        // It may be left out (MQTT 5.0, 3.2.2.3.15).
        if outcome == Outcome::MustClose && information.is_some() {
            outcome = self.bounded(out, |out| write(None, out));
        }
        if outcome == Outcome::MustClose {
            self.stage = Stage::Mute;
        }
        outcome
    }

    /// Whether the client takes the CONNACK by which it would hear that it is in [MQTT-3.1.2-24]. Asked before anything is done
    /// for it; the hall grants it a session of `expiry_seconds`.
    pub fn may_accept(&self, attach: &Attach, expiry_seconds: u32) -> bool {
        let Stage::Connecting(Some(greeting)) = &self.stage else { return true };
        if self.version < Version::V5 || self.packet_bytes_max == u32::MAX {
            return true;
        }
        let assigned = attach.client.id.is_empty().then(|| "-".repeat(ASSIGNED_ID_BYTES));
        let properties = self.granted(greeting, expiry_seconds, assigned.as_deref(), attach.proof.as_deref());
        self.bounded(&mut Vec::new(), |out| control::connack_v5(false, 0, properties, out)) == Outcome::Said
    }

    /// What a CONNACK that says yes cannot do without.
    fn granted(
        &self,
        greeting: &Greeting,
        expiry_seconds: u32,
        assigned: Option<&str>,
        proof: Option<&[u8]>,
    ) -> ConnAckProperties {
        let limits = &greeting.limits;
        let mut properties = ConnAckProperties::new();
        if expiry_seconds != greeting.expiry_seconds {
            properties.session_expiry_interval = Some(expiry_seconds);
        }
        if limits.receive_maximum != u16::MAX {
            properties.receive_max = Some(limits.receive_maximum);
        }
        properties.max_packet_size = Some(limits.packet_bytes_max);
        if limits.topic_alias_maximum > 0 {
            properties.topic_alias_max = Some(limits.topic_alias_maximum);
        }
        properties.assigned_client_identifier = assigned.map(str::to_owned);
        properties.server_keep_alive = greeting.server_keep_alive;
        properties.authentication_method = self.method().map(str::to_owned);
        properties.authentication_data = proof.map(|data| data.to_vec().into());
        properties
    }

    fn method(&self) -> Option<&str> {
        self.rare.as_ref()?.method.as_deref()
    }

    /// Writes AUTH, or why the exchange ends where the client does not take one of that length.
    fn auth(&mut self, reason: u8, data: Option<&[u8]>, out: &mut Vec<u8>) -> Outcome {
        let method = self.method();
        let outcome = self.bounded(out, |out| auth::write(&Auth { reason, method, data }, out));
        if outcome == Outcome::MustClose {
            self.violation(&Violation::WelcomeTooLarge, out);
        }
        outcome
    }

    fn refused(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Outcome {
        let stage = std::mem::replace(&mut self.stage, Stage::Mute);
        if !matches!(stage, Stage::Connecting(_)) {
            return Outcome::MustClose;
        }
        if self.version == Version::V5 {
            self.refuse_v5(connect_reason(refusal.kind), &refusal.reason, out);
        } else {
            control::connack(false, return_code(self.version, refusal.kind), out);
        }
        Outcome::MustClose
    }

    /// A CONNACK of 5.0 that says no, with words if they fit.
    fn refuse_v5(&self, reason: u8, words: &str, out: &mut Vec<u8>) {
        let write = |words: Option<&str>, out: &mut Vec<u8>| {
            let mut properties = ConnAckProperties::new();
            properties.reason_string = words.map(control::cut);
            control::connack_v5(false, reason, properties, out);
        };
        let words = Some(words).filter(|words| self.wants_words(words));
        if self.bounded(out, |out| write(words, out)) == Outcome::MustClose {
            let _ = self.bounded(out, |out| write(None, out));
        }
    }

    fn disconnect(&self, reason: u8, words: Option<&str>, out: &mut Vec<u8>) {
        let words = words.filter(|words| self.wants_words(words));
        if self.bounded(out, |out| control::disconnect(reason, words, None, out)) == Outcome::MustClose {
            let _ = self.bounded(out, |out| control::disconnect(reason, None, None, out));
        }
    }

    /// DISCONNECT, or CONNACK where that is still to come.
    fn closed(&mut self, closed: &Closed, out: &mut Vec<u8>) -> Outcome {
        let reason = match closed {
            Closed::TakenOver => 0x8E,
            Closed::ByOperator | Closed::Deleted => 0x98,
            Closed::Elsewhere(to) if to.permanent => 0x9D,
            Closed::Elsewhere(_) => 0x9C,
            Closed::ShuttingDown => 0x8B,
            Closed::HandleMisused => 0x82,
            Closed::QuotaExceeded => 0x97,
            Closed::MessageTooLarge => 0x95,
            Closed::NotAuthorized(_) => 0x87,
        };
        let words = match closed {
            Closed::HandleMisused => "PUBACK answers QoS 1, PUBREC and then PUBCOMP answer QoS 2",
            Closed::QuotaExceeded => "the broker has no memory for more of this",
            Closed::NotAuthorized(why) => why,
            _ => "",
        };
        let server = match closed {
            Closed::Elsewhere(to) if !to.server.is_empty() && text::is_text(&to.server) => Some(&*to.server),
            _ => None,
        };
        match std::mem::replace(&mut self.stage, Stage::Mute) {
            Stage::Connected if self.version == Version::V5 => self.depart(reason, words, server, out),
            Stage::Connecting(_) if !matches!(closed, Closed::Elsewhere(_)) => {}
            Stage::Connecting(_) if self.version == Version::V5 => self.turn_away(reason, server, out),
            // It may come back, or try the next server that it knows.
            Stage::Connecting(_) => control::connack(false, 3, out),
            Stage::Connected | Stage::Mute => {}
        }
        Outcome::MustClose
    }

    /// A DISCONNECT, without what does not fit.
    fn depart(&self, reason: u8, words: &str, server: Option<&str>, out: &mut Vec<u8>) {
        let Some(server) = server else { return self.disconnect(reason, Some(words), out) };
        if self.bounded(out, |out| control::disconnect(reason, None, Some(server), out)) == Outcome::MustClose {
            self.disconnect(reason, None, out);
        }
    }

    /// A CONNACK, likewise.
    fn turn_away(&self, reason: u8, server: Option<&str>, out: &mut Vec<u8>) {
        let mut properties = ConnAckProperties::new();
        properties.server_reference = server.map(str::to_owned);
        if self.bounded(out, |out| control::connack_v5(false, reason, properties, out)) == Outcome::MustClose {
            let _ = self.bounded(out, |out| control::connack_v5(false, reason, ConnAckProperties::new(), out));
        }
    }

    fn subscribed(&self, handle: u16, granted: &[Result<Guarantee, Refusal>], out: &mut Vec<u8>) -> Outcome {
        let reason = |grant: &Result<Guarantee, Refusal>| match (grant, self.version) {
            (Ok(guarantee), _) => guarantee.level(),
            (Err(refusal), Version::V5) => subscribe_reason(refusal.kind),
            (Err(_), Version::V311) => 0x80,
            (Err(_), Version::V31) => 0, // 3.1 has no word for no
        };
        let reasons: Vec<u8> = granted.iter().map(reason).collect();
        let version = self.version;
        match granted.iter().find_map(|grant| grant.as_ref().err()) {
            Some(refusal) if version == Version::V5 => {
                self.with_words(refusal, out, |words, out| control::suback(version, handle, &reasons, words, out))
            }
            _ => self.bounded(out, |out| control::suback(version, handle, &reasons, None, out)),
        }
    }

    fn unsubscribed(&self, handle: u16, removed: &[Result<bool, Refusal>], out: &mut Vec<u8>) -> Outcome {
        let reason = |removed: &Result<bool, Refusal>| match removed {
            Ok(true) => 0x00,
            Ok(false) => 0x11,
            Err(refusal) => unsubscribe_reason(refusal.kind),
        };
        let reasons: Vec<u8> = removed.iter().map(reason).collect();
        let version = self.version;
        match removed.iter().find_map(|removed| removed.as_ref().err()) {
            Some(refusal) if version == Version::V5 => {
                self.with_words(refusal, out, |words, out| control::unsuback(version, handle, &reasons, words, out))
            }
            _ => self.bounded(out, |out| control::unsuback(version, handle, &reasons, None, out)),
        }
    }

    /// Writes a packet with a refusal's words, or without if the client did not ask for them (MQTT-3.1.2-29) or takes no
    /// packet of that length (MQTT-3.4.2-2 and the like).
    fn with_words(&self, refusal: &Refusal, out: &mut Vec<u8>, write: impl Fn(Option<&str>, &mut Vec<u8>)) -> Outcome {
        let cut = control::cut(&refusal.reason);
        if self.wants_words(&cut) && self.bounded(out, |out| write(Some(&cut), out)) == Outcome::Said {
            return Outcome::Said;
        }
        self.bounded(out, |out| write(None, out))
    }

    fn wants_words(&self, words: &str) -> bool {
        self.wants_problem_information && !words.is_empty() && text::is_text(words)
    }

    /// Takes a packet back if the client does not take one of its length (MQTT-3.1.2-24), or none was written.
    fn bounded(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        let start = out.len();
        write(out);
        let length = out.len() - start;
        if length > 0 && length <= self.packet_bytes_max as usize {
            return Outcome::Said;
        }
        out.truncate(start);
        Outcome::MustClose
    }
}

#[inline]
fn parts<'a>(delivery: &'a Delivery, properties: Option<PropertyParts<'a>>) -> Parts<'a> {
    let duplicate = delivery.duplicate && delivery.guarantee != Guarantee::AtMostOnce; // MQTT-3.3.1-2
    Parts {
        first: 0x30 | u8::from(duplicate) << 3 | delivery.guarantee.level() << 1 | u8::from(delivery.retain),
        topic: delivery.name.as_deref().unwrap_or_else(|| delivery.message.topic().as_str()),
        handle: if delivery.guarantee == Guarantee::AtMostOnce { 0 } else { delivery.handle },
        properties,
        payload: delivery.message.payload(),
    }
}
