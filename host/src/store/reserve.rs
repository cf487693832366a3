//! Room that is set aside on the disk, so that acknowledgements and deletions can still be written when it is full.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;

/// A reserve smaller than this, in bytes, would be used up before a queue has been emptied.
const LEAST_BYTES: u64 = 4 << 20;

/// Whether a write failed since there is no room: on the disk, in what the owner may have of it, or in what a file may be.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Gives room back and takes it again.
pub(super) trait Reserve: Send {
    /// Makes sure that the room is set aside; an error: it cannot be had.
    fn set_aside(&self) -> io::Result<()>;
    /// Sets aside as much of it as can be had; an error: next to nothing.
    fn set_aside_some(&self) -> io::Result<()>;
    /// Gives it back; none: there was none. How many bytes that were.
    fn give_up(&self) -> Option<u64>;
}

/// For storage that has none.
pub(super) struct NoReserve;

impl Reserve for NoReserve {
    fn set_aside(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_aside_some(&self) -> io::Result<()> {
        Ok(())
    }

    fn give_up(&self) -> Option<u64> {
        None
    }
}

/// A file of so many bytes beside the database.
pub(super) struct ReserveFile {
    pub path: PathBuf,
    pub bytes: u64,
}

impl Reserve for ReserveFile {
    fn set_aside(&self) -> io::Result<()> {
        self.take(self.bytes)
    }

    fn set_aside_some(&self) -> io::Result<()> {
        let mut bytes = self.bytes;
        while let Err(error) = self.take(bytes) {
            bytes /= 2;
            if bytes < LEAST_BYTES {
                return Err(error);
            }
            tracing::warn!(%error, bytes, "not all room that is configured can be set aside for a full disk; trying less");
        }
        Ok(())
    }

    fn give_up(&self) -> Option<u64> {
        let bytes = fs::metadata(&self.path).ok()?.len();
        fs::remove_file(&self.path).ok().map(|()| bytes)
    }
}

impl ReserveFile {
    fn take(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 || fs::metadata(&self.path).is_ok_and(|data| data.len() == bytes) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let made = options.open(&self.path).and_then(|file| allocate(&file, bytes));
        if made.is_err() {
            self.give_up();
        }
        made
    }
}

/// Takes blocks and not only a length. Without the system's help zeros are written.
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            done => return Ok(done?),
        }
    }
    let zeros = vec![0; 1 << 20];
    let (mut file, mut left) = (file, bytes);
    while left > 0 {
        let part = left.min(zeros.len() as u64);
        io::Write::write_all(&mut file, &zeros[..part as usize])?;
        left -= part;
    }
    Ok(())
}
