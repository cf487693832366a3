//! Reading back while the broker runs: parts of a queue that a restart left in the store, because nobody had come for them
//! yet; and components.

use super::change::{MailboxId, QueueEntry};
use super::encoding::Damage;
use super::load::LoadedEntry;
use super::row::{FailedRow, unseal};
use super::tables::{Key, Table, two_numbers};
use crate::message::Message;
use hashbrown::HashMap;
use redb::{Database, ReadTransaction, ReadableDatabase};
use std::ops::Bound;
use std::sync::Arc;

pub(super) type ReadOnly = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type Result<T> = std::result::Result<T, redb::Error>;

/// Entries of one mailbox, in order.
#[derive(Debug)]
pub struct Page {
    /// As they were queued. Those whose rows are damaged are left out, reported and never handed on.
    pub entries: Vec<LoadedEntry>,
    /// All entries up to this number were looked at.
    pub to: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub mailbox: MailboxId,
    /// Entries with greater numbers than this,
    pub after: u64,
    /// up to this one,
    pub to: u64,
    /// but not more than so many,
    pub most: usize,
    /// nor many more bytes than this.
    pub bytes: usize,
}

/// Log rows that several entries need, some of which were not read yet: they share one message once it was.
pub(super) type Several = HashMap<u64, Sharing>;

/// One of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Sharing {
    /// Entries that need the row.
    pub uses: u64,
    /// Those that were not read yet.
    pub unread: u64,
    pub message: Option<Message>,
}

/// What stood there before it was changed, oldest first.
type Before = Vec<(u64, Sharing)>;

/// Reads a page. Damaged rows stay where they are until the next start sets them aside. A page that cannot be read is asked for
/// again: nothing of it counts as read.
pub(super) fn read(database: &Database, wanted: &Wanted, several: &mut Several) -> Result<(Page, usize)> {
    let mut before = Before::new();
    let result = read_rows(database, wanted, several, &mut before);
    if result.is_err() {
        several.extend(before.into_iter().rev());
    }
    result
}

fn read_rows(
    database: &Database,
    wanted: &Wanted,
    several: &mut Several,
    before: &mut Before,
) -> Result<(Page, usize)> {
    let transaction = database.begin_read()?;
    let queue = transaction.open_table(Table::Queue.definition())?;
    let beside = Beside::open(&transaction)?;
    let (mut first, mut last) = (Key::default(), Key::default());
    first.number(wanted.mailbox).then_number(wanted.after);
    last.number(wanted.mailbox).then_number(wanted.to);
    let range = (Bound::Excluded(first.bytes()), Bound::Included(last.bytes()));
    let (mut page, mut damaged, mut bytes) = (Page { entries: Vec::new(), to: wanted.after }, 0, 0);
    for row in queue.range::<&[u8]>(range)? {
        let (key, row) = row?;
        let (key, row) = (key.value(), row.value());
        let number = two_numbers(key).map_or(page.to, |(_, number)| number);
        match entry(&beside, key, row, (several, before))? {
            Ok(entry) => {
                bytes += entry.size();
                page.entries.push(entry);
            }
            Err(damage) => {
                damaged += 1;
                tracing::error!(mailbox = wanted.mailbox, number, %damage, "a queued message is damaged; left out");
            }
        }
        page.to = number;
        if page.entries.len() >= wanted.most || bytes >= wanted.bytes {
            return Ok((page, damaged));
        }
    }
    page.to = wanted.to;
    Ok((page, damaged))
}

/// Tables with what belongs to an entry.
struct Beside {
    log: ReadOnly,
    failures: ReadOnly,
}

impl Beside {
    fn open(transaction: &ReadTransaction) -> Result<Self> {
        let log = transaction.open_table(Table::Log.definition())?;
        Ok(Self { log, failures: transaction.open_table(Table::Failures.definition())? })
    }
}

fn entry(
    beside: &Beside,
    key: &[u8],
    row: &[u8],
    (several, before): (&mut Several, &mut Before),
) -> Result<std::result::Result<LoadedEntry, Damage>> {
    let entry = match unseal::<QueueEntry>(Table::Queue, key, row) {
        Ok(entry) => entry,
        Err(damage) => return Ok(Err(damage)),
    };
    if let Some(sharing) = several.get(&entry.log_id) {
        before.push((entry.log_id, sharing.clone()));
    }
    let message = match message(&beside.log, entry.log_id, several)? {
        Ok(message) => message,
        Err(damage) => return Ok(Err(damage)),
    };
    let row = beside.failures.get(key)?;
    let failed: Option<FailedRow<'_>> = row.as_ref().and_then(|row| unseal(Table::Failures, key, row.value()).ok());
    let failed = failed.unwrap_or_default();
    let (failures, notes) = (failed.failures, failed.notes());
    Ok(Ok(LoadedEntry { entry, message, handle: None, received: false, failures, notes }))
}

/// The message of an entry that is read for the first time.
fn message(log: &ReadOnly, log_id: u64, several: &mut Several) -> Result<std::result::Result<Message, Damage>> {
    if let Some(sharing) = several.get_mut(&log_id) {
        sharing.unread = sharing.unread.saturating_sub(1);
        let is_last = sharing.unread == 0;
        if let Some(message) = sharing.message.clone() {
            if is_last {
                several.remove(&log_id);
            }
            return Ok(Ok(message));
        }
    }
    let found = fetch(log, log_id)?;
    if let Ok(message) = &found {
        let uses = several.get(&log_id).map_or(1, |sharing| sharing.uses);
        message.set_logged(log_id, uses);
        match several.get_mut(&log_id) {
            Some(sharing) if sharing.unread > 0 => sharing.message = Some(message.clone()),
            Some(_) => drop(several.remove(&log_id)),
            None => {}
        }
    }
    Ok(found)
}

/// A row of the log.
pub(super) fn fetch(log: &ReadOnly, log_id: u64) -> Result<std::result::Result<Message, Damage>> {
    let key = log_id.to_be_bytes();
    let Some(row) = log.get(key.as_slice())? else { return Ok(Err(Damage("its message is not there"))) };
    Ok(unseal(Table::Log, &key, row.value()))
}

/// The bytes of a component; none: there are none of this digest, or they are damaged.
pub(super) fn component(database: &Database, digest: &str) -> Result<Option<Arc<[u8]>>> {
    let transaction = database.begin_read()?;
    let components = transaction.open_table(Table::Components.definition())?;
    let mut key = Key::default();
    key.text(digest);
    let Some(row) = components.get(key.bytes())? else { return Ok(None) };
    Ok(unseal::<&[u8]>(Table::Components, key.bytes(), row.value()).ok().map(Arc::from))
}
