//! Checking and compacting a store that nobody has open.

use super::load::{Head, load};
use super::open::{OpenError, Opener};
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

/// Gives unused space of the store in `directory` back to the file system. Returns the bytes of the file before and
/// after.
pub fn compact(directory: &Path, limits: &Limits) -> Result<(u64, u64), OpenError> {
    let opener = Opener::existing(directory, limits.cache_bytes)?;
    let before = opener.bytes();
    let (database, ()) = opener.open_and(|database| {
        while database.compact()? {}
        Ok(())
    })?;
    drop(database);
    Ok((before, opener.bytes()))
}
