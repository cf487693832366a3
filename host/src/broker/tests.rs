//! Rows for the hall alone: no sockets, no protocol, a clock that stands still, a store in memory.

use super::*;
use crate::client::{Client, Departure, Protocol};
use crate::dialogue::*;
use crate::message::Guarantee;
use crate::store::Durability;
use crate::wasm;
use parking_lot::Mutex;
use std::sync::atomic::Ordering;

/// Stands in for a connection: remembers what was sent and why it was ended.
#[derive(Default)]
pub(crate) struct Probe {
    pub(super) wakes: std::sync::atomic::AtomicUsize,
    pub(super) closed: Mutex<Option<Closed>>,
}

impl Outlet for Probe {
    fn flush(&self, _now: Time) {}
    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
    fn close(&self, why: Closed) {
        *self.closed.lock() = Some(why);
    }
    fn connection(&self) -> Option<u64> {
        Some(std::ptr::from_ref(self).addr() as u64)
    }
}

pub(crate) struct Hall {
    pub broker: Arc<Broker>,
    pub worker: Worker,
    pub now: Time,
}

pub(crate) struct Peer {
    pub link: Link,
    pub probe: Arc<Probe>,
}

pub(crate) fn hall(limits: Limits) -> Hall {
    let metrics = Arc::new(Metrics::default());
    let (store, loaded) = Store::in_memory(&Default::default(), Durability::Commit, metrics.clone());
    opened(limits, metrics, store, loaded)
}

/// A hall with what is in a data directory.
pub(super) fn hall_in(directory: &std::path::Path) -> Hall {
    Hall { now: Time(1_000_000), ..hall_at(directory, Time(0)) }
}

/// The same, opened at this time.
pub(super) fn hall_at(directory: &std::path::Path, now: Time) -> Hall {
    let metrics = Arc::new(Metrics::default());
    let (store, loaded) =
        Store::open(directory, &Default::default(), Durability::Commit, metrics.clone(), now).unwrap();
    opened_at(Limits::default(), metrics, store, loaded, now)
}

pub(super) fn opened(limits: Limits, metrics: Arc<Metrics>, store: Store, loaded: crate::store::Loaded) -> Hall {
    Hall { now: Time(1_000_000), ..opened_at(limits, metrics, store, loaded, Time(0)) }
}

fn opened_at(limits: Limits, metrics: Arc<Metrics>, store: Store, mut loaded: crate::store::Loaded, now: Time) -> Hall {
    let kept = wasm::Kept::take(&mut loaded);
    let restored = Restored {
        mailboxes: loaded.mailboxes,
        retained: loaded.retained,
        wills: loaded.wills,
        next_mailbox_id: loaded.next_mailbox_id,
        next_log_id: loaded.next_log_id,
        starts: loaded.starts,
        tags: loaded.tags,
        compile: None,
    };
    let clock: wasm::Clock = Arc::new(|| Time(0));
    let modules =
        Modules::open(Default::default(), store.clone(), kept, &[], Vec::new(), metrics.clone(), clock).unwrap();
    let broker = Broker::open(limits, store, restored, Arc::new(modules), metrics, now);
    let worker = broker.worker();
    Hall { broker, worker, now }
}

impl Hall {
    pub fn attach(&mut self, id: &str, clean: bool, expiry_seconds: u32, window: u16) -> (Peer, bool) {
        let probe = Arc::new(Probe::default());
        let mut link = Link::new(probe.clone(), nobody("mqtt", Protocol::Mqtt));
        let client = Client { id: id.into(), container: None, scope: nobody("mqtt", Protocol::Mqtt), peer: "".into() };
        let attach = Attach {
            client,
            clean,
            expiry_seconds,
            window,
            per_subscription: false,
            knows_options: true,
            will: None,
            credentials: None,
            exchange: None,
            proof: None,
        };
        let answer = self.broker.handle(&mut self.worker, &mut link, self.now, Request::Attach(Box::new(attach)));
        let Answer::Say(_, Event::Attached(attached)) = answer else { panic!("{answer:?}") };
        (Peer { link, probe }, attached.resumed)
    }

    pub fn ask(&mut self, peer: &mut Peer, request: Request<'_>) -> Answer {
        let answer = self.broker.handle(&mut self.worker, &mut peer.link, self.now, request);
        self.worker.flush(&self.broker, self.now);
        answer
    }

    pub fn subscribe(&mut self, peer: &mut Peer, filter: &str, guarantee: Guarantee) {
        let options = SubscribeOptions { guarantee, ..Default::default() };
        let (share, name) = match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((share, name)) => (Some(share.into()), name),
            None => (None, filter),
        };
        let filters = vec![SubscribeFilter { name: name.into(), share, options }];
        let answer = self.ask(peer, Request::Subscribe(Subscribe { handle: 1, filters }));
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(granted, [Ok(guarantee)]);
    }

    pub fn publish(
        &mut self,
        peer: &mut Peer,
        name: &str,
        guarantee: Guarantee,
        handle: u16,
        payload: &[u8],
    ) -> Answer {
        let publish =
            Publish { name, guarantee, retain: false, handle, expiry_seconds: None, properties: None, payload };
        self.ask(peer, Request::Publish(publish))
    }

    pub fn take(&self, peer: &Peer) -> Vec<(Handle, String, bool)> {
        let mut taken = Vec::new();
        self.broker.drain(peer.link.attachment().unwrap(), self.now, &mut |outgoing| {
            taken.push(match outgoing {
                Outgoing::Deliver(delivery) => {
                    let text = String::from_utf8(delivery.message.payload().to_vec()).unwrap();
                    (delivery.handle, text, delivery.duplicate)
                }
                Outgoing::Release(handle) => (handle, "release".into(), false),
            });
            true
        });
        taken
    }

    pub fn settle(&mut self, peer: &mut Peer, handle: Handle) {
        self.ask(peer, Request::Settle(handle, Settlement::Acknowledged));
    }

    pub fn commit(&self) {
        assert!(self.broker.store.flush_blocking(std::time::Duration::from_secs(10)));
    }

    pub fn lose(&mut self, peer: &mut Peer) {
        let detach = Detach { departure: Departure::ConnectionLost, expiry_seconds: None };
        self.broker.handle(&mut self.worker, &mut peer.link, self.now, Request::Detach(detach));
        self.worker.flush(&self.broker, self.now);
    }
}

const ONCE: Guarantee = Guarantee::AtMostOnce;
const LEAST: Guarantee = Guarantee::AtLeastOnce;
const EXACTLY: Guarantee = Guarantee::ExactlyOnce;

fn row(handle: Handle, text: &str, duplicate: bool) -> (Handle, String, bool) {
    (handle, text.into(), duplicate)
}

#[test]
fn a_durable_copy_leaves_after_its_commit_and_its_publisher_hears_then() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", false, 100, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let answer = hall.publish(&mut publisher, "a", LEAST, 1, b"x");
    let Answer::Say(after, Event::Published { handle: 1, outcome: Ok(Routed::Matched), .. }) = answer else {
        panic!("{answer:?}")
    };
    assert!(after > 0, "the answer waits for the disk");
    hall.commit();
    assert!(hall.broker.is_committed(after));
    assert_eq!(hall.take(&subscriber), [row(1, "x", false)]);
}

/// Q11: no timer forgets what a client has not released.
#[test]
fn an_unreleased_message_is_the_same_message_an_hour_later() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", true, 0, 10);
    hall.subscribe(&mut subscriber, "a", EXACTLY);
    let (mut publisher, _) = hall.attach("p", false, 7200, 10);
    hall.publish(&mut publisher, "a", EXACTLY, 7, b"x");
    hall.commit();
    assert_eq!(hall.take(&subscriber), [row(1, "x", false)]);
    hall.now = hall.now.plus_seconds(3600);
    hall.broker.tick(&mut hall.worker, hall.now);
    hall.publish(&mut publisher, "a", EXACTLY, 7, b"x");
    hall.commit();
    assert_eq!(hall.take(&subscriber), []);
    assert!(matches!(hall.ask(&mut publisher, Request::Release(7)), Answer::Say(_, Event::Released(7, true))));
    hall.publish(&mut publisher, "a", EXACTLY, 7, b"y");
    hall.commit();
    assert_eq!(hall.take(&subscriber), [row(2, "y", false)]);
}

#[test]
fn nothing_waits_for_the_disk_where_nothing_is_kept() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", true, 0, 10);
    hall.subscribe(&mut subscriber, "a", EXACTLY);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for (guarantee, handle) in [(LEAST, 1), (EXACTLY, 2)] {
        let answer = hall.publish(&mut publisher, "a", guarantee, handle, b"x");
        assert!(matches!(answer, Answer::Say(0, Event::Published { outcome: Ok(Routed::Matched), .. })), "{answer:?}");
    }
    assert_eq!(hall.take(&subscriber), [row(1, "x", false), row(2, "x", false)]);
}

#[test]
fn an_exactly_once_publication_is_taken_once_until_it_is_released() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", true, 0, 10);
    hall.subscribe(&mut subscriber, "a", ONCE);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for _ in 0..3 {
        hall.publish(&mut publisher, "a", EXACTLY, 7, b"x");
    }
    assert_eq!(hall.take(&subscriber).len(), 1);
    let answer = hall.ask(&mut publisher, Request::Release(7));
    assert!(matches!(answer, Answer::Say(0, Event::Released(7, true))), "{answer:?}");
    let answer = hall.ask(&mut publisher, Request::Release(7));
    assert!(matches!(answer, Answer::Say(0, Event::Released(7, false))), "{answer:?}");
    hall.publish(&mut publisher, "a", EXACTLY, 7, b"y");
    assert_eq!(hall.take(&subscriber), [row(0, "y", false)]);
}

#[test]
fn a_full_queue_makes_its_publisher_wait_and_lets_it_go_on() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Default::default() });
    let (mut subscriber, _) = hall.attach("s", true, 0, 1);
    hall.subscribe(&mut subscriber, "a", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for handle in 1..=2 {
        hall.publish(&mut publisher, "a", LEAST, handle, b"x");
    }
    assert!(matches!(hall.publish(&mut publisher, "a", LEAST, 3, b"last"), Answer::Parked));
    assert!(matches!(hall.broker.resume(&mut hall.worker, &mut publisher.link, hall.now), Answer::Parked));
    for handle in 1..=2 {
        assert_eq!(hall.take(&subscriber), [row(handle, "x", false)]);
        hall.settle(&mut subscriber, handle);
    }
    assert!(publisher.probe.wakes.load(Ordering::Relaxed) > 0);
    let answer = hall.broker.resume(&mut hall.worker, &mut publisher.link, hall.now);
    assert!(matches!(answer, Answer::Say(0, Event::Published { handle: 3, outcome: Ok(_), .. })), "{answer:?}");
    assert_eq!(hall.take(&subscriber), [row(3, "last", false)]);
}

/// A connection that waits is not read: each message that it had sent before would hold up all behind it for as long.
#[test]
fn who_has_waited_in_vain_for_a_receiver_does_not_wait_for_it_again_until_it_has_taken_something() {
    let mut hall =
        hall(Limits { queue_messages_max: 1, publisher_wait_milliseconds_max: 10_000, ..Default::default() });
    let (mut subscriber, _) = hall.attach("s", true, 0, 1);
    hall.subscribe(&mut subscriber, "a", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let is_refused = |answer| matches!(answer, Answer::Say(_, Event::Published { outcome: Err(_), .. }));
    hall.publish(&mut publisher, "a", LEAST, 1, b"1");
    for round in 0..2u16 {
        assert!(matches!(hall.publish(&mut publisher, "a", LEAST, 2, b"no"), Answer::Parked));
        hall.now = hall.now.plus_seconds(11);
        assert!(is_refused(hall.broker.resume(&mut hall.worker, &mut publisher.link, hall.now)));
        let (mut other, _) = hall.attach("o", true, 0, 10);
        for who in [&mut publisher, &mut other] {
            assert!(is_refused(hall.publish(who, "a", LEAST, 3, b"no")));
        }
        assert_eq!(hall.take(&subscriber), [row(round + 1, "1", false)]);
        hall.settle(&mut subscriber, round + 1);
        hall.publish(&mut publisher, "a", LEAST, 4, b"1");
    }
}

/// They are not read while they wait, and nobody would ever make room.
#[test]
fn publishers_that_wait_for_each_other_are_refused() {
    let mut hall = hall(Limits { queue_messages_max: 1, ..Default::default() });
    let names = ["a", "b", "c"];
    let mut peers = names.map(|name| hall.attach(name, true, 0, 1).0);
    for (peer, name) in peers.iter_mut().zip(names) {
        hall.subscribe(peer, name, LEAST);
    }
    // Each publishes to the next one.
    let [a, b, c] = &mut peers;
    for (publisher, to, last) in [(a, "b", false), (b, "c", false), (c, "a", true)] {
        hall.publish(publisher, to, LEAST, 1, b"x");
        let answer = hall.publish(publisher, to, LEAST, 2, b"x");
        match answer {
            Answer::Parked => assert!(!last),
            Answer::Say(_, Event::Published { handle: 2, outcome: Err(_), .. }) => assert!(last),
            answer => panic!("{answer:?}"),
        }
    }
    // Whoever waits no more is in nobody's way.
    let [a, b, c] = &mut peers;
    hall.lose(a);
    let (mut again, _) = hall.attach("a", true, 0, 1);
    hall.subscribe(&mut again, "a", LEAST);
    hall.publish(c, "a", LEAST, 3, b"x");
    assert!(matches!(hall.publish(c, "a", LEAST, 4, b"x"), Answer::Parked));
    assert!(b.link.is_parked() && c.link.is_parked());
}

#[test]
fn a_full_queue_of_somebody_who_is_away_refuses() {
    let mut hall = hall(Limits { queue_messages_max: 1, ..Default::default() });
    let (mut subscriber, _) = hall.attach("s", false, 100, 1);
    hall.subscribe(&mut subscriber, "a", LEAST);
    hall.lose(&mut subscriber);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"x");
    let answer = hall.publish(&mut publisher, "a", LEAST, 2, b"x");
    assert!(matches!(answer, Answer::Say(_, Event::Published { outcome: Err(_), .. })), "{answer:?}");
}

#[test]
fn an_at_most_once_copy_is_dropped_at_a_full_queue_and_counted() {
    let mut hall = hall(Limits { queue_messages_max: 1, ..Default::default() });
    let (mut subscriber, _) = hall.attach("s", true, 0, 1);
    hall.subscribe(&mut subscriber, "a", ONCE);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for payload in [b"1", b"2"] {
        hall.publish(&mut publisher, "a", ONCE, 0, payload);
    }
    assert_eq!(hall.take(&subscriber), [row(0, "1", false)]);
    let metrics = &hall.broker.metrics;
    assert_eq!((metrics.messages_dropped_total.get(), metrics.messages_unroutable_total.get()), (1, 0));
}

/// Each connection has all its places (MQTT 5.0, 4.9), as releases that are sent again take none: who takes messages and never
/// completes the exchange had 65,535 of them in the end, and no handle was left for the next.
#[test]
fn who_completes_no_exchange_gets_no_more_messages_after_a_while() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", false, 600, 100);
    hall.subscribe(&mut subscriber, "a", EXACTLY);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for _ in 0..3_000 {
        hall.publish(&mut publisher, "a", EXACTLY, 1, b"x");
        hall.ask(&mut publisher, Request::Release(1));
    }
    hall.commit();
    let messages = |hall: &Hall, peer: &Peer| -> Vec<Handle> {
        let taken = hall.take(peer).into_iter().filter(|(_, text, _)| text != "release");
        taken.map(|(handle, ..)| handle).collect()
    };
    let mut had = Vec::new();
    for _ in 0..20 {
        let new = messages(&hall, &subscriber);
        for handle in &new {
            hall.ask(&mut subscriber, Request::Received(*handle));
        }
        had.extend(new);
        hall.lose(&mut subscriber);
        subscriber = hall.attach("s", false, 600, 100).0;
        hall.commit();
    }
    assert_eq!(had.len(), 1_024);
    assert!(messages(&hall, &subscriber).is_empty());
    for handle in &had[..200] {
        hall.ask(&mut subscriber, Request::Settle(*handle, Settlement::Completed));
    }
    assert_eq!(messages(&hall, &subscriber).len(), 100);
}

#[test]
fn what_was_under_way_is_sent_again_under_the_same_handle() {
    let mut hall = hall(Limits::default());
    let (mut subscriber, _) = hall.attach("s", false, 100, 10);
    hall.subscribe(&mut subscriber, "a", EXACTLY);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for (handle, payload) in [(1, b"1"), (2, b"2"), (3, b"3")] {
        hall.publish(&mut publisher, "a", EXACTLY, handle, payload);
    }
    hall.commit();
    assert_eq!(hall.take(&subscriber).len(), 3);
    hall.ask(&mut subscriber, Request::Received(2));
    hall.lose(&mut subscriber);
    let (mut subscriber, resumed) = hall.attach("s", false, 100, 10);
    assert!(resumed);
    // It may be told to forget what the disk knows that it has.
    hall.commit();
    let sent = hall.broker.metrics().messages_sent_total.get();
    assert_eq!(hall.take(&subscriber), [row(1, "1", true), row(2, "release", false), row(3, "3", true)]);
    assert_eq!(hall.broker.metrics().messages_sent_total.get() - sent, 2, "what is sent again counts again");
    let answer = hall.ask(&mut subscriber, Request::Settle(3, Settlement::Completed));
    assert!(matches!(answer, Answer::Say(_, Event::Closed(Closed::HandleMisused))), "{answer:?}");
    hall.ask(&mut subscriber, Request::Settle(2, Settlement::Completed));
    assert_eq!(hall.broker.client("s").unwrap().in_flight, 2);
}

#[test]
fn a_second_connection_takes_over_and_the_first_one_is_told() {
    let mut hall = hall(Limits::default());
    let (mut first, _) = hall.attach("c", false, 100, 10);
    let (second, resumed) = hall.attach("c", false, 100, 10);
    assert!(resumed);
    assert_eq!(*first.probe.closed.lock(), Some(Closed::TakenOver));
    hall.lose(&mut first);
    assert!(hall.broker.client("c").unwrap().attached, "the late word of the first one changes nothing");
    drop(second);
}

#[test]
fn a_shared_message_that_its_member_leaves_behind_goes_to_another() {
    let mut hall = hall(Limits::default());
    let (mut one, _) = hall.attach("one", true, 0, 10);
    hall.subscribe(&mut one, "$share/g/a", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"x");
    assert_eq!(hall.take(&one), [row(1, "x", false)]);
    let (mut other, _) = hall.attach("other", true, 0, 10);
    hall.subscribe(&mut other, "$share/g/a", LEAST);
    hall.lose(&mut one);
    assert_eq!(hall.take(&other), [row(1, "x", false)]);
}

/// Nothing acknowledged is lost: the others take it over also where their queues are full.
#[test]
fn what_a_member_leaves_behind_goes_to_others_whose_queues_are_full() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Default::default() });
    let (mut one, _) = hall.attach("one", true, 0, 1);
    let (mut other, _) = hall.attach("other", true, 0, 1);
    for member in [&mut one, &mut other] {
        hall.subscribe(member, "$share/g/a", LEAST);
    }
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut got: Vec<(Handle, String, bool)> = Vec::new();
    for number in 1..=6 {
        let answer = hall.publish(&mut publisher, "a", LEAST, number, number.to_string().as_bytes());
        assert!(matches!(answer, Answer::Say(_, Event::Published { outcome: Ok(_), .. })), "{answer:?}");
        hall.take(&one);
        got.extend(hall.take(&other));
    }
    hall.lose(&mut one);
    while let Some((handle, ..)) = got.last().cloned() {
        hall.settle(&mut other, handle);
        let more = hall.take(&other);
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    let mut texts: Vec<_> = got.into_iter().map(|(_, text, _)| text).collect();
    texts.sort();
    assert_eq!(texts, ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn an_abandoned_mailbox_ends_in_time_and_not_early() {
    let mut hall = hall(Limits::default());
    let (mut client, _) = hall.attach("c", false, 100, 10);
    hall.subscribe(&mut client, "a", LEAST);
    hall.lose(&mut client);
    for (later, there) in [(99_999, true), (100_000, false)] {
        hall.broker.tick(&mut hall.worker, hall.now.plus_milliseconds(later));
        assert_eq!(hall.broker.client("c").is_some(), there, "after {later} ms");
    }
    assert!(hall.broker.trie.read().is_empty());
}

#[test]
fn somebody_elses_client_id_is_refused_and_nothing_happens_to_it() {
    let mut hall = hall(Limits::default());
    let (_first, _) = hall.attach("c", false, 100, 10);
    let probe = Arc::new(Probe::default());
    let mut link = Link::new(probe, nobody("mqtt", Protocol::Mqtt));
    let scope = Scope { identity: Some("mallory".into()), ..Scope::clone(&nobody("mqtt", Protocol::Mqtt)) }.into();
    let attach = Attach {
        client: Client { id: "c".into(), container: None, scope, peer: "".into() },
        clean: true,
        expiry_seconds: 0,
        window: 1,
        per_subscription: false,
        knows_options: true,
        will: None,
        credentials: None,
        exchange: None,
        proof: None,
    };
    let answer = hall.broker.handle(&mut hall.worker, &mut link, hall.now, Request::Attach(Box::new(attach)));
    assert!(matches!(answer, Answer::Say(0, Event::Refused(_))), "{answer:?}");
    assert!(hall.broker.client("c").unwrap().attached);
}

/// What a session of MQTT takes while nothing happens: 100,000 of them are to find room.
#[test]
fn an_idle_session_has_no_room_for_what_it_seldom_uses() {
    assert!(size_of::<Mailbox>() <= 432, "a mailbox takes {} bytes", size_of::<Mailbox>());
    let mut hall = hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    retain(&mut hall, &mut publisher, 1, b"x");
    let (mut peer, _) = hall.attach("a", true, 0, 10);
    let (mut kept, _) = hall.attach("kept", false, 60, 10);
    hall.subscribe(&mut peer, "#", LEAST);
    hall.subscribe(&mut kept, "#", LEAST);
    let is_blank = |hall: &Hall, client: &str| {
        let mailbox = hall.broker.directory.get(client).unwrap();
        let state = mailbox.lock();
        [state.consuming.is_blank(), state.replaying.is_blank(), state.blocked.is_blank(), state.seen.is_blank()]
    };
    assert_eq!(is_blank(&hall, "a"), [true, false, true, true], "what is retained is on its way");
    hall.broker.refill(&mut hall.worker, &peer.link, hall.now);
    hall.publish(&mut publisher, "t", LEAST, 2, b"y");
    hall.commit();
    assert_eq!((hall.take(&peer).len(), hall.take(&kept).len()), (2, 2));
    assert_eq!((is_blank(&hall, "a"), is_blank(&hall, "kept")), ([true; 4], [true; 4]));
    hall.lose(&mut kept);
    assert_eq!(is_blank(&hall, "kept"), [true; 4], "nor has it when its client has gone");
}

/// A subscription that does not want what its client publishes says nothing about that (MQTT-3.8.3-3), where one copy goes out for all.
#[test]
fn a_clients_own_message_comes_as_the_subscriptions_say_that_want_it() {
    let mut hall = hall(Limits::default());
    let (mut peer, _) = hall.attach("a", true, 0, 10);
    let wanted = |guarantee, no_local, identifier| SubscribeOptions {
        guarantee,
        no_local,
        retain_as_published: no_local,
        identifier: Some(identifier),
        ..Default::default()
    };
    let filters = [("t", wanted(EXACTLY, true, 1)), ("+", wanted(ONCE, false, 2)), ("#", wanted(LEAST, false, 3))];
    for (name, options) in filters {
        let filters = vec![SubscribeFilter { name: name.into(), share: None, options }];
        hall.ask(&mut peer, Request::Subscribe(Subscribe { handle: 1, filters }));
    }
    let (mut other, _) = hall.attach("b", true, 0, 10);
    let attachment = peer.link.attachment().unwrap().clone();
    let mut came = |from: &mut Peer| {
        let (guarantee, properties) = (EXACTLY, None);
        let publish =
            Publish { name: "t", guarantee, retain: true, handle: 7, expiry_seconds: None, properties, payload: b"x" };
        hall.ask(from, Request::Publish(publish));
        hall.commit();
        let mut came = Vec::new();
        hall.broker.drain(&attachment, hall.now, &mut |outgoing| {
            let Outgoing::Deliver(delivery) = outgoing else { return true };
            let mut identifiers = delivery.identifiers.to_vec();
            identifiers.sort_unstable();
            came.push((delivery.guarantee, delivery.retain, identifiers));
            true
        });
        came
    };
    assert_eq!(came(&mut peer), [(LEAST, false, vec![2, 3])]);
    assert_eq!(came(&mut other), [(EXACTLY, true, vec![1, 2, 3])]);
}

/// What needs no place in the window waits for none, though something is to be sent again (ours: MQTT 5.0, 4.9 lets it pass).
#[test]
fn at_most_once_copies_pass_what_is_to_be_sent_again_while_the_window_is_full() {
    let mut hall = hall(Limits::default());
    let (mut peer, _) = hall.attach("a", false, 60, 10);
    hall.subscribe(&mut peer, "t", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for handle in 1..=4 {
        hall.publish(&mut publisher, "t", LEAST, handle, b"kept");
    }
    hall.commit();
    assert_eq!(hall.take(&peer).len(), 4);
    hall.lose(&mut peer);
    let (peer, resumed) = hall.attach("a", false, 60, 2);
    assert!(resumed);
    hall.publish(&mut publisher, "t", ONCE, 0, b"brief");
    let texts: Vec<_> = hall.take(&peer).into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(texts, ["kept", "kept", "brief"]);
}

/// MQTT 5.0, 4.9: what needs no place of the window goes on while what is retained waits for one.
#[test]
fn at_most_once_copies_pass_retained_ones_that_wait_for_the_window() {
    let mut hall = hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    retain(&mut hall, &mut publisher, 1, b"one");
    let (mut subscriber, _) = hall.attach("s", true, 0, 1);
    hall.subscribe(&mut subscriber, "other", LEAST);
    hall.publish(&mut publisher, "other", LEAST, 2, b"first");
    hall.broker.refill(&mut hall.worker, &subscriber.link, hall.now);
    assert_eq!(hall.take(&subscriber).len(), 1, "its window is full");
    hall.subscribe(&mut subscriber, "r", LEAST);
    hall.subscribe(&mut subscriber, "x", Guarantee::AtMostOnce);
    hall.broker.refill(&mut hall.worker, &subscriber.link, hall.now);
    assert_eq!(hall.take(&subscriber).len(), 0);
    hall.publish(&mut publisher, "x", Guarantee::AtMostOnce, 0, b"now");
    let texts = |taken: Vec<(u16, String, bool)>| taken.into_iter().map(|(_, text, _)| text).collect::<Vec<_>>();
    assert_eq!(texts(hall.take(&subscriber)), ["now"]);
    hall.settle(&mut subscriber, 1);
    assert_eq!(texts(hall.take(&subscriber)), ["one"]);
}

fn retain(hall: &mut Hall, peer: &mut Peer, handle: u16, payload: &[u8]) -> Sequence {
    let publish =
        Publish { name: "r", guarantee: LEAST, retain: true, handle, expiry_seconds: None, properties: None, payload };
    match hall.ask(peer, Request::Publish(publish)) {
        Answer::Say(after, Event::Published { outcome: Ok(_), .. }) => after,
        answer => panic!("{answer:?}"),
    }
}

/// Found by the campaign of kills: the second one was acknowledged at once, and a crash brought the value back.
#[test]
fn a_second_deletion_of_a_last_value_waits_for_the_first() {
    let mut hall = hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    retain(&mut hall, &mut publisher, 1, b"x");
    let first = retain(&mut hall, &mut publisher, 2, b"");
    let second = retain(&mut hall, &mut publisher, 3, b"");
    assert!(first > 0 && second >= first);
}

#[test]
fn a_release_that_is_said_again_waits_for_the_first() {
    let mut hall = hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", false, 100, 10);
    hall.publish(&mut publisher, "a", EXACTLY, 1, b"x");
    let mut release = || match hall.ask(&mut publisher, Request::Release(1)) {
        Answer::Say(after, Event::Released(1, _)) => after,
        answer => panic!("{answer:?}"),
    };
    let first = release();
    assert!(first > 0 && release() >= first);
}

/// A will and its end are one unit: whatever a crash leaves, it is not published twice.
#[test]
fn a_will_and_its_end_are_told_at_once() {
    let mut hall = hall(Limits::default());
    let (mut watcher, _) = hall.attach("w", false, 100, 10);
    hall.subscribe(&mut watcher, "will", LEAST);
    let probe = Arc::new(Probe::default());
    let mut link = Link::new(probe.clone(), nobody("mqtt", Protocol::Mqtt));
    let will = WillRequest {
        name: "will".into(),
        guarantee: LEAST,
        retain: false,
        expiry_seconds: None,
        properties: None,
        payload: Box::from(*b"gone"),
        delay_seconds: 0,
    };
    let client = Client { id: "m".into(), container: None, scope: nobody("mqtt", Protocol::Mqtt), peer: "".into() };
    let attach = Attach {
        client,
        clean: true,
        expiry_seconds: 0,
        window: 1,
        per_subscription: false,
        knows_options: true,
        will: Some(will),
        credentials: None,
        exchange: None,
        proof: None,
    };
    hall.broker.handle(&mut hall.worker, &mut link, hall.now, Request::Attach(Box::new(attach)));
    let before = hall.broker.store.submitted();
    hall.lose(&mut Peer { link, probe });
    assert_eq!(hall.broker.store.submitted(), before + 1);
    assert_eq!(hall.take(&watcher), [row(1, "gone", false)]);
}
