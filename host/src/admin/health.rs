//! `GET /healthz` and `/readyz`: open to everybody, and they tell nothing else.

use super::api::Api;
use super::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Listeners are open, clients are let in, the disk does its duty, and no module is missing without which nothing passes. With a
/// full disk it is ready still: receivers have to come in, so that queues are emptied.
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let is_ready = api.is_ready() && api.broker().drain_state().is_none() && api.modules().closed_by().is_none();
    if is_ready { Ok("ready\n") } else { Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready")) }
}
