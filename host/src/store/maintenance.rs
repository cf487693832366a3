//! Checking and compacting a store that nobody has open.

use super::load::{Head, load};
use super::open::{OpenError, Opener, corrupted};
use super::tables::Table;
use super::{Limits, Loaded};
use crate::message::Time;
use redb::{ReadableDatabase, ReadableTableMetadata};
use std::path::Path;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The database's own checksums are all right; if not, it repaired what it could.
    pub intact: bool,
    /// Messages in the log.
    pub messages: u64,
    /// All that is in it. [`Loaded::damaged`] rows are those whose own checksum is wrong, or that miss what they need.
    pub loaded: Loaded,
}

/// Reads every row of the store in `directory` and verifies every checksum. Changes nothing but what the database
/// repairs by itself. Takes memory like a broker that starts.
pub fn check(directory: &Path, limits: &Limits) -> Result<Checked, OpenError> {
    let opener = Opener::existing(directory, limits.cache_bytes)?;
    let (_, checked) = opener.open_and(|database| {
        let intact = database.check_integrity()?;
        let (loaded, ..) = load(database, Time(0), Head::ALL, false)?;
        let transaction = database.begin_read()?;
        let messages = transaction.open_table(Table::Log.definition())?.len()?;
        Ok(Checked { intact, messages, loaded })
    })?;
    Ok(checked)
}

/// Reads what can be read of the store in `directory`, whatever else is damaged: rows have checksums of their own.
///
/// # Errors
/// Not even the way to the rows can be found.
pub fn salvage(directory: &Path, limits: &Limits) -> Result<Loaded, OpenError> {
    let opener = Opener::existing(directory, limits.cache_bytes)?;
    let (_, (loaded, ..)) = opener.open_and(|database| load(database, Time(0), Head::ALL, false))?;
    Ok(loaded)
}

/// Gives unused space of the store in `directory` back to the file system. Returns the bytes of the file before and
/// after.
///
/// # Errors
/// Among others that the store is damaged: pages that are moved get new checksums, and nobody could tell any more.
pub fn compact(directory: &Path, limits: &Limits) -> Result<(u64, u64), OpenError> {
    let opener = Opener::existing(directory, limits.cache_bytes)?;
    let before = opener.bytes();
    let (database, ()) = opener.open_and(|database| {
        if !database.check_integrity()? {
            return Err(corrupted("it was repaired; look at it with a check before it is compacted"));
        }
        while database.compact()? {}
        Ok(())
    })?;
    drop(database);
    Ok((before, opener.bytes()))
}
