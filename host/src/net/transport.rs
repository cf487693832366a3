//! The sockets under a connection, TCP or Unix, behind one face without a virtual call.
//!
//! What lies between a socket and a protocol (PROXY header, TLS, WebSocket) is `session.rs`.

use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// A socket that was accepted and is on its way to its thread.
pub enum Accepted {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// A socket on its thread.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// The half that the connection's task reads.
pub enum Reading {
    /// TCP.
    Tcp(tcp::OwnedReadHalf),
    /// A Unix socket.
    Unix(unix::OwnedReadHalf),
}

/// The half that any thread may write to.
pub enum Writing {
    /// TCP.
    Tcp(WriteHalf),
    /// A Unix socket.
    Unix(unix::OwnedWriteHalf),
}

/// Does not shut the socket when it is dropped: it is closed right after, and that would be a system call for nothing.
pub struct WriteHalf(Option<tcp::OwnedWriteHalf>);

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}

impl WriteHalf {
    fn socket(&self) -> &TcpStream {
        self.0.as_ref().expect("it is there until it is dropped").as_ref()
    }
}

impl Stream {
    /// Takes it off its thread.
    pub fn release(self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Accepted::Tcp),
            Self::Unix(stream) => stream.into_std().map(Accepted::Unix),
        }
    }

    /// Both halves.
    pub fn split(self) -> (Reading, Writing) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (Reading::Tcp(read), Writing::Tcp(WriteHalf(Some(write))))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (Reading::Unix(read), Writing::Unix(write))
            }
        }
    }
}

impl Accepted {
    /// Binds it to the calling thread.
    pub fn adopt(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Reading {
    /// Reads what the socket has.
    pub fn poll_read(&mut self, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(task, into),
            Self::Unix(socket) => Pin::new(socket).poll_read(task, into),
        }
    }
}

impl Writing {
    /// Writes as much as the socket takes now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.socket().try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
        }
    }

    /// Whether it takes more.
    pub fn poll_ready(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.socket().poll_write_ready(task),
            Self::Unix(socket) => socket.as_ref().poll_write_ready(task),
        }
    }

    /// Tells the peer that nothing more comes; it may still send.
    pub fn shut(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => SockRef::from(half.socket()).shutdown(Shutdown::Write),
            Self::Unix(socket) => SockRef::from(socket.as_ref()).shutdown(Shutdown::Write),
        }
    }
}
