//! The module runtime: hooks, failures, limits, versions; without sockets.

mod failures;
mod hooks;
mod imports;
mod rig;
mod versions;
