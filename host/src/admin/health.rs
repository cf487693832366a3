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
    let not_ready = |why: &str| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    if !api.is_ready() {
        return not_ready("not ready");
    }
    if api.broker().drain_state().is_some() {
        return not_ready("not ready: clients are sent to another server");
    }
    match api.modules().closed_by() {
        Some((module, hooks)) => not_ready(&format!(
            "not ready: module {module} does not run, and nothing passes {hooks} without it: deploy another version, or disable it"
        )),
        None => Ok("ready\n"),
    }
}
