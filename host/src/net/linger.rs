//! The end of a connection whose client has to hear a last word.
//!
//! Closing a socket with unread bytes resets the connection, and the reset overtakes what was said. So the writing side is
//! closed first, and what the client still sends is read and thrown away until it closes, too, or had time enough.

use super::transport::{Reading, Writing};
use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;

/// Longest wait for the client, and the most that is thrown away.
const PATIENCE: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 1 << 20;

/// Ends a connection.
pub async fn linger(socket: &Writing, read: &mut Reading) {
    if socket.shut().is_err() {
        return;
    }
    let mut rest = BYTES_MAX;
    let drained = poll_fn(|task| {
        loop {
            let mut buffer = [0; 1024];
            let mut into = ReadBuf::new(&mut buffer);
            let result = ready!(read.poll_read(task, &mut into));
            let count = into.filled().len();
            rest = rest.saturating_sub(count);
            if result.is_err() || count == 0 || rest == 0 {
                return Poll::Ready(());
            }
        }
    });
    // Whether the client was quick enough does not matter any more.
    let _ = tokio::time::timeout(PATIENCE, drained).await;
}
