//! Bridges to other brokers: to another broker of ours here, to brokers of others in `interop`.

mod relay;
pub mod rig;

mod amqp;
mod loops;
mod mqtt;
mod settings;
mod stuck;
