//! What becomes of a version that fails again and again: the version before it is asked in its place, and everybody who
//! looks is told. Who decides over access changes by hand only: whoever can make rules fail is not to get older ones.

use super::breaker::What;
use super::fault::Fault;
use super::imports::log::LogLevel;
use super::modules::Inner;
use super::registry::{Entry, Registry};
use super::version::Version;
use crate::message::Time;
use crate::store::Quarantined;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// How the problem of a module begins whose version is in quarantine and has none to take its place.
const IN_QUARANTINE: &str = "in quarantine: ";

impl Inner {
    /// Whether a version in quarantine is not to be asked about this. Ends the quarantine where its time is over.
    #[cold]
    pub(super) fn keeps_away(&self, version: &Version, what: What) -> bool {
        let now = (self.clock)();
        if version.breaker.blocks(&self.limits, now, what) {
            return true;
        }
        if version.breaker.calms_down(&self.limits, now) {
            quarantine_is_over(version, &mut self.registry().lock(), now);
        }
        false
    }

    /// Ends the quarantines whose time is over, so that who looks sees what is.
    pub(super) fn end_quarantines(&self, registry: &mut Registry) {
        let now = (self.clock)();
        let is_over =
            |running: &&Arc<Version>| running.breaker.is_open() && running.breaker.calms_down(&self.limits, now);
        let running = registry.entries.values().filter_map(|entry| entry.running.as_ref());
        let over: Vec<Arc<Version>> = running.filter(is_over).cloned().collect();
        over.iter().for_each(|version| quarantine_is_over(version, registry, now));
    }

    /// Notes a failure against a version. The one that is too many puts it into quarantine.
    #[cold]
    pub(super) fn blame(inner: &Arc<Self>, version: &Arc<Version>, what: What, fault: &Fault) {
        let hook = what.0;
        if !version.breaker.failed(&inner.limits, (inner.clock)(), what, version.answered(&[hook])) {
            return;
        }
        let hook = hook.name();
        let (module, number) = (&*version.services.module, version.number);
        let (failures, window) = (inner.limits.failures_max, inner.limits.failures_window_milliseconds);
        let why = format!("{failures} failures within {window} ms, the last in {hook}: {fault}");
        inner.metrics.module_quarantines_total.add(1);
        tracing::error!(module, version = number, why, "ALARM: a module's version is put into quarantine");
        let line = format!("version {number} is put into quarantine: {why}");
        version.services.log.keep((inner.clock)(), LogLevel::Error, &line);
        // A change that is under way may be about this module: it is waited for, on another thread. So is the compiler.
        if let Some(_changing) = inner.try_changing()
            && inner.fall_back(version, &why, &Tried::default()).is_none()
        {
            return;
        }
        let (inner, version) = (inner.clone(), version.clone());
        let body = move || inner.fall_back_in_time(&version, &why);
        if let Err(error) = std::thread::Builder::new().name("module-fall-back".into()).spawn(body) {
            tracing::error!(%error, "no thread to go back to an older version");
        }
    }

    /// As [`Inner::fall_back`], with the time to compile what is older. Others may change something meanwhile, and it is looked at
    /// what they did.
    fn fall_back_in_time(self: &Arc<Self>, failed: &Arc<Version>, why: &str) {
        let mut tried = Tried::default();
        loop {
            let changing = self.changing();
            let Some((entry, number)) = self.fall_back(failed, why, &tried) else { return };
            drop(changing);
            match self.load_version(&entry, number, None) {
                Ok(version) if !version.decides_over_access() => tried.made = Some(version),
                _ => tried.unfit.push(number),
            }
        }
    }

    /// Goes back to the version that was asked before. Called with the right to change something. What it gives back is to be
    /// compiled first; none: nothing is left to do.
    fn fall_back(&self, failed: &Arc<Version>, why: &str, tried: &Tried) -> Option<(Entry, u64)> {
        let name = &*failed.services.module;
        let mut entry = self.registry().lock().entries.get(name).cloned()?;
        entry.quarantined.insert(failed.number, why.into());
        if entry.canary.as_ref().is_some_and(|canary| canary.version.id == failed.id) {
            entry.canary = None;
            entry.canary_lost =
                Some(format!("the canary, version {}, is over: it was put into quarantine: {why}", failed.number));
            // Nobody waits for the disk: a start after a crash says that there was one.
            self.store().submit([entry.record()]);
            self.put(entry);
            tracing::warn!(module = name, version = failed.number, "the canary is over");
            return None;
        }
        let runs = entry.running.as_ref().is_some_and(|running| running.id == failed.id);
        if !runs || !failed.breaker.is_open() {
            // Something else took its place already, or somebody wants it asked again.
            return None;
        }
        entry.problem = Some(format!("{IN_QUARANTINE}{why}"));
        if failed.decides_over_access() {
            let by_hand =
                "it decides over access, so that none takes its place by itself: go back by hand, or deploy another";
            tracing::error!(module = name, version = failed.number, "ALARM: {by_hand}");
            entry.problem = Some(format!("{IN_QUARANTINE}{why}; {by_hand}"));
            self.put(entry);
            return None;
        }
        let older = match self.older_version(&entry, tried) {
            Older::Ready(older) => older,
            Older::Kept(number) => {
                // Said now, as that may take a while.
                self.registry().lock().entries.insert(name.into(), entry.clone());
                return Some((entry, number));
            }
            Older::None => {
                // Nothing to go back to: it stays, and the breaker keeps what fails away from it.
                self.put(entry);
                return None;
            }
        };
        let number = older.number;
        let canary =
            entry.canary.as_ref().map(|canary| format!("; the canary, version {}, is over", canary.version.number));
        entry.choose(Some(older));
        let canary = canary.unwrap_or_default();
        entry.problem = Some(format!("version {} was put into quarantine: {why}{canary}", failed.number));
        // Nobody waits for the disk: a crash before it finds the failing version again, which fails again.
        entry.is_recorded = true;
        self.store().submit([entry.record()]);
        self.put(entry);
        self.metrics.module_rollbacks_total.add(1);
        tracing::warn!(module = name, from = failed.number, to = number, "went back to an older version");
        None
    }

    /// The one that was active before, unless it is in quarantine.
    fn older_version(&self, entry: &Entry, tried: &Tried) -> Older {
        let Some(chosen) = entry.chosen else { return Older::None };
        let fit = |number: &u64| !tried.unfit.contains(number) && !is_bare(entry, chosen, *number);
        for number in entry.active_before().filter(fit) {
            let made = || tried.made.clone().filter(|version| entry.is_made_of(version, number));
            match self.ready(entry, number).or_else(made) {
                Some(version) if version.decides_over_access() => {}
                Some(version) => return Older::Ready(version),
                None => return Older::Kept(number),
            }
        }
        Older::None
    }
}

/// Nothing has failed for as long as failures count.
fn quarantine_is_over(version: &Version, registry: &mut Registry, now: Time) {
    let (module, number) = (&*version.services.module, version.number);
    if let Some(entry) = registry.entries.get_mut(module) {
        entry.forget_quarantine();
    }
    tracing::info!(module, version = number, "the quarantine of a module's version is over");
    version.services.log.keep(now, LogLevel::Info, &format!("the quarantine of version {number} is over"));
}

impl Entry {
    /// What is said of the quarantine of the version that is asked goes with it.
    pub(super) fn forget_quarantine(&mut self) {
        let Some(running) = self.running.as_ref().filter(|running| !running.breaker.is_open()) else { return };
        if self.quarantined.remove(&running.number).is_some() {
            self.problem.take_if(|problem| problem.starts_with(IN_QUARANTINE));
        }
    }

    /// What is in quarantine, as the store is to have it.
    pub(super) fn quarantine_record(&self) -> Vec<Quarantined> {
        let known = self.quarantined.iter().filter_map(|(number, why)| Some((*number, self.made_of(*number)?, why)));
        known.map(|(version, made_of, why)| Quarantined { version, made_of, why: why.clone() }).collect()
    }

    /// Puts into quarantine what was there when this was recorded, as far as it still is what it was.
    pub(super) fn recall_quarantine(&mut self, recorded: Vec<Quarantined>) {
        let still = recorded.into_iter().filter(|it| self.made_of(it.version) == Some(it.made_of));
        self.quarantined = still.map(|it| (it.version, it.why)).collect();
    }

    /// Stands for what a version is made of. Version 0, and whatever has its component, is made of something else after another start.
    fn made_of(&self, number: u64) -> Option<u64> {
        let material = self.material(number)?;
        Some(xxh3_64(format!("{:?}", (material.digest, material.config)).as_bytes()))
    }
}

/// What came of older versions so far.
#[derive(Default)]
struct Tried {
    made: Option<Arc<Version>>,
    /// They do not run any more, or decide over access: nobody gets rights back because something else fails.
    unfit: Vec<u64>,
}

/// The version to go back to.
enum Older {
    Ready(Arc<Version>),
    Kept(u64),
    None,
}

/// Whether an older version is the bundled component as it came, without the rules that the newer one has: it would fail no less, and
/// what the operator wants of it would hold for nobody.
fn is_bare(entry: &Entry, chosen: u64, older: u64) -> bool {
    let (Some(newer), Some(bare)) = (entry.material(chosen), entry.material(older)) else { return false };
    older == 0 && bare.digest == newer.digest && bare.config.trim() == "{}" && newer.config != bare.config
}
