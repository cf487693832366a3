//! Rows for long queues: read back page by page after a restart, and forgotten in slices.

use super::tests::{Hall, Peer, hall_in};
use crate::message::Guarantee;
use std::path::Path;

const LEAST: Guarantee = Guarantee::AtLeastOnce;
/// More than is read at start.
const MANY: u16 = 5_000;

/// A session that is away, with this many messages waiting.
fn fill(directory: &Path, subscribers: &[&str]) {
    let mut hall = hall_in(directory);
    for id in subscribers {
        let (mut subscriber, _) = hall.attach(id, false, 100, 10);
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
    let mut all = Vec::new();
    while all.len() < expected {
        let taken = hall.take(peer);
        if taken.is_empty() {
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
        let (mut subscriber, resumed) = hall.attach(id, false, 100, 10);
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
    while hall.broker.reap(hall.now).is_some() {
        hall.commit();
    }
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.mailboxes.len(), checked.messages, checked.loaded.damaged), (1, 0, 0));
}
