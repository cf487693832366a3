//! Traps, or never returns, while it is configured.

use pliant_guest::prelude::*;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    forever: bool,
}

struct TrapsInConfigure;

impl Module for TrapsInConfigure {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Refusal> {
        if config.forever {
            loop {
                std::hint::spin_loop();
            }
        }
        panic!("told to trap");
    }
}

impl Routing for TrapsInConfigure {
    fn on_publish(&self, _: &Client, _: Envelope, _: &Payload) -> Decision {
        Decision::keep()
    }
}

pliant_guest::export!(TrapsInConfigure with routing);
