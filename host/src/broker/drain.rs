//! Sending clients elsewhere: one by one, or all of them at a pace, while whoever comes is turned away.

use super::Broker;
use super::directory::Kind;
use crate::dialogue::{Closed, Elsewhere};
use crate::message::Time;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Where clients are to go.
    pub to: Elsewhere,
    /// Connected clients that are sent away each second, in the order of their ids; 0: none, only those who come.
    pub clients_per_second: u32,
}

/// A drain and how far it has got.
struct Running {
    drain: Drain,
    looked: Option<Time>,
    /// Thousandths of a client that are owed to the pace.
    owed: u64,
    /// Who receives from queues only is found there, behind all clients.
    at: Kind,
    /// The last one that was looked at.
    after: Option<Arc<str>>,
}

/// The drain that is on, if any.
#[derive(Default)]
pub(super) struct Draining {
    /// So that a client that comes pays one load where nothing is on.
    on: AtomicBool,
    running: Mutex<Option<Running>>,
}

impl Broker {
    /// Begins a drain, in place of one that is on; none: clients are welcome again.
    pub fn set_drain(&self, drain: Option<Drain>) {
        let mut running = self.draining.running.lock();
        let was_on = self.draining.on.swap(drain.is_some(), Ordering::AcqRel);
        self.metrics.draining.add(i64::from(drain.is_some()) - i64::from(was_on));
        *running = drain.map(|drain| Running { drain, looked: None, owed: 0, at: Kind::Client, after: None });
    }

    /// The drain that is on.
    pub fn drain_state(&self) -> Option<Drain> {
        self.draining.running.lock().as_ref().map(|running| running.drain.clone())
    }

    /// Tells one client to use another server; false: it is not connected.
    pub fn send_elsewhere(&self, id: &str, to: Elsewhere) -> bool {
        self.close_one(id, Closed::Elsewhere(to))
    }

    /// Where a client that comes has to go.
    pub fn elsewhere(&self) -> Option<Elsewhere> {
        if !self.draining.on.load(Ordering::Acquire) {
            return None;
        }
        self.draining.running.lock().as_ref().map(|running| running.drain.to.clone())
    }

    /// Sends away as many as are due; returns when to come again.
    pub(super) fn drain_due(&self, now: Time) -> Option<Time> {
        /// At most so many at once, so that one call does not hold its thread for long.
        const AT_ONCE: u64 = 1000;
        if !self.draining.on.load(Ordering::Acquire) {
            return None;
        }
        let mut running = self.draining.running.lock();
        let running = running.as_mut()?;
        let pace = u64::from(running.drain.clients_per_second);
        // The first ones go at once.
        let passed = running.looked.map_or(1000, |looked| now.since(looked).min(1000));
        running.looked = Some(now);
        running.owed = (running.owed + passed * pace).min(AT_ONCE * 1000);
        while running.owed >= 1000 {
            let page = self.directory.page(running.at, running.after.as_deref(), 64);
            let Some(last) = page.last() else {
                if running.at == Kind::Queue {
                    return None;
                }
                (running.at, running.after) = (Kind::Queue, None);
                continue;
            };
            let last = last.lock().client.id.clone();
            for mailbox in page {
                let state = mailbox.lock();
                if let Some(outlet) = state.outlet.clone() {
                    if running.owed < 1000 {
                        return Some(now.plus_milliseconds(10));
                    }
                    running.owed -= 1000;
                    outlet.close(Closed::Elsewhere(running.drain.to.clone()));
                }
                running.after = Some(state.client.id.clone());
            }
            running.after = Some(last);
        }
        Some(now.plus_milliseconds(10))
    }
}
