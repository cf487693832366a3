//! The lines of a module as they come, as server-sent events.

use super::api::{Api, Follower};
use super::logs::shown;
use super::token::Admitted;
use crate::wasm::{LogLine, LogOwner};
use axum::response::sse::Event;
use futures_core::Stream;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// How often a followed log is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// See the head of this file. Ends when the module is removed, or its follower's token is withdrawn.
pub(super) struct Lines {
    api: Api,
    name: String,
    admitted: Admitted,
    place: Place,
    waiting: VecDeque<Told>,
    interval: Interval,
    _follower: Follower,
}

/// Where a follower is in a log.
struct Place {
    /// Whose line was seen last.
    owner: Option<LogOwner>,
    /// Its number; none: nothing was seen yet, and nothing is missed.
    seen: Option<u64>,
}

/// One event.
enum Told {
    Line(LogLine),
    /// So many lines went before they could be told.
    Missed(u64),
}

impl Lines {
    /// For somebody who was let in, and has seen lines up to this number; none: all that is kept is of interest.
    pub(super) fn new(api: Api, name: String, admitted: Admitted, seen: Option<u64>, follower: Follower) -> Self {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let place = Place { owner: None, seen };
        Self { api, name, admitted, place, waiting: VecDeque::new(), interval, _follower: follower }
    }
}

impl Place {
    /// What is to be told of the lines that are kept, and goes on after them.
    fn pass(&mut self, owner: LogOwner, lines: Vec<LogLine>) -> impl Iterator<Item = Told> + use<> {
        let last = lines.last().map(|line| line.number);
        let seen = match &self.owner {
            Some(known) if *known == owner => self.seen,
            // A module that was deployed after that one was removed counts its lines anew.
            Some(_) => Some(0),
            // So does one after a restart of the broker.
            None => self.seen.map(|seen| if last.is_some_and(|last| seen <= last) { seen } else { 0 }),
        };
        let missed = match (seen, lines.first()) {
            (Some(seen), Some(first)) => first.number.saturating_sub(seen + 1),
            _ => 0,
        };
        (self.seen, self.owner) = (last.or(seen).or(Some(0)), Some(owner));
        let news = lines.into_iter().filter(move |line| seen.is_none_or(|seen| line.number > seen));
        (missed > 0).then_some(Told::Missed(missed)).into_iter().chain(news.map(Told::Line))
    }
}

impl Stream for Lines {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.admitted.is_so_still() {
                return Poll::Ready(None);
            }
            if let Some(told) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(told.event())));
            }
            ready!(self.interval.poll_tick(context));
            let Ok((owner, lines)) = self.api.modules().logs_of(&self.name) else { return Poll::Ready(None) };
            let told = self.place.pass(owner, lines);
            self.waiting.extend(told);
        }
    }
}

impl Told {
    fn event(&self) -> Event {
        match self {
            Self::Line(line) => Event::default().id(line.number.to_string()).data(shown(line).to_string()),
            Self::Missed(lines) => Event::default().event("missed").data(json!({ "lines": lines }).to_string()),
        }
    }
}
