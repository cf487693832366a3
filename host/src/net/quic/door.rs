//! An open UDP port: who may begin a handshake there, and under which bounds.

use crate::net::tls::Offer;
use crate::net::{Clock, Limits};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connecting, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig};
use quinn::{TokioRuntime, TransportConfig, VarInt};
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Beginnings of connections that the library keeps until they are looked at; more are refused.
const BACKLOG: usize = 4096;
/// Bytes that clients may send while they wait there, each and all together.
const WAITING_BYTES: u64 = 16 << 10;
const WAITING_BYTES_TOTAL: u64 = 16 << 20;
/// What the system keeps of a burst of datagrams, in bytes, as far as it grants that.
const SOCKET_BYTES: usize = 4 << 20;
/// How long a stranger may take to come back with the proof of its address.
const PROOF_LIFETIME: Duration = Duration::from_secs(10);
/// Longest wait at the end until clients have heard of it.
const FAREWELL: Duration = Duration::from_millis(200);

/// See the head of this file.
pub struct Door {
    endpoint: Endpoint,
    /// What each connection begins with, but for the certificate, which may be replaced.
    terms: Arc<ServerConfig>,
    window: VarInt,
    unproven: Arc<AtomicUsize>,
    unproven_max: usize,
}

/// A client that knocks: nothing was answered yet.
pub struct Coming {
    incoming: Incoming,
    terms: Arc<ServerConfig>,
    /// Bytes that a client which is in may send before they are read, and those that may be on their way to it.
    pub window: VarInt,
    /// While nothing proves that the client is at the address that it names.
    unproven: Option<Unproven>,
}

/// A place among those whose addresses are not proven.
pub struct Unproven(Arc<AtomicUsize>);

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    /// Opens a port; has to be called where its runtime is entered.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(address: SocketAddr, offer: &Offer, limits: &Limits, clock: Clock) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        // Less means that more datagrams are lost in a burst, and sent again.
        let _ = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES);
        let mut terms = ServerConfig::with_crypto(crypto(offer)?);
        terms
            .transport_config(Arc::new(transport(limits)))
            .max_incoming(BACKLOG)
            .incoming_buffer_size(WAITING_BYTES)
            .incoming_buffer_size_total(WAITING_BYTES_TOTAL)
            .retry_token_lifetime(PROOF_LIFETIME)
            .time_source(Arc::new(clock));
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(terms.clone()), socket, Arc::new(TokioRuntime))?;
        Ok(Self {
            endpoint,
            terms: Arc::new(terms),
            window: bytes(limits.quic_window_bytes),
            unproven: Arc::default(),
            unproven_max: limits.quic_unproven_max,
        })
    }

    /// Where it is.
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }

    /// Ends what is left of its connections, and gives the library a moment to tell their clients.
    pub fn farewell(&self) -> impl Future<Output = ()> + use<> {
        let endpoint = self.endpoint.clone();
        async move {
            endpoint.close(VarInt::from_u32(0), b"the broker stops");
            // Nothing more can be done for those that are not told by then.
            let _ = tokio::time::timeout(FAREWELL, endpoint.wait_idle()).await;
        }
    }

    /// The next client. Where many are under way whose addresses nothing proves, one more is first asked for a proof (RFC
    /// 9000, 8.1.2), which costs the broker nothing to remember.
    ///
    /// # Errors
    /// The port is closed.
    pub async fn next(&self) -> io::Result<(Coming, SocketAddr)> {
        loop {
            let incoming = self.endpoint.accept().await.ok_or(io::ErrorKind::NotConnected)?;
            let is_proven = incoming.remote_address_validated();
            if !is_proven && self.unproven.load(Ordering::Relaxed) >= self.unproven_max {
                // Who cannot be asked is one that brought a proof.
                let _ = incoming.retry();
                continue;
            }
            let unproven = (!is_proven).then(|| {
                self.unproven.fetch_add(1, Ordering::Relaxed);
                Unproven(self.unproven.clone())
            });
            let peer = incoming.remote_address();
            return Ok((Coming { incoming, terms: self.terms.clone(), window: self.window, unproven }, peer));
        }
    }
}

impl Coming {
    /// Begins the handshake, on the calling thread's runtime, with the certificate that is offered now. The place, if it
    /// has one, is to be kept until the handshake is over.
    ///
    /// # Errors
    /// What is wrong with the client's first packet.
    pub fn accept(self, offer: &Offer) -> Result<(Connecting, Option<Unproven>), ConnectionError> {
        let mut terms = (*self.terms).clone();
        // The same was possible with the first certificate; if not, the old one is shown.
        if let Ok(crypto) = crypto(offer) {
            terms.crypto = crypto;
        }
        let connecting = self.incoming.accept_with(Arc::new(terms))?;
        Ok((connecting, self.unproven))
    }
}

/// Early data (0-RTT) stays off, as rustls has it by default: it can be replayed by anybody who saw it, and a CONNECT or a
/// PUBLISH that is taken twice is a take-over or a duplicate (RFC 9001, 9.2).
fn crypto(offer: &Offer) -> io::Result<Arc<QuicServerConfig>> {
    QuicServerConfig::try_from(offer.current()).map(Arc::new).map_err(io::Error::other)
}

fn transport(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = VarInt::from_u32(limits.quic_idle_seconds_max.saturating_mul(1000));
    let probes = limits.quic_probe_seconds;
    transport
        // The one that MQTT is spoken on.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        // Until the client is in, it has no more room than this; afterwards the stream's own window holds.
        .receive_window(bytes(limits.unauthenticated_bytes_max))
        .stream_receive_window(bytes(limits.quic_window_bytes))
        .send_window(limits.quic_window_bytes as u64)
        .max_idle_timeout(Some(IdleTimeout::from(idle)))
        .keep_alive_interval((probes > 0).then(|| Duration::from_secs(probes.into())));
    transport
}

fn bytes(count: usize) -> VarInt {
    VarInt::try_from(count as u64).unwrap_or(VarInt::MAX)
}
