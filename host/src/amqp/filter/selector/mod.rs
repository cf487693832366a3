//! Selectors: conditions in the language of JMS (a part of SQL's), with its logic of three values.

mod evaluate;
mod id;
mod lexer;
mod parse;

use super::like::Like;
use super::subject::Subject;
use crate::amqp::limits::Limits;
use std::fmt;

/// A condition.
#[derive(Debug)]
pub struct Selector {
    root: Node,
    /// Application properties that it asks for: each has a place, so that a message is walked through once.
    names: Names,
}

/// Names that each have a place, in the order in which they were met.
#[derive(Debug)]
struct Names {
    all: Vec<Box<str>>,
    /// Their places in the order of names, if there are many.
    sorted: Vec<u32>,
}

/// So many names are compared one by one.
const FEW_NAMES: usize = 8;

impl Names {
    fn new(all: Vec<Box<str>>) -> Self {
        let mut sorted = Vec::new();
        if all.len() > FEW_NAMES {
            sorted.extend(0..all.len() as u32);
            sorted.sort_unstable_by_key(|place| &all[*place as usize]);
        }
        Self { all, sorted }
    }

    /// The place of a name. A message may have thousands of properties, and a selector hundreds of names.
    fn place(&self, name: &str) -> Option<usize> {
        if self.sorted.is_empty() {
            return self.all.iter().position(|known| **known == *name);
        }
        let found = self.sorted.binary_search_by(|place| (*self.all[*place as usize]).cmp(name)).ok()?;
        Some(self.sorted[found] as usize)
    }
}

/// An expression.
#[derive(Debug)]
enum Node {
    /// An application property, by its place.
    Property(usize),
    /// Something else of a message.
    Field(Field),
    Bool(bool),
    Integer(u64),
    Float(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Uuid([u8; 16]),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Calculate(Calculation, Box<Node>, Box<Node>),
    Between(Box<Node>, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Like(Box<Node>, Box<Like>),
    IsNull(Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calculation {
    Plus,
    Minus,
    Times,
    Divided,
}

/// What a message has beside application properties: by its name in JMS, or by AMQP's after `amqp.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    MessageId,
    /// The same, as JMS shows it: see [`id`].
    JmsMessageId,
    UserId,
    To,
    Subject,
    ReplyTo,
    CorrelationId,
    /// The same, as JMS shows it.
    JmsCorrelationId,
    ContentType,
    ContentEncoding,
    AbsoluteExpiryTime,
    CreationTime,
    GroupId,
    GroupSequence,
    ReplyToGroupId,
    Durable,
    /// `PERSISTENT` or `NON_PERSISTENT`.
    DeliveryMode,
    Priority,
    DeliveryCount,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        let plain = name.strip_prefix("amqp.").map(|name| name.replace('_', "-"));
        Some(match (name, plain.as_deref()) {
            ("JMSMessageID", _) => Self::JmsMessageId,
            (_, Some("message-id")) => Self::MessageId,
            ("JMSXUserID", _) | (_, Some("user-id")) => Self::UserId,
            ("JMSDestination", _) | (_, Some("to")) => Self::To,
            ("JMSType", _) | (_, Some("subject")) => Self::Subject,
            ("JMSReplyTo", _) | (_, Some("reply-to")) => Self::ReplyTo,
            ("JMSCorrelationID", _) => Self::JmsCorrelationId,
            (_, Some("correlation-id")) => Self::CorrelationId,
            (_, Some("content-type")) => Self::ContentType,
            (_, Some("content-encoding")) => Self::ContentEncoding,
            ("JMSExpiration", _) | (_, Some("absolute-expiry-time")) => Self::AbsoluteExpiryTime,
            ("JMSTimestamp", _) | (_, Some("creation-time")) => Self::CreationTime,
            ("JMSXGroupID", _) | (_, Some("group-id")) => Self::GroupId,
            ("JMSXGroupSeq", _) | (_, Some("group-sequence")) => Self::GroupSequence,
            (_, Some("reply-to-group-id")) => Self::ReplyToGroupId,
            (_, Some("durable")) => Self::Durable,
            ("JMSDeliveryMode", _) => Self::DeliveryMode,
            ("JMSPriority", _) | (_, Some("priority")) => Self::Priority,
            (_, Some("delivery-count")) => Self::DeliveryCount,
            _ => return None,
        })
    }
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSelector {
    why: &'static str,
    /// Bytes before the place.
    at: usize,
}

impl fmt::Display for NotSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.at)
    }
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, NotSelector> {
        parse::parse(text, limits)
    }

    /// Whether the condition is true; what is neither true nor false is not.
    pub fn is_true(&self, subject: &Subject<'_>) -> bool {
        evaluate::is_true(self, subject)
    }
}
