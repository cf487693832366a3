//! The rooms of the broker that are fuzzed, compiled from its own sources. Their paths begin at `crate`, so they have the
//! names here that they have there.

#![allow(dead_code, unused_imports, missing_docs)]

#[path = "../../src"]
mod rooms {
    pub mod amqp;
    pub mod client;
    pub mod dialogue;
    pub mod message;
    pub mod metrics;
    pub mod mqtt;
    pub mod sections;
    pub mod topic;
}

pub mod frames;
pub mod net;

/// The writer of the machine's own rows.
#[path = "../../src/amqp/tests/raw.rs"]
pub mod raw;

pub use rooms::*;
