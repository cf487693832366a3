//! What is asked of the modules of a chain: one file a hook.

mod access;
mod delivery;
mod events;
mod mapping;
mod retain;
mod routing;
mod timers;
mod translation;
mod wills;
mod wish;

pub use access::{Action, Credentials};
pub use delivery::Leaves;
pub use events::{EventKinds, Happening, Loss};
pub use retain::{Replay, RetainAsk, Retention};
pub use routing::{Outcome, Verdict};
pub use timers::Pulses;
pub(super) use wish::UnmetWishes;
pub use wish::{Unmet, Wish};
