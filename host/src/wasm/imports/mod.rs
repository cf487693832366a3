//! What a module may call: one file an interface.

pub(super) mod clock;
pub(super) mod http;
pub(super) mod log;
pub(super) mod metrics;
pub(super) mod payload;
pub(super) mod retained;
pub(super) mod state;
pub(super) mod wasi;
