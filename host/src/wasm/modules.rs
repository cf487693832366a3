//! Modules: install, configure, go back, remove; and the chain that holds now.

use super::chain::Chain;
use super::component::{self, Compiled};
use super::engine::Engine;
use super::error::{DeployError, OpenError};
use super::expected::Expected;
use super::hooks::{EventKinds, UnmetWishes};
use super::imports::log::{Log, LogLine};
use super::imports::metrics::{Figure, Figures};
use super::imports::state::{State, StoredValue};
use super::limits::{Limits, NAME_BYTES_MAX};
use super::machine_code::MachineCode;
use super::meter::HookFigures;
use super::nursery::Nursery;
use super::outside::{HostGrant, Messenger, MessengerSlot, Outside};
use super::quota::Refusals;
use super::registry::{Canary, Entry, Registry};
use super::report::{Deployed, ModuleInfo, VersionInfo};
use super::services::{Clock, LogOwner, RetainedLookup, RetainedSlot, Services};
use super::signature::Signers;
use super::tally::Tallies;
use super::version::Version;
use crate::message::Time;
use crate::metrics::Metrics;
use crate::store::{Change, Store};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All modules of a broker. Cheap to clone.
///
/// A change takes effect in this order: the component is compiled and rehearsed, the store has it on disk, the next
/// chain is built and one pointer swapped. An error at any of these steps leaves everything as it was. One change comes after
/// the other from the look at what there is, after compiling, to the swap.
#[derive(Clone)]
pub struct Modules {
    pub(super) inner: Arc<Inner>,
    /// Of a module that is changed by way of this.
    pub(super) expected: Option<Arc<Expected>>,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) nursery: Nursery,
    store: Store,
    retained: RetainedSlot,
    messenger: MessengerSlot,
    /// To whom modules may speak, by their names, whether they are installed or not.
    grants: Mutex<BTreeMap<String, Vec<HostGrant>>>,
    /// The program whose child compiles components; none: this process does.
    compiler: OnceLock<PathBuf>,
    signers: RwLock<Arc<Signers>>,
    chain: ArcSwap<Chain>,
    generation: AtomicU64,
    /// Of the chain that holds now, for those who must not wait to ask it: [`Chain::delivery_generation`] and
    /// [`Chain::wants_events`].
    delivery: AtomicU64,
    events: AtomicU8,
    /// Held for moments only.
    registry: Mutex<Registry>,
    /// Held by whoever changes something, from the first look to the swap. Nothing is compiled meanwhile.
    changing: Mutex<()>,
    /// Held by whoever deploys, from the beginning to the end.
    deploying: Mutex<()>,
    /// Held while what is kept is compiled again.
    recalling: Mutex<()>,
}

/// The order of a module that was given none.
const ORDER_DEFAULT: i32 = 10;

/// How long a change may wait for the disk.
pub(super) const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

impl Modules {
    pub(super) fn new(
        limits: Limits,
        store: Store,
        metrics: Arc<Metrics>,
        clock: Clock,
        (machine_code, signers): (Option<MachineCode>, Signers),
    ) -> Result<Self, OpenError> {
        let engine = Engine::new(&limits, machine_code).map_err(|error| OpenError::Engine(format!("{error:#}")))?;
        let inner = Inner {
            engine,
            limits,
            clock,
            metrics,
            nursery: Nursery::default(),
            store,
            retained: RetainedSlot::default(),
            messenger: MessengerSlot::default(),
            grants: Mutex::default(),
            compiler: OnceLock::new(),
            signers: RwLock::new(Arc::new(signers)),
            chain: ArcSwap::new(Chain::empty()),
            generation: AtomicU64::new(0),
            delivery: AtomicU64::new(0),
            events: AtomicU8::new(0),
            registry: Mutex::default(),
            changing: Mutex::new(()),
            deploying: Mutex::new(()),
            recalling: Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner), expected: None })
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The plan that holds now.
    pub fn chain(&self) -> Arc<Chain> {
        self.inner.chain.load_full()
    }

    /// The generation of that plan: one load, so that a worker sees whether the plan it holds is still the one.
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// As [`Chain::delivery_generation`] of that plan.
    pub fn delivery_generation(&self) -> u64 {
        self.inner.delivery.load(Ordering::Acquire)
    }

    /// Whether any module wants to be told of such things.
    #[inline]
    pub fn wants_events(&self, kinds: EventKinds) -> bool {
        EventKinds(self.inner.events.load(Ordering::Relaxed)).has(kinds)
    }

    /// Every bound on modules.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// What the clock shows that modules see.
    pub fn now(&self) -> Time {
        (self.inner.clock)()
    }

    /// Tells where modules find retained messages. To be called once, when the hall exists; later calls do nothing.
    pub fn set_retained(&self, lookup: RetainedLookup) {
        // A second lookup is ignored, as said.
        let _ = self.inner.retained.set(lookup);
    }

    /// Says who carries modules' requests to servers outside. To be called once; later calls do nothing.
    pub fn set_messenger(&self, messenger: Messenger) {
        // A second one is ignored, as said.
        let _ = self.inner.messenger.set(messenger);
    }

    /// Says anew who may have signed what is deployed, or put to work again. What runs already runs on.
    pub fn set_signers(&self, signers: Signers) {
        *self.inner.signers.write() = Arc::new(signers);
    }

    /// Says anew which hosts outside modules may speak to, by the modules' names; who is not named may speak to none.
    pub fn set_grants(&self, grants: BTreeMap<String, Vec<HostGrant>>) {
        let _changing = self.inner.changing.lock();
        let mut registry = self.inner.registry.lock();
        let mut changed = false;
        for (name, entry) in &registry.entries {
            changed |= entry.services.outside.grant(grants.get(&**name).cloned().unwrap_or_default());
        }
        *self.inner.grants.lock() = grants;
        if changed {
            self.inner.swap(&mut registry);
        }
    }

    /// Has components that are deployed tried by a child of this program first (see [`super::COMPILE_SUBCOMMAND`]). To be
    /// called once; later calls do nothing. Without it they are compiled without bounds on memory and time.
    pub fn set_compiler(&self, program: PathBuf) {
        // A second one is ignored, as said.
        let _ = self.inner.compiler.set(program);
    }

    /// Switches a module off, or on again with the version that was asked before.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<Deployed, DeployError> {
        let at_hand = self.inner.at_hand(name, |entry| {
            self.check(name, Some(entry))?;
            match enabled {
                true => entry.at_work().map(Some).ok_or_else(|| DeployError::NoModule(name.to_owned())),
                false => Ok(None),
            }
        })?;
        let mut entry = at_hand.entry;
        match at_hand.version {
            Some(version) => {
                // Where it is on already a trial beside it goes on.
                let canary = entry.canary.take();
                self.inner.activate(entry, version, canary)
            }
            None => {
                entry.choose(None);
                self.inner.commit(entry, Vec::new())
            }
        }
    }

    /// Takes a module out, with its versions and its state. One that came with the broker or its configuration is only
    /// switched off.
    pub fn remove(&self, name: &str) -> Result<Deployed, DeployError> {
        let _changing = self.inner.changing.lock();
        let mut entry = self.inner.registry.lock().entry(name)?.clone();
        self.check(name, Some(&entry))?;
        if entry.base.is_some() {
            entry.choose(None);
            return self.inner.commit(entry, Vec::new());
        }
        let digest = entry.info().digest;
        let canary_ended = entry.canary.as_ref().map(|canary| canary.version.number);
        let mut undo = self.inner.whole(&entry)?;
        // Calls under way go on to their end; what they write from here on would outlive the module.
        entry.services.state.close();
        undo.extend(entry.services.state.rows());
        if let Err(error) = self.inner.persist(vec![Change::ModuleGone(name.into())], || undo) {
            entry.services.state.reopen();
            return Err(error);
        }
        entry.services.state.clear();
        let module = entry.services.module.clone();
        let mut registry = self.inner.registry.lock();
        registry.entries.remove(name);
        let generation = self.inner.swap(&mut registry);
        tracing::info!(module = name, generation, "module removed");
        Ok(Deployed { canary_ended, ..Deployed::new(module, None, digest, generation) })
    }

    /// All modules, by name.
    pub fn list(&self) -> Vec<ModuleInfo> {
        let entries: Vec<Entry> = self.inner.looked_at().entries.values().cloned().collect();
        entries.iter().map(Entry::info).collect()
    }

    /// One module.
    pub fn show(&self, name: &str) -> Result<ModuleInfo, DeployError> {
        let entry = self.inner.looked_at().entry(name)?.clone();
        Ok(entry.info())
    }

    /// The version that is asked, or that would be if the module were switched on; none: it has none.
    pub fn at_work(&self, name: &str) -> Result<Option<u64>, DeployError> {
        Ok(self.inner.registry.lock().entry(name)?.at_work())
    }

    /// The first module that is to be asked, does not run, and without which something is refused to everybody (`on_failure` is
    /// `refuse`, or it decides over access); and the hooks that are closed.
    pub fn closed_by(&self) -> Option<(Arc<str>, String)> {
        let found = self.inner.registry.lock().closed_by();
        found.map(|(module, closes)| (module, closes.to_string()))
    }

    /// What the versions of all modules have been asked that are kept: module, version, figures.
    pub fn version_figures(&self) -> Vec<(Arc<str>, u64, Vec<HookFigures>)> {
        let entries: Vec<Entry> = self.inner.registry.lock().entries.values().cloned().collect();
        let of_one = |entry: &Entry| {
            let module = entry.services.module.clone();
            entry.versions().into_iter().map(move |it| (module.clone(), it.version, it.figures))
        };
        entries.iter().flat_map(of_one).collect()
    }

    /// The versions that are kept, oldest first.
    pub fn versions(&self, name: &str) -> Result<Vec<VersionInfo>, DeployError> {
        Ok(self.inner.looked_at().entry(name)?.versions())
    }

    /// Recent log lines of a module, oldest first.
    pub fn logs(&self, name: &str) -> Result<Vec<LogLine>, DeployError> {
        self.logs_of(name).map(|(_, lines)| lines)
    }

    /// The same, and whose they are: a module of the same name that is deployed after it was removed is another one, and counts its
    /// lines anew.
    pub fn logs_of(&self, name: &str) -> Result<(LogOwner, Vec<LogLine>), DeployError> {
        let services = self.inner.registry.lock().entry(name)?.services.clone();
        let lines = services.log.list();
        Ok((LogOwner(services), lines))
    }

    /// How often services gave modules less than they wanted, for all modules: module, service, how often.
    pub fn refusals(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let registry = self.inner.registry.lock();
        let of_one = |services: &Arc<Services>| {
            let module = services.module.clone();
            services.refusals.list().map(move |(service, count)| (module.clone(), service, count))
        };
        registry.entries.values().flat_map(|entry| of_one(&entry.services)).collect()
    }

    /// How many wishes of modules came to nothing: module, reason, how many.
    pub fn unmet_wishes(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let registry = self.inner.registry.lock();
        let of_one = |services: &Arc<Services>| {
            let module = services.module.clone();
            services.unmet_wishes.list().map(move |(reason, count)| (module.clone(), reason, count))
        };
        registry.entries.values().flat_map(|entry| of_one(&entry.services)).collect()
    }

    /// The figures that modules export: module, name, value.
    pub fn figures(&self) -> Vec<(Arc<str>, Box<str>, Figure)> {
        let services: Vec<Arc<Services>> =
            self.inner.registry.lock().entries.values().map(|entry| entry.services.clone()).collect();
        let of_one = |services: Arc<Services>| {
            let module = services.module.clone();
            services.figures.list().into_iter().map(move |(name, figure)| (module.clone(), name, figure))
        };
        services.into_iter().flat_map(of_one).collect()
    }
}

impl Inner {
    /// Who may have signed components.
    pub(super) fn signers(&self) -> Arc<Signers> {
        self.signers.read().clone()
    }

    fn outside(&self, name: &str) -> Outside {
        let hosts = self.grants.lock().get(name).cloned().unwrap_or_default();
        Outside::new(hosts, self.messenger.clone(), self.metrics.clone(), self.engine.ticker.waker())
    }

    pub(super) fn new_entry(&self, name: &str, state: Vec<StoredValue>) -> Result<Entry, DeployError> {
        if self.registry.lock().entries.len() >= self.limits.modules_max {
            return Err(DeployError::TooMany(self.limits.modules_max));
        }
        let module: Arc<str> = name.into();
        let mut entry = Entry::new(Arc::new(Services {
            module: module.clone(),
            limits: self.limits,
            clock: self.clock.clone(),
            log: Log::new(&self.limits),
            state: State::new(module, self.store.clone(), state),
            figures: Figures::default(),
            retained: self.retained.clone(),
            outside: self.outside(name),
            refusals: Refusals::default(),
            unmet_wishes: UnmetWishes::default(),
            tallies: Tallies::default(),
        }));
        entry.standing.order = ORDER_DEFAULT;
        Ok(entry)
    }

    /// Compiles, unless what it was compiled to is kept.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Arc<Compiled>, DeployError> {
        let compiled = component::compile(&self.engine, &self.limits, bytes).map(Arc::new);
        self.engine.machine_code.iter().for_each(MachineCode::seal);
        compiled
    }

    /// Rehearses a version, and makes instances beforehand where that takes long.
    pub(super) fn rehearse(
        self: &Arc<Self>,
        entry: &Entry,
        number: u64,
        compiled: Arc<Compiled>,
        digest: Arc<str>,
        config: Arc<str>,
    ) -> Result<Arc<Version>, DeployError> {
        let (bytes, limit) = (config.len(), self.limits.config_bytes_max);
        if bytes > limit {
            return Err(DeployError::ConfigTooBig { bytes, limit });
        }
        let services = entry.services.clone();
        let version = Version::new(&self.engine, &self.limits, number, digest, compiled, services, config)?;
        let version = Arc::new(version);
        self.stock(&version);
        Ok(version)
    }

    /// Puts a version to work, with a trial beside it.
    pub(super) fn activate(
        &self,
        mut entry: Entry,
        version: Arc<Version>,
        canary: Option<Canary>,
    ) -> Result<Deployed, DeployError> {
        // Whoever asks for it by name wants it asked, whatever it did before.
        version.breaker.reset();
        entry.quarantined.remove(&version.number);
        entry.choose(Some(version));
        entry.canary = canary;
        self.commit(entry, Vec::new())
    }

    /// Makes a changed entry the one that holds: first on disk, then in the registry and in the next chain.
    pub(super) fn commit(&self, mut entry: Entry, mut changes: Vec<Change>) -> Result<Deployed, DeployError> {
        entry.is_recorded = true;
        let name = entry.services.module.clone();
        changes.push(entry.record());
        self.persist(changes, || self.undo(&name))?;
        let ModuleInfo { digest, version, tag, .. } = entry.info();
        let tag = Some(tag);
        let canary = entry.canary.as_ref().map(|canary| canary.version.number);
        let (canary_ended, switched_on) = self.registry.lock().outcome(&entry);
        let generation = self.put(entry);
        tracing::info!(module = &*name, version, canary, canary_ended, digest = &*digest, generation, "module changed");
        Ok(Deployed { canary, canary_ended, switched_on, tag, ..Deployed::new(name, version, digest, generation) })
    }

    /// What there is, for people.
    fn looked_at(&self) -> parking_lot::MutexGuard<'_, Registry> {
        let mut registry = self.registry.lock();
        self.end_quarantines(&mut registry);
        registry
    }

    /// Makes a changed entry the one that holds, in memory.
    pub(super) fn put(&self, mut entry: Entry) -> u64 {
        // It may have ended since the entry was copied.
        entry.forget_quarantine();
        let mut registry = self.registry.lock();
        registry.entries.insert((*entry.services.module).into(), entry);
        self.swap(&mut registry)
    }

    pub(super) fn swap(&self, registry: &mut Registry) -> u64 {
        let chain = registry.next_chain();
        let generation = chain.generation();
        self.delivery.store(chain.delivery_generation(), Ordering::Release);
        self.events.store(chain.wants_events().0, Ordering::Release);
        self.chain.store(chain);
        self.generation.store(generation, Ordering::Release);
        for entry in registry.entries.values() {
            let on_trial = entry.canary.as_ref().map(|canary| &canary.version);
            let asked = entry.running.iter().chain(on_trial).map(|version| version.id);
            entry.services.figures.are_of(asked, self.limits.figures_max);
        }
        generation
    }

    /// Waits until the changes are on disk. If they do not get there, `undo` says what must follow them should they
    /// get there later.
    pub(super) fn persist(&self, changes: Vec<Change>, undo: impl FnOnce() -> Vec<Change>) -> Result<(), DeployError> {
        self.store.submit(changes);
        if self.store.flush_blocking(COMMIT_PATIENCE) {
            return Ok(());
        }
        self.store.submit(undo());
        Err(DeployError::Store)
    }

    /// What takes back the last change of a module: it added at most one version, and changed what is chosen.
    pub(super) fn undo(&self, name: &str) -> Vec<Change> {
        match self.registry.lock().entries.get(name) {
            // Versions are numbered upwards, so that one more than there are is the one that failed.
            Some(entry) => vec![Change::ModuleVersionGone(name.into(), entry.next_number()), entry.record()],
            None => vec![Change::ModuleGone(name.into())],
        }
    }

    /// A module from the ground up, but for its state: that is to be closed first.
    fn whole(&self, entry: &Entry) -> Result<Vec<Change>, DeployError> {
        let mut changes = Vec::new();
        for number in entry.stored.keys().copied() {
            let material = entry.material(number).filter(|material| material.component.is_none());
            let component = material.map(|material| self.bytes(&material)).transpose()?.unwrap_or_default();
            changes.extend(entry.version_change(number, component));
        }
        changes.push(entry.record());
        Ok(changes)
    }

    /// See [`Modules::generation`].
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The right to change something; one at a time.
    pub(super) fn changing(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// The right to deploy: one component is compiled for it at a time, and one version comes after the other.
    pub(super) fn deploying(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.deploying.lock()
    }

    /// Does it while nothing that is kept is compiled again.
    pub(super) fn while_nothing_is_recalled<T>(&self, work: impl FnOnce() -> T) -> T {
        let _recalling = self.recalling.lock();
        work()
    }

    /// The program whose child compiles components that are deployed.
    pub(super) fn compiler(&self) -> Option<&PathBuf> {
        self.compiler.get()
    }

    /// Grants to a module what holds now.
    pub(super) fn grant_anew(&self, services: &Services) {
        services.outside.grant(self.grants.lock().get(&*services.module).cloned().unwrap_or_default());
    }

    /// As [`Inner::changing`], unless somebody changes something at the moment.
    pub(super) fn try_changing(&self) -> Option<parking_lot::MutexGuard<'_, ()>> {
        self.changing.try_lock()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn registry(&self) -> &Mutex<Registry> {
        &self.registry
    }
}

/// What [`is_name`] asks for, in words.
pub const NAME_RULE: &str = "1 to 64 letters, digits, dots, hyphens and underscores, with a letter or digit first";

/// Whether a module may be called so.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits)
}

pub(super) fn check_name(name: &str) -> Result<(), DeployError> {
    if is_name(name) { Ok(()) } else { Err(DeployError::Name(name.chars().take(NAME_BYTES_MAX).collect())) }
}
