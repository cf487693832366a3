//! The table of endpoints: what each takes, and what it answers.

use crate::wasm::ORDER_MAX;

/// One method of one path.
#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    /// Parameters of its query; those of the path are read off it.
    pub(super) query: &'static [Parameter],
    pub(super) body: Option<Body>,
    pub(super) answer: Answer,
    /// What else it may answer, beside what every endpoint of its kind may.
    pub(super) problems: &'static [u16],
}

/// One parameter of a query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) says: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Flag,
    /// A whole number, from and up to.
    Whole(i64, Option<i64>),
    OneOf(&'static [&'static str]),
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// A component, or a form of that and its configuration.
    Component,
    /// A JSON document of this schema.
    Of(&'static str),
    /// The same, and it may be left out.
    Perhaps(&'static str),
}

/// The answer where all is well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// 200 with a JSON document of this schema.
    Of(&'static str),
    /// 200 with a page of those.
    Page(&'static str),
    /// 200 with any JSON document.
    Any,
    /// 200 with text.
    Text,
    /// 204.
    Nothing,
}

const fn parameter(name: &'static str, kind: Kind, says: &'static str) -> Parameter {
    Parameter { name, kind, says }
}

/// A number that is too great or too small is taken as the nearest that can be; a client need not know `admin.page_max`.
const LIMIT: Parameter = parameter(
    "limit",
    Kind::Whole(0, None),
    "entries on the page, 100 if left out; more than admin.page_max are taken as that, 0 as 1",
);
const PAGE: &[Parameter] =
    &[LIMIT, parameter("after", Kind::Text, "the key after which it begins: next of the page before")];
const NUMBERED: &[Parameter] =
    &[LIMIT, parameter("after", Kind::Whole(0, None), "the number after which it begins: next of the page before")];

const DEPLOY: &[Parameter] = &[
    parameter("digest", Kind::Text, "sha256: and 64 hexadecimal digits that the component must have"),
    parameter("signature", Kind::Text, "its signature, in base64, as pliant module sign prints it"),
    parameter(
        "order",
        Kind::Whole(-(ORDER_MAX as i64), Some(ORDER_MAX as i64)),
        "modules of a hook are asked by ascending order",
    ),
    parameter(
        "on_failure",
        Kind::OneOf(&["refuse", "bypass", "discard"]),
        "what becomes of messages on which it fails",
    ),
    parameter(
        "config",
        Kind::Text,
        "a JSON document, where it is short (admin.head_bytes_max): otherwise it comes with the component, as a part of a form; \
         that of the active version if left out",
    ),
    parameter(
        "canary",
        Kind::Whole(1, Some(100)),
        "so many of a hundred clients follow the new version, until it is confirmed or rolled back",
    ),
    parameter(
        "if_changed",
        Kind::Flag,
        "not with canary: where it is so already nothing is stored \
         (`unchanged`); otherwise it is a version of its own all the same",
    ),
];

const IF_CHANGED: &str =
    "where it is so already nothing is stored (`unchanged`); otherwise it is a version of its own all the same";

const CONFIGURE: &[Parameter] = &[parameter("if_changed", Kind::Flag, IF_CHANGED)];

const DISCONNECT: &[Parameter] = &[
    parameter("server", Kind::Text, "where it is told to go instead: host or host:port, several separated by spaces"),
    parameter("permanent", Kind::Flag, "for good"),
    parameter("session", Kind::Flag, "end its session, too, with all that waits in it; it need not be connected"),
];

const RECORD: &[Parameter] = &[
    parameter("filter", Kind::Text, "topics; # if left out"),
    parameter("count", Kind::Whole(1, Some(1_000)), "at most so many; 100 if left out"),
    parameter("seconds", Kind::Whole(1, Some(60)), "for so long at most; 10 if left out"),
];

const ROLLBACK: &[Parameter] = &[
    parameter(
        "to",
        Kind::Whole(0, None),
        "which, here or in the body; otherwise a canary is taken back, or, where there is none, what was active before and is not in \
         quarantine is put to work; that the module is off, as the configuration says, has to be named (0)",
    ),
    parameter(
        "from",
        Kind::Whole(0, None),
        "the version that has to be active, or the canary's, which is taken back then; 409 otherwise, and where, without to or canary, \
         it is active beside a canary: the same twice goes back once",
    ),
    parameter("canary", Kind::Flag, "a canary is taken back, and nothing else happens; 422 if there is none"),
];

const WIDEN: &[Parameter] = &[parameter(
    "percent",
    Kind::Whole(1, Some(100)),
    "so many of a hundred clients follow it from now on; those who do stay, where they become more",
)];

/// Headers of those that may answer 412.
pub(super) const PRECONDITIONS: [(&str, &str); 2] = [
    ("If-Match", "the module is as it was with one of these tags (ETag), or 412"),
    ("If-None-Match", "it is another one than with these, or 412, of a GET 304; *: there is none"),
];

/// A `GET` without a query.
const fn get(path: &'static str, summary: &'static str, answer: Answer, problems: &'static [u16]) -> Endpoint {
    Endpoint { path, method: "get", summary, query: &[], body: None, answer, problems }
}

/// A `GET` of a page.
const fn list(path: &'static str, summary: &'static str, of: &'static str, problems: &'static [u16]) -> Endpoint {
    Endpoint { path, method: "get", summary, query: PAGE, body: None, answer: Answer::Page(of), problems }
}

/// A change without a query or a body.
const fn change(method: &'static str, path: &'static str, summary: &'static str, answer: Answer) -> Endpoint {
    Endpoint { path, method, summary, query: &[], body: None, answer, problems: &[404, 412, 422, 503] }
}

impl Endpoint {
    const fn asking(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn taking(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn failing(self, problems: &'static [u16]) -> Self {
        Self { problems, ..self }
    }
}

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/healthz", "Whether the process answers", Answer::Text, &[]),
    get("/readyz", "Whether it is ready to serve", Answer::Text, &[503]),
    get("/metrics", "What the broker and its modules count, as Prometheus reads it", Answer::Text, &[]),
    list("/api/v1/modules", "All modules, by name", "Module", &[]),
    get("/api/v1/modules/{name}", "One module", Answer::Of("Module"), &[404, 412]),
    change(
        "put",
        "/api/v1/modules/{name}",
        "Put a component to work; 422 with the reason, and nothing changed, if it does not run",
        Answer::Of("Deployed"),
    )
    .asking(DEPLOY)
    .taking(Body::Component)
    .failing(&[412, 422, 503]),
    change(
        "delete",
        "/api/v1/modules/{name}",
        "Take a module out; a bundled one is switched off",
        Answer::Of("Deployed"),
    ),
    list("/api/v1/modules/{name}/versions", "Its versions, oldest first", "Version", &[404]).asking(NUMBERED),
    get("/api/v1/modules/{name}/config", "Its configuration", Answer::Any, &[404]),
    change(
        "put",
        "/api/v1/modules/{name}/config",
        "Another configuration, as a version of its own; a canary of the module is over then",
        Answer::Of("Deployed"),
    )
    .asking(CONFIGURE)
    .taking(Body::Of("Config")),
    change("post", "/api/v1/modules/{name}/rollback", "Back to an earlier version", Answer::Of("Deployed"))
        .asking(ROLLBACK)
        .taking(Body::Perhaps("Rollback"))
        .failing(&[404, 409, 412, 422, 503]),
    change("post", "/api/v1/modules/{name}/confirm", "End a canary: every client follows it", Answer::Of("Deployed")),
    change("post", "/api/v1/modules/{name}/canary", "More or fewer clients follow a canary", Answer::Of("Deployed"))
        .asking(WIDEN),
    change("post", "/api/v1/modules/{name}/enable", "On again", Answer::Of("Deployed")),
    change(
        "post",
        "/api/v1/modules/{name}/disable",
        "Off, its versions kept; a canary of the module is over then",
        Answer::Of("Deployed"),
    ),
    list(
        "/api/v1/modules/{name}/logs",
        "Recent lines, oldest first; as server-sent events on Accept: text/event-stream, each with its number as id, from after the \
         one that Last-Event-ID or after names (from the first where the log has not come so far); event missed: so many lines went \
         before they could be told",
        "LogLine",
        &[404],
    )
    .asking(NUMBERED),
    change(
        "post",
        "/api/v1/explain",
        "One message in, every decision out, those about its copies and its loss included; or an event (connected, disconnected, \
         subscribed, unsubscribed, timer); nothing is published or kept",
        Answer::Of("Explanation"),
    )
    .taking(Body::Of("Question"))
    .failing(&[422, 503]),
    change(
        "post",
        "/api/v1/record",
        "Samples of what clients publish, for pliant module test --replay",
        Answer::Of("Samples"),
    )
    .asking(RECORD)
    .failing(&[]),
    change("post", "/api/v1/publish", "Publish a message; on disk when it answers", Answer::Of("Published"))
        .taking(Body::Of("Message"))
        .failing(&[422, 501, 503]),
    list("/api/v1/bridges", "How the bridges to other brokers stand, and what they count", "Bridge", &[]),
    list("/api/v1/clients", "Who is connected or expected back", "Client", &[]),
    get("/api/v1/clients/{id}", "One client", Answer::Of("Client"), &[404]),
    change("delete", "/api/v1/clients/{id}", "End a client's connection", Answer::Nothing)
        .asking(DISCONNECT)
        .failing(&[404, 503]),
    list("/api/v1/queues", "What queues there are; $management over AMQP makes and changes them", "Queue", &[]),
    get("/api/v1/drain", "Where clients are sent, and how many are still here", Answer::Of("Drain"), &[404]),
    change(
        "put",
        "/api/v1/drain",
        "Turn clients away that come, and send those who are here away at a pace",
        Answer::Nothing,
    )
    .taking(Body::Of("Elsewhere"))
    .failing(&[]),
    change("delete", "/api/v1/drain", "Clients are welcome again", Answer::Nothing).failing(&[404]),
    list("/api/v1/subscriptions", "What is subscribed, by client and filter; a page may have fewer than limit", "Subscription", &[]),
    list("/api/v1/retained", "What is retained, by topic; payloads up to 1,024 bytes", "Retained", &[]),
    get("/api/v1/retained/{topic}", "What is retained of one topic", Answer::Of("Retained"), &[404]),
    change("delete", "/api/v1/retained/{topic}", "Forget what is retained of one topic", Answer::Nothing)
        .failing(&[404, 503]),
    change(
        "post",
        "/api/v1/reload",
        "Read the configuration again; 422 with what is wrong with it, or what a module does not take of it, and nothing \
         changed",
        Answer::Of("Reloaded"),
    )
    .failing(&[422, 503]),
    get("/api/v1/openapi.json", "This document", Answer::Any, &[]),
];
