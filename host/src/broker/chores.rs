//! What modules are called for beside messages: events and timers. One thread does this; nobody waits for it. Timers of modules
//! that may speak to servers outside are called by another one, which may wait.

use super::Broker;
use super::worker::Worker;
use crate::message::Time;
use crate::wasm::{Back, EventKinds, Happening, Pulses, Wish, stand_back};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Events told in one call.
const EVENTS_A_CALL: usize = 256;

/// What happened and was not told yet.
#[derive(Default)]
pub struct Happenings {
    queue: Mutex<VecDeque<Happening>>,
    /// Wakes the thread that tells.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// It was woken and has not looked yet.
    woken: AtomicBool,
}

/// What the one thread that does the chores keeps.
pub struct Chores {
    worker: Worker,
    pulses: Pulses,
}

impl Chores {
    /// For the thread that makes it, and no other: threads that serve clients come before it from now on.
    pub fn new(broker: &Broker) -> Self {
        stand_back(Back::Far);
        Self { worker: broker.worker(), pulses: Pulses::default() }
    }

    /// The same for a thread that does nothing but call timers of modules that may speak to servers outside, and may wait for
    /// them.
    pub fn patient(broker: &Broker) -> Self {
        stand_back(Back::Far);
        Self { worker: broker.patient_worker(), pulses: Pulses::default() }
    }
}

impl Broker {
    /// Sets who is to be woken when there is a chore to do. Later calls do nothing.
    pub fn on_chore(&self, wake: Box<dyn Fn() + Send + Sync>) {
        // A second one is ignored, as said.
        let _ = self.happenings.wake.set(wake);
    }

    /// Notes what happened, if a module wants to be told of such things.
    #[inline]
    pub(super) fn happened(&self, kind: EventKinds, what: impl FnOnce() -> Happening) {
        if self.modules.wants_events(kind) {
            self.note(what());
        }
    }

    #[cold]
    fn note(&self, happening: Happening) {
        let mut queue = self.happenings.queue.lock();
        if queue.len() >= self.limits.events_waiting_max {
            drop(queue);
            return self.metrics.module_events_dropped_total.add(1);
        }
        queue.push_back(happening);
        drop(queue);
        if !self.happenings.woken.swap(true, Ordering::AcqRel)
            && let Some(wake) = self.happenings.wake.get()
        {
            wake();
        }
    }

    /// Tells modules some of what happened and calls those whose timer is due; returns when to come again at the latest, if no
    /// event comes before: at once if there is more to tell. Timers have their turn however much happens.
    pub fn do_chores(&self, chores: &mut Chores, now: Time) -> Option<Time> {
        let worker = &mut chores.worker;
        self.happenings.woken.store(false, Ordering::Release);
        worker.refresh(self);
        let chain = worker.chain.clone();
        let told: Vec<Happening> = {
            let mut queue = self.happenings.queue.lock();
            let count = queue.len().min(EVENTS_A_CALL);
            queue.drain(..count).collect()
        };
        if !told.is_empty() {
            let wishes = chain.tell(&mut worker.guests, &told);
            self.grant_all(worker, now, wishes);
            worker.flush(self, now);
        }
        let next = self.do_ticks(chores, &|| now);
        let more = !self.happenings.queue.lock().is_empty();
        if more { Some(now) } else { next }
    }

    /// Calls modules whose timer is due; returns when the next one is.
    pub fn do_ticks(&self, chores: &mut Chores, clock: &dyn Fn() -> Time) -> Option<Time> {
        let Chores { worker, pulses } = chores;
        worker.refresh(self);
        let chain = worker.chain.clone();
        let (wishes, next) = chain.tick(&mut worker.guests, pulses, clock());
        // They may have taken their time.
        let now = clock();
        self.grant_all(worker, now, wishes);
        worker.flush(self, now);
        next
    }

    fn grant_all(&self, worker: &mut Worker, now: Time, wishes: Vec<Wish>) {
        let mut staged = worker.stage();
        self.grant(worker, now, wishes, &mut staged);
        self.commit(worker, staged);
    }
}
