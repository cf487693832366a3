//! Adds the user property `version`, with the value that its configuration gives.

use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoesVersion {
    version: String,
    /// From this instance on `configure` traps.
    #[serde(default)]
    last_start: Option<i64>,
}

impl Module for EchoesVersion {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        if let Some(last) = config.last_start {
            assert!(state::add("starts", 1).unwrap_or(0) <= last, "one instance too many");
        }
        Ok(config)
    }
}

impl Routing for EchoesVersion {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        Decision::readdress(envelope.property("version", &self.version))
    }
}

pliant_guest::export!(EchoesVersion with routing);
