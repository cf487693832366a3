//! Rows for a disk that is full, or fails: what is new is refused, and who comes back can empty what is there.

use super::tests::{Hall, Peer, Probe, opened};
use super::*;
use crate::client::{Client, Protocol};
use crate::dialogue::*;
use crate::message::{Guarantee, Refusal, RefusalKind};
use crate::store::tests::reserve::open_on_a_full_disk;
use crate::store::tests::simulated_disk::Disk;
use crate::store::{Durability, Limits as StoreLimits, QueueRecord};
use std::time::Duration;

const LEAST: Guarantee = Guarantee::AtLeastOnce;
const EXACTLY: Guarantee = Guarantee::ExactlyOnce;

fn hall_on(disk: &Disk) -> Hall {
    let metrics = Arc::new(Metrics::default());
    let limits = StoreLimits { retry_interval: Duration::from_millis(1), ..Default::default() };
    let backend = disk.clone();
    let make = move || Ok(backend.clone());
    let (store, loaded) = Store::with_backend(make, &limits, Durability::Commit, metrics.clone(), Time(0)).unwrap();
    opened(Limits::default(), metrics, store, loaded)
}

/// A session `s` with a message, a last value `r/1`, and a disk that is full by then.
fn full() -> Hall {
    let disk = Disk::default();
    let mut hall = hall_on(&disk);
    let (mut subscriber, _) = hall.attach("s", false, 9000, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"x");
    assert!(retain(&mut hall, &mut publisher, b"v").is_ok());
    hall.commit();
    assert!(hall.broker.store.close());
    let metrics = Arc::new(Metrics::default());
    let (store, loaded) = open_on_a_full_disk(&disk, metrics.clone());
    let hall = opened(Limits::default(), metrics, store, loaded);
    assert!(hall.broker.store.is_out_of_space());
    hall
}

fn retain(hall: &mut Hall, peer: &mut Peer, payload: &[u8]) -> Result<Routed, Refusal> {
    let (name, handle, expiry_seconds, properties) = ("r/1", 9, None, None);
    let publish = Publish { name, guarantee: LEAST, retain: true, handle, expiry_seconds, properties, payload };
    outcome(hall.ask(peer, Request::Publish(publish)))
}

fn outcome(answer: Answer) -> Result<Routed, Refusal> {
    let Answer::Say(_, Event::Published { outcome, .. }) = answer else { panic!("{answer:?}") };
    outcome
}

/// Comes with a will of so many bytes, or without one.
fn come(hall: &mut Hall, id: &str, expiry_seconds: u32, will: Option<usize>) -> Result<(Sequence, Peer), Refusal> {
    let probe = Arc::new(Probe::default());
    let mut link = Link::new(probe.clone(), nobody("mqtt", Protocol::Mqtt));
    let will = will.map(|bytes| WillRequest {
        name: "w".into(),
        guarantee: LEAST,
        retain: false,
        expiry_seconds: None,
        properties: None,
        payload: vec![0; bytes].into(),
        delay_seconds: 50,
    });
    let attach = Attach {
        client: Client { id: id.into(), container: None, scope: nobody("mqtt", Protocol::Mqtt), peer: "".into() },
        clean: false,
        expiry_seconds,
        window: 10,
        per_subscription: false,
        knows_options: true,
        will,
        credentials: None,
        exchange: None,
        proof: None,
    };
    match hall.broker.handle(&mut hall.worker, &mut link, hall.now, Request::Attach(Box::new(attach))) {
        Answer::Say(after, Event::Attached(_)) => Ok((after, Peer { link, probe })),
        Answer::Say(_, Event::Refused(refusal)) => Err(refusal),
        answer => panic!("{answer:?}"),
    }
}

fn subscribe(hall: &mut Hall, peer: &mut Peer, filter: &str) -> Result<Guarantee, Refusal> {
    let options = SubscribeOptions { guarantee: LEAST, ..Default::default() };
    let filters = vec![SubscribeFilter { name: filter.into(), share: None, options }];
    let answer = hall.ask(peer, Request::Subscribe(Subscribe { handle: 1, filters }));
    let Answer::Say(_, Event::Subscribed { mut granted, .. }) = answer else { panic!("{answer:?}") };
    granted.remove(0)
}

fn is_full<T>(answer: Result<T, Refusal>) -> bool {
    answer.is_err_and(|refusal| refusal.kind == RefusalKind::QuotaExceeded && refusal.reason == "the disk is full")
}

/// The reserve was used up by sessions, wills and retained messages for subscriptions, and then nobody could fetch anything.
#[test]
fn on_a_full_disk_what_is_new_is_refused_and_who_comes_back_empties_its_queue() {
    let mut hall = full();
    assert!(is_full(come(&mut hall, "new", 100, None)));
    assert!(is_full(come(&mut hall, "new", 0, Some(100_000))));
    assert!(come(&mut hall, "new", 0, None).is_ok(), "nothing of it is kept");
    assert!(is_full(come(&mut hall, "s", 9000, Some(100_000))));
    let (after, mut peer) = come(&mut hall, "s", 9000, None).unwrap();
    hall.commit();
    assert!(hall.broker.is_committed(after));
    assert!(is_full(subscribe(&mut hall, &mut peer, "b")));
    assert_eq!(subscribe(&mut hall, &mut peer, "a"), Ok(LEAST), "it has that already");
    let taken = hall.take(&peer);
    assert_eq!(taken.len(), 1);
    hall.settle(&mut peer, taken[0].0);
    hall.commit();
    assert_eq!(hall.broker.client("s").unwrap().queued, 0);
}

/// Who subscribes again on coming back is sent what is retained once more, and that would have to be kept.
#[test]
fn on_a_full_disk_retained_messages_do_not_go_into_the_queue_of_a_session() {
    let disk = Disk::default();
    let mut hall = hall_on(&disk);
    let (mut subscriber, _) = hall.attach("s", false, 9000, 10);
    hall.subscribe(&mut subscriber, "r/#", LEAST);
    retain(&mut hall, &mut subscriber, b"v").unwrap();
    let taken = hall.take(&subscriber);
    hall.settle(&mut subscriber, taken[0].0);
    hall.commit();
    assert!(hall.broker.store.close());
    let metrics = Arc::new(Metrics::default());
    let (store, loaded) = open_on_a_full_disk(&disk, metrics.clone());
    let mut hall = opened(Limits::default(), metrics, store, loaded);
    let (mut subscriber, resumed) = hall.attach("s", false, 9000, 10);
    assert!(resumed && is_full(subscribe(&mut hall, &mut subscriber, "r/#")));
    assert_eq!(hall.broker.client("s").unwrap().queued, 0);
    assert_eq!(
        retain(&mut hall, &mut subscriber, b"w").map_err(|refusal| refusal.reason),
        Err("the disk is full".into())
    );
}

#[test]
fn on_a_full_disk_last_values_can_be_deleted() {
    let mut hall = full();
    let (mut peer, _) = hall.attach("c", true, 0, 10);
    assert!(is_full(retain(&mut hall, &mut peer, b"w")));
    assert!(retain(&mut hall, &mut peer, b"").is_ok());
    assert!(hall.broker.retained.is_empty());
}

#[test]
fn on_a_full_disk_no_queue_is_made_nor_bound_and_no_handle_or_tag_is_kept() {
    let mut hall = full();
    let (mut peer, _) = hall.attach("s", false, 9000, 10);
    assert!(is_full(outcome(hall.publish(&mut peer, "/queues/q", LEAST, 1, b"x"))));
    assert!(hall.broker.directory.queue("/queues/q").is_none());
    assert!(is_full(outcome(hall.publish(&mut peer, "nobody", EXACTLY, 2, b"x"))));
    hall.broker.own_tags("l", 5);
    let Admission::Full(refusal) = hall.broker.admit("l", b"t", 5) else { panic!("it was admitted") };
    assert_eq!(refusal.reason, "the disk is full");
    let client =
        Arc::new(Client { id: "o".into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() });
    let bindings = vec!["b/#".into()];
    let make = |_: Option<&QueueRecord>| Ok::<_, Refusal>(QueueRecord { bindings, ..Default::default() });
    assert!(is_full(hall.broker.change_queue(&mut hall.worker, hall.now, &client, "/queues/q", make)));
}

/// The disk fails: nothing is acknowledged, but what is there already can be had.
#[test]
fn on_a_disk_that_fails_who_comes_back_without_a_new_will_gets_in() {
    let disk = Disk::default();
    let mut hall = hall_on(&disk);
    let (mut subscriber, _) = hall.attach("s", false, 9000, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    hall.lose(&mut subscriber);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"x");
    hall.commit();
    disk.fail_after(0);
    hall.publish(&mut publisher, "a", LEAST, 2, b"y");
    while hall.broker.store.is_healthy() {
        std::thread::yield_now();
    }
    for (id, expiry_seconds, will) in [("new", 100, None), ("s", 9000, Some(1)), ("s", 9001, None)] {
        let refused = come(&mut hall, id, expiry_seconds, will).err().unwrap();
        assert_eq!(refused.kind, RefusalKind::Unavailable, "{id} {expiry_seconds} {will:?}");
    }
    let (after, peer) = come(&mut hall, "s", 9000, None).unwrap();
    assert_eq!(after, 0, "its answer does not wait for the disk");
    assert_eq!(hall.take(&peer).len(), 2);
    disk.heal();
}

/// A client that was told to forget a delivery takes it for a new one if it comes again: after a restart it would, from a disk
/// that had not heard that it was received (MQTT-4.3.3-4).
#[test]
fn on_a_disk_that_fails_who_comes_back_is_not_told_to_forget_what_the_disk_has_not_heard_of() {
    let disk = Disk::default();
    let mut hall = hall_on(&disk);
    let (mut subscriber, _) = hall.attach("s", false, 9000, 10);
    hall.subscribe(&mut subscriber, "a", EXACTLY);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", EXACTLY, 1, b"x");
    hall.commit();
    let handle = hall.take(&subscriber)[0].0;
    disk.fail_after(0);
    let answer = hall.ask(&mut subscriber, Request::Received(handle));
    let Answer::Say(after, Event::Release(..)) = answer else { panic!("{answer:?}") };
    while hall.broker.store.is_healthy() {
        std::thread::yield_now();
    }
    hall.lose(&mut subscriber);
    let (said, again) = come(&mut hall, "s", 9000, None).unwrap();
    assert_eq!((said, hall.take(&again)), (0, Vec::new()));
    assert!(!hall.broker.is_committed(after));
    disk.heal();
    while !hall.broker.is_committed(after) {
        std::thread::yield_now();
    }
    assert_eq!(hall.take(&again), [(handle, "release".to_owned(), false)]);
}

/// Of a will only the payload was weighed, and only where it was held: others took memory without a bound.
#[test]
fn wills_that_wait_have_a_bound_in_bytes() {
    let mut hall = super::tests::hall(Limits { memory_bytes_max: 1 << 20, ..Default::default() });
    let mut peers = Vec::new();
    for number in 0..5 {
        peers.push(come(&mut hall, &number.to_string(), 100, Some(100_000)).unwrap().1);
    }
    let refused = come(&mut hall, "5", 100, Some(100_000)).err().unwrap();
    assert_eq!((refused.kind, &*refused.reason), (RefusalKind::QuotaExceeded, "wills take as much memory as they may"));
    // Its delay runs, and then it is back: the will is gone.
    hall.lose(&mut peers[0]);
    assert!(come(&mut hall, "6", 100, Some(100_000)).is_err());
    come(&mut hall, "0", 100, None).unwrap();
    assert!(come(&mut hall, "7", 100, Some(100_000)).is_ok());
    // Published by the end of its session.
    hall.broker.end_session(&mut hall.worker, hall.now, "1");
    assert!(come(&mut hall, "8", 100, Some(100_000)).is_ok());
    for id in ["2", "3", "4", "7", "8"] {
        hall.broker.end_session(&mut hall.worker, hall.now, id);
    }
    assert_eq!(hall.broker.wills.kept_bytes(), 0);
}

/// 10,000 sessions with ids of 65,000 bytes took 789 MB.
#[test]
fn the_name_of_what_is_kept_has_a_bound() {
    let mut hall = super::tests::hall(Limits::default());
    let name = |bytes: usize| "x".repeat(bytes);
    assert!(come(&mut hall, &name(1_024), 100, None).is_ok());
    let refused = come(&mut hall, &name(1_025), 100, None).err().unwrap();
    // 0x85, return code 2 before 5.0 (MQTT 5.0, table 3-1; 3.1.1, table 3.1).
    assert_eq!(refused.kind, RefusalKind::NameInvalid);
    assert!(come(&mut hall, &name(65_535), 0, None).is_ok(), "it ends with its connection");
}

/// A queue with a name of 64 KB, made by anybody's QoS 0 PUBLISH, took 354 KB for good.
#[test]
fn the_address_of_a_queue_has_a_bound_and_so_has_what_it_keeps() {
    let mut hall = super::tests::hall(Limits::default());
    let name = |bytes: usize| format!("/queues/{}", "x".repeat(bytes - 8));
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut publish = |hall: &mut Hall, name: &str, guarantee: Guarantee| {
        let (retain, handle, expiry_seconds, properties, payload) = (false, 9, None, None, &b"x"[..]);
        let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
        hall.ask(&mut publisher, Request::Publish(publish))
    };
    publish(&mut hall, &name(1_025), Guarantee::AtMostOnce);
    let refused = outcome(publish(&mut hall, &name(1_025), LEAST)).unwrap_err();
    // 0x90 (MQTT 5.0, table 3-4), amqp:invalid-field.
    assert_eq!(refused.kind, RefusalKind::TopicInvalid, "{}", refused.reason);
    assert_eq!(hall.broker.queues(0).count(), 0);
    assert!(outcome(publish(&mut hall, &name(1_024), LEAST)).is_ok());

    let client = hall.broker.directory.get("p").unwrap().lock().client.clone();
    let long: Box<str> = "y".repeat(1_025).into();
    let mut change = |record: QueueRecord| {
        let made = |_: Option<&QueueRecord>| Ok::<_, Refusal>(record);
        hall.broker.change_queue(&mut hall.worker, hall.now, &client, "/queues/q", made).map_err(|refusal| refusal.kind)
    };
    let refused = Err(RefusalKind::TopicInvalid);
    assert_eq!(change(QueueRecord { bindings: vec![long.clone()], ..Default::default() }).map(drop), refused);
    assert_eq!(change(QueueRecord { dead_letters: Some(long), ..Default::default() }).map(drop), refused);
    assert!(change(QueueRecord { bindings: vec!["y".into()], ..Default::default() }).is_ok());
}

/// A flood of deletions of nothing took the disk's queue from everybody.
#[test]
fn a_deletion_of_nothing_that_nobody_waits_for_is_none_for_the_store() {
    let mut hall = super::tests::hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut delete = |hall: &mut Hall, guarantee: Guarantee| {
        let (name, retain, handle, expiry_seconds, properties, payload) = ("r/1", true, 9, None, None, &b""[..]);
        let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
        let before = hall.broker.store.submitted();
        hall.ask(&mut publisher, Request::Publish(publish));
        hall.broker.store.submitted() > before
    };
    assert!(!delete(&mut hall, Guarantee::AtMostOnce));
    // Whoever hears of it waits for a deletion of somebody else's.
    assert!(delete(&mut hall, LEAST));
    let (mut other, _) = hall.attach("o", true, 0, 10);
    assert!(retain(&mut hall, &mut other, b"v").is_ok());
    assert!(delete(&mut hall, Guarantee::AtMostOnce) && !delete(&mut hall, Guarantee::AtMostOnce));
}

#[test]
fn queues_are_passed_over_in_their_order() {
    let mut hall = super::tests::hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 0..10 {
        hall.publish(&mut publisher, &format!("/queues/{number}"), LEAST, 1, b"x");
    }
    for (skipped, left) in [(0, 10), (1, 9), (9, 1), (10, 0), (1 << 40, 0)] {
        let queues: Vec<_> = hall.broker.queues(skipped).map(|queue| queue.address).collect();
        assert_eq!(queues.len(), left);
        assert!(queues.first().is_none_or(|first| **first == *format!("/queues/{skipped}")), "{queues:?}");
    }
}
