//! Power losses: images of the disk with all that was synced and any part of what was not, opened again. Nothing that was
//! acknowledged is missing, nothing is there that was not handed over, and there is no image that cannot be opened.
//!
//! `PLIANT_IMAGES=100000 cargo test --lib store::tests::power -- --nocapture` tries so many.

use super::dice::{Dice, asked, life, pictures};
use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a disk loses in part: everything is written in these.
const SECTOR: usize = 512;
/// Images where nobody asks for more.
const IMAGES: u64 = 200;

/// A disk that remembers what was written since the last sync, and from time to time takes an image of what a power loss
/// would leave of it.
#[derive(Debug, Clone)]
struct Lossy(Arc<State>);

#[derive(Debug)]
struct State {
    disk: Mutex<Bytes>,
    dice: Mutex<Dice>,
    /// An image is taken at one of so many operations, and at each sync.
    rarely: u64,
    taking: AtomicBool,
    /// How far the store said that it had got, told from outside.
    acknowledged: Arc<AtomicU64>,
    images: Mutex<Vec<Image>>,
}

#[derive(Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Operation>,
}

#[derive(Debug, Clone)]
enum Operation {
    Length(usize),
    Write(usize, Vec<u8>),
}

/// What was left, and how much had been acknowledged by then.
#[derive(Debug, Clone)]
struct Image {
    bytes: Vec<u8>,
    acknowledged: u64,
}

impl Lossy {
    fn new(bytes: Vec<u8>, dice: Dice, rarely: u64) -> Self {
        let disk = Bytes { now: bytes.clone(), synced: bytes, since: Vec::new() };
        Self(Arc::new(State {
            disk: Mutex::new(disk),
            dice: Mutex::new(dice),
            rarely,
            taking: AtomicBool::new(false),
            acknowledged: Arc::default(),
            images: Mutex::default(),
        }))
    }

    fn did(&self, operation: Operation) {
        let mut disk = self.0.disk.lock();
        apply(&mut disk.now, &operation);
        disk.since.push(operation);
        let taken = self.0.dice.lock().once_in(self.0.rarely);
        if taken {
            self.take_image(&disk);
        }
    }

    fn take_image(&self, disk: &Bytes) {
        if !self.0.taking.load(Ordering::Relaxed) {
            return;
        }
        let bytes = left_over(disk, &mut self.0.dice.lock());
        let acknowledged = self.0.acknowledged.load(Ordering::Acquire);
        self.0.images.lock().push(Image { bytes, acknowledged });
    }

    fn images(&self) -> Vec<Image> {
        std::mem::take(&mut self.0.images.lock())
    }
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Length(length) => bytes.resize(*length, 0),
        Operation::Write(at, data) => {
            // Past the end of a file whose growth was lost there is nothing.
            let end = bytes.len().min(at + data.len());
            if *at < end {
                bytes[*at..end].copy_from_slice(&data[..end - at]);
            }
        }
    }
}

/// What is synced with a part of the rest: none, the beginning, some sectors in any order, or all but the last, torn.
fn left_over(disk: &Bytes, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = disk.synced.clone();
    let count = disk.since.len() as u64;
    match dice.below(4) {
        0 => {}
        1 => disk.since[..dice.below(count + 1) as usize].iter().for_each(|operation| apply(&mut bytes, operation)),
        2 => {
            let keeps_length = dice.once_in(2);
            let mut sectors = Vec::new();
            for operation in &disk.since {
                match operation {
                    Operation::Length(length) if keeps_length => bytes.resize(*length, 0),
                    Operation::Length(_) => {}
                    Operation::Write(at, data) => {
                        let parts = data.chunks(SECTOR).enumerate();
                        sectors.extend(parts.map(|(part, data)| (at + part * SECTOR, data.to_vec())));
                    }
                }
            }
            sectors.retain(|_| dice.once_in(2));
            for left in (1..sectors.len()).rev() {
                sectors.swap(left, dice.below(left as u64 + 1) as usize);
            }
            sectors.into_iter().for_each(|(at, data)| apply(&mut bytes, &Operation::Write(at, data)));
        }
        _ => {
            let (last, all) = match disk.since.split_last() {
                Some((last, all)) => (Some(last), all),
                None => (None, &[][..]),
            };
            all.iter().for_each(|operation| apply(&mut bytes, operation));
            if let Some(Operation::Write(at, data)) = last {
                let torn = dice.below(data.len() as u64 + 1) as usize;
                apply(&mut bytes, &Operation::Write(*at, data[..torn].to_vec()));
            }
        }
    }
    bytes
}

impl StorageBackend for Lossy {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.disk.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.disk.lock();
        let start = usize::try_from(offset).unwrap();
        let part = disk.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.did(Operation::Length(usize::try_from(length).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.disk.lock();
        // The power may go during the sync as well as after it.
        self.take_image(&disk);
        disk.since.clear();
        let Bytes { now, synced, .. } = &mut *disk;
        synced.clone_from(now);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.did(Operation::Write(usize::try_from(offset).unwrap(), data.to_vec()));
        Ok(())
    }
}

fn open_lossy(disk: &Lossy, quick_repair: bool) -> Result<(Store, Loaded), OpenError> {
    let disk = disk.clone();
    let limits = Limits { quick_repair, ..limits() };
    Store::with_backend(move || Ok(disk.clone()), &limits, Durability::Commit, Arc::default(), Time(1_000))
}

/// Opens an image; what is seen, and what a second power loss during that leaves.
fn reopen(image: Image, dice: Dice, quick_repair: bool) -> (String, Vec<Image>) {
    let acknowledged = image.acknowledged;
    let disk = Lossy::new(image.bytes, dice, 3);
    disk.0.acknowledged.store(acknowledged, Ordering::Relaxed);
    disk.0.taking.store(true, Ordering::Relaxed);
    let (store, loaded) = open_lossy(&disk, quick_repair).unwrap_or_else(|error| panic!("cannot be opened: {error}"));
    disk.0.taking.store(false, Ordering::Relaxed);
    assert_eq!(loaded.damaged, 0);
    drop(store);
    (picture(&loaded), disk.images())
}

#[test]
fn a_power_loss_at_any_moment_loses_nothing_that_was_acknowledged() {
    let images_max = asked("PLIANT_IMAGES", IMAGES);
    let first = asked("PLIANT_SEED", 1);
    let (mut tried, mut twice) = (0, 0);
    for seed in first.. {
        let mut dice = Dice(seed);
        let quick_repair = dice.once_in(2);
        let units = life(&mut dice, 60);
        let pictures = pictures(&units);
        let disk = Lossy::new(Vec::new(), dice.clone(), 12);
        let (store, _) = open_lossy(&disk, quick_repair).unwrap();
        let acknowledged = disk.0.acknowledged.clone();
        // On the writer's thread, like the operations: no image sees more than what was said before it.
        store.on_commit(Box::new(move |sequence| acknowledged.store(sequence, Ordering::Release)));
        disk.0.taking.store(true, Ordering::Relaxed);
        for unit in &units {
            store.submit(unit.iter().cloned());
            if dice.once_in(3) {
                assert!(store.flush_blocking(PATIENCE));
            }
        }
        assert!(store.close());
        for image in disk.images() {
            let acknowledged = image.acknowledged as usize;
            let check = |seen: &str, how: &str| {
                let possible = &pictures[acknowledged..];
                assert!(possible.iter().any(|one| one == seen), "seed {seed}, {how}, {acknowledged} units:\n{seen}");
            };
            let (seen, again) = reopen(image, dice.clone(), quick_repair);
            check(&seen, "once");
            tried += 1;
            // A second loss, during the recovery from the first.
            if let Some(image) = again.into_iter().nth(dice.below(8) as usize) {
                check(&reopen(image, dice.clone(), quick_repair).0, "twice");
                twice += 1;
                tried += 1;
            }
            dice.below(2);
            if tried >= images_max {
                println!("{tried} images, {twice} of them of a second loss, seeds {first} to {seed}: nothing lost");
                return;
            }
        }
    }
}

/// G10: the power goes at any moment while a store of an earlier version is brought forward: it is there whole, and is brought
/// forward by the next start.
#[test]
fn a_power_loss_while_a_store_is_brought_forward_costs_nothing() {
    let images_max = asked("PLIANT_IMAGES", IMAGES);
    let mut tried = 0;
    for seed in 1.. {
        let mut dice = Dice(seed);
        let units = life(&mut dice, 30);
        let expected = pictures(&units).pop().unwrap();
        let disk = Lossy::new(Vec::new(), dice.clone(), u64::MAX);
        let (store, _) = open_lossy(&disk, true).unwrap();
        for unit in &units {
            store.submit(unit.iter().cloned());
        }
        assert!(store.close());
        make_version(redb::Builder::new().create_with_backend(disk.clone()).unwrap(), 1);
        let bytes = disk.0.disk.lock().now.clone();
        for _ in 0..4 {
            let (seen, images) = reopen(Image { bytes: bytes.clone(), acknowledged: 0 }, dice.clone(), true);
            assert_eq!(seen, expected);
            assert!(!images.is_empty());
            for image in images {
                let (seen, again) = reopen(image, dice.clone(), true);
                assert_eq!(seen, expected, "seed {seed}, once");
                tried += 1;
                if let Some(image) = again.into_iter().nth(dice.below(8) as usize) {
                    assert_eq!(reopen(image, dice.clone(), true).0, expected, "seed {seed}, twice");
                    tried += 1;
                }
            }
            if tried >= images_max {
                return println!("{tried} images of stores that were brought forward: nothing lost");
            }
        }
    }
}
