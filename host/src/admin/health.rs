//! `GET /healthz` and `/readyz`: open to everybody, and they tell nothing else.

use super::api::Api;
use super::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Listeners are open, clients are let in and the disk does its duty. With a full disk it is ready still: receivers have to come
/// in, so that queues are emptied.
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let not_ready = |why: &str| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    match api.is_ready() {
        false => not_ready("not ready"),
        true if api.broker().drain_state().is_some() => not_ready("not ready: clients are sent to another server"),
        true => Ok("ready\n"),
    }
}
