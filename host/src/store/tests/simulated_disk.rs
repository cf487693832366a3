//! A disk in memory that outlives the store on it, and that fails or holds its breath when told to.

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;
use std::io;
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Mutex<Vec<u8>>,
    control: Mutex<Control>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Control {
    /// Writes, syncs and changes of length so far.
    operations: u64,
    syncs: u64,
    /// Operations with this number and later ones fail.
    fail_from: Option<u64>,
    /// The one operation with this number fails so.
    fail_once: Option<(u64, io::ErrorKind)>,
    /// It does not grow beyond this.
    capacity: Option<usize>,
    /// Failures so far.
    failures: u64,
    syncs_held: bool,
    /// Syncs that are held at this moment.
    waiting: usize,
}

impl Disk {
    pub fn operations(&self) -> u64 {
        self.0.control.lock().operations
    }

    pub fn syncs(&self) -> u64 {
        self.0.control.lock().syncs
    }

    /// From so many operations on, all fail.
    pub fn fail_after(&self, operations: u64) {
        let mut control = self.0.control.lock();
        control.fail_from = Some(control.operations + operations);
    }

    /// From now on the disk is so large.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.control.lock().capacity = bytes;
    }

    /// After so many operations, one fails.
    pub fn fail_once_after(&self, operations: u64, how: io::ErrorKind) {
        let mut control = self.0.control.lock();
        control.fail_once = Some((control.operations + operations, how));
    }

    pub fn heal(&self) {
        self.0.control.lock().fail_from = None;
    }

    pub fn failures(&self) -> u64 {
        self.0.control.lock().failures
    }

    /// Syncs do not return until [`Disk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.0.control.lock().syncs_held = true;
    }

    pub fn release_syncs(&self) {
        self.0.control.lock().syncs_held = false;
        self.0.changed.notify_all();
    }

    /// Returns when a sync is being held.
    pub fn wait_for_held_sync(&self) {
        let mut control = self.0.control.lock();
        while control.waiting == 0 {
            self.0.changed.wait(&mut control);
        }
    }

    /// Flips the lowest bit of the last byte of `pattern` wherever it stands; returns how often that was.
    pub fn flip(&self, pattern: &[u8]) -> usize {
        let mut bytes = self.0.bytes.lock();
        let places: Vec<_> = memchr::memmem::find_iter(&bytes, pattern).collect();
        for place in &places {
            bytes[place + pattern.len() - 1] ^= 1;
        }
        places.len()
    }

    /// Bytes on it.
    pub fn length(&self) -> usize {
        self.0.bytes.lock().len()
    }

    /// Flips one bit.
    pub fn flip_bit(&self, bit: usize) {
        self.0.bytes.lock()[bit / 8] ^= 1 << (bit % 8);
    }

    /// An independent disk with the same bytes.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        copy.0.bytes.lock().clone_from(&self.0.bytes.lock());
        copy
    }

    fn operation(&self) -> io::Result<()> {
        let mut control = self.0.control.lock();
        let number = control.operations;
        control.operations += 1;
        if let Some((_, how)) = control.fail_once.filter(|(at, _)| *at == number) {
            control.failures += 1;
            return Err(how.into());
        }
        if control.fail_from.is_some_and(|from| number >= from) {
            control.failures += 1;
            return Err(io::Error::other("simulated failure"));
        }
        Ok(())
    }
}

fn range(offset: u64, length: usize) -> std::ops::Range<usize> {
    let start = usize::try_from(offset).unwrap();
    start..start + length
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.bytes.lock();
        let part = bytes.get(range(offset, out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operation()?;
        let mut control = self.0.control.lock();
        if control.capacity.is_some_and(|capacity| len > capacity as u64) {
            control.failures += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(control);
        self.0.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operation()?;
        let mut control = self.0.control.lock();
        control.syncs += 1;
        control.waiting += 1;
        self.0.changed.notify_all();
        while control.syncs_held {
            self.0.changed.wait(&mut control);
        }
        control.waiting -= 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operation()?;
        let mut bytes = self.0.bytes.lock();
        let part = bytes.get_mut(range(offset, data.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        part.copy_from_slice(data);
        Ok(())
    }
}
