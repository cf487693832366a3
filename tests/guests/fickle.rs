//! Says which version it is, and fails where and when its configuration says.

use core::cell::Cell;
use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: String,
    /// The first so many messages of an instance are fine; all others fail.
    #[serde(default)]
    fine: Option<u32>,
    /// Messages of these topics fail.
    #[serde(default)]
    fails: Vec<Filter>,
}

struct Fickle {
    config: Config,
    seen: Cell<u32>,
}

impl Module for Fickle {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        Ok(Self { config, seen: Cell::new(0) })
    }
}

impl Routing for Fickle {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        self.seen.set(self.seen.get() + 1);
        let fails = self.config.fine.is_some_and(|fine| self.seen.get() > fine)
            || self.config.fails.iter().any(|filter| filter.matches(&envelope.topic));
        assert!(!fails, "as it was asked to");
        Decision::readdress(envelope.property("version", self.config.version.as_str()))
    }
}

pliant_guest::export!(Fickle with routing);
