//! `POST /api/v1/reload`: the configuration is read again; the roof knows how.

use super::api::Api;
use super::body::{Ask, NoBody, NoQuery, Perhaps, json};
use super::error::Problem;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

/// Reads the configuration again; an error says what is wrong with it, and nothing changed.
pub type Reload = Arc<dyn Fn() -> Result<Reloaded, String> + Send + Sync>;

/// What reading the configuration again has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys whose new values hold now, or the other tokens in whose files.
    pub applied: Vec<String>,
    /// Keys whose new values hold from the next start.
    pub restart_needed: Vec<String>,
    /// Keys of modules whose new values hold when something that was done by hand gives way, and what that is.
    pub waiting: Vec<String>,
    /// Modules whose canaries are over now, and the versions that those were.
    pub canaries_ended: Vec<String>,
    /// How many connections were ended, since what they came in by does not hold any more.
    pub connections_ended: usize,
    /// What could not be done, and why.
    pub failed: Vec<String>,
}

/// Reads the configuration again.
pub(super) async fn reload(State(api): State<Api>, _: Ask<NoQuery>, _: Perhaps<NoBody>) -> Result<Response, Problem> {
    let reloaded = api.blocking(|api| (api.reload())()).await?;
    Ok(json(&reloaded.map_err(Problem::refused)?))
}
