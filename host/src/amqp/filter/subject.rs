//! A message as filters see it.

use crate::amqp::sections::{Header, Id, Properties, RawValue, Sections};
use std::cmp::Ordering;

/// See the head of this file.
#[derive(Debug)]
pub struct Subject<'m> {
    pub header: Header,
    pub properties: Properties<'m>,
    pub sections: Sections<'m>,
}

/// A value that can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known<'m> {
    /// There is none.
    Absent,
    /// True or false.
    Bool(bool),
    /// A whole number of no more than 65 bits and a sign.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A string or a symbol.
    Text(&'m str),
    /// Bytes.
    Bytes(&'m [u8]),
    /// A UUID.
    Uuid([u8; 16]),
    /// Something that equals nothing.
    Other,
}

impl<'m> Subject<'m> {
    pub fn new(header: &Header, sections: &Sections<'m>) -> Self {
        Self { header: *header, properties: sections.properties(), sections: *sections }
    }
}

impl<'m> Known<'m> {
    /// What lies in the message.
    pub fn of(value: &RawValue<'m>) -> Self {
        if value.is_null() {
            return Self::Absent;
        }
        if let Some(flag) = value.as_bool() {
            return Self::Bool(flag);
        }
        if let Some(number) = value.as_integer().or_else(|| value.as_timestamp().map(i128::from)) {
            return Self::integer(number);
        }
        if let Some(number) = value.as_float() {
            return Self::Float(number);
        }
        if let Some(text) = value.as_str().or_else(|| value.as_symbol()) {
            return Self::Text(text);
        }
        if let Some(bytes) = value.as_binary() {
            return Self::Bytes(bytes);
        }
        value.as_uuid().map_or(Self::Other, Self::Uuid)
    }

    /// A whole number; one that is longer than all of AMQP is roughly right.
    pub fn integer(number: i128) -> Self {
        if number.unsigned_abs() >> 65 == 0 { Self::Integer(number) } else { Self::Float(number as f64) }
    }

    /// A text that may not be there.
    pub fn text(text: Option<&'m str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }

    /// A message id that may not be there.
    pub fn id(id: Option<Id<'m>>) -> Self {
        match id {
            None => Self::Absent,
            Some(Id::Ulong(number)) => Self::integer(number.into()),
            Some(Id::String(text)) => Self::Text(text),
            Some(Id::Binary(bytes)) => Self::Bytes(bytes),
            Some(Id::Uuid(uuid)) => Self::Uuid(uuid),
        }
    }

    /// Whether both are numbers, and how they lie to each other; or whether they are equal things of one other kind.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (*self, *other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Integer(a), Self::Float(b)) => order(a, b),
            (Self::Float(a), Self::Integer(b)) => order(b, a).map(Ordering::reverse),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            _ => None,
        }
    }

    /// Whether both are the same; none: they cannot be compared.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (*self, *other) {
            (Self::Text(a), Self::Text(b)) => Some(a == b),
            (Self::Bool(a), Self::Bool(b)) => Some(a == b),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a == b),
            (Self::Uuid(a), Self::Uuid(b)) => Some(a == b),
            _ => self.compare(other).map(|order| order.is_eq()),
        }
    }
}

/// How a whole number lies to any other. Not as floats, of which one stands for many whole numbers.
fn order(whole: i128, float: f64) -> Option<Ordering> {
    // What is too large for this type is cut to its ends, where no whole number of a message is.
    let other = float.trunc() as i128;
    if float.is_nan() {
        return None;
    }
    Some(whole.cmp(&other).then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
}
