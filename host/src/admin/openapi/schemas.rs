//! The documents that go in and out, by name.

use serde_json::{Map, Value as Json, json};

/// All of them.
pub(super) fn all() -> Json {
    let schemas: Map<String, Json> = [
        ("Message", message()),
        ("Event", event()),
        ("Question", json!({ "oneOf": [of("Message"), of("Event")] })),
        ("Explanation", explanation()),
        ("Decision", decision()),
        ("Published", object(&[("matched", json!({ "type": "boolean", "description": "somebody gets it" }))])),
        ("Samples", samples()),
        ("Config", json!({ "description": "What the module is given; its own documentation says what it knows" })),
        ("ComponentForm", component_form()),
        ("Rollback", rollback()),
        ("Module", module()),
        ("Version", version()),
        ("Canary", canary()),
        ("HookFigures", figures()),
        ("Deployed", deployed()),
        ("LogLine", log_line()),
        ("Client", client()),
        ("Subscription", subscription()),
        ("Queue", queue()),
        ("Retained", retained()),
        ("Bridge", bridge()),
        ("Elsewhere", elsewhere()),
        ("Drain", drain()),
        ("Reloaded", reloaded()),
        ("Problem", problem()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect();
    schemas.into()
}

/// The schema of that name.
pub(super) fn of(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A page of a list.
pub(super) fn page(name: &str) -> Json {
    object(&[
        ("items", list(of(name))),
        (
            "next",
            json!({ "type": ["string", "null"], "description": "?after= of the next page; null: this is the last one" }),
        ),
    ])
}

/// An object of an answer, with all of these.
fn object(properties: &[(&str, Json)]) -> Json {
    object_with(properties, &[])
}

/// The same, with those that may be left out.
fn object_with(properties: &[(&str, Json)], optional: &[(&str, Json)]) -> Json {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let all: Map<String, Json> =
        properties.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": all })
}

fn list(of: Json) -> Json {
    json!({ "type": "array", "items": of })
}

fn typed(kind: &str, description: &str) -> Json {
    json!({ "type": kind, "description": description })
}

fn or_null(kind: &str, description: &str) -> Json {
    json!({ "type": [kind, "null"], "description": description })
}

fn text() -> Json {
    json!({ "type": "string" })
}

fn whole() -> Json {
    json!({ "type": "integer" })
}

fn number() -> Json {
    json!({ "type": "number" })
}

fn flag() -> Json {
    json!({ "type": "boolean" })
}

fn digest() -> Json {
    typed("string", "sha256: and 64 hexadecimal digits, of the component")
}

fn module() -> Json {
    object(&[
        ("name", text()),
        ("version", or_null("integer", "the one that is asked; 0: the bundled or configured one; null: switched off")),
        ("digest", digest()),
        ("order", typed("integer", "modules of a hook are asked by ascending order, then by name")),
        ("on_failure", json!({ "enum": ["refuse", "bypass", "discard"] })),
        ("hooks", list(text())),
        ("state", json!({ "enum": ["active", "off", "quarantined", "broken"] })),
        (
            "problem",
            or_null(
                "string",
                "why it is broken, which version went into quarantine and why, or what ended a canary that nobody ended",
            ),
        ),
        ("canary", json!({ "oneOf": [of("Canary"), { "type": "null" }] })),
        ("quarantined", list(whole())),
        ("bundled", typed("boolean", "it came with the broker or its configuration: it is switched off, not removed")),
        ("calls", typed("integer", "of the active version in this process")),
        ("failures", whole()),
        ("figures", list(of("HookFigures"))),
        ("spares", typed("integer", "instances made beforehand that nobody asks yet")),
        ("description", text()),
        ("module_version", typed("string", "as its author counts")),
        ("state_bytes", whole()),
        ("config", json!({})),
        ("http_hosts", list(text())),
    ])
}

fn version() -> Json {
    object(&[
        ("version", typed("integer", "0: the bundled or configured one")),
        ("digest", digest()),
        ("config", json!({})),
        ("installed_milliseconds", or_null("integer", "since 1970; null for version 0")),
        ("order", typed("integer", "as of a module, while it is asked")),
        ("on_failure", json!({ "enum": ["refuse", "bypass", "discard"] })),
        ("active", typed("boolean", "it is asked")),
        ("canary_percent", or_null("integer", "on trial: so many of a hundred clients follow it")),
        ("quarantined", or_null("string", "it failed too often since it was last put to work; how")),
        ("calls", typed("integer", "in this process, whether it is asked now or was before")),
        ("failures", whole()),
        ("figures", list(of("HookFigures"))),
    ])
}

fn canary() -> Json {
    object(&[
        ("version", whole()),
        ("percent", whole()),
        ("order", typed("integer", "for those who follow it; confirming makes it the module's")),
        ("on_failure", json!({ "enum": ["refuse", "bypass", "discard"] })),
        ("calls", whole()),
        ("failures", whole()),
        ("figures", list(of("HookFigures"))),
    ])
}

fn figures() -> Json {
    object(&[
        ("hook", typed("string", "interface and function, such as routing.on-publish")),
        ("calls", whole()),
        ("failures", whole()),
        ("seconds_total", number()),
        ("p50_microseconds", number()),
        ("p99_microseconds", number()),
        ("max_microseconds", number()),
    ])
}

fn deployed() -> Json {
    object_with(
        &[
            ("name", text()),
            ("version", or_null("integer", "the one that is asked now; null: switched off")),
            ("digest", digest()),
            ("generation", typed("integer", "messages that arrive from now on see this generation or a later one")),
        ],
        &[
            ("canary", typed("integer", "the version that is on trial beside it")),
            ("canary_ended", typed("integer", "the version that was on trial and that nobody follows any more")),
            ("switched_on", typed("boolean", "true: the module was off, and is on now")),
            (
                "hooks_gone",
                json!({
                    "type": "array", "items": text(),
                    "description": "hooks that the version before serves, and what was deployed does not",
                }),
            ),
            ("unchanged", typed("boolean", "true: it was so already, and nothing was stored")),
            (
                "skipped",
                json!({
                    "type": "array", "items": whole(),
                    "description": "versions that were passed over on the way back: in quarantine, or not active before",
                }),
            ),
            (
                "off_as_configured",
                typed(
                    "boolean",
                    "true: it was taken back to what the configuration says of it, and that is that it is off",
                ),
            ),
        ],
    )
}

fn component_form() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["component"],
        "properties": {
            "component": { "contentMediaType": "application/wasm" },
            "config": { "contentMediaType": "application/json", "description": "that of the version before if left out" },
        },
    })
}

fn rollback() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "to": { "type": ["integer", "null"], "minimum": 0, "description": "the version; as in the query" },
            "from": { "type": ["integer", "null"], "minimum": 0, "description": "as in the query" },
            "canary": { "type": ["boolean", "null"], "description": "as in the query" },
        },
    })
}

fn log_line() -> Json {
    object(&[
        ("number", typed("integer", "ascending from 1")),
        ("time_milliseconds", typed("integer", "since 1970")),
        ("level", json!({ "enum": ["trace", "debug", "info", "warn", "error"] })),
        ("line", text()),
    ])
}

/// Of what has a name that is too long for a path.
fn handle() -> (&'static str, Json) {
    ("handle", typed("string", "stands for a name of more than 1,024 bytes in paths, as next stands for it in ?after="))
}

fn client() -> Json {
    let properties = [
        ("id", text()),
        ("identity", or_null("string", "its authenticated name")),
        ("protocol", json!({ "enum": ["mqtt", "amqp", "http", "module"] })),
        ("listener", text()),
        ("peer", typed("string", "address:port")),
        ("connected", flag()),
        ("subscriptions", whole()),
        ("queued", typed("integer", "copies that wait")),
        ("in_flight", typed("integer", "copies that were sent and are not settled")),
        ("expiry_seconds", or_null("integer", "how long its session outlives its connection; null: for ever")),
    ];
    object_with(&properties, &[handle()])
}

fn subscription() -> Json {
    object(&[
        ("client", text()),
        ("filter", typed("string", "in the broker's words")),
        ("name", or_null("string", "in the client's, where they are others")),
        ("share", or_null("string", "the group of a shared subscription")),
        ("qos", whole()),
        ("no_local", flag()),
        ("retain_as_published", flag()),
        ("retain_handling", json!({ "enum": ["always", "if-new", "never"] })),
        ("identifier", or_null("integer", "as the client numbered it")),
    ])
}

fn queue() -> Json {
    let bound = |what| or_null("integer", what);
    object(&[
        ("address", text()),
        ("waiting", typed("integer", "messages that wait for a receiver")),
        ("held", typed("integer", "messages that receivers have and did not settle")),
        ("consumers", whole()),
        (
            "dead_letters",
            or_null(
                "string",
                "where what nobody could deal with goes; null: where the configuration says; empty: nowhere",
            ),
        ),
        ("failures_max", bound("failed attempts after which it does; 0: never; null: as configured")),
        ("messages_max", bound("most messages that wait; null: as configured")),
        ("bytes_max", bound("most bytes that wait; null: as configured")),
        ("expiry_milliseconds", bound("longest time that a message may wait; null: as it says itself")),
        ("bindings", list(text())),
    ])
}

fn retained() -> Json {
    object_with(
        &[
            ("topic", text()),
            ("qos", whole()),
            ("payload_bytes", whole()),
            ("expiry_seconds", or_null("integer", "seconds until it goes; null: it stays")),
        ],
        &[
            ("payload", typed("string", "where it is UTF-8 text")),
            ("payload_base64", typed("string", "where it is none")),
            ("stored_milliseconds", typed("integer", "since 1970; in lists")),
            handle(),
        ],
    )
}

fn bridge() -> Json {
    let route = object(&[
        ("name", text()),
        ("state", text()),
        ("since_milliseconds", whole()),
        ("reason", or_null("string", "why it does not flow")),
        ("held", typed("integer", "messages in its hands that are not taken now")),
    ]);
    object(&[
        ("name", text()),
        ("remote", text()),
        ("state", text()),
        ("since_milliseconds", whole()),
        ("last_error", or_null("string", "of its last connection")),
        ("connections", whole()),
        ("sent", whole()),
        ("received", whole()),
        ("looped", whole()),
        ("refused", whole()),
        ("waiting", whole()),
        ("sessions", list(text())),
        ("routes", list(route)),
    ])
}

fn elsewhere() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "server": {
                "type": "string",
                "default": "",
                "description": "host or host:port, several separated by spaces; empty: clients are not told where to go",
            },
            "permanent": { "type": "boolean", "default": false },
            "clients_per_second": {
                "type": "integer",
                "minimum": 0,
                "default": 0,
                "description": "how many of those who are connected are sent away each second",
            },
        },
    })
}

fn drain() -> Json {
    object(&[
        ("server", text()),
        ("permanent", flag()),
        ("clients_per_second", whole()),
        ("connected", typed("integer", "clients that are still here")),
    ])
}

fn reloaded() -> Json {
    let texts = |description: &str| json!({ "type": "array", "items": text(), "description": description });
    object(&[
        ("applied", texts("keys whose new values hold now, or the other tokens in whose files")),
        ("restart_needed", texts("keys whose new values, or files, hold from the next start")),
        ("waiting", texts("keys of modules that wait behind what was done by hand, each with what that is")),
        ("canaries_ended", texts("modules whose canaries are over now, and which versions those were")),
        ("connections_ended", typed("integer", "connections whose password, token or way in does not hold any more")),
        ("failed", texts("what could not be done, and why")),
    ])
}

fn decision() -> Json {
    object(&[
        ("hook", typed("string", "interface and function")),
        ("module", text()),
        ("version", whole()),
        ("generation", whole()),
        ("answer", text()),
        ("microseconds", number()),
    ])
}

fn explanation() -> Json {
    let copy = object(&[("client", text()), ("decisions", list(of("Decision"))), ("outcome", text())]);
    object_with(
        &[
            ("generation", whole()),
            ("decisions", list(of("Decision"))),
            ("outcome", typed("string", "what becomes of it, in one sentence")),
            ("wishes", typed("array", "topics of what modules wish to be published beside it")),
        ],
        &[
            ("topic", or_null("string", "the broker's; of messages only, as is what follows")),
            ("retained", typed("string", "what becomes of the topic's last value")),
            ("subscribers", list(text())),
            ("deliveries", list(copy)),
            ("translation", list(of("Decision"))),
            ("events", list(of("Decision"))),
        ],
    )
}

fn samples() -> Json {
    object(&[("example", typed("array", "as in a file of examples, without hook and expectation"))])
}

fn event() -> Json {
    json!({
        "type": "object",
        "required": ["event"],
        "additionalProperties": false,
        "properties": {
            "event": { "enum": ["connected", "disconnected", "subscribed", "unsubscribed", "timer"] },
            "filter": { "description": "Of subscribed and unsubscribed", "type": ["string", "null"] },
            "departure": { "description": "Of disconnected; farewell if left out", "type": ["string", "null"] },
            "client": { "description": "About whom; as in a message", "type": ["object", "null"] },
        },
    })
}

fn message() -> Json {
    json!({
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
                    "user": {
                        "description": "Up to 1,000, and 512 KiB of names and values",
                        "type": "array",
                        "maxItems": 1000,
                        "items": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": "string" }] },
                    },
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
                    "listener": {
                        "type": "string",
                        "default": "mqtt",
                        "description": "one that the broker has; admin and bridge stand for the API and the broker's bridges",
                    },
                },
            },
        },
    })
}

fn problem() -> Json {
    object(&[("type", text()), ("title", text()), ("status", whole()), ("detail", text())])
}
