//! What bytes to and from a broker can travel on: sockets, TLS, WebSocket frames. The frames are written here, by hand, so
//! that they share nothing with the broker's.

use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// See the head of this file.
pub trait Wire: Read + Write + Send {
    /// How long a read or a write may take.
    fn patience(&mut self, time: Duration);
    /// Cuts the socket without a goodbye.
    fn cut(&mut self);
}

impl Wire for TcpStream {
    fn patience(&mut self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
        self.set_write_timeout(Some(time)).unwrap();
    }

    fn cut(&mut self) {
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Wire for UnixStream {
    fn patience(&mut self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
        self.set_write_timeout(Some(time)).unwrap();
    }

    fn cut(&mut self) {
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn patience(&mut self, time: Duration) {
        self.sock.patience(time);
    }

    fn cut(&mut self) {
        self.sock.cut();
    }
}

impl Wire for Box<dyn Wire> {
    fn patience(&mut self, time: Duration) {
        (**self).patience(time);
    }

    fn cut(&mut self) {
        (**self).cut();
    }
}

/// A client's WebSocket: what is written goes out as one binary frame, what is read is the payload of the broker's.
pub struct Web<S> {
    /// What carries it.
    pub inner: S,
    bytes: Vec<u8>,
    /// The code with which the broker has closed it; 0: without one.
    pub closed: Option<u16>,
}

/// A frame as clients send it, with a mask.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0xA1, 0x5B, 0x00, 0xFE];
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length => match u16::try_from(length) {
            Ok(length) => {
                bytes.push(0xFE);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(0xFF);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The request that opens a WebSocket.
pub fn upgrade(path: &str, subprotocol: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n{more}\r\n"
    )
}

impl<S: Wire> Web<S> {
    /// Opens one; the head of the broker's answer, if it is none.
    pub fn open(mut inner: S, request: &str) -> Result<Self, String> {
        inner.write_all(request.as_bytes()).expect("a broker that reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && inner.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("HTTP is text");
        match head.starts_with("HTTP/1.1 101 ") {
            true => Ok(Self { inner, bytes: Vec::new(), closed: None }),
            false => Err(head),
        }
    }

    /// Sends these bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A broker that has closed meanwhile is no error.
        drop(self.inner.write_all(bytes));
    }

    /// The next frame: first byte and payload; none: the end.
    pub fn next_frame(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut head = [0; 2];
        match self.inner.read(&mut head[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => self.inner.read_exact(&mut head[1..])?,
            Err(error) => return Err(error),
        }
        assert_eq!(head[1] & 0x80, 0, "frames of a broker have no mask");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.inner.read_exact(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.inner.read_exact(&mut length)?;
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.inner.read_exact(&mut payload)?;
        Ok(Some((head[0], payload)))
    }
}

impl<S: Wire> Read for Web<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.bytes.is_empty() {
            match self.next_frame()? {
                Some((0x82, payload)) => self.bytes = payload,
                Some((0x88, payload)) => {
                    let code = payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                    self.closed = Some(code);
                }
                Some((0x8A, _)) => {}
                Some((first, _)) => panic!("a broker sends no frame {first:#04x}"),
                None => return Ok(0),
            }
        }
        let count = self.bytes.len().min(into.len());
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.drain(..count);
        Ok(count)
    }
}

impl<S: Wire> Write for Web<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&frame(0x82, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: Wire> Wire for Web<S> {
    fn patience(&mut self, time: Duration) {
        self.inner.patience(time);
    }

    fn cut(&mut self) {
        self.inner.cut();
    }
}
