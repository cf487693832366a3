//! What each change does to the tables, inside one transaction.

use super::change::{Change, MailboxId, ModuleVersion};
use super::removals::Run;
use super::row::{Counters, FailedRow, Row, StateRow, VersionRow, seal, unseal};
use super::tables::{COUNTERS_KEY, Key, Table, behind};
use redb::{ReadableTable, WriteTransaction};
use std::ops::Bound;

/// Log ids set aside by one write, so that not every commit has to say how far they got.
const LOG_ID_BLOCK: u64 = 1 << 20;
/// The same for mailboxes.
const MAILBOX_ID_BLOCK: u64 = 1 << 10;

type Open<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;
type Result<T> = std::result::Result<T, redb::Error>;

/// One transaction with the tables it has touched so far.
pub(super) struct Batch<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<Open<'t>>; Table::ALL.len()],
    key: Key,
    row: Vec<u8>,
    changed: bool,
    counters: Counters,
    /// Bytes of rows written less those removed.
    growth: i64,
    /// Rows that are still to go.
    log_gone: Run,
    queue_gone: Run,
}

/// Shorter runs are removed row by row.
const RUN_MIN: usize = 4;

impl<'t> Batch<'t> {
    /// Begins. Ids below `counters` are already set aside on disk.
    pub fn new(transaction: &'t WriteTransaction, counters: Counters) -> Self {
        let tables = [const { None }; Table::ALL.len()];
        Self {
            transaction,
            tables,
            key: Key::default(),
            row: Vec::new(),
            changed: false,
            counters,
            growth: 0,
            log_gone: Run::default(),
            queue_gone: Run::default(),
        }
    }

    /// Whether anything on disk would be different, the ids that are set aside after this transaction, and by how many
    /// bytes the rows grew.
    pub fn finish(mut self) -> Result<(bool, Counters, i64)> {
        self.remove_gone()?;
        Ok((self.changed, self.counters, self.growth))
    }

    /// Applies one change.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::LoggedGone(id) => return self.log_row_gone(*id),
            Change::QueuedGone(id, number) => return self.entry_gone(*id, *number),
            Change::MailboxGone(_) => self.remove_gone()?,
            Change::Logged(id, _) if self.log_gone.reaches(None, *id) => self.remove_gone()?,
            Change::Queued(id, entry) if self.queue_gone.reaches(Some(*id), entry.number) => self.remove_gone()?,
            Change::QueuedHandle(id, number, _)
            | Change::QueuedFailed(id, number, ..)
            | Change::QueuedReceived(id, number)
                if self.queue_gone.reaches(Some(*id), *number) =>
            {
                self.remove_gone()?;
            }
            _ => {}
        }
        let mut key = std::mem::take(&mut self.key);
        let result = self.apply_with(change, &mut key);
        self.key = key;
        result
    }

    fn apply_with(&mut self, change: &Change, key: &mut Key) -> Result<()> {
        match change {
            Change::Mailbox(id, record) => {
                self.set_aside(*id, 0)?;
                self.put(Table::Mailboxes, key.number(*id), &**record)
            }
            Change::MailboxGone(id) => self.remove_mailbox(*id, key),
            Change::Filter(id, subscription) => {
                let key = key.filter(*id, subscription.share.as_deref(), subscription.filter.as_str());
                self.put(Table::Filters, key, &**subscription)
            }
            Change::FilterGone(id, filter, share) => {
                self.remove(Table::Filters, key.filter(*id, share.as_deref(), filter))
            }
            Change::Condition(id, words) => self.put(Table::Conditions, key.number(*id), &&**words),
            Change::ConditionGone(id) => self.remove(Table::Conditions, key.number(*id)),
            Change::Logged(id, message) => {
                self.set_aside(message.given_publisher(), *id)?;
                self.put(Table::Log, key.number(*id), message)
            }
            // Gathered by `apply`.
            Change::LoggedGone(_) | Change::QueuedGone(..) => Ok(()),
            Change::Queued(id, entry) => self.put(Table::Queue, key.number(*id).then_number(entry.number), entry),
            Change::QueuedHandle(id, number, handle) => {
                self.put(Table::Handles, key.number(*id).then_number(*number), handle)
            }
            Change::QueuedReceived(id, number) => self.put(Table::Received, key.number(*id).then_number(*number), &()),
            Change::QueuedFailed(id, number, failures, notes) => {
                let row = FailedRow { failures: *failures, notes: notes.as_deref().unwrap_or_default() };
                self.put(Table::Failures, key.number(*id).then_number(*number), &row)
            }
            Change::Queue(id, record) => self.put(Table::Queues, key.number(*id), &**record),
            Change::Tag(link, tag) => self.put(Table::Tags, key.name(link).then_bytes(tag), &()),
            Change::TagGone(link, tag) => self.remove(Table::Tags, key.name(link).then_bytes(tag)),
            Change::Seen(id, handle) => self.put(Table::Seen, key.number(*id).then_handle(*handle), &()),
            Change::SeenGone(id, handle) => self.remove(Table::Seen, key.number(*id).then_handle(*handle)),
            Change::Retained(message, stored) => {
                self.set_aside(message.given_publisher(), 0)?;
                let key = key.text(message.topic().as_str());
                self.put(Table::Retained, key, &(message.clone(), *stored))
            }
            Change::RetainedGone(topic) => self.remove(Table::Retained, key.text(topic)),
            Change::Will(id, record) => {
                self.set_aside(*id, 0)?;
                self.set_aside(record.will.message.given_publisher(), 0)?;
                self.put(Table::Wills, key.number(*id), &**record)
            }
            Change::WillGone(id) => self.remove(Table::Wills, key.number(*id)),
            Change::ModuleVersion(version) => self.put_version(version, key),
            Change::ModuleVersionGone(name, version) => {
                self.remove(Table::Versions, key.name(name).then_number(*version))?;
                self.remove_unused_components(key)
            }
            Change::Module(record) => self.put(Table::Modules, key.name(&record.name), &**record),
            Change::ModuleGone(name) => {
                key.name(name);
                for table in [Table::Modules, Table::Versions, Table::State] {
                    self.remove_all(table, key.bytes())?;
                }
                self.remove_unused_components(key)
            }
            Change::State(module, name, value, expires) => {
                let row = StateRow { module, key: name, value, expires: *expires };
                self.put(Table::State, key.name(module).then_text(name), &row)
            }
            Change::StateGone(module, name) => self.remove(Table::State, key.name(module).then_text(name)),
        }
    }

    fn log_row_gone(&mut self, id: u64) -> Result<()> {
        if !self.log_gone.takes(None, id) {
            self.remove_log_rows()?;
        }
        self.log_gone.push(None, id);
        Ok(())
    }

    fn entry_gone(&mut self, mailbox: MailboxId, number: u64) -> Result<()> {
        if !self.queue_gone.takes(Some(mailbox), number) {
            self.remove_entries()?;
        }
        self.queue_gone.push(Some(mailbox), number);
        Ok(())
    }

    fn remove_gone(&mut self) -> Result<()> {
        self.remove_log_rows()?;
        self.remove_entries()
    }

    fn remove_log_rows(&mut self) -> Result<()> {
        let run = self.log_gone.take();
        self.remove_run(Table::Log, &run)
    }

    fn remove_entries(&mut self) -> Result<()> {
        let run = self.queue_gone.take();
        for table in [Table::Queue, Table::Handles, Table::Failures, Table::Received] {
            self.remove_run(table, &run)?;
        }
        Ok(())
    }

    fn remove_run(&mut self, table: Table, run: &Run) -> Result<()> {
        let key_of = |number: u64| {
            let mut key = Key::default();
            match run.mailbox {
                Some(mailbox) => key.number(mailbox).then_number(number),
                None => key.number(number),
            };
            key
        };
        let ([first, .., last], RUN_MIN..) = (run.numbers(), run.numbers().len()) else {
            return run.numbers().iter().try_for_each(|number| self.remove(table, &key_of(*number)));
        };
        let (first, last) = (key_of(*first), key_of(*last));
        let range = (Bound::Included(first.bytes()), Bound::Included(last.bytes()));
        let mut removed = 0;
        self.table(table)?.retain_in::<&[u8], _>(range, |key, row| {
            let goes = run.has(key);
            removed += if goes { (key.len() + row.len()) as i64 } else { 0 };
            !goes
        })?;
        self.growth -= removed;
        self.changed |= removed > 0;
        Ok(())
    }

    fn remove_mailbox(&mut self, id: MailboxId, key: &mut Key) -> Result<()> {
        key.number(id);
        self.remove(Table::Mailboxes, key)?;
        self.remove(Table::Queues, key)?;
        self.remove(Table::Conditions, key)?;
        for table in [Table::Filters, Table::Queue, Table::Handles, Table::Received, Table::Failures, Table::Seen] {
            self.remove_all(table, key.bytes())?;
        }
        Ok(())
    }

    fn put_version(&mut self, version: &ModuleVersion, key: &mut Key) -> Result<()> {
        let row = VersionRow {
            name: &version.name,
            version: version.version,
            digest: &version.digest,
            config: &version.config,
            installed: version.installed,
            signature: version.signature.as_deref(),
            standing: version.standing.as_ref().map(|(order, on_failure)| (*order, &**on_failure)),
        };
        self.put(Table::Versions, key.name(&version.name).then_number(version.version), &row)?;
        // An earlier version may have brought the same bytes: then a long row need not be written again.
        let key = key.text(&version.digest);
        let known = self.table(Table::Components)?.get(key.bytes())?.is_some_and(|row| {
            unseal::<&[u8]>(Table::Components, key.bytes(), row.value()).is_ok_and(|bytes| *bytes == *version.component)
        });
        if known { Ok(()) } else { self.put(Table::Components, key, &&*version.component) }
    }

    /// Components that no version names any more. There are few of both.
    fn remove_unused_components(&mut self, key: &mut Key) -> Result<()> {
        let mut used = Vec::new();
        for row in self.table(Table::Versions)?.iter()? {
            let (at, row) = row?;
            match unseal::<VersionRow<'_>>(Table::Versions, at.value(), row.value()) {
                Ok(version) => used.push(Box::<str>::from(version.digest)),
                // What a damaged row needs is not known, so nothing is thrown away.
                Err(_) => return Ok(()),
            }
        }
        let mut unused = Vec::new();
        for row in self.table(Table::Components)?.iter()? {
            let digest = row?.0.value().to_vec();
            if !used.iter().any(|name| name.as_bytes() == digest) {
                unused.push(digest);
            }
        }
        for digest in unused {
            self.remove_raw(Table::Components, &digest)?;
        }
        key.number(0);
        Ok(())
    }

    /// Makes sure that ids up to these are never given again, whatever is deleted later.
    fn set_aside(&mut self, mailbox: MailboxId, log: u64) -> Result<()> {
        if mailbox < self.counters.mailbox && log < self.counters.log {
            return Ok(());
        }
        let beyond = |id: u64, reserved: u64, block: u64| {
            if id < reserved { reserved } else { id.saturating_add(block) }
        };
        self.counters = Counters {
            mailbox: beyond(mailbox, self.counters.mailbox, MAILBOX_ID_BLOCK),
            log: beyond(log, self.counters.log, LOG_ID_BLOCK),
        };
        self.put_raw(Table::Meta, COUNTERS_KEY, &self.counters.clone())
    }

    fn put<'a>(&mut self, table: Table, key: &Key, row: &impl Row<'a>) -> Result<()> {
        self.put_raw(table, key.bytes(), row)
    }

    /// Writes a row under a key of bytes.
    pub fn put_raw<'a>(&mut self, table: Table, key: &[u8], row: &impl Row<'a>) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.row);
        seal(table, key, row, &mut bytes);
        let done = self.table(table)?.insert(key, bytes.as_slice());
        let before = done.map(|row| row.map_or(0, |row| (key.len() + row.value().len()) as i64));
        self.growth += (key.len() + bytes.len()) as i64;
        self.row = bytes;
        self.changed = true;
        self.growth -= before?;
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &Key) -> Result<()> {
        self.remove_raw(table, key.bytes())
    }

    /// Removes the row under a key of bytes, if there is one.
    pub fn remove_raw(&mut self, table: Table, key: &[u8]) -> Result<()> {
        let row = self.table(table)?.remove(key)?.map(|row| row.value().len());
        self.growth -= row.map_or(0, |row| (key.len() + row) as i64);
        self.changed |= row.is_some();
        Ok(())
    }

    /// Removes all rows whose key begins with `prefix`.
    fn remove_all(&mut self, table: Table, prefix: &[u8]) -> Result<()> {
        let end = behind(prefix);
        let range = (Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let open = self.table(table)?;
        if open.range::<&[u8]>(range)?.next().is_some() {
            open.retain_in::<&[u8], _>(range, |_, _| false)?;
            self.changed = true;
        }
        Ok(())
    }

    fn table(&mut self, table: Table) -> Result<&mut Open<'t>> {
        let place = &mut self.tables[table as usize];
        if place.is_none() {
            *place = Some(self.transaction.open_table(table.definition())?);
        }
        Ok(place.as_mut().expect("opened above"))
    }
}
