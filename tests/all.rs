//! Table of contents.
//!
//! `cargo test` runs all of it against brokers that the rows start themselves. `PLIANT_TEST_BROKER=host:port` points the
//! rows of `mqtt` at an outside broker instead; those that need a broker of their own are left out then.

mod harness;
mod house;

mod access;
mod admin;
mod amqp;
mod bridge;
mod cli;
mod doors;
mod durability;
mod guide;
mod interop;
mod live;
mod modules;
mod mqtt;
mod readme;
