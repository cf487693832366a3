//! TLS: who is asked for a certificate, what an expired patience costs, certificates replaced while clients are there.

use super::rig::{Authority, Rig, Way, dial, figure, listener, until};
use crate::harness::{Broker, Client, Packet, V5, V311, connect, data_dir, unique};
use host::config::{ClientCertificate, Config, Listener, Sources, Transport};
use host::server::Running;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

/// A broker whose listener `mtls` asks for certificates, and whose authority signed `client`.
fn asking(how: ClientCertificate) -> Option<(Broker, Authority)> {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    authority.sign("client", "alice");
    let tls = authority.tls(how);
    let broker = Broker::start_with(move |config: &mut Config| {
        config.listeners.push(Listener { tls: tls.clone(), ..listener("mtls", Transport::Tls) });
    })?;
    Some((broker, authority))
}

/// Whether a client gets in.
fn comes_in(authority: &Authority, address: SocketAddr, own: Option<&str>) -> bool {
    let mut client = connect(V5).sent_try(Box::new(authority.dial(address, own)));
    client.as_mut().is_some_and(|client| client.try_receive().is_ok())
}

#[test]
fn a_required_certificate_is_required_and_checked() {
    let Some((broker, authority)) = asking(ClientCertificate::Required) else { return };
    let other = Authority::new();
    other.sign("client", "mallory");
    for file in ["client.pem", "client.key"] {
        fs::copy(other.path(file), authority.path(&format!("other-{file}"))).unwrap();
    }
    fs::rename(authority.path("other-client.pem"), authority.path("mallory.pem")).unwrap();
    fs::rename(authority.path("other-client.key"), authority.path("mallory.key")).unwrap();
    let address = broker.at("mtls");
    assert!(comes_in(&authority, address, Some("client")));
    assert!(!comes_in(&authority, address, None), "without a certificate");
    assert!(!comes_in(&authority, address, Some("mallory")), "of an authority that nobody trusts");
    until("both are counted", || figure(&broker, "pliant_transport_faults_total") >= 2);
}

#[test]
fn the_name_in_a_certificate_is_the_clients_name() {
    let Some((broker, authority)) = asking(ClientCertificate::Optional) else { return };
    let address = broker.at("mtls");
    for (own, expected) in [(Some("client"), Some("alice")), (None, None)] {
        let client = connect(V5).open_on(Box::new(authority.dial(address, own)));
        let shown = broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
        let name = shown["identity"].as_str().or(shown["user"].as_str());
        assert_eq!(name, expected, "{shown}");
    }
}

/// RFC 8446, 2.2: a session that is resumed has the certificate of its first handshake, which TLS does not look at again.
#[test]
fn a_certificate_that_has_expired_lets_nobody_in_by_a_session_that_is_resumed() {
    let Some((broker, authority)) = asking(ClientCertificate::Required) else { return };
    authority.sign_for("brief", "alice", 6);
    let (config, address) = (authority.client(Some("brief")), broker.at("mtls"));
    let mut client = connect(V5).open_on(Box::new(dial(config.clone(), address)));
    client.expect_disconnect(0x87);
    let mut again = dial(config, address);
    again.conn.complete_io(&mut again.sock).unwrap();
    assert_eq!(again.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let Packet::Connack(answer) = connect(V5).sent_on(Box::new(again)).receive() else { panic!("expected CONNACK") };
    assert_eq!(answer.code, 0x86);
}

/// RFC 7301, 3.2: what a client asks for is confirmed or refused; one that asks for nothing comes in.
#[test]
fn a_client_may_ask_for_its_protocol_by_alpn() {
    let Some(rig) = Rig::start() else { return };
    for (way, asks, gets) in [
        (Way::Tls, &["mqtt"][..], Some("mqtt")),
        (Way::Tls, &["x-other", "mqtt"], Some("mqtt")),
        (Way::Wss, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let mut dialled = rig.authority.dial_asking(rig.address(way), asks);
        dialled.conn.complete_io(&mut dialled.sock).unwrap();
        assert_eq!(dialled.conn.alpn_protocol(), gets.map(str::as_bytes), "{way:?} {asks:?}");
    }
    for (way, asks) in [(Way::Tls, "amqp"), (Way::Tls, "http/1.1"), (Way::Wss, "h2")] {
        let mut dialled = rig.authority.dial_asking(rig.address(way), &[asks]);
        let error = dialled.conn.complete_io(&mut dialled.sock).unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{way:?} {asks}: {error}");
    }
    connect(V5).open_on(Box::new(rig.authority.dial_asking(rig.address(Way::Tls), &["mqtt"]))).ping();
    connect(V5).open_on(rig.dial(Way::Tls)).ping();
}

#[test]
fn what_is_no_tls_is_turned_away_and_nobody_else_notices() {
    let Some(rig) = Rig::start() else { return };
    let mut other = connect(V311).open_on(rig.dial(Way::Tls));
    for bytes in
        [&b"\x10\x10\0\x04MQTT\x04\x02\0\x3C\0\x04abcd"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16; 600], &[0xFF; 70_000]]
    {
        let mut stream = TcpStream::connect(rig.address(Way::Tls)).unwrap();
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        // At most an alert.
        drop(stream.read_to_end(&mut answer));
        assert!(answer.len() <= 7, "{answer:?}");
    }
    other.ping();
}

/// W05. All at the same time, so that the row takes as long as one of them.
#[test]
fn a_handshake_that_stalls_at_any_byte_is_cut_off() {
    let Some(rig) = Rig::start_with(|config| config.net.opening_seconds_max = 1) else { return };
    let mut hello = rig.authority.dial(rig.address(Way::Tls), None);
    let mut bytes = Vec::new();
    hello.conn.write_tls(&mut bytes).unwrap();
    let mut stalled: Vec<TcpStream> = (0..bytes.len())
        .map(|length| {
            let mut stream = TcpStream::connect(rig.address(Way::Tls)).unwrap();
            stream.write_all(&bytes[..length]).unwrap();
            stream
        })
        .collect();
    for stream in &mut stalled {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(answer.is_empty() || answer == b"\x15\x03\x03\0\x02\x01\0", "at most an alert: {answer:?}");
    }
    until("all are counted", || rig.figure("pliant_opening_timeouts_total") >= bytes.len() as u64);
    connect(V5).open_on(rig.dial(Way::Tls)).disconnect();
}

/// A client that is silent behind its handshake has as long as any other.
#[test]
fn silence_behind_a_handshake_is_cut_off_too() {
    let Some(rig) = Rig::start_with(|config| config.net.unauthenticated_seconds_max = 1) else { return };
    for way in [Way::Tls, Way::Ws, Way::Wss] {
        let mut client = Client::on(rig.dial(way), V5);
        assert_eq!(client.expect_closed(), None, "{way:?}");
    }
}

/// A broker with one listener, named like its transport, that can read its files again.
pub(super) fn with_files(authority: &Authority, data: &Path, transport: &str) -> Running {
    let path = |file: &str| authority.path(file).display().to_string();
    let flags = vec![
        format!("data_dir={}", data.display()),
        "admin.bind=127.0.0.1:0".to_owned(),
        "listener.mqtt.enabled=false".to_owned(),
        "listener.ws.enabled=false".to_owned(),
        format!("listener.{transport}.transport={transport}"),
        format!("listener.{transport}.bind=127.0.0.1:0"),
        format!("listener.{transport}.tls.certificate={}", path("server.pem")),
        format!("listener.{transport}.tls.key={}", path("server.key")),
    ];
    let sources = Sources { flags, ..Sources::default() };
    host::server::start_from(sources.load().unwrap(), sources).unwrap()
}

#[test]
fn certificates_are_replaced_while_clients_are_there() {
    if crate::harness::is_outside() {
        return;
    }
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let data = data_dir();
    let running = with_files(&authority, data.path(), "tls");
    let address = running.address("tls").unwrap();
    let shown = || {
        let mut dialled = authority.dial(address, None);
        dialled.conn.complete_io(&mut dialled.sock).unwrap();
        dialled.conn.peer_certificates().unwrap()[0].as_ref().to_vec()
    };
    let topic = unique("reload");
    let mut client = connect(V5).open_on(Box::new(authority.dial(address, None)));
    client.subscribe(&topic, 1);
    let first = shown();
    authority.sign("server", "localhost");
    assert_eq!(shown(), first, "nobody asked for the new one");
    assert_eq!(running.reload().unwrap().failed, [""; 0]);
    let second = shown();
    assert_ne!(second, first);
    // Unreadable, empty, not its key: each time the old one stays, and that is said.
    for (file, content) in [("server.pem", None), ("server.key", Some("")), ("server.key", Some("other"))] {
        authority.sign("server", "localhost");
        match content {
            None => fs::remove_file(authority.path(file)).unwrap(),
            Some("other") => {
                authority.sign("other", "localhost");
                fs::copy(authority.path("other.key"), authority.path(file)).map(drop).unwrap();
            }
            Some(content) => fs::write(authority.path(file), content).unwrap(),
        }
        let failed = running.reload().unwrap().failed;
        assert!(failed.len() == 1 && failed[0].contains("keeps its old certificate"), "{file}: {failed:?}");
        assert_eq!(shown(), second, "{file}");
    }
    client.say(&topic, "still there", 1);
    client.expect(&topic, "still there", 1);
}
