//! `pliant pub` and `pliant sub` on every transport: what they bring through, and what they say where they cannot.

use super::quic::asking;
use super::rig::{Rig, Way};
use crate::harness::binary;
use host::config::ClientCertificate;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

fn pliant(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    pliant(arguments).output().expect("pliant can be started")
}

#[test]
fn messages_small_and_large_come_through_on_every_transport() {
    let Some(rig) = Rig::start() else { return };
    let ca = rig.authority.path("ca.pem").display().to_string();
    let large = rig.authority.path("large");
    std::fs::write(&large, vec![b'x'; 3_000_000]).unwrap();
    let large = large.display().to_string();
    for (way, scheme) in
        [(Way::Tcp, "mqtt"), (Way::Tls, "mqtts"), (Way::Ws, "ws"), (Way::Wss, "wss"), (Way::Quic, "quic")]
    {
        let url = format!("{scheme}://localhost:{}", rig.address(way).port());
        let common = ["--url", &url, "--ca-file", &ca];
        for qos in ["0", "1", "2"] {
            for message in [&["small"][..], &["--file", &large]] {
                let publish = [&["pub", "cli/row", "--retain", "--qos", qos], message, &common].concat();
                let sent = run(&publish);
                assert!(sent.status.success(), "{publish:?}: {}", String::from_utf8_lossy(&sent.stderr));
                let got = run(&[&["sub", "cli/row", "--count", "1", "--timeout", "20"], &common[..]].concat());
                let expected = if message.len() == 1 { 6 } else { 3_000_001 };
                assert_eq!(got.stdout.len(), expected, "{publish:?}: {}", String::from_utf8_lossy(&got.stderr));
            }
        }
    }
}

#[test]
fn what_is_in_the_way_is_said() {
    let Some(rig) = Rig::start() else { return };
    let (tls, web) = (rig.address(Way::Tls).port(), rig.address(Way::Ws).port());
    let quic = rig.address(Way::Quic).port();
    for (url, more, says) in [
        (format!("mqtts://localhost:{tls}"), None, "TLS: invalid peer certificate"),
        (format!("mqtts://localhost:{tls}"), Some("--insecure"), ""),
        (format!("ws://localhost:{web}/elsewhere"), None, "404"),
        (format!("quic://localhost:{quic}"), None, "QUIC: the cryptographic handshake failed"),
        (format!("quic://localhost:{quic}"), Some("--insecure"), ""),
        (format!("ws://localhost:{tls}"), None, "WebSocket: "),
    ] {
        let arguments = [&["pub", "cli/row", "x", "--url", &url], more.as_slice()].concat();
        let ended = run(&arguments);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(i32::from(!says.is_empty())), "{url}: {said}");
        assert!(said.contains(says), "{url}: {said}");
    }
}

/// RFC 9001, 4.8: of a certificate that is missing a QUIC client hears after its handshake, by a code.
#[test]
fn a_quic_listener_that_wants_a_certificate_is_understood() {
    let Some((broker, authority)) = asking(ClientCertificate::Required) else { return };
    let (url, ca) = (format!("quic://localhost:{}", broker.at("quic").port()), authority.path("ca.pem"));
    let ended = run(&["pub", "cli/row", "x", "--url", &url, "--ca-file", &ca.display().to_string()]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("received fatal alert: CertificateRequired"), "{said}");
}

#[test]
fn a_port_of_another_protocol_is_told_in_a_line() {
    let Some(rig) = Rig::start() else { return };
    let [mqtt, tls] = [Way::Tcp, Way::Tls].map(|way| rig.address(way).port());
    let amqp = rig.broker.at("amqp").port();
    let no_mqtt = "what it answers is no MQTT; if it speaks TLS there, say mqtts://, if AMQP, amqp://";
    for (url, by_pub, by_bench) in [
        (format!("mqtt://localhost:{tls}"), no_mqtt, "it speaks TLS there: say mqtts://"),
        (format!("mqtt://localhost:{amqp}"), no_mqtt, "it speaks AMQP there: say amqp://"),
        (format!("mqtts://localhost:{mqtt}"), "perhaps it does not speak TLS there", "the bench speaks mqtt://"),
        (format!("mqtts://localhost:{amqp}"), "it does not speak TLS there", "the bench speaks mqtt://"),
        (format!("amqp://localhost:{mqtt}"), "no AMQP 1.0 there", "no AMQP 1.0 there"),
        (format!("amqp://localhost:{tls}"), "if it speaks TLS there, say amqps://", "say amqps://"),
        (format!("amqps://localhost:{mqtt}"), "perhaps it does not speak TLS there", "does not speak TLS there"),
        (format!("amqps://localhost:{amqp}"), "it does not speak TLS there", "it does not speak TLS there"),
    ] {
        for (command, says) in
            [(&["pub", "cli/row", "x"][..], by_pub), (&["sub", "cli/row"], by_pub), (&["bench"], by_bench)]
        {
            let ended = run(&[command, &["--url", &url]].concat());
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(!ended.status.success() && said.contains(says), "{command:?} {url}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{command:?} {url}: {said}");
        }
    }
}

/// The next packet that this stand-in for a broker is sent: first byte and body.
fn packet(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).expect("a packet");
    assert!(head[1] < 128, "a short one");
    let mut body = vec![0; usize::from(head[1])];
    socket.read_exact(&mut body).expect("all of it");
    (head[0], body)
}

#[test]
fn sub_comes_back_after_a_connection_that_broke() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.local_addr().unwrap().port());
    let sub = pliant(&["sub", "t", "--qos", "0", "--count", "2", "--timeout", "30", "--url", &url]).spawn().unwrap();
    for payload in [b'1', b'2'] {
        let mut socket = broker.accept().unwrap().0;
        assert_eq!(packet(&mut socket).0, 0x10);
        socket.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
        let (first, body) = packet(&mut socket);
        assert_eq!(first, 0x82, "it subscribes each time");
        socket.write_all(&[0x90, 4, body[0], body[1], 0, 0, 0x30, 5, 0, 1, b't', 0, payload]).unwrap();
        if payload == b'2' {
            // Until it goes: a connection that breaks earlier would be made again.
            drop(socket.read_to_end(&mut Vec::new()));
        }
    }
    let ended = sub.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("connecting again in 1 s"), "{said}");
    assert_eq!(ended.stdout, b"1\n2\n");
}

/// At-least-once in between, exactly-once all the way: what was printed and not yet released comes again, and is not
/// printed again.
#[test]
fn sub_prints_once_what_comes_again_before_its_release() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.local_addr().unwrap().port());
    let kept = ["--id", "k", "--session-expiry", "60"];
    let sub = [&["sub", "t", "--count", "3", "--timeout", "30", "--url", &url][..], &kept].concat();
    let sub = pliant(&sub).spawn().unwrap();
    let publish = |first, id, payload| [first, 7, 0, 1, b't', 0, id, 0, payload];
    let come_in = |present: u8, window: u8| {
        let mut socket = broker.accept().unwrap().0;
        let connect = packet(&mut socket).1;
        assert!(connect.windows(3).any(|said| said == [0x21, 0, window]), "receive maximum {window}: {connect:?}");
        socket.write_all(&[0x20, 3, present, 0, 0]).unwrap();
        let body = packet(&mut socket).1;
        socket.write_all(&[0x90, 4, body[0], body[1], 0, 2]).unwrap();
        socket
    };
    // Two at once: each is answered.
    let mut socket = come_in(0, 3);
    socket.write_all(&[publish(0x34, 1, b'1'), publish(0x34, 2, b'2')].concat()).unwrap();
    for id in [1, 2] {
        assert_eq!(packet(&mut socket), (0x50, vec![0, id]));
    }
    socket.write_all(&[0x62, 2, 0, 1]).unwrap();
    assert_eq!(packet(&mut socket), (0x70, vec![0, 1]));
    drop(socket);
    let mut socket = come_in(1, 1);
    // One of which this process knows nothing, one that comes again, one under an identifier that is free again.
    let said = [&[0x62, 2, 0, 9][..], &publish(0x3C, 2, b'2'), &publish(0x34, 1, b'3')].concat();
    socket.write_all(&said).unwrap();
    assert_eq!(packet(&mut socket), (0x70, vec![0, 9]));
    assert_eq!(packet(&mut socket), (0x50, vec![0, 2]));
    assert_eq!(packet(&mut socket), (0x50, vec![0, 1]));
    assert_eq!(packet(&mut socket).0, 0xE0);
    let ended = sub.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.stdout, b"1\n2\n3\n");
}
