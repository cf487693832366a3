//! PROXY headers: from those who are trusted, and from nobody else (bad-inputs W06, W07).

use super::rig::{Authority, figure, listener, until, wrap};
use crate::amqp::peer::{Peer, says};
use crate::amqp::raw;
use crate::harness::{Broker, Client, V5, connect};
use host::config::{ClientCertificate, List, Listener, ProtocolName, Transport};
use std::io::{Read, Write};
use std::net::TcpStream;

fn start(networks: &'static str) -> Option<Broker> {
    Broker::start_with(move |config| {
        let proxy_protocol = List(networks.split(',').map(|network| network.trim().parse().unwrap()).collect());
        config.listeners.push(Listener { proxy_protocol, ..listener("behind", Transport::Tcp) });
        config.net.connections_per_address_max = 3;
    })
}

/// Version 2, over TCP and IPv4, with this after its addresses.
fn second(source: [u8; 4], length: u16, more: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&source);
    header.extend_from_slice(&[127, 0, 0, 1, 0x30, 0x39, 0x07, 0x5B]);
    header.extend_from_slice(more);
    header
}

fn begin(broker: &Broker, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(broker.at("behind")).unwrap();
    stream.write_all(header).unwrap();
    stream
}

#[test]
fn the_address_in_the_header_is_the_clients() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    for (header, peer) in [
        (b"PROXY TCP4 127.9.9.9 127.0.0.1 12345 1883\r\n".to_vec(), "127.9.9.9:12345"),
        (second([127, 1, 2, 3], 12, &[]), "127.1.2.3:12345"),
        // With an addition.
        (second([127, 1, 2, 4], 16, &[4, 0, 1, 0]), "127.1.2.4:12345"),
    ] {
        let client = connect(V5).open_on(Box::new(begin(&broker, &header)));
        let shown = broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
        assert_eq!(shown["peer"], peer);
    }
}

/// AMQP's own layer of TLS begins behind the header: who the client is was read before it.
#[test]
fn the_address_in_the_header_is_still_the_clients_when_amqp_has_asked_for_tls() {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    let Some(broker) = Broker::start_with(move |config| {
        let proxy_protocol = List(vec!["127.0.0.0/8".parse().unwrap()]);
        let (protocol, tls) = (ProtocolName::Amqp, tls.clone());
        config.listeners.push(Listener { proxy_protocol, protocol, tls, ..listener("behind", Transport::Tcp) });
    }) else {
        return;
    };
    // Anonymous clients come from this machine only: an address that nobody knows is none of its.
    for (header, is_in) in
        [(&b"PROXY TCP4 127.9.9.9 127.0.0.1 12345 5672\r\n"[..], true), (b"PROXY UNKNOWN\r\n", false)]
    {
        let mut socket = begin(&broker, header);
        socket.write_all(raw::TLS).unwrap();
        let mut answer = [0; 8];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, raw::TLS);
        let mut peer = Peer::on(Box::new(wrap(authority.client(None), socket)));
        peer.send(&[raw::AMQP, &raw::open("c"), &raw::close()].concat());
        peer.await_header();
        let said = peer.until_closed();
        assert_eq!(says(&said, "amqp:unauthorized-access"), !is_in, "{}", String::from_utf8_lossy(&said));
    }
}

/// W07: the listener and the balancer are on this machine, the client is not, or nobody knows where it is.
#[test]
fn privileges_of_this_machine_are_not_those_of_whom_a_balancer_brings() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    for header in [&b"PROXY TCP4 203.0.113.9 127.0.0.1 12345 1883\r\n"[..], b"PROXY UNKNOWN\r\n"] {
        let mut client = connect(V5).sent_on(Box::new(begin(&broker, header)));
        let crate::harness::Packet::Connack(answer) = client.receive() else { panic!("expected CONNACK") };
        assert!(answer.code >= 0x80, "{header:?}: anonymous clients come from this machine only");
    }
}

/// W06.
#[test]
fn what_is_no_header_is_refused() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    for header in [
        connect(V5).bytes(),
        second([1, 2, 3, 4], 16, &[4, 0xFF, 0xFF, 0]),
        second([1, 2, 3, 4], 0xFFFF, &[]),
        b"PROXY TCP4 1.2.3.4\x07 127.0.0.1 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 127.0.0.1 1 1 and so on and on and on, so that it is longer than any header may be, which is 107 bytes\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0".to_vec(),
    ] {
        let mut stream = begin(&broker, &header);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert_eq!(answer, b"", "{header:x?}");
    }
}

/// W06: a header from elsewhere.
#[test]
fn whoever_is_not_trusted_cannot_connect() {
    let Some(broker) = start("10.0.0.0/8, 192.168.0.0/16") else { return };
    let mut stream = TcpStream::connect(broker.at("behind")).unwrap();
    drop(stream.write_all(b"PROXY TCP4 127.9.9.9 127.0.0.1 12345 1883\r\n"));
    drop(stream.write_all(&connect(V5).bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert_eq!(answer, b"");
}

#[test]
fn a_header_where_none_is_wanted_is_no_mqtt() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    let mut client = Client::dial(broker.address(), V5);
    client.send(b"PROXY TCP4 1.2.3.4 127.0.0.1 12345 1883\r\n");
    assert_eq!(client.expect_closed(), None);
}

/// All come back at the same time after a restart: each brings the balancer's address until its header is read.
#[test]
fn the_balancers_own_address_is_not_counted() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    let waiting: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(broker.at("behind")).unwrap()).collect();
    until("all are accepted", || figure(&broker, "pliant_connections_total") >= 8);
    let open = |(last, mut stream): (usize, TcpStream)| {
        stream.write_all(format!("PROXY TCP4 127.7.7.{last} 127.0.0.1 12345 1883\r\n").as_bytes()).unwrap();
        connect(V5).open_on(Box::new(stream))
    };
    let _clients: Vec<Client> = waiting.into_iter().enumerate().map(open).collect();
    assert_eq!(figure(&broker, "pliant_connections_refused_total"), 0);
}

#[test]
fn connections_are_counted_by_the_address_in_the_header() {
    let Some(broker) = start("127.0.0.0/8") else { return };
    let from = |last: u8| begin(&broker, format!("PROXY TCP4 127.7.7.{last} 127.0.0.1 12345 1883\r\n").as_bytes());
    let same: Vec<Client> = (0..3).map(|_| connect(V5).open_on(Box::new(from(1)))).collect();
    let mut fourth = connect(V5).sent_on(Box::new(from(1)));
    assert!(fourth.try_receive().is_err());
    connect(V5).open_on(Box::new(from(2))).disconnect();
    assert_eq!(figure(&broker, "pliant_connections_refused_total"), 1);
    drop(same);
}
