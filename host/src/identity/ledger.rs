//! Who is in by which proof, so that a proof that is withdrawn or runs out ends its connections.

use super::inquiry::Identified;
use super::keyring::Voucher;
use crate::message::{Refusal, RefusalKind, Time};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why somebody who was let in has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// User, password or key is not there any more, or nobody comes in that way any more.
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
    logins: HashMap<u64, Entry>,
    by_name: HashMap<Arc<str>, usize>,
    by_expiry: BTreeSet<(Time, u64)>,
}

struct Entry {
    name: Option<Arc<str>>,
    voucher: Voucher,
    expires: Option<Time>,
    close: Close,
    /// It was closed, and takes a while to go.
    is_over: bool,
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
        if let Some(name) = &who.name {
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
        let (name, voucher, expires, close) = (who.name.clone(), who.voucher.clone(), who.expires, close.into());
        book.logins.insert(login.number, Entry { name, voucher, expires, close, is_over: false });
        drop(book);
        Ok(login)
    }

    /// Ends the connections of all whose proof is such; how many.
    pub fn end(&self, is_over: impl Fn(&Voucher) -> bool) -> usize {
        let mut over = Vec::new();
        for entry in self.0.lock().logins.values_mut().filter(|entry| !entry.is_over && is_over(&entry.voucher)) {
            entry.is_over = true;
            over.push(entry.close.clone());
        }
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
            over.extend(book.logins.get(&number).map(|entry| entry.close.clone()));
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
        if let Some(name) = &entry.name
            && let Some(count) = book.by_name.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                book.by_name.remove(name);
            }
        }
    }
}
