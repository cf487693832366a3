//! A full disk: the reserve lets what has begun come to its end, and no more is taken until there is room.

use super::super::open::Opener;
use super::super::reserve::Reserve;
use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Room on a simulated disk.
struct Room {
    disk: Disk,
    is_full: Arc<AtomicBool>,
}

impl Reserve for Room {
    fn set_aside(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_aside_some(&self) -> io::Result<()> {
        self.set_aside()
    }

    fn give_up(&self) -> Option<u64> {
        self.disk.set_capacity(None);
        self.is_full.swap(true, Ordering::Relaxed);
        Some(1 << 20)
    }
}

/// A store on a disk that was full at the start and has room for what is written all the same.
pub(crate) fn open_on_a_full_disk(disk: &Disk, metrics: Arc<Metrics>) -> (Store, Loaded) {
    let backend = disk.clone();
    let mut opener = Opener::backend(move || Ok(backend.clone()), limits().cache_bytes);
    opener.reserve = Box::new(Room { disk: disk.clone(), is_full: Arc::new(AtomicBool::new(true)) });
    Store::start(opener, &limits(), Durability::Commit, metrics, Time(0)).unwrap()
}

/// Batches that find no room were tried again as they were, for ever.
#[test]
fn where_a_batch_has_no_room_smaller_ones_are_tried() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let payload = "x".repeat(60_000);
    store.submit([mailbox(1)]);
    for id in 1..=40 {
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
    }
    assert!(store.flush_blocking(PATIENCE));
    store.submit((1..=30).flat_map(|id| [Change::QueuedGone(1, id), Change::LoggedGone(id)]));
    assert!(store.flush_blocking(PATIENCE));
    disk.set_capacity(Some(disk.length()));
    // All of the following are there when the writer comes back.
    disk.hold_syncs();
    let first = store.submit([mailbox(2)]);
    disk.wait_for_held_sync();
    for id in 41..=100 {
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
    }
    disk.release_syncs();
    while store.committed() < first + 5 {
        assert!(disk.failures() < 100, "{}", store.committed() - first);
        std::thread::yield_now();
    }
    disk.set_capacity(None);
    while !store.flush_blocking(PATIENCE) {
        std::thread::yield_now();
    }
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes[0].queue.len(), 70);
}

/// What waits when the disk turns out to be full is written out of the reserve, and must not take all of it.
#[test]
fn no_more_waits_for_the_disk_than_half_of_the_reserve() {
    let disk = Disk::default();
    let copy = disk.clone();
    let limits = Limits { reserve_bytes: 1 << 20, ..limits() };
    let (store, _) =
        Store::with_backend(move || Ok(copy.clone()), &limits, Durability::Commit, Arc::default(), Time(0)).unwrap();
    disk.hold_syncs();
    let mut was_full = Vec::new();
    for id in 1..=5 {
        was_full.push(store.is_full());
        store.submit([Change::Logged(id, message("t", &"x".repeat(120_000)))]);
    }
    was_full.push(store.is_full());
    disk.release_syncs();
    assert_eq!(was_full, [false, false, false, false, false, true]);
    assert!(store.flush_blocking(PATIENCE) && !store.is_full());
}

#[test]
fn a_full_disk_lets_queues_be_emptied_and_recovers_by_itself() {
    let disk = Disk::default();
    let is_full = Arc::<AtomicBool>::default();
    let backend = disk.clone();
    let mut opener = Opener::backend(move || Ok(backend.clone()), limits().cache_bytes);
    opener.reserve = Box::new(Room { disk: disk.clone(), is_full: is_full.clone() });
    let (store, _) = Store::start(opener, &limits(), Durability::Commit, Arc::default(), Time(0)).unwrap();
    store.submit([mailbox(1)]);
    let payload = "x".repeat(60_000);
    let mut id = 0;
    while id < 40 {
        id += 1;
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
    }
    assert!(store.flush_blocking(PATIENCE) && store.has_room());
    disk.set_capacity(Some(disk.length()));
    while !store.is_out_of_space() {
        id += 1;
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
        let _failed_meanwhile = store.flush_blocking(PATIENCE);
    }
    assert!(!store.has_room());
    while !store.flush_blocking(PATIENCE) {
        std::thread::yield_now();
    }
    assert!(store.is_healthy(), "what was handed over is on disk");
    // As much as was deleted may be taken again.
    for id in 1..=id {
        store.submit([Change::QueuedGone(1, id), Change::LoggedGone(id)]);
    }
    assert!(store.flush_blocking(PATIENCE) && store.has_room());
    // Somebody tidies up elsewhere.
    is_full.store(false, Ordering::Relaxed);
    while store.is_out_of_space() {
        std::thread::yield_now();
    }
    assert!(store.close());
    assert_eq!(open(&disk).1.mailboxes[0].queue.len(), 0);
}

/// The reserve is used up, and the broker starts anew.
#[test]
fn a_start_on_a_full_disk_takes_nothing_and_lets_queues_be_emptied() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    let payload = "x".repeat(60_000);
    store.submit([mailbox(1)]);
    for id in 1..=40 {
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
    }
    assert!(store.close());
    let is_full = Arc::new(AtomicBool::new(true));
    let backend = disk.clone();
    let mut opener = Opener::backend(move || Ok(backend.clone()), limits().cache_bytes);
    opener.reserve = Box::new(Room { disk: disk.clone(), is_full: is_full.clone() });
    let (store, loaded) = Store::start(opener, &limits(), Durability::Commit, Arc::default(), Time(0)).unwrap();
    assert_eq!(loaded.mailboxes[0].queue.len(), 40);
    assert!(store.is_out_of_space() && store.is_healthy(), "nothing more is taken, and the store works");
    store.submit((1..=40).flat_map(|id| [Change::QueuedGone(1, id), Change::LoggedGone(id)]));
    assert!(store.flush_blocking(PATIENCE) && store.has_room(), "as much as went may come");
    assert!(store.close());
}

/// There is no room, and nobody will make any.
#[test]
fn a_full_disk_does_not_hold_up_the_end() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([mailbox(1)]);
    assert!(store.flush_blocking(PATIENCE));
    disk.set_capacity(Some(disk.length()));
    let payload = "x".repeat(60_000);
    for id in 1..=400 {
        store.submit([Change::Logged(id, message("t", &payload)), queued(1, id, id)]);
    }
    assert!(!store.close(), "it tells that not everything is on disk");
}

#[test]
fn the_reserve_is_a_file_that_takes_room() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { reserve_bytes: 1 << 20, ..limits() };
    let (store, _) = Store::open(directory.path(), &limits, Durability::Commit, Arc::default(), Time(0)).unwrap();
    let data = directory.path().join("pliant.reserve").metadata().unwrap();
    assert_eq!(data.len(), 1 << 20);
    #[cfg(unix)]
    assert!(std::os::unix::fs::MetadataExt::blocks(&data) * 512 >= 1 << 20, "it has blocks, and not only a length");
    drop(store);
}
