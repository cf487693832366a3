//! The ways into the broker: transports, certificates, load balancers, bounds on connections, overload.

mod cli;
mod hostile;
mod limits;
mod overload;
mod protocols;
mod proxy;
mod quic;
pub mod rig;
mod tls;
mod transports;
mod websocket;
