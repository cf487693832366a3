//! The broker under test.

use std::net::{SocketAddr, ToSocketAddrs};

/// Where the broker that rows share listens for MQTT: the one that `PLIANT_TEST_BROKER=host:port` names.
pub fn address() -> SocketAddr {
    outside().expect("PLIANT_TEST_BROKER names a broker")
}

/// The outside broker, if one is named.
pub fn outside() -> Option<SocketAddr> {
    let named = std::env::var("PLIANT_TEST_BROKER").ok()?;
    Some(named.to_socket_addrs().expect("PLIANT_TEST_BROKER is host:port").next().expect("it has an address"))
}
