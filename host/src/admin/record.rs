//! `POST /api/v1/record`: samples of what clients publish, as examples that `pliant module test --replay` reads.

use super::api::Api;
use super::body::{Ask, json};
use super::error::Problem;
use crate::broker::{Recording, Sample};
use crate::topic::Filter;
use crate::wasm::{ExampleClient, ExampleMessage};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as document;
use std::sync::Arc;
use std::time::Duration;

/// Most samples of one recording, and the longest time that it takes.
const SAMPLES_MAX: usize = 1_000;
const SECONDS_MAX: u64 = 60;

/// How often a recording is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordQuery {
    #[serde(default = "everything")]
    filter: String,
    count: Option<usize>,
    seconds: Option<u64>,
}

fn everything() -> String {
    "#".to_owned()
}

/// Ends the recording also where nobody waits for it any more.
struct Running {
    api: Api,
    recording: Arc<Recording>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.api.broker().end_recording(&self.recording);
    }
}

/// Waits until there are enough samples or the time is over.
pub(super) async fn record(State(api): State<Api>, Ask(query): Ask<RecordQuery>) -> Result<Response, Problem> {
    let broker = api.broker();
    let filter = Filter::new(&query.filter, &broker.limits().topic);
    let filter = filter.map_err(|error| Problem::bad_request(format!("filter: {error}")))?;
    let count = query.count.unwrap_or(100);
    let seconds = query.seconds.unwrap_or(10);
    if !(1..=SAMPLES_MAX).contains(&count) || !(1..=SECONDS_MAX).contains(&seconds) {
        let reason = format!("count is from 1 to {SAMPLES_MAX}, seconds from 1 to {SECONDS_MAX}");
        return Err(Problem::bad_request(reason));
    }
    let too_many = || Problem::new(StatusCode::TOO_MANY_REQUESTS, "as many recordings run as are allowed");
    let recording = broker.record(filter, count).ok_or_else(too_many)?;
    let running = Running { api: api.clone(), recording };
    let looks = Duration::from_secs(seconds).as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if running.recording.is_full() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let samples = broker.end_recording(&running.recording);
    let example = |sample: &Sample| {
        document!({
            "hook": "message",
            "clock": sample.since.0,
            "client": ExampleClient::of(&sample.client),
            "topic": sample.name,
            "message": ExampleMessage::of(&sample.message, sample.since),
        })
    };
    Ok(json(&document!({ "example": samples.iter().map(example).collect::<Vec<_>>() })))
}
