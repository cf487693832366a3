//! The module runtime: hooks, failures, limits, versions; the bundled modules as components. Without sockets.

mod beside;
pub(crate) mod bombs;
mod bundled;
mod canary;
mod components;
mod examples;
mod failures;
mod going_back;
mod hooks;
mod hostile;
mod imports;
mod last_word;
mod machine_code;
mod meanwhile;
mod nursery;
mod quarantine;
mod rig;
mod signed;
mod sprawl;
mod versions;
