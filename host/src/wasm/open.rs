//! The modules of a broker that starts: what came with it, what its configuration names, what was deployed before.

use super::chain::OnFailure;
use super::closed::Closed;
use super::component;
use super::error::OpenError;
use super::imports::log::LogLevel;
use super::limits::Limits;
use super::machine_code::MachineCode;
use super::modules::{Inner, Modules, check_name};
use super::registry::{Base, Entry, Standing, Stored};
use super::services::Clock;
use super::signature::Signers;
use crate::metrics::Metrics;
use crate::store::{Change, Configured, Loaded, LoadedState, ModuleRecord, ModuleVersion, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// A start that takes longer than this to get modules to run says what it does.
const LONG: Duration = Duration::from_secs(1);

/// A module that the configuration names: a bundled one, or one from a file.
#[derive(Debug, Clone)]
pub struct Binding {
    /// What it is called.
    pub name: String,
    /// The component; none: the bundled one of this name. Of a module that is bound anew it stays what it was.
    pub component: Option<Arc<[u8]>>,
    /// Modules of a hook are asked by ascending order, then by name.
    pub order: i32,
    /// What becomes of messages on which it fails.
    pub on_failure: OnFailure,
    /// A JSON document.
    pub config: String,
    /// Whether it is to be asked.
    pub enabled: bool,
}

/// What is known of modules from the last time: by the store, and beside it.
#[derive(Debug, Default)]
pub struct Kept {
    /// How modules are bound.
    pub modules: Vec<ModuleRecord>,
    /// Versions of modules.
    pub versions: Vec<ModuleVersion>,
    /// What modules keep.
    pub state: Vec<LoadedState>,
    /// What their components were compiled to. None: all are compiled.
    pub machine_code: Option<MachineCode>,
    /// Who may have signed what is deployed, and what is kept of that.
    pub signers: Signers,
}

impl Kept {
    /// What the store read back, taken out of the rest.
    pub fn take(loaded: &mut Loaded) -> Self {
        Self {
            modules: std::mem::take(&mut loaded.modules),
            versions: std::mem::take(&mut loaded.module_versions),
            state: std::mem::take(&mut loaded.state),
            machine_code: None,
            signers: Signers::default(),
        }
    }
}

impl Modules {
    /// Sets up all modules. A bundled module without a binding is known and switched off. What was deployed wins over
    /// what the configuration says of the same name; of what was switched on or off without that, the last word holds. A deployed
    /// version that does not run any more, or is not signed as it has to be, is left out with a line in the log, and nobody may do anything while one is missing
    /// that decides over access; a configured one that does not run is an error.
    pub fn open(
        limits: Limits,
        store: Store,
        kept: Kept,
        bundled: &[(&str, &[u8])],
        configured: Vec<Binding>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let modules = Self::new(limits, store, metrics, clock, (kept.machine_code, kept.signers))?;
        let inner = modules.inner();
        let mut plan =
            Plan { inner, state: by_module(kept.state), entries: BTreeMap::new(), components: BTreeMap::new() };
        for (name, bytes) in bundled {
            let off = Binding {
                name: (*name).to_owned(),
                component: Some((*bytes).into()),
                order: 10,
                on_failure: OnFailure::Refuse,
                config: "{}".to_owned(),
                enabled: false,
            };
            plan.bind(off).map_err(|error| OpenError::Module { name: (*name).to_owned(), error })?;
        }
        for binding in configured {
            let name = binding.name.clone();
            plan.bind(binding).map_err(|error| OpenError::Module { name, error })?;
        }
        let named: Vec<Box<str>> = plan.entries.keys().cloned().collect();
        plan.restore(kept.modules, kept.versions);
        let mut entries = std::mem::take(&mut plan.entries);
        said_if_long(|| {
            let mut entries = entries.iter_mut();
            entries.try_for_each(|(name, entry)| start(inner, entry, named.contains(name), &plan.components))
        })?;
        let mut registry = inner.registry().lock();
        registry.entries = entries;
        inner.swap(&mut registry);
        drop(registry);
        Ok(modules)
    }
}

/// Does it, and says in the log what takes so long.
fn said_if_long<T>(work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (over, wait) = mpsc::channel::<()>();
        let watch = move || {
            if wait.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
                tracing::info!("compiling modules; the next start finds what is compiled now");
            }
        };
        // Without a thread nothing is said.
        let _ = thread::Builder::new().name("patience".into()).spawn_scoped(scope, watch);
        let done = work();
        drop(over);
        done
    })
}

struct Plan<'a> {
    inner: &'a Inner,
    state: BTreeMap<Box<str>, Vec<LoadedState>>,
    entries: BTreeMap<Box<str>, Entry>,
    components: Components,
}

/// What was read at start, forgotten when everything runs: by module and version.
type Components = BTreeMap<(Box<str>, u64), Arc<[u8]>>;

fn by_module(state: Vec<LoadedState>) -> BTreeMap<Box<str>, Vec<LoadedState>> {
    let mut sorted = BTreeMap::<_, Vec<_>>::new();
    for value in state {
        sorted.entry(value.module.clone()).or_default().push(value);
    }
    sorted
}

impl Plan<'_> {
    fn entry(&mut self, name: &str) -> Result<&mut Entry, super::DeployError> {
        check_name(name)?;
        if !self.entries.contains_key(name) {
            let state = self.state.remove(name).unwrap_or_default();
            let state = state.into_iter().map(|value| (value.key, value.value, value.expires)).collect();
            let entry = self.inner.new_entry(name, state)?;
            self.entries.insert(name.into(), entry);
        }
        self.entries.get_mut(name).ok_or_else(|| super::DeployError::NoModule(name.to_owned()))
    }

    fn bind(&mut self, binding: Binding) -> Result<(), super::DeployError> {
        let entry = self.entry(&binding.name)?;
        let component = match (binding.component, &entry.base) {
            (Some(component), _) => component,
            (None, Some(base)) => base.component.clone(),
            (None, None) => return Err(super::DeployError::NoModule(binding.name)),
        };
        let digest = component::digest(&component).into();
        let standing = Standing { order: binding.order, on_failure: binding.on_failure };
        entry.base = Some(Arc::new(Base { component, digest, config: binding.config.into(), standing }));
        entry.standing = standing;
        entry.configured = configured(binding.enabled);
        entry.chosen = binding.enabled.then_some(0);
        Ok(())
    }

    /// Lays what was deployed over what was configured.
    fn restore(&mut self, records: Vec<ModuleRecord>, versions: Vec<ModuleVersion>) {
        let of_module: BTreeMap<Box<str>, Standing> =
            records.iter().map(|record| (record.name.clone(), standing(record.order, &record.on_failure))).collect();
        for version in versions {
            let own = version.standing.as_ref().map(|(order, on_failure)| standing(*order, on_failure));
            let stored = Stored {
                // An older broker kept that of the module only.
                standing: own.or_else(|| of_module.get(&version.name).copied()).unwrap_or_default(),
                digest: (*version.digest).into(),
                of_base: version.component.is_empty(),
                config: (*version.config).into(),
                installed: version.installed,
                signature: version.signature.as_deref().map(Into::into),
            };
            let of_base = stored.of_base;
            match self.entry(&version.name) {
                Ok(entry) => {
                    entry.stored.insert(version.version, Arc::new(stored));
                    if !of_base {
                        self.components.insert((version.name, version.version), version.component);
                    }
                }
                Err(error) => tracing::error!(module = &*version.name, %error, "a deployed module is left out"),
            }
        }
        records.into_iter().for_each(|record| self.recall(record));
    }

    /// Whether a module is asked is settled by who said so last: its record, or a configuration that says something else than it
    /// did when that was made. Either way the record follows, for the next start.
    fn recall(&mut self, record: ModuleRecord) {
        // A version that ought to run and is not there closes what it might have decided over.
        let is_wanted = record.active.is_some_and(|number| number > 0);
        if is_wanted && let Err(error) = self.entry(&record.name) {
            tracing::error!(module = &*record.name, %error, "a deployed module is left out");
        }
        let Some(entry) = self.entries.get_mut(&record.name) else {
            if record.configured != Configured::Nothing {
                let record = ModuleRecord { configured: Configured::Nothing, ..record };
                self.inner.store().submit([Change::Module(Box::new(record))]);
            }
            return;
        };
        let (module, was, is) = (&*record.name, record.configured, entry.configured);
        let is_new = was != is && was != Configured::Unknown;
        let of_base = |number: u64| number == 0 || entry.stored.get(&number).is_some_and(|stored| stored.of_base);
        let of_nothing = record.active.is_some_and(of_base) && entry.base.is_none();
        let is_over = of_nothing || (is_new && record.active.is_none_or(|number| number == 0));
        entry.is_recorded = true;
        entry.resting = record.resting;
        if is_over {
            entry.resting = record.resting.or(record.active);
            if entry.chosen != record.active {
                let on = entry.chosen.is_some();
                tracing::info!(
                    module,
                    on,
                    "the configuration has changed: it switches what was switched by hand before"
                );
            }
        } else {
            let words = match (record.active, entry.chosen) {
                (None, Some(_)) => Some(("off", "on")),
                (Some(0), None) => Some(("on", "off")),
                _ => None,
            };
            if let Some((hand, file)) = words {
                tracing::warn!(
                    module,
                    "it was switched {hand} by hand and stays {hand}, although the configuration says {file}"
                );
            }
            entry.chosen = record.active;
        }
        // What was deployed by hand keeps what was said with it; the configuration's own version follows the configuration.
        if of_nothing || (!is_over && record.active.or(record.resting) != Some(0)) {
            entry.standing = standing(record.order, &record.on_failure);
        }
        entry.former = former(&record, entry);
        entry.recall_quarantine(record.quarantined);
        if let Some((version, percent)) = record.canary {
            let lost = format!(
                "the canary, version {version} for {percent} of 100 clients, is over: a restart of the broker has ended it"
            );
            tracing::warn!(module, version, percent, "a restart has ended the canary");
            entry.canary_lost = Some(lost);
        }
        // A trial that is over is told of once.
        if was != is || record.canary.is_some() {
            self.inner.store().submit([entry.record()]);
        }
    }
}

fn standing(order: i32, on_failure: &str) -> Standing {
    Standing { order, on_failure: OnFailure::from_name(on_failure).unwrap_or_default() }
}

/// What was active before; where an older broker has recorded it, all that has a lower number may have been.
fn former(record: &ModuleRecord, entry: &Entry) -> Vec<u64> {
    let lower = || {
        let active = entry.chosen.or(entry.resting).unwrap_or(0);
        let base = (active > 0 && entry.base.is_some()).then_some(0);
        base.into_iter().chain(entry.stored.range(..active).map(|(number, _)| *number)).collect()
    };
    record.former.clone().unwrap_or_else(lower)
}

/// As it is recorded.
pub(super) fn configured(enabled: bool) -> Configured {
    if enabled { Configured::On } else { Configured::Off }
}

/// Gets the chosen version of a module to run.
fn start(inner: &Arc<Inner>, entry: &mut Entry, configured: bool, components: &Components) -> Result<(), OpenError> {
    let Some(number) = entry.chosen else { return Ok(()) };
    let name = entry.services.module.clone();
    let bytes = components.get(&((*name).into(), number)).cloned();
    match inner.load_version(entry, number, bytes.clone()) {
        Ok(version) => {
            let canary_lost = entry.canary_lost.take();
            entry.choose(Some(version));
            entry.canary_lost = canary_lost;
            // It begins anew.
            entry.quarantined.remove(&number);
            if configured && number != 0 {
                tracing::info!(module = &*name, version = number, "deployed version in place of the configured one");
            }
            Ok(())
        }
        Err(error) if number == 0 => Err(OpenError::Module { name: (*name).into(), error }),
        Err(error) => {
            let bytes = bytes.or_else(|| entry.material(number).and_then(|material| material.component));
            entry.claims = bytes.map_or_else(|| component::HOOKS.to_vec(), |bytes| component::claims(&bytes));
            entry.problem = Some(error.to_string());
            let line = format!("version {number} does not run: {error}");
            entry.services.log.keep((inner.clock)(), LogLevel::Error, &line);
            let closes = Closed::by(&entry.claims, entry.standing.on_failure).to_string();
            tracing::error!(
                module = &*name, version = number, %error, closes,
                "a deployed module does not run: deploy another version, or disable it"
            );
            Ok(())
        }
    }
}
