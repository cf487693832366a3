//! What is known of a connection before its protocol begins, and what its transport adds to that.

use super::Limits;
use super::detect::Speaks;
use super::gate::{Crowded, Ticket};
use super::listener::Entrance;
use super::machine::Machine;
use super::proxy::ProxyHeader;
use super::session::Session;
use super::websocket::{Subprotocol, WebSocket};
use crate::client::Protocol;
use crate::identity::Certificate;
use crate::message::Time;
use crate::mqtt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection that has just come in.
pub struct Newcomer {
    /// Where.
    pub entrance: Arc<Entrance>,
    /// From where: `address:port`, or `unix`.
    pub peer: Arc<str>,
    /// When.
    pub opened: Time,
    /// Its place among all connections.
    pub ticket: Ticket,
    certificate: Option<Arc<Certificate>>,
    subprotocol: Option<Subprotocol>,
    /// TLS is there or was asked for.
    encrypted: bool,
    /// `peer` is an address; of one behind a load balancer the real one, once its PROXY header was read.
    has_address: bool,
    /// Nothing but the protocol itself is still to come.
    is_open: bool,
}

impl Newcomer {
    /// From this peer; none: over a Unix socket.
    pub fn new(entrance: Arc<Entrance>, address: Option<SocketAddr>, ticket: Ticket, opened: Time) -> Self {
        let encrypted = entrance.starts_with_tls;
        let mut newcomer = Self {
            entrance,
            peer: "unix".into(),
            opened,
            ticket,
            certificate: None,
            subprotocol: None,
            encrypted,
            has_address: false,
            is_open: false,
        };
        if let Some(address) = address {
            newcomer.comes_from(address);
        }
        if !newcomer.entrance.proxies.is_empty() {
            newcomer.has_address = false;
        }
        newcomer
    }

    fn comes_from(&mut self, address: SocketAddr) {
        self.has_address = true;
        self.peer = address.to_string().into();
    }

    /// What lies between the socket and the protocol; none: nothing.
    ///
    /// # Errors
    /// TLS cannot be offered.
    pub fn session(&self) -> Result<Option<Box<Session>>, rustls::Error> {
        let entrance = &*self.entrance;
        let tls = entrance.tls.as_ref().filter(|_| entrance.starts_with_tls);
        let session = Session {
            proxy: (!entrance.proxies.is_empty()).then(ProxyHeader::default),
            peer: None,
            tls: tls.map(|offer| offer.accept()).transpose()?,
            web: entrance.web.clone().map(WebSocket::new),
        };
        Ok((!session.is_over()).then(|| Box::new(session)))
    }

    /// Whether TLS can still be agreed on in the words of the protocol.
    pub fn can_upgrade(&self) -> bool {
        self.entrance.tls.is_some() && !self.encrypted && self.subprotocol.is_none()
    }

    /// A session for that.
    ///
    /// # Errors
    /// TLS cannot be offered.
    pub fn upgrade(&mut self) -> Result<Box<Session>, rustls::Error> {
        self.encrypted = true;
        let tls = self.entrance.tls.as_ref().map(|offer| offer.accept()).transpose()?;
        Ok(Box::new(Session { tls, ..Session::default() }))
    }

    /// Takes over what the transport has found out.
    ///
    /// # Errors
    /// There are too many connections from the real address.
    pub fn learn(&mut self, session: &Session) -> Result<(), Crowded> {
        if let Some(peer) = session.peer.filter(|peer| !self.has_address || *self.peer != *peer.to_string()) {
            self.comes_from(peer);
            self.ticket.comes_from(peer.ip())?;
        }
        // A session that was made for AMQP's own layer of TLS comes behind the header, and knows nothing of it.
        let is_unknown = !self.has_address && session.peer.is_none();
        if is_unknown && !self.entrance.proxies.is_empty() && session.proxy.is_none() {
            // Not the balancer's own address, which may have privileges.
            self.peer = "unknown".into();
        }
        self.certificate = session.certificate();
        self.subprotocol = session.subprotocol();
        self.is_open = !session.is_opening();
        Ok(())
    }

    /// A QUIC handshake is over; the certificate is the one that the client proved to own.
    pub fn comes_over_quic(&mut self, certificate: Option<Arc<Certificate>>) {
        self.certificate = certificate;
        (self.encrypted, self.is_open) = (true, true);
    }

    /// The protocol that the WebSocket's opening named.
    pub fn subprotocol(&self) -> Option<Protocol> {
        Some(match self.subprotocol? {
            Subprotocol::Mqtt => Protocol::Mqtt,
            Subprotocol::Amqp => Protocol::Amqp,
        })
    }

    /// The machine for a protocol that was recognised; none: this version does not speak it.
    pub fn machine(&self, protocol: Protocol, limits: &Arc<mqtt::Limits>) -> Option<Machine> {
        Machine::new(protocol, limits, &self.entrance, self.peer.clone(), self.opened)
    }

    /// By when the transport must be agreed on, and then the protocol have begun.
    pub fn deadline(&self, limits: &Limits) -> Time {
        let seconds = if self.is_open { limits.unauthenticated_seconds_max } else { limits.opening_seconds_max };
        self.opened.plus_seconds(seconds)
    }

    /// The certificate that the client proved to own; it was checked against the listener's roots.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }
}

impl Entrance {
    /// The protocol, if only one is spoken here and nothing has to be looked at to know it.
    pub fn only(&self) -> Option<Protocol> {
        (self.speaks == Speaks::Mqtt).then_some(Protocol::Mqtt)
    }
}
