//! Takes memory and keeps it where the topic begins with `bad`.

use pliant_guest::prelude::*;
use std::cell::RefCell;

struct EatsMemory(RefCell<Vec<Vec<u8>>>);

impl Module for EatsMemory {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self(RefCell::new(Vec::new())))
    }
}

impl Routing for EatsMemory {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        while envelope.topic.starts_with("bad") {
            // Pages that are not touched cost no time, so that memory runs out before the deadline.
            self.0.borrow_mut().push(Vec::with_capacity(1 << 20));
        }
        Decision::keep()
    }
}

pliant_guest::export!(EatsMemory with routing);
