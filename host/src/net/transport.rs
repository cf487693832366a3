//! The sockets under a connection, TCP, Unix or a QUIC stream, behind one face without a virtual call.
//!
//! What lies between a socket and a protocol (PROXY header, TLS, WebSocket) is `session.rs`.

use super::quic::{Coming, QuicWriting};
use quinn::RecvStream;
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
    /// QUIC, before its handshake.
    Quic(Box<Coming>),
}

/// A socket on its thread.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// QUIC, before its handshake.
    Quic(Box<Coming>),
}

/// The half that the connection's task reads.
pub enum Reading {
    /// TCP.
    Tcp(tcp::OwnedReadHalf),
    /// A Unix socket.
    Unix(unix::OwnedReadHalf),
    /// The stream of a QUIC connection.
    Quic(Box<RecvStream>),
}

/// The half that any thread may write to.
pub enum Writing {
    /// TCP.
    Tcp(WriteHalf),
    /// A Unix socket.
    Unix(unix::OwnedWriteHalf),
    /// The stream of a QUIC connection.
    Quic(Box<QuicWriting>),
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

/// The two halves of a connection.
pub type Halves = (Reading, Writing);

impl Stream {
    /// Takes it off its thread.
    pub fn release(self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Accepted::Tcp),
            Self::Unix(stream) => stream.into_std().map(Accepted::Unix),
            Self::Quic(coming) => Ok(Accepted::Quic(coming)),
        }
    }

    /// Both halves.
    ///
    /// # Errors
    /// There are none before a handshake is over.
    pub fn split(self) -> Result<Halves, Box<Coming>> {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                Ok((Reading::Tcp(read), Writing::Tcp(WriteHalf(Some(write)))))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                Ok((Reading::Unix(read), Writing::Unix(write)))
            }
            Self::Quic(coming) => Err(coming),
        }
    }
}

impl Accepted {
    /// Binds it to the calling thread.
    pub fn adopt(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
            Self::Quic(coming) => Ok(Stream::Quic(coming)),
        }
    }
}

impl Reading {
    /// Reads what the socket has.
    pub fn poll_read(&mut self, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(task, into),
            Self::Unix(socket) => Pin::new(socket).poll_read(task, into),
            Self::Quic(stream) => stream.poll_read_buf(task, into).map_err(io::Error::from),
        }
    }
}

impl Writing {
    /// Writes as much as the socket takes now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.socket().try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
            Self::Quic(stream) => stream.try_write(bytes),
        }
    }

    /// The same where the system has not said that there is room: it does so only when there is much.
    pub fn write_a_little(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => SockRef::from(half.socket()).send(bytes),
            Self::Unix(socket) => SockRef::from(socket.as_ref()).send(bytes),
            Self::Quic(stream) => stream.try_write(bytes),
        }
    }

    /// Whether it takes more.
    pub fn poll_ready(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.socket().poll_write_ready(task),
            Self::Unix(socket) => socket.as_ref().poll_write_ready(task),
            Self::Quic(stream) => stream.poll_ready(task),
        }
    }

    /// Tells the peer that nothing more comes; it may still send.
    pub fn shut(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => SockRef::from(half.socket()).shutdown(Shutdown::Write),
            Self::Unix(socket) => SockRef::from(socket.as_ref()).shutdown(Shutdown::Write),
            Self::Quic(stream) => stream.shut(),
        }
    }

    /// The client is in: where the transport bounds what a stranger may send at a time, it may send more now.
    pub fn let_in(&self) {
        if let Self::Quic(stream) = self {
            stream.let_in();
        }
    }

    /// Ends what dropping both halves would not end in order: a QUIC connection, which would take with it what is still on
    /// its way.
    pub async fn depart(&self, in_order: bool) {
        if let Self::Quic(stream) = self {
            stream.depart(in_order).await;
        }
    }
}
