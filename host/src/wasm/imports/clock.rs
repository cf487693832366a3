//! `clock`: the broker's time.

use super::super::bindings::pliant::broker::clock::Host;
use super::super::instance::Cell;

impl Host for Cell {
    fn now_milliseconds(&mut self) -> u64 {
        (self.services.clock)().0
    }
}
