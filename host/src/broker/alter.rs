//! What modules make of a message that is kept as its publisher encoded it. They see it in plain words, in which much of it
//! has no place: what they change is put into the message, and everything else stays as it came.

use super::Broker;
use super::worker::Worker;
use crate::message::{Bare, Envelope, Message, Refusal};
use crate::sections::{Form, Pairs, Sections};
use crate::wasm::Chain;

/// What a module made of a message, if only where it goes to is another: then it goes on as its publisher encoded it.
/// `shown` is the form that the module saw.
pub(super) fn under_other_topic(message: &Message, shown: &Message, made: &Message) -> Option<Message> {
    let same = made.envelope().properties == shown.envelope().properties && made.payload() == shown.payload();
    if !same {
        return None;
    }
    if message.as_bare().is_none() {
        return Some(made.clone());
    }
    let properties = message.envelope().properties.clone();
    Some(message.with_envelope(Envelope { properties, ..made.envelope().clone() }))
}

impl Broker {
    /// What a module made of a message of which it saw this form.
    pub(super) fn altered(
        &self,
        worker: &mut Worker,
        chain: &Chain,
        message: &Message,
        shown: &Message,
        made: Message,
    ) -> Message {
        if let Some(readdressed) = under_other_topic(message, shown, &made) {
            return readdressed;
        }
        let Some(bare) = message.as_bare() else { return made };
        match self.merge(worker, chain, message, shown, &made) {
            Ok(encoded) => {
                let blank = if made.payload() == shown.payload() { bare.blank } else { made.is_blank() };
                let properties = message.envelope().properties.clone();
                let envelope = Envelope { properties, ..made.envelope().clone() };
                let altered = Message::bare(envelope, Bare { blank, ..bare }, message.publisher(), &encoded);
                altered.set_crossed(Some(made));
                altered
            }
            Err(why) => {
                tracing::debug!(topic = made.topic().as_str(), why, "a module's change leaves only what it saw");
                made
            }
        }
    }

    /// The message as encoded, with what differs between two forms of it.
    fn merge(
        &self,
        worker: &mut Worker,
        chain: &Chain,
        message: &Message,
        shown: &Message,
        made: &Message,
    ) -> Result<Vec<u8>, String> {
        let encoding = self.encoding.get().ok_or("nobody knows the encoding")?;
        let mut sections = encoding.read(message.payload())?;
        let mut translated = |message: &Message| {
            let form = chain.to_amqp(&mut worker.guests, shown.topic().as_str(), message);
            form.map_err(|refusal: Refusal| refusal.reason)?.ok_or_else(|| "no module translates".to_owned())
        };
        let (before, after) = (translated(shown)?, translated(made)?);
        replace(&mut sections, before.head, after.head);
        let body = match made.payload() == shown.payload() && before.body == after.body {
            true => Some(std::mem::take(&mut sections.body)),
            false => after.body,
        };
        encoding.write(&Form { head: sections, body }, made.payload())
    }
}

/// Takes over what is another after than before. Where it goes to is not a matter of its sections.
fn replace(sections: &mut Sections, before: Sections, after: Sections) {
    fn field<T: PartialEq>(field: &mut T, before: &T, after: T) {
        if *before != after {
            *field = after;
        }
    }
    field(&mut sections.message_id, &before.message_id, after.message_id);
    field(&mut sections.user_id, &before.user_id, after.user_id);
    field(&mut sections.subject, &before.subject, after.subject);
    field(&mut sections.reply_to, &before.reply_to, after.reply_to);
    field(&mut sections.correlation_id, &before.correlation_id, after.correlation_id);
    field(&mut sections.content_type, &before.content_type, after.content_type);
    field(&mut sections.content_encoding, &before.content_encoding, after.content_encoding);
    pairs(&mut sections.message_annotations, &before.message_annotations, after.message_annotations);
    pairs(&mut sections.application_properties, &before.application_properties, after.application_properties);
}

/// The same for a map, entry by entry.
fn pairs(pairs: &mut Pairs, before: &Pairs, after: Pairs) {
    for (name, _) in before.iter().filter(|(name, _)| after.iter().all(|(other, _)| other != name)) {
        pairs.retain(|(other, _)| other != name);
    }
    for (name, value) in after {
        if before.iter().any(|(other, known)| *other == name && *known == value) {
            continue;
        }
        match pairs.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => pairs.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::Value;

    fn of(pairs: &[(&str, Value)]) -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_did_not_change_keeps_its_type_and_what_nobody_saw_stays() {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut sections = Sections {
            subject: Some("of old".into()),
            content_type: Some("a".into()),
            application_properties: of(&[("n", Value::Int(7)), ("m", Value::Int(8)), ("gone", text("x"))]),
            ..Sections::default()
        };
        let before = Sections {
            content_type: Some("a".into()),
            application_properties: of(&[("n", text("7")), ("m", text("8")), ("gone", text("x"))]),
            ..Sections::default()
        };
        let after = Sections {
            content_type: Some("b".into()),
            application_properties: of(&[("n", text("7")), ("m", text("9")), ("new", text("y"))]),
            ..Sections::default()
        };
        replace(&mut sections, before, after);
        assert_eq!((sections.subject.as_deref(), sections.content_type.as_deref()), (Some("of old"), Some("b")));
        assert_eq!(sections.application_properties, of(&[("n", Value::Int(7)), ("m", text("9")), ("new", text("y"))]));
    }
}
