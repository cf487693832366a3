//! The endpoint about queues. They are made and changed by `$management`.

use super::api::Api;
use super::body::{Ask, PageQuery, page};
use crate::broker::QueueInfo;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};

/// What queues there are, by address.
pub(super) async fn list(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let addresses = |after: &str, most| {
        api.broker().queues_after(Some(after), most).iter().map(|queue| queue.address.to_string()).collect()
    };
    let after = query.after_name(addresses);
    let queues = api.broker().queues_after(after.as_deref(), limit + 1);
    page(queues.iter().map(shown).collect(), limit, |queue| queue["address"].as_str().unwrap_or_default().to_owned())
}

fn shown(queue: &QueueInfo) -> Json {
    let record = &queue.record;
    json!({
        "address": *queue.address,
        "waiting": queue.waiting,
        "held": queue.held,
        "consumers": queue.consumers,
        "dead_letters": record.dead_letters,
        "failures_max": record.failures_max,
        "messages_max": record.messages_max,
        "bytes_max": record.bytes_max,
        "expiry_milliseconds": record.expiry_milliseconds,
        "bindings": record.bindings,
    })
}
