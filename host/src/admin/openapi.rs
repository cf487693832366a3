//! `GET /api/v1/openapi.json`: the API describes itself.

use super::body::json;
use axum::response::Response;
use serde_json::{Map, Value as Json, json as document};

/// The parameters of an endpoint, beside those in its path.
type Parameters = &'static [(&'static str, &'static str)];

const PAGE: Parameters = &[("limit", "entries on the page"), ("after", "the key after which it begins")];

/// Path, method, what it does, parameters of its query, media type of its body.
const ENDPOINTS: &[(&str, &str, &str, Parameters, Option<&str>)] = &[
    ("/healthz", "get", "Whether the process answers", &[], None),
    ("/readyz", "get", "Whether it is ready to serve", &[], None),
    ("/metrics", "get", "What the broker and its modules count, as Prometheus reads it", &[], None),
    ("/api/v1/modules", "get", "All modules, by name", PAGE, None),
    ("/api/v1/modules/{name}", "get", "One module", &[], None),
    (
        "/api/v1/modules/{name}",
        "put",
        "Put a component to work; 422 with the reason, and nothing changed, if it does not run",
        &[
            ("digest", "sha256: and 64 hexadecimal digits that the component must have"),
            ("order", "modules of a hook are asked by ascending order"),
            ("on_failure", "refuse, bypass or discard"),
            ("config", "a JSON document"),
        ],
        Some("application/wasm"),
    ),
    ("/api/v1/modules/{name}", "delete", "Take a module out; a bundled one is switched off", &[], None),
    ("/api/v1/modules/{name}/versions", "get", "Its versions, oldest first", PAGE, None),
    ("/api/v1/modules/{name}/config", "get", "Its configuration", &[], None),
    (
        "/api/v1/modules/{name}/config",
        "put",
        "Another configuration, as a version of its own",
        &[],
        Some("application/json"),
    ),
    (
        "/api/v1/modules/{name}/rollback",
        "post",
        "Back to an earlier version",
        &[("to", "which, unless a JSON body says it as `to`; otherwise the one before")],
        None,
    ),
    ("/api/v1/modules/{name}/confirm", "post", "End a canary", &[], None),
    ("/api/v1/modules/{name}/enable", "post", "On again", &[], None),
    ("/api/v1/modules/{name}/disable", "post", "Off, its versions kept", &[], None),
    (
        "/api/v1/modules/{name}/logs",
        "get",
        "Recent lines; as server-sent events on Accept: text/event-stream",
        PAGE,
        None,
    ),
    (
        "/api/v1/explain",
        "post",
        "One message in, every decision out, those about its copies and its loss included; or an event (connected, disconnected, \
         subscribed, unsubscribed, timer); nothing is published or kept",
        &[],
        Some("application/json"),
    ),
    (
        "/api/v1/record",
        "post",
        "Samples of what clients publish, for pliant module test --replay",
        &[("filter", "topics; # if left out"), ("count", "at most so many"), ("seconds", "for so long at most")],
        None,
    ),
    ("/api/v1/publish", "post", "Publish a message", &[], Some("application/json")),
    ("/api/v1/bridges", "get", "How the bridges to other brokers stand, and what they count", &[], None),
    ("/api/v1/clients", "get", "Who is connected or expected back", PAGE, None),
    ("/api/v1/clients/{id}", "get", "One client", &[], None),
    (
        "/api/v1/clients/{id}",
        "delete",
        "End a client's connection",
        &[
            ("server", "where it is told to go instead"),
            ("permanent", "true: for good"),
            ("session", "true: end its session, too, with all that waits in it; it need not be connected"),
        ],
        None,
    ),
    ("/api/v1/drain", "get", "Where clients are sent, and how many are still here", &[], None),
    (
        "/api/v1/drain",
        "put",
        "Turn clients away that come, and send those who are here away at a pace: server, permanent, clients_per_second",
        &[],
        Some("application/json"),
    ),
    ("/api/v1/drain", "delete", "Clients are welcome again", &[], None),
    ("/api/v1/subscriptions", "get", "What is subscribed; pages are counted in clients", PAGE, None),
    ("/api/v1/retained", "get", "What is retained, by topic", PAGE, None),
    ("/api/v1/retained/{topic}", "get", "What is retained of one topic", &[], None),
    ("/api/v1/retained/{topic}", "delete", "Forget what is retained of one topic", &[], None),
    ("/api/v1/reload", "post", "Read the configuration again", &[], None),
    ("/api/v1/openapi.json", "get", "This document", &[], None),
];

/// The description.
pub(super) async fn openapi() -> Response {
    json(&description())
}

fn description() -> Json {
    let mut paths = Map::new();
    for (path, method, summary, query, body) in ENDPOINTS {
        let methods = paths.entry(*path).or_insert_with(|| Json::Object(Map::new()));
        methods[*method] = operation(path, summary, query, *body);
    }
    document!({
        "openapi": "3.1.0",
        "info": { "title": "Pliant", "version": env!("CARGO_PKG_VERSION") },
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Message": message(), "Event": event(), "Problem": problem() },
        },
        "security": [{ "token": [] }],
        "paths": paths,
    })
}

fn operation(path: &str, summary: &str, query: Parameters, body: Option<&str>) -> Json {
    let parameter = |name: &str, place: &str, says: &str| document!({ "name": name, "in": place, "required": place == "path", "description": says, "schema": { "type": "string" } });
    let in_path = path.split(['{', '}']).skip(1).step_by(2).map(|name| parameter(name, "path", ""));
    let in_query = query.iter().map(|(name, says)| parameter(name, "query", says));
    let problem = document!({
        "description": "Why not",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let mut operation = document!({
        "summary": summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": { "2XX": { "description": "Done" }, "default": problem },
    });
    if let Some(kind) = body {
        let schema = match path {
            "/api/v1/publish" => document!({ "$ref": "#/components/schemas/Message" }),
            "/api/v1/explain" => document!({ "oneOf": [
                { "$ref": "#/components/schemas/Message" },
                { "$ref": "#/components/schemas/Event" },
            ] }),
            _ => document!({}),
        };
        operation["requestBody"] = document!({ "required": true, "content": { kind: { "schema": schema } } });
    }
    if matches!(path, "/healthz" | "/readyz") {
        operation["security"] = document!([]);
    }
    operation
}

fn event() -> Json {
    document!({
        "type": "object",
        "required": ["event"],
        "additionalProperties": false,
        "properties": {
            "event": { "enum": ["connected", "disconnected", "subscribed", "unsubscribed", "timer"] },
            "filter": { "description": "Of subscribed and unsubscribed", "type": "string" },
            "departure": { "description": "Of disconnected; farewell if left out", "type": "string" },
            "client": { "description": "About whom; as in a message", "type": "object" },
        },
    })
}

fn message() -> Json {
    document!({
        "type": "object",
        "required": ["topic"],
        "additionalProperties": false,
        "properties": {
            "topic": { "type": "string" },
            "payload": { "type": "string" },
            "payload_base64": { "type": "string", "contentEncoding": "base64" },
            "qos": { "enum": [0, 1, 2], "default": 0 },
            "retain": { "type": "boolean", "default": false },
            "expiry_seconds": { "type": "integer", "minimum": 0 },
            "properties": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "content_type": { "type": "string" },
                    "payload_is_text": { "type": "boolean" },
                    "response_topic": { "type": "string" },
                    "correlation_data": { "type": "string" },
                    "correlation_data_base64": { "type": "string", "contentEncoding": "base64" },
                    "user": { "type": "array", "items": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": "string" }] } },
                },
            },
            "client": {
                "description": "On whose behalf; for explain only",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "id": { "type": "string" },
                    "identity": { "type": ["string", "null"] },
                    "protocol": { "enum": ["mqtt", "amqp", "http"], "default": "mqtt" },
                    "listener": { "type": "string", "default": "mqtt" },
                },
            },
        },
    })
}

fn problem() -> Json {
    document!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_described_once() {
        let paths = description()["paths"].clone();
        let described: usize =
            paths.as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(described, ENDPOINTS.len());
        let parameters = &paths["/api/v1/clients/{id}"]["delete"]["parameters"];
        assert_eq!(parameters[0]["name"], "id");
    }

    #[test]
    fn every_route_is_described() {
        let routes = include_str!("routes.rs");
        let routed = routes.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next());
        for path in routed {
            let path = path.replace("{*", "{");
            assert!(ENDPOINTS.iter().any(|(described, ..)| *described == path), "{path} is not described");
        }
    }
}
