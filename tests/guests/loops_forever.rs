//! Never answers where the topic begins with `bad`.

use pliant_guest::prelude::*;

struct LoopsForever;

impl Module for LoopsForever {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

impl Routing for LoopsForever {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        while envelope.topic.starts_with("bad") {
            std::hint::spin_loop();
        }
        Decision::keep()
    }
}

pliant_guest::export!(LoopsForever with routing);
