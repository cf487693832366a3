//! Endpoints about retained messages.

use super::api::Api;
use super::body::{Ask, Name, NoQuery, PageQuery, json, page};
use super::error::Problem;
use super::handle::{named, tell};
use super::message::shown_payload;
use crate::message::{Message, Time};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value as Json};

/// Payloads up to this many bytes are shown in lists; longer ones only by themselves.
const LISTED_PAYLOAD_BYTES_MAX: usize = 1024;

/// What is kept, by topic.
pub(super) async fn list(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let now = api.now();
    let after = query.after_name(topics_after(&api));
    let kept = api.broker().retained(after.as_deref(), limit + 1);
    let show = |(message, stored): &(Message, Time)| shown(message, Some(*stored), now, LISTED_PAYLOAD_BYTES_MAX);
    page(kept.iter().map(show).collect(), limit, |kept| kept["topic"].as_str().unwrap_or_default().to_owned())
}

/// What is kept of one topic.
pub(super) async fn show(State(api): State<Api>, Name(topic): Name, _: Ask<NoQuery>) -> Result<Response, Problem> {
    let now = api.now();
    let topic = named(&topic, topics_after(&api)).ok_or_else(nothing)?;
    let message = api.broker().retained_message(&topic, now).ok_or_else(nothing)?;
    Ok(json(&shown(&message, None, now, usize::MAX)))
}

/// Topics in their order.
fn topics_after(api: &Api) -> impl Fn(&str, usize) -> Vec<String> {
    let topic = |(message, _): &(Message, Time)| message.topic().as_str().to_owned();
    move |after, most| api.broker().retained(Some(after), most).iter().map(topic).collect()
}

/// Forgets what is kept of one topic. On disk when it answers.
pub(super) async fn remove(State(api): State<Api>, Name(topic): Name, _: Ask<NoQuery>) -> Result<StatusCode, Problem> {
    let topic = named(&topic, topics_after(&api)).ok_or_else(nothing)?;
    let removed = api.with_worker(move |broker, worker, _| broker.retained_remove(worker, &topic)).await?;
    api.committed(removed.ok_or_else(nothing)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn nothing() -> Problem {
    Problem::not_found("nothing is retained under that topic")
}

fn shown(message: &Message, stored: Option<Time>, now: Time, payload_bytes_max: usize) -> Json {
    let envelope = message.envelope();
    let mut document = Map::new();
    let mut put = |key: &str, value: Json| document.insert(key.to_owned(), value);
    put("topic", envelope.topic.as_str().into());
    put("qos", envelope.guarantee.level().into());
    put("payload_bytes", message.payload().len().into());
    if message.payload().len() <= payload_bytes_max {
        let (key, payload) = shown_payload(message.payload());
        put(key, payload.into());
    }
    if let Some(stored) = stored {
        put("stored_milliseconds", stored.0.into());
    }
    put("expiry_seconds", message.expiry_seconds(now).into());
    tell(envelope.topic.as_str(), &mut document);
    document.into()
}
