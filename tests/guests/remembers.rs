//! Uses every import: counts in its state, logs, exports figures, reads the clock and a retained message. The answers go
//! out as user properties.

use pliant_guest::prelude::*;

struct Remembers;

impl Module for Remembers {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

impl Routing for Remembers {
    fn on_publish(&self, publisher: &Client, envelope: Envelope, _: &Payload) -> Decision {
        let seen = state::add("seen", 1).map_or_else(|error| format!("{error:?}"), |sum| sum.to_string());
        let first = state::compare_and_set("first", None, envelope.topic.as_bytes());
        let again = state::compare_and_set("first", None, b"other");
        let too_large = state::set(&"k".repeat(257), b"", None);
        let brief = state::get("brief").is_some();
        let _ = state::set("brief", b"x", Some(1));
        let mut filled = 0;
        if envelope.topic == "fill" {
            while state::set(&format!("fill-{filled}"), &[0; 1000], None).is_ok() {
                filled += 1;
            }
        }
        log::warn(format!("seen {seen}"));
        metrics::count("seen", 1);
        metrics::gauge("topic_bytes", envelope.topic.len() as f64);
        let last = retained::get("last").map(|message| String::from_utf8_lossy(&message.payload).into_owned());
        let says = envelope
            .property("publisher", &publisher.id)
            .property("seen", seen)
            .property("first", format!("{:?} {:?} {}", first.ok(), again.ok(), too_large.is_err()))
            .property("first-topic", String::from_utf8_lossy(&state::get("first").unwrap_or_default()))
            .property("brief", brief.to_string())
            .property("filled", filled.to_string())
            .property("now", clock::now_milliseconds().to_string())
            .property("last", last.unwrap_or_default());
        Decision::readdress(says)
    }
}

pliant_guest::export!(Remembers with routing);
