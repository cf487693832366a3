//! Reading everything back at start. Whatever fails its checksum is set aside and counted, never handed on.

use super::apply::Batch;
use super::change::{MailboxId, MailboxRecord, ModuleRecord, ModuleVersion, QueueEntry, QueueRecord, WillRecord};
use super::encoding::Damage;
use super::page::{ReadOnly, Several, Sharing, fetch};
use super::row::{Counters, FailedRow, Row, StateRow, VersionRow, unseal};
use super::tables::{
    COUNTERS_KEY, Key, STARTS_KEY, Table, leading_number, name_and_rest, number_and_handle, two_numbers,
};
use crate::dialogue::{Notes, Subscription};
use crate::message::{Message, Time};
use hashbrown::HashMap;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use std::sync::Arc;

/// How far ids jump when the row that says which were given is damaged.
const IDS_SKIPPED: u64 = 1 << 40;
/// The same for starts.
const STARTS_SKIPPED: u64 = 1 << 20;

type Result<T> = std::result::Result<T, redb::Error>;

/// All that was in the store.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By ascending id.
    pub mailboxes: Vec<LoadedMailbox>,
    /// Each with the time at which it was stored; those that have expired are left out.
    pub retained: Vec<(Message, Time)>,
    /// By ascending mailbox of the owner. Not every owner has a mailbox in the store.
    pub wills: Vec<(MailboxId, WillRecord)>,
    /// How modules are bound, by name's length and name.
    pub modules: Vec<ModuleRecord>,
    /// Versions of modules; versions of one module in ascending order.
    pub module_versions: Vec<ModuleVersion>,
    /// What modules keep; values that have expired are left out.
    pub state: Vec<LoadedState>,
    /// Exactly-once publications that were taken and whose publishers do not know it yet: link and tag.
    pub tags: Vec<(Box<str>, Box<[u8]>)>,
    /// The least mailbox id that was certainly never given; at least 1.
    pub next_mailbox_id: MailboxId,
    /// The least log id that was certainly never given; at least 1.
    pub next_log_id: u64,
    /// How often the store was opened before, to be used. Whoever gives numbers that others remember, and does not have each
    /// of them written, gives others after each start.
    pub starts: u64,
    /// Rows that were not what was once written, or belonged to such a one. They were set aside.
    pub damaged: usize,
}

/// A mailbox with all that belongs to it.
#[derive(Debug)]
pub struct LoadedMailbox {
    /// Its id.
    pub id: MailboxId,
    /// Whose it is.
    pub record: MailboxRecord,
    /// Its subscriptions.
    pub filters: Vec<Subscription>,
    /// The words of the condition on what those match; none: everything.
    pub condition: Option<Arc<[u8]>>,
    /// What waits in it, by ascending number.
    pub queue: Vec<LoadedEntry>,
    /// Handles of exactly-once publications that were taken and not yet released.
    pub seen: Vec<u16>,
    /// If it is a queue: how that is to be kept.
    pub kept_as: Option<QueueRecord>,
    /// What waits behind `queue` and is still in the store only.
    pub rest: Option<Rest>,
}

/// Entries of a queue that were not read yet; see [`super::Store::read_queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Their numbers are greater than this,
    pub after: u64,
    /// up to this.
    pub to: u64,
    /// How many there are.
    pub entries: usize,
}

/// How much of the queues is read at start: enough to begin with, and never what would take long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Entries and bytes of one mailbox,
    pub messages: usize,
    pub bytes: usize,
    /// and of all together; past that a few of each.
    pub messages_of_all: usize,
    pub bytes_of_all: usize,
}

impl Head {
    /// For a broker that starts.
    pub const SMALL: Self = Self { messages: 4096, bytes: 4 << 20, messages_of_all: 65_536, bytes_of_all: 64 << 20 };
    /// Everything, for a check.
    pub const ALL: Self =
        Self { messages: usize::MAX, bytes: usize::MAX, messages_of_all: usize::MAX, bytes_of_all: usize::MAX };
    /// Entries of each mailbox that are read in any case.
    const LEAST: usize = 16;
}

/// One entry of a queue. All entries of one log row share the message.
#[derive(Debug)]
pub struct LoadedEntry {
    /// As it was queued.
    pub entry: QueueEntry,
    /// What.
    pub message: Message,
    /// The handle under which it was sent, if that does not follow from its number.
    pub handle: Option<u16>,
    /// The receiver of exactly-once has it.
    pub received: bool,
    /// Attempts to have it dealt with that failed.
    pub failures: u32,
    /// What receivers wrote on it.
    pub notes: Option<Notes>,
}

impl LoadedEntry {
    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        self.message.size() + self.notes.as_deref().map_or(0, <[u8]>::len)
    }
}

/// A value that a module keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct LoadedState {
    /// Name of the module.
    pub module: Box<str>,
    /// Under which it is kept.
    pub key: Box<str>,
    /// What.
    pub value: Box<[u8]>,
    /// When it expires.
    pub expires: Option<Time>,
}

/// What becomes of a row that was read.
enum Verdict {
    Keep,
    /// It is of no use any more.
    Drop,
}

/// A row to be removed.
struct Finding {
    table: Table,
    key: Vec<u8>,
    /// Its bytes, if it is to be set aside.
    row: Option<Vec<u8>>,
}

struct Loader {
    transaction: ReadTransaction,
    now: Time,
    findings: Vec<Finding>,
    /// Rows that a table says it has and that were not found, or the other way round.
    missing: u64,
    first_damage: Option<(Table, Damage)>,
    loaded: Loaded,
    /// Place of each mailbox in the list.
    places: HashMap<MailboxId, usize>,
    head: Head,
    several: Several,
}

/// Reads all. `tidy`: removes what is of no use and sets aside what is damaged. Returns also the ids that are set
/// aside on disk.
pub(super) fn load(database: &Database, now: Time, head: Head, tidy: bool) -> Result<(Loaded, Counters, Several)> {
    let mut loader = Loader {
        transaction: database.begin_read()?,
        now,
        findings: Vec::new(),
        missing: 0,
        first_damage: None,
        loaded: Loaded::default(),
        places: HashMap::new(),
        head,
        several: Several::new(),
    };
    loader.mailboxes()?;
    loader.queues()?;
    loader.rest_of_mailboxes()?;
    loader.retained_and_wills()?;
    loader.modules()?;
    let counters = loader.counters()?;
    loader.starts()?;
    let Loader { transaction, findings, missing, first_damage, mut loaded, several, .. } = loader;
    transaction.close()?;
    loaded.damaged = findings.iter().filter(|finding| finding.row.is_some()).count();
    if missing > 0 {
        loaded.damaged += usize::try_from(missing).unwrap_or(usize::MAX);
        tracing::error!(
            rows = missing,
            "the store has lost rows: a page of it is damaged, or an old one stands in its place"
        );
    }
    if let Some((table, damage)) = first_damage {
        tracing::error!(rows = loaded.damaged, table = table.name(), %damage, "the store has damaged rows; set aside");
    }
    if tidy {
        begin(database, &findings, loaded.starts + 1)?;
    }
    Ok((loaded, counters, several))
}

/// Sets aside what was found, and counts the start: both are on disk before anything else is done.
fn begin(database: &Database, findings: &[Finding], starts: u64) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    let mut batch = Batch::new(&transaction, Counters::default());
    for finding in findings {
        batch.remove_raw(finding.table, &finding.key)?;
        if let Some(row) = &finding.row {
            let mut key = vec![finding.table as u8];
            key.extend_from_slice(&finding.key);
            batch.put_raw(Table::Damaged, &key, &row.as_slice())?;
        }
    }
    batch.put_raw(Table::Meta, STARTS_KEY, &starts)?;
    drop(batch);
    Ok(transaction.commit()?)
}

impl Loader {
    /// Visits each row of a table that is what was once written.
    fn each<T>(
        &mut self,
        table: Table,
        parse: impl Fn(&[u8], &[u8]) -> std::result::Result<T, Damage>,
        mut visit: impl FnMut(&mut Self, &[u8], T) -> std::result::Result<Verdict, Damage>,
    ) -> Result<()> {
        let open = self.transaction.open_table(table.definition())?;
        let mut count = 0;
        for row in open.iter()? {
            let (key, row) = row?;
            let (key, row) = (key.value(), row.value());
            count += 1;
            match parse(key, row).and_then(|value| visit(self, key, value)) {
                Ok(Verdict::Keep) => {}
                Ok(Verdict::Drop) => self.findings.push(Finding { table, key: key.to_vec(), row: None }),
                Err(damage) => {
                    self.first_damage.get_or_insert((table, damage));
                    self.findings.push(Finding { table, key: key.to_vec(), row: Some(row.to_vec()) });
                }
            }
        }
        // A damaged page between the root and the leaves makes rows disappear, whose own checksums nobody asks then.
        self.missing += open.len()?.abs_diff(count);
        Ok(())
    }

    fn mailbox(&mut self, id: MailboxId) -> Option<&mut LoadedMailbox> {
        self.places.get(&id).and_then(|place| self.loaded.mailboxes.get_mut(*place))
    }

    fn entry(&mut self, id: MailboxId, number: u64) -> Option<&mut LoadedEntry> {
        let queue = &mut self.mailbox(id)?.queue;
        let place = queue.binary_search_by_key(&number, |entry| entry.entry.number).ok()?;
        queue.get_mut(place)
    }

    /// What belongs to no mailbox came too late for one that was just removed, or is left over from a damaged one.
    fn stray(&self) -> std::result::Result<Verdict, Damage> {
        if self.findings.iter().any(|finding| finding.table == Table::Mailboxes) {
            return Err(Damage("its mailbox is damaged"));
        }
        Ok(Verdict::Drop)
    }

    fn mailboxes(&mut self) -> Result<()> {
        self.each(Table::Mailboxes, parse(Table::Mailboxes), |this, key, record: MailboxRecord| {
            let id = leading_number(key)?;
            this.places.insert(id, this.loaded.mailboxes.len());
            this.loaded.mailboxes.push(LoadedMailbox {
                id,
                record,
                filters: vec![],
                condition: None,
                queue: vec![],
                seen: vec![],
                kept_as: None,
                rest: None,
            });
            this.given(id, 0);
            Ok(Verdict::Keep)
        })
    }

    /// The last entry of each mailbox that was certainly sent: up to there queues are read in any case.
    fn under_way(&self) -> Result<HashMap<MailboxId, u64>> {
        let mut last = HashMap::new();
        for table in [Table::Handles, Table::Received] {
            for row in self.transaction.open_table(table.definition())?.iter()? {
                if let Ok((id, number)) = two_numbers(row?.0.value()) {
                    let last = last.entry(id).or_insert(number);
                    *last = number.max(*last);
                }
            }
        }
        Ok(last)
    }

    fn queues(&mut self) -> Result<()> {
        let under_way = self.under_way()?;
        let mut uses = HashMap::<u64, u64>::new();
        let mut heads: Vec<Vec<QueueEntry>> = self.loaded.mailboxes.iter().map(|_| Vec::new()).collect();
        self.each(Table::Queue, parse(Table::Queue), |this, key, entry: QueueEntry| {
            let (id, number) = two_numbers(key)?;
            this.given(id, entry.log_id);
            let Some(place) = this.places.get(&id).copied() else { return this.stray() };
            *uses.entry(entry.log_id).or_default() += 1;
            let mailbox = &mut this.loaded.mailboxes[place];
            let sent = under_way.get(&id).is_some_and(|last| number <= *last);
            match &mut mailbox.rest {
                Some(rest) => (rest.to, rest.entries) = (number, rest.entries + 1),
                None if sent || heads[place].len() < this.head.messages => heads[place].push(entry),
                None => {
                    let after = heads[place].last().map_or(0, |entry| entry.number);
                    mailbox.rest = Some(Rest { after, to: number, entries: 1 });
                }
            }
            Ok(Verdict::Keep)
        })?;
        let needed = uses.len() as u64;
        uses.retain(|_, uses| *uses > 1 || self.head.messages == usize::MAX);
        self.heads(heads, &under_way, &uses)?;
        self.log(&uses, needed)
    }

    /// Fetches the messages of the entries that queues begin with.
    fn heads(
        &mut self,
        heads: Vec<Vec<QueueEntry>>,
        under_way: &HashMap<MailboxId, u64>,
        uses: &HashMap<u64, u64>,
    ) -> Result<()> {
        let (mut messages_of_all, mut bytes_of_all) = (0, 0);
        let mut shared = HashMap::<u64, (Message, u64)>::new();
        let log = self.transaction.open_table(Table::Log.definition())?;
        let failed = self.transaction.open_table(Table::Failures.definition())?;
        for (place, entries) in heads.into_iter().enumerate() {
            let (mut bytes, mut count) = (0, 0);
            let id = self.loaded.mailboxes[place].id;
            let sent = under_way.get(&id).copied().unwrap_or(0);
            let mut entries = entries.into_iter().peekable();
            while let Some(entry) = entries.next_if(|entry| {
                let few = messages_of_all < self.head.messages_of_all && bytes_of_all < self.head.bytes_of_all;
                entry.number <= sent || count < Head::LEAST || few && bytes < self.head.bytes
            }) {
                let known = shared.get_mut(&entry.log_id).map(|(message, read)| {
                    *read += 1;
                    message.clone()
                });
                let message = match known {
                    Some(message) => Ok(message),
                    None => fetch(&log, entry.log_id)?,
                };
                match message {
                    Ok(message) => {
                        let several = uses.get(&entry.log_id).copied().unwrap_or(1);
                        message.set_logged(entry.log_id, several);
                        if several > 1 {
                            shared.entry(entry.log_id).or_insert_with(|| (message.clone(), 1));
                        }
                        self.given(message.given_publisher(), entry.log_id);
                        // What was written on it is read later, and takes its part of the room.
                        let size = message.size() + row_length(&failed, id, entry.number)?;
                        (bytes, count) = (bytes + size, count + 1);
                        (messages_of_all, bytes_of_all) = (messages_of_all + 1, bytes_of_all + size);
                        let (failures, notes) = (0, None);
                        let entry = LoadedEntry { entry, message, handle: None, received: false, failures, notes };
                        self.loaded.mailboxes[place].queue.push(entry);
                    }
                    Err(damage) => self.entry_is_damaged(id, &entry, damage)?,
                }
            }
            // What did not fit stays behind with what was not looked at.
            let left: Vec<QueueEntry> = entries.collect();
            if let (Some(first), Some(last)) = (left.first(), left.last()) {
                let (after, to) = (first.number - 1, last.number);
                let rest = self.loaded.mailboxes[place].rest;
                let (to, more) = rest.map_or((to, 0), |rest| (rest.to, rest.entries));
                self.loaded.mailboxes[place].rest = Some(Rest { after, to, entries: left.len() + more });
            }
        }
        for (log_id, uses) in uses.iter().filter(|(_, uses)| **uses > 1) {
            let (message, read) = shared.remove(log_id).map_or((None, 0), |(message, read)| (Some(message), read));
            if read < *uses {
                self.several.insert(*log_id, Sharing { uses: *uses, unread: uses - read, message });
            }
        }
        Ok(())
    }

    fn entry_is_damaged(&mut self, mailbox: MailboxId, entry: &QueueEntry, damage: Damage) -> Result<()> {
        self.first_damage.get_or_insert((Table::Log, damage));
        for (table, key) in [
            (Table::Log, entry.log_id.to_be_bytes().to_vec()),
            (Table::Queue, [mailbox.to_be_bytes(), entry.number.to_be_bytes()].concat()),
        ] {
            let known = self.findings.iter().any(|finding| finding.table == table && finding.key == key);
            let row = self.transaction.open_table(table.definition())?.get(key.as_slice())?;
            if let Some(row) = row.filter(|_| !known) {
                let row = Some(row.value().to_vec());
                self.findings.push(Finding { table, key, row });
            }
        }
        Ok(())
    }

    /// Rows of the log that nobody needs are left over from damaged ones, or came too late. Mostly there are as many rows
    /// as are `needed`, and then the log, which is long, is not read.
    fn log(&mut self, uses: &HashMap<u64, u64>, needed: u64) -> Result<()> {
        let log = self.transaction.open_table(Table::Log.definition())?;
        let (last, count) = (log.last()?.map(|row| leading_number(row.0.value())), log.len()?);
        drop(log);
        if let Some(Ok(last)) = last {
            self.given(0, last);
        }
        let everything = self.head.messages == usize::MAX;
        let removed = self.findings.iter().any(|finding| matches!(finding.table, Table::Queue | Table::Mailboxes));
        if !everything && !removed && count <= needed {
            return Ok(());
        }
        let mut needed = uses.clone();
        if !everything {
            let queue = self.transaction.open_table(Table::Queue.definition())?;
            for row in queue.iter()? {
                let (key, row) = row?;
                if let Ok(entry) = unseal::<QueueEntry>(Table::Queue, key.value(), row.value())
                    && two_numbers(key.value()).is_ok_and(|(id, _)| self.places.contains_key(&id))
                {
                    needed.insert(entry.log_id, 1);
                }
            }
        }
        self.each(Table::Log, parse(Table::Log), |this, key, _: Message| {
            let id = leading_number(key)?;
            this.given(0, id);
            Ok(if needed.contains_key(&id) { Verdict::Keep } else { Verdict::Drop })
        })
    }

    fn rest_of_mailboxes(&mut self) -> Result<()> {
        self.each(Table::Filters, parse(Table::Filters), |this, key, subscription: Subscription| {
            let Some(mailbox) = this.mailbox(leading_number(key)?) else { return this.stray() };
            mailbox.filters.push(subscription);
            Ok(Verdict::Keep)
        })?;
        let words = |key: &[u8], row: &[u8]| unseal::<&[u8]>(Table::Conditions, key, row).map(Arc::from);
        self.each(Table::Conditions, words, |this, key, words: Arc<[u8]>| {
            let Some(mailbox) = this.mailbox(leading_number(key)?) else { return this.stray() };
            mailbox.condition = Some(words);
            Ok(Verdict::Keep)
        })?;
        self.each(Table::Handles, parse(Table::Handles), |this, key, handle: u16| {
            let (id, number) = two_numbers(key)?;
            Ok(this.entry(id, number).map_or(Verdict::Drop, |entry| {
                entry.handle = Some(handle);
                Verdict::Keep
            }))
        })?;
        self.each(Table::Received, parse(Table::Received), |this, key, (): ()| {
            let (id, number) = two_numbers(key)?;
            Ok(this.entry(id, number).map_or(Verdict::Drop, |entry| {
                entry.received = true;
                Verdict::Keep
            }))
        })?;
        let failed = |key: &[u8], row: &[u8]| {
            let failed: FailedRow<'_> = unseal(Table::Failures, key, row)?;
            Ok((failed.failures, failed.notes()))
        };
        self.each(Table::Failures, failed, |this, key, (failures, notes)| {
            let (id, number) = two_numbers(key)?;
            if this.mailbox(id).and_then(|mailbox| mailbox.rest).is_some_and(|rest| number > rest.after) {
                return Ok(Verdict::Keep);
            }
            Ok(this.entry(id, number).map_or(Verdict::Drop, |entry| {
                (entry.failures, entry.notes) = (failures, notes);
                Verdict::Keep
            }))
        })?;
        self.each(Table::Queues, parse(Table::Queues), |this, key, record: QueueRecord| {
            let Some(mailbox) = this.mailbox(leading_number(key)?) else { return this.stray() };
            mailbox.kept_as = Some(record);
            Ok(Verdict::Keep)
        })?;
        self.each(Table::Tags, parse(Table::Tags), |this, key, (): ()| {
            let (link, tag) = name_and_rest(key)?;
            this.loaded.tags.push((link.into(), tag.into()));
            Ok(Verdict::Keep)
        })?;
        self.each(Table::Seen, parse(Table::Seen), |this, key, (): ()| {
            let (id, handle) = number_and_handle(key)?;
            Ok(this.mailbox(id).map_or(Verdict::Drop, |mailbox| {
                mailbox.seen.push(handle);
                Verdict::Keep
            }))
        })
    }

    fn retained_and_wills(&mut self) -> Result<()> {
        self.each(Table::Retained, parse(Table::Retained), |this, _, retained: (Message, Time)| {
            this.given(retained.0.given_publisher(), 0);
            if retained.0.is_expired(this.now) {
                return Ok(Verdict::Drop);
            }
            this.loaded.retained.push(retained);
            Ok(Verdict::Keep)
        })?;
        self.each(Table::Wills, parse(Table::Wills), |this, key, will: WillRecord| {
            let id = leading_number(key)?;
            this.given(id, 0);
            this.given(will.will.message.given_publisher(), 0);
            this.loaded.wills.push((id, will));
            Ok(Verdict::Keep)
        })
    }

    fn modules(&mut self) -> Result<()> {
        // Bytes by digest, and whether a version needs them.
        let mut components = HashMap::<Box<[u8]>, (Arc<[u8]>, bool)>::new();
        let component = |key: &[u8], row: &[u8]| unseal::<&[u8]>(Table::Components, key, row).map(Arc::from);
        self.each(Table::Components, component, |_, key, bytes: Arc<[u8]>| {
            components.insert(key.into(), (bytes, false));
            Ok(Verdict::Keep)
        })?;
        let version = |key: &[u8], row: &[u8]| {
            unseal::<VersionRow<'_>>(Table::Versions, key, row).map(|row| ModuleVersion {
                name: row.name.into(),
                version: row.version,
                digest: row.digest.into(),
                component: Arc::from([]),
                config: row.config.into(),
                installed: row.installed,
                signature: row.signature.map(Into::into),
                standing: row.standing.map(|(order, on_failure)| (order, on_failure.into())),
            })
        };
        self.each(Table::Versions, version, |this, _, mut version: ModuleVersion| {
            let (bytes, used) =
                components.get_mut(version.digest.as_bytes()).ok_or(Damage("its bytes are not there"))?;
            *used = true;
            version.component = bytes.clone();
            this.loaded.module_versions.push(version);
            Ok(Verdict::Keep)
        })?;
        // What a damaged version needs is not known, so then nothing is thrown away.
        if !self.findings.iter().any(|finding| finding.table == Table::Versions) {
            let unused = components.into_iter().filter(|(_, (_, used))| !used);
            let table = Table::Components;
            self.findings.extend(unused.map(|(key, _)| Finding { table, key: key.into_vec(), row: None }));
        }
        self.each(Table::Modules, parse(Table::Modules), |this, _, record: ModuleRecord| {
            this.loaded.modules.push(record);
            Ok(Verdict::Keep)
        })?;
        let state = |key: &[u8], row: &[u8]| {
            unseal::<StateRow<'_>>(Table::State, key, row).map(|row| LoadedState {
                module: row.module.into(),
                key: row.key.into(),
                value: row.value.into(),
                expires: row.expires,
            })
        };
        self.each(Table::State, state, |this, _, state: LoadedState| {
            if state.expires.is_some_and(|at| at <= this.now) {
                return Ok(Verdict::Drop);
            }
            this.loaded.state.push(state);
            Ok(Verdict::Keep)
        })
    }

    /// Notes that these ids were given.
    fn given(&mut self, mailbox: MailboxId, log: u64) {
        self.loaded.next_mailbox_id = self.loaded.next_mailbox_id.max(mailbox.saturating_add(1));
        self.loaded.next_log_id = self.loaded.next_log_id.max(log.saturating_add(1));
    }

    fn starts(&mut self) -> Result<()> {
        let meta = self.transaction.open_table(Table::Meta.definition())?;
        if let Some(row) = meta.get(STARTS_KEY)? {
            self.loaded.starts = unseal(Table::Meta, STARTS_KEY, row.value()).unwrap_or_else(|damage| {
                self.first_damage.get_or_insert((Table::Meta, damage));
                let (key, row) = (STARTS_KEY.to_vec(), Some(row.value().to_vec()));
                self.findings.push(Finding { table: Table::Meta, key, row });
                STARTS_SKIPPED
            });
        }
        Ok(())
    }

    fn counters(&mut self) -> Result<Counters> {
        let meta = self.transaction.open_table(Table::Meta.definition())?;
        let counters = match meta.get(COUNTERS_KEY)? {
            None => Counters::default(),
            Some(row) => match unseal(Table::Meta, COUNTERS_KEY, row.value()) {
                Ok(counters) => counters,
                Err(damage) => {
                    self.first_damage.get_or_insert((Table::Meta, damage));
                    let (key, row) = (COUNTERS_KEY.to_vec(), Some(row.value().to_vec()));
                    self.findings.push(Finding { table: Table::Meta, key, row });
                    self.given(self.loaded.next_mailbox_id + IDS_SKIPPED, self.loaded.next_log_id + IDS_SKIPPED);
                    Counters::default()
                }
            },
        };
        self.given(counters.mailbox.saturating_sub(1), counters.log.saturating_sub(1));
        Ok(counters)
    }
}

/// Takes a row apart that borrows nothing.
fn parse<R: for<'a> Row<'a>>(table: Table) -> impl Fn(&[u8], &[u8]) -> std::result::Result<R, Damage> {
    move |key, row| unseal(table, key, row)
}

/// Bytes of what stands about an entry in this table.
fn row_length(table: &ReadOnly, mailbox: MailboxId, number: u64) -> Result<usize> {
    if table.is_empty()? {
        return Ok(0);
    }
    let row = table.get(Key::default().number(mailbox).then_number(number).bytes())?;
    Ok(row.map_or(0, |row| row.value().len()))
}
