//! The resource `payload`: bytes of the message at hand, handed out piece by piece.

use super::super::bindings::pliant::broker::types::{Host, HostPayload};
use super::super::instance::{Cell, Payload};
use wasmtime::component::Resource;

impl Host for Cell {}

impl HostPayload for Cell {
    fn size(&mut self, _: Resource<Payload>) -> wasmtime::Result<u64> {
        self.spend()?;
        Ok(self.message.as_ref().map_or(0, |message| message.payload().len() as u64))
    }

    fn read(&mut self, _: Resource<Payload>, offset: u64, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.spend()?;
        let bytes = self.message.as_ref().map_or(&[][..], |message| message.payload());
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length as usize).min(bytes.len());
        // Before it is copied: what the module has no memory for would keep the thread from looking at the deadline.
        if end - start > self.services.limits.memory_bytes_max {
            return Err(self.exceeded("memory"));
        }
        Ok(bytes[start..end].to_vec())
    }

    fn drop(&mut self, _: Resource<Payload>) -> wasmtime::Result<()> {
        // Never owned by a guest.
        Ok(())
    }
}
