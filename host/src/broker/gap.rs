//! The part of a long queue that only the store has: after a restart, or because it is long. It is fetched page by page as
//! the queue drains; what comes meanwhile waits behind it, and joins it when that, too, grows long.

use super::consumers::{Handling, Held};
use super::mailbox::{Mailbox, Outlet, State};
use super::queued::{NOT_SUBMITTED, Queued};
use super::told::Told;
use super::{Broker, Limits};
use crate::message::Time;
use crate::store::{LoadedEntry, MailboxId, Page, Rest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries fetched at once.
pub(super) const PAGE: usize = 512;
/// The next page is asked for when fewer than these are left before the gap.
const LOW: usize = 256;

/// Entries that stay in memory, however long they are; and of so many that come one looks whether the end can be left.
const LEAST: usize = 16;
/// Pause before it is tried again to leave the end of a queue to the store, doubled each time, and how often.
const AGAIN_MILLISECONDS: u64 = 50;
const AGAIN_MAX: u8 = 8;

/// More identifiers than these an MQTT connection has not.
const UNDER_WAY_MAX: u64 = 65_535;

/// See the head of this file.
pub struct Gap {
    /// Where it is.
    pub rest: Rest,
    /// What of it was sent.
    pub sent: Sent,
    /// A page is on its way.
    pub is_asked: bool,
    /// Of its entries, those bytes that count as waiting in the mailbox: what was left there by a restart does not.
    pub bytes: usize,
    /// What receivers that came back said of its entries.
    pub told: BTreeMap<u64, Told>,
}

impl Gap {
    fn new(rest: Rest, sent: Sent) -> Self {
        Self { rest, sent, is_asked: false, bytes: 0, told: BTreeMap::new() }
    }
}

/// How far the entries of an earlier start of the broker were sent, by their numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Up to here they may have been: whoever gets them again is told so.
    pub perhaps_to: u64,
    /// Up to here they can have been under way: they do not expire any more.
    pub under_way_to: u64,
    /// That is no more than a bound: what is noted as it begins is under way only if it was noted.
    pub is_noted: bool,
}

impl Sent {
    fn was_under_way(&self, queued: &Queued, was_noted: bool) -> bool {
        match self.is_noted && queued.is_noted_under_way() {
            true => was_noted,
            false => queued.number <= self.under_way_to,
        }
    }
}

/// An entry as the store gave it back.
pub(super) fn queued(loaded: LoadedEntry, sent: Sent) -> Queued {
    let LoadedEntry { entry, message, failures, notes, handle, received } = loaded;
    let is_handled = failures > 0 || notes.is_some();
    let queued = Queued {
        number: entry.number,
        guarantee: entry.guarantee,
        retain: entry.retain,
        name: entry.name,
        identifiers: entry.identifiers,
        stored: true,
        duplicate: entry.number <= sent.perhaps_to,
        handling: is_handled.then(|| Box::new(Handling { failures, notes, ..Default::default() })),
        ..Queued::new(message)
    };
    Queued { under_way: sent.was_under_way(&queued, handle.is_some() || received), ..queued }
}

impl State {
    /// The last number before the gap, if there is one.
    pub fn gap_begins_after(&self) -> u64 {
        self.gap.as_ref().map_or(u64::MAX, |gap| gap.rest.after)
    }

    /// Whether all of the gap comes before this number, or is it.
    pub fn is_behind_gap(&self, number: u64) -> bool {
        self.gap.as_ref().is_some_and(|gap| number >= gap.rest.to)
    }

    /// Up to which number entries were sent and not settled: those in the window, and those that a restart brought back.
    pub fn under_way_to(&self) -> u64 {
        let gap = self.gap.as_ref().map_or(0, |gap| gap.sent.under_way_to);
        self.under_way().map(|queued| queued.number).chain([gap]).max().unwrap_or(0)
    }

    /// How many those are, or more.
    pub fn under_way_count(&self) -> u64 {
        if self.gap.as_ref().is_some_and(|gap| gap.sent.under_way_to > gap.rest.after) {
            return UNDER_WAY_MAX;
        }
        self.under_way().count() as u64
    }

    fn under_way(&self) -> impl Iterator<Item = &Queued> {
        let restored = self.queue.iter().take_while(|queued| queued.under_way);
        self.window.iter().map(|flight| &flight.queued).chain(restored)
    }

    /// Whether an entry with this number waits in the store.
    pub fn is_in_gap(&self, number: u64) -> bool {
        self.gap.as_ref().is_some_and(|gap| number > gap.rest.after && number <= gap.rest.to)
    }

    /// What to ask the store for: little is left before the gap, or somebody stands at it.
    pub fn next_page(&mut self, stands_at_it: bool) -> Option<(u64, u64)> {
        let gap = self.gap.as_mut().filter(|gap| !gap.is_asked)?;
        let before = self.queue.partition_point(|queued| queued.number <= gap.rest.after);
        if before >= LOW && !stands_at_it {
            return None;
        }
        gap.is_asked = true;
        Some((gap.rest.after, gap.rest.to))
    }
}

impl Mailbox {
    /// Puts a gap behind what was restored.
    pub fn set_gap(&self, rest: Rest, sent: Sent) {
        let mut state = self.lock();
        state.next_number = state.next_number.max(rest.to + 1);
        self.count_unread(rest.entries);
        state.gap = Some(Box::new(Gap::new(rest, sent)));
    }

    /// Fills a part of the gap; whoever waits for it has to be woken.
    pub fn take_page(&self, page: Page) -> Option<Arc<dyn Outlet>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let gap = state.gap.as_mut()?;
        let (after, sent) = (gap.rest.after, gap.sent);
        let count = page.entries.len().min(gap.rest.entries);
        let is_over = page.to >= gap.rest.to;
        // Damaged ones are gone, too, once the end is reached.
        let counted = if is_over { gap.rest.entries } else { count };
        gap.rest.entries -= counted;
        (gap.rest.after, gap.is_asked) = (page.to, false);
        // They are counted again, one by one.
        let sizes: usize = page.entries.iter().map(|loaded| loaded.message.size()).sum();
        let bytes = if is_over { gap.bytes } else { sizes.min(gap.bytes) };
        gap.bytes -= bytes;
        let unsaid = if is_over { BTreeMap::new() } else { gap.told.split_off(&(page.to + 1)) };
        let mut said = std::mem::replace(&mut gap.told, unsaid);
        if is_over {
            state.gap = None;
        }
        self.count_read(counted, bytes);
        let at = state.queue.partition_point(|queued| queued.number <= after);
        let behind = state.queue.split_off(at);
        for loaded in page.entries {
            let mut entry = queued(loaded, sent);
            state.arrivals += 1;
            entry.arrival = state.arrivals;
            // Nobody gets it before that is carried out.
            if let Some(told) = said.remove(&entry.number) {
                let held = Held { holder: told.receiver, queued: entry, is_claimed: false };
                let consuming = state.consuming.change();
                consuming.told.push((held.queued.number, told));
                consuming.held.insert(held.queued.number, held);
                continue;
            }
            self.count(&entry, true);
            state.queue.push_back(entry);
        }
        state.queue.extend(behind);
        state.outlet.clone()
    }
}

impl Mailbox {
    /// Leaves the end of a long queue to the store. Called when an entry was handed to the store, now and then: a queue that
    /// is not long pays one comparison.
    pub fn page_out(&self, state: &mut State, number: u64, limits: &Limits) {
        // By its number, and not by how many there are: of a large unit all are there when the first one is handed over.
        let is_due = number.is_multiple_of(LEAST as u64) && self.is_long(state, limits);
        if is_due && !self.leave_end(state, limits) && state.paged_again == 0 {
            // The store has not written it yet: it is told all of a subscription's retained messages at once.
            state.paged_again = 1;
            self.set_held_long();
        }
    }

    fn is_long(&self, state: &State, limits: &Limits) -> bool {
        let (messages, bytes) = (limits.queue_resident_max.max(LEAST), limits.queue_resident_bytes_max);
        let resident = self.size() - state.gap.as_ref().map_or(0, |gap| gap.bytes).min(self.size());
        state.queue.len() >= 2 * messages || resident >= bytes.saturating_mul(2)
    }

    /// False: nothing could be left.
    fn leave_end(&self, state: &mut State, limits: &Limits) -> bool {
        if state.untold > 0 {
            return false;
        }
        let (messages, bytes) = (limits.queue_resident_max.max(LEAST), limits.queue_resident_bytes_max);
        let start = match &state.gap {
            Some(gap) => state.queue.partition_point(|queued| queued.number <= gap.rest.after),
            None => {
                let mut sum = 0;
                let fits = |queued: &&Queued| {
                    sum += queued.message.size();
                    sum <= bytes
                };
                state.queue.iter().take(messages).take_while(fits).count().max(LEAST)
            }
        };
        let Some(first) = state.queue.get(start).map(|queued| queued.number) else { return false };
        let before = match &state.gap {
            Some(gap) => gap.rest.to,
            None => start.checked_sub(1).and_then(|at| state.queue.get(at)).map_or(first - 1, |last| last.number),
        };
        // What is under way would be read again with the rest.
        let under_way =
            state.consuming.held.keys().copied().chain(state.window.iter().map(|flight| flight.queued.number));
        let under_way = under_way.chain(state.consuming.unburied.iter().map(|queued| queued.number));
        if under_way.max().is_some_and(|last| last > before) {
            return false;
        }
        let can_be_left = |queued: &&Queued| {
            queued.stored
                && queued.after != NOT_SUBMITTED
                && !queued.duplicate
                && queued.group.is_none()
                && queued.handling.is_none()
                && queued.instead.is_none()
                && queued.message.is_held_once()
        };
        let (mut entries, mut left, mut to) = (0, 0, 0);
        for queued in state.queue.range(start..).take_while(can_be_left) {
            (entries, left, to) = (entries + 1, left + queued.message.size(), queued.number);
        }
        if entries == 0 {
            return false;
        }
        state.queue.drain(start..start + entries);
        let rest = Rest { after: before, to: before, entries: 0 };
        let gap = state.gap.get_or_insert_with(|| Box::new(Gap::new(rest, Sent::default())));
        gap.rest = Rest { to, entries: gap.rest.entries + entries, ..gap.rest };
        gap.bytes += left;
        true
    }

    /// Tries that again; true: it is long still.
    fn page_out_later(&self, limits: &Limits) -> bool {
        let mut state = self.lock();
        while self.is_long(&state, limits) && self.leave_end(&mut state, limits) {}
        let is_held = !state.gone && self.is_long(&state, limits);
        state.paged_again = if is_held { state.paged_again + 1 } else { 0 };
        is_held
    }
}

impl Broker {
    /// Leaves the end of a long queue to the store that was not on disk when it came in. A message that somebody else has as well
    /// stays: after a while nobody looks any more.
    pub(super) fn page_out_again(&self, now: Time, id: MailboxId) {
        let Some(mailbox) = self.directory.by_id(id) else { return };
        if !mailbox.page_out_later(&self.limits) {
            return;
        }
        let mut state = mailbox.lock();
        match state.paged_again {
            AGAIN_MAX.. => state.paged_again = 0,
            times => self.deadlines.long(now.plus_milliseconds(AGAIN_MILLISECONDS << times), id),
        }
    }

    /// Asks the store for the next entries of a queue.
    pub(super) fn fetch_page(&self, mailbox: &Arc<Mailbox>, range: (u64, u64)) {
        let mailbox = mailbox.clone();
        let (id, deadlines) = (mailbox.id, self.deadlines.clone());
        let then = move |page| {
            let outlet = mailbox.take_page(page);
            if !mailbox.lock().consuming.told.is_empty() {
                deadlines.told(Time(0), id);
            }
            if let Some(outlet) = outlet {
                outlet.wake();
            }
        };
        self.store.read_queue(id, range, PAGE, Box::new(then));
    }
}
