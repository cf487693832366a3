//! Crowds: many who begin at once, who come back at once, who stand still; and a broker that was stopped itself.
//!
//! Small here; `PLIANT_LARGE_ROWS=1` makes them larger, `PLIANT_OVERLOAD_SECONDS=600` longer.

use super::overload::{figure, size};
use super::rig::{Authority, resident, until};
use crate::harness::{Client, Packet, Process, Publish, V5, V311, connect, unique};
use host::config::ClientCertificate;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A broker of its own process with a TLS listener `mqtts`.
fn start(more: &[String]) -> Option<(Process, Authority)> {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    let mut settings = vec![
        "listener.mqtts.transport=tls".to_owned(),
        "listener.mqtts.bind=127.0.0.1:0".to_owned(),
        format!("listener.mqtts.tls.certificate={}", tls.certificate.display()),
        format!("listener.mqtts.tls.key={}", tls.key.display()),
    ];
    settings.extend_from_slice(more);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Some((Process::start_with(&settings, None)?, authority))
}

/// W05: the client's part of a handshake has come, the rest never does.
#[test]
fn half_made_handshakes_have_a_bound_and_an_end_and_others_come_in() {
    let count = size(64, 10_000);
    let places = format!("net.unauthenticated_max={}", count + 5);
    let time = format!("net.opening_seconds_max={}", size(4, 60));
    let Some((broker, authority)) = start(&[places, time]) else { return };
    let at = broker.at("mqtts");
    let mut inside = connect(V5).open_on(Box::new(authority.dial(at, None)));
    let before = resident(broker.id());
    let mut hello = Vec::new();
    authority.dial(at, None).conn.write_tls(&mut hello).unwrap();
    let begin = |_| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&hello).unwrap();
        stream
    };
    let mut half: Vec<TcpStream> = (0..count).map(begin).collect();
    half[count - 1].read_exact(&mut [0]).expect("the broker's part of it");
    let grown = resident(broker.id()).saturating_sub(before);
    assert!(grown <= count as u64 * 65_536 + (16 << 20), "{grown} bytes for {count} of them");
    // There are places left, and nobody who is in notices anything.
    connect(V5).open_on(Box::new(authority.dial(at, None))).disconnect();
    inside.ping();
    // More than there are places are turned away at once.
    let refused = figure(&broker.admin(), "pliant_connections_refused_total");
    half.extend((0..30).map(begin));
    until("those past the bound are refused", || {
        figure(&broker.admin(), "pliant_connections_refused_total") >= refused + 20
    });
    inside.ping();
    for stream in &mut half {
        // Whatever it had said; and then the end.
        drop(stream.read_to_end(&mut Vec::new()));
    }
    until("they are counted", || figure(&broker.admin(), "pliant_opening_timeouts_total") >= count as u64);
    drop(half);
    until("their places are free", || figure(&broker.admin(), "pliant_connections") == 1);
    connect(V5).open_on(Box::new(authority.dial(at, None))).disconnect();
    inside.ping();
}

/// O2: half of them with TLS, all first packets before any answer is read.
#[test]
fn a_storm_of_connections_is_served_while_others_work() {
    let count = size(200, 4_000);
    let Some((broker, authority)) = start(&["net.opening_seconds_max=60".to_owned()]) else { return };
    let topic = unique("storm");
    let mut worker = connect(V5).at(broker.address()).open();
    worker.subscribe(&topic, 1);
    let mut work = || {
        worker.say(&topic, "on and on", 1);
        worker.expect(&topic, "on and on", 1);
    };
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    for number in 0..count / 2 {
        plain.push(connect(V5).at(broker.address()).keep_alive(0).sent());
        let mut dialled = authority.dial(broker.at("mqtts"), None);
        dialled.conn.write_tls(&mut dialled.sock).unwrap();
        secret.push(dialled);
        if number % 10 == 0 {
            work();
        }
    }
    for (client, dialled) in plain.iter_mut().zip(secret) {
        let Packet::Connack(answer) = client.receive() else { panic!("the first packet is not CONNACK") };
        assert_eq!(answer.code, 0);
        connect(V5).open_on(Box::new(dialled)).disconnect();
    }
    work();
    drop(plain);
    until("all are gone", || figure(&broker.admin(), "pliant_connections") == 1);
}

/// O3
#[test]
fn all_sessions_come_back_at_once_after_a_kill_and_nothing_is_lost() {
    let Some(broker) = Process::start() else { return };
    let topic = unique("return");
    let ids: Vec<String> = (0..size(40, 4_000)).map(|_| unique("back")).collect();
    for id in &ids {
        let mut client = connect(V5).at(broker.address()).id(id).kept().open();
        client.subscribe(&topic, 1);
        client.disconnect();
    }
    let mut writer = connect(V5).at(broker.address()).open();
    for number in 0..10 {
        writer.say(&topic, &number.to_string(), 1);
    }
    let broker = broker.kill_and_start();
    let mut back: Vec<Client> =
        ids.iter().map(|id| connect(V5).at(broker.address()).id(id).kept().keep_alive(0).sent()).collect();
    for client in &mut back {
        let Packet::Connack(answer) = client.receive() else { panic!("the first packet is not CONNACK") };
        assert!(answer.present && answer.code == 0, "{answer:?}");
        for number in 0..10 {
            client.expect(&topic, &number.to_string(), 1);
        }
        client.expect_nothing();
    }
}

/// O8: it wakes up later than all keep-alive times allow, and looks at what has come before it blames anybody.
#[test]
fn a_broker_that_was_stopped_for_a_while_blames_nobody() {
    let Some(broker) = Process::start() else { return };
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &broker.id().to_string()]).status().unwrap().success());
    };
    // Few, and with little to do: what takes its time here is silence, too.
    let mut clients: Vec<Client> = (0..8).map(|_| connect(V311).at(broker.address()).keep_alive(1).open()).collect();
    signal("-STOP");
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        for client in &mut clients {
            client.send(&[0xC0, 0]);
        }
    }
    signal("-CONT");
    for client in &mut clients {
        for _ in 0..4 {
            assert_eq!(client.receive(), Packet::Pingresp);
        }
    }
    assert_eq!(figure(&broker.admin(), "pliant_keep_alive_timeouts_total"), 0);
}

/// What a subscriber has got.
#[derive(Default)]
struct Got {
    at_most_once: AtomicU64,
    at_least_once: AtomicU64,
}

/// Reads until a message says that it is over, with a rest after each hundred; how many came.
fn read(mut client: Client, rest: Duration, got: &Got) {
    let mut seen = 0_u64;
    loop {
        let message = client.take();
        match message.qos {
            0 => got.at_most_once.fetch_add(1, Ordering::Relaxed),
            _ if message.payload == b"over" => return,
            _ => got.at_least_once.fetch_add(1, Ordering::Relaxed),
        };
        seen += 1;
        if seen.is_multiple_of(100) && !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}

/// Publishes until the time is over; how many at most once, and how many that were taken at least once.
fn write(at: SocketAddr, topic: &str, time: Duration) -> (u64, u64) {
    let mut writer = connect(V5).at(at).open();
    let begin = Instant::now();
    let (mut at_most_once, mut taken) = (0, 0);
    while begin.elapsed() < time {
        let mut waiting = Vec::new();
        for number in 0..110 {
            let qos = u8::from(number % 11 == 0);
            let id = writer.send_publish(&Publish::new(topic, vec![0x5A; 256], qos));
            match qos {
                0 => at_most_once += 1,
                _ => waiting.push(id),
            }
        }
        taken += waiting.into_iter().filter(|id| writer.acked(0x40, *id).code < 0x80).count() as u64;
    }
    (at_most_once, taken)
}

/// O1: `sent = delivered + counted drops`, exactly; nothing that was acknowledged is missing; memory stays under its mark.
#[test]
fn who_stands_still_or_is_slow_takes_nothing_from_others() {
    let seconds = std::env::var("PLIANT_OVERLOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (healthy, slow) = (if seconds > 10 { 20 } else { 3 }, if seconds > 10 { 100 } else { 5 });
    let mark: u64 = 256 << 20;
    let settings = [
        format!("broker.memory_bytes_max={mark}"),
        "broker.queue_messages_max=2000".to_owned(),
        // Who stands still is here to the end, with its queue full.
        "net.write_seconds_max=3600".to_owned(),
        "broker.publisher_wait_milliseconds_max=1000".to_owned(),
    ];
    let Some(broker) = Process::start_with(&settings.each_ref().map(String::as_str), None) else { return };
    let (topic, at) = (unique("crowd"), broker.address());
    let come = |qos| {
        let mut client = connect(V5).at(at).keep_alive(0).open();
        client.subscribe(&topic, qos);
        client
    };
    // It takes at most once only: at least once its full queue would rightly hold everybody back.
    let stalled = come(0);
    let readers: Vec<_> = (0..healthy + slow).map(|_| (come(1), Got::default())).collect();
    let (clients, got): (Vec<_>, Vec<_>) = readers.into_iter().unzip();
    let over = AtomicBool::new(false);
    let mut most = 0;
    let (sent, taken) = std::thread::scope(|scope| {
        for (number, (client, got)) in clients.into_iter().zip(&got).enumerate() {
            let rest = Duration::from_millis(if number < healthy { 0 } else { 20 });
            scope.spawn(move || read(client, rest, got));
        }
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = resident(broker.id()).max(most);
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        let written = write(at, &topic, Duration::from_secs(seconds));
        over.store(true, Ordering::Relaxed);
        most = watching.join().unwrap();
        let mut last = connect(V5).at(at).open();
        // A full queue may refuse it for a while.
        while last.publish(&Publish::new(&topic, "over", 1)) >= 0x80 {}
        written
    });
    let delivered: u64 = got.iter().map(|got| got.at_most_once.load(Ordering::Relaxed)).sum();
    let kept: Vec<u64> = got.iter().map(|got| got.at_least_once.load(Ordering::Relaxed)).collect();
    for count in &kept {
        assert!(*count >= taken, "{count} of {taken} that were acknowledged");
    }
    // The one that stood still has asked for the lower guarantee: to it all of them went at most once.
    let mut stalled = stalled;
    let dropped = figure(&broker.admin(), "pliant_messages_dropped_total");
    let copies = sent * (got.len() as u64 + 1) + taken + 1;
    let rest = copies.checked_sub(delivered + dropped).expect("no more is delivered and dropped than was sent");
    for _ in 0..rest {
        stalled.take();
    }
    stalled.expect_nothing();
    eprintln!(
        "O1: {sent} at most once and {taken} at least once in {seconds} s to {} readers and one that stands still; \
         {delivered} and {} delivered, {rest} to the one that stood still, {dropped} dropped; at most {} MiB resident",
        got.len(),
        kept.iter().sum::<u64>(),
        most >> 20
    );
    assert!(most <= mark + mark / 10 + (128 << 20), "{most} bytes resident");
}
