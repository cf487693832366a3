//! One listener for both protocols: the first bytes tell, on every transport, and AMQP may ask for TLS.

use super::rig::{Rig, listener};
use crate::harness::wire::{Web, Wire, upgrade};
use crate::harness::{Client, V5, connect};
use host::config::{ClientCertificate, Listener, ProtocolName, Transport};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::Read;
use std::net::TcpStream;

const AMQP: &[u8; 8] = b"AMQP\x00\x01\x00\x00";
const SASL: &[u8; 8] = b"AMQP\x03\x01\x00\x00";
const TLS: &[u8; 8] = b"AMQP\x02\x01\x00\x00";

fn start() -> Option<Rig> {
    let authority = super::rig::Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    let broker = crate::harness::Broker::start_with(move |config| {
        for (name, transport) in [("any", Transport::Tcp), ("any-tls", Transport::Tls), ("any-ws", Transport::Ws)] {
            let any = Listener { protocol: ProtocolName::Any, tls: tls.clone(), ..listener(name, transport) };
            config.listeners.push(any);
        }
    })?;
    Some(Rig { broker, authority })
}

fn dial(rig: &Rig, name: &str) -> TcpStream {
    TcpStream::connect(rig.broker.at(name)).expect("a broker that listens")
}

/// Sends a protocol header; the one that comes back.
fn header(wire: &mut dyn Wire, sent: &[u8; 8]) -> [u8; 8] {
    wire.write_all(sent).unwrap();
    let mut answer = [0; 8];
    wire.read_exact(&mut answer).expect("an answer to a header");
    answer
}

#[test]
fn the_first_bytes_tell_which_protocol_is_spoken() {
    let Some(rig) = start() else { return };
    connect(V5).open_on(Box::new(dial(&rig, "any"))).disconnect();
    assert_eq!(header(&mut dial(&rig, "any"), SASL), *SASL);
    connect(V5).open_on(Box::new(rig.authority.dial(rig.broker.at("any-tls"), None))).disconnect();
    assert_eq!(header(&mut rig.authority.dial(rig.broker.at("any-tls"), None), SASL), *SASL);
    // Neither: it is told in MQTT's way, by hanging up.
    let mut stranger = Client::on(Box::new(dial(&rig, "any")), V5);
    stranger.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(stranger.expect_closed(), None);
}

/// The subprotocol tells, whatever the first bytes are.
#[test]
fn a_web_socket_says_which_protocol_is_spoken() {
    let Some(rig) = start() else { return };
    let mqtt = Web::open(dial(&rig, "any-ws"), &upgrade("/mqtt", "mqtt", "")).expect("a WebSocket");
    connect(V5).open_on(Box::new(mqtt)).disconnect();
    let mut amqp = Web::open(dial(&rig, "any-ws"), &upgrade("/mqtt", "amqp", "")).expect("a WebSocket");
    assert_eq!(header(&mut amqp, SASL), *SASL);
}

/// AMQP 1.0, 5.2.1.
#[test]
fn an_amqp_client_may_ask_for_tls_on_a_plain_connection() {
    let Some(rig) = start() else { return };
    let mut socket = dial(&rig, "any");
    assert_eq!(header(&mut socket, TLS), *TLS);
    let name = ServerName::try_from("localhost").unwrap();
    let mut inside = StreamOwned::new(ClientConnection::new(rig.authority.client(None), name).unwrap(), socket);
    assert_eq!(header(&mut inside, SASL), *SASL);
    drop(inside);
    // Without certificates there is none: the broker says what it speaks, and hangs up.
    let mut plain = TcpStream::connect(rig.broker.at("amqp")).unwrap();
    let answer = header(&mut plain, TLS);
    assert!(answer == *SASL || answer == *AMQP, "{answer:?}");
    assert!(matches!(plain.read(&mut [0; 8]), Ok(0) | Err(_)));
}
