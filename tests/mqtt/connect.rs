//! CONNECT and CONNACK: who is let in, as whom, and what is granted.
use crate::harness::*;

#[test]
fn a_client_is_let_in() {
    for version in ALL {
        let mut client = client(version);
        assert!(!client.connack.present);
        client.ping();
        client.disconnect();
    }
}
