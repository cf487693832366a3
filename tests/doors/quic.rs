//! QUIC: who may begin, what is refused, how a connection moves and ends. What MQTT promises on it is in `transports`.

use super::rig::{Authority, Rig, Way, figure, listener, until};
use super::tls::with_files;
use crate::harness::quic::{self, Quic};
use crate::harness::{Broker, Publish, V5, V311, Will, connect, data_dir, unique, writer};
use host::config::{ClientCertificate, Listener, Transport};
use quinn::ConnectionError;
use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

fn dial(rig: &Rig) -> Quic {
    rig.authority.dial_quic(rig.address(Way::Quic), None).expect("a broker that listens")
}

/// The code of a broker that ended a connection because of its transport.
fn transport_code(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        other => panic!("expected to be refused by the transport: {other}"),
    }
}

/// RFC 9001, 8.1: who asks for nothing is refused like who asks for something else.
#[test]
fn only_mqtt_is_spoken_and_has_to_be_asked_for() {
    let Some(rig) = Rig::start() else { return };
    for asks in [&["amqp"][..], &["h3"], &["mqtt2", "x"], &[]] {
        let config = rig.authority.quic_client(None, asks);
        let refused = quic::connect(config, rig.address(Way::Quic)).map(drop).unwrap_err();
        assert_eq!(transport_code(&refused), 0x178, "{asks:?}: no_application_protocol");
    }
    until("each is counted", || rig.figure("pliant_transport_faults_total") >= 4);
    let config = rig.authority.quic_client(None, &["x-other", "mqtt"]);
    let dialled = Quic::open(quic::connect(config, rig.address(Way::Quic)).unwrap());
    connect(V5).open_on(Box::new(dialled)).ping();
}

/// A broker whose listener `quic` asks for certificates.
pub fn asking(how: ClientCertificate) -> Option<(Broker, Authority)> {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    authority.sign("client", "alice");
    let tls = authority.tls(how);
    let broker = Broker::start_with(move |config| {
        config.listeners.push(Listener { tls: tls.clone(), ..listener("quic", Transport::Quic) });
    })?;
    Some((broker, authority))
}

#[test]
fn a_required_certificate_is_required_and_checked() {
    let Some((broker, authority)) = asking(ClientCertificate::Required) else { return };
    let other = Authority::new();
    other.sign("mallory", "mallory");
    for file in ["mallory.pem", "mallory.key"] {
        fs::copy(other.path(file), authority.path(file)).unwrap();
    }
    let address = broker.at("quic");
    for own in [None, Some("mallory")] {
        // The client learns of it with the first thing that it waits for.
        let dialled = quic::connect(authority.quic_client(own, &["mqtt"]), address);
        let refused = dialled.map(|(_socket, connection)| quic::wait(connection.closed()));
        let refused = refused.unwrap_or_else(|error| error);
        // 0x100 and a TLS alert (RFC 9001, 4.8).
        assert!((0x100..0x200).contains(&transport_code(&refused)), "{own:?}: {refused}");
    }
    until("both are counted", || figure(&broker, "pliant_transport_faults_total") >= 2);
    let client = connect(V5).open_on(Box::new(authority.dial_quic(address, Some("client")).unwrap()));
    let shown = broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
    assert_eq!(shown["identity"].as_str().or(shown["user"].as_str()), Some("alice"), "{shown}");
}

#[test]
fn a_certificate_is_optional_where_it_is() {
    let Some((broker, authority)) = asking(ClientCertificate::Optional) else { return };
    for (own, expected) in [(Some("client"), Some("alice")), (None, None)] {
        let client = connect(V5).open_on(Box::new(authority.dial_quic(broker.at("quic"), own).unwrap()));
        let shown = broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
        assert_eq!(shown["identity"].as_str().or(shown["user"].as_str()), expected, "{shown}");
    }
}

/// Whether something would have to be waited for.
fn waits<T>(work: impl Future<Output = T>) -> bool {
    let _entered = quic::runtime().enter();
    pin!(work).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn a_connection_has_one_stream_and_no_datagrams() {
    let Some(rig) = Rig::start() else { return };
    let mut dialled = dial(&rig);
    let connection = dialled.connection.clone();
    dialled.write_all(&connect(V311).bytes()).unwrap();
    dialled.read_exact(&mut [0; 4]).unwrap();
    assert!(waits(connection.open_bi()), "a second stream");
    assert!(waits(connection.open_uni()), "a stream in one direction");
    assert_eq!(connection.max_datagram_size(), None);
    // Nor when the first one is over.
    dialled.write_all(&[0xE0, 0]).unwrap();
    dialled.finish();
    assert_eq!(dialled.read(&mut [0; 4]).unwrap(), 0);
    assert!(connection.close_reason().is_some() || waits(connection.open_bi()), "another one after it");
}

/// What was answered comes before the end, and the end is one in order.
#[test]
fn the_end_of_mqtt_is_the_end_of_the_connection() {
    let Some(rig) = Rig::start() else { return };
    let mut dialled = dial(&rig);
    let mut publish = Publish::new(&unique("end"), "last", 1);
    publish.id = 7;
    let goodbye = [connect(V311).bytes(), writer::publish(V311, &publish), vec![0xE0, 0]].concat();
    dialled.write_all(&goodbye).unwrap();
    let mut answers = Vec::new();
    dialled.read_to_end(&mut answers).unwrap();
    assert_eq!(answers, [0x20, 2, 0, 0, 0x40, 2, 0, 7]);
    assert_eq!(dialled.close_code(), 0);

    let mut broken = dial(&rig);
    broken.write_all(&connect(V5).bytes()).unwrap();
    broken.write_all(b"\x36\x05\0\x01t\0\x01").unwrap();
    answers.clear();
    broken.read_to_end(&mut answers).unwrap();
    assert!(answers.windows(3).any(|bytes| bytes[0] == 0xE0 && bytes[2] == 0x81), "{answers:02x?}");
    assert_eq!(broken.close_code(), 0);
}

#[test]
fn a_connection_that_ends_without_disconnect_leaves_its_will() {
    let Some(rig) = Rig::start() else { return };
    let topic = unique("will");
    let mut watcher = connect(V5).at(rig.address(Way::Tcp)).open();
    watcher.subscribe(&topic, 0);
    // The connection, and the stream alone.
    connect(V5).will(Will::new(&topic, "closed")).open_on(Box::new(dial(&rig))).cut();
    watcher.expect(&topic, "closed", 0);
    let mut dialled = dial(&rig);
    dialled.write_all(&connect(V311).will(Will::new(&topic, "finished")).bytes()).unwrap();
    dialled.finish();
    watcher.expect(&topic, "finished", 0);
    assert_eq!(dialled.close_code(), 0);
}

#[test]
fn a_session_is_taken_over_across_transports() {
    let Some(rig) = Rig::start() else { return };
    let (id, topic) = (unique("mover"), unique("taken"));
    let come = |way| connect(V5).id(&id).kept().open_on(rig.dial(way));
    let mut first = come(Way::Quic);
    first.subscribe(&topic, 1);
    let mut sender = connect(V5).open_on(rig.dial(Way::Quic));
    for way in [Way::Tcp, Way::Quic, Way::Quic, Way::Tls, Way::Quic] {
        let mut next = come(way);
        assert!(next.connack.present, "{way:?}");
        first.expect_disconnect(0x8E);
        sender.say(&topic, &format!("{way:?}"), 1);
        next.expect(&topic, &format!("{way:?}"), 1);
        // The broker has its acknowledgement, whatever way is faster.
        next.ping();
        first = next;
    }
}

/// RFC 9000, 9: the client's address changes, its connection and its session stay.
#[test]
fn a_client_may_move_to_another_address() {
    let Some(rig) = Rig::start() else { return };
    let topic = unique("moving");
    let dialled = dial(&rig);
    let (endpoint, connection) = (dialled.endpoint.clone(), dialled.connection.clone());
    let mut client = connect(V5).open_on(Box::new(dialled));
    client.subscribe(&topic, 1);
    let mut sender = connect(V5).open_on(rig.dial(Way::Tcp));
    for turn in 0..3 {
        let before = endpoint.local_addr().unwrap();
        {
            let _entered = quic::runtime().enter();
            endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        }
        assert_ne!(endpoint.local_addr().unwrap(), before);
        client.ping();
        sender.say(&topic, &turn.to_string(), 1);
        client.expect(&topic, &turn.to_string(), 1);
    }
    assert_eq!(connection.close_reason(), None);
}

/// RFC 9001, 9.2: early data could be sent again by anybody who saw it.
#[test]
fn nothing_is_taken_before_the_handshake_is_over() {
    let Some(rig) = Rig::start() else { return };
    let config = rig.authority.quic_client(None, &["mqtt"]);
    let endpoint = quic::endpoint();
    let connection = quic::wait(quic::begin(&endpoint, config.clone(), rig.address(Way::Quic))).unwrap();
    // Tickets have come by then.
    let mut client = connect(V5).open_on(Box::new(Quic::open((endpoint.clone(), connection))));
    client.ping();
    let again = quic::begin(&endpoint, config, rig.address(Way::Quic));
    assert!(again.into_0rtt().is_err(), "keys for early data");
}

/// The first datagrams of so many clients that will never say more.
fn first_datagrams(rig: &Rig, count: usize) -> Vec<Vec<u8>> {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let address = nobody.local_addr().unwrap();
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    while datagrams.len() < count {
        let endpoint = quic::endpoint();
        let connecting = quic::begin(&endpoint, rig.authority.quic_client(None, &["mqtt"]), address);
        let datagram = loop {
            let mut datagram = vec![0; 2048];
            let length = nobody.recv(&mut datagram).unwrap();
            datagram.truncate(length);
            // What earlier ones sent after their first has their connection id (RFC 9000, 17.2).
            if datagrams.iter().all(|other| other[6..14] != datagram[6..14]) {
                break datagram;
            }
        };
        datagrams.push(datagram);
        drop(connecting);
        endpoint.close(0u32.into(), b"");
    }
    datagrams
}

/// W05 over QUIC. RFC 9000, 8.1.2: past a bound, who has not shown that its address is its own is asked to, and nothing
/// is kept of it.
#[test]
fn handshakes_that_stop_half_way_are_few_and_cut_off() {
    let rig = Rig::start_with(|config| {
        config.net.quic_unproven_max = 8;
        config.net.opening_seconds_max = 2;
    });
    let Some(rig) = rig else { return };
    let mut here = connect(V5).open_on(rig.dial(Way::Quic));
    let strangers: Vec<UdpSocket> = first_datagrams(&rig, 40)
        .iter()
        .map(|datagram| {
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            stranger.set_nonblocking(true).unwrap();
            stranger.send_to(datagram, rig.address(Way::Quic)).unwrap();
            stranger
        })
        .collect();
    let asked = Cell::new(0);
    until("all but the first are asked", || {
        for stranger in &strangers {
            let mut answer = [0; 2048];
            while let Ok(length) = stranger.recv(&mut answer) {
                // A long header of type Retry (RFC 9000, 17.2.5).
                asked.set(asked.get() + usize::from(answer[0] & 0xF0 == 0xF0 && length < 200));
            }
        }
        asked.get() == strangers.len() - 8
    });
    // Others come in, by way of that proof, and those who are here notice nothing.
    connect(V5).open_on(rig.dial(Way::Quic)).disconnect();
    here.ping();
    until("nothing is left of them", || rig.figure("pliant_connections") == 1);
    assert_eq!(rig.figure("pliant_opening_timeouts_total"), 8, "handshakes were begun and cut off");
}

#[test]
fn what_is_no_quic_is_dropped_and_nobody_else_notices() {
    let Some(rig) = Rig::start() else { return };
    let mut other = connect(V311).open_on(rig.dial(Way::Quic));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let genuine = first_datagrams(&rig, 1).remove(0);
    let mut hostile: Vec<Vec<u8>> =
        vec![Vec::new(), b"\x10\x10\0\x04MQTT".to_vec(), vec![0xFF; 1200], vec![0x40; 1200], vec![0xC0; 60_000]];
    // Cut, and with each of its first bytes changed.
    hostile.extend((0..64).map(|at| genuine[..at * genuine.len() / 64].to_vec()));
    hostile.extend((0..64).map(|at| {
        let mut changed = genuine.clone();
        changed[at] ^= 0x55;
        changed
    }));
    for datagram in &hostile {
        stranger.send_to(datagram, rig.address(Way::Quic)).unwrap();
    }
    other.ping();
    connect(V5).open_on(rig.dial(Way::Quic)).disconnect();
}

#[test]
fn who_finds_no_place_is_told_so_at_once() {
    let Some(rig) = Rig::start_with(|config| config.net.connections_max = 1) else { return };
    let here = connect(V5).open_on(rig.dial(Way::Quic));
    let refused = rig.authority.dial_quic(rig.address(Way::Quic), None).map(drop).unwrap_err();
    assert_eq!(transport_code(&refused), 2, "CONNECTION_REFUSED");
    assert!(rig.figure("pliant_connections_refused_total") >= 1);
    here.disconnect();
    until("there is room again", || rig.authority.dial_quic(rig.address(Way::Quic), None).is_ok());
}

#[test]
fn certificates_are_replaced_while_clients_are_there() {
    if crate::harness::is_outside() {
        return;
    }
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let data = data_dir();
    let running = with_files(&authority, data.path(), "quic");
    let address = running.address("quic").unwrap();
    let shown = || {
        let dialled = authority.dial_quic(address, None).unwrap();
        let chain = dialled.connection.peer_identity().unwrap();
        let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
        chain[0].as_ref().to_vec()
    };
    let topic = unique("reload");
    let mut client = connect(V5).open_on(Box::new(authority.dial_quic(address, None).unwrap()));
    client.subscribe(&topic, 1);
    let first = shown();
    authority.sign("server", "localhost");
    assert_eq!(shown(), first, "nobody asked for the new one");
    assert_eq!(running.reload().unwrap().failed, [""; 0]);
    let second = shown();
    assert_ne!(second, first);
    fs::write(authority.path("server.key"), "").unwrap();
    let failed = running.reload().unwrap().failed;
    assert!(failed.len() == 1 && failed[0].contains("keeps its old certificate"), "{failed:?}");
    assert_eq!(shown(), second);
    client.say(&topic, "still there", 1);
    client.expect(&topic, "still there", 1);
}

/// A client that stays in the handshake or behind it takes nobody's time, and no more of its own than others have.
#[test]
fn silence_behind_a_handshake_is_cut_off() {
    let rig = Rig::start_with(|config| {
        config.net.opening_seconds_max = 1;
        config.net.unauthenticated_seconds_max = 1;
    });
    let Some(rig) = rig else { return };
    let dialled = dial(&rig);
    assert_eq!(dialled.close_code(), 0);
    until("it is counted", || rig.figure("pliant_opening_timeouts_total") >= 1);
}

/// Larger than all windows, in pieces that fit nothing.
#[test]
fn a_large_message_comes_whole_through_small_windows() {
    let Some(rig) = Rig::start_with(|config| config.net.quic_window_bytes = 16_384) else { return };
    let topic = unique("large");
    let mut reader = connect(V5).open_on(rig.dial(Way::Quic));
    reader.subscribe(&topic, 2);
    let mut writer = connect(V5).open_on(rig.dial(Way::Quic));
    let payload: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
    for qos in 0..=2 {
        writer.publish(&Publish::new(&topic, &payload, qos));
        assert!(reader.take().payload == payload, "QoS {qos}");
    }
}
