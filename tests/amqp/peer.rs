//! A client that sends what it is told to, and sees frames as bytes.

use super::raw;
use crate::harness::wire::Wire;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a row waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Peer {
    stream: Box<dyn Wire>,
    held: Vec<u8>,
}

impl Peer {
    /// A connection on which nothing was said.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("no delay");
        Self::on(Box::new(stream))
    }

    /// The same over anything else.
    pub fn on(mut stream: Box<dyn Wire>) -> Self {
        stream.patience(PATIENCE);
        Self { stream, held: Vec::new() }
    }

    /// A connection with a session on channel 0.
    pub fn begun(address: SocketAddr) -> Self {
        Self::connect(address).begins()
    }

    /// Begins that session.
    pub fn begins(self) -> Self {
        self.begins_as("peer")
    }

    /// The same under another container id.
    pub fn begins_as(mut self, container: &str) -> Self {
        self.send(&[raw::AMQP, &raw::open(container), &raw::begin(0)].concat());
        self.await_header();
        self.expect(0x10);
        self.expect(0x11);
        self
    }

    /// The same with a sending link on handle 0, which has credit.
    pub fn sending(address: SocketAddr, name: &str, settles: (u8, u8)) -> Self {
        Self::begun(address).sends(name, settles)
    }

    /// Attaches that link.
    pub fn sends(mut self, name: &str, settles: (u8, u8)) -> Self {
        self.send(&raw::attach_sender(name, 0, settles));
        self.expect(0x12);
        self.expect(0x13);
        self
    }

    /// Sends; a broker that has hung up already is no fault.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                true
            }
            // The latter: TLS without a goodbye.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => false,
            Err(error) => panic!("nothing comes: {error}; held {:02x?}", self.held),
        }
    }

    pub fn await_header(&mut self) {
        while self.held.len() < 8 {
            assert!(self.more(), "the broker hung up");
        }
        assert!(self.held.starts_with(b"AMQP"), "{:02x?}", self.held);
        self.held.drain(..8);
    }

    /// The body of the next frame that carries something; none: the broker hung up.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(size) = self.held.first_chunk::<4>() {
                let size = u32::from_be_bytes(*size) as usize;
                if self.held.len() >= size {
                    let frame: Vec<u8> = self.held.drain(..size).collect();
                    if size > 8 {
                        return Some(frame[8..].to_vec());
                    }
                    continue;
                }
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The body of the next frame, which is of this number.
    pub fn expect(&mut self, code: u8) -> Vec<u8> {
        let body = self.frame().expect("the broker hung up");
        assert_eq!(body[..3], [0x00, 0x53, code], "{:02x?} {}", body, String::from_utf8_lossy(&body));
        body
    }

    /// The body of the next frame of this number, whatever comes before it.
    pub fn find(&mut self, code: u8) -> Vec<u8> {
        loop {
            let body = self.frame().expect("the broker hung up");
            if body[2] == code {
                return body;
            }
        }
    }

    /// All that comes until the broker hangs up.
    pub fn until_closed(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.held)
    }
}

/// Whether bytes carry this symbol.
pub fn says(bytes: &[u8], symbol: &str) -> bool {
    let length = u8::try_from(symbol.len()).expect("a short symbol");
    let encoded = [&[0xA3, length][..], symbol.as_bytes()].concat();
    bytes.windows(encoded.len()).any(|window| window == encoded)
}

/// A client that does no harm is served.
pub fn is_served(address: SocketAddr) {
    let mut peer = Peer::sending(address, "healthy", (0, 0));
    peer.send(&raw::transfer(0, Some(0), Some(b"t"), false, false, &raw::message(b"m")));
    let disposition = peer.find(0x15);
    assert!(disposition.windows(3).any(|window| window == [0x00, 0x53, 0x24]), "{disposition:02x?}");
    peer.send(&raw::close());
    peer.find(0x18);
}
