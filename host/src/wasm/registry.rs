//! Name to versions: what is installed, what of it is to run, and the chain that follows from it.

use super::chain::{Chain, Link, OnFailure};
use super::closed::Closed;
use super::component::Compiled;
use super::error::DeployError;
use super::report::{CanaryInfo, ModuleInfo, ModuleState, VersionInfo};
use super::services::Services;
use super::version::Version;
use crate::message::Time;
use crate::store::{Change, Configured, ModuleRecord, ModuleVersion};
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
    pub(super) standing: Standing,
    /// The version that is to be asked; none: switched off.
    pub(super) chosen: Option<u64>,
    /// The chosen version, unless it is broken.
    pub(super) running: Option<Arc<Version>>,
    /// The one that was asked before, ready to be asked again.
    pub(super) warm: Option<Arc<Version>>,
    /// What was chosen before, the last one last; each version once.
    pub(super) former: Vec<u64>,
    pub(super) problem: Option<String>,
    /// A newer version that some of the clients follow.
    pub(super) canary: Option<Canary>,
    /// What became of a canary that nobody ended, until somebody changes the module.
    pub(super) canary_lost: Option<String>,
    /// The version to ask when the module is switched on again.
    pub(super) resting: Option<u64>,
    /// What the configuration says of it.
    pub(super) configured: Configured,
    /// The store has a record of it for the next start: somebody has switched, configured or deployed it.
    pub(super) is_recorded: bool,
    /// Versions that failed too often since they were last put to work, and how.
    pub(super) quarantined: BTreeMap<u64, Box<str>>,
    /// The hooks that the chosen version says it has.
    pub(super) claims: Vec<&'static str>,
}

/// A version on trial.
#[derive(Clone)]
pub(super) struct Canary {
    pub(super) version: Arc<Version>,
    /// Of a hundred clients, how many follow it.
    pub(super) percent: u8,
    /// What was said for it, and holds for those who follow it.
    pub(super) standing: Standing,
}

/// Where a module stands among the others, and what becomes of messages on which it fails.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) order: i32,
    pub(super) on_failure: OnFailure,
}

/// What a version is made of.
pub(super) struct Material {
    /// None: it lies in the store, under its digest.
    pub(super) component: Option<Arc<[u8]>>,
    pub(super) digest: Arc<str>,
    pub(super) config: Arc<str>,
    /// What came with the component when it was deployed.
    pub(super) signature: Option<Arc<str>>,
}

/// A module that needs no deployment.
pub(super) struct Base {
    pub(super) component: Arc<[u8]>,
    pub(super) digest: Arc<str>,
    pub(super) config: Arc<str>,
    pub(super) standing: Standing,
}

/// A deployed version. Its component stays in the store: compiled it is needed, as bytes it hardly ever is.
pub(super) struct Stored {
    pub(super) digest: Arc<str>,
    /// The component is the base's, under a configuration of its own. So a newer broker brings its newer modules along.
    pub(super) of_base: bool,
    pub(super) config: Arc<str>,
    pub(super) installed: Time,
    pub(super) signature: Option<Arc<str>>,
    /// Goes and comes with it.
    pub(super) standing: Standing,
}

impl Canary {
    fn info(&self) -> CanaryInfo {
        let figures = self.version.services.tallies.figures(self.version.number);
        CanaryInfo {
            version: self.version.number,
            percent: self.percent,
            order: self.standing.order,
            on_failure: self.standing.on_failure,
            calls: figures.iter().map(|figure| figure.calls).sum(),
            failures: figures.iter().map(|figure| figure.failures).sum(),
            figures,
        }
    }
}

impl Entry {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            base: None,
            stored: BTreeMap::new(),
            standing: Standing::default(),
            chosen: None,
            running: None,
            warm: None,
            former: Vec::new(),
            problem: None,
            canary_lost: None,
            claims: Vec::new(),
            canary: None,
            resting: None,
            configured: Configured::Nothing,
            is_recorded: false,
            quarantined: BTreeMap::new(),
        }
    }

    /// What a version is made of.
    pub(super) fn material(&self, number: u64) -> Option<Material> {
        let of_base = |base: &Base, config: &Arc<str>| Material {
            component: Some(base.component.clone()),
            digest: base.digest.clone(),
            config: config.clone(),
            signature: None,
        };
        if number == 0 {
            return self.base.as_deref().map(|base| of_base(base, &base.config));
        }
        let stored = self.stored.get(&number)?;
        if stored.of_base {
            return self.base.as_deref().map(|base| of_base(base, &stored.config));
        }
        let (digest, config, signature) = (stored.digest.clone(), stored.config.clone(), stored.signature.clone());
        Some(Material { component: None, digest, config, signature })
    }

    /// The number of the next version: numbers are never used twice while the newest version is kept.
    pub(super) fn next_number(&self) -> u64 {
        self.stored.keys().next_back().map_or(1, |last| last + 1)
    }

    /// What was said of a version's order and policy.
    pub(super) fn standing_of(&self, number: u64) -> Standing {
        let said = match number {
            0 => self.base.as_ref().map(|base| base.standing),
            _ => self.stored.get(&number).map(|stored| stored.standing),
        };
        said.unwrap_or(self.standing)
    }

    /// What is closed because the version that is to be asked does not run.
    fn closes(&self) -> Closed {
        match (self.chosen, &self.running) {
            (Some(_), None) => Closed::by(&self.claims, self.standing.on_failure),
            _ => Closed::default(),
        }
    }

    /// The version to ask when the module is switched on again: the one that was asked before.
    fn last(&self) -> Option<u64> {
        self.resting.filter(|number| self.material(*number).is_some()).or_else(|| self.newest())
    }

    /// The version that is asked, or that would be if the module were switched on.
    pub(super) fn at_work(&self) -> Option<u64> {
        self.chosen.or_else(|| self.last())
    }

    /// Whether a version is what this number stands for now.
    pub(super) fn is_made_of(&self, version: &Version, number: u64) -> bool {
        let material = self.material(number);
        material.is_some_and(|it| self.rehearsed(version, number, &it.digest) && version.config == it.config)
    }

    /// Whether a version was rehearsed as this one of this module, with a component of this digest.
    pub(super) fn rehearsed(&self, version: &Version, number: u64, digest: &str) -> bool {
        Arc::ptr_eq(&version.services, &self.services) && version.number == number && &*version.digest == digest
    }

    /// The newest version.
    fn newest(&self) -> Option<u64> {
        self.stored.keys().next_back().copied().or_else(|| self.base.is_some().then_some(0))
    }

    /// What this number means for the entry: chosen, running as it stood, and the former one kept warm.
    pub(super) fn choose(&mut self, version: Option<Arc<Version>>) {
        match &version {
            Some(version) => {
                self.note_former(version.number);
                self.standing = self.standing_of(version.number);
            }
            None => self.resting = self.chosen.or(self.resting),
        }
        self.canary = None;
        self.canary_lost = None;
        self.chosen = version.as_ref().map(|version| version.number);
        self.claims = version.as_ref().map(|version| version.compiled.hooks.clone()).unwrap_or_default();
        self.problem = None;
        let former = std::mem::replace(&mut self.running, version);
        if former.is_some() {
            self.warm = former;
        }
    }

    /// Whether the configuration knows the module and says that it is not to be asked.
    pub(super) fn is_configured_off(&self) -> bool {
        self.base.is_some() && self.configured == Configured::Off
    }

    /// All that the configuration says of it holds, and that is that it is off. Whoever switches it on gets what it was taken back to.
    pub(super) fn follow_configuration(&mut self) {
        self.choose(None);
        self.resting = Some(0);
        self.stand_as_configured();
    }

    /// Of order and policy what the configuration says holds.
    pub(super) fn stand_as_configured(&mut self) {
        self.standing = self.base.as_ref().map_or(self.standing, |base| base.standing);
    }

    /// Forgets the oldest versions beyond `kept`, never the chosen one, nor the one to go back to; returns their numbers.
    pub(super) fn prune(&mut self, kept: usize) -> Vec<u64> {
        let surplus = self.stored.len().saturating_sub(kept.max(2));
        let chosen = self.chosen.or(self.resting);
        let newest = self.stored.keys().next_back().copied();
        let before = self.active_before().next();
        let may_go = |number: &&u64| ![chosen, newest, before].contains(&Some(**number));
        let gone: Vec<u64> = self.stored.keys().filter(may_go).take(surplus).copied().collect();
        for number in &gone {
            self.stored.remove(number);
        }
        self.former.retain(|number| !gone.contains(number));
        self.quarantined.retain(|number, _| !gone.contains(number));
        gone
    }

    /// The component of this digest, if a version that is ready has it.
    pub(super) fn ready_component(&self, digest: &str) -> Option<Arc<Compiled>> {
        let on_trial = self.canary.as_ref().map(|canary| &canary.version);
        let ready = [self.running.as_ref(), self.warm.as_ref(), on_trial];
        let found = ready.into_iter().flatten().find(|version| &*version.digest == digest)?;
        Some(found.compiled.clone())
    }

    /// The version in these words, if it is one of those that are ready.
    pub(super) fn ready(&self, number: u64) -> Option<Arc<Version>> {
        [&self.running, &self.warm].into_iter().flatten().find(|version| version.number == number).cloned()
    }

    pub(super) fn record(&self) -> Change {
        Change::Module(Box::new(ModuleRecord {
            name: (*self.services.module).into(),
            active: self.chosen,
            resting: if self.chosen.is_none() { self.resting } else { None },
            order: self.standing.order,
            on_failure: self.standing.on_failure.as_str().into(),
            configured: self.configured,
            former: Some(self.former.clone()),
            canary: self.canary.as_ref().map(|canary| (canary.version.number, canary.percent)),
            quarantined: self.quarantine_record(),
        }))
    }

    /// The version with these bytes, as the store is to have it.
    pub(super) fn version_change(&self, number: u64, component: Arc<[u8]>) -> Option<Change> {
        let stored = self.stored.get(&number)?;
        Some(Change::ModuleVersion(Box::new(ModuleVersion {
            name: (*self.services.module).into(),
            version: number,
            digest: (*stored.digest).into(),
            component,
            config: (*stored.config).into(),
            installed: stored.installed,
            signature: stored.signature.as_deref().map(Into::into),
            standing: Some((stored.standing.order, stored.standing.on_failure.as_str().into())),
        })))
    }

    /// The versions that are kept, oldest first.
    pub(super) fn versions(&self) -> Vec<VersionInfo> {
        let base = self.base.iter().map(|base| self.version(0, base.digest.clone(), base.config.clone(), None));
        let stored = self.stored.iter().map(|(number, stored)| {
            let digest = self.material(*number).map_or_else(|| stored.digest.clone(), |material| material.digest);
            self.version(*number, digest, stored.config.clone(), Some(stored.installed.0))
        });
        base.chain(stored).collect()
    }

    fn version(
        &self,
        number: u64,
        digest: Arc<str>,
        config: Arc<str>,
        installed_milliseconds: Option<u64>,
    ) -> VersionInfo {
        let figures = self.services.tallies.figures(number);
        let Standing { order, on_failure } = self.standing_of(number);
        VersionInfo {
            version: number,
            digest,
            config,
            order,
            on_failure,
            installed_milliseconds,
            active: self.chosen == Some(number),
            canary_percent: self.canary.as_ref().filter(|it| it.version.number == number).map(|it| it.percent),
            quarantined: self.quarantined.get(&number).map(|why| why.to_string()),
            calls: figures.iter().map(|figure| figure.calls).sum(),
            failures: figures.iter().map(|figure| figure.failures).sum(),
            figures,
        }
    }

    pub(super) fn info(&self) -> ModuleInfo {
        let shown = self.at_work();
        let (digest, config) = match shown.and_then(|number| self.material(number)) {
            Some(material) => (material.digest, material.config),
            None => ("".into(), "".into()),
        };
        let running = self.running.as_deref();
        let figures = running.map(|version| self.services.tallies.figures(version.number)).unwrap_or_default();
        ModuleInfo {
            name: self.services.module.clone(),
            version: self.chosen,
            digest,
            order: self.standing.order,
            on_failure: self.standing.on_failure,
            hooks: running.map(|version| version.compiled.hooks.clone()).unwrap_or_default(),
            state: match (self.chosen, running) {
                (None, _) => ModuleState::Off,
                (Some(_), Some(running)) if running.breaker.is_open() => ModuleState::Quarantined,
                (Some(_), Some(_)) => ModuleState::Active,
                (Some(_), None) => ModuleState::Broken,
            },
            problem: self.problem.clone().or_else(|| self.canary_lost.clone()),
            tag: self.tag(),
            canary: self.canary.as_ref().map(|canary| canary.info()),
            quarantined: self.quarantined.keys().copied().collect(),
            bundled: self.base.is_some(),
            calls: figures.iter().map(|figure| figure.calls).sum(),
            failures: figures.iter().map(|figure| figure.failures).sum(),
            figures,
            spares: running.map(|version| version.spares.count()).unwrap_or_default(),
            description: running.map(|version| version.manifest.description.clone()).unwrap_or_default(),
            module_version: running.map(|version| version.manifest.version.clone()).unwrap_or_default(),
            state_bytes: self.services.state.bytes(),
            config,
            http_hosts: self.services.outside.granted().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Registry {
    pub(super) fn entry(&self, name: &str) -> Result<&Entry, DeployError> {
        self.entries.get(name).ok_or_else(|| DeployError::NoModule(name.to_owned()))
    }

    /// What a change of a module comes to: which canary it ends, and whether the module was off and is on now.
    pub(super) fn outcome(&self, changed: &Entry) -> (Option<u64>, bool) {
        let former = self.entries.get(&*changed.services.module);
        let was_off = former.is_some_and(|former| former.chosen.is_none());
        (self.ended_canary(changed), was_off && changed.chosen.is_some())
    }

    /// The version on trial that a change of its module ends without putting it to work.
    fn ended_canary(&self, changed: &Entry) -> Option<u64> {
        let former = self.entries.get(&*changed.services.module)?.canary.as_ref()?.version.number;
        let goes_on = changed.canary.as_ref().is_some_and(|canary| canary.version.number == former);
        (!goes_on && changed.chosen != Some(former)).then_some(former)
    }

    /// The first module that does not run, though it is to, and without which something is refused to everybody; and what.
    pub(super) fn closed_by(&self) -> Option<(Arc<str>, Closed)> {
        let mut closed = self.entries.values().map(|entry| (entry.services.module.clone(), entry.closes()));
        closed.find(|(_, closes)| *closes != Closed::default())
    }

    /// The plan of the next generation.
    pub(super) fn next_chain(&mut self) -> Arc<Chain> {
        self.generation += 1;
        let plan = self.generation;
        let links = |canary: bool| -> Vec<Arc<Link>> {
            let link = |entry: &Entry| {
                let on_trial =
                    entry.canary.as_ref().filter(|_| canary).map(|canary| (canary.version.clone(), canary.standing));
                let (version, standing) = on_trial.or_else(|| Some((entry.running.clone()?, entry.standing)))?;
                Some(Arc::new(Link::new(version, standing)))
            };
            self.entries.values().filter_map(link).collect()
        };
        let closed = self.entries.values().map(Entry::closes).fold(Closed::default(), Closed::or);
        let Some(canary) = self.entries.values().find_map(|entry| entry.canary.as_ref()) else {
            return Arc::new(Chain::new(plan, links(false), &[], closed));
        };
        let (straight, side) = (links(false), links(true));
        let ids = |links: &[Arc<Link>]| links.iter().map(|link| link.version.id).collect::<Vec<_>>();
        let (of_straight, of_side) = (ids(&straight), ids(&side));
        let (percent, salt) = (canary.percent, canary.version.id);
        self.generation += 1;
        let side = Chain::new(self.generation, side, &of_straight, closed);
        Arc::new(Chain::new(plan, straight, &of_side, closed).with_side(side, percent, salt))
    }
}
