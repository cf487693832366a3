//! How many bytes all messages of this process take. Counted where a message is made and where its last copy goes; the sum
//! is asked for once in a while.

use crate::metrics::Spread;

/// A message's bytes beside topic, properties and payload, roughly.
const OVERHEAD: usize = 256;

static LIVE: Spread = Spread::new();

/// Bytes of a message, or of what is to become one, counted for as long as this lives.
#[derive(Debug)]
pub struct Weight(usize);

impl Weight {
    /// Of a message with so many bytes of content.
    pub fn new(content: usize) -> Self {
        let bytes = content.saturating_add(OVERHEAD);
        LIVE.add(bytes as i64);
        Self(bytes)
    }

    /// How many bytes count.
    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        LIVE.add(-(self.0 as i64));
    }
}

/// Bytes of all messages that are alive, roughly.
pub fn live_bytes() -> usize {
    usize::try_from(LIVE.sum()).unwrap_or_default()
}
