//! The API's sockets: so many at the same time, and none for longer than it says something.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long the head of the first request may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may be silent in both directions after that. Logs that are followed say something more often; the
/// answer to a component that carries an interpreter, compiled twice on a slow machine, takes the longest.
const IDLE_PATIENCE: Duration = Duration::from_secs(120);
/// Wait after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts only so many connections at the same time; more wait in the system's queue.
pub(super) struct PatientListener {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl PatientListener {
    pub(super) fn new(listener: TcpListener, connections_max: usize) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(connections_max)) }
    }
}

impl axum::serve::Listener for PatientListener {
    type Io = PatientStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let room = self.room.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (PatientStream::new(stream, room), peer),
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct PatientStream {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    /// How much of the end of a head was read last.
    ending: usize,
    head_is_read: bool,
    _room: OwnedSemaphorePermit,
}

const END: &[u8] = b"\r\n\r\n";

impl PatientStream {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit) -> Self {
        let timer = Box::pin(tokio::time::sleep(HEAD_PATIENCE));
        Self { stream, timer, ending: 0, head_is_read: false, _room: room }
    }

    /// Notes that something was said.
    fn moved(&mut self) {
        if self.head_is_read {
            self.timer.as_mut().reset(Instant::now() + IDLE_PATIENCE);
        }
    }

    fn look_for_end(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.ending = match () {
                () if *byte == END[self.ending] => self.ending + 1,
                () => usize::from(*byte == END[0]),
            };
            if self.ending == END.len() {
                self.head_is_read = true;
                return;
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(task, into) {
            if !self.head_is_read {
                self.look_for_end(&into.filled()[before..]);
            }
            self.moved();
            return Poll::Ready(read);
        }
        ready!(self.timer.as_mut().poll(task));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(task, bytes) {
            self.moved();
            return Poll::Ready(written);
        }
        ready!(self.timer.as_mut().poll(task));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair(connections_max: usize) -> (PatientListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (PatientListener::new(listener, connections_max), address)
    }

    fn run(row: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(row);
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        run(async {
            let (mut listener, address) = pair(1).await;
            for cut in 0..=20 {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (mut server, _) = listener.accept().await;
                let head = b"GET / HTTP/1.1\r\n\r\r\n\r\n";
                server.look_for_end(&head[..cut]);
                assert!(!server.head_is_read, "{cut}");
                server.look_for_end(&head[cut..]);
                assert!(server.head_is_read, "{cut}");
                client.write_all(b"x").await.unwrap();
                assert_eq!(server.read_u8().await.unwrap(), b'x');
            }
        });
    }

    #[test]
    fn there_is_room_for_so_many() {
        run(async {
            let (mut listener, address) = pair(1).await;
            let _clients = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
            let first = listener.accept().await;
            let more = tokio::time::timeout(Duration::from_millis(50), listener.accept());
            assert!(more.await.is_err(), "the second one waits");
            drop(first);
            listener.accept().await;
        });
    }
}
