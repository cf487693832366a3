//! Any bytes at a WebSocket: nothing panics, and neither what comes through nor what is answered depends on how the bytes
//! are cut.
//!
//! The first byte says whether the opening is done already, and where the bytes are cut.

#![no_main]

use fuzz::net::Socket;
use libfuzzer_sys::fuzz_target;

const OPENING: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else { return };
    let begin = if how & 1 == 0 { OPENING } else { b"" };
    let bytes = [begin, bytes].concat();
    let whole = run(&bytes, usize::MAX);
    assert_eq!(whole, run(&bytes, usize::from(how >> 1) + 1), "it matters how the bytes are cut");
});

/// What came through, what was answered, and whether it was refused in the end.
fn run(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, bool) {
    let mut socket = Socket::new(1024);
    let (mut plain, mut reply) = (Vec::new(), Vec::new());
    let refused = bytes.chunks(piece).any(|piece| !socket.receive(piece, &mut plain, &mut reply));
    assert!(plain.len() <= bytes.len(), "more came out than went in");
    (plain, reply, refused)
}
