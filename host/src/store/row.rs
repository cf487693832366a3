//! The bytes of each row: encode next to decode, and the checksum that every row ends with.
//!
//! The checksum covers the table, the key and the row, so that a row which turns up in the wrong place is as
//! conspicuous as one that changed. Decoding never panics and trusts no length; whatever it does not understand is
//! [`Damage`].

use super::change::{Configured, MailboxRecord, ModuleRecord, Quarantined, QueueEntry, QueueRecord, WillRecord};
use super::encoding::{Damage, Decoder, bytes, number, option, text};
use super::tables::Table;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Notes, RetainHandling, SubscribeOptions, Subscription};
use crate::message::{Bare, Envelope, Guarantee, Message, Properties, Time, Will};
use crate::topic::{self, Filter, Topic};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of the checksum at the end of each row.
const CHECKSUM: usize = 8;

/// Something that stands in a row.
pub(super) trait Row<'a>: Sized {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what [`Row::encode`] wrote.
    fn decode(from: &mut Decoder<'a>) -> Result<Self, Damage>;
}

/// Makes the whole row, checksum included, in `out`, replacing what is there.
pub(super) fn seal<'a>(table: Table, key: &[u8], row: &impl Row<'a>, out: &mut Vec<u8>) {
    out.clear();
    row.encode(out);
    let checksum = checksum(table, key, out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Checks a row that was read and takes it apart.
pub(super) fn unseal<'a, R: Row<'a>>(table: Table, key: &[u8], row: &'a [u8]) -> Result<R, Damage> {
    let (content, sum) = row.split_last_chunk::<CHECKSUM>().ok_or(Damage("the row is too short"))?;
    if u64::from_le_bytes(*sum) != checksum(table, key, content) {
        return Err(Damage("the checksum is wrong"));
    }
    let mut decoder = Decoder::new(content);
    let value = R::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

fn checksum(table: Table, key: &[u8], content: &[u8]) -> u64 {
    xxh3_64(content) ^ xxh3_64_with_seed(key, table as u64 + 1)
}

/// A row that says all by being there.
impl Row<'_> for () {
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(())
    }
}

/// The format version.
impl Row<'_> for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, u64::from(*self));
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        from.small()
    }
}

/// A count.
impl Row<'_> for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, *self);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        from.number()
    }
}

/// A handle.
impl Row<'_> for u16 {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, u64::from(*self));
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        from.small()
    }
}

/// A component, the words of a condition, or a damaged row with its own old checksum.
impl<'a> Row<'a> for &'a [u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn decode(from: &mut Decoder<'a>) -> Result<Self, Damage> {
        Ok(from.rest())
    }
}

/// Ids below these may have been given to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    /// Mailboxes.
    pub mailbox: u64,
    /// Rows of the message log.
    pub log: u64,
}

impl Row<'_> for Counters {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, self.mailbox);
        number(out, self.log);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self { mailbox: from.number()?, log: from.number()? })
    }
}

impl Row<'_> for MailboxRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        self.client.encode(out);
        number(out, u64::from(self.expiry_seconds));
        option(out, self.detached, time);
        out.push(u8::from(self.per_subscription) | u8::from(!self.knows_options) << 1);
        number(out, self.sent_to);
        if let Some(container) = &self.client.container {
            text(out, container);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        let mut client = Client::decode(from)?;
        let (expiry_seconds, detached) = (from.small()?, from.option(read_time)?);
        let bits = from.byte()?;
        if bits > 3 {
            return Err(Damage("not a kind of session"));
        }
        let (per_subscription, knows_options) = (bits & 1 != 0, bits & 2 == 0);
        let sent_to = from.number()?;
        // Rows of earlier versions end here, as do those of clients that are no links of AMQP.
        client.container = if from.is_empty() { None } else { Some(from.text()?.into()) };
        Ok(Self { client: client.into(), expiry_seconds, detached, per_subscription, knows_options, sent_to })
    }
}

const PROTOCOLS: [Protocol; 4] = [Protocol::Mqtt, Protocol::Amqp, Protocol::Http, Protocol::Module];

impl Row<'_> for Client {
    fn encode(&self, out: &mut Vec<u8>) {
        text(out, &self.id);
        text(out, &self.scope.listener);
        choice(out, &PROTOCOLS, self.scope.protocol);
        option(out, self.scope.identity.as_deref(), text);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        let id = from.text()?.into();
        let listener = from.text()?.into();
        let protocol = read_choice(from, &PROTOCOLS)?;
        let identity = from.option(Decoder::text)?.map(Arc::from);
        let scope = Arc::new(Scope { listener, protocol, identity });
        Ok(Self { id, container: None, scope, peer: "".into() })
    }
}

const RETAIN_HANDLINGS: [RetainHandling; 3] = [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never];

impl Row<'_> for Subscription {
    fn encode(&self, out: &mut Vec<u8>) {
        let options = &self.options;
        text(out, self.filter.as_str());
        option(out, self.name.as_deref(), text);
        option(out, self.share.as_deref(), text);
        out.push(options.guarantee.level());
        out.push(u8::from(options.no_local));
        out.push(u8::from(options.retain_as_published));
        choice(out, &RETAIN_HANDLINGS, options.retain_handling);
        option(out, options.identifier.map(u64::from), number);
        if let Some(binder) = &self.binder {
            binder.encode(out);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            filter: Filter::new(from.text()?, &ANY_NAME).map_err(|_| Damage("not a topic filter"))?,
            name: from.option(Decoder::text)?.map(Box::from),
            share: from.option(Decoder::text)?.map(Box::from),
            options: SubscribeOptions {
                guarantee: read_guarantee(from)?,
                no_local: from.flag()?,
                retain_as_published: from.flag()?,
                retain_handling: read_choice(from, &RETAIN_HANDLINGS)?,
                identifier: from.option(Decoder::small)?,
            },
            // Rows of earlier versions end here.
            binder: if from.is_empty() { None } else { Some(Arc::new(Client::decode(from)?)) },
        })
    }
}

/// Names in the store were checked when they came in, under limits that may have been others.
const ANY_NAME: topic::Limits = topic::Limits { levels_max: usize::MAX, bytes_max: usize::MAX };

/// The message log. Neither the place in the log nor what a room made of the message for its own use is kept.
impl Row<'_> for Message {
    fn encode(&self, out: &mut Vec<u8>) {
        let envelope = self.envelope();
        text(out, envelope.topic.as_str());
        out.push(envelope.guarantee.level() | bare_bits(self.as_bare()));
        out.push(u8::from(envelope.retain));
        option(out, envelope.expires, time);
        option(out, envelope.properties.as_deref(), |out, properties| properties.encode(out));
        out.push(envelope.hops);
        number(out, self.publisher());
        if let Some(bare) = self.as_bare() {
            out.push(bare.priority);
        }
        bytes(out, self.payload());
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        let topic = Topic::new(from.text()?, &ANY_NAME).map_err(|_| Damage("not a topic"))?;
        let bits = from.byte()?;
        let mut bare = read_bare(bits)?;
        let envelope = Envelope {
            topic,
            guarantee: Guarantee::from_level(bits & 3).ok_or(Damage("not a guarantee"))?,
            retain: from.flag()?,
            expires: from.option(read_time)?,
            properties: from.option(Properties::decode)?.map(Box::new),
            hops: from.byte()?,
        };
        let publisher = from.number()?;
        if let Some(bare) = &mut bare {
            bare.priority = from.byte()?;
        }
        let payload = from.bytes()?;
        Ok(match bare {
            Some(bare) => Self::bare(envelope, bare, publisher, payload),
            None => Self::new(envelope, publisher, payload),
        })
    }
}

/// Beside the two bits of the guarantee: kept bare, blank, two bits of what the publisher was promised, durable.
fn bare_bits(bare: Option<Bare>) -> u8 {
    let bits = |bare: Bare| 0x80 | u8::from(bare.blank) << 6 | bare.handover.level() << 4 | u8::from(bare.durable) << 2;
    bare.map_or(0, bits)
}

fn read_bare(bits: u8) -> Result<Option<Bare>, Damage> {
    if bits & 0x80 == 0 {
        return if bits & !3 == 0 { Ok(None) } else { Err(Damage("not a guarantee")) };
    }
    let handover = Guarantee::from_level(bits >> 4 & 3).ok_or(Damage("not a guarantee"))?;
    Ok(Some(Bare { handover, blank: bits & 0x40 != 0, durable: bits & 4 != 0, priority: 4 }))
}

impl Row<'_> for Properties {
    fn encode(&self, out: &mut Vec<u8>) {
        option(out, self.content_type.as_deref(), text);
        option(out, self.payload_is_text, flag);
        option(out, self.response_topic.as_deref(), text);
        option(out, self.correlation_data.as_deref(), bytes);
        number(out, self.user.len() as u64);
        for (name, value) in &self.user {
            text(out, name);
            text(out, value);
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            content_type: from.option(Decoder::text)?.map(Box::from),
            payload_is_text: from.option(Decoder::flag)?,
            response_topic: from.option(Decoder::text)?.map(Box::from),
            correlation_data: from.option(Decoder::bytes)?.map(Box::from),
            user: from.list(|from| Ok((from.text()?.into(), from.text()?.into())))?,
        })
    }
}

impl Row<'_> for QueueEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, self.number);
        number(out, self.log_id);
        out.push(self.guarantee.level());
        out.push(u8::from(self.retain));
        option(out, self.name.as_deref(), text);
        number(out, self.identifiers.len() as u64);
        for identifier in &self.identifiers {
            number(out, u64::from(*identifier));
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            number: from.number()?,
            log_id: from.number()?,
            guarantee: read_guarantee(from)?,
            retain: from.flag()?,
            name: from.option(Decoder::text)?.map(Arc::from),
            identifiers: from.list(Decoder::small)?.into_iter().collect(),
        })
    }
}

/// What receivers did with an entry of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FailedRow<'a> {
    /// Attempts that failed.
    pub failures: u32,
    /// What they wrote on it. Rows of earlier versions end before, as those do on which nothing was written.
    pub notes: &'a [u8],
}

impl FailedRow<'_> {
    /// What was written, if anything.
    pub fn notes(&self) -> Option<Notes> {
        (!self.notes.is_empty()).then(|| Notes::new(self.notes.to_vec()))
    }
}

impl<'a> Row<'a> for FailedRow<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, u64::from(self.failures));
        out.extend_from_slice(self.notes);
    }
    fn decode(from: &mut Decoder<'a>) -> Result<Self, Damage> {
        Ok(Self { failures: from.small()?, notes: from.rest() })
    }
}

impl Row<'_> for QueueRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        option(out, self.dead_letters.as_deref(), text);
        option(out, self.failures_max.map(u64::from), number);
        option(out, self.messages_max, number);
        option(out, self.bytes_max, number);
        option(out, self.expiry_milliseconds, number);
        number(out, self.bindings.len() as u64);
        self.bindings.iter().for_each(|filter| text(out, filter));
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            dead_letters: from.option(Decoder::text)?.map(Box::from),
            failures_max: from.option(Decoder::small)?,
            messages_max: from.option(Decoder::number)?,
            bytes_max: from.option(Decoder::number)?,
            expiry_milliseconds: from.option(Decoder::number)?,
            bindings: from.list(|from| from.text().map(Box::from))?,
        })
    }
}

/// A retained message and when it was stored.
impl Row<'_> for (Message, Time) {
    fn encode(&self, out: &mut Vec<u8>) {
        time(out, self.1);
        self.0.encode(out);
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        let stored = read_time(from)?;
        Ok((Message::decode(from)?, stored))
    }
}

const DEPARTURES: [Departure; 8] = [
    Departure::Clean,
    Departure::ConnectionLost,
    Departure::KeepAliveExpired,
    Departure::ProtocolViolation,
    Departure::OnRequest,
    Departure::TakenOver,
    Departure::ClosedByBroker,
    Departure::BrokerDown,
];

impl Row<'_> for WillRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        self.owner.encode(out);
        self.will.message.encode(out);
        number(out, u64::from(self.will.delay_seconds));
        time(out, self.registered);
        option(out, self.due, |out, (at, departure)| {
            time(out, at);
            choice(out, &DEPARTURES, departure);
        });
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            owner: Arc::new(Client::decode(from)?),
            will: Will { message: Message::decode(from)?, delay_seconds: from.small()? },
            registered: read_time(from)?,
            due: from.option(|from| Ok((read_time(from)?, read_choice(from, &DEPARTURES)?)))?,
        })
    }
}

/// A version of a module without its component, which stands in a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionRow<'a> {
    pub name: &'a str,
    pub version: u64,
    pub digest: &'a str,
    pub config: &'a str,
    pub installed: Time,
    pub signature: Option<&'a str>,
    pub standing: Option<(i32, &'a str)>,
}

impl<'a> Row<'a> for VersionRow<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        text(out, self.name);
        number(out, self.version);
        text(out, self.digest);
        text(out, self.config);
        time(out, self.installed);
        if self.signature.is_some() || self.standing.is_some() {
            text(out, self.signature.unwrap_or_default());
        }
        if let Some((order, on_failure)) = self.standing {
            out.extend_from_slice(&order.to_le_bytes());
            text(out, on_failure);
        }
    }
    fn decode(from: &mut Decoder<'a>) -> Result<Self, Damage> {
        Ok(Self {
            name: from.text()?,
            version: from.number()?,
            digest: from.text()?,
            config: from.text()?,
            installed: read_time(from)?,
            // Rows of older brokers end here, or behind the signature.
            signature: if from.is_empty() { None } else { Some(from.text()?).filter(|text| !text.is_empty()) },
            standing: if from.is_empty() { None } else { Some((read_order(from)?, from.text()?)) },
        })
    }
}

const CONFIGURED: [Configured; 4] = [Configured::Unknown, Configured::Nothing, Configured::Off, Configured::On];

impl Row<'_> for ModuleRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        text(out, &self.name);
        option(out, self.active, number);
        out.extend_from_slice(&self.order.to_le_bytes());
        text(out, &self.on_failure);
        option(out, self.resting, number);
        choice(out, &CONFIGURED, self.configured);
        if let Some(former) = &self.former {
            number(out, former.len() as u64);
            former.iter().for_each(|version| number(out, *version));
            option(out, self.canary, |out, (version, percent)| {
                number(out, version);
                out.push(percent);
            });
            number(out, self.quarantined.len() as u64);
            for Quarantined { version, made_of, why } in &self.quarantined {
                number(out, *version);
                number(out, *made_of);
                text(out, why);
            }
        }
    }
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self {
            name: from.text()?.into(),
            active: from.option(Decoder::number)?,
            order: read_order(from)?,
            on_failure: from.text()?.into(),
            // Rows of older brokers end here, or behind the next ones.
            resting: if from.is_empty() { None } else { from.option(Decoder::number)? },
            configured: if from.is_empty() { Configured::Unknown } else { read_choice(from, &CONFIGURED)? },
            former: if from.is_empty() { None } else { Some(from.list(Decoder::number)?) },
            canary: if from.is_empty() { None } else { from.option(|from| Ok((from.number()?, from.byte()?)))? },
            quarantined: if from.is_empty() { Vec::new() } else { from.list(read_quarantined)? },
        })
    }
}

/// A value that a module keeps.
#[derive(Debug)]
pub(super) struct StateRow<'a> {
    pub module: &'a str,
    pub key: &'a str,
    pub value: &'a [u8],
    pub expires: Option<Time>,
}

impl<'a> Row<'a> for StateRow<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        text(out, self.module);
        text(out, self.key);
        bytes(out, self.value);
        option(out, self.expires, time);
    }
    fn decode(from: &mut Decoder<'a>) -> Result<Self, Damage> {
        Ok(Self { module: from.text()?, key: from.text()?, value: from.bytes()?, expires: from.option(read_time)? })
    }
}

fn read_quarantined(from: &mut Decoder<'_>) -> Result<Quarantined, Damage> {
    Ok(Quarantined { version: from.number()?, made_of: from.number()?, why: from.text()?.into() })
}

fn read_order(from: &mut Decoder<'_>) -> Result<i32, Damage> {
    from.take(4)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)).ok_or(Damage("no order"))
}

fn time(out: &mut Vec<u8>, value: Time) {
    number(out, value.0);
}

fn read_time(from: &mut Decoder<'_>) -> Result<Time, Damage> {
    from.number().map(Time)
}

fn flag(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

fn read_guarantee(from: &mut Decoder<'_>) -> Result<Guarantee, Damage> {
    Guarantee::from_level(from.byte()?).ok_or(Damage("not a guarantee"))
}

/// A word of a closed list is its place in that list. Every list here has all words of its type.
fn choice<T: Copy + PartialEq>(out: &mut Vec<u8>, words: &[T], word: T) {
    let place = words.iter().position(|other| *other == word).unwrap_or(words.len());
    out.push(u8::try_from(place).unwrap_or(u8::MAX));
}

fn read_choice<T: Copy>(from: &mut Decoder<'_>, words: &[T]) -> Result<T, Damage> {
    words.get(usize::from(from.byte()?)).copied().ok_or(Damage("not a word of the list"))
}
