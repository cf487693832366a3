//! Answers with more than anybody asked for in every hook, says what no name is, and wants more of each service than it may
//! have; as its configuration names it. `good` topics are let pass.

use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sprawls {
    mode: String,
    /// Of what it publishes.
    #[serde(default)]
    topic: String,
    /// From this instance on `configure` traps.
    #[serde(default)]
    last_start: Option<i64>,
    #[serde(default)]
    tick_milliseconds: Option<u32>,
}

const MEBIBYTE: usize = 1 << 20;

/// What no name, line or topic should be.
const ODD: [&str; 12] = [
    "",
    "a\nb",
    "a\r\nERROR forged",
    "a\"b",
    "a\\b",
    "a\0b",
    "\u{1b}[2J",
    "{x=\"y\"} 1\nforged 1",
    "größer",
    "9",
    "# HELP x",
    "a b",
];

impl Module for Sprawls {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        if let Some(last) = config.last_start {
            assert!(state::add("starts", 1).unwrap_or(0) <= last, "one instance too many");
        }
        Ok(config)
    }

    fn manifest(&self) -> Manifest {
        Manifest { tick_milliseconds: self.tick_milliseconds, ..Manifest::default() }
    }
}

impl Sprawls {
    fn text(&self) -> String {
        "x".repeat(MEBIBYTE)
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }

    fn refusal(&self) -> Refusal {
        Refusal { kind: RefusalKind::QuotaExceeded, reason: self.text() }
    }

    fn envelope(&self, topic: &str) -> Envelope {
        let mut envelope = Envelope::new(topic);
        match self.mode.as_str() {
            "text" => envelope.content_type = Some(self.text()),
            "list" => envelope.user_properties = vec![(String::new(), String::new()); 1 << 20],
            _ => {}
        }
        envelope
    }

    /// A list of messages past every bound on it, or some that are too large.
    fn messages(&self) -> Vec<Message> {
        match self.mode.as_str() {
            "list" => vec![Message::new("a", ""); 100_000],
            "bytes" => vec![Message::new("a", vec![7; MEBIBYTE]); 3],
            "text" => vec![Message { envelope: self.envelope("a"), payload: Vec::new() }],
            "wishes" => vec![Message::new(self.topic.as_str(), "wished for")],
            _ => Vec::new(),
        }
    }

    /// Wants more of each service than a call, or a second, has.
    fn use_up(&self) {
        let name = |n: u32| format!("name_{n}");
        match self.mode.as_str() {
            "names" => {
                for odd in ODD.iter().map(|odd| odd.to_string()).chain([self.text()]) {
                    log::warn(&odd);
                    metrics::count(&odd, 1);
                    metrics::gauge(&odd, 1.0);
                    let _ = retained::get(&odd);
                    let _ = state::set(&odd, odd.as_bytes(), None);
                }
                metrics::gauge("no_number", f64::NAN);
                metrics::gauge("much", f64::INFINITY);
                metrics::gauge("little", f64::NEG_INFINITY);
                metrics::gauge("digits", f64::MAX);
                metrics::count("most", u64::MAX);
            }
            "logs" => (0..600).for_each(|n| log::info(name(n))),
            "figures" => (0..100).for_each(|n| metrics::count(&name(n), 1)),
            "states" => (0..300).for_each(|_| _ = state::set("key", &[7; 60_000], None)),
            "looks-up" => (0..2_000).for_each(|_| drop(retained::get("nothing"))),
            "looks-at-much" => (0..10).for_each(|_| drop(retained::get("large"))),
            _ => {}
        }
    }
}

impl Routing for Sprawls {
    fn on_publish(&self, _: &Client, envelope: Envelope, payload: &Payload) -> Decision {
        if envelope.topic.starts_with("good") {
            return Decision::keep();
        }
        self.use_up();
        match self.mode.as_str() {
            "refuses" => Decision::refuse(self.refusal()),
            "text" | "list" => Decision::readdress(self.envelope(&envelope.topic)),
            "bytes" => Decision::replace(Message::new("a", vec![7; 3 * MEBIBYTE])),
            "reads-all" => {
                let bytes = payload.read(0, u32::MAX).len();
                Decision::readdress(envelope.property("bytes", bytes.to_string()))
            }
            "wishes" => self.messages().into_iter().fold(Decision::keep(), Decision::also),
            _ => Decision::keep(),
        }
    }
}

impl RetainPolicy for Sprawls {
    fn on_publish(&self, _: &Client, envelope: &Envelope, _: &Payload) -> Retention {
        match self.mode.as_str() {
            "refuses-to-keep" if !envelope.topic.starts_with("good") => Retention::Refuse(self.refusal()),
            _ => Retention::AsFlagged,
        }
    }
}

impl WillHandling for Sprawls {
    fn on_register(&self, _: &Client, will: Will) -> Result<Option<Will>, Refusal> {
        match self.mode.as_str() {
            "refuses" => Err(self.refusal()),
            "text" | "list" => Ok(Some(Will::new(Message { envelope: self.envelope("a"), payload: Vec::new() }))),
            "registers" => Ok(Some(Will::new(Message::new(self.topic.as_str(), "wished for")))),
            _ => Ok(Some(will)),
        }
    }

    fn on_departure(&self, _: &Client, _: Will, _: Departure) -> Vec<Message> {
        self.messages()
    }
}

impl Access for Sprawls {
    fn authenticate(&self, _: &Credentials) -> Option<Result<String, Refusal>> {
        match self.mode.as_str() {
            "text" => Some(Ok(self.text())),
            "refuses" => Some(Err(self.refusal())),
            _ => None,
        }
    }

    fn authorize(&self, _: &Client, _: Action, _: &str) -> Option<bool> {
        None
    }
}

impl TopicMapping for Sprawls {
    fn publish_topic(&self, _: &Scope, name: &str) -> Result<String, Refusal> {
        match self.mode.as_str() {
            _ if name.starts_with("good") => Ok(name.to_owned()),
            "text" => Ok(self.text()),
            "refuses" => Err(self.refusal()),
            "maps" => Ok(self.topic.clone()),
            _ => Ok(name.to_owned()),
        }
    }

    fn subscribe_filter(&self, scope: &Scope, filter: &str) -> Result<String, Refusal> {
        self.publish_topic(scope, filter)
    }

    fn deliver_name(&self, _: &Scope, topic: &str) -> String {
        if self.is("text") { self.text() } else { topic.to_owned() }
    }
}

impl Delivery for Sprawls {
    fn on_deliver(&self, _: &Client, envelope: Envelope, _: &Payload) -> Outcome {
        match self.mode.as_str() {
            _ if envelope.topic.starts_with("good") => Outcome::Pass,
            "text" | "list" => Outcome::Replace(Message { envelope: self.envelope("a"), payload: Vec::new() }),
            "bytes" => Outcome::Replace(Message::new("a", vec![7; 3 * MEBIBYTE])),
            _ => Outcome::Pass,
        }
    }
}

impl Events for Sprawls {
    fn on_events(&self, _: Vec<Event>) -> Vec<Message> {
        self.messages()
    }
}

impl Timers for Sprawls {
    fn on_tick(&self, now: u64) -> Vec<Message> {
        if self.is("writes-on-ticks") {
            // As long as a call may take, so that whatever happens to the module happens meanwhile.
            let until = clock::now_milliseconds() + 3;
            while clock::now_milliseconds() < until {
                let _ = state::set("ticked", &now.to_le_bytes(), None);
            }
        }
        self.messages()
    }
}

pliant_guest::export!(
    Sprawls with routing, retain_policy, will_handling, access, topic_mapping, delivery, events, timers
);
