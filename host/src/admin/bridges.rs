//! `GET /api/v1/bridges`: how the bridges to other brokers stand.

use super::api::Api;
use super::body::{Ask, PageQuery, page};
use super::exposition::Exposition;
use crate::metrics::{BridgeFigures, BridgeState, Counter, RouteFigures, RouteState};
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The bridges that run, by name.
pub(super) async fn list(State(api): State<Api>, Ask(query): Ask<PageQuery>) -> Response {
    let limit = query.limit(api.limits().page_max);
    let mut bridges: Vec<_> = api.bridges().iter().collect();
    bridges.sort_by(|a, b| a.name.cmp(&b.name));
    let after = |bridge: &&&Arc<BridgeFigures>| query.after().is_none_or(|after| *bridge.name > *after);
    let bridges = bridges.iter().filter(after).take(limit + 1).map(|bridge| shown(&api, bridge)).collect();
    page(bridges, limit, |bridge| bridge["name"].as_str().unwrap_or_default().to_owned())
}

fn shown(api: &Api, bridge: &BridgeFigures) -> Json {
    let standing = bridge.standing();
    json!({
        "name": bridge.name,
        "remote": bridge.remote,
        "state": standing.state.word(),
        "since_milliseconds": standing.since,
        "last_error": (!standing.last_error.is_empty()).then_some(standing.last_error),
        "connections": bridge.connections_total.get(),
        "sent": bridge.sent_total.get(),
        "received": bridge.received_total.get(),
        "looped": bridge.looped_total.get(),
        "refused": bridge.refused_total.get(),
        "waiting": waiting(api, bridge),
        "sessions": bridge.sessions.iter().map(|id| &**id).collect::<Vec<_>>(),
        "routes": bridge.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn route(route: &RouteFigures) -> Json {
    let standing = route.standing();
    json!({
        "name": route.name,
        "state": standing.state.word(),
        "since_milliseconds": standing.since,
        "reason": (!standing.reason.is_empty()).then_some(standing.reason),
        "held": route.held(),
    })
}

/// Messages in its sessions that the other broker has not taken.
fn waiting(api: &Api, bridge: &BridgeFigures) -> usize {
    let each = bridge.sessions.iter().filter_map(|id| api.broker().client(id));
    each.map(|session| session.queued + session.in_flight).sum()
}

/// The same for Prometheus.
pub(super) fn figures(api: &Api, text: &mut Exposition) {
    let mut each = |name: &str, kind: &str, help: &str, value: &dyn Fn(&BridgeFigures) -> u64| {
        text.figure(name, kind, help);
        for bridge in api.bridges() {
            text.sample(name, &[("bridge", &bridge.name)], value(bridge));
        }
    };
    each("bridge_connected", "gauge", "1 while a bridge is connected.", &|bridge| {
        u64::from(bridge.standing().state == BridgeState::Connected)
    });
    each("bridge_waiting_messages", "gauge", "Messages that wait for the other broker.", &|bridge| {
        waiting(api, bridge) as u64
    });
    type Of = fn(&BridgeFigures) -> &Counter;
    let counters: [(&str, &str, Of); 5] = [
        ("bridge_connections_total", "Connections that a bridge made.", |bridge| &bridge.connections_total),
        ("bridge_sent_total", "Messages that the other broker took.", |bridge| &bridge.sent_total),
        ("bridge_received_total", "Messages taken from the other broker.", |bridge| &bridge.received_total),
        ("bridge_looped_total", "Messages stopped because they went round.", |bridge| &bridge.looped_total),
        ("bridge_refused_total", "Messages that one side refused for good.", |bridge| &bridge.refused_total),
    ];
    for (name, help, counter) in counters {
        each(name, "counter", help, &|bridge| counter(bridge).get());
    }
    let mut routes = |name: &str, help: &str, value: &dyn Fn(&RouteFigures) -> u64| {
        text.figure(name, "gauge", help);
        for bridge in api.bridges() {
            for route in &bridge.routes {
                text.sample(name, &[("bridge", &bridge.name), ("route", &route.name)], value(route));
            }
        }
    };
    routes("bridge_route_up", "1 while messages flow on a route of a bridge.", &|route| {
        u64::from(route.standing().state == RouteState::Up)
    });
    routes("bridge_route_held_messages", "Messages in a bridge's hands that are not taken now.", &|route| {
        route.held() as u64
    });
}
