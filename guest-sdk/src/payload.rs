//! `Payload`: the bytes of a message, which stay with the host until a module asks for them.

use alloc::{string::String, vec::Vec};

/// The bytes of a message.
///
/// They stay with the host: a module that looks only at the size, or at the first bytes, does
/// not pay for the rest. In a native unit test it is made from bytes: `Payload::from(b"on")`.
pub struct Payload<'a>(
    #[cfg(target_family = "wasm")] &'a crate::worlds::every_module::pliant::broker::types::Payload,
    #[cfg(not(target_family = "wasm"))] &'a [u8],
);

#[cfg(target_family = "wasm")]
impl<'a> Payload<'a> {
    pub(crate) fn of(handle: &'a crate::worlds::every_module::pliant::broker::types::Payload) -> Self {
        Payload(handle)
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// At most `length` bytes from `offset`; shorter at the end, empty past it.
    pub fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        self.0.read(offset, length)
    }
}

#[cfg(not(target_family = "wasm"))]
impl Payload<'_> {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// At most `length` bytes from `offset`; shorter at the end, empty past it.
    pub fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(length as usize).min(self.0.len());
        self.0[start..end].to_vec()
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Payload(bytes)
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Payload(bytes)
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Payload(text.as_bytes())
    }
}

impl Payload<'_> {
    /// No bytes at all, which deletes a retained value.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// All bytes. They count against the module's memory bound: ask for the size first where
    /// a payload may be large.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read(0, u32::MAX)
    }

    /// All of it as text; none if it is not UTF-8.
    pub fn text(&self) -> Option<String> {
        String::from_utf8(self.to_vec()).ok()
    }
}
