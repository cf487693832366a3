//! The API's sockets: so many at the same time, and none for longer than it says something.

use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task_local;
use tokio::time::{Instant, Sleep};

/// How long a connection may take for something: ordinarily, and where others wait for its place.
struct Patience {
    ordinary: Duration,
    crowded: Duration,
}

/// The head of a request, from its connection or its first byte on.
const HEAD: Patience = Patience { ordinary: Duration::from_secs(10), crowded: Duration::from_secs(2) };
/// Silence in both directions while a request is brought or answered. What the broker works at meanwhile is not silence: it has
/// bounds of its own, and a component that carries an interpreter may take minutes.
const REQUEST: Patience = Patience { ordinary: Duration::from_secs(120), crowded: Duration::from_secs(120) };
/// Silence after something of an answer. Logs that are followed say something more often.
const ANSWERED: Patience = Patience { ordinary: Duration::from_secs(60), crowded: Duration::from_secs(1) };
/// From the end of our side of a connection to that of the other, whatever it says meanwhile.
const LEFT: Patience = Patience { ordinary: Duration::from_secs(5), crowded: Duration::from_secs(1) };
/// Bytes that are read and thrown away in that time.
const LEFT_BYTES_MAX: usize = 64 << 20;
/// How often is looked at whether others wait.
const LOOK: Duration = Duration::from_secs(1);
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

task_local! {
    /// Of the connection whose request the task answers.
    static WORK: Work;
}

/// Whether the broker works at the request of a connection: how often that began and ended, so an odd number if it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Work(Arc<AtomicU64>);

/// Work that ends when this is dropped.
pub(super) struct Working(Work);

impl Work {
    fn begin(&self) -> Working {
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, PatientListener>> for Work {
    fn connect_info(stream: IncomingStream<'_, PatientListener>) -> Self {
        stream.io().work.clone()
    }
}

/// Lets what is done for a request say so to the request's connection, by [`at_work`].
pub(super) async fn told(request: Request, next: Next) -> Response {
    match request.extensions().get::<ConnectInfo<Work>>().cloned() {
        Some(ConnectInfo(work)) => WORK.scope(work, next.run(request)).await,
        None => next.run(request).await,
    }
}

/// The broker works at a request that has come whole: nobody is silent until that ends.
pub(super) fn at_work() -> Option<Working> {
    WORK.try_with(Work::begin).ok()
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Request,
    Answered,
    /// Our side of it has ended.
    Left,
}

/// One connection.
pub(super) struct PatientStream {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    phase: Phase,
    /// When it last did what its phase allows for.
    moved: Instant,
    /// How much of the end of a head was read last.
    ending: usize,
    work: Work,
    /// What was seen of it last.
    work_seen: u64,
    /// Bytes that were thrown away.
    wasted: usize,
    room: OwnedSemaphorePermit,
}

const END: &[u8] = b"\r\n\r\n";
/// An answer that asks for the body of the request.
const CONTINUE: &[u8] = b"HTTP/1.1 100";

impl PatientStream {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit) -> Self {
        let timer = Box::pin(tokio::time::sleep(LOOK));
        Self {
            stream,
            timer,
            phase: Phase::Head,
            moved: Instant::now(),
            ending: 0,
            work: Work::default(),
            work_seen: 0,
            wasted: 0,
            room,
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Answered {
            (self.phase, self.ending, self.moved) = (Phase::Head, 0, Instant::now());
        }
        match self.phase {
            Phase::Head => self.look_for_end(bytes),
            _ => self.moved = Instant::now(),
        }
    }

    fn said(&mut self, bytes: &[u8]) {
        self.phase = if bytes.starts_with(CONTINUE) { Phase::Request } else { Phase::Answered };
        self.moved = Instant::now();
    }

    /// How long it may go on like this.
    fn patience(&self) -> Duration {
        let patience = match self.phase {
            Phase::Head => HEAD,
            Phase::Request => REQUEST,
            Phase::Answered => ANSWERED,
            Phase::Left => LEFT,
        };
        let others_wait = self.room.semaphore().available_permits() == 0;
        if others_wait { patience.crowded } else { patience.ordinary }
    }

    /// Ready when it has tried the patience of everybody.
    fn poll_patience(&mut self, task: &mut Context<'_>) -> Poll<io::Error> {
        let work = self.work.0.load(Ordering::Relaxed);
        if work % 2 == 1 || work != self.work_seen {
            (self.work_seen, self.moved) = (work, Instant::now());
        }
        loop {
            let until = self.moved + self.patience();
            let now = Instant::now();
            if until <= now {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            if self.timer.deadline() <= now {
                self.timer.as_mut().reset(until.min(now + LOOK));
            }
            ready!(self.timer.as_mut().poll(task));
        }
    }

    /// Ready when the other side has ended, too, or has had what it may have. A socket that is closed with something unread in it
    /// takes the answer back, if the other side did not get to it: it may still be bringing the body of what was refused by its
    /// head.
    fn poll_left(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 8 << 10];
        while self.wasted < LEFT_BYTES_MAX {
            let mut into = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(task, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => self.wasted += into.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => return self.poll_patience(task).map(|_| ()),
            }
        }
        Poll::Ready(())
    }

    fn look_for_end(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.ending = match () {
                () if *byte == END[self.ending] => self.ending + 1,
                () => usize::from(*byte == END[0]),
            };
            if self.ending == END.len() {
                (self.phase, self.moved) = (Phase::Request, Instant::now());
                return;
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(task, into) {
            self.heard(&into.filled()[before..]);
            return Poll::Ready(read);
        }
        self.poll_patience(task).map(Err)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(task, bytes) {
            self.said(bytes);
            return Poll::Ready(written);
        }
        self.poll_patience(task).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase != Phase::Left {
            ready!(Pin::new(&mut self.stream).poll_shutdown(task))?;
            (self.phase, self.moved) = (Phase::Left, Instant::now());
        }
        self.poll_left(task).map(Ok)
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
                assert_eq!(server.phase, Phase::Head, "{cut}");
                server.look_for_end(&head[cut..]);
                assert_eq!(server.phase, Phase::Request, "{cut}");
                client.write_all(b"x").await.unwrap();
                assert_eq!(server.read_u8().await.unwrap(), b'x');
            }
        });
    }

    /// The second head has no more time than the first one, and all but requests have less where others wait.
    #[test]
    fn silence_is_borne_as_long_as_it_has_a_reason() {
        run(async {
            let (head, more): (&[u8], &[u8]) = (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n");
            let answer: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
            let rows: [(&[&[u8]], Phase, u64, u64); 6] = [
                (&[], Phase::Head, 10, 2),
                (&[head], Phase::Request, 120, 120),
                (&[head, more], Phase::Request, 120, 120),
                (&[head, answer], Phase::Answered, 60, 1),
                (&[head, answer, b"G"], Phase::Head, 10, 2),
                (&[head, answer, head], Phase::Request, 120, 120),
            ];
            for (said, phase, ordinary, crowded) in rows {
                for (places, patience) in [(2, ordinary), (1, crowded)] {
                    let (mut listener, address) = pair(places).await;
                    let _client = TcpStream::connect(address).await.unwrap();
                    let (mut server, _) = listener.accept().await;
                    for bytes in said {
                        if bytes.starts_with(b"HTTP") { server.said(bytes) } else { server.heard(bytes) }
                    }
                    assert_eq!((server.phase, server.patience().as_secs()), (phase, patience), "{said:?}");
                }
            }
        });
    }

    /// A deployment takes as long as its own bounds allow, and its answer has all its time after that.
    #[test]
    fn nobody_is_silent_while_the_broker_works() {
        run(async {
            let (mut listener, address) = pair(1).await;
            let _client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await;
            server.heard(b"POST / HTTP/1.1\r\n\r\n");
            let is_over = async |server: &mut PatientStream| {
                server.moved = Instant::now() - REQUEST.ordinary;
                std::future::poll_fn(|task| Poll::Ready(server.poll_patience(task).is_ready())).await
            };
            let working = server.work.begin();
            assert!(!is_over(&mut server).await, "while it works");
            drop(working);
            assert!(!is_over(&mut server).await, "just after");
            assert!(is_over(&mut server).await);
        });
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte_on() {
        run(async {
            let (mut listener, address) = pair(1).await;
            let _client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await;
            for bytes in [b"GET / HTTP/1.1\r\n", b"Host: somewhere\n"] {
                let before = server.moved;
                server.heard(bytes);
                assert_eq!(server.moved, before);
            }
        });
    }

    /// What still comes is taken for so long and so far, and then the place is free, whatever the other side does.
    #[test]
    fn what_comes_after_the_end_is_thrown_away() {
        run(async {
            let (mut listener, address) = pair(1).await;
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await;
            let bring = tokio::spawn(async move {
                let body = vec![b'x'; 1 << 20];
                for _ in 0..8 {
                    client.write_all(&body).await.unwrap();
                }
                client
            });
            let mut leave = std::pin::pin!(server.shutdown());
            assert!(tokio::time::timeout(Duration::from_millis(500), &mut leave).await.is_err(), "the client is there");
            let mut client = bring.await.expect("all of it was taken");
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            drop(client);
            leave.await.unwrap();
            assert_eq!((server.phase, server.wasted), (Phase::Left, 8 << 20));
            server.wasted = LEFT_BYTES_MAX;
            server.shutdown().await.unwrap();
        });
        run(async {
            let (mut listener, address) = pair(1).await;
            let _client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await;
            tokio::time::timeout(Duration::from_secs(4), server.shutdown()).await.expect("others wait").unwrap();
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
