//! Any bytes where a PROXY header is due: nothing panics, what is read does not depend on how the bytes are cut, memory
//! stays within the bound, and what follows the header comes through untouched.
//!
//! The first byte says where the bytes are cut.

#![no_main]

use fuzz::net::proxy::{Named, ProxyHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = run(bytes, usize::MAX);
    assert_eq!(whole, run(bytes, usize::from(*cut) + 1), "it matters how the bytes are cut");
    if let Some((_, rest)) = whole.ok().flatten() {
        assert!(bytes.ends_with(&rest), "what follows was changed");
    }
});

/// What was read, with the bytes coming in pieces of this size; an error, or that there are too few.
fn run(bytes: &[u8], piece: usize) -> Result<Option<Named>, String> {
    let mut header = ProxyHeader::default();
    let mut used = 0;
    for piece in bytes.chunks(piece) {
        used += piece.len();
        match header.receive(piece) {
            Ok(None) => {}
            Ok(Some((peer, rest))) => return Ok(Some((peer, [&rest, &bytes[used..]].concat()))),
            // Which fault is found first may depend on the cut, that there is one may not.
            Err(_) => return Err("refused".to_owned()),
        }
    }
    assert!(used <= 1024 + piece.min(bytes.len()), "more is kept than a header may have");
    Ok(None)
}
