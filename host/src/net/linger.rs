//! The end of a connection whose client has to hear a last word.
//!
//! Closing a socket with unread bytes resets the connection, and the reset overtakes what was said. So the writing side is
//! closed first, and what the client still sends is read and thrown away until it closes, too, or had time enough.

use socket2::SockRef;
use std::net::Shutdown;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// Longest wait for the client, and the most that is thrown away.
const PATIENCE: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 1 << 20;

/// Ends a connection.
pub async fn linger(socket: &TcpStream, read: &mut OwnedReadHalf) {
    if SockRef::from(socket).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let drained = async {
        let mut rest = BYTES_MAX;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            rest = rest.saturating_sub(count);
            if rest == 0 {
                break;
            }
        }
    };
    // Whether the client was quick enough does not matter any more.
    let _ = tokio::time::timeout(PATIENCE, drained).await;
}
