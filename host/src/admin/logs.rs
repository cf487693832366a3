//! `GET /api/v1/modules/{name}/logs`: recent lines as a list, or as server-sent events that go on.

use super::api::{Api, Follower};
use super::body::{Ask, Name, PageQuery, page};
use super::error::Problem;
use super::token::Admitted;
use crate::wasm::{LogLine, LogOwner};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// How often a followed log is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Recent lines, oldest first.
pub(super) async fn logs(
    State(api): State<Api>,
    Name(name): Name,
    Ask(query): Ask<PageQuery>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let lines = api.modules().logs(&name)?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        let Some(follower) = api.follow() else {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "as many logs are followed as are allowed"));
        };
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = VecDeque::new();
        let lines = Lines { api, name, admitted, owner: None, seen: 0, waiting, interval, _follower: follower };
        return Ok(Sse::new(lines).keep_alive(KeepAlive::default()).into_response());
    }
    let limit = query.limit(api.limits().page_max);
    let after = query.after().map(|after| after.parse().map_err(|_| Problem::bad_request("after is a number")));
    let after: u64 = after.transpose()?.unwrap_or(0);
    let lines = lines.iter().filter(|line| line.number > after).take(limit + 1).map(shown);
    Ok(page(lines.collect(), limit, |line| line["number"].to_string()))
}

/// The lines of a module as they come. Ends when the module is removed, or its follower's token is withdrawn.
struct Lines {
    api: Api,
    name: String,
    admitted: Admitted,
    /// Whose line was seen last.
    owner: Option<LogOwner>,
    /// Its number.
    seen: u64,
    waiting: VecDeque<LogLine>,
    interval: Interval,
    _follower: Follower,
}

impl Stream for Lines {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.admitted.is_so_still() {
                return Poll::Ready(None);
            }
            if let Some(line) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(Event::default()
                    .id(line.number.to_string())
                    .data(shown(&line).to_string()))));
            }
            ready!(self.interval.poll_tick(context));
            let Ok((owner, lines)) = self.api.modules().logs_of(&self.name) else { return Poll::Ready(None) };
            let seen = if self.owner.as_ref() == Some(&owner) { self.seen } else { 0 };
            self.seen = lines.last().map_or(seen, |line| line.number);
            self.owner = Some(owner);
            self.waiting.extend(lines.into_iter().filter(|line| line.number > seen));
        }
    }
}

fn shown(line: &LogLine) -> Json {
    json!({ "number": line.number, "time_milliseconds": line.time.0, "level": line.level, "line": *line.line })
}
