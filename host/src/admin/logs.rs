//! `GET /api/v1/modules/{name}/logs`: recent lines as a list, or as server-sent events that go on.

use super::api::Api;
use super::body::{Ask, Name, PageQuery, page};
use super::error::Problem;
use super::follow::Lines;
use super::token::Admitted;
use crate::wasm::LogLine;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// What a browser sends that comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Recent lines, oldest first.
pub(super) async fn logs(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<PageQuery>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let lines = api.modules().logs(&name)?;
    let after = query.after().map(|after| after.parse().map_err(|_| Problem::bad_request("after is a number")));
    let after: Option<u64> = after.transpose()?;
    if wants_events(&headers) {
        let seen = last_event(&headers)?.or(after);
        let Some(follower) = api.follow() else {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "as many logs are followed as are allowed"));
        };
        let lines = Lines::new(api, name, admitted, seen, follower);
        return Ok(Sse::new(lines).keep_alive(KeepAlive::default()).into_response());
    }
    let limit = query.limit(api.limits().page_max);
    let lines = lines.iter().filter(|line| after.is_none_or(|after| line.number > after)).take(limit + 1).map(shown);
    Ok(page(lines.collect(), limit, |line| line["number"].to_string()))
}

/// The event that somebody who comes back has seen last.
fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = id.to_str().ok().and_then(|id| id.parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request("Last-Event-ID is the number of a line"))
}

/// Whether events are asked for by name, and not less than a list is (RFC 9110, 12.5.1).
fn wants_events(headers: &HeaderMap) -> bool {
    let events = weight(headers, "text/event-stream");
    events > 0.0 && events >= weight(headers, "application/json")
}

/// How much a type is wanted, from 0, where it is not named, to 1.
fn weight(headers: &HeaderMap, kind: &str) -> f32 {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let weights = lines.flat_map(|line| line.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().filter(|named| named.eq_ignore_ascii_case(kind))?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    });
    weights.fold(0.0, f32::max)
}

/// A line as the API shows it.
pub(super) fn shown(line: &LogLine) -> Json {
    json!({ "number": line.number, "time_milliseconds": line.time.0, "level": line.level, "line": *line.line })
}
