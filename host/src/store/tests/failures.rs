//! Disks that fail and bits that flip.

use super::*;
use std::sync::mpsc;

#[test]
fn a_flipped_bit_is_found_and_costs_only_its_row() {
    let rows: [(&str, &[u8], usize, &str); 4] = [
        ("payload in the log", b"secret", 2, "mailbox 1 of c\n  2 t=other handle None received false\n  seen [4]\n"),
        ("retained payload", b"keepsake", 1, ""),
        ("will", b"gone", 1, ""),
        ("component", b"sha256:a", 1, ""),
    ];
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([
        mailbox(1),
        Change::Logged(1, message("t", "secret")),
        Change::Logged(2, message("t", "other")),
        queued(1, 1, 1),
        queued(1, 2, 2),
        Change::Seen(1, 4),
        Change::Retained(message("r", "keepsake"), Time(1)),
        Change::Will(1, will(None)),
        version("m", 1, "sha256:a"),
        state("k", "v", None),
    ]);
    assert!(store.close());
    let whole = picture(&open(&disk).1);
    for (name, pattern, least, expected) in rows {
        let broken = disk.copy();
        assert!(broken.flip(pattern) > 0, "{name}");
        let (store, loaded) = open(&broken);
        assert!(loaded.damaged >= least, "{name}: {}", loaded.damaged);
        let seen = picture(&loaded);
        assert_ne!(seen, whole, "{name}");
        assert!(seen.contains(expected), "{name}: {seen}");
        assert!(seen.contains("state m k=v"), "{name}: {seen}");
        assert!(seen.lines().all(|line| whole.contains(line)), "{name}: nothing wrong is handed on: {seen}");
        assert!(store.close());
        assert_eq!(open(&broken).1.damaged, 0, "{name}: reported once, then set aside");
        assert_eq!(picture(&open(&broken).1), seen, "{name}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    for unit in trace() {
        store.submit(unit);
    }
    for number in 0..200 {
        let payload = number.to_string().repeat(20);
        store.submit([Change::Retained(message(&format!("r/{number}"), &payload), Time(1))]);
    }
    assert!(store.close());
    let whole = picture(&open(&disk).1);
    let lines: std::collections::HashSet<_> = whole.lines().collect();
    let mut random = 1_u64;
    let flips = super::dice::asked("PLIANT_FLIPS", 300);
    for _ in 0..flips {
        // Knuth's constants: one fixed sequence of places, so that a failure repeats.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(random >> 20).unwrap() % (disk.length() * 8);
        let broken = disk.copy();
        broken.flip_bit(bit);
        let make = move || Ok(broken.clone());
        let opened = Store::with_backend(make, &limits(), Durability::Commit, Arc::default(), Time(1_000));
        let Ok((_store, loaded)) = opened else { continue };
        let seen = picture(&loaded);
        assert!(seen.lines().all(|line| lines.contains(line)), "bit {bit}: something wrong is handed on: {seen}");
        assert!(seen == whole || loaded.damaged > 0, "bit {bit}: a loss is not reported");
    }
}

#[test]
fn a_failing_disk_stops_acknowledgements_until_it_is_healed() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let (told, commits) = mpsc::channel();
    store.on_commit(Box::new(move |sequence| told.send(sequence).unwrap()));
    let first = store.submit([mailbox(1)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first));
    disk.fail_after(0);
    let second = store.submit([mailbox(2)]);
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(first), "listeners hear of the failure");
    assert!(!store.is_healthy());
    assert!(!store.flush_blocking(PATIENCE));
    let third = store.submit([mailbox(3)]);
    assert_eq!((store.committed(), store.backlog()), (first, 2));
    disk.heal();
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(second));
    assert_eq!(commits.recv_timeout(PATIENCE), Ok(third));
    assert!(store.is_healthy());
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes.len(), 3);
}

#[test]
fn a_store_that_fails_can_be_closed() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    disk.fail_after(0);
    store.submit([mailbox(1)]);
    assert!(!store.close());
    disk.heal();
    assert_eq!(open(&disk).1.mailboxes.len(), 0);
}

/// A small life of a mailbox: everything that happens to durable messages.
fn trace() -> Vec<Vec<Change>> {
    let mut units = vec![vec![mailbox(1), Change::Filter(1, subscription("t", None))]];
    for id in 1..=6 {
        let payload = format!("payload {id}");
        units.push(vec![Change::Logged(id, message("t", &payload)), queued(1, id, id), Change::Seen(1, id as u16)]);
        units.push(vec![Change::Retained(message("t", &payload), Time(id)), Change::SeenGone(1, id as u16)]);
        if id % 2 == 0 {
            units.push(vec![Change::QueuedGone(1, id), Change::LoggedGone(id)]);
        }
    }
    units
}

#[test]
fn an_error_at_any_operation_loses_nothing() {
    let expected = {
        let disk = Disk::default();
        let (store, _) = open(&disk);
        for unit in trace() {
            store.submit(unit);
            assert!(store.flush_blocking(PATIENCE));
        }
        let operations = disk.operations();
        assert!(store.close());
        (picture(&open(&disk).1), operations)
    };
    for operation in 0.. {
        let disk = Disk::default();
        let (store, _) = open(&disk);
        disk.fail_after(operation);
        for unit in trace() {
            let sequence = store.submit(unit);
            if !store.flush_blocking(PATIENCE) {
                assert!(store.committed() < sequence, "operation {operation}");
                disk.heal();
                while !store.flush_blocking(PATIENCE) {
                    std::thread::yield_now();
                }
            }
            assert!(store.committed() >= sequence);
        }
        let failures = disk.failures();
        disk.heal();
        assert!(store.close());
        assert_eq!(picture(&open(&disk).1), expected.0, "operation {operation}");
        if failures == 0 {
            assert!(operation <= expected.1);
            break;
        }
    }
}
