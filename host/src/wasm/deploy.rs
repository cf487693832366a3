//! Deployments: a component becomes the next version of a module. What takes long is done before anybody is kept from changing
//! anything: a failing version is taken back, by itself or by hand, while another component is compiled.

use super::chain::OnFailure;
use super::compiler;
use super::component::{self, Compiled};
use super::error::DeployError;
use super::modules::{Inner, Modules, check_name};
use super::registry::{Canary, Entry, Standing, Stored};
use super::report::{Deployed, ModuleInfo};
use super::version::Version;
use crate::store::Change;
use std::sync::Arc;

/// The greatest order, and the least one if it is taken away from nothing.
pub const ORDER_MAX: i32 = 1_000_000;

/// How a module is to be deployed. What is none stays as it is, or becomes the default of a new module.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// `sha256:` and 64 hexadecimal digits that the component must have.
    pub digest: Option<String>,
    /// Ed25519 over the component's bytes, in base64, by one of the broker's [`Signers`](super::Signers).
    pub signature: Option<String>,
    /// Modules of a hook are asked by ascending order, then by name; at most [`ORDER_MAX`] from nothing. Default 10.
    pub order: Option<i32>,
    /// What becomes of messages on which it fails. Default: they are refused.
    pub on_failure: Option<OnFailure>,
    /// A JSON document. Default `{}`.
    pub config: Option<String>,
    /// Of a hundred clients, so many follow the new version until it is confirmed or taken back. Default: all, at once.
    pub canary: Option<u8>,
    /// Where all of this is so already nothing is stored. Default: it is a version of its own all the same.
    pub if_changed: bool,
}

/// How often a version is rehearsed anew for one change of its module, as others change that meanwhile.
const TRIES_MAX: u32 = 8;

/// The tries of one change.
pub(super) struct Tries(u32);

impl Tries {
    pub(super) fn new() -> Self {
        Self(TRIES_MAX)
    }

    /// Begins another one.
    pub(super) fn begin(&mut self, module: &str) -> Result<(), DeployError> {
        let overtaken = || DeployError::Overtaken { name: module.to_owned(), times: TRIES_MAX };
        self.0 = self.0.checked_sub(1).ok_or_else(overtaken)?;
        Ok(())
    }
}

/// A component, and what came with it to show who stands for it.
type Brought = (Arc<[u8]>, Option<Arc<str>>);

/// A module as it was when its deployment began.
struct Begun {
    entry: Entry,
    is_new: bool,
}

impl Modules {
    /// Installs a component as the next version of a module, new or known. Blocks for those who deploy already, for the compiler
    /// and for the disk. What others do to the module meanwhile comes before it; one that they switched off or removed stays so.
    pub fn deploy(&self, name: &str, bytes: &[u8], options: DeployOptions) -> Result<Deployed, DeployError> {
        check_name(name)?;
        if let Some(order) = options.order.filter(|order| order.unsigned_abs() > ORDER_MAX.unsigned_abs()) {
            return Err(DeployError::Order(order));
        }
        let inner = self.inner();
        let digest: Arc<str> = component::digest(bytes).into();
        if let Some(expected) = options.digest.as_deref().filter(|expected| !expected.eq_ignore_ascii_case(&digest)) {
            return Err(DeployError::Digest { expected: expected.to_owned(), actual: (*digest).into() });
        }
        inner.signers().check(bytes, options.signature.as_deref())?;
        let _deploying = inner.deploying();
        let begun = inner.begin(name)?;
        self.check(name, begun.known())?;
        if let Some(unchanged) = inner.is_so_already(&begun.entry, &digest, &options) {
            return Ok(unchanged);
        }
        inner.check_space()?;
        if let Some(percent) = options.canary {
            inner.check_canary(&begun.entry, percent)?;
        }
        let compiled = inner.compile_new(&begun.entry, &digest, bytes)?;
        inner.rehearse_own(&compiled, bytes)?;
        let (mut made, mut tries): (Option<Arc<Version>>, _) = (None, Tries::new());
        loop {
            let changing = inner.changing();
            let entry = inner.as_it_is_now(&begun)?;
            self.check(name, Some(&entry).filter(|_| !begun.is_new))?;
            let number = entry.next_number();
            let config = options.config.as_deref().map(Arc::from).unwrap_or_else(|| entry.info().config);
            let config: Arc<str> = if config.is_empty() { "{}".into() } else { config };
            let fits = |version: &Arc<Version>| entry.rehearsed(version, number, &digest) && version.config == config;
            if let Some(version) = made.take().filter(fits) {
                if let Some(percent) = options.canary {
                    inner.check_canary(&entry, percent)?;
                }
                let standing = options.standing(&entry);
                let canary = options.canary.map(|percent| Canary { version: version.clone(), percent, standing });
                let signature = options.signature.as_deref().map(|signature| signature.trim().into());
                return inner.add_version(entry, (version, standing), Some((bytes.into(), signature)), canary);
            }
            drop(changing);
            tries.begin(name)?;
            made = Some(inner.rehearse(&entry, number, compiled.clone(), digest.clone(), config)?);
        }
    }

    /// Gives a module another configuration (a JSON document), as a version of its own with the same component: of the version that
    /// is asked, or that was asked last. One that was off is on then.
    pub fn configure(&self, name: &str, config: &str) -> Result<Deployed, DeployError> {
        self.configure_by(name, config, false)
    }

    /// The same, unless it is so already.
    pub fn configure_if_changed(&self, name: &str, config: &str) -> Result<Deployed, DeployError> {
        self.configure_by(name, config, true)
    }

    fn configure_by(&self, name: &str, config: &str, if_changed: bool) -> Result<Deployed, DeployError> {
        let inner = self.inner();
        let (mut made, mut tries) = (None, Tries::new());
        loop {
            let changing = inner.changing();
            let entry = inner.registry().lock().entry(name)?.clone();
            self.check(name, Some(&entry))?;
            let from = entry.at_work().unwrap_or(0);
            let missing = || DeployError::NoVersion { name: name.to_owned(), version: from };
            let material = entry.material(from).ok_or_else(missing)?;
            if if_changed && entry.is_sound() && *material.config == *config {
                return Ok(inner.unchanged(&entry));
            }
            inner.check_space()?;
            let number = entry.next_number();
            let fits = |(version, _): &(Arc<Version>, _)| entry.rehearsed(version, number, &material.digest);
            if let Some((version, bytes)) = made.take().filter(fits) {
                let kept = if material.component.is_some() { None } else { Some((bytes, material.signature)) };
                let standing = entry.standing_of(from);
                return inner.add_version(entry, (version, standing), kept, None);
            }
            drop(changing);
            tries.begin(name)?;
            let bytes = inner.bytes_to_run(&material, None)?;
            let compiled = inner.compile_kept(&entry, &material.digest, || Ok(bytes.clone()))?;
            made = Some((inner.rehearse(&entry, number, compiled, material.digest, config.into())?, bytes));
        }
    }
}

impl DeployOptions {
    /// What it says of order and policy; the rest is as it is.
    fn standing(&self, entry: &Entry) -> Standing {
        Standing {
            order: self.order.unwrap_or(entry.standing.order),
            on_failure: self.on_failure.unwrap_or(entry.standing.on_failure),
        }
    }
}

impl Begun {
    fn known(&self) -> Option<&Entry> {
        Some(&self.entry).filter(|_| !self.is_new)
    }
}

impl Entry {
    /// The hooks that the version that is to be asked says it has, and this one has not.
    fn hooks_gone(&self, version: &Version) -> Vec<&'static str> {
        self.claims.iter().filter(|hook| !version.compiled.hooks.contains(hook)).copied().collect()
    }

    /// The version that is to be asked is, about everything and by everybody.
    fn is_sound(&self) -> bool {
        self.canary.is_none()
            && self
                .running
                .as_ref()
                .is_some_and(|running| Some(running.number) == self.chosen && !running.breaker.is_open())
    }
}

impl Inner {
    /// What comes of a deployment for everybody of what is active already, without compiling or storing anything; none: it is another.
    fn is_so_already(&self, entry: &Entry, digest: &str, options: &DeployOptions) -> Option<Deployed> {
        let active = entry.chosen.filter(|_| options.if_changed && entry.is_sound() && options.canary.is_none())?;
        let material = entry.material(active)?;
        let is_same = *material.digest == *digest
            && options.config.as_deref().is_none_or(|config| *config == *material.config)
            && options.signature.as_deref().is_none_or(|given| material.signature.as_deref() == Some(given.trim()))
            && options.standing(entry) == entry.standing;
        is_same.then(|| self.unchanged(entry))
    }

    /// What came of a change that was none.
    fn unchanged(&self, entry: &Entry) -> Deployed {
        let ModuleInfo { name, digest, version, tag, .. } = entry.info();
        let deployed = Deployed::new(name, version, digest, self.generation());
        Deployed { unchanged: true, tag: Some(tag), ..deployed }
    }

    /// A version is kept; on a full disk it would take what is there for emptying queues.
    fn check_space(&self) -> Result<(), DeployError> {
        if self.store().is_out_of_space() { Err(DeployError::DiskFull) } else { Ok(()) }
    }

    fn begin(&self, name: &str) -> Result<Begun, DeployError> {
        let known = self.registry().lock().entries.get(name).cloned();
        match known {
            Some(entry) => Ok(Begun { entry, is_new: false }),
            None => Ok(Begun { entry: self.new_entry(name, Vec::new())?, is_new: true }),
        }
    }

    /// The module that is deployed, with what others did to it since that began. Called with the right to change something.
    fn as_it_is_now(&self, begun: &Begun) -> Result<Entry, DeployError> {
        let services = &begun.entry.services;
        let name = &*services.module;
        let known = self.registry().lock().entries.get(name).cloned();
        match known {
            // Nobody else adds one, as one deploys at a time.
            None if begun.is_new => {
                self.grant_anew(services);
                Ok(begun.entry.clone())
            }
            Some(now) if Arc::ptr_eq(&now.services, services) => match begun.entry.chosen.is_some() {
                true if now.chosen.is_none() => Err(DeployError::SwitchedOff(name.to_owned())),
                _ => Ok(now),
            },
            _ => Err(DeployError::Removed(name.to_owned())),
        }
    }

    /// Compiles what is deployed, in a child first. Called by whoever deploys, of whom there is one.
    fn compile_new(&self, entry: &Entry, digest: &str, bytes: &[u8]) -> Result<Arc<Compiled>, DeployError> {
        if let Some(compiled) = entry.ready_component(digest) {
            return Ok(compiled);
        }
        if let Some(program) = self.compiler() {
            let machine_code = self.engine.machine_code.as_ref();
            machine_code.inspect(|code| self.while_nothing_is_recalled(|| code.sweep()));
            compiler::in_child(program, &self.limits, machine_code, bytes)?;
        }
        self.compile(bytes)
    }

    /// Makes a rehearsed version the newest of its module, and the one that is asked or tried. Called with the right to change
    /// something. With its component and what came with that; none: it is the base's.
    fn add_version(
        &self,
        mut entry: Entry,
        (version, standing): (Arc<Version>, Standing),
        component: Option<Brought>,
        canary: Option<Canary>,
    ) -> Result<Deployed, DeployError> {
        let number = version.number;
        let of_base = component.is_none();
        let (component, signature) = component.unwrap_or_default();
        let digest = if of_base { component::digest(&component).into() } else { version.digest.clone() };
        let config = version.config.clone();
        let hooks_gone = entry.hooks_gone(&version);
        let installed = (self.clock)();
        entry.stored.insert(number, Arc::new(Stored { digest, of_base, config, installed, signature, standing }));
        match canary {
            Some(canary) => (entry.canary, entry.canary_lost) = (Some(canary), None),
            None => entry.choose(Some(version)),
        }
        let changes: Vec<Change> = entry.version_change(number, component).into_iter().collect();
        let name: Box<str> = (*entry.services.module).into();
        let gone = entry.prune(self.limits.versions_kept);
        let services = entry.services.clone();
        let deployed = self.commit(entry, changes)?;
        gone.iter().for_each(|number| services.tallies.forget(*number));
        // Only now, so that a disk that did not take the new one has not thrown away an old one. Nobody waits for it.
        self.store().submit(gone.into_iter().map(|number| Change::ModuleVersionGone(name.clone(), number)));
        if !hooks_gone.is_empty() {
            let (module, hooks) = (&*services.module, hooks_gone.join(", "));
            tracing::warn!(module, number, hooks, "this version does not serve hooks that the version before it does");
        }
        Ok(Deployed { hooks_gone, ..deployed })
    }

    /// A canary needs an active version beside it, and is the only one.
    fn check_canary(&self, entry: &Entry, percent: u8) -> Result<(), DeployError> {
        if !(1..=100).contains(&percent) {
            return Err(DeployError::CanaryPercent(percent));
        }
        if entry.running.is_none() {
            return Err(DeployError::CanaryAlone((*entry.services.module).into()));
        }
        let registry = self.registry().lock();
        let other = registry.entries.values().find(|other| other.canary.is_some());
        match other.filter(|other| other.services.module != entry.services.module) {
            Some(other) => Err(DeployError::CanaryElsewhere((*other.services.module).into())),
            None => Ok(()),
        }
    }
}
