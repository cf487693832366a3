//! A container that wants to be known by one connection at a time (capability `sole-connection-for-container`), as JMS has it for
//! client ids.

use super::address;
use super::peer::Peer;
use super::raw::{self, AMQP, NULL, frame, performative, string, symbol};
use crate::harness::unique;
use std::net::SocketAddr;

const SOLE: &str = "sole-connection-for-container";

/// Symbols in an array have no constructor each.
fn says(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// What the broker answers to an Open of this container.
fn open(address: SocketAddr, container: &str, wants: &[u8]) -> (Peer, Vec<u8>) {
    let mut peer = Peer::connect(address);
    let fields: [&[u8]; 9] = [&string(container), NULL, NULL, NULL, NULL, NULL, NULL, NULL, wants];
    peer.send(&[AMQP, &frame(0, &performative(0x10, &fields))].concat());
    peer.await_header();
    let answer = peer.expect(0x10);
    (peer, answer)
}

#[test]
fn a_container_that_wants_one_connection_has_one() {
    let Some(address) = address() else { return };
    let (name, sole) = (unique("sole"), symbol(SOLE));
    let (mut first, answer) = open(address, &name, &sole);
    assert!(says(&answer, SOLE), "{}", String::from_utf8_lossy(&answer));
    assert!(!says(&answer, "amqp:connection-establishment-failed"));
    let (mut second, answer) = open(address, &name, &sole);
    assert!(says(&answer, "amqp:connection-establishment-failed"), "{}", String::from_utf8_lossy(&answer));
    let close = second.expect(0x18);
    for word in ["amqp:invalid-field", "invalid-field", "container-id"] {
        assert!(says(&close, word), "{word}: {}", String::from_utf8_lossy(&close));
    }
    // Whoever does not ask for it is no other; and the name is free when the first one has gone.
    let (mut third, answer) = open(address, &name, NULL);
    assert!(!says(&answer, SOLE), "{}", String::from_utf8_lossy(&answer));
    third.send(&raw::close());
    third.expect(0x18);
    first.send(&raw::close());
    first.until_closed();
    let (_, answer) = open(address, &name, &sole);
    assert!(says(&answer, SOLE) && !says(&answer, "amqp:connection-establishment-failed"));
}
