//! Rows for the machine. The client's bytes are written by hand or by `raw`, which knows nothing of the room's encoder;
//! what the machine says is read by `serde_amqp`, which knows nothing of it either.

mod bad_input;
mod connection;
mod differential;
mod linger;
mod links;
mod messages;
mod random;
mod raw;
mod rig;
mod small_peer;
mod windows;
