//! `POST /api/v1/publish` and `/api/v1/explain`: a message takes the whole way, or is shown it.

use super::api::Api;
use super::body::{Document, json};
use super::error::Problem;
use super::message::{MessageDocument, admin_client};
use crate::dialogue::Routed;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

/// Publishes a message. What it changes is on disk when it answers.
pub(super) async fn publish(
    State(api): State<Api>,
    Document(message): Document<MessageDocument>,
) -> Result<Response, Problem> {
    if message.client.is_some() {
        return Err(Problem::bad_request("a message is published as the admin; client is for explain only"));
    }
    let publish = message.read()?;
    let published =
        api.with_worker(move |broker, worker, now| broker.publish_as(worker, now, &admin_client(), publish.request()));
    let (after, routed) = published.await??;
    api.committed(after).await?;
    Ok(json(&json!({ "matched": routed == Routed::Matched })))
}

/// Tells what would become of a message. Nothing is published.
pub(super) async fn explain(
    State(api): State<Api>,
    Document(mut message): Document<MessageDocument>,
) -> Result<Response, Problem> {
    let client = message.client.take().map_or_else(|| Ok(admin_client()), |client| client.read())?;
    let publish = message.read()?;
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
        "wishes": explained.wishes,
    })))
}
