//! A message as filters see it.

use crate::amqp::sections::{Header, Id, Properties, RawValue, Sections};

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
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string or a symbol.
    Text(&'m str),
    /// Bytes or a UUID.
    Bytes(&'m [u8]),
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
        if value.as_uuid().is_some() { Self::Bytes(value.body) } else { Self::Other }
    }

    /// A whole number of any width.
    pub fn integer(number: i128) -> Self {
        i64::try_from(number).map_or(Self::Float(number as f64), Self::Integer)
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
            Some(Id::Uuid(_)) => Self::Other,
        }
    }

    /// Whether both are numbers, and how they lie to each other; or whether they are equal things of one other kind.
    pub fn compare(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (*self, *other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Integer(a), Self::Float(b)) => (a as f64).partial_cmp(&b),
            (Self::Float(a), Self::Integer(b)) => a.partial_cmp(&(b as f64)),
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
            _ => self.compare(other).map(|order| order.is_eq()),
        }
    }
}
