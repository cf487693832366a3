//! What a selector says of a message. Nothing is compared with something of another kind: the answer is then neither true
//! nor false, and so is a condition that hangs on it.

use super::super::subject::{Known, Subject};
use super::{Calculation, Comparison, Field, Node, Selector};
use smallvec::SmallVec;

/// Application properties by their places.
type Places<'m> = SmallVec<[Known<'m>; 8]>;

pub fn is_true(selector: &Selector, subject: &Subject<'_>) -> bool {
    let mut places: Places<'_> = SmallVec::from_elem(Known::Absent, selector.names.all.len());
    if !selector.names.all.is_empty() {
        for (key, value) in subject.sections.application_properties() {
            let place = key.as_str().and_then(|key| selector.names.place(key));
            if let Some(place) = place {
                places[place] = Known::of(&value);
            }
        }
    }
    let scene = Scene { subject, places };
    scene.truth(&selector.root) == Some(true)
}

struct Scene<'s, 'm> {
    subject: &'s Subject<'m>,
    places: Places<'m>,
}

impl<'s, 'm: 's> Scene<'s, 'm> {
    /// True, false, or neither.
    fn truth(&self, node: &'s Node) -> Option<bool> {
        match node {
            Node::And(left, right) => both(self.truth(left), self.truth(right)),
            Node::Or(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Node::Not(inner) => self.truth(inner).map(|truth| !truth),
            Node::Compare(comparison, left, right) => compare(*comparison, self.value(left), self.value(right)),
            Node::Between(value, low, high) => {
                let value = self.value(value);
                let above = compare(Comparison::GreaterOrEqual, value, self.value(low));
                both(above, compare(Comparison::LessOrEqual, value, self.value(high)))
            }
            Node::In(value, members) => {
                let value = self.value(value);
                if value == Known::Absent {
                    return None;
                }
                Some(members.iter().any(|member| value.equals(&self.value(member)) == Some(true)))
            }
            Node::Like(value, pattern) => match self.value(value) {
                Known::Text(text) => Some(pattern.fits(text)),
                _ => None,
            },
            Node::IsNull(value) => Some(self.value(value) == Known::Absent),
            _ => match self.value(node) {
                Known::Bool(truth) => Some(truth),
                _ => None,
            },
        }
    }

    /// The value of an expression; of a condition that is neither true nor false: none.
    fn value(&self, node: &'s Node) -> Known<'s> {
        match node {
            Node::Property(place) => self.places.get(*place).copied().unwrap_or(Known::Absent),
            Node::Field(field) => self.field(*field),
            Node::Bool(truth) => Known::Bool(*truth),
            Node::Integer(number) => Known::Integer(i128::from(*number)),
            Node::Float(number) => Known::Float(*number),
            Node::Text(text) => Known::Text(text),
            Node::Bytes(bytes) => Known::Bytes(bytes),
            Node::Uuid(uuid) => Known::Uuid(*uuid),
            Node::Negative(inner) => match self.value(inner) {
                Known::Integer(number) => Known::integer(-number),
                Known::Float(number) => Known::Float(-number),
                Known::Absent => Known::Absent,
                _ => Known::Other,
            },
            Node::Calculate(calculation, left, right) => calculate(*calculation, self.value(left), self.value(right)),
            _ => self.truth(node).map_or(Known::Absent, Known::Bool),
        }
    }

    fn field(&self, field: Field) -> Known<'m> {
        let Subject { header, properties, .. } = self.subject;
        let number = |number: Option<i64>| number.map_or(Known::Absent, |number| Known::Integer(number.into()));
        match field {
            Field::MessageId | Field::JmsMessageId => Known::id(properties.message_id),
            Field::UserId => match properties.user_id.map(std::str::from_utf8) {
                Some(Ok(text)) => Known::Text(text),
                Some(Err(_)) => Known::Other,
                None => Known::Absent,
            },
            Field::To => Known::text(properties.to),
            Field::Subject => Known::text(properties.subject),
            Field::ReplyTo => Known::text(properties.reply_to),
            Field::CorrelationId | Field::JmsCorrelationId => Known::id(properties.correlation_id),
            Field::ContentType => Known::text(properties.content_type),
            Field::ContentEncoding => Known::text(properties.content_encoding),
            Field::AbsoluteExpiryTime => number(properties.absolute_expiry_time),
            Field::CreationTime => number(properties.creation_time),
            Field::GroupId => Known::text(properties.group_id),
            Field::GroupSequence => number(properties.group_sequence.map(i64::from)),
            Field::ReplyToGroupId => Known::text(properties.reply_to_group_id),
            Field::Durable => Known::Bool(header.durable),
            Field::DeliveryMode => Known::Text(if header.durable { "PERSISTENT" } else { "NON_PERSISTENT" }),
            Field::Priority => Known::Integer(header.priority.into()),
            Field::DeliveryCount => Known::Integer(header.delivery_count.into()),
        }
    }
}

/// AND: false with whatever else, if one is.
fn both(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn compare(comparison: Comparison, left: Known<'_>, right: Known<'_>) -> Option<bool> {
    match comparison {
        Comparison::Equal => left.equals(&right),
        Comparison::NotEqual => left.equals(&right).map(|same| !same),
        Comparison::Less => left.compare(&right).map(|order| order.is_lt()),
        Comparison::LessOrEqual => left.compare(&right).map(|order| order.is_le()),
        Comparison::Greater => left.compare(&right).map(|order| order.is_gt()),
        Comparison::GreaterOrEqual => left.compare(&right).map(|order| order.is_ge()),
    }
}

fn calculate<'k>(calculation: Calculation, left: Known<'k>, right: Known<'k>) -> Known<'k> {
    if let (Known::Integer(a), Known::Integer(b)) = (left, right) {
        return match calculation {
            Calculation::Plus => Known::integer(a + b),
            Calculation::Minus => Known::integer(a - b),
            Calculation::Times => a.checked_mul(b).map_or(Known::Float(a as f64 * b as f64), Known::integer),
            Calculation::Divided if b == 0 => Known::Absent,
            Calculation::Divided => Known::integer(a / b),
        };
    }
    let float = |value| match value {
        Known::Integer(number) => Some(number as f64),
        Known::Float(number) => Some(number),
        _ => None,
    };
    let (Some(a), Some(b)) = (float(left), float(right)) else { return Known::Absent };
    Known::Float(match calculation {
        Calculation::Plus => a + b,
        Calculation::Minus => a - b,
        Calculation::Times => a * b,
        Calculation::Divided => a / b,
    })
}
