//! The rooms of the broker that are fuzzed, compiled from its own sources. Their paths begin at `crate`, so they have the
//! names here that they have there.

#![allow(dead_code, unused_imports, missing_docs)]

#[path = "../../src/amqp/mod.rs"]
pub mod amqp;
#[path = "../../src/client.rs"]
pub mod client;
#[path = "../../src/dialogue.rs"]
pub mod dialogue;
#[path = "../../src/message.rs"]
pub mod message;
#[path = "../../src/mqtt/mod.rs"]
pub mod mqtt;
#[path = "../../src/sections.rs"]
pub mod sections;
#[path = "../../src/topic.rs"]
pub mod topic;

pub mod frames;
