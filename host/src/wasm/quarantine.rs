//! What becomes of a version that fails again and again: the version before it is asked in its place, and everybody who
//! looks is told.

use super::fault::Fault;
use super::imports::log::LogLevel;
use super::modules::Inner;
use super::registry::Entry;
use super::version::Version;
use std::sync::Arc;

impl Inner {
    /// Notes a failure against a version. The one that is too many puts it into quarantine.
    #[cold]
    pub(super) fn blame(inner: &Arc<Self>, version: &Arc<Version>, about: u64, hook: &str, fault: &Fault) {
        if !version.breaker.failed(&inner.limits, (inner.clock)(), about) {
            return;
        }
        let (module, number) = (&*version.services.module, version.number);
        let (failures, window) = (inner.limits.failures_max, inner.limits.failures_window_milliseconds);
        let why = format!("{failures} failures within {window} ms, the last in {hook}: {fault}");
        inner.metrics.module_quarantines_total.add(1);
        tracing::error!(module, version = number, why, "ALARM: a module's version is put into quarantine");
        let line = format!("version {number} is put into quarantine: {why}");
        version.services.log.keep((inner.clock)(), LogLevel::Error, &line);
        // A change that is under way may be about this module: it is waited for, on another thread.
        if let Some(_changing) = inner.try_changing()
            && inner.fall_back(version, &why, false)
        {
            return;
        }
        let (inner, version) = (inner.clone(), version.clone());
        let body = move || {
            let _changing = inner.changing();
            inner.fall_back(&version, &why, true);
        };
        if let Err(error) = std::thread::Builder::new().name("module-fall-back".into()).spawn(body) {
            tracing::error!(%error, "no thread to go back to an older version");
        }
    }

    /// Goes back to the version that was asked before. Called with the right to change something. Without `patience` only
    /// if that one is warm; false: it is to be tried again with.
    fn fall_back(&self, failed: &Arc<Version>, why: &str, patience: bool) -> bool {
        let name = &*failed.services.module;
        let Some(mut entry) = self.registry().lock().entries.get(name).cloned() else { return true };
        entry.quarantined.insert(failed.number, why.into());
        if entry.canary.as_ref().is_some_and(|canary| canary.version.id == failed.id) {
            entry.canary = None;
            self.put(entry);
            tracing::warn!(module = name, version = failed.number, "the canary is over");
            return true;
        }
        if entry.running.as_ref().is_none_or(|running| running.id != failed.id) {
            // Something else took its place already.
            return true;
        }
        let older = match self.older_version(&entry, patience) {
            Some(older) => older,
            None if patience => {
                // Nothing to go back to: it stays, and the breaker keeps what fails away from it.
                entry.problem = Some(format!("in quarantine: {why}"));
                self.put(entry);
                return true;
            }
            None => return false,
        };
        let number = older.number;
        entry.choose(Some(older));
        entry.problem = Some(format!("version {} was put into quarantine: {why}", failed.number));
        // Nobody waits for the disk: a crash before it finds the failing version again, which fails again.
        entry.is_recorded = true;
        self.store().submit([entry.record()]);
        self.put(entry);
        self.metrics.module_rollbacks_total.add(1);
        tracing::warn!(module = name, from = failed.number, to = number, "went back to an older version");
        true
    }

    /// The newest older version that is not in quarantine; compiled, if there is the patience for that.
    fn older_version(&self, entry: &Entry, patience: bool) -> Option<Arc<Version>> {
        let fit = |number: &u64| !entry.quarantined.contains_key(number);
        let chosen = entry.chosen?;
        let warm = entry.warm.clone().filter(|warm| warm.number < chosen && fit(&warm.number));
        if warm.is_some() || !patience {
            return warm;
        }
        let stored = entry.stored.range(..chosen).rev().map(|(number, _)| *number);
        let mut older = stored.chain((chosen > 0 && entry.base.is_some()).then_some(0)).filter(fit);
        older.find_map(|number| self.load_version(entry, number, None).ok())
    }
}
