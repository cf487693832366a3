//! Getting at the database: the file with its lock and its modes, and what can be wrong with it.

use super::reserve::{NoReserve, Reserve, ReserveFile};
use super::row::{seal, unseal};
use super::tables::{FORMAT, FORMAT_KEY, Table};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableHandle};
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// File of the store in the data directory.
const FILE: &str = "pliant.redb";
/// Room set aside beside it.
const RESERVE: &str = "pliant.reserve";
/// What stands at its path when it was replaced.
const ANOTHER: &str = "another file is in the place of the one that was opened";
/// What it is called until it is a store.
const UNFINISHED: &str = "pliant.redb.new";

/// Why there is no store. Each is one line for people.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The lock on the file is taken.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// No such directory, no permission, or the disk fails.
    #[error("cannot use {place}: {reason}")]
    Unusable {
        /// Directory or file.
        place: String,
        /// From the operating system.
        reason: String,
    },
    /// The bytes are not those of a store.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// File.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Made by a later version of this program.
    #[error("{place} has format version {found}; this program knows {FORMAT} and earlier")]
    TooNew {
        /// File.
        place: String,
        /// Its version.
        found: u32,
    },
    /// There is nothing to look at.
    #[error("there is no store in {0}")]
    Missing(String),
    /// The writer's thread could not be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(io::Error),
}

/// Opens the database, also again after a failure.
pub(super) struct Opener {
    place: String,
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send>,
    /// Room that is given back when the disk is full.
    pub reserve: Box<dyn Reserve>,
    /// The file that was opened; none: there is none, or not yet.
    file: Option<(PathBuf, Arc<OnceLock<Identity>>)>,
}

/// What tells a file from another one that has its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(data: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: data.dev(), number: data.ino() }
    }

    #[cfg(not(unix))]
    fn of(_: &fs::Metadata) -> Self {
        Self { device: 0, number: 0 }
    }
}

impl Opener {
    /// The file in a data directory. Makes both if need be, readable by their owner only.
    pub fn directory(directory: &Path, cache_bytes: usize, reserve_bytes: u64) -> Result<Self, OpenError> {
        make_directory(directory).map_err(|error| unusable(directory, error))?;
        let path = directory.join(FILE);
        if !path.try_exists().map_err(|error| unusable(&path, error))? {
            make_file(directory, &path, cache_bytes)?;
        }
        not_empty(&path)?;
        let reserve = ReserveFile { path: directory.join(RESERVE), bytes: reserve_bytes };
        Ok(Self { reserve: Box::new(reserve), ..Self::file(path, cache_bytes) })
    }

    /// The file in a data directory, which must be there.
    pub fn existing(directory: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        match path.try_exists() {
            Ok(true) => {
                not_empty(&path)?;
                Ok(Self::file(path, cache_bytes))
            }
            Ok(false) => Err(OpenError::Missing(directory.display().to_string())),
            Err(error) => Err(unusable(&path, error)),
        }
    }

    fn file(path: PathBuf, cache_bytes: usize) -> Self {
        let place = path.display().to_string();
        let identity = Arc::new(OnceLock::new());
        let file = Some((path.clone(), identity.clone()));
        let open = move || {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let found = Identity::of(&file.metadata()?);
            if *identity.get_or_init(|| found) != found {
                return Err(io::Error::other(ANOTHER).into());
            }
            builder(cache_bytes).create_file(file)
        };
        Self { place, open: Box::new(open), reserve: Box::new(NoReserve), file }
    }

    /// Whatever `make` returns; it must return the same bytes each time.
    pub fn backend<B: StorageBackend>(make: impl Fn() -> io::Result<B> + Send + 'static, cache_bytes: usize) -> Self {
        let open = move || builder(cache_bytes).create_with_backend(make()?);
        Self { place: "the store".into(), open: Box::new(open), reserve: Box::new(NoReserve), file: None }
    }

    /// Whether the file that was opened is where it was: what is written to another one is gone with this process.
    ///
    /// # Errors
    /// It is not, in words for people.
    pub fn is_in_place(&self) -> io::Result<()> {
        let Some((path, identity)) = &self.file else { return Ok(()) };
        let said = |what: &str| {
            let rest = "what is in it goes with this process; move it back, or stop and start with a copy of the store";
            io::Error::other(format!("{}: {what}: {rest}", self.place))
        };
        match fs::metadata(path) {
            Ok(data) if identity.get().is_none_or(|identity| *identity == Identity::of(&data)) => Ok(()),
            Ok(_) => Err(said(ANOTHER)),
            Err(error) => Err(said(&error.to_string())),
        }
    }

    /// Length of the file; 0 if there is none.
    pub fn bytes(&self) -> u64 {
        fs::metadata(&self.place).map_or(0, |data| data.len())
    }

    /// Opens without a look at the content.
    pub fn reopen(&self) -> Result<Database, DatabaseError> {
        (self.open)()
    }

    /// Has the system forget what it remembers of the file and is not on its way to the disk: after a write that failed, that may be
    /// what the disk does not have. To be called while the database is closed.
    pub fn forget_remembered(&self) {
        #[cfg(target_os = "linux")]
        if let Some((path, _)) = &self.file
            && let Ok(file) = File::open(path)
            && let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        {
            tracing::debug!(%error, "what the system remembers of the store is checked instead of what is on disk");
        }
    }

    /// Opens and checks the format; a new database gets one.
    fn open(&self) -> Result<Database, OpenError> {
        let database = self.reopen().map_err(|error| self.explain(error))?;
        match self.format(&database)? {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(OpenError::TooNew { place: self.place.clone(), found }),
            Some(0) => return Err(self.damaged("format version 0 never was")),
            Some(found) => {
                tracing::info!(found, now = FORMAT, "the store is brought to this version's format");
                write_format(&database).map_err(|error| self.explain_any(&error))?;
            }
            None => write_format(&database).map_err(|error| self.explain_any(&error))?,
        }
        Ok(database)
    }

    /// The format version; none: nothing was ever written.
    fn format(&self, database: &Database) -> Result<Option<u32>, OpenError> {
        let transaction = database.begin_read().map_err(|error| self.explain_any(&error.into()))?;
        let names = transaction.list_tables().map_err(|error| self.explain_any(&error.into()))?;
        let names: Vec<_> = names.map(|table| table.name().to_owned()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        if !names.iter().any(|name| name == Table::Meta.name()) {
            return Err(self.damaged("it has tables, but not ours"));
        }
        let meta = transaction.open_table(Table::Meta.definition()).map_err(|error| self.explain_any(&error.into()))?;
        let row = meta.get(FORMAT_KEY).map_err(|error| self.explain_any(&error.into()))?;
        let row = row.ok_or_else(|| self.damaged("it does not say which format it has"))?;
        unseal(Table::Meta, FORMAT_KEY, row.value()).map(Some).map_err(|damage| self.damaged(damage.to_string()))
    }

    /// Opens, and has `work` look into the database. On pages that are not what was written redb may panic; that is
    /// damage as well.
    pub fn open_and<T>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, redb::Error>,
    ) -> Result<(Database, T), OpenError> {
        let guarded = AssertUnwindSafe(|| {
            let mut database = self.open()?;
            let result = work(&mut database).map_err(|error| self.explain_any(&error))?;
            Ok((database, result))
        });
        let _looking = Looking::begin();
        catch_unwind(guarded).unwrap_or_else(|_| Err(self.damaged("a page of the file makes no sense")))
    }

    fn damaged(&self, reason: impl Into<String>) -> OpenError {
        OpenError::Damaged { place: self.place.clone(), reason: reason.into() }
    }

    /// In one line what went wrong when opening.
    fn explain(&self, error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(self.place.clone()),
            DatabaseError::UpgradeRequired(version) => {
                self.damaged(format!("redb's file format {version} is not supported"))
            }
            error => self.explain_any(&error.into()),
        }
    }

    /// In one line what went wrong when reading or writing.
    fn explain_any(&self, error: &redb::Error) -> OpenError {
        match error {
            redb::Error::DatabaseAlreadyOpen => OpenError::Locked(self.place.clone()),
            redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                OpenError::Unusable { place: self.place.clone(), reason: error.to_string() }
            }
            error => self.damaged(error.to_string()),
        }
    }
}

thread_local! {
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread looks into a store that may be damaged: a panic there is caught, and becomes an error of one line, so
/// that there is nothing to report of it.
pub fn looks_into_a_store() -> bool {
    LOOKS.get()
}

struct Looking;

impl Looking {
    fn begin() -> Self {
        LOOKS.set(true);
        Self
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKS.set(false);
    }
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_repair_callback(|repair| {
        tracing::info!(percent = (repair.progress() * 100.0) as u32, "the store is repaired");
    });
    builder
}

/// Makes a new database ours, or brings an older one forward, in one transaction: whoever is interrupted finds the old
/// one. Later versions added tables, and bits that were 0 before, so what was there stays as it is.
fn write_format(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    let mut row = Vec::new();
    seal(Table::Meta, FORMAT_KEY, &FORMAT, &mut row);
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    transaction.open_table(Table::Meta.definition())?.insert(FORMAT_KEY, row.as_slice())?;
    Ok(transaction.commit()?)
}

/// New stores get their name once there is something in them: a copy has failed, and what it was of is to be found elsewhere.
fn not_empty(path: &Path) -> Result<(), OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => Err(OpenError::Unusable {
            place: path.display().to_string(),
            reason: "the file is empty; put a copy of the store in its place, or remove it to begin with a new one"
                .into(),
        }),
        _ => Ok(()),
    }
}

/// Makes the directory, for its owner only, and makes sure that it is still there after a power loss.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut make = fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Makes the file under another name first: a start that was cut short leaves no file that is none. Of brokers that start at the
/// same time one makes it: whoever has the lock of the unfinished file.
fn make_file(directory: &Path, path: &Path, cache_bytes: usize) -> Result<(), OpenError> {
    let unfinished = directory.join(UNFINISHED);
    let make = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unfinished)?;
        if file.try_lock().is_err() {
            return Err(redb::Error::DatabaseAlreadyOpen);
        }
        if path.try_exists()? {
            // Somebody has finished it meanwhile; what has the other name is empty, or the same file no more.
            return Ok(fs::remove_file(&unfinished).or_else(not_there)?);
        }
        file.set_len(0)?;
        let database = builder(cache_bytes).create_file(file)?;
        write_format(&database)?;
        // While it is locked.
        fs::rename(&unfinished, path)?;
        drop(database);
        sync_directory(directory)?;
        Ok::<_, redb::Error>(())
    };
    make().map_err(|error| match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Locked(directory.display().to_string()),
        error => OpenError::Unusable { place: directory.display().to_string(), reason: error.to_string() },
    })
}

fn not_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn unusable(place: &Path, error: io::Error) -> OpenError {
    OpenError::Unusable { place: place.display().to_string(), reason: error.to_string() }
}

/// For errors that pass through redb's own types on their way to us.
pub(super) fn corrupted(reason: &str) -> redb::Error {
    StorageError::Corrupted(reason.into()).into()
}
