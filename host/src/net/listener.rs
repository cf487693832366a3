//! Accepts connections and gives each to the worker with the fewest.

use super::context::Context;
use super::workers::Crew;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener} cannot be opened at {address}: {}", explain(.error))]
pub struct BindError {
    /// Its configured name.
    pub listener: String,
    /// Where it was to be.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses that port".into(),
        io::ErrorKind::PermissionDenied => "no permission (ports below 1024 need it)".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

/// Connections that the system keeps ready between two looks at them.
const BACKLOG: u32 = 4096;
/// Wait after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// A connection on its way to its worker.
pub struct Arrival {
    /// The socket.
    pub stream: std::net::TcpStream,
    /// Where it came in.
    pub listener: Arc<str>,
    /// From where.
    pub peer: Arc<str>,
}

/// Opens a listener; has to be called where its runtime is entered.
pub fn bind(listener: &str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| BindError { listener: listener.into(), address, error })
}

/// Accepts for ever.
pub async fn accept(context: Rc<Context>, crew: Arc<Crew>, listener: TcpListener, name: Arc<str>) {
    let mut short_of_files = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                short_of_files = false;
                context.broker.metrics().connections_total.add(1);
                if crew.connections() >= context.limits.connections_max {
                    drop(stream);
                    continue;
                }
                // Without it, small packets wait for the acknowledgement of those before them.
                if stream.set_nodelay(true).is_ok() {
                    crew.give(&context, stream, name.clone(), peer);
                }
            }
            Err(error) => {
                if !short_of_files {
                    tracing::warn!(listener = %name, %error, "no connection can be accepted at the moment");
                }
                short_of_files = true;
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Serves a connection on this thread.
pub fn take(context: &Rc<Context>, stream: TcpStream, listener: Arc<str>, peer: Arc<str>) {
    let context = context.clone();
    tokio::task::spawn_local(async move {
        let (connections, metrics) = (context.connections.clone(), context.broker.metrics().clone());
        metrics.connections.add(1);
        super::connection::serve(context, stream, listener, peer).await;
        metrics.connections.add(-1);
        connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    });
}
