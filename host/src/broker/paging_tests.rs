//! Rows for long queues: read back page by page after a restart, and forgotten in slices.

use super::tests::{Hall, Peer, hall_at, hall_in, opened};
use super::{Answer, Limits, Store};
use crate::dialogue::{Publish, Request, Subscribe, SubscribeFilter, SubscribeOptions};
use crate::message::Guarantee;
use crate::metrics::Metrics;
use crate::store::Durability;
use std::path::Path;
use std::sync::Arc;

const LEAST: Guarantee = Guarantee::AtLeastOnce;
const ONCE: Guarantee = Guarantee::ExactlyOnce;
/// More than is read at start.
const MANY: u16 = 5_000;

/// A session that is away, with this many messages waiting.
fn fill(directory: &Path, subscribers: &[&str]) {
    let mut hall = hall_in(directory);
    for id in subscribers {
        let (mut subscriber, _) = hall.attach(id, false, 5000, 10);
        hall.subscribe(&mut subscriber, "a", LEAST);
        hall.lose(&mut subscriber);
    }
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 1..=MANY {
        hall.publish(&mut publisher, "a", LEAST, number, number.to_string().as_bytes());
    }
    hall.commit();
    assert!(hall.broker.store.close());
}

fn waiting(hall: &Hall, id: &str) -> usize {
    hall.broker.client(id).unwrap().queued
}

/// Takes and settles everything, waiting for pages where nothing is there.
fn take_all(hall: &mut Hall, peer: &mut Peer, expected: usize) -> Vec<String> {
    let (mut all, mut patience) = (Vec::new(), 20_000_000);
    while all.len() < expected {
        let taken = hall.take(peer);
        if taken.is_empty() {
            patience -= 1;
            assert!(patience > 0, "{} of {expected} have come", all.len());
            std::thread::yield_now();
        }
        for (handle, text, _) in taken {
            hall.settle(peer, handle);
            all.push(text);
        }
    }
    all
}

#[test]
fn a_long_queue_comes_back_page_by_page_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), &["one", "two"]);
    let mut hall = hall_in(directory.path());
    let mailbox = hall.broker.directory.get("one").unwrap();
    assert_eq!(waiting(&hall, "one"), usize::from(MANY));
    assert!(mailbox.lock().queue.len() < usize::from(MANY), "not all of it is in memory");
    // What comes now waits behind what is still in the store.
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"last");
    for id in ["one", "two"] {
        let (mut subscriber, resumed) = hall.attach(id, false, 5000, 10);
        assert!(resumed);
        let all = take_all(&mut hall, &mut subscriber, usize::from(MANY) + 1);
        let expected = (1..=MANY).map(|number| number.to_string()).chain(["last".to_owned()]);
        assert!(all.into_iter().eq(expected), "{id}");
        assert_eq!((waiting(&hall, id), hall.take(&subscriber).len()), (0, 0));
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert!(checked.intact && checked.loaded.mailboxes.iter().all(|mailbox| mailbox.queue.is_empty()));
    assert_eq!((checked.loaded.damaged, checked.messages), (0, 0), "nothing is left in the log");
}

#[test]
fn a_mailbox_with_a_long_queue_ends_in_slices_and_a_restart_goes_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), &["s"]);
    // It ends, and the broker does after one slice.
    let mut hall = hall_in(directory.path());
    let (subscriber, resumed) = hall.attach("s", true, u32::MAX, 10);
    assert!(!resumed);
    drop(subscriber);
    assert_eq!(waiting(&hall, "s"), 0);
    hall.broker.tick(&mut hall.worker, hall.now);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    assert!(hall.attach("s", false, u32::MAX, 10).1, "the new session is there, and not the one that ended");
    assert_eq!(waiting(&hall, "s"), 0);
    while hall.broker.reap(&mut hall.worker, hall.now).is_some() {
        hall.commit();
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.mailboxes.len(), checked.messages, checked.loaded.damaged), (1, 0, 0));
}

/// [MQTT-3.3.2-5], [MQTT-4.3.3-7]: the broker breaks down while the client is there. What was under way comes again, expired or
/// not; what its window cannot have held expires.
#[test]
fn after_a_crash_what_was_not_under_way_expires() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 2);
    hall.subscribe(&mut subscriber, "a", LEAST);
    publish_four(&mut hall);
    assert_eq!(hall.take(&subscriber).len(), 2);
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now.plus_seconds(11));
    let (subscriber, resumed) = hall.attach("s", false, 5000, 10);
    assert!(resumed);
    assert_eq!(taken(&mut hall, &subscriber), [("1", true), ("2", true), ("4", true)].map(owned));
}

/// [MQTT-3.3.1-1]: the disk had not heard of the two that were settled before the crash, so they stand before those under way.
/// Found by the campaign of kills.
#[test]
fn what_was_sent_behind_what_the_disk_has_again_is_a_duplicate_over_the_next_crash_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 2);
    hall.subscribe(&mut subscriber, "a", LEAST);
    publish_four(&mut hall);
    hall.commit();
    // What is settled here is not told to the disk: a copy of the store from before that is what the crash leaves.
    let left = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("pliant.redb"), left.path().join("pliant.redb")).unwrap();
    for handle in 1..=2 {
        hall.take(&subscriber);
        hall.settle(&mut subscriber, handle);
    }
    assert_eq!(hall.take(&subscriber).len(), 1);
    for _ in 0..2 {
        assert!(hall_at(left.path(), hall.now).broker.store.close());
    }
    let mut hall = hall_at(left.path(), hall.now);
    let (subscriber, _) = hall.attach("s", false, 5000, 10);
    let again = [("1", true), ("2", true), ("3", true), ("4", true)];
    assert_eq!(taken(&mut hall, &subscriber), again.map(owned));
}

/// [MQTT-3.3.2-5], [MQTT-4.1.0-2]: a client that was there when the broker broke down has gone then, and not at the start after
/// the next: what comes meanwhile expires, and so does its session.
#[test]
fn who_was_there_at_a_crash_is_gone_since_then_over_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 30, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now);
    publish_four(&mut hall);
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now.plus_seconds(11));
    let (subscriber, resumed) = hall.attach("s", false, 30, 10);
    assert!(resumed);
    assert_eq!(taken(&mut hall, &subscriber), [("4", false)].map(owned));
    let now = hall.now;
    assert!(hall.broker.store.close());
    for seconds in [0, 20] {
        let hall = hall_at(directory.path(), now.plus_seconds(seconds));
        assert!(hall.broker.store.close());
    }
    let mut hall = hall_at(directory.path(), now.plus_seconds(31));
    hall.broker.tick(&mut hall.worker, hall.now);
    assert!(!hall.attach("s", false, 30, 10).1, "its session was to end 30 s after the first crash");
}

/// [MQTT-3.3.1-1], [MQTT-4.3.3-7]: what was sent stays sent, also where the client came back with a narrower window before the
/// broker broke down, and over the next restart.
#[test]
fn a_narrower_window_takes_nothing_back_that_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 3);
    hall.subscribe(&mut subscriber, "a", LEAST);
    publish_four(&mut hall);
    assert_eq!(hall.take(&subscriber).len(), 3);
    hall.lose(&mut subscriber);
    let (subscriber, _) = hall.attach("s", false, 5000, 1);
    assert_eq!(taken(&mut hall, &subscriber), [("1", true)].map(owned));
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now.plus_seconds(11));
    let (mut subscriber, _) = hall.attach("s", false, 5000, 1);
    assert_eq!(taken(&mut hall, &subscriber), [("1", true)].map(owned));
    hall.lose(&mut subscriber);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now.plus_seconds(11));
    let (subscriber, _) = hall.attach("s", false, 5000, 10);
    let again = [("1", true), ("2", true), ("3", true), ("4", false)];
    assert_eq!(taken(&mut hall, &subscriber), again.map(owned));
}

/// Four messages; all but the last expire after ten seconds.
fn publish_four(hall: &mut Hall) {
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for (handle, payload) in [(1, b"1"), (2, b"2"), (3, b"3"), (4, b"4")] {
        let expiry_seconds = (handle < 4).then_some(10);
        let (name, guarantee, retain, properties) = ("a", LEAST, false, None);
        let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
        hall.ask(&mut publisher, Request::Publish(publish));
    }
    hall.commit();
}

/// What comes, and whether it came before.
fn taken(hall: &mut Hall, peer: &Peer) -> Vec<(String, bool)> {
    hall.take(peer).into_iter().map(|(_, text, again)| (text, again)).collect()
}

fn owned((text, again): (&str, bool)) -> (String, bool) {
    (text.to_owned(), again)
}

/// 4.8.2, also over a restart: what waits for a member goes to the others when its session ends.
#[test]
fn what_waits_for_a_member_of_a_share_goes_to_others_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut away, _) = hall.attach("s", false, 5000, 10);
    hall.subscribe(&mut away, "$share/g/a", LEAST);
    hall.lose(&mut away);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 1..=5u16 {
        hall.publish(&mut publisher, "a", LEAST, number, number.to_string().as_bytes());
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    let (mut heir, _) = hall.attach("heir", true, 0, 10);
    hall.subscribe(&mut heir, "$share/g/a", LEAST);
    let (gone, resumed) = hall.attach("s", true, 0, 10);
    assert!(!resumed);
    drop(gone);
    assert_eq!(take_all(&mut hall, &mut heir, 5), ["1", "2", "3", "4", "5"]);
}

/// The same of one whose session ends with its connection: for others of the share are kept.
#[test]
fn what_went_to_a_member_of_a_share_that_is_not_kept_goes_to_those_who_are_after_a_crash() {
    for guarantee in [LEAST, ONCE] {
        let directory = tempfile::tempdir().unwrap();
        let mut hall = hall_in(directory.path());
        let (mut kept, _) = hall.attach("kept", false, 5000, 10);
        hall.subscribe(&mut kept, "$share/g/a", guarantee);
        hall.lose(&mut kept);
        let (mut brief, _) = hall.attach("brief", true, 0, 2);
        hall.subscribe(&mut brief, "$share/g/a", guarantee);
        hall.subscribe(&mut brief, "own", guarantee);
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        for number in 1..=4u16 {
            hall.publish(&mut publisher, "a", guarantee, number, number.to_string().as_bytes());
        }
        hall.commit();
        assert_eq!((hall.take(&brief).len(), waiting(&hall, "kept")), (2, 0));
        assert!(hall.broker.store.close());
        let mut hall = hall_in(directory.path());
        assert!(hall.broker.client("brief").is_none());
        while hall.broker.reap(&mut hall.worker, hall.now).is_some() {
            hall.commit();
        }
        let (mut kept, resumed) = hall.attach("kept", false, 5000, 10);
        assert!(resumed);
        // What was sent exactly once is nobody else's (MQTT-4.8.2-5).
        let left: &[&str] = if guarantee == ONCE { &["3", "4"] } else { &["1", "2", "3", "4"] };
        assert_eq!(take_all(&mut hall, &mut kept, left.len()), left);
    }
}

#[test]
fn a_bound_on_how_long_sessions_are_kept_holds_for_those_that_are_there_but_not_for_queues() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut for_ever, _) = hall.attach("s", false, u32::MAX, 10);
    hall.subscribe(&mut for_ever, "a", LEAST);
    hall.lose(&mut for_ever);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "/queues/q", LEAST, 1, b"x");
    hall.commit();
    let began = hall.now;
    assert!(hall.broker.store.close());
    let (limits, metrics) = (Limits { expiry_seconds_max: 2, ..Limits::default() }, Arc::new(Metrics::default()));
    let (store, loaded) =
        Store::open(directory.path(), &Default::default(), Durability::Commit, metrics.clone(), began).unwrap();
    let mut hall = opened(limits, metrics, store, loaded);
    assert!(hall.broker.client("s").is_some());
    hall.broker.tick(&mut hall.worker, began.plus_seconds(3));
    hall.commit();
    assert!(hall.broker.client("s").is_none());
    let topic = crate::topic::Topic::new("/queues/q", &Default::default()).unwrap();
    assert!(hall.broker.find_queue(&topic).is_some());
}

/// The same of copies that would have fitted into its window and had not left: only what had begun is nobody else's
/// [MQTT-4.8.2-5], also where it went to one that is kept and has ended since.
#[test]
fn what_had_not_left_for_a_member_of_a_share_goes_to_others_after_a_crash() {
    for seconds in [0, 600] {
        let directory = tempfile::tempdir().unwrap();
        let mut hall = hall_in(directory.path());
        let (mut kept, _) = hall.attach("kept", false, 5000, 10);
        hall.subscribe(&mut kept, "$share/g/a", ONCE);
        hall.lose(&mut kept);
        let (mut other, _) = hall.attach("other", seconds == 0, seconds, 10);
        hall.subscribe(&mut other, "$share/g/a", ONCE);
        let (mut publisher, _) = hall.attach("p", true, 0, 10);
        for number in 1..=4u16 {
            hall.publish(&mut publisher, "a", ONCE, number, number.to_string().as_bytes());
            if number == 2 {
                hall.commit();
                assert_eq!(hall.take(&other).len(), 2);
            }
        }
        hall.commit();
        assert!(hall.broker.store.close());
        let mut hall = hall_in(directory.path());
        if seconds > 0 {
            drop(hall.attach("other", true, 0, 10));
        }
        while hall.broker.reap(&mut hall.worker, hall.now).is_some() {
            hall.commit();
        }
        let (mut kept, _) = hall.attach("kept", false, 5000, 10);
        assert_eq!(take_all(&mut hall, &mut kept, 2), ["3", "4"]);
        assert_eq!(waiting(&hall, "kept"), 0);
    }
}

/// [MQTT-3.3.2-5]: what would have fitted into the window and had not left.
#[test]
fn after_a_crash_what_had_not_begun_and_is_over_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    publish_four(&mut hall);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_at(directory.path(), hall.now.plus_seconds(11));
    let (subscriber, _) = hall.attach("s", false, 5000, 10);
    assert_eq!(taken(&mut hall, &subscriber), [("4", true)].map(owned));
}

/// Where nobody of a share is kept nothing of it is.
#[test]
fn a_share_of_sessions_that_end_with_their_connections_is_not_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut brief, _) = hall.attach("brief", true, 0, 2);
    hall.subscribe(&mut brief, "$share/g/a", LEAST);
    let before = hall.broker.store.submitted();
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"1");
    assert_eq!((hall.take(&brief).len(), hall.broker.store.submitted()), (1, before));
}

/// The same of more than is read at the start, and where the broker ends in the middle of it.
#[test]
fn all_that_waits_for_a_member_of_a_share_goes_to_others_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut away, _) = hall.attach("s", false, 5000, 10);
    hall.subscribe(&mut away, "$share/g/a", LEAST);
    hall.lose(&mut away);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 1..=MANY {
        hall.publish(&mut publisher, "a", LEAST, number, number.to_string().as_bytes());
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    let (mut heir, _) = hall.attach("heir", false, 5000, 10);
    hall.subscribe(&mut heir, "$share/g/a", LEAST);
    hall.lose(&mut heir);
    assert!(!hall.attach("s", true, 0, 10).1);
    hall.broker.tick(&mut hall.worker, hall.now);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    while hall.broker.reap(&mut hall.worker, hall.now).is_some() {
        hall.commit();
    }
    let (mut heir, resumed) = hall.attach("heir", false, 5000, 10);
    assert!(resumed);
    let all = take_all(&mut hall, &mut heir, usize::from(MANY));
    assert!(all.into_iter().eq((1..=MANY).map(|number| number.to_string())));
    assert_eq!(waiting(&hall, "heir"), 0);
}

/// [MQTT-4.8.2-5] over a restart: what was sent exactly once is nobody else's.
#[test]
fn what_a_member_of_a_share_was_sent_exactly_once_goes_to_nobody_else_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut member, _) = hall.attach("s", false, 5000, 2);
    hall.subscribe(&mut member, "$share/g/a", ONCE);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 1..=3u16 {
        hall.publish(&mut publisher, "a", ONCE, number, number.to_string().as_bytes());
    }
    hall.commit();
    assert_eq!(hall.take(&member).len(), 2);
    hall.lose(&mut member);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    let (mut heir, _) = hall.attach("heir", true, 0, 10);
    hall.subscribe(&mut heir, "$share/g/a", ONCE);
    assert!(!hall.attach("s", true, 0, 10).1);
    hall.commit();
    assert_eq!(taken(&mut hall, &heir), [("3", false)].map(owned));
}

/// A queue that grows while the broker runs is not in memory whole, drains in order while more comes, and leaves nothing
/// behind; a restart in the middle changes nothing.
#[test]
fn a_queue_that_grows_long_is_left_to_the_store_and_comes_back_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 10);
    hall.subscribe(&mut subscriber, "a", LEAST);
    hall.lose(&mut subscriber);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut sent = 0..;
    let mut send = |hall: &mut Hall, count: usize| {
        for number in sent.by_ref().take(count) {
            hall.publish(&mut publisher, "a", LEAST, 1, number.to_string().as_bytes());
            if number % 1000 == 0 {
                hall.commit();
            }
        }
    };
    send(&mut hall, 30_000);
    let mailbox = hall.broker.directory.get("s").unwrap();
    let resident = |mailbox: &super::Mailbox| mailbox.lock().queue.len();
    assert_eq!(waiting(&hall, "s"), 30_000);
    assert!(resident(&mailbox) < 11_000, "{} are in memory", resident(&mailbox));
    let size = mailbox.size();
    let (mut subscriber, _) = hall.attach("s", false, 5000, 10);
    let mut all = take_all(&mut hall, &mut subscriber, 12_000);
    assert!(mailbox.size() < size && waiting(&hall, "s") <= 30_000 - all.len());
    send(&mut hall, 15_000);
    assert!(resident(&mailbox) < 11_000, "{} are in memory", resident(&mailbox));
    hall.lose(&mut subscriber);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    let (mut subscriber, resumed) = hall.attach("s", false, 5000, 10);
    assert!(resumed);
    let left = 45_000 - all.len();
    all.extend(take_all(&mut hall, &mut subscriber, left));
    assert!(all.into_iter().eq((0..45_000).map(|number: u32| number.to_string())));
    let mailbox = hall.broker.directory.get("s").unwrap();
    assert_eq!((waiting(&hall, "s"), mailbox.size(), hall.take(&subscriber).len()), (0, 0, 0));
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.damaged, checked.messages), (0, 0), "nothing is left in the log");
}

/// All retained messages for a subscription are handed to the store at once, and it had written none of them when they came in:
/// they stayed in memory for good.
#[test]
fn what_a_subscription_found_retained_is_left_to_the_store_once_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 0..15_000 {
        let (name, guarantee, retain, properties) = (format!("r/{number}"), LEAST, true, None);
        let (handle, expiry_seconds, payload, name) = (1, None, &b"v"[..], &*name);
        let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
        hall.ask(&mut publisher, Request::Publish(publish));
    }
    hall.commit();
    let (mut subscriber, _) = hall.attach("s", false, 5000, 10);
    let options = SubscribeOptions { guarantee: LEAST, ..Default::default() };
    let filters = vec![SubscribeFilter { name: "r/#".into(), share: None, options }];
    let mut answer = hall.ask(&mut subscriber, Request::Subscribe(Subscribe { handle: 1, filters }));
    while matches!(answer, Answer::Parked) {
        answer = hall.broker.resume(&mut hall.worker, &mut subscriber.link, hall.now);
    }
    hall.lose(&mut subscriber);
    hall.commit();
    let mailbox = hall.broker.directory.get("s").unwrap();
    let resident = || mailbox.lock().queue.len();
    // The writer lets go of them a moment after it has said that they are on disk.
    for _ in 0..1_000 {
        hall.now = hall.now.plus_milliseconds(100);
        hall.broker.tick(&mut hall.worker, hall.now);
        if resident() < 8_192 {
            break;
        }
        std::thread::yield_now();
    }
    assert!(resident() < 8_192, "{} are in memory", resident());
    let (mut subscriber, _) = hall.attach("s", false, 5000, 10);
    assert_eq!(take_all(&mut hall, &mut subscriber, 15_000).len(), 15_000);
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.damaged, checked.messages), (0, 0), "nothing is left in the log");
}

/// What several queues share, or somebody holds, stays: its log row is counted in memory.
#[test]
fn what_several_have_is_not_left_to_the_store() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), &[]);
    let mut hall = hall_in(directory.path());
    for id in ["one", "two"] {
        let (mut subscriber, _) = hall.attach(id, false, 5000, 10);
        hall.subscribe(&mut subscriber, "a", LEAST);
        hall.lose(&mut subscriber);
    }
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for number in 0..10_000 {
        hall.publish(&mut publisher, "a", LEAST, 1, number.to_string().as_bytes());
    }
    hall.commit();
    for id in ["one", "two"] {
        let (mut subscriber, _) = hall.attach(id, false, 5000, 10);
        assert_eq!(take_all(&mut hall, &mut subscriber, 10_000).len(), 10_000, "{id}");
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.damaged, checked.messages), (0, 0));
}
