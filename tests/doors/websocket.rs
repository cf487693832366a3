//! Hostile and odd WebSockets (bad-inputs W01 to W04), over plain sockets and over TLS.

use super::rig::{Rig, Way, until};
use crate::harness::wire::{Web, Wire, frame, upgrade};
use crate::harness::{Client, Packet, V5, V311, connect, raw, unique};
use std::io::{Read, Write};

const WAYS: [Way; 2] = [Way::Ws, Way::Wss];

/// What carries the WebSocket.
fn carrier(rig: &Rig, way: Way) -> Box<dyn Wire> {
    match way {
        Way::Wss => Box::new(rig.authority.dial(rig.address(way), None)),
        _ => rig.dial_raw(way),
    }
}

fn open(rig: &Rig, way: Way) -> Web<Box<dyn Wire>> {
    Web::open(carrier(rig, way), &upgrade("/mqtt", "mqtt", "")).expect("a WebSocket")
}

/// The close code with which the broker answers these bytes.
fn closed_by(rig: &Rig, way: Way, bytes: &[u8]) -> Option<u16> {
    let mut web = open(rig, way);
    web.send_raw(bytes);
    let mut rest = Vec::new();
    drop(web.read_to_end(&mut rest));
    web.closed
}

#[test]
fn only_the_right_request_opens_a_web_socket() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        for (path, subprotocol, more, status) in [
            ("/mqtt", "mqtt", "", 101),
            ("/mqtt", "mqttv3.1", "", 101),
            ("/mqtt", "x, mqtt", "", 101),
            // W01: the extension is not agreed on.
            ("/mqtt", "mqtt", "Sec-WebSocket-Extensions: permessage-deflate\r\n", 101),
            ("/", "mqtt", "", 404),
            ("/mqtt", "chat", "", 400),
            // This listener is for MQTT.
            ("/mqtt", "amqp", "", 400),
            // W04.
            ("/mqtt", "mqtt", "Origin: https://evil.example\r\n", 403),
            ("/mqtt", "mqtt", "Origin: http://localhost:8080\r\n", 101),
        ] {
            let answer = Web::open(carrier(&rig, way), &upgrade(path, subprotocol, more));
            match answer {
                Ok(_) => assert_eq!(status, 101, "{way:?} {path} {subprotocol} {more}"),
                Err(head) => assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {head}"),
            }
        }
    }
}

/// [MQTT-6.0.0-4]: `mqtt` wherever it is offered; `mqttv3.1` is for clients of 3.1 that know nothing else.
#[test]
fn mqtt_is_chosen_wherever_it_is_offered() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        for (offered, chosen) in [
            ("mqtt", "mqtt"),
            ("mqtt, mqttv3.1", "mqtt"),
            ("mqttv3.1, mqtt", "mqtt"),
            ("mqttv3.1,mqtt", "mqtt"),
            ("x, mqttv3.1, amqp, mqtt", "mqtt"),
            ("mqttv3.1\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
            ("mqttv3.1", "mqttv3.1"),
            ("x, mqttv3.1, mqttv3.1.1", "mqttv3.1"),
        ] {
            let mut wire = carrier(&rig, way);
            wire.write_all(upgrade("/mqtt", offered, "").as_bytes()).expect("a broker that reads");
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && wire.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).expect("HTTP is text").to_lowercase();
            let line = format!("sec-websocket-protocol: {chosen}\r\n");
            assert!(head.starts_with("http/1.1 101 ") && head.contains(&line), "{way:?} {offered}: {head}");
        }
    }
}

#[test]
fn frames_that_break_the_rules_are_told_so_and_nobody_else_notices() {
    let Some(rig) = Rig::start() else { return };
    let mut other = connect(V5).open_on(rig.dial(Way::Ws));
    let greeting = connect(V311).bytes();
    let length = |bytes: u64| [&b"\x82\xFF"[..], &bytes.to_be_bytes(), b"\0\0\0\0"].concat();
    for way in WAYS {
        for (bytes, code) in [
            // W01: what is compressed says so in a reserved bit.
            (frame(0xC2, &greeting), 1002),
            // W02.
            (length(1 << 63), 1002),
            (length(1 << 62), 1009),
            ([&b"\x82"[..], &[u8::try_from(greeting.len()).unwrap()], &greeting].concat(), 1002),
            (frame(0x89, &[0; 126]), 1002),
            // MQTT-6.0.0-1.
            (frame(0x81, &greeting), 1003),
            (frame(0x83, b""), 1002),
            (frame(0x80, b""), 1002),
        ] {
            assert_eq!(closed_by(&rig, way, &bytes), Some(code), "{way:?} {:x?}", &bytes[..2]);
        }
    }
    other.ping();
    until("all are counted", || rig.figure("pliant_transport_faults_total") >= 16);
}

/// W02: fragments without end. Each is counted, also the empty ones.
#[test]
fn a_message_without_end_is_too_large_in_the_end() {
    let Some(rig) = Rig::start_with(|config| config.net.websocket_message_bytes_max = 10_000) else { return };
    for way in WAYS {
        let fragments = [frame(0x02, b""), frame(0x00, b"").repeat(2000)].concat();
        assert_eq!(closed_by(&rig, way, &fragments), Some(1009), "{way:?}");
    }
}

/// W03, MQTT-6.0.0-2: packets may span frames, and frames may hold several.
#[test]
fn packets_and_frames_need_not_agree() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let mut web = open(&rig, way);
        let greeting = connect(V311).bytes();
        let (first, second) = greeting.split_at(5);
        let pings = raw(0xC0, &[]).repeat(3);
        web.send_raw(&frame(0x82, first));
        web.send_raw(&frame(0x02, second));
        web.send_raw(&frame(0x89, b"between"));
        web.send_raw(&frame(0x80, &pings));
        let mut client = Client::on(Box::new(web), V311);
        assert!(matches!(client.receive(), Packet::Connack(_)), "{way:?}");
        for _ in 0..3 {
            assert_eq!(client.receive(), Packet::Pingresp, "{way:?}");
        }
    }
}

#[test]
fn pings_are_answered_and_goodbyes_returned() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let mut web = open(&rig, way);
        web.send_raw(&frame(0x89, b"are you there"));
        assert_eq!(web.next_frame().unwrap(), Some((0x8A, b"are you there".to_vec())), "{way:?}");
        web.send_raw(&frame(0x88, b"\x03\xE9bye"));
        assert_eq!(web.next_frame().unwrap(), Some((0x88, b"\x03\xE9".to_vec())), "{way:?}");
        let mut rest = Vec::new();
        drop(web.inner.read_to_end(&mut rest));
        assert_eq!(rest, b"", "{way:?}");
    }
}

/// [MQTT-4.3.2-4]; RFC 6455, 5.5.1: what was sent before the goodbye, or before a broken rule, may be answered before its answer.
#[test]
fn what_came_before_a_goodbye_is_answered_before_it_is_returned() {
    let Some(rig) = Rig::start() else { return };
    let mut kept = connect(V5).at(rig.address(Way::Tcp)).id(&unique("kept")).kept().open();
    kept.subscribe("ws/+", 1);
    for way in WAYS {
        for (last, code) in [
            (frame(0x88, b"\x03\xE8"), Some(1000)),
            (frame(0x88, b""), None),
            (frame(0x89, &[0; 126]), Some(1002)),
            (frame(0x81, b"text"), Some(1003)),
        ] {
            let goodbye = |web: &mut Web<Box<dyn Wire>>| {
                let (first, payload) = web.next_frame().unwrap().expect("a goodbye");
                let said = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                assert_eq!((first, said), (0x88, code), "{way:?}");
            };
            let greeting = frame(0x82, &connect(V311).bytes());
            let mut web = open(&rig, way);
            web.send_raw(&[&greeting[..], &last].concat());
            assert_eq!(web.next_frame().unwrap(), Some((0x82, vec![0x20, 2, 0, 0])), "{way:?} {code:?}");
            goodbye(&mut web);
            let mut web = open(&rig, way);
            web.send_raw(&greeting);
            assert_eq!(web.next_frame().unwrap(), Some((0x82, vec![0x20, 2, 0, 0])));
            // At least once, for a session that is kept: the answer waits for the disk.
            web.send_raw(&[&frame(0x82, &raw(0x32, b"\0\x04ws/a\0\x07x")), &last[..]].concat());
            assert_eq!(web.next_frame().unwrap(), Some((0x82, vec![0x40, 2, 0, 7])), "{way:?} {code:?}");
            goodbye(&mut web);
            kept.expect("ws/a", "x", 1);
        }
    }
}

/// A goodbye of the WebSocket is none of MQTT: the will is published.
#[test]
fn a_web_socket_that_is_closed_without_disconnect_leaves_its_will() {
    let Some(rig) = Rig::start() else { return };
    let topic = unique("will");
    let mut watcher = connect(V5).at(rig.address(Way::Tcp)).open();
    watcher.subscribe(&topic, 0);
    let mut web = open(&rig, Way::Ws);
    let will = crate::harness::Will::new(&topic, "gone");
    web.write_all(&connect(V5).will(will).bytes()).unwrap();
    web.read_exact(&mut [0; 2]).unwrap();
    web.send_raw(&frame(0x88, &1000u16.to_be_bytes()));
    watcher.expect(&topic, "gone", 0);
}

/// Pings whose answers nobody reads take bounded memory: nothing more is read from such a client, which is cut off.
#[test]
fn who_pings_without_reading_is_not_read_from_and_cut_off() {
    let Some(rig) = Rig::start_with(|config| config.net.write_seconds_max = 1) else { return };
    let mut web = open(&rig, Way::Ws);
    web.patience(std::time::Duration::from_secs(20));
    let pings = frame(0x89, &[0x55; 125]).repeat(1000);
    while web.inner.write_all(&pings).is_ok() {}
    until("it is counted", || rig.figure("pliant_write_timeouts_total") == 1);
}
