//! Traps where the topic begins with `bad`; elsewhere tells how many messages this instance has seen.

use pliant_guest::prelude::*;
use std::cell::Cell;

struct Traps(Cell<u32>);

impl Module for Traps {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self(Cell::new(0)))
    }
}

fn deeper(n: u64) -> u64 {
    if std::hint::black_box(n) == u64::MAX { n } else { deeper(n + 1).wrapping_add(1) }
}

impl Routing for Traps {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        match envelope.topic.as_str() {
            "bad/stack" => assert_eq!(deeper(0), 0),
            topic => assert!(!topic.starts_with("bad"), "told to trap"),
        }
        self.0.set(self.0.get() + 1);
        Decision::readdress(envelope.property("seen", self.0.get().to_string()))
    }
}

pliant_guest::export!(Traps with routing);
