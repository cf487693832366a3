//! What rows stand on: a broker, raw MQTT clients that share no code with it, names that no other row uses.

mod broker;
mod client;
mod connect;
pub mod guests;
mod http;
pub mod packet;
mod process;
pub mod property;
pub mod quic;
mod reader;
pub mod wire;
pub mod writer;

pub use broker::{Broker, address, admin, amqp_address, data_dir, is_outside, machine_code};
pub use client::{Client, End};
pub use connect::{Connect, Will};
pub use http::{Admin, Answer};
pub use packet::{Connack, Packet, Publish};
pub use process::{Process, binary};
pub use property::{Properties, Property};
pub use writer::{Subscription, hex, raw};

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A version of the protocol; its number is the protocol level of CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

pub use Version::{V5, V31, V311};

/// What most rows are run in.
pub const BOTH: [Version; 2] = [V311, V5];

/// All that the broker speaks.
pub const ALL: [Version; 3] = [V31, V311, V5];

/// A client id or topic that no other row of this run uses, and none of another run on the same broker.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{:x}-{number}", std::process::id())
}

/// A client of this version with an id of its own and a clean start, not yet connected.
pub fn connect(version: Version) -> Connect {
    Connect::new(version)
}

/// A connected client of this version.
pub fn client(version: Version) -> Client {
    connect(version).open()
}

/// Lets so many seconds pass on the broker's clock: a client goes and its will waits that long.
pub fn pass(seconds: u32) {
    pass_at(address(), seconds);
}

/// As [`pass`], at this broker.
pub fn pass_at(broker: SocketAddr, seconds: u32) {
    let topic = unique("clock");
    let mut watcher = connect(V5).at(broker).open();
    watcher.subscribe(&topic, 0);
    connect(V5).at(broker).session_expiry(u32::MAX).will(Will::new(&topic, "now").delay(seconds)).open().cut();
    watcher.expect(&topic, "now", 0);
}

/// Whether a client or compiler that a row needs has to be there, as `.ci/run` says it: set, and not to nothing.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| !ci.is_empty())
}
