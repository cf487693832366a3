//! `/api/v1/drain`: clients are sent to another server.

use super::api::Api;
use super::body::{Ask, Document, NoQuery, json};
use super::error::Problem;
use crate::broker::Drain;
use crate::dialogue::Elsewhere;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Where to; empty: that is not said.
    #[serde(default)]
    server: String,
    /// For good.
    #[serde(default)]
    permanent: bool,
    /// How many of those who are connected are sent away each second; 0: none.
    #[serde(default)]
    clients_per_second: u32,
}

/// The drain that is on.
pub(super) async fn show(State(api): State<Api>, _: Ask<NoQuery>) -> Result<Response, Problem> {
    let drain = api.broker().drain_state().ok_or_else(nothing)?;
    Ok(json(&json!({
        "server": *drain.to.server,
        "permanent": drain.to.permanent,
        "clients_per_second": drain.clients_per_second,
        "connected": api.broker().metrics().clients.get(),
    })))
}

/// Begins one, or changes the one that is on.
pub(super) async fn begin(
    State(api): State<Api>,
    _: Ask<NoQuery>,
    Document(wanted): Document<Wanted>,
) -> Result<StatusCode, Problem> {
    let to = elsewhere(&wanted.server, wanted.permanent)?;
    api.broker().set_drain(Some(Drain { to, clients_per_second: wanted.clients_per_second }));
    Ok(StatusCode::NO_CONTENT)
}

/// Ends it: clients are welcome again.
pub(super) async fn end(State(api): State<Api>, _: Ask<NoQuery>) -> Result<StatusCode, Problem> {
    api.broker().drain_state().ok_or_else(nothing)?;
    api.broker().set_drain(None);
    Ok(StatusCode::NO_CONTENT)
}

/// Where clients are told to go.
pub(super) fn elsewhere(server: &str, permanent: bool) -> Result<Elsewhere, Problem> {
    Elsewhere::check(server).map_err(|why| Problem::bad_request(format!("server: {why}")))?;
    Ok(Elsewhere { server: server.into(), permanent })
}

fn nothing() -> Problem {
    Problem::not_found("no drain is on")
}
