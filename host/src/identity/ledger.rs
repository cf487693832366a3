//! Who is in by which proof, so that a proof that is withdrawn or runs out ends its connections.

use super::inquiry::Identified;
use super::keyring::Grounds;
use crate::message::{Refusal, RefusalKind, Time};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why somebody who was let in has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// User, password, key or authority is not there any more, or nobody comes in that way, or under that name, any more.
    Revoked,
    /// The proof has run out.
    Expired,
}

type Close = Arc<dyn Fn(Withdrawn) + Send + Sync>;

/// Bounded by the connections.
#[derive(Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    last: u64,
    /// In boxes: a table has room for up to twice as many as are in it.
    logins: HashMap<u64, Box<Entry>>,
    by_name: HashMap<Arc<str>, usize>,
    by_expiry: BTreeSet<(Time, u64)>,
}

struct Entry {
    grounds: Grounds,
    expires: Option<Time>,
    /// None: it was closed, and takes a while to go.
    close: Option<Close>,
}

/// An entry, until it is dropped.
pub struct Login {
    book: Arc<Mutex<Book>>,
    /// 0: it did not come so far.
    number: u64,
}

impl Ledger {
    pub fn enter(
        &self,
        who: &Identified,
        close: Box<dyn Fn(Withdrawn) + Send + Sync>,
        most: usize,
    ) -> Result<Login, Refusal> {
        let mut login = Login { book: self.0.clone(), number: 0 };
        let mut book = self.0.lock();
        if let Some(name) = &who.grounds.name {
            let count = book.by_name.entry(name.clone()).or_insert(0);
            if *count >= most {
                let reason = "the user has as many connections as it may have";
                return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
            }
            *count += 1;
        }
        book.last += 1;
        login.number = book.last;
        if let Some(at) = who.expires {
            book.by_expiry.insert((at, login.number));
        }
        let (grounds, expires, close) = (who.grounds.clone(), who.expires, Some(close.into()));
        book.logins.insert(login.number, Box::new(Entry { grounds, expires, close }));
        drop(book);
        Ok(login)
    }

    /// Ends the connections of all whose proof is such; how many.
    pub fn end(&self, is_over: impl Fn(&Grounds) -> bool) -> usize {
        // Without the lock, for to check a certificate takes a while.
        let logins: Vec<_> = {
            let book = self.0.lock();
            book.logins.iter().map(|(number, entry)| (*number, entry.grounds.clone())).collect()
        };
        let gone: Vec<_> = logins.iter().filter(|(_, grounds)| is_over(grounds)).map(|(number, _)| *number).collect();
        let mut over = Vec::new();
        let mut book = self.0.lock();
        for number in gone {
            over.extend(book.logins.get_mut(&number).and_then(|entry| entry.close.take()));
        }
        drop(book);
        over.iter().for_each(|close| close(Withdrawn::Revoked));
        over.len()
    }

    /// Ends the connections whose proof has run out; how many.
    pub fn expire(&self, now: Time) -> usize {
        let mut book = self.0.lock();
        let mut over = Vec::new();
        while let Some((at, number)) = book.by_expiry.first().copied()
            && at <= now
        {
            book.by_expiry.pop_first();
            over.extend(book.logins.get(&number).and_then(|entry| entry.close.clone()));
        }
        drop(book);
        over.iter().for_each(|close| close(Withdrawn::Expired));
        over.len()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        let mut book = self.book.lock();
        let Some(entry) = book.logins.remove(&self.number) else { return };
        if let Some(at) = entry.expires {
            book.by_expiry.remove(&(at, self.number));
        }
        if let Some(name) = &entry.grounds.name
            && let Some(count) = book.by_name.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                book.by_name.remove(name);
            }
        }
    }
}
