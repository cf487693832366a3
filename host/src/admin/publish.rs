//! `POST /api/v1/publish` and `/api/v1/explain`: a message takes the whole way, or is shown it.

use super::api::Api;
use super::body::{Ask, Document, NoQuery, Raw, json, object};
use super::error::Problem;
use super::message::{EventDocument, MessageDocument, admin_client};
use crate::dialogue::Routed;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};

/// Publishes a message. What it changes is on disk when it answers.
pub(super) async fn publish(
    State(api): State<Api>,
    _: Ask<NoQuery>,
    Document(message): Document<MessageDocument>,
) -> Result<Response, Problem> {
    if message.client.is_some() {
        return Err(Problem::bad_request("a message is published as the admin; client is for explain only"));
    }
    let publish = message.read(&api.modules().limits().topics)?;
    let published =
        api.with_worker(move |broker, worker, now| broker.publish_as(worker, now, &admin_client(), publish.request()));
    let (after, routed) = published.await??;
    api.committed(after).await?;
    Ok(json(&json!({ "matched": routed == Routed::Matched })))
}

/// Tells what would become of a message, or what modules would make of an event. Nothing is published, and nothing is kept.
pub(super) async fn explain(State(api): State<Api>, _: Ask<NoQuery>, Raw(body): Raw) -> Result<Response, Problem> {
    // Read again as what it is: a document would have only the last of two fields of a name.
    if object::<Json>(&body)?.get("event").is_some() {
        return explain_event(api, object(&body)?).await;
    }
    let mut message: MessageDocument = object(&body)?;
    let client = message
        .client
        .take()
        .map_or_else(|| Ok(admin_client()), |client| client.read(|name| api.has_listener(name)))?;
    let publish = message.read(&api.modules().limits().topics)?;
    let explained =
        api.with_worker(move |broker, worker, now| broker.explain(worker, now, &client, &publish.request()));
    let explained = explained.await?;
    if explained.topic.is_none() && explained.decisions.is_empty() {
        // No module had a say: the message itself is none.
        return Err(Problem::refused(explained.outcome));
    }
    Ok(json(&json!({
        "generation": explained.generation,
        "topic": explained.topic,
        "decisions": explained.decisions,
        "outcome": explained.outcome,
        "retained": explained.retained,
        "subscribers": explained.subscribers,
        "deliveries": explained.deliveries,
        "translation": explained.translation,
        "events": explained.events,
        "wishes": explained.wishes,
    })))
}

async fn explain_event(api: Api, mut document: EventDocument) -> Result<Response, Problem> {
    let client = document
        .client
        .take()
        .map_or_else(|| Ok(admin_client()), |client| client.read(|name| api.has_listener(name)))?;
    let occasion = document.read(&api.modules().limits().topics)?;
    let explained =
        api.with_worker(move |broker, worker, now| broker.explain_occasion(worker, now, client, occasion)).await?;
    Ok(json(&json!({
        "generation": explained.generation,
        "decisions": explained.decisions,
        "outcome": explained.outcome,
        "wishes": explained.wishes,
    })))
}
