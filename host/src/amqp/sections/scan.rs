//! Finds the sections of a message and holds them against the standard.

use super::header::Header;
use super::properties::Properties;
use crate::amqp::codec::check::{self, Budget};
use crate::amqp::codec::read::{Descriptor, Reader, Value};
use crate::amqp::condition::Error;
use crate::amqp::limits::Limits;
use crate::amqp::performative::{Bad, decode};
use std::borrow::Cow;

const HEADER: u8 = 0x70;
const DELIVERY_ANNOTATIONS: u8 = 0x71;
const MESSAGE_ANNOTATIONS: u8 = 0x72;
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
const SEQUENCE: u8 = 0x76;
const VALUE: u8 = 0x77;
const FOOTER: u8 = 0x78;

/// Where the sections of a message lie.
#[derive(Debug, Clone, Copy)]
pub struct Sections<'m> {
    all: &'m [u8],
    /// Where what is of this hop alone ends.
    kept_at: usize,
    /// Where the bare message begins and ends.
    bare: (usize, usize),
    /// Where the body begins and ends.
    body: (usize, usize),
    body_code: u8,
    header: Option<Value<'m>>,
    delivery_annotations: Option<Value<'m>>,
    message_annotations: Option<Value<'m>>,
    properties: Option<Value<'m>>,
    application_properties: Option<Value<'m>>,
    footer: Option<Value<'m>>,
}

/// The body of a message.
#[derive(Debug, Clone, Copy)]
pub enum Body<'m> {
    /// There is none. The standard wants one, but not all clients send it.
    Nothing,
    /// Bytes, in one section.
    Data(&'m [u8]),
    /// Bytes, in several sections.
    DataMany(Parts<'m>),
    /// Lists, in one or more sections.
    Sequence(Parts<'m>),
    /// One value.
    Value(Value<'m>),
}

/// The contents of sections of one kind that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'m>(Reader<'m>);

impl<'m> Iterator for Parts<'m> {
    type Item = Value<'m>;

    fn next(&mut self) -> Option<Value<'m>> {
        self.0.next()?.described().map(|(_, content)| content)
    }
}

impl<'m> Sections<'m> {
    /// Finds and checks all sections. Time is linear in the bytes.
    ///
    /// # Errors
    /// `amqp:decode-error`: what to reject the message with.
    pub fn scan(bytes: &'m [u8], limits: &Limits) -> Result<Self, Box<Error>> {
        let mut found = Self::nowhere(bytes);
        let mut at = 0;
        let mut last = 0;
        let mut count = 0;
        while at < bytes.len() {
            count += 1;
            if count > limits.sections_max {
                return Err(decode("a message has too many sections"));
            }
            let rest = &bytes[at..];
            let elements = limits.elements_max.saturating_add(u32::try_from(rest.len()).unwrap_or(u32::MAX));
            let mut budget = Budget { depth: limits.depth_max, elements };
            let length = check::value(rest, &mut budget).map_err(|found| decode(found.to_string()))?;
            let code = found.place(&rest[..length], at, last)?;
            at += length;
            last = code;
        }
        if found.body_code == 0 {
            found.body = (found.bare.1, found.bare.1);
        }
        Ok(found)
    }

    fn nowhere(all: &'m [u8]) -> Self {
        Self {
            all,
            kept_at: 0,
            bare: (0, 0),
            body: (0, 0),
            body_code: 0,
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: None,
            application_properties: None,
            footer: None,
        }
    }

    /// Puts a section that was checked where it belongs; its code.
    fn place(&mut self, raw: &'m [u8], at: usize, last: u8) -> Result<u8, Bad> {
        let value = Reader::new(raw).next().ok_or_else(stray)?;
        let (descriptor, content) = value.described().ok_or_else(stray)?;
        let code = code_of(descriptor).ok_or_else(stray)?;
        let end = at + raw.len();
        let repeats = code == last && matches!(code, DATA | SEQUENCE);
        let is_body = matches!(code, DATA | SEQUENCE | VALUE);
        if !(code > last || repeats) || (is_body && self.body_code != 0 && !repeats) {
            return Err(decode("the sections of a message are out of order, or one is there twice"));
        }
        match code {
            HEADER | DELIVERY_ANNOTATIONS | MESSAGE_ANNOTATIONS => {}
            _ if self.bare.1 == 0 && code != FOOTER => self.bare = (at, end),
            FOOTER if self.bare.1 == 0 => self.bare = (at, at),
            FOOTER => {}
            _ => self.bare.1 = end,
        }
        match code {
            HEADER => {
                Header::read(content)?;
                self.header = Some(content);
                self.kept_at = end;
            }
            DELIVERY_ANNOTATIONS => {
                check_annotations(content)?;
                self.delivery_annotations = Some(content);
                self.kept_at = end;
            }
            MESSAGE_ANNOTATIONS => {
                check_annotations(content)?;
                self.message_annotations = Some(content);
            }
            PROPERTIES => {
                Properties::read(content)?;
                self.properties = Some(content);
            }
            APPLICATION_PROPERTIES => {
                check_keys(content, |key| key.as_str().is_some())?;
                self.application_properties = Some(content);
            }
            FOOTER => {
                check_annotations(content)?;
                self.footer = Some(content);
            }
            _ => {
                let fits = match code {
                    DATA => content.as_binary().is_some(),
                    SEQUENCE => content.list().is_some(),
                    _ => true,
                };
                if !fits {
                    return Err(decode("a body section is not of its type"));
                }
                if self.body_code == 0 {
                    self.body.0 = at;
                }
                self.body_code = code;
                self.body.1 = end;
            }
        }
        Ok(code)
    }

    /// Header; what is not there has its default.
    pub fn header(&self) -> Header {
        self.header.and_then(|value| Header::read(value).ok()).unwrap_or_default()
    }

    /// Properties; all of them may be absent.
    pub fn properties(&self) -> Properties<'m> {
        self.properties.and_then(|value| Properties::read(value).ok()).unwrap_or_default()
    }

    /// Keys and values in turn: keys are strings.
    pub fn application_properties(&self) -> Pairs<'m> {
        Pairs::of(self.application_properties)
    }

    /// Keys and values in turn: keys are symbols or ulongs.
    pub fn message_annotations(&self) -> Pairs<'m> {
        Pairs::of(self.message_annotations)
    }

    /// Keys and values in turn: keys are symbols or ulongs.
    pub fn delivery_annotations(&self) -> Pairs<'m> {
        Pairs::of(self.delivery_annotations)
    }

    /// Keys and values in turn: keys are symbols or ulongs.
    pub fn footer(&self) -> Pairs<'m> {
        Pairs::of(self.footer)
    }

    /// The value of a message annotation.
    pub fn message_annotation(&self, name: &str) -> Option<Value<'m>> {
        self.message_annotations().find(|(key, _)| key.as_symbol() == Some(name)).map(|(_, value)| value)
    }

    /// The value of an application property.
    pub fn application_property(&self, name: &str) -> Option<Value<'m>> {
        self.application_properties().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    /// From the message annotations to the end: what a broker hands on as it came. Header and delivery annotations, which
    /// are of this hop, lie before it.
    pub fn kept(&self) -> &'m [u8] {
        &self.all[self.kept_at..]
    }

    /// All behind the message annotations.
    pub fn behind_annotations(&self) -> &'m [u8] {
        if self.bare.1 == 0 { &[] } else { &self.all[self.bare.0..] }
    }

    /// All behind the properties.
    pub fn behind_properties(&self) -> &'m [u8] {
        let rest = self.behind_annotations();
        let first = self.properties.and_then(|_| Reader::new(rest).next());
        first.map_or(rest, |properties| &rest[properties.raw.len()..])
    }

    /// The bare message (3.2): properties, application properties and body.
    pub fn bare(&self) -> &'m [u8] {
        &self.all[self.bare.0..self.bare.1]
    }

    /// All sections of the body with their constructors.
    pub fn encoded_body(&self) -> &'m [u8] {
        &self.all[self.body.0..self.body.1]
    }

    /// The body.
    pub fn body(&self) -> Body<'m> {
        let mut parts = Parts(Reader::new(self.encoded_body()));
        let again = parts;
        match (self.body_code, parts.next()) {
            (DATA, Some(first)) if parts.next().is_none() => Body::Data(first.as_binary().unwrap_or_default()),
            (DATA, _) => Body::DataMany(again),
            (SEQUENCE, _) => Body::Sequence(again),
            (VALUE, Some(value)) => Body::Value(value),
            _ => Body::Nothing,
        }
    }

    /// The body if it is one value.
    pub fn value(&self) -> Option<Value<'m>> {
        match self.body() {
            Body::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The body if it is bytes: of several sections one after the other.
    pub fn data(&self) -> Option<Cow<'m, [u8]>> {
        match self.body() {
            Body::Data(bytes) => Some(Cow::Borrowed(bytes)),
            Body::DataMany(parts) => {
                let bytes = parts.filter_map(|part| part.as_binary()).flatten().copied();
                Some(Cow::Owned(bytes.collect()))
            }
            Body::Nothing | Body::Sequence(_) | Body::Value(_) => None,
        }
    }
}

/// Keys and values of a map.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'m>(Reader<'m>);

impl<'m> Pairs<'m> {
    fn of(value: Option<Value<'m>>) -> Self {
        Self(value.and_then(|value| value.map()).unwrap_or(Reader::new(&[])))
    }
}

impl<'m> Iterator for Pairs<'m> {
    type Item = (Value<'m>, Value<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

fn stray() -> Bad {
    decode("something in a message is no section")
}

/// The number of a section. A name counts only if it is this name to the last letter.
fn code_of(descriptor: Descriptor<'_>) -> Option<u8> {
    match descriptor {
        Descriptor::Code(code) => u8::try_from(code).ok().filter(|code| (HEADER..=FOOTER).contains(code)),
        Descriptor::Name("amqp:header:list") => Some(HEADER),
        Descriptor::Name("amqp:delivery-annotations:map") => Some(DELIVERY_ANNOTATIONS),
        Descriptor::Name("amqp:message-annotations:map") => Some(MESSAGE_ANNOTATIONS),
        Descriptor::Name("amqp:properties:list") => Some(PROPERTIES),
        Descriptor::Name("amqp:application-properties:map") => Some(APPLICATION_PROPERTIES),
        Descriptor::Name("amqp:data:binary") => Some(DATA),
        Descriptor::Name("amqp:amqp-sequence:list") => Some(SEQUENCE),
        Descriptor::Name("amqp:amqp-value:*") => Some(VALUE),
        Descriptor::Name("amqp:footer:map") => Some(FOOTER),
        Descriptor::Name(_) => None,
    }
}

fn check_annotations(content: Value<'_>) -> Result<(), Bad> {
    check_keys(content, |key| key.as_symbol().is_some() || key.as_ulong().is_some())
}

fn check_keys(content: Value<'_>, fits: impl Fn(&Value<'_>) -> bool) -> Result<(), Bad> {
    let wrong = || decode("a section is no map, or has keys of a wrong type");
    let map = content.map().ok_or_else(wrong)?;
    if Pairs(map).all(|(key, _)| fits(&key)) { Ok(()) } else { Err(wrong()) }
}
