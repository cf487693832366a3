//! MQTT 5.0 properties: identifiers (2.2.2.2), values, bytes.
#![allow(dead_code)] // The table is whole, whichever of it the rows use.

/// Payload Format Indicator, byte.
pub const PAYLOAD_FORMAT: u8 = 0x01;
/// Message Expiry Interval, four bytes.
pub const MESSAGE_EXPIRY: u8 = 0x02;
/// Content Type, text.
pub const CONTENT_TYPE: u8 = 0x03;
/// Response Topic, text.
pub const RESPONSE_TOPIC: u8 = 0x08;
/// Correlation Data, binary.
pub const CORRELATION_DATA: u8 = 0x09;
/// Subscription Identifier, variable byte integer.
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
/// Session Expiry Interval, four bytes.
pub const SESSION_EXPIRY: u8 = 0x11;
/// Assigned Client Identifier, text.
pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
/// Server Keep Alive, two bytes.
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
/// Authentication Method, text.
pub const AUTHENTICATION_METHOD: u8 = 0x15;
/// Authentication Data, binary.
pub const AUTHENTICATION_DATA: u8 = 0x16;
/// Request Problem Information, byte.
pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
/// Will Delay Interval, four bytes.
pub const WILL_DELAY: u8 = 0x18;
/// Request Response Information, byte.
pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
/// Response Information, text.
pub const RESPONSE_INFORMATION: u8 = 0x1A;
/// Server Reference, text.
pub const SERVER_REFERENCE: u8 = 0x1C;
/// Reason String, text.
pub const REASON_STRING: u8 = 0x1F;
/// Receive Maximum, two bytes.
pub const RECEIVE_MAXIMUM: u8 = 0x21;
/// Topic Alias Maximum, two bytes.
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
/// Topic Alias, two bytes.
pub const TOPIC_ALIAS: u8 = 0x23;
/// Maximum QoS, byte.
pub const MAXIMUM_QOS: u8 = 0x24;
/// Retain Available, byte.
pub const RETAIN_AVAILABLE: u8 = 0x25;
/// User Property, pair of texts.
pub const USER_PROPERTY: u8 = 0x26;
/// Maximum Packet Size, four bytes.
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
/// Wildcard Subscription Available, byte.
pub const WILDCARD_AVAILABLE: u8 = 0x28;
/// Subscription Identifiers Available, byte.
pub const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
/// Shared Subscription Available, byte.
pub const SHARED_AVAILABLE: u8 = 0x2A;

/// One property: its identifier and its value, typed as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// One byte.
    Byte(u8, u8),
    /// Two byte integer.
    Two(u8, u16),
    /// Four byte integer.
    Four(u8, u32),
    /// Variable byte integer.
    Variable(u8, u32),
    /// UTF-8 encoded string.
    Text(u8, String),
    /// Binary data.
    Binary(u8, Vec<u8>),
    /// User Property.
    User(String, String),
}

impl Property {
    /// A text property.
    pub fn text(id: u8, value: &str) -> Self {
        Self::Text(id, value.to_owned())
    }

    /// A user property.
    pub fn user(name: &str, value: &str) -> Self {
        Self::User(name.to_owned(), value.to_owned())
    }

    /// The property's identifier.
    pub fn id(&self) -> u8 {
        match self {
            Self::Byte(id, _) | Self::Two(id, _) | Self::Four(id, _) | Self::Variable(id, _) => *id,
            Self::Text(id, _) | Self::Binary(id, _) => *id,
            Self::User(..) => USER_PROPERTY,
        }
    }
}

/// Properties in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties(pub Vec<Property>);

impl Properties {
    /// How often this property stands there.
    pub fn count(&self, id: u8) -> usize {
        self.0.iter().filter(|property| property.id() == id).count()
    }

    /// The number that this property has; none: it is not there or no number.
    pub fn number(&self, id: u8) -> Option<u32> {
        self.0.iter().find(|property| property.id() == id).and_then(|property| match property {
            Property::Byte(_, value) => Some(u32::from(*value)),
            Property::Two(_, value) => Some(u32::from(*value)),
            Property::Four(_, value) | Property::Variable(_, value) => Some(*value),
            _ => None,
        })
    }

    /// All numbers that this property has, sorted.
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let mut all: Vec<u32> = (self.0.iter())
            .filter(|property| property.id() == id)
            .filter_map(|property| Self(vec![property.clone()]).number(id))
            .collect();
        all.sort_unstable();
        all
    }

    /// The text that this property has.
    pub fn text(&self, id: u8) -> Option<&str> {
        self.0.iter().find_map(|property| match property {
            Property::Text(found, value) if *found == id => Some(value.as_str()),
            _ => None,
        })
    }

    /// The binary data that this property has.
    pub fn binary(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find_map(|property| match property {
            Property::Binary(found, value) if *found == id => Some(value.as_slice()),
            _ => None,
        })
    }

    /// The user properties, in order.
    pub fn user(&self) -> Vec<(&str, &str)> {
        let mut all = Vec::new();
        for property in &self.0 {
            if let Property::User(name, value) = property {
                all.push((name.as_str(), value.as_str()));
            }
        }
        all
    }

    /// The first user property of this name.
    pub fn user_value(&self, name: &str) -> Option<&str> {
        self.user().into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<const N: usize> From<[Property; N]> for Properties {
    fn from(properties: [Property; N]) -> Self {
        Self(properties.into())
    }
}
