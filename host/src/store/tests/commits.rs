//! When the disk has it, and what a commit carries.

use super::super::encoding::Decoder;
use super::super::row::{Counters, Row, StateRow, VersionRow};
use super::*;
use proptest::prelude::*;
use std::sync::mpsc;

#[test]
fn what_lives_and_dies_in_one_batch_costs_no_sync() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([mailbox(1)]);
    assert!(store.flush_blocking(PATIENCE));
    let (syncs, operations) = (disk.syncs(), disk.operations());
    let sequence = store.submit([
        Change::Logged(1, message("t", "x")),
        queued(1, 1, 1),
        Change::QueuedHandle(1, 1, 7),
        Change::QueuedReceived(1, 1),
        Change::QueuedGone(1, 1),
        Change::LoggedGone(1),
        Change::Seen(1, 9),
        Change::SeenGone(1, 9),
        Change::RetainedGone("none".into()),
    ]);
    assert!(store.flush_blocking(PATIENCE));
    assert_eq!(store.committed(), sequence);
    assert_eq!(store.backlog(), 0);
    assert_eq!((disk.syncs(), disk.operations()), (syncs, operations));
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    disk.hold_syncs();
    assert_eq!(store.submit([]), 0, "nothing needs no commit");
    let first = store.submit([mailbox(1)]);
    disk.wait_for_held_sync();
    let second = store.submit([mailbox(2)]);
    let third = store.submit([mailbox(3)]);
    assert!(first < second && second < third);
    assert_eq!((store.committed(), store.backlog()), (0, 3));
    assert!(commits.try_recv().is_err());
    disk.release_syncs();
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first));
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(third), "the two that waited share a commit");
    assert_eq!((store.committed(), store.backlog()), (third, 0));
}

#[test]
fn a_full_backlog_is_told_and_goes_away() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { backlog_changes_max: 3, ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, metrics, Time(0)).unwrap();
    disk.hold_syncs();
    for id in 1..=3 {
        assert!(!store.is_full());
        store.submit([mailbox(id)]);
    }
    assert!(store.is_full());
    disk.release_syncs();
    assert!(store.flush_blocking(PATIENCE));
    assert!(!store.is_full());
}

#[test]
fn batches_are_bounded_and_never_split_a_submission() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { batch_changes_max: 4, ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, metrics.clone(), Time(0)).unwrap();
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    disk.hold_syncs();
    store.submit([mailbox(1)]);
    disk.wait_for_held_sync();
    for size in [3, 1, 2, 9, 1] {
        store.submit((0..size).map(|place| mailbox(10 + place)));
    }
    disk.release_syncs();
    assert!(store.flush_blocking(PATIENCE));
    assert!(store.close());
    assert_eq!(commits.iter().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    assert_eq!(metrics.store_changes_total.get(), 17);
    assert_eq!(metrics.store_commits_total.get(), 5);
}

#[test]
fn what_nobody_waits_for_is_written_with_what_somebody_waits_for() {
    let disk = Disk::default();
    let copy = disk.clone();
    let hour = Duration::from_secs(3600);
    let limits = Limits { later_interval: hour, batch_changes_max: 4, ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, metrics, Time(0)).unwrap();
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    store.submit_later([mailbox(1)]);
    store.submit_later([mailbox(2)]);
    assert_eq!(store.submit([mailbox(3)]), 3);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(3), "one commit for all");
    store.submit_later([mailbox(4)]);
    assert_eq!(store.submitted(), 4);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(4), "whoever asks for the number waits for it");
    for id in 5..=8 {
        store.submit_later([mailbox(id)]);
    }
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(8), "a batch is full");
    store.submit_later([mailbox(9)]);
    assert!(store.close());
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(9), "nothing waits where the store is closed");
}

#[test]
fn what_nobody_waits_for_is_written_in_the_end() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    store.submit_later([mailbox(1)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(1));
}

#[test]
fn relaxed_acknowledges_at_once_and_still_syncs() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { relaxed_interval: Duration::from_secs(3600), ..limits() };
    let metrics = Arc::<Metrics>::default();
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Relaxed, metrics, Time(0)).unwrap();
    let syncs = disk.syncs();
    let sequence = store.submit([mailbox(1)]);
    assert_eq!(store.committed(), sequence);
    assert_eq!(disk.syncs(), syncs);
    assert!(store.flush_blocking(PATIENCE), "a flush does not wait for the interval");
    assert!(disk.syncs() > syncs);
    store.submit([mailbox(2)]);
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes.len(), 2);
}

/// A crash is to cost an interval or two, however slow the disk is.
#[test]
fn relaxed_acknowledges_nothing_ahead_of_a_disk_that_does_not_keep_up() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { relaxed_interval: Duration::ZERO, ..limits() };
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Relaxed, Arc::default(), Time(0)).unwrap();
    disk.hold_syncs();
    let first = store.submit([mailbox(1)]);
    disk.wait_for_held_sync();
    assert_eq!(store.committed(), first);
    let second = store.submit([mailbox(2)]);
    assert_eq!(store.committed(), first, "the first one is on its way");
    disk.release_syncs();
    assert!(store.flush_blocking(PATIENCE));
    assert_eq!(store.committed(), second);
    assert_eq!(store.submit([mailbox(3)]), store.committed(), "it has caught up");
}

/// Changes that keep to the rules: log ids, mailboxes and numbers of entries are given once.
fn lives(steps: &[(u8, u8)]) -> Vec<Change> {
    let mut changes = vec![mailbox(1), mailbox(2)];
    let mut live = Vec::new();
    let mut next = 1;
    for (what, which) in steps {
        let mailbox = u64::from(which % 2) + 1;
        let topic = format!("t/{}", which % 3);
        let picked = (!live.is_empty()).then(|| usize::from(*which) % live.len());
        match (what % 8, picked) {
            (0 | 1, _) => {
                changes.push(Change::Logged(next, message("t", &next.to_string())));
                changes.push(queued(mailbox, next, next));
                live.push((mailbox, next));
                next += 1;
            }
            (2, Some(place)) => {
                let (mailbox, number) = live.swap_remove(place);
                changes.push(Change::QueuedGone(mailbox, number));
                changes.push(Change::LoggedGone(number));
            }
            (3, Some(place)) => changes.push(Change::QueuedReceived(live[place].0, live[place].1)),
            (4, Some(place)) => changes.push(Change::QueuedHandle(live[place].0, live[place].1, u16::from(*which))),
            (5, _) => changes.push(Change::Retained(message(&topic, &which.to_string()), Time(1))),
            (6, _) => changes.push(Change::RetainedGone(topic.into())),
            (_, _) if which % 4 < 2 => changes.push(Change::Seen(mailbox, u16::from(*which / 64))),
            (_, _) => changes.push(Change::SeenGone(mailbox, u16::from(*which / 64))),
        }
    }
    changes
}

/// What a run of removals is about, and which of 200 numbers go, in which order.
type RunRow = (&'static str, Vec<u64>);

#[test]
fn rows_that_go_in_one_run_are_those_that_go_one_by_one() {
    let rows: [RunRow; 7] = [
        ("all", (1..=200).collect()),
        ("one mailbox", (1..=200).filter(|n| n % 2 == 0).collect()),
        ("all but every seventh", (1..=200).filter(|n| n % 7 != 0).collect()),
        ("two stretches far apart", (1..=40).chain(100..=150).collect()),
        ("too few for a run", vec![3, 5, 7]),
        ("backwards", (1..=200).rev().collect()),
        ("some that are gone already", (50..=90).chain(60..=120).collect()),
    ];
    for (what, gone) in rows {
        let grouped = |together: bool| {
            let disk = Disk::default();
            let (store, _) = open(&disk);
            store.submit([mailbox(1), mailbox(2)]);
            for n in 1..=200 {
                let own = n % 2 + 1;
                let mut changes = vec![Change::Logged(n, message("t", &n.to_string())), queued(own, n, n)];
                changes.extend((n % 5 == 0).then_some(Change::QueuedHandle(own, n, 9)));
                changes.extend((n % 11 == 0).then_some(Change::QueuedReceived(own, n)));
                store.submit(changes);
            }
            assert!(store.flush_blocking(PATIENCE));
            // In between something is said about an entry that stays, and about one that went and is written again.
            let mut changes = Vec::new();
            for (place, n) in gone.iter().enumerate() {
                changes.extend([Change::QueuedGone(n % 2 + 1, *n), Change::LoggedGone(*n)]);
                if place == 9 {
                    let again = [Change::Logged(*n, message("t", "again")), queued(n % 2 + 1, *n, *n)];
                    changes.extend(again);
                }
            }
            let size = if together { changes.len() } else { 1 };
            for part in changes.chunks(size) {
                store.submit(part.iter().cloned());
                assert!(store.flush_blocking(PATIENCE));
            }
            assert!(store.close());
            picture(&open(&disk).1)
        };
        assert_eq!(grouped(true), grouped(false), "{what}");
    }
}

/// What came later stands behind all that a row had before.
#[test]
fn a_module_of_an_older_broker_is_read() {
    let Change::Module(record) = module("m", Some(3)) else { panic!("another change") };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(ModuleRecord::decode(&mut Decoder::new(&bytes)).unwrap(), *record);
    // Without an item the list is one byte, and an older broker's record ends before it.
    let newer = ModuleRecord { quarantined: Vec::new(), ..*record };
    bytes.clear();
    newer.encode(&mut bytes);
    bytes.pop();
    assert_eq!(ModuleRecord::decode(&mut Decoder::new(&bytes)).unwrap(), newer);
    let older = ModuleRecord { former: None, canary: None, ..newer };
    bytes.clear();
    older.encode(&mut bytes);
    assert_eq!(ModuleRecord::decode(&mut Decoder::new(&bytes)).unwrap(), older);
    bytes.pop();
    let oldest = ModuleRecord { configured: Configured::Unknown, ..older };
    assert_eq!(ModuleRecord::decode(&mut Decoder::new(&bytes)).unwrap(), oldest);
}

#[test]
fn a_version_of_an_older_broker_is_read() {
    let newest = VersionRow {
        name: "m",
        version: 3,
        digest: "sha256:1",
        config: "{}",
        installed: Time(9),
        signature: None,
        standing: Some((-7, "bypass")),
    };
    let signed = VersionRow { signature: Some("signed"), standing: None, ..newest };
    for row in [newest, signed, VersionRow { signature: None, ..signed }] {
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        let mut from = Decoder::new(&bytes);
        assert_eq!(VersionRow::decode(&mut from).unwrap(), row);
        assert!(from.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_changes_are_grouped_makes_no_difference(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..60),
        group in 1_usize..20,
    ) {
        let changes = lives(&steps);
        let grouped = |size: usize| {
            let disk = Disk::default();
            let (store, _) = open(&disk);
            for group in changes.chunks(size) {
                store.submit(group.iter().cloned());
                assert!(store.flush_blocking(PATIENCE));
            }
            assert!(store.close());
            picture(&open(&disk).1)
        };
        let one_by_one = grouped(1);
        prop_assert_eq!(&grouped(group), &one_by_one);
        prop_assert_eq!(&grouped(usize::MAX), &one_by_one);
    }

    #[test]
    fn no_row_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let from = || Decoder::new(&bytes);
        let _ = Message::decode(&mut from());
        let _ = MailboxRecord::decode(&mut from());
        let _ = Subscription::decode(&mut from());
        let _ = QueueEntry::decode(&mut from());
        let _ = WillRecord::decode(&mut from());
        let _ = ModuleRecord::decode(&mut from());
        let _ = <(Message, Time)>::decode(&mut from());
        let _ = VersionRow::decode(&mut from());
        let _ = StateRow::decode(&mut from());
        let _ = Counters::decode(&mut from());
    }
}
