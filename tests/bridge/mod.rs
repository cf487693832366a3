//! Bridges to other brokers: to another broker of ours here, to brokers of others in `interop`.

mod foreign;
mod mosquitto;
mod relay;
pub mod rig;

mod amqp;
mod broken;
mod bytes;
mod credit;
mod loops;
mod mqtt;
mod quality;
mod refusals;
mod settings;
mod stuck;
