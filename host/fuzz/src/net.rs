//! What lies between a socket and a protocol, without TLS. The names are those of the broker's `net`.

#[path = "../../src/net/frames.rs"]
mod frames;
#[path = "../../src/net/proxy.rs"]
pub mod proxy;
#[path = "../../src/net/websocket.rs"]
mod websocket;

/// The part of the broker's `session.rs` that the others use.
mod session {
    /// Why nothing more can be read from a connection.
    #[derive(Debug, Clone, PartialEq)]
    pub enum Fault {
        Closed,
        Proxy(&'static str),
        Upgrade(u16, &'static str),
        Frame(u16, &'static str),
    }
}

use std::sync::Arc;

/// The broker's end of a WebSocket.
pub struct Socket(websocket::WebSocket);

impl Socket {
    /// Messages may have so many bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        let (path, origins) = ("/mqtt".to_owned(), Vec::new());
        let rules = websocket::WebSocketRules { path, origins, message_bytes_max, mqtt: true, amqp: true };
        Self(websocket::WebSocket::new(Arc::new(rules)))
    }

    /// Takes bytes off the wire; false: there will be no more.
    pub fn receive(&mut self, wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> bool {
        self.0.receive(wire, plain, reply).is_ok()
    }
}
