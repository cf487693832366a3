//! `clock`: the broker's time.

use super::super::bindings::pliant::broker::clock::Host;
use super::super::instance::Cell;

impl Host for Cell {
    fn now_milliseconds(&mut self) -> wasmtime::Result<u64> {
        self.spend()?;
        Ok((self.services.clock)().0)
    }
}
