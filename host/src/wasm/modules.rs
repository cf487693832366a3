//! Modules: install, configure, go back, remove; and the chain that holds now.

use super::chain::{Chain, OnFailure};
use super::compiler;
use super::component::{self, Compiled};
use super::engine::Engine;
use super::error::{DeployError, OpenError};
use super::hooks::EventKinds;
use super::imports::log::{Log, LogLine};
use super::imports::metrics::{Figure, Figures};
use super::imports::state::{State, StoredValue};
use super::limits::{Limits, NAME_BYTES_MAX};
use super::machine_code::MachineCode;
use super::nursery::Nursery;
use super::outside::{HostGrant, Messenger, MessengerSlot, Outside};
use super::quota::Refusals;
use super::registry::{Canary, Entry, Material, Registry, Stored};
use super::report::{Deployed, ModuleInfo, VersionInfo};
use super::services::{Clock, RetainedLookup, RetainedSlot, Services};
use super::signature::Signers;
use super::version::Version;
use crate::metrics::Metrics;
use crate::store::{Change, Store};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All modules of a broker. Cheap to clone.
///
/// A change takes effect in this order: the component is compiled and rehearsed, the store has it on disk, the next
/// chain is built and one pointer swapped. An error at any of these steps leaves everything as it was.
#[derive(Clone)]
pub struct Modules(Arc<Inner>);

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
    signers: OnceLock<Signers>,
    chain: ArcSwap<Chain>,
    generation: AtomicU64,
    /// Of the chain that holds now, for those who must not wait to ask it: [`Chain::delivery_generation`] and
    /// [`Chain::wants_events`].
    delivery: AtomicU64,
    events: AtomicU8,
    /// Held for moments only.
    registry: Mutex<Registry>,
    /// Held by whoever changes something, from the first look to the swap.
    changing: Mutex<()>,
}

/// How a module is to be deployed. What is none stays as it is, or becomes the default of a new module.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// `sha256:` and 64 hexadecimal digits that the component must have.
    pub digest: Option<String>,
    /// Ed25519 over the component's bytes, in base64, by one of [`Modules::set_signers`].
    pub signature: Option<String>,
    /// Modules of a hook are asked by ascending order, then by name. Default 10.
    pub order: Option<i32>,
    /// What becomes of messages on which it fails. Default: they are refused.
    pub on_failure: Option<OnFailure>,
    /// A JSON document. Default `{}`.
    pub config: Option<String>,
    /// Of a hundred clients, so many follow the new version until it is confirmed or taken back. Default: all, at once.
    pub canary: Option<u8>,
}

/// The order of a module that was given none.
const ORDER_DEFAULT: i32 = 10;

/// How long a change may wait for the disk.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

impl Modules {
    pub(super) fn new(
        limits: Limits,
        store: Store,
        metrics: Arc<Metrics>,
        clock: Clock,
        machine_code: Option<MachineCode>,
    ) -> Result<Self, OpenError> {
        let engine = Engine::new(&limits, machine_code).map_err(|error| OpenError::Engine(format!("{error:#}")))?;
        Ok(Self(Arc::new(Inner {
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
            signers: OnceLock::new(),
            chain: ArcSwap::new(Chain::empty()),
            generation: AtomicU64::new(0),
            delivery: AtomicU64::new(0),
            events: AtomicU8::new(0),
            registry: Mutex::default(),
            changing: Mutex::new(()),
        })))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The plan that holds now.
    pub fn chain(&self) -> Arc<Chain> {
        self.0.chain.load_full()
    }

    /// The generation of that plan: one load, so that a worker sees whether the plan it holds is still the one.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// As [`Chain::delivery_generation`] of that plan.
    pub fn delivery_generation(&self) -> u64 {
        self.0.delivery.load(Ordering::Acquire)
    }

    /// Whether any module wants to be told of such things.
    #[inline]
    pub fn wants_events(&self, kinds: EventKinds) -> bool {
        EventKinds(self.0.events.load(Ordering::Relaxed)).has(kinds)
    }

    /// Every bound on modules.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Tells where modules find retained messages. To be called once, when the hall exists; later calls do nothing.
    pub fn set_retained(&self, lookup: RetainedLookup) {
        // A second lookup is ignored, as said.
        let _ = self.0.retained.set(lookup);
    }

    /// Says who carries modules' requests to servers outside. To be called once; later calls do nothing.
    pub fn set_messenger(&self, messenger: Messenger) {
        // A second one is ignored, as said.
        let _ = self.0.messenger.set(messenger);
    }

    /// Says anew which hosts outside modules may speak to, by the modules' names; who is not named may speak to none.
    pub fn set_grants(&self, grants: BTreeMap<String, Vec<HostGrant>>) {
        let _changing = self.0.changing.lock();
        let mut registry = self.0.registry.lock();
        let mut changed = false;
        for (name, entry) in &registry.entries {
            changed |= entry.services.outside.grant(grants.get(&**name).cloned().unwrap_or_default());
        }
        *self.0.grants.lock() = grants;
        if changed {
            self.0.swap(&mut registry);
        }
    }

    /// Says who may have signed what is deployed. To be called once; later calls do nothing.
    pub fn set_signers(&self, signers: Signers) {
        // A second one is ignored, as said.
        let _ = self.0.signers.set(signers);
    }

    /// Has components that are deployed tried by a child of this program first (see [`super::COMPILE_SUBCOMMAND`]). To be
    /// called once; later calls do nothing. Without it they are compiled without bounds on memory and time.
    pub fn set_compiler(&self, program: PathBuf) {
        // A second one is ignored, as said.
        let _ = self.0.compiler.set(program);
    }

    /// Installs a component as the next version of a module, new or known. Blocks for the compiler and the disk.
    pub fn deploy(&self, name: &str, bytes: &[u8], options: DeployOptions) -> Result<Deployed, DeployError> {
        check_name(name)?;
        let _changing = self.0.changing.lock();
        let digest: Arc<str> = component::digest(bytes).into();
        if let Some(expected) = options.digest.as_deref().filter(|expected| !expected.eq_ignore_ascii_case(&digest)) {
            return Err(DeployError::Digest { expected: expected.to_owned(), actual: (*digest).into() });
        }
        self.0.signers.get_or_init(Signers::default).check(bytes, options.signature.as_deref())?;
        let known = self.0.registry.lock().entries.get(name).cloned();
        let mut entry = match known {
            Some(entry) => entry,
            None => self.0.new_entry(name, Vec::new())?,
        };
        if let Some(percent) = options.canary {
            self.0.check_canary(&entry, percent)?;
        }
        if let Some(program) = self.0.compiler.get().filter(|_| entry.ready_component(&digest).is_none()) {
            let machine_code = self.0.engine.machine_code.as_ref().inspect(|code| code.sweep());
            compiler::in_child(program, &self.0.limits, machine_code, bytes)?;
        }
        let compiled = self.0.compile(&entry, &digest, bytes)?;
        self.0.rehearse_own(&compiled, bytes)?;
        let config = options.config.map(Arc::from).unwrap_or_else(|| entry.info().config);
        let config = if config.is_empty() { "{}".into() } else { config };
        entry.order = options.order.unwrap_or(entry.order);
        entry.on_failure = options.on_failure.unwrap_or(entry.on_failure);
        self.0.add_version(entry, compiled, digest, Some(bytes.into()), config, options.canary)
    }

    /// Ends a canary: every client follows it from now on.
    pub fn confirm(&self, name: &str) -> Result<Deployed, DeployError> {
        let _changing = self.0.changing.lock();
        let mut entry = self.0.registry.lock().entry(name)?.clone();
        let canary = entry.canary.take().ok_or_else(|| DeployError::NoCanary(name.to_owned()))?;
        entry.choose(Some(canary.version));
        self.0.commit(entry, Vec::new())
    }

    /// Gives a module another configuration (a JSON document), as a version of its own with the same component.
    pub fn configure(&self, name: &str, config: &str) -> Result<Deployed, DeployError> {
        let _changing = self.0.changing.lock();
        let entry = self.0.registry.lock().entry(name)?.clone();
        let number = entry.chosen.or_else(|| entry.newest()).unwrap_or(0);
        let missing = || DeployError::NoVersion { name: name.to_owned(), version: number };
        let material = entry.material(number).ok_or_else(missing)?;
        let bytes = self.0.bytes(&material)?;
        let compiled = self.0.compile(&entry, &material.digest, &bytes)?;
        let kept = if material.component.is_some() { None } else { Some(bytes) };
        self.0.add_version(entry, compiled, material.digest, kept, config.into(), None)
    }

    /// Goes back to a version that is kept, with its configuration: to this one, or to the newest older one. Without a
    /// number, a canary is taken back and nothing else changes.
    pub fn rollback(&self, name: &str, to: Option<u64>) -> Result<Deployed, DeployError> {
        let _changing = self.0.changing.lock();
        let mut entry = self.0.registry.lock().entry(name)?.clone();
        if to.is_none() && entry.canary.take().is_some() {
            return self.0.commit(entry, Vec::new());
        }
        let number = match to {
            Some(number) => number,
            None => entry.older().ok_or_else(|| DeployError::NothingOlder(name.to_owned()))?,
        };
        self.0.activate(entry, number)
    }

    /// Switches a module off, or on again with the version that was asked before.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<Deployed, DeployError> {
        let _changing = self.0.changing.lock();
        let mut entry = self.0.registry.lock().entry(name)?.clone();
        if !enabled {
            entry.choose(None);
            return self.0.commit(entry, Vec::new());
        }
        let number = match entry.chosen {
            Some(number) => number,
            None => entry.last().ok_or_else(|| DeployError::NoModule(name.to_owned()))?,
        };
        self.0.activate(entry, number)
    }

    /// Takes a module out, with its versions and its state. One that came with the broker or its configuration is only
    /// switched off.
    pub fn remove(&self, name: &str) -> Result<Deployed, DeployError> {
        let _changing = self.0.changing.lock();
        let mut entry = self.0.registry.lock().entry(name)?.clone();
        if entry.base.is_some() {
            entry.choose(None);
            return self.0.commit(entry, Vec::new());
        }
        let digest = entry.info().digest;
        let canary_ended = entry.canary.as_ref().map(|canary| canary.version.number);
        let undo = self.0.whole(&entry)?;
        // Calls under way go on to their end; what they write from here on would outlive the module.
        entry.services.state.close();
        if let Err(error) = self.0.persist(vec![Change::ModuleGone(name.into())], || undo) {
            entry.services.state.reopen();
            return Err(error);
        }
        entry.services.state.clear();
        let module = entry.services.module.clone();
        let mut registry = self.0.registry.lock();
        registry.entries.remove(name);
        let generation = self.0.swap(&mut registry);
        tracing::info!(module = name, generation, "module removed");
        Ok(Deployed { name: module, version: None, digest, generation, canary: None, canary_ended })
    }

    /// All modules, by name.
    pub fn list(&self) -> Vec<ModuleInfo> {
        let entries: Vec<Entry> = self.0.registry.lock().entries.values().cloned().collect();
        entries.iter().map(Entry::info).collect()
    }

    /// One module.
    pub fn show(&self, name: &str) -> Result<ModuleInfo, DeployError> {
        let entry = self.0.registry.lock().entry(name)?.clone();
        Ok(entry.info())
    }

    /// The versions that are kept, oldest first.
    pub fn versions(&self, name: &str) -> Result<Vec<VersionInfo>, DeployError> {
        Ok(self.0.registry.lock().entry(name)?.versions())
    }

    /// Recent log lines of a module, oldest first.
    pub fn logs(&self, name: &str) -> Result<Vec<LogLine>, DeployError> {
        let services = self.0.registry.lock().entry(name)?.services.clone();
        Ok(services.log.list())
    }

    /// How often services gave modules less than they wanted, for all modules: module, service, how often.
    pub fn refusals(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let registry = self.0.registry.lock();
        let of_one = |services: &Arc<Services>| {
            let module = services.module.clone();
            services.refusals.list().map(move |(service, count)| (module.clone(), service, count))
        };
        registry.entries.values().flat_map(|entry| of_one(&entry.services)).collect()
    }

    /// The figures that modules export: module, name, value.
    pub fn figures(&self) -> Vec<(Arc<str>, Box<str>, Figure)> {
        let services: Vec<Arc<Services>> =
            self.0.registry.lock().entries.values().map(|entry| entry.services.clone()).collect();
        let of_one = |services: Arc<Services>| {
            let module = services.module.clone();
            services.figures.list().into_iter().map(move |(name, figure)| (module.clone(), name, figure))
        };
        services.into_iter().flat_map(of_one).collect()
    }
}

impl Inner {
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
        }));
        entry.order = ORDER_DEFAULT;
        Ok(entry)
    }

    /// Compiles, unless a version of the same component is ready, or what it was compiled to is kept.
    pub(super) fn compile(&self, entry: &Entry, digest: &str, bytes: &[u8]) -> Result<Arc<Compiled>, DeployError> {
        match entry.ready_component(digest) {
            Some(compiled) => Ok(compiled),
            None => {
                let compiled = component::compile(&self.engine, &self.limits, bytes).map(Arc::new);
                self.engine.machine_code.iter().for_each(MachineCode::seal);
                compiled
            }
        }
    }

    /// Rehearses a version, and makes instances beforehand where that takes long.
    pub(super) fn rehearse(
        &self,
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
        self.stock(&version);
        Ok(Arc::new(version))
    }

    fn add_version(
        &self,
        mut entry: Entry,
        compiled: Arc<Compiled>,
        digest: Arc<str>,
        component: Option<Arc<[u8]>>,
        config: Arc<str>,
        canary: Option<u8>,
    ) -> Result<Deployed, DeployError> {
        let number = entry.next_number();
        let version = self.rehearse(&entry, number, compiled, digest, config.clone())?;
        let of_base = component.is_none();
        let component = component.unwrap_or_default();
        let digest = if of_base { component::digest(&component).into() } else { version.digest.clone() };
        entry.stored.insert(number, Arc::new(Stored { digest, of_base, config, installed: (self.clock)() }));
        match canary {
            Some(percent) => entry.canary = Some(Canary { version, percent }),
            None => entry.choose(Some(version)),
        }
        let changes: Vec<Change> = entry.version_change(number, component).into_iter().collect();
        let name: Box<str> = (*entry.services.module).into();
        let gone = entry.prune(self.limits.versions_kept);
        let deployed = self.commit(entry, changes)?;
        // Only now, so that a disk that did not take the new one has not thrown away an old one. Nobody waits for it.
        self.store.submit(gone.into_iter().map(|number| Change::ModuleVersionGone(name.clone(), number)));
        Ok(deployed)
    }

    fn activate(&self, mut entry: Entry, number: u64) -> Result<Deployed, DeployError> {
        let version = match entry.ready(number) {
            Some(version) => version,
            None => self.load_version(&entry, number, None)?,
        };
        // Whoever asks for it by name wants it asked, whatever it did before.
        version.breaker.reset();
        entry.quarantined.remove(&number);
        entry.choose(Some(version));
        self.commit(entry, Vec::new())
    }

    /// A canary needs an active version beside it, and is the only one.
    fn check_canary(&self, entry: &Entry, percent: u8) -> Result<(), DeployError> {
        if !(1..=100).contains(&percent) {
            return Err(DeployError::CanaryPercent(percent));
        }
        if entry.running.is_none() {
            return Err(DeployError::CanaryAlone((*entry.services.module).into()));
        }
        let registry = self.registry.lock();
        let other = registry.entries.values().find(|other| other.canary.is_some());
        match other.filter(|other| other.services.module != entry.services.module) {
            Some(other) => Err(DeployError::CanaryElsewhere((*other.services.module).into())),
            None => Ok(()),
        }
    }

    /// Compiles and rehearses a version that is kept; of these bytes, where the caller has them at hand.
    pub(super) fn load_version(
        &self,
        entry: &Entry,
        number: u64,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Version>, DeployError> {
        let name = &entry.services.module;
        let missing = || DeployError::NoVersion { name: (**name).into(), version: number };
        let material = entry.material(number).ok_or_else(missing)?;
        let compiled = match entry.ready_component(&material.digest) {
            Some(compiled) => compiled,
            None => {
                let bytes = bytes.map_or_else(|| self.bytes(&material), Ok)?;
                self.compile(entry, &material.digest, &bytes)?
            }
        };
        self.rehearse(entry, number, compiled, material.digest, material.config)
    }

    /// The component of a version: from memory, or from the store.
    pub(super) fn bytes(&self, material: &Material) -> Result<Arc<[u8]>, DeployError> {
        let read = || self.store.read_component(&material.digest, COMMIT_PATIENCE);
        material.component.clone().or_else(read).ok_or(DeployError::NotRead)
    }

    /// Makes a changed entry the one that holds: first on disk, then in the registry and in the next chain.
    fn commit(&self, mut entry: Entry, mut changes: Vec<Change>) -> Result<Deployed, DeployError> {
        entry.is_recorded = true;
        let name = entry.services.module.clone();
        changes.push(entry.record());
        self.persist(changes, || self.undo(&name))?;
        let digest = entry.info().digest;
        let version = entry.chosen;
        let canary = entry.canary.as_ref().map(|canary| canary.version.number);
        let canary_ended = self.registry.lock().ended_canary(&entry);
        let generation = self.put(entry);
        tracing::info!(module = &*name, version, canary, canary_ended, digest = &*digest, generation, "module changed");
        Ok(Deployed { name, version, digest, generation, canary, canary_ended })
    }

    /// Makes a changed entry the one that holds, in memory.
    pub(super) fn put(&self, entry: Entry) -> u64 {
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

    /// A module from the ground up, but for its state.
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

    /// The right to change something; one at a time.
    pub(super) fn changing(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.changing.lock()
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
