//! The ways into the broker: transports, certificates, load balancers, bounds on connections, overload.

mod cli;
mod limits;
mod overload;
mod proxy;
mod rig;
mod tls;
mod transports;
mod websocket;
