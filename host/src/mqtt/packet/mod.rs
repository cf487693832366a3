//! The packets: framing, the strict gate, and what each one says.
//!
//! Every reader takes the bytes of one whole packet, checks all of it and allocates nothing from a declared length.

pub mod acknowledgement;
pub mod auth;
pub mod connect;
pub mod control;
pub mod disconnect;
pub mod header;
pub mod kind;
pub mod message_properties;
pub mod property;
pub mod publish;
pub mod reader;
pub mod subscribe;
pub mod text;
mod version;
pub mod writer;

#[cfg(test)]
mod mqttbytes_faults;

pub use version::Version;
