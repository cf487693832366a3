//! Puts the hall together from what the store gave back.

use super::gap::Sent;
use super::mailbox::Mailbox;
use super::reaper::Over;
use super::{
    Broker, Limits, chores, claims, deadlines, directory, drain, gap, link_names, mailbox, queues, receipts, retained,
    sessions, subscribe, visits, wills,
};
use crate::client::{Departure, Protocol};
use crate::dialogue::Predicate;
use crate::message::{Message, Time};
use crate::metrics::Metrics;
use crate::rare::Rare;
use crate::store::{Change, LoadedMailbox, MailboxId, MailboxRecord, Store, WillRecord};
use crate::wasm::{EventKinds, Happening, Modules};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a condition of the words in which it was asked for; else says why it cannot.
pub type Compile = Arc<dyn Fn(&[u8]) -> Result<Predicate, String> + Send + Sync>;

/// What the hall takes over from the store.
#[derive(Default)]
pub struct Restored {
    /// Mailboxes with all that belongs to them.
    pub mailboxes: Vec<LoadedMailbox>,
    /// Retained messages and when they were stored.
    pub retained: Vec<(Message, Time)>,
    /// Wills by their owner's mailbox.
    pub wills: Vec<(MailboxId, WillRecord)>,
    /// Exactly-once publications whose publishers may not know that they were taken: link and tag.
    pub tags: Vec<(Box<str>, Box<[u8]>)>,
    /// Mailbox numbers are given from here.
    pub next_mailbox_id: u64,
    /// Numbers in the message log are given from here.
    pub next_log_id: u64,
    /// How often the store was opened before.
    pub starts: u64,
    /// Knows the words of mailboxes' conditions.
    pub compile: Option<Compile>,
}

impl Broker {
    /// A broker with what was there before.
    pub fn open(
        limits: Limits,
        store: Store,
        restored: Restored,
        modules: Arc<Modules>,
        metrics: Arc<Metrics>,
        now: Time,
    ) -> Arc<Self> {
        let broker = Self {
            limits,
            store,
            modules,
            metrics,
            directory: directory::Directory::default(),
            own_scope: super::attach::nobody("", Protocol::Module),
            trie: Default::default(),
            changes: Default::default(),
            groups: Default::default(),
            retained: Arc::new(retained::Retained::default()),
            wills: wills::Wills::default(),
            waits: Default::default(),
            claims: claims::Claims::default(),
            visits: visits::Visits::default(),
            receipts: receipts::Receipts::default(),
            deadlines: Arc::new(deadlines::Deadlines::default()),
            memory: super::memory::Memory::default(),
            reaper: Arc::default(),
            leavers: Default::default(),
            happenings: chores::Happenings::default(),
            detours: Default::default(),
            recorder: Default::default(),
            draining: drain::Draining::default(),
            rechecked: AtomicU64::new(0),
            next_log_id: AtomicU64::new(restored.next_log_id.max(1)),
            numbers_began: mailbox::numbers_begin(restored.starts),
            numbers_begin: AtomicU64::new(mailbox::numbers_begin(restored.starts)),
            next_group: AtomicU64::new(1),
            queues: Default::default(),
            consumer_numbers: Default::default(),
            tags: Default::default(),
            tag_ended: Default::default(),
            encoding: Default::default(),
            node: Default::default(),
        };
        broker.directory.reserve(restored.next_mailbox_id);
        for (message, stored) in restored.retained {
            if let Some(at) = message.envelope().expires {
                broker.deadlines.retained(at, message.topic().clone());
            }
            if broker.retained.set(message, stored) {
                broker.metrics.retained_messages.add(1);
            }
        }
        let mut gone = Vec::new();
        for loaded in restored.mailboxes {
            gone.extend(broker.restore_mailbox(loaded, now, restored.compile.as_ref()));
        }
        for (link, tag) in restored.tags {
            broker.tags.lock().restore(link, tag);
        }
        broker.disown_all_tags(now);
        for (owner, will) in restored.wills {
            gone.extend(broker.restore_will(owner, will, now));
        }
        // The next start is to count from now, and not from itself.
        broker.store.submit(gone);
        Arc::new(broker)
    }

    /// Returns what the store has to hear, if its client was there when the broker ended: that it has gone.
    fn restore_mailbox(&self, loaded: LoadedMailbox, now: Time, compile: Option<&Compile>) -> Option<Change> {
        let LoadedMailbox { id, mut record, filters, condition, queue, seen, kept_as, rest } = loaded;
        if record.client.container.is_none() {
            // Rows of earlier versions do not say it.
            let container = link_names::container(&record.client.id).map(Into::into);
            Arc::make_mut(&mut record.client).container = container;
        }
        self.directory.reserve(id);
        // Whether entries were sent is known only if the client had gone before the broker did.
        let last = rest.map(|rest| rest.to).or(queue.last().map(|loaded| loaded.entry.number));
        let last = last.unwrap_or(0);
        let is_session = sessions::is_session(&record.client);
        let sent = match (record.detached, record.client.scope.protocol) {
            // Nobody knows who had what.
            _ if kept_as.is_some() => Sent { perhaps_to: last, under_way_to: 0, is_noted: false },
            // What a receiver held is anybody's: it may expire.
            (Some(_), Protocol::Amqp) if !is_session => {
                Sent { perhaps_to: record.sent_to, under_way_to: 0, is_noted: false }
            }
            (None, Protocol::Amqp) if !is_session => Sent { perhaps_to: last, under_way_to: 0, is_noted: false },
            (Some(_), _) => Sent { perhaps_to: record.sent_to, under_way_to: record.sent_to, is_noted: true },
            (None, Protocol::Amqp) => Sent { perhaps_to: last, under_way_to: last, is_noted: false },
            // No more can have been under way than the client takes at once; what it had settled before may be here again.
            (None, _) => {
                let most = usize::try_from(record.sent_to).unwrap_or(usize::MAX);
                let bound = most.checked_sub(1).and_then(|at| queue.get(at)).map(|loaded| loaded.entry.number);
                Sent { perhaps_to: last, under_way_to: bound.unwrap_or(last), is_noted: true }
            }
        };
        if record.expiry_seconds == 0 {
            // It was to end with its connection, or was ending already.
            let entries = queue.into_iter().map(|loaded| gap::queued(loaded, sent)).collect();
            let over = Over::new(id, true, entries, filters).read_before();
            self.reaper.add(over.with_rest(rest, Some(sent)));
            return None;
        }
        // The store keeps what was asked for: the bound may be raised again.
        let expiry_seconds = match queues::is_queue(&record.client) {
            true => record.expiry_seconds,
            false => self.granted_expiry(record.expiry_seconds),
        };
        let mailbox = Arc::new(Mailbox::new(id, record.client.clone(), record.per_subscription, expiry_seconds));
        mailbox.set_consumed(record.client.scope.protocol == Protocol::Amqp);
        mailbox.set_session(is_session);
        mailbox.set_knows_options(record.knows_options);
        if let Some(words) = condition {
            restore_condition(&mailbox, words, compile);
        }
        let is_queue = kept_as.is_some();
        if let Some(kept_as) = kept_as {
            queues::set_up(&mailbox, Arc::new(kept_as));
        }
        let name = &record.client.id;
        match queues::is_queue(&record.client) {
            true => self.directory.put_queue(name, mailbox.clone()),
            false => _ = self.directory.replace(name, self.directory.get(name).as_ref(), mailbox.clone()),
        }
        self.metrics.mailboxes.add(1);
        let entries = queue.into_iter().map(|loaded| {
            let (handle, received) = (loaded.handle, loaded.received);
            (gap::queued(loaded, sent), handle, received)
        });
        mailbox.restore(entries.collect());
        if let Some(rest) = rest {
            mailbox.set_gap(rest, sent);
        }
        self.begin_numbers(&mailbox);
        let mut state = mailbox.lock();
        if !seen.is_empty() {
            state.seen = Rare::new(seen.into_iter().collect());
        }
        // A client that was there when the broker ended counts as gone from now on.
        // Links of AMQP clients and queues are none.
        if record.detached.is_none() && !mailbox.is_consumed() {
            let client = record.client.clone();
            self.happened(EventKinds::CLIENTS, || Happening::Disconnected(client, Departure::BrokerDown));
        }
        // The wall clock may have been set back while nothing ran: nobody waits longer than was asked for.
        let detached = record.detached.unwrap_or(now).min(now);
        state.detached = Some(detached);
        drop(state);
        for subscription in filters {
            let key = subscribe::key(&subscription.filter, subscription.share.as_deref());
            self.put_subscription(&mailbox, key, subscription);
            self.metrics.subscriptions.add(1);
        }
        if expiry_seconds != u32::MAX {
            self.deadlines.mailbox(detached.plus_seconds(expiry_seconds), id);
        }
        if record.detached.is_some() || is_queue {
            return None;
        }
        // What comes from here on was not sent, whatever the next start finds. What is here may have been, also behind what is
        // under way: what was settled before the crash may be here again, in front of it.
        let sent_to = sent.perhaps_to;
        Some(Change::Mailbox(id, Box::new(MailboxRecord { detached: Some(now), sent_to, ..record })))
    }

    /// Has a mailbox give numbers that were never given.
    pub(super) fn begin_numbers(&self, mailbox: &Mailbox) {
        mailbox.begin_numbers(self.numbers_begin.load(Ordering::Relaxed));
    }

    /// A will whose owner was there when the broker ended is due after its delay, counted from now. Returns what the store has to
    /// hear of that.
    fn restore_will(&self, owner: MailboxId, mut will: WillRecord, now: Time) -> Option<Change> {
        self.directory.reserve(owner);
        // The will of a link is bound to no session.
        let of_link = will.owner.scope.protocol == Protocol::Amqp;
        let without = if of_link { u32::MAX } else { 0 };
        let expiry = self.directory.by_id(owner).map_or(without, |mailbox| mailbox.lock().expiry_seconds);
        let wait = will.will.delay_seconds.min(expiry);
        let was_there = will.due.is_none();
        let due = will.due.get_or_insert((now.plus_seconds(wait), Departure::BrokerDown));
        due.0 = due.0.min(now.plus_seconds(wait));
        let at = due.0;
        if of_link {
            self.claims.restore(owner, &will.owner);
        }
        let told = was_there.then(|| Change::Will(owner, Box::new(will.clone())));
        self.wills.restore(owner, will);
        self.deadlines.will(at, owner);
        told
    }
}

/// What cannot be understood any more, perhaps under other limits, holds nothing back: its receiver gets more than it wants,
/// and asks again.
fn restore_condition(mailbox: &Mailbox, words: Arc<[u8]>, compile: Option<&Compile>) {
    match compile.map(|compile| compile(&words)) {
        Some(Ok(predicate)) => mailbox.set_predicate(Some(predicate), true),
        Some(Err(why)) => {
            let name = mailbox.lock().client.id.clone();
            tracing::warn!(mailbox = %name, %why, "the filters of a subscription do not hold until its receiver is back");
        }
        None => {}
    }
    mailbox.restore_condition(words);
}
