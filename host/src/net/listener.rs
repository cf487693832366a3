//! Opens listeners and accepts connections.

use super::context::Context;
use super::detect::Speaks;
use super::opening::Newcomer;
use super::quic::{Door, welcome};
use super::seldom::Seldom;
use super::tls::{Offer, TlsError, TlsFiles};
use super::transport::{Accepted, Halves, Stream};
use super::websocket::WebSocketRules;
use super::workers::Crew;
use super::{Clock, Limits};
use ipnet::IpNet;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// One listener as it is wanted.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Its configured name.
    pub name: String,
    /// Where.
    pub bind: Address,
    /// What is spoken.
    pub speaks: Speaks,
    /// TLS: from the first byte on, or where the protocol asks for it.
    pub tls: Option<TlsFiles>,
    /// TLS begins with the first byte.
    pub starts_with_tls: bool,
    /// WebSocket, inside of TLS if there is TLS.
    pub web: Option<WebSocketRules>,
    /// Load balancers that begin each connection with a PROXY header. If there are any, nobody else may connect.
    pub proxies: Vec<IpNet>,
    /// Go on without it where its address is taken.
    pub optional: bool,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP; port 0 asks the system for one.
    Tcp(SocketAddr),
    /// QUIC, over UDP; port 0 asks the system for one.
    Quic(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Quic(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error("listener {listener} cannot be opened at {address}: {}", explain(.address, .error))]
    Address {
        /// Its configured name.
        listener: String,
        /// Where it was to be.
        address: Address,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Its TLS cannot be offered.
    #[error("listener {listener} cannot offer TLS: {error}")]
    Tls {
        /// Its configured name.
        listener: String,
        /// Which file, and why.
        #[source]
        error: TlsError,
    },
}

fn explain(address: &Address, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse if matches!(address, Address::Unix(_)) => {
            "another program listens there, or it is a file and no socket".into()
        }
        io::ErrorKind::AddrInUse => "another program uses that port".into(),
        io::ErrorKind::PermissionDenied => "no permission (ports below 1024 need it)".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

/// Whether the system spreads connections over all sockets that share an address (elsewhere the last one gets them all).
const SPREADS: bool = cfg!(target_os = "linux");
/// Connections that the system keeps ready between two looks at them.
const BACKLOG: u32 = 4096;
/// Silence after which the system asks whether a TCP peer is still there, and the time between two questions.
const PROBES_AFTER: Duration = Duration::from_secs(60);
const PROBES_APART: Duration = Duration::from_secs(15);
/// Wait after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// What all connections of one listener share.
pub struct Entrance {
    /// Its configured name.
    pub name: Arc<str>,
    /// What is spoken.
    pub speaks: Speaks,
    /// What TLS offers.
    pub tls: Option<Offer>,
    /// TLS begins with the first byte.
    pub starts_with_tls: bool,
    /// What a WebSocket's opening must say.
    pub web: Option<Arc<WebSocketRules>>,
    /// Load balancers that begin each connection with a PROXY header.
    pub proxies: Vec<IpNet>,
    /// No connection could be accepted, and that was said.
    short_of_files: AtomicBool,
    /// How often.
    not_accepted: Mutex<Seldom>,
}

/// A connection on its way to its worker.
pub struct Arrival {
    /// The socket.
    pub socket: Accepted,
    /// What is known of it.
    pub newcomer: Newcomer,
}

/// An open listener.
pub struct Listener {
    /// What its connections share.
    pub entrance: Arc<Entrance>,
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
    Quic(Door),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = &self.socket {
            // A file that stays behind is replaced by the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Opens a listener; has to be called where its runtime is entered.
    ///
    /// # Errors
    /// What is in the way.
    pub fn open(config: &ListenerConfig, limits: &Limits, clock: Clock) -> Result<Self, BindError> {
        let listener = &config.name;
        let tls = config.tls.clone().map(Offer::open).transpose();
        let tls = tls.map_err(|error| BindError::Tls { listener: listener.clone(), error })?;
        let socket = match &config.bind {
            Address::Tcp(address) => tcp(*address).map(Socket::Tcp),
            Address::Unix(path) => unix(path).map(|socket| Socket::Unix(socket, path.clone())),
            Address::Quic(address) => match &tls {
                Some(offer) => Door::open(*address, offer, limits, clock).map(Socket::Quic),
                None => Err(io::Error::other("QUIC needs a certificate")),
            },
        };
        let address = config.bind.clone();
        let socket = socket.map_err(|error| BindError::Address { listener: listener.clone(), address, error })?;
        let entrance = Arc::new(Entrance {
            name: listener.as_str().into(),
            speaks: config.speaks,
            tls,
            starts_with_tls: config.starts_with_tls,
            web: config.web.clone().map(Arc::new),
            proxies: config.proxies.clone(),
            short_of_files: AtomicBool::new(false),
            not_accepted: Mutex::default(),
        });
        Ok(Self { entrance, socket })
    }

    /// Another socket at the same address, from which another thread accepts: the system spreads connections over them, and
    /// a connection need not be handed from thread to thread. None: this system does not do that, or not here. Has to be
    /// called where the runtime of that thread is entered.
    pub fn sibling(&self) -> Option<Self> {
        let Socket::Tcp(socket) = &self.socket else { return None };
        let socket = if SPREADS { shared(socket.local_addr().ok()?).ok()? } else { return None };
        Some(Self { entrance: self.entrance.clone(), socket: Socket::Tcp(socket) })
    }

    /// Ends what is left of QUIC connections with a word to their clients.
    pub fn farewell(&self) -> Option<impl Future<Output = ()> + use<>> {
        match &self.socket {
            Socket::Quic(door) => Some(door.farewell()),
            Socket::Tcp(_) | Socket::Unix(..) => None,
        }
    }

    /// Where it is; none for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(..) => None,
            Socket::Quic(door) => door.address(),
        }
    }

    async fn next(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Linux hands them on from the listening socket. They fail on a socket that is already dead, and the first
                // read will say so.
                if !cfg!(target_os = "linux") {
                    let _ = set_options(&SockRef::from(&stream));
                }
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Socket::Unix(socket, _) => Ok((Stream::Unix(socket.accept().await?.0), None)),
            Socket::Quic(door) => {
                let (coming, peer) = door.next().await?;
                Ok((Stream::Quic(Box::new(coming)), Some(peer)))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    socket.bind(address)?;
    // Only now, so that an address that another program has is refused, even where that program shares it.
    if SPREADS {
        share(&socket)?;
    }
    socket.listen(BACKLOG)
}

/// One more at an address that is shared.
fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    share(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn tcp_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    set_options(&SockRef::from(&socket))?;
    Ok(socket)
}

fn share(socket: &TcpSocket) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_reuseport(true);
    #[cfg(not(unix))]
    Ok(())
}

fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    // Without it, small packets wait for the acknowledgement of those before them.
    socket.set_tcp_nodelay(true)?;
    // A peer that is gone without a word is found even where the protocol agreed on no keep-alive.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBES_AFTER).with_interval(PROBES_APART))
}

/// A socket file that a broker which was killed left behind is replaced; nothing else is.
fn unix(path: &PathBuf) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Accepts for ever, on the thread with this number.
pub async fn accept(context: Rc<Context>, crew: Arc<Crew>, at: usize, listener: Listener) {
    let name = listener.entrance.name.clone();
    let Entrance { short_of_files, not_accepted, .. } = &*listener.entrance;
    loop {
        match listener.next().await {
            Ok((stream, peer)) => {
                // One gets in now and then as long as descriptors are short.
                if short_of_files.load(Ordering::Relaxed)
                    && not_accepted.lock().is_over(Instant::now())
                    && short_of_files.swap(false, Ordering::Relaxed)
                {
                    tracing::info!(listener = %name, "connections are accepted again");
                }
                context.broker.metrics().connections_total.add(1);
                if listener.entrance.trusts(peer)
                    && let Ok(ticket) = crew.gate.admit(listener.entrance.counted(peer))
                {
                    let newcomer = Newcomer::new(listener.entrance.clone(), peer, ticket, context.clock.now());
                    crew.give(&context, at, stream, newcomer);
                }
                if let Some(wait) = crew.gate.pace(Instant::now()) {
                    context.broker.metrics().accepts_delayed_total.add(1);
                    tokio::time::sleep(wait).await;
                }
            }
            Err(error) => {
                short_of_files.store(true, Ordering::Relaxed);
                if let Some(times) = not_accepted.lock().next(Instant::now()) {
                    tracing::warn!(listener = %name, %error, times, "no connection can be accepted at the moment");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

impl Entrance {
    /// The address that this peer is counted by from the first byte on: not a load balancer's, which all of its clients share.
    fn counted(&self, peer: Option<SocketAddr>) -> Option<IpAddr> {
        peer.filter(|_| self.proxies.is_empty()).map(|peer| peer.ip())
    }

    /// Whether this peer may connect at all.
    fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        let from = |peer: SocketAddr| self.proxies.iter().any(|net| net.contains(&peer.ip().to_canonical()));
        self.proxies.is_empty() || peer.is_none_or(from)
    }
}

/// Serves a connection on this thread.
pub fn take(context: &Rc<Context>, stream: Stream, newcomer: Newcomer) {
    match stream.split() {
        Ok(halves) => serve(context, halves, newcomer),
        Err(coming) => {
            tokio::task::spawn_local(welcome(context.clone(), coming, newcomer));
        }
    }
}

/// The same, where nothing has to be agreed on before bytes can be read.
pub fn serve(context: &Rc<Context>, halves: Halves, newcomer: Newcomer) {
    if let Some(connection) = super::connection::open(context.clone(), halves, newcomer) {
        tokio::task::spawn_local(connection.serve());
    }
}
