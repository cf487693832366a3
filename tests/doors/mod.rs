//! The ways into the broker: transports, certificates, load balancers, bounds on connections, overload.

mod cli;
mod clock;
mod hostile;
mod limits;
mod overload;
mod protocols;
mod proxy;
mod quic;
mod revoked;
pub mod rig;
mod storms;
mod tls;
mod transports;
mod websocket;
