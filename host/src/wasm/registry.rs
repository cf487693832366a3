//! Name to versions: what is installed, what of it is to run, and the chain that follows from it.

use super::chain::{Chain, Link, OnFailure};
use super::error::DeployError;
use super::report::{ModuleInfo, ModuleState, VersionInfo};
use super::services::Services;
use super::version::Version;
use crate::message::Time;
use crate::store::{Change, ModuleRecord, ModuleVersion};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All modules.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) entries: BTreeMap<Box<str>, Entry>,
    generation: u64,
}

/// One module.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) services: Arc<Services>,
    /// What came with the broker or its configuration: version 0.
    pub(super) base: Option<Arc<Base>>,
    /// What was deployed, by number.
    pub(super) stored: BTreeMap<u64, Arc<Stored>>,
    pub(super) order: i32,
    pub(super) on_failure: OnFailure,
    /// The version that is to be asked; none: switched off.
    pub(super) chosen: Option<u64>,
    /// The chosen version, unless it is broken.
    pub(super) running: Option<Arc<Version>>,
    /// The one that was asked before, ready to be asked again.
    pub(super) warm: Option<Arc<Version>>,
    pub(super) problem: Option<String>,
    /// The chosen version says that it decides over access.
    pub(super) claims_access: bool,
}

/// What a version is made of: component, digest, configuration.
pub(super) type Material = (Arc<[u8]>, Arc<str>, Arc<str>);

/// A module that needs no deployment.
pub(super) struct Base {
    pub(super) component: Arc<[u8]>,
    pub(super) digest: Arc<str>,
    pub(super) config: Arc<str>,
}

/// A deployed version.
pub(super) struct Stored {
    pub(super) digest: Arc<str>,
    /// Empty: the base's, under a configuration of its own. So a newer broker brings its newer modules along.
    pub(super) component: Arc<[u8]>,
    pub(super) config: Arc<str>,
    pub(super) installed: Time,
}

impl Entry {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            base: None,
            stored: BTreeMap::new(),
            order: 0,
            on_failure: OnFailure::Refuse,
            chosen: None,
            running: None,
            warm: None,
            problem: None,
            claims_access: false,
        }
    }

    /// Component, digest and configuration of a version.
    pub(super) fn material(&self, number: u64) -> Option<Material> {
        if number == 0 {
            let base = self.base.as_ref()?;
            return Some((base.component.clone(), base.digest.clone(), base.config.clone()));
        }
        let stored = self.stored.get(&number)?;
        if stored.component.is_empty() {
            let base = self.base.as_ref()?;
            return Some((base.component.clone(), base.digest.clone(), stored.config.clone()));
        }
        Some((stored.component.clone(), stored.digest.clone(), stored.config.clone()))
    }

    /// The number of the next version: numbers are never used twice while the newest version is kept.
    pub(super) fn next_number(&self) -> u64 {
        self.stored.keys().next_back().map_or(1, |last| last + 1)
    }

    /// The newest version that is older than the chosen one.
    pub(super) fn older(&self) -> Option<u64> {
        let chosen = self.chosen?;
        let stored = self.stored.range(..chosen).next_back().map(|(number, _)| *number);
        stored.or_else(|| (chosen > 0 && self.base.is_some()).then_some(0))
    }

    /// The version to ask when the module is switched on again: the one that was asked before.
    pub(super) fn last(&self) -> Option<u64> {
        let warm = self.warm.as_ref().map(|version| version.number);
        warm.filter(|number| self.material(*number).is_some()).or_else(|| self.newest())
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Option<u64> {
        self.stored.keys().next_back().copied().or_else(|| self.base.is_some().then_some(0))
    }

    /// What this number means for the entry: chosen, running, and the former one kept warm.
    pub(super) fn choose(&mut self, version: Option<Arc<Version>>) {
        self.chosen = version.as_ref().map(|version| version.number);
        self.claims_access = version.as_ref().is_some_and(|version| version.compiled.hooks.contains(&"access"));
        self.problem = None;
        let former = std::mem::replace(&mut self.running, version);
        if former.is_some() {
            self.warm = former;
        }
    }

    /// Forgets the oldest versions beyond `kept`, never the chosen one; returns their numbers.
    pub(super) fn prune(&mut self, kept: usize) -> Vec<u64> {
        let surplus = self.stored.len().saturating_sub(kept.max(2));
        let chosen = self.chosen;
        let newest = self.stored.keys().next_back().copied();
        let may_go = |number: &&u64| Some(**number) != chosen && Some(**number) != newest;
        let gone: Vec<u64> = self.stored.keys().filter(may_go).take(surplus).copied().collect();
        for number in &gone {
            self.stored.remove(number);
        }
        gone
    }

    /// The version in these words, if it is one of those that are ready.
    pub(super) fn ready(&self, number: u64) -> Option<Arc<Version>> {
        [&self.running, &self.warm].into_iter().flatten().find(|version| version.number == number).cloned()
    }

    pub(super) fn record(&self) -> Change {
        Change::Module(Box::new(ModuleRecord {
            name: (*self.services.module).into(),
            active: self.chosen,
            order: self.order,
            on_failure: self.on_failure.as_str().into(),
        }))
    }

    pub(super) fn version_change(&self, number: u64) -> Option<Change> {
        let stored = self.stored.get(&number)?;
        Some(Change::ModuleVersion(Box::new(ModuleVersion {
            name: (*self.services.module).into(),
            version: number,
            digest: (*stored.digest).into(),
            component: stored.component.clone(),
            config: (*stored.config).into(),
            installed: stored.installed,
        })))
    }

    pub(super) fn versions(&self) -> Vec<VersionInfo> {
        let base = self.base.iter().map(|base| VersionInfo {
            version: 0,
            digest: base.digest.clone(),
            config: base.config.clone(),
            installed_milliseconds: None,
            active: self.chosen == Some(0),
        });
        let stored = self.stored.iter().map(|(number, stored)| VersionInfo {
            version: *number,
            digest: self.material(*number).map_or_else(|| stored.digest.clone(), |(_, digest, _)| digest),
            config: stored.config.clone(),
            installed_milliseconds: Some(stored.installed.0),
            active: self.chosen == Some(*number),
        });
        base.chain(stored).collect()
    }

    pub(super) fn info(&self) -> ModuleInfo {
        let shown = self.chosen.or_else(|| self.newest());
        let (digest, config) = match shown.and_then(|number| self.material(number)) {
            Some((_, digest, config)) => (digest, config),
            None => ("".into(), "".into()),
        };
        let running = self.running.as_deref();
        let figures = running.map(Version::figures).unwrap_or_default();
        ModuleInfo {
            name: self.services.module.clone(),
            version: self.chosen,
            digest,
            order: self.order,
            on_failure: self.on_failure,
            hooks: running.map(|version| version.compiled.hooks.clone()).unwrap_or_default(),
            state: match (self.chosen, running) {
                (None, _) => ModuleState::Off,
                (Some(_), Some(_)) => ModuleState::Active,
                (Some(_), None) => ModuleState::Broken,
            },
            problem: self.problem.clone(),
            bundled: self.base.is_some(),
            calls: figures.iter().map(|figure| figure.calls).sum(),
            failures: figures.iter().map(|figure| figure.failures).sum(),
            figures,
            description: running.map(|version| version.manifest.description.clone()).unwrap_or_default(),
            module_version: running.map(|version| version.manifest.version.clone()).unwrap_or_default(),
            state_bytes: self.services.state.bytes(),
            config,
        }
    }
}

impl Registry {
    pub(super) fn entry(&self, name: &str) -> Result<&Entry, DeployError> {
        self.entries.get(name).ok_or_else(|| DeployError::NoModule(name.to_owned()))
    }

    /// The plan of the next generation.
    pub(super) fn next_chain(&mut self) -> Arc<Chain> {
        self.generation += 1;
        let links = self.entries.values().filter_map(|entry| {
            let version = entry.running.clone()?;
            Some(Arc::new(Link { version, order: entry.order, on_failure: entry.on_failure }))
        });
        let broken = |entry: &Entry| entry.chosen.is_some() && entry.running.is_none() && entry.claims_access;
        let access_closed = self.entries.values().any(broken);
        Arc::new(Chain::new(self.generation, links.collect(), access_closed))
    }
}
