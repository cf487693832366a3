//! The module runtime: hooks, failures, limits, versions; the bundled modules as components. Without sockets.

mod beside;
mod bundled;
mod components;
mod failures;
mod hooks;
mod imports;
mod rig;
mod versions;
