//! What lies between a socket and a protocol: a PROXY header, TLS, WebSocket, in this order, each only if its listener
//! asks for it. Bytes go in and come out; sockets and clocks are outside.
//!
//! A plain connection has none of this. Otherwise the connection's task hands in what it has read, and whoever writes wraps
//! what it has to say, one at a time under the lock of the outlet.

use super::proxy::ProxyHeader;
use super::tls::Tls;
use super::websocket::{Subprotocol, WebSocket};
use crate::identity::Certificate;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why nothing more can be read from a connection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The peer said goodbye in the words of its transport.
    #[error("the transport was closed")]
    Closed,
    /// No PROXY header, or one that breaks its rules.
    #[error("PROXY header: {0}")]
    Proxy(&'static str),
    /// What TLS says.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The HTTP request is none for a WebSocket of ours; it was answered with this status.
    #[error("WebSocket request refused with {0}: {1}")]
    Upgrade(u16, &'static str),
    /// A WebSocket frame broke a rule; the peer was told with this close code.
    #[error("WebSocket closed with {0}: {1}")]
    Frame(u16, &'static str),
}

/// See the head of this file.
#[derive(Default)]
pub struct Session {
    /// Until the header is whole.
    pub proxy: Option<ProxyHeader>,
    /// The peer that the header names.
    pub peer: Option<SocketAddr>,
    /// From the first byte behind the header.
    pub tls: Option<Tls>,
    /// Inside of TLS, if there is TLS.
    pub web: Option<WebSocket>,
}

impl Session {
    /// Whether something still has to be agreed on before the protocol begins.
    pub fn is_opening(&self) -> bool {
        self.proxy.is_some()
            || self.tls.as_ref().is_some_and(Tls::is_handshaking)
            || self.web.as_ref().is_some_and(WebSocket::is_opening)
    }

    /// Whether bytes pass as they are, now and for ever.
    pub fn is_over(&self) -> bool {
        self.proxy.is_none() && self.tls.is_none() && self.web.is_none()
    }

    /// The protocol that the WebSocket's opening named.
    pub fn subprotocol(&self) -> Option<Subprotocol> {
        self.web.as_ref().and_then(WebSocket::subprotocol)
    }

    /// The certificate that the client proved to own.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.tls.as_ref().and_then(Tls::certificate)
    }

    /// Takes what came off the socket; appends what the protocol gets to `plain` and what has to be sent to `reply`.
    ///
    /// # Errors
    /// Why there will be no more. What stands in `plain` and `reply` still counts.
    pub fn receive(&mut self, wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(proxy) = &mut self.proxy else { return self.unwrap(wire, plain, reply) };
        let Some((peer, behind)) = proxy.receive(wire)? else { return Ok(()) };
        self.peer = peer;
        self.proxy = None;
        self.unwrap(&behind, plain, reply)
    }

    fn unwrap(&mut self, wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Fault> {
        match (&mut self.tls, &mut self.web) {
            (None, None) => {
                plain.extend_from_slice(wire);
                Ok(())
            }
            (None, Some(web)) => web.receive(wire, plain, reply),
            (Some(tls), None) => tls.receive(wire, plain, reply),
            (Some(tls), Some(web)) => {
                let (mut inner, mut said) = (Vec::new(), Vec::new());
                let outer_end = tls.receive(wire, &mut inner, reply);
                let inner_end = web.receive(&inner, plain, &mut said);
                tls.wrap(&said, reply);
                inner_end.and(outer_end)
            }
        }
    }

    /// Appends to `wire` what has to be sent so that the peer's protocol gets `plain`.
    pub fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        match (&mut self.tls, &mut self.web) {
            (None, None) => wire.extend_from_slice(plain),
            (None, Some(web)) => web.wrap(plain, wire),
            (Some(tls), None) => tls.wrap(plain, wire),
            (Some(tls), Some(web)) => {
                let mut framed = Vec::with_capacity(plain.len() + 10);
                web.wrap(plain, &mut framed);
                tls.wrap(&framed, wire);
            }
        }
    }

    /// Appends the goodbye of each layer.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        let mut said = Vec::new();
        if let Some(web) = &mut self.web {
            web.close(&mut said);
        }
        match &mut self.tls {
            Some(tls) => {
                tls.wrap(&said, wire);
                tls.close(wire);
            }
            None => wire.extend_from_slice(&said),
        }
    }
}
