//! Configuration: read as written (file, environment, flags), checked, and handed on as meant (each room's `Limits`).
//!
//! Rooms never see TOML; what is wrong is said with file and line.

mod admin;
mod assemble;
mod auth;
mod bridges;
mod meant;
mod problem;
mod settings;
mod written;

pub use assemble::{Origins, Sources};
pub use auth::{AllowAnonymous, Auth, Order};
pub use meant::{
    Admin, Bind, ClientCertificate, Config, DurabilityName, List, Listener, Module, OnFailure, ProtocolName, Signing,
    Tls, Transport,
};
pub use problem::{ConfigError, Origin, Problem};
pub use settings::{Change, differences, effective};

#[cfg(test)]
mod tests;
