//! Rows for wills whose owner goes and comes back on two threads: the store hears of both in an order that a crash may cut
//! anywhere.

use super::attach::Leaving;
use super::tests::{Hall, Probe, hall, hall_in, opened};
use super::*;
use crate::client::{Client, Departure, Protocol};
use crate::dialogue::{Attach, Detach, WillRequest};
use crate::message::Guarantee;
use crate::store::{Durability, Limits as StoreLimits, WillRecord};
use std::path::Path;

const ID: &str = "owner";

fn attach(payload: &str, delay_seconds: u32) -> Request<'static> {
    attach_for("wills", payload, delay_seconds)
}

pub(super) fn attach_for(name: &str, payload: &str, delay_seconds: u32) -> Request<'static> {
    let will = WillRequest {
        name: name.into(),
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        expiry_seconds: None,
        properties: None,
        payload: payload.as_bytes().to_vec().into(),
        delay_seconds,
    };
    Request::Attach(Box::new(Attach {
        client: Client { id: ID.into(), container: None, scope: nobody("mqtt", Protocol::Mqtt), peer: "".into() },
        clean: false,
        expiry_seconds: 1000,
        window: 10,
        per_subscription: false,
        knows_options: true,
        will: Some(will),
        credentials: None,
        exchange: None,
        proof: None,
    }))
}

/// Comes with a will; until when its answer waits.
fn come(broker: &Broker, worker: &mut Worker, now: Time, payload: &str, delay_seconds: u32) -> (Link, Sequence) {
    come_by(broker, worker, now, attach(payload, delay_seconds))
}

pub(super) fn come_by(broker: &Broker, worker: &mut Worker, now: Time, attach: Request<'_>) -> (Link, Sequence) {
    let mut link = Link::new(Arc::new(Probe::default()), nobody("mqtt", Protocol::Mqtt));
    let answer = broker.handle(worker, &mut link, now, attach);
    let Answer::Say(after, Event::Attached(_)) = answer else { panic!("{answer:?}") };
    (link, after)
}

#[test]
fn a_will_for_a_queue_makes_the_queue() {
    let mut hall = hall(super::Limits::default());
    let (link, _) = come_by(&hall.broker, &mut hall.worker, hall.now, attach_for("/queues/wills", "w", 0));
    let staged = go(&mut hall, &link);
    hall.broker.commit(&mut hall.worker, staged);
    assert_eq!(hall.broker.directory.queue("/queues/wills").unwrap().depth(), 1);
}

/// The first half of a detach: everything but telling the store.
pub(super) fn go(hall: &mut Hall, link: &Link) -> staged::Staged {
    let Attachment { mailbox, number } = link.attachment().unwrap().clone();
    let mut staged = hall.worker.stage();
    let leaving = Leaving { number: Some(number), how: Departure::ConnectionLost, expiry_seconds: 1000 };
    let left = hall.broker.leave(&mut hall.worker, hall.now, &mailbox, leaving, &mut staged);
    assert!(left.is_some());
    staged
}

fn kept(hall: Hall, directory: &Path) -> Vec<(String, Option<Departure>)> {
    hall.commit();
    assert!(hall.broker.store.close());
    drop(hall);
    let said = |record: &WillRecord| {
        let text = String::from_utf8(record.will.message.payload().to_vec()).unwrap();
        (text, record.due.map(|(_, how)| how))
    };
    let checked = crate::store::check(directory, &StoreLimits::default()).unwrap();
    checked.loaded.wills.iter().map(|(_, record)| said(record)).collect()
}

/// The store must not hear of the old will after the new one.
#[test]
fn a_will_that_is_left_while_an_older_owner_goes_is_the_one_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 60);
    let staged = go(&mut hall, &link);
    let (_second, after) = come(&hall.broker.clone(), &mut hall.broker.worker(), hall.now, "two", 60);
    assert!(after > 0);
    hall.broker.clone().commit(&mut hall.worker, staged);
    assert_eq!(kept(hall, directory.path()), [("two".to_owned(), None)]);
}

/// Its owner's next CONNECT is not answered before its publication is handed over: a crash in between would lose it.
#[test]
fn a_will_on_its_way_out_is_published_before_the_next_one_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut mourner, _) = hall.attach("mourner", false, 1000, 10);
    hall.subscribe(&mut mourner, "wills", Guarantee::AtLeastOnce);
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
    let staged = go(&mut hall, &link);
    let (broker, now) = (hall.broker.clone(), hall.now);
    let mailbox = link.attachment().unwrap().mailbox.clone();
    let next = std::thread::spawn(move || come(&broker, &mut broker.worker(), now, "two", 0).1);
    while !mailbox.is_attached() {
        std::thread::yield_now();
    }
    // Time enough for one that would not wait.
    (0..1000).for_each(|_| std::thread::yield_now());
    let published = hall.broker.clone().commit(&mut hall.worker, staged);
    let next = next.join().unwrap();
    assert!(published > 0 && next > published, "{next} is on disk before {published}");
    assert_eq!(hall.take(&mourner).len(), 1);
    assert_eq!(kept(hall, directory.path()), [("two".to_owned(), None)]);
}

/// A session that is ended from elsewhere, with its client there: the will is published, and is gone from the store.
#[test]
fn a_session_that_is_ended_publishes_its_will_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut mourner, _) = hall.attach("mourner", false, 1000, 10);
    hall.subscribe(&mut mourner, "wills", Guarantee::AtLeastOnce);
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 60);
    let client = link.client().unwrap().clone();
    hall.broker.clone().session_end(&mut hall.worker, hall.now, &client, 0).unwrap();
    hall.worker.flush(&hall.broker, hall.now);
    hall.commit();
    assert_eq!(hall.take(&mourner).len(), 1);
    assert!(kept(hall, directory.path()).is_empty());
}

/// What was left by message, with a delay, comes after it and not at the restart.
#[test]
fn a_will_left_by_message_keeps_its_delay_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let owner = hall.broker.origin();
    let client =
        Arc::new(Client { id: "amqp".into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() });
    let Request::Attach(asked) = attach("later", 60) else { unreachable!() };
    let will = asked.will.unwrap();
    hall.broker.clone().leave_will(&mut hall.worker, hall.now, owner, &client, &will).unwrap();
    hall.commit();
    assert!(hall.broker.store.close());
    drop(hall);
    let mut hall = hall_in(directory.path());
    // The clock of a hall that was opened stands at 0.
    hall.broker.clone().tick(&mut hall.worker, Time(59_000));
    assert_eq!(hall.broker.metrics.wills_published_total.get(), 0);
    hall.broker.clone().tick(&mut hall.worker, Time(61_000));
    hall.worker.flush(&hall.broker, hall.now);
    let metrics = &hall.broker.metrics;
    let received = (metrics.messages_received_total.get(), metrics.messages_unroutable_total.get());
    assert_eq!((metrics.wills_published_total.get(), received), (1, (1, 1)));
}

/// Found by the campaign of kills: the owner came back on one thread while another one was about to work off how it had gone,
/// and its will was taken for one that waits.
#[test]
fn an_owner_that_is_back_at_once_finds_its_will_as_it_left_it() {
    for (how, expected) in [(Departure::ConnectionLost, Some("one")), (Departure::Clean, None)] {
        let mut hall = hall(Limits::default());
        let (mut watcher, _) = hall.attach("watcher", true, 0, 10);
        hall.subscribe(&mut watcher, "wills", Guarantee::AtLeastOnce);
        let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
        let mailbox = link.attachment().unwrap().mailbox.clone();
        {
            let mut state = mailbox.lock();
            mailbox.set_outlet(&mut state, None);
            hall.broker.owner_leaves(hall.now, mailbox.id, how, 1000);
        }
        let _back = come(&hall.broker, &mut hall.worker, hall.now, "two", 0);
        let mut staged = hall.worker.stage();
        hall.broker.owner_left(&mut hall.worker, hall.now, mailbox.id, &mut staged);
        hall.broker.commit(&mut hall.worker, staged);
        hall.commit();
        let came: Vec<String> = hall.take(&watcher).into_iter().map(|(_, text, _)| text).collect();
        assert_eq!(came, Vec::from_iter(expected.map(str::to_owned)), "{how:?}");
    }
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]: a client that says goodbye hears only by the end of its connection that its will, or its
/// session, is over, so that has to be on disk before.
#[test]
fn a_goodbye_waits_for_the_disk_where_a_will_or_a_session_ends_by_it() {
    let mut hall = hall(Limits::default());
    let leave = |hall: &mut Hall, link: &mut Link, expiry_seconds| {
        let detach = Detach { departure: Departure::Clean, expiry_seconds };
        let answer = hall.broker.handle(&mut hall.worker, link, hall.now, Request::Detach(detach));
        let Answer::Left(after) = answer else { panic!("{answer:?}") };
        after > 0
    };
    let (mut link, _) = come(&hall.broker.clone(), &mut hall.broker.worker(), hall.now, "one", 60);
    assert!(leave(&mut hall, &mut link, None), "a will");
    for (kept, expiry_seconds, waits) in
        [(0, None, false), (100, None, false), (100, Some(100), false), (100, Some(50), true), (100, Some(0), true)]
    {
        let (mut peer, _) = hall.attach("c", false, kept, 10);
        assert_eq!(leave(&mut hall, &mut peer.link, expiry_seconds), waits, "{kept} {expiry_seconds:?}");
    }
}

/// A hall in this directory whose queues hold one message, with a watcher of the wills, and a session whose queue is full.
fn crowded(directory: &Path) -> (Hall, tests::Peer) {
    let metrics = Arc::<Metrics>::default();
    let (store, loaded) =
        Store::open(directory, &StoreLimits::default(), Durability::Commit, metrics.clone(), Time(0)).unwrap();
    let limits = Limits { queue_messages_max: 1, ..Limits::default() };
    let mut hall = opened(limits, metrics, store, loaded);
    let (mut away, resumed) = hall.attach("away", false, 100_000, 10);
    if !resumed {
        hall.subscribe(&mut away, "wills", Guarantee::AtLeastOnce);
        hall.lose(&mut away);
        let (mut publisher, _) = hall.attach("publisher", true, 0, 10);
        hall.publish(&mut publisher, "wills", Guarantee::AtLeastOnce, 1, b"first");
    }
    let (mut watcher, _) = hall.attach("watcher", true, 0, 10);
    hall.subscribe(&mut watcher, "wills", Guarantee::AtLeastOnce);
    (hall, watcher)
}

/// The owner is gone without a goodbye.
fn lose(hall: &mut Hall, mut link: Link) {
    let detach = Detach { departure: Departure::ConnectionLost, expiry_seconds: None };
    hall.broker.handle(&mut hall.worker, &mut link, hall.now, Request::Detach(detach));
    hall.worker.flush(&hall.broker, hall.now);
}

fn wait(hall: &mut Hall, seconds: u32) {
    hall.now = hall.now.plus_seconds(seconds);
    hall.broker.tick(&mut hall.worker, hall.now);
    hall.commit();
}

fn come_for(hall: &Hall, peer: &tests::Peer) -> Vec<String> {
    hall.take(peer).into_iter().map(|(_, text, _)| text).collect()
}

/// [MQTT-3.1.2-8]: a will is published; nobody is left who could be told that it was refused. Its owner may be back, and leave
/// another one, before there is room.
#[test]
fn a_will_that_finds_no_room_is_held_and_published_when_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let (mut hall, watcher) = crowded(directory.path());
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
    lose(&mut hall, link);
    let (_back, _) = come(&hall.broker, &mut hall.worker, hall.now, "two", 60);
    wait(&mut hall, 1);
    let metrics = hall.broker.metrics.clone();
    let figures = || (metrics.wills_held_total.get(), metrics.wills_published_total.get());
    assert_eq!((come_for(&hall, &watcher), figures()), (vec![], (1, 0)));
    hall.broker.end_session(&mut hall.worker, hall.now, "away").unwrap();
    wait(&mut hall, 1);
    assert_eq!((come_for(&hall, &watcher), figures()), (vec!["one".to_owned()], (1, 1)));
    wait(&mut hall, 30);
    assert_eq!(come_for(&hall, &watcher), Vec::<String>::new(), "once");
    assert_eq!(kept(hall, directory.path()), [("two".to_owned(), None)]);
}

/// One that is away and whose queue is full keeps nobody else waiting, as long as its queue is not past its bound by half.
#[test]
fn a_will_does_not_wait_for_a_receiver_that_is_away_with_a_full_queue() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Limits::default() });
    let (mut away, _) = hall.attach("away", false, 1000, 10);
    hall.subscribe(&mut away, "wills", Guarantee::AtLeastOnce);
    hall.lose(&mut away);
    let (mut publisher, _) = hall.attach("publisher", true, 0, 10);
    for number in 1..=2 {
        hall.publish(&mut publisher, "wills", Guarantee::AtLeastOnce, number, b"first");
    }
    let (mut watcher, _) = hall.attach("watcher", true, 0, 10);
    hall.subscribe(&mut watcher, "wills", Guarantee::AtLeastOnce);
    for _ in 0..2 {
        let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
        lose(&mut hall, link);
    }
    let metrics = &hall.broker.metrics;
    assert_eq!((metrics.wills_published_total.get(), metrics.wills_held_total.get()), (1, 1));
    assert_eq!(come_for(&hall, &watcher), ["one"]);
    let (away, _) = hall.attach("away", false, 1000, 10);
    assert_eq!(come_for(&hall, &away), ["first", "first", "one"]);
}

#[test]
fn a_will_that_is_held_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut hall, _watcher) = crowded(directory.path());
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
    lose(&mut hall, link);
    wait(&mut hall, 1);
    let lost = Some(Departure::ConnectionLost);
    assert_eq!(kept(hall, directory.path()), [("one".to_owned(), lost)]);
    let (mut hall, watcher) = crowded(directory.path());
    wait(&mut hall, 1);
    assert_eq!(come_for(&hall, &watcher), Vec::<String>::new());
    hall.broker.end_session(&mut hall.worker, hall.now, "away").unwrap();
    // It has been due for long.
    wait(&mut hall, 10);
    assert_eq!(come_for(&hall, &watcher), ["one"]);
    assert!(kept(hall, directory.path()).is_empty());
}

/// Some clients come and go all the time.
#[test]
fn wills_that_are_held_take_no_more_than_half_of_the_memory_for_messages() {
    let mut hall = hall(Limits { queue_messages_max: 1, memory_bytes_max: 600, ..Limits::default() });
    let (mut away, _) = hall.attach("away", false, 1000, 10);
    hall.subscribe(&mut away, "wills", Guarantee::AtLeastOnce);
    hall.lose(&mut away);
    let (mut publisher, _) = hall.attach("publisher", true, 0, 10);
    hall.publish(&mut publisher, "wills", Guarantee::AtLeastOnce, 1, b"first");
    for _ in 0..3 {
        let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
        lose(&mut hall, link);
    }
    let metrics = hall.broker.metrics.clone();
    assert_eq!((metrics.wills_held_total.get(), metrics.wills_dropped_total.get()), (1, 2));
    hall.broker.end_session(&mut hall.worker, hall.now, "away").unwrap();
    wait(&mut hall, 1);
    assert_eq!(metrics.wills_published_total.get(), 1);
    let (link, _) = come(&hall.broker, &mut hall.worker, hall.now, "one", 0);
    lose(&mut hall, link);
    assert_eq!(metrics.wills_published_total.get(), 2);
}
