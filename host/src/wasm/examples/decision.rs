//! What came of a call, as a document that can be read, compared and kept.

use super::super::hooks::{Leaves, Outcome, Replay, Retention, Verdict, Wish};
use super::amqp::ExampleSections;
use super::document::ExampleMessage;
use crate::message::{Envelope, Message, Refusal, Time, Will};
use crate::sections::{Body, Form, Sections};
use serde_json::{Value as Json, json};

pub(super) fn message(message: &Message, now: Time) -> Json {
    json!(ExampleMessage::of(message, now))
}

fn messages<'a>(messages: impl Iterator<Item = &'a Message>, now: Time) -> Json {
    messages.map(|it| message(it, now)).collect()
}

pub(super) fn refuse(refusal: &Refusal) -> Json {
    json!({ "refuse": { "kind": format!("{:?}", refusal.kind), "reason": refusal.reason } })
}

/// Under `key` if there is no refusal.
pub(super) fn named(key: &str, answer: Result<String, Refusal>) -> Json {
    match answer {
        Ok(name) => json!({ key: name }),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn routing(verdict: &Verdict, now: Time) -> Json {
    let mut decision = match &verdict.outcome {
        Outcome::Pass(passed) => json!({ "pass": message(passed, now) }),
        Outcome::Discard => json!({ "discard": true }),
        Outcome::Refuse(refusal) => refuse(refusal),
    };
    decision["also"] = messages(verdict.wishes.iter().map(|wish| &wish.message), now);
    decision
}

pub(super) fn retention(answer: Result<Retention, Refusal>) -> Json {
    match answer {
        Ok(Retention::AsFlagged) => json!({ "retain": "as-flagged" }),
        Ok(Retention::Store(seconds)) => json!({ "retain": "store", "seconds": seconds }),
        Ok(Retention::Leave) => json!({ "retain": "leave" }),
        Ok(Retention::Delete) => json!({ "retain": "delete" }),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn replay(replay: Replay) -> Json {
    match replay {
        Replay::All => json!({ "replay": "all" }),
        Replay::None => json!({ "replay": "none" }),
        Replay::Newest(count) => json!({ "replay": "newest", "count": count }),
    }
}

pub(super) fn will(answer: Result<Option<Will>, Refusal>, now: Time) -> Json {
    match answer {
        Ok(Some(will)) => json!({ "keep": message(&will.message, now), "delay_seconds": will.delay_seconds }),
        Ok(None) => json!({ "keep": null }),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn publish<'a>(published: impl Iterator<Item = &'a Message>, now: Time) -> Json {
    json!({ "publish": messages(published, now) })
}

pub(super) fn wishes(wishes: &[Wish], now: Time) -> Json {
    publish(wishes.iter().map(|wish| &wish.message), now)
}

pub(super) fn identity(answer: Result<Option<String>, Refusal>) -> Json {
    match answer {
        Ok(identity) => json!({ "identity": identity }),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn leaves(leaves: &Leaves, now: Time) -> Json {
    match leaves {
        Leaves::AsItIs => json!({ "deliver": "as-it-is" }),
        Leaves::Not | Leaves::NotNow => json!({ "deliver": "not" }),
        Leaves::Instead(instead) => json!({ "deliver": "instead", "message": message(instead, now) }),
    }
}

/// What the receiver gets: where the module says nothing of a body, the payload.
pub(super) fn form(answer: Result<Option<Form>, Refusal>, payload: &[u8]) -> Json {
    let sections = |form: Form| {
        let body = form.body.unwrap_or_else(|| Body::Data(payload.to_vec()));
        ExampleSections::of(Sections { body, ..form.head })
    };
    match answer {
        Ok(form) => json!({ "amqp": form.map(sections) }),
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) fn crossed(answer: Result<Option<(Envelope, Vec<u8>)>, Refusal>, now: Time) -> Json {
    match answer {
        Ok(made) => {
            json!({ "message": made.map(|(envelope, payload)| message(&Message::new(envelope, 0, &payload), now)) })
        }
        Err(refusal) => refuse(&refusal),
    }
}
