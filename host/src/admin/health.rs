//! `GET /healthz` and `/readyz`: open to everybody, and they tell nothing else.

use super::api::Api;
use super::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Listeners are open and the disk does its duty. With a full disk it is ready still: receivers have to come in, so that queues
/// are emptied.
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    match api.is_ready() {
        true => Ok("ready\n"),
        false => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready")),
    }
}
