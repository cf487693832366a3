//! Keep Alive: silence ends a connection, and nothing else does.

use crate::harness::*;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(100);

/// [MQTT-3.1.2-22], [MQTT-3.1.2-24]
#[test]
fn silence_for_one_and_a_half_times_the_keep_alive_closes() {
    for version in BOTH {
        let start = Instant::now();
        let mut silent = connect(version).keep_alive(1).open();
        let code = silent.expect_closed();
        let waited = start.elapsed();
        assert!(code.is_none_or(|code| code == 0x8D), "{code:02x?}");
        assert!((1400..6000).contains(&waited.as_millis()), "{version:?}: {waited:?}");
    }
}

#[test]
fn the_reason_is_told() {
    connect(V5).keep_alive(1).open().expect_disconnect(0x8D);
}

#[test]
fn a_client_that_pings_stays() {
    let mut measure = connect(V311).keep_alive(1).open();
    let mut awake = connect(V311).keep_alive(1).open();
    while measure.is_silent_for(PACE) {
        awake.ping();
    }
    awake.ping();
}

/// Behind an answer that waits for a disk that fails: the client would take the broker for dead.
#[test]
fn a_ping_is_answered_while_the_disk_fails() {
    let Some(broker) = Broker::start() else { return };
    let mut client = connect(V5).at(broker.address()).id("kept").kept().open();
    client.subscribe("t", 1);
    std::fs::remove_file(broker.data().join("pliant.redb")).expect("the store's file");
    client.send_publish(&Publish::new("t", "never on disk", 1).id(7));
    let patience = Instant::now() + Duration::from_secs(60);
    while broker.admin().get("/readyz").status != 503 {
        assert!(Instant::now() < patience, "the store works without its file");
    }
    client.ping();
}

#[test]
fn any_packet_of_the_client_counts() {
    let topic = unique("counts");
    let mut measure = connect(V5).keep_alive(1).open();
    let mut awake = connect(V5).keep_alive(1).open();
    while measure.is_silent_for(PACE) {
        awake.send_publish(&Publish::new(&topic, "x", 0));
    }
    awake.ping();
}

/// Nothing is read from it while a long message is on its way to it: its pings lie in the socket.
#[test]
fn a_client_that_takes_a_long_message_slowly_is_not_silent() {
    let topic = unique("slow");
    let mut slow = connect(V5).keep_alive(1).open();
    slow.subscribe(&topic, 0);
    let payload = vec![b'x'; 15 << 20];
    client(V5).publish(&Publish::new(&topic, &payload, 0));
    for _ in 0..2 {
        let mut measure = connect(V311).keep_alive(1).open();
        while measure.is_silent_for(PACE) {
            slow.send(&writer::raw(0xC0, &[]));
        }
    }
    assert_eq!(slow.take().payload.len(), payload.len());
    slow.ping();
}

#[test]
fn deliveries_to_the_client_do_not_count() {
    let topic = unique("deaf");
    let mut deaf = connect(V311).keep_alive(1).open();
    deaf.subscribe(&topic, 0);
    let mut publisher = client(V311);
    let mut closed = false;
    let start = Instant::now();
    while !closed && start.elapsed() < Duration::from_secs(10) {
        publisher.say(&topic, "still there?", 0);
        closed = !deaf.is_silent_for(PACE) && deaf.try_receive().is_err();
    }
    assert!(closed, "the client sent nothing and is still connected");
}

#[test]
fn keep_alive_0_is_no_limit() {
    let mut measure = connect(V311).keep_alive(1).open();
    let mut quiet = connect(V311).keep_alive(0).open();
    measure.expect_closed();
    quiet.ping();
}
