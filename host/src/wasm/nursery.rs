//! Instances made beforehand, of versions of which making one takes long, as those have that carry an interpreter (2 to 10 ms):
//! by whoever deploys, and by a thread of their own when one was taken. So the threads that serve clients seldom make one, and
//! none of them waits for what an interpreter puts off to its first call.

use super::fault::Fault;
use super::instance::Instance;
use super::modules::Inner;
use super::pool::Guests;
use super::version::Version;
use cpu_time::ThreadTime;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Processor time from which on an instance is made beforehand. One of a module in Rust or C takes a tenth of it.
const COSTLY: Duration = Duration::from_micros(500);
/// Spares of one version: each has the memory that it was configured with, some MiB. The next one is made as soon as one was taken.
const SPARES_MAX: usize = 2;
/// Orders that wait. One that finds no room is left out: an instance is then made by whoever needs it.
const ORDERS_MAX: usize = 64;

/// Instances of one version that nobody asks yet.
#[derive(Default)]
pub(super) struct Spares {
    /// Making one takes long.
    costly: AtomicBool,
    /// One of them failed when it was asked beforehand: none is any more.
    cold: AtomicBool,
    ready: Mutex<Vec<Instance>>,
}

impl Spares {
    pub(super) fn count(&self) -> usize {
        self.ready.lock().len()
    }
}

/// Who makes them, and for how many threads.
#[derive(Default)]
pub(super) struct Nursery {
    serving: Arc<AtomicUsize>,
    /// The thread, once it is needed. None: the system gave none.
    orders: OnceLock<Option<SyncSender<Weak<Version>>>>,
}

/// A thread that serves clients, for as long as this lives.
pub(super) struct Serving(Arc<AtomicUsize>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Nursery {
    /// One thread more asks modules.
    pub(super) fn serve(&self) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving(self.serving.clone())
    }
}

impl Inner {
    /// An instance that is ready to be asked, by whoever is about to.
    pub(super) fn instance(self: &Arc<Self>, version: &Arc<Version>) -> Result<Instance, Fault> {
        if !version.spares.costly.load(Ordering::Relaxed) {
            return self.make(version);
        }
        let spare = version.spares.ready.lock().pop();
        let orders = self.nursery.orders.get_or_init(|| hire(Arc::downgrade(self)));
        if let Some(orders) = orders {
            // One that does not fit is left out, as said.
            let _ = orders.try_send(Arc::downgrade(version));
        }
        spare.map_or_else(|| self.make_ready(version).map(|(instance, _)| instance), Ok)
    }

    /// Makes an instance to see what that takes, and where it takes long a second one if more than one thread has none.
    pub(super) fn stock(self: &Arc<Self>, version: &Arc<Version>) {
        let serving = self.nursery.serving.load(Ordering::Relaxed);
        let wanted = serving.saturating_sub(version.tally().threads()).clamp(1, SPARES_MAX);
        while version.spares.count() < wanted {
            // Whoever needs one will hear why there is none.
            let Ok((instance, was_costly)) = self.make_ready(version) else { return };
            if !was_costly {
                return;
            }
            version.spares.costly.store(true, Ordering::Relaxed);
            version.spares.ready.lock().push(instance);
        }
    }

    /// Makes an instance; and one of which that takes long has been asked once, so that what an interpreter does at its first
    /// call does not fall on a message, which has some milliseconds.
    fn make_ready(self: &Arc<Self>, version: &Arc<Version>) -> Result<(Instance, bool), Fault> {
        let begun = ThreadTime::now();
        let instance = self.make(version)?;
        let was_costly = begun.elapsed() >= COSTLY;
        if !was_costly || version.spares.cold.load(Ordering::Relaxed) {
            return Ok((instance, was_costly));
        }
        let mut guests = Guests::warming_up(self.clone(), version, instance);
        self.warm_up(&mut guests, version);
        if let Some(instance) = guests.into_instance() {
            return Ok((instance, true));
        }
        // What fails at that, as at a message that it does not expect, is asked from its start on, and not tried again: a guest that
        // loops would hold up each caller.
        version.spares.cold.store(true, Ordering::Relaxed);
        self.make(version).map(|instance| (instance, true))
    }

    /// Makes an instance that nobody has asked anything.
    pub(super) fn make(&self, version: &Version) -> Result<Instance, Fault> {
        let (instance, manifest) = Instance::of(&self.engine, &self.limits, version)?;
        // What it said when it was installed holds; but one that now refuses its configuration is not fit to be asked.
        manifest.map_err(|reason| Fault::Answer(format!("refused its configuration: {reason}")))?;
        Ok(instance)
    }
}

fn hire(inner: Weak<Inner>) -> Option<SyncSender<Weak<Version>>> {
    let (sender, orders) = sync_channel(ORDERS_MAX);
    let thread = std::thread::Builder::new().name("guest-nursery".into());
    match thread.spawn(move || run(&inner, &orders)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "no thread to make instances of modules beforehand");
            None
        }
    }
}

/// Ends with the modules that it was hired for.
fn run(inner: &Weak<Inner>, orders: &Receiver<Weak<Version>>) {
    while let Ok(version) = orders.recv() {
        if let (Some(inner), Some(version)) = (inner.upgrade(), version.upgrade()) {
            inner.stock(&version);
        }
    }
}
