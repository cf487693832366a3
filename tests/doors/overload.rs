//! More than the broker can take: what it drops it counts, what it acknowledges it keeps, and who is not to blame goes on.
//!
//! Small here; `PLIANT_LARGE_ROWS=1` makes them larger (the system has to allow the test enough open files).

use super::rig::{resident, until};
use crate::harness::{Admin, Broker, Client, End, Packet, Process, Publish, V5, V311, connect, unique, writer};
use std::net::{SocketAddr, TcpStream};

/// The larger of two sizes where that was asked for.
pub fn size(small: usize, large: usize) -> usize {
    if std::env::var_os("PLIANT_LARGE_ROWS").is_some() { large } else { small }
}

pub fn figure(admin: &Admin, name: &str) -> u64 {
    let text = admin.get("/metrics").expect(200);
    let line = text.text().lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_else(|| panic!("no figure {name}"))
        as u64
}

/// X7: at most 16 KiB each, all closed in time, and those who are in notice nothing.
#[test]
fn a_flood_of_half_greetings_costs_little_and_is_cut_off() {
    let Some(broker) = Process::start_with(&["mqtt.connect_seconds_max=4"], None) else { return };
    let mut inside = connect(V5).at(broker.address()).open();
    inside.ping();
    let before = resident(broker.id());
    let count = size(400, 10_000);
    let mut half = vec![0x10, 0x80, 0x80, 0x10];
    half.extend_from_slice(b"\0\x04MQTT\x04\x02\0\0\xFF\xFF");
    half.resize(8192, b'x');
    let mut flood: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::dial(broker.address(), V311);
            client.try_send(&half);
            client
        })
        .collect();
    inside.ping();
    let grown = resident(broker.id()).saturating_sub(before);
    let bound = count as u64 * 16_384 + (8 << 20);
    assert!(grown <= bound, "{grown} bytes for {count} of them");
    for client in &mut flood {
        assert_eq!(client.try_receive(), Err(End::Closed));
    }
    inside.ping();
    assert!(figure(&broker.admin(), "pliant_opening_timeouts_total") >= count as u64);
}

/// O1: `sent = delivered + counted drops`, exactly; those who read get everything.
#[test]
fn at_most_once_copies_for_who_does_not_read_are_dropped_by_count() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 500) else { return };
    let topic = unique("flood");
    let mut healthy = connect(V5).at(broker.address()).open();
    let mut stalled = connect(V5).at(broker.address()).open();
    healthy.subscribe(&topic, 0);
    stalled.subscribe(&topic, 0);
    let mut writer = connect(V5).at(broker.address()).open();
    let before = figure(&broker.admin(), "pliant_messages_dropped_total");
    let rounds = size(150, 3000);
    for _ in 0..rounds {
        for _ in 0..20 {
            writer.send_publish(&Publish::new(&topic, vec![0x5A; 16_384], 0));
        }
        for _ in 0..20 {
            healthy.take();
        }
    }
    writer.ping();
    let dropped = figure(&broker.admin(), "pliant_messages_dropped_total") - before;
    assert!(dropped > 0, "the row is too small to fill a queue");
    // What was not dropped is there, and then this.
    let mut got = 0;
    let mut last = connect(V5).at(broker.address()).open();
    loop {
        if got as u64 + dropped == (rounds * 20) as u64 {
            break;
        }
        assert_eq!(stalled.take().payload.len(), 16_384, "{got} of {}", rounds * 20);
        got += 1;
    }
    last.say(&topic, "last", 0);
    stalled.expect(&topic, "last", 0);
}

/// Many who take nothing share one message, and do not each have a copy of it; who reads on gets all of it.
#[test]
fn a_long_message_takes_its_bytes_once_however_many_do_not_read_it() {
    let Some(broker) = Process::start() else { return };
    let (topic, count) = (unique("long"), 30);
    let payload: Vec<u8> = (0..15 << 18).flat_map(|number: u32| number.to_be_bytes()).collect();
    let mut stalled: Vec<Client> = (0..count)
        .map(|number| {
            let mut client = connect(if number % 2 == 0 { V5 } else { V311 }).at(broker.address()).keep_alive(0).open();
            client.subscribe(&topic, 1);
            client
        })
        .collect();
    let mut writer = connect(V5).at(broker.address()).open();
    let before = resident(broker.id());
    let id = writer.send_publish(&Publish::new(&topic, payload.clone(), 1));
    assert_eq!(writer.acked(0x40, id).code, 0);
    // Whatever can be handed out is.
    writer.ping();
    let grown = resident(broker.id()).saturating_sub(before);
    assert!(grown < 8 * payload.len() as u64, "{grown} bytes for {count} who do not read");
    for client in stalled.iter_mut().take(4) {
        client.send(&[0xC0, 0]);
        let message = client.delivery();
        assert!(message.payload == payload, "not what was sent");
        assert_eq!(client.receive(), Packet::Pingresp);
        client.ack(0x40, message.id);
        client.ping();
    }
}

/// O1: what is acknowledged is delivered, what is not is refused; nothing lies between.
#[test]
fn at_least_once_copies_for_who_does_not_read_are_refused_and_never_lost() {
    let broker = Broker::start_with(|config| {
        config.broker.queue_messages_max = 200;
        config.broker.publisher_wait_milliseconds_max = 100;
    });
    let Some(broker) = broker else { return };
    let topic = unique("pressed");
    let mut stalled = connect(V5).at(broker.address()).open();
    stalled.subscribe(&topic, 1);
    let mut writer = connect(V5).at(broker.address()).open();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for number in 0..size(2000, 20_000) {
        let mut payload = number.to_string().into_bytes();
        payload.resize(16_384, b' ');
        match writer.publish(&Publish::new(&topic, payload, 1)) {
            0 => taken.push(number.to_string()),
            0x97 => refused += 1,
            code => panic!("{code:#04x}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused > 0, "the row is too small to fill a queue");
    assert!(figure(&broker.admin(), "pliant_publishers_paused_total") > 0, "the publisher waited before that");
    for expected in taken {
        assert_eq!(stalled.take().text().trim_end(), expected);
    }
    stalled.expect_nothing();
}

/// O4: the admin API, the store and those who are in go on; there is room again at once.
#[test]
fn running_out_of_files_stops_nothing_but_newcomers() {
    let Some(broker) = Process::start_with(&[], Some(256)) else { return };
    let topic = unique("files");
    let mut inside = connect(V5).at(broker.address()).session_expiry(60).open();
    inside.subscribe(&topic, 1);
    let crowd: Vec<TcpStream> =
        (0..size(600, 2000)).filter_map(|_| TcpStream::connect(broker.address()).ok()).collect();
    assert!(crowd.len() > 256);
    until("they are turned away", || figure(&broker.admin(), "pliant_connections_refused_total") > 0);
    inside.say(&topic, "kept on disk", 1);
    inside.expect(&topic, "kept on disk", 1);
    broker.admin().get("/readyz").expect(200);
    drop(crowd);
    until("there is room again", || connect(V5).at(broker.address()).sent().try_receive().is_ok());
}

/// O5: publishers wait or are refused, the receiver that goes on gets all that was acknowledged, then so do they.
#[test]
fn a_mark_on_memory_holds_publishers_back_until_receivers_have_caught_up() {
    let mark = size(16 << 20, 128 << 20);
    let settings = [format!("broker.memory_bytes_max={mark}"), "broker.publisher_wait_milliseconds_max=100".to_owned()];
    let Some(broker) = Process::start_with(&settings.each_ref().map(String::as_str), None) else { return };
    let topic = unique("memory");
    let mut paused = connect(V5).at(broker.address()).open();
    paused.subscribe(&topic, 1);
    let (mut taken, refused) = fill(broker.address(), &topic, 4 * mark);
    assert!(refused > 0, "four times the mark fits under it");
    assert_eq!(figure(&broker.admin(), "pliant_memory_alarms_total"), 1);
    let held = figure(&broker.admin(), "pliant_message_bytes");
    assert!(held <= mark as u64 + (4 << 20), "{held} bytes");
    // Who has nothing waiting goes on as ever.
    let other = unique("other");
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe(&other, 1);
    let mut writer = connect(V5).at(broker.address()).open();
    for _ in 0..100 {
        writer.say(&other, "on and on", 1);
        reader.expect(&other, "on and on", 1);
    }
    while taken > 0 {
        assert_eq!(paused.take().payload.len(), 65_536);
        taken -= 1;
    }
    paused.expect_nothing();
    writer.say(&topic, "again", 1);
    paused.expect(&topic, "again", 1);
}

/// What the beginnings of packets may take together has a bound; a client that goes on is told, the others are served.
#[test]
fn packets_that_are_not_whole_have_a_bound_together() {
    let Some(broker) = Process::start_with(&["broker.memory_bytes_max=16777216"], None) else { return };
    let topic = unique("long");
    let payload = vec![0x5A; 6 << 20];
    let bytes = writer::publish(V5, &Publish::new(&topic, payload, 1).id(1));
    let (begun, rest) = bytes.split_at(5 << 20);
    let mut first = connect(V5).at(broker.address()).open();
    first.send(begun);
    until("it counts", || figure(&broker.admin(), "pliant_bytes_received_total") > 5 << 20);
    let mut second = connect(V5).at(broker.address()).open();
    // Little more than is taken, so that it hears why.
    second.try_send(&bytes[..7 << 19]);
    second.expect_disconnect(0x97);
    // It had its share before, and nothing is held against it.
    first.send(rest);
    assert_eq!(first.acked(0x40, 1).code, 0x10);
    connect(V5).at(broker.address()).open().say(&topic, "short", 1);
}

/// Publishes so many bytes; how many messages were taken, and how many refused, at most a few.
fn fill(broker: SocketAddr, topic: &str, bytes: usize) -> (usize, usize) {
    let mut writer = connect(V5).at(broker).open();
    let message = Publish::new(topic, vec![0x5A; 65_536], 1);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..bytes / 65_536 {
        match writer.publish(&message) {
            0 => taken += 1,
            0x97 => refused += 1,
            code => panic!("{code:#04x}"),
        }
        if refused == 3 {
            break;
        }
    }
    (taken, refused)
}
