//! Pliant: a message broker that people can bend. The rooms, in floor order; `ARCHITECTURE.md` draws the map.

pub mod client;
pub mod message;
pub mod metrics;
pub mod rare;
pub mod sections;
pub mod topic;

pub mod dialogue;
pub mod store;

pub mod amqp;
pub mod identity;
pub mod mqtt;
pub mod wasm;

pub mod broker;

pub mod admin;
pub mod bridge;
pub mod net;

pub mod cli;
pub mod config;
pub mod server;
