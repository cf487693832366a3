//! The half of a connection's stream that any thread may write to.

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use quinn::{Connection, SendStream, VarInt};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Longest wait until the peer has acknowledged all that was said.
const PATIENCE: Duration = Duration::from_secs(2);
/// How a connection is closed in order.
const IN_ORDER: VarInt = VarInt::from_u32(0);

/// See the head of this file. What is written waits in the library until the connection's own task makes
/// packets of it.
pub struct QuicWriting {
    connection: Connection,
    stream: Mutex<SendStream>,
    room: Arc<Room>,
    /// Tells `room`.
    waker: Waker,
    window: VarInt,
}

/// Whether the library takes more, and who waits for that. The library remembers one waker a stream; this one stands for
/// whichever thread wrote last, so that the connection's task is told in any case.
#[derive(Default)]
struct Room {
    is_there: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        self.is_there.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl QuicWriting {
    /// Of this connection; `window` as in [`super::Coming`].
    pub fn new(connection: Connection, stream: SendStream, window: VarInt) -> Self {
        let room = Arc::new(Room::default());
        Self { connection, stream: Mutex::new(stream), waker: Waker::from(room.clone()), room, window }
    }

    /// Writes as much as there is room for.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        // Before the look, so that room which comes during it is seen.
        self.room.is_there.store(false, Ordering::Release);
        let mut stream = self.stream.lock();
        match Pin::new(&mut *stream).poll_write(&mut Context::from_waker(&self.waker), bytes) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(written) => {
                self.room.is_there.store(true, Ordering::Release);
                Ok(written?)
            }
        }
    }

    /// Whether it takes more.
    pub fn poll_ready(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.room.task.register(task.waker());
        match self.room.is_there.load(Ordering::Acquire) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Tells the peer that nothing more comes; it may still send.
    pub fn shut(&self) -> io::Result<()> {
        Ok(self.stream.lock().finish()?)
    }

    /// The client is in: from now on it may send more at a time.
    pub fn let_in(&self) {
        self.connection.set_receive_window(self.window);
    }

    /// Ends the connection. What was said before arrives first, if the peer takes it in time.
    pub async fn depart(&self, in_order: bool) {
        if in_order {
            // It may have been finished before.
            let _ = self.shut();
            let delivered = self.stream.lock().stopped();
            // Closed or too slow: either way nothing more can be done for it.
            let _ = tokio::time::timeout(PATIENCE, delivered).await;
        }
        self.connection.close(IN_ORDER, b"");
        // The goodbye leaves before the thread may end.
        tokio::task::yield_now().await;
    }
}
