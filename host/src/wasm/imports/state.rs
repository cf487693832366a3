//! `state`: small values that outlive instance, version and process. Reads never wait for the disk; writes are handed
//! to the store and are on disk no later than the next thing that waits for it.

use super::super::bindings::pliant::broker::state::{Host, StateError};
use super::super::instance::Cell;
use super::super::limits::{Limits, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use super::super::quota::Window;
use crate::message::Time;
use crate::store::{Change, Store};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of one module.
pub(in super::super) struct State {
    module: Arc<str>,
    /// None: nothing is kept.
    store: Option<Store>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    values: HashMap<Box<str>, Value>,
    bytes: usize,
    /// Bytes written in this second.
    written: Window,
    /// The module is gone: what a call that still runs writes is not kept.
    closed: bool,
}

struct Value {
    bytes: Box<[u8]>,
    expires: Option<Time>,
}

/// A key, its value, and when it expires, as the store kept them.
pub(in super::super) type StoredValue = (Box<str>, Box<[u8]>, Option<Time>);

impl Table {
    fn get(&self, key: &str, now: Time) -> Option<&Value> {
        self.values.get(key).filter(|value| value.expires.is_none_or(|at| at > now))
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(value) = self.values.remove(key) else { return false };
        self.bytes -= key.len() + value.bytes.len();
        true
    }

    fn insert(&mut self, key: &str, bytes: Box<[u8]>, expires: Option<Time>) {
        self.remove(key);
        self.bytes += key.len() + bytes.len();
        self.values.insert(key.into(), Value { bytes, expires });
    }

    /// Whether the value fits beside the others; expired ones are thrown out first if it does not.
    fn make_room(&mut self, limits: &Limits, key: &str, length: usize, now: Time, gone: &mut Vec<Box<str>>) -> bool {
        if self.fits(limits, key, length) {
            return true;
        }
        let expired = |value: &Value| value.expires.is_some_and(|at| at <= now);
        gone.extend(self.values.iter().filter(|(_, value)| expired(value)).map(|(key, _)| key.clone()));
        for key in gone.iter() {
            self.remove(key);
        }
        self.fits(limits, key, length)
    }

    fn fits(&self, limits: &Limits, key: &str, length: usize) -> bool {
        let old = self.values.get(key).map(|value| key.len() + value.bytes.len());
        let keys = self.values.len() + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + key.len() + length;
        keys <= limits.state_keys_max && bytes <= limits.state_bytes_max
    }
}

impl State {
    pub(in super::super) fn new(module: Arc<str>, store: Store, stored: Vec<StoredValue>) -> Self {
        let mut table = Table::default();
        for (key, value, expires) in stored {
            table.insert(&key, value, expires);
        }
        Self { module, store: Some(store), table: Mutex::new(table) }
    }

    /// State that ends with the process.
    pub(in super::super) fn passing(module: Arc<str>, values: Vec<StoredValue>) -> Self {
        let mut table = Table::default();
        for (key, value, expires) in values {
            table.insert(&key, value, expires);
        }
        Self { module, store: None, table: Mutex::new(table) }
    }

    /// The same for whoever is only tried: what it writes there is nowhere else.
    pub(in super::super) fn copy(&self) -> Self {
        let table = self.table.lock();
        let values = table.values.iter().map(|(key, value)| (key.clone(), value.bytes.clone(), value.expires));
        Self::passing(self.module.clone(), values.collect())
    }

    /// All keys and values, as text as far as they are.
    pub(in super::super) fn texts(&self) -> BTreeMap<String, String> {
        let table = self.table.lock();
        let text = |value: &Value| String::from_utf8_lossy(&value.bytes).into_owned();
        table.values.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
    }

    fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        if let Some(store) = &self.store {
            store.submit(changes);
        }
    }

    /// Bytes of keys and values.
    pub(in super::super) fn bytes(&self) -> usize {
        self.table.lock().bytes
    }

    /// Takes nothing more, since the module goes: a call that still runs would leave rows of a module that is not there.
    pub(in super::super) fn close(&self) {
        self.table.lock().closed = true;
    }

    /// All that it keeps, for a store that may have thrown it out.
    pub(in super::super) fn rows(&self) -> Vec<Change> {
        let table = self.table.lock();
        let of = |key: &str, value: &Value| {
            Change::State((*self.module).into(), key.into(), value.bytes.clone(), value.expires)
        };
        table.values.iter().map(|(key, value)| of(key, value)).collect()
    }

    /// The module stays after all.
    pub(in super::super) fn reopen(&self) {
        self.table.lock().closed = false;
    }

    /// Forgets everything here, for good; the store is told by whoever removes the module.
    pub(in super::super) fn clear(&self) {
        *self.table.lock() = Table { closed: true, ..Table::default() };
    }

    fn get(&self, key: &str, now: Time) -> Option<Vec<u8>> {
        self.table.lock().get(key, now).map(|value| value.bytes.to_vec())
    }

    /// Changes the value under `key` to what `change` makes of it: none leaves it alone. In one step for all threads.
    fn change<A>(
        &self,
        limits: &Limits,
        now: Time,
        key: &str,
        keep: bool,
        change: impl FnOnce(Option<&Value>) -> (A, Option<(Box<[u8]>, Option<Time>)>),
    ) -> Result<A, StateError> {
        if key.len() > STATE_KEY_BYTES_MAX {
            return Err(StateError::TooLarge);
        }
        let mut table = self.table.lock();
        let before = table.get(key, now).map_or(0, |value| value.bytes.len());
        let (answer, new) = change(table.get(key, now));
        let Some((bytes, expires)) = new else { return Ok(answer) };
        if bytes.len() > STATE_VALUE_BYTES_MAX {
            return Err(StateError::TooLarge);
        }
        if !keep {
            return Ok(answer);
        }
        // On a full disk what is there already may change, as long as it takes no more of it.
        let has_space = |store: &Store| bytes.len() <= before || !store.is_out_of_space();
        let is_stuck = |store: &Store| store.is_full() || !store.is_healthy() || !has_space(store);
        if table.closed || self.store.as_ref().is_some_and(is_stuck) {
            return Err(StateError::Unavailable);
        }
        if !table.written.take(now, limits.state_bytes_per_second_max, (key.len() + bytes.len()) as u64) {
            return Err(StateError::QuotaExceeded);
        }
        let mut gone = Vec::new();
        let room = table.make_room(limits, key, bytes.len(), now, &mut gone);
        let mut changes: Vec<Change> =
            gone.into_iter().map(|key| Change::StateGone((*self.module).into(), key)).collect();
        if room {
            table.insert(key, bytes.clone(), expires);
            changes.push(Change::State((*self.module).into(), key.into(), bytes, expires));
        }
        // Under the lock, so that the store sees changes of one key in the order in which they happened here.
        self.tell(changes);
        if room { Ok(answer) } else { Err(StateError::QuotaExceeded) }
    }

    fn delete(&self, key: &str) {
        let mut table = self.table.lock();
        if !table.closed && table.remove(key) {
            self.tell([Change::StateGone((*self.module).into(), key.into())]);
        }
    }
}

impl Cell {
    fn now(&self) -> Time {
        (self.services.clock)()
    }

    fn state(&self) -> &State {
        self.tried_on.as_deref().unwrap_or(&self.services.state)
    }

    /// Changes a value, unless the module is only asked what it would do, and counts what it may not have.
    fn change<A>(
        &self,
        key: &str,
        change: impl FnOnce(Option<&Value>) -> (A, Option<(Box<[u8]>, Option<Time>)>),
    ) -> Result<A, StateError> {
        let services = &self.services;
        let keep = !self.rehearses || self.tried_on.is_some();
        let changed = self.state().change(&services.limits, self.now(), key, keep, change);
        if matches!(changed, Err(StateError::QuotaExceeded)) {
            services.refusals.state.add(1);
        }
        changed
    }
}

impl Host for Cell {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.spend()?;
        Ok(self.state().get(&key, self.now()))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<(), StateError>> {
        self.spend()?;
        let expires = ttl_seconds.map(|seconds| self.now().plus_seconds(seconds));
        let new = Some((value.into_boxed_slice(), expires));
        Ok(self.change(&key, |_| ((), new)))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), StateError>> {
        self.spend()?;
        if !self.rehearses || self.tried_on.is_some() {
            self.state().delete(&key);
        }
        Ok(Ok(()))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, StateError>> {
        self.spend()?;
        Ok(self.change(&key, |old| {
            let same = old.map(|value| &*value.bytes) == expected.as_deref();
            (same, same.then(|| (value.into_boxed_slice(), old.and_then(|value| value.expires))))
        }))
    }

    fn add(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<i64, StateError>> {
        self.spend()?;
        Ok(self.change(&key, |old| {
            // A counter is kept as its decimal digits, so that `get` shows something that can be read.
            let text = old.and_then(|value| std::str::from_utf8(&value.bytes).ok());
            let sum = text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).wrapping_add(delta);
            let bytes = sum.to_string().into_bytes().into_boxed_slice();
            (sum, Some((bytes, old.and_then(|value| value.expires))))
        }))
    }
}
