//! Room that is set aside on the disk, so that acknowledgements and deletions can still be written when it is full.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;

/// Gives room back and takes it again.
pub(super) trait Reserve: Send {
    /// Makes sure that the room is set aside; an error: it cannot be had.
    fn set_aside(&self) -> io::Result<()>;
    /// Gives it back; false: there was none.
    fn give_up(&self) -> bool;
}

/// For storage that has none.
pub(super) struct NoReserve;

impl Reserve for NoReserve {
    fn set_aside(&self) -> io::Result<()> {
        Ok(())
    }

    fn give_up(&self) -> bool {
        false
    }
}

/// A file of so many bytes beside the database.
pub(super) struct ReserveFile {
    pub path: PathBuf,
    pub bytes: u64,
}

impl Reserve for ReserveFile {
    fn set_aside(&self) -> io::Result<()> {
        if self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|data| data.len() == self.bytes) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let made = options.open(&self.path).and_then(|file| allocate(&file, self.bytes));
        if made.is_err() {
            self.give_up();
        }
        made
    }

    fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
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
