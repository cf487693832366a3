//! Adds the user property `version`, with the value that its configuration gives.

use pliant_guest::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoesVersion {
    version: String,
}

impl Module for EchoesVersion {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }
}

impl Routing for EchoesVersion {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        Decision::readdress(envelope.property("version", &self.version))
    }
}

pliant_guest::export!(EchoesVersion with routing);
