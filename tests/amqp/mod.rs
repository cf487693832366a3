//! AMQP 1.0 on a running broker: a peer that writes bytes by hand, and fe2o3-amqp as a client.

mod bad_input;
mod blank;
mod canary;
mod consumers;
mod crossing;
mod dead_letters;
mod em;
mod exchange;
mod kept;
mod letter;
mod limits;
pub mod link;
mod management;
mod parted;
pub mod peer;
mod redirect;
mod resume;
mod sasl;
mod settling;
mod sole;
mod termini;
mod transactions;
pub mod value;

/// The writer of the machine's own rows: it knows nothing of the broker's encoder.
#[allow(dead_code, reason = "the machine's rows use the rest")]
#[path = "../../host/src/amqp/tests/raw.rs"]
pub mod raw;

use crate::harness::{self, Broker};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Session};
use std::future::Future;
use std::net::SocketAddr;

/// Where the broker that rows share listens for AMQP.
fn address() -> Option<SocketAddr> {
    harness::amqp_address()
}

/// Runs what a client does. All of it is on this thread.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// A client of fe2o3-amqp with one session.
struct Client {
    connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self::named(address, &harness::unique("fe2o3")).await
    }

    async fn named(address: SocketAddr, container: &str) -> Self {
        let url = format!("amqp://{address}");
        let mut connection = Connection::open(container, &url[..]).await.expect("a connection");
        let session = Session::begin(&mut connection).await.expect("a session");
        Self { connection, session }
    }

    async fn close(mut self) {
        self.session.end().await.expect("the session ends");
        self.connection.close().await.expect("the connection closes");
    }
}

/// A broker of the row's own, and where it listens for AMQP.
fn own() -> Option<(Broker, SocketAddr)> {
    let broker = Broker::start()?;
    let address = broker.at("amqp");
    Some((broker, address))
}
