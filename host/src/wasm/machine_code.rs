//! Machine code that is kept from start to start, so that a component is compiled once: the compiler's own cache, in a
//! directory that only its owner may enter, bounded, and looked through before it is used.
//!
//! The compiler asks no more of a file than that it was made for this version and these settings; its bytes are run as
//! they are. So each file has its sum beside it, and one that does not match is removed unread: a disk that forgets or
//! turns bits costs time. Whoever writes there on purpose writes a matching sum, too, and decides what the broker runs;
//! the directory is to be trusted like the program.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use wasmtime::{Cache, CacheConfig};
use xxhash_rust::xxh3::xxh3_128;

/// Files are looked for so many levels below the compiler's directory, where it puts them.
const LEVEL: u8 = 2;

/// A directory of compiled components, in `code`, and of their sums, in `sums`.
#[derive(Debug, Clone)]
pub struct MachineCode {
    cache: Cache,
    root: PathBuf,
    bytes_max: u64,
}

/// A compiled component.
struct File {
    path: PathBuf,
    sum: PathBuf,
    bytes: u64,
    /// Seconds and nanoseconds of the file system.
    used: (i64, i64),
}

impl MachineCode {
    /// Opens the directory, or makes it, and removes what cannot be used. None where `bytes_max` is 0 or the system says no,
    /// which the log tells: then everything is compiled anew.
    pub fn open(root: &Path, bytes_max: u64) -> Option<Self> {
        let code = Self::join(root, bytes_max)?;
        code.sweep();
        Some(code)
    }

    /// As [`MachineCode::open`], for a child of the process that opened it.
    pub fn join(root: &Path, bytes_max: u64) -> Option<Self> {
        if bytes_max == 0 {
            return None;
        }
        let opened = private(root).and_then(|root| {
            let mut config = CacheConfig::new();
            config.with_directory(root.join("code"));
            // What changes a file by itself would part it from its sum.
            config.with_optimized_compression_usage_counter_threshold(u64::MAX);
            config.with_baseline_compression_level(1);
            config.with_files_total_size_soft_limit(bytes_max);
            let cache = Cache::new(config).map_err(|error| io::Error::other(format!("{error:#}")))?;
            private(&root.join("sums"))?;
            Ok(Self { cache, root, bytes_max })
        });
        opened
            .inspect_err(
                |error| tracing::warn!(directory = %root.display(), %error, "machine code of modules is not kept"),
            )
            .ok()
    }

    /// Components that were found, and those that were not, since it was opened.
    pub fn found(&self) -> (usize, usize) {
        (self.cache.cache_hits(), self.cache.cache_misses())
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that it may have.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// For the compiler.
    pub(super) fn cache(&self) -> Cache {
        self.cache.clone()
    }

    /// Removes what has no sum, or another one. To be called before something is compiled, and while nothing is.
    pub(super) fn sweep(&self) {
        for file in self.files(true) {
            let written = fs::read_to_string(&file.sum).unwrap_or_default();
            if file.bytes <= self.bytes_max && fs::read(&file.path).is_ok_and(|bytes| sum(&bytes) == written) {
                continue;
            }
            tracing::info!(file = %file.path.display(), "machine code that is not whole is made anew");
            remove(&file);
        }
    }

    /// Writes the sums of what is new, and removes what was not used for the longest time until the rest is within the
    /// bound. To be called after something was compiled.
    pub(super) fn seal(&self) {
        let mut files = self.files(false);
        files.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut left = self.bytes_max;
        for file in files {
            match left.checked_sub(file.bytes) {
                Some(rest) => left = rest,
                None => {
                    remove(&file);
                    continue;
                }
            }
            if file.sum.exists() {
                continue;
            }
            let written = fs::read(&file.path).and_then(|bytes| fs::write(&file.sum, sum(&bytes)));
            if written.is_err() {
                // Without a sum it is of no use.
                remove(&file);
            }
        }
    }

    /// What the compiler has put there; what else lies there is removed, but for what another process may be writing, unless
    /// there is none.
    fn files(&self, alone: bool) -> Vec<File> {
        let mut files = Vec::new();
        self.walk(&self.root.join("code"), 0, alone, &mut files);
        for stray in entries(&self.root.join("sums")) {
            if !files.iter().any(|file| file.sum == stray.0) {
                discard(&stray.0, &stray.1);
            }
        }
        files
    }

    fn walk(&self, folder: &Path, level: u8, alone: bool, files: &mut Vec<File>) {
        for (path, metadata) in entries(folder) {
            let name = path.file_name().unwrap_or_default().to_owned();
            match (level, metadata.is_dir()) {
                (0..LEVEL, true) => self.walk(&path, level + 1, alone, files),
                (LEVEL, false) if metadata.is_file() && path.extension().is_none() => {
                    let modified = |metadata: Metadata| (metadata.mtime(), metadata.mtime_nsec());
                    let noted = fs::symlink_metadata(path.with_extension("stats")).map(modified);
                    let (bytes, made) = (metadata.len(), modified(metadata));
                    let used = noted.map_or(made, |noted| noted.max(made));
                    files.push(File { path, sum: self.root.join("sums").join(name), bytes, used });
                }
                // The compiler's notes on when a file was used.
                (LEVEL, false) if path.extension().is_some_and(|extension| extension == "stats") && is_note(&path) => {}
                // Its marks that it tidies up, and notes that it is writing. What is left of machine code has no use: it was
                // written by a process that ended, or on a full disk.
                (_, false) if is_its_own(&path) || (!alone && is_begun(&path)) => {}
                _ => discard(&path, &metadata),
            }
        }
    }
}

/// Makes a directory that nobody else may enter, or takes one from others; its whole path. Fails where it is another's.
fn private(path: &Path) -> io::Result<PathBuf> {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    }
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::other("a link, not a directory"));
    }
    // Only an owner may.
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    fs::canonicalize(path)
}

fn is_its_own(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    extension.starts_with("wip-") && !is_begun(path)
}

fn is_begun(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wip-atomic-write-mod")
}

/// Notes are on a file that is there.
fn is_note(path: &Path) -> bool {
    path.with_extension("").exists()
}

fn sum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

fn entries(folder: &Path) -> Vec<(PathBuf, Metadata)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), fs::symlink_metadata(entry.path()).ok()?))).collect()
}

fn remove(file: &File) {
    // What is gone already, or stays against our will, is met again when it is looked through the next time.
    let _ = fs::remove_file(&file.path);
    let _ = fs::remove_file(&file.sum);
    let _ = fs::remove_file(file.path.with_extension("stats"));
}

fn discard(path: &Path, metadata: &Metadata) {
    // Likewise.
    let _ = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}
