//! What the configuration says of a module, said anew while the broker runs.

use super::error::DeployError;
use super::modules::Modules;
use super::open::{Binding, configured};
use super::registry::{Base, Entry, Standing};
use super::report::Deployed;
use super::version::Version;
use std::sync::Arc;

impl Entry {
    /// Takes over what the configuration says of it, but for its component, which is that of the start: what runs behind it is made of
    /// that. Whether that is to be asked; none: a deployed version stands before it.
    fn bind(&mut self, binding: &Binding, switched: bool) -> Result<Option<bool>, DeployError> {
        let former = self.base.clone().ok_or_else(|| DeployError::NoModule(binding.name.clone()))?;
        let (component, digest) = (former.component.clone(), former.digest.clone());
        let standing = Standing { order: binding.order, on_failure: binding.on_failure };
        self.base = Some(Arc::new(Base { component, digest, config: binding.config.as_str().into(), standing }));
        self.configured = configured(binding.enabled);
        // What failed was the one before.
        self.quarantined.remove(&0);
        let asked = if switched { binding.enabled } else { self.chosen.is_some() };
        Ok(self.chosen.is_none_or(|number| number == 0).then_some(asked))
    }
}

impl Modules {
    /// Whether [`Modules::rebind`] would take this: rehearses it, and changes nothing.
    pub fn try_binding(&self, binding: &Binding, switched: bool) -> Result<(), DeployError> {
        let inner = self.inner();
        let mut entry = inner.registry().lock().entry(&binding.name)?.clone();
        match entry.bind(binding, switched)? {
            Some(true) => inner.load_version(&entry, 0, None).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether these bytes are what a bundled or configured module is made of.
    pub fn is_made_of(&self, name: &str, bytes: &[u8]) -> bool {
        let registry = self.inner().registry().lock();
        let base = registry.entries.get(name).and_then(|entry| entry.base.clone());
        drop(registry);
        base.is_some_and(|base| *base.component == *bytes)
    }

    /// Binds a bundled or configured module anew: its configuration, order, policy, and whether it is asked, if `switched` says
    /// that the configuration has changed in this: otherwise it stays on or off, whoever has switched it. Nothing is written to
    /// disk, as the configuration is not kept there either, but for a module of which the store has a record: the next start is not
    /// to take what was said before this for the last word.
    ///
    /// Where a deployed version stands in its place, that goes on, and the new binding waits behind it.
    pub fn rebind(&self, binding: Binding, switched: bool) -> Result<Deployed, DeployError> {
        let inner = self.inner();
        let mut made: Option<Arc<Version>> = None;
        // Compiled, where it has to be, before anybody is kept from changing anything.
        let (_changing, mut entry) = loop {
            let changing = inner.changing();
            let mut entry = inner.registry().lock().entry(&binding.name)?.clone();
            let Some(asked) = entry.bind(&binding, switched)? else { break (changing, entry) };
            let version = made.take().filter(|version| asked && entry.is_made_of(version, 0));
            if asked && version.is_none() {
                drop(changing);
                made = Some(inner.load_version(&entry, 0, None)?);
                continue;
            }
            entry.choose(version);
            // Off, a deployed version may be the one that would be asked.
            if entry.at_work() == Some(0) {
                entry.stand_as_configured();
            }
            break (changing, entry);
        };
        if switched && entry.is_recorded {
            inner.persist(vec![entry.record()], || inner.undo(&binding.name))?;
        }
        // Made of the former binding: it must not be taken for the new one.
        entry.warm = entry.warm.take().filter(|version| version.number != 0);
        let (digest, version, tag) = (entry.info().digest, entry.chosen, Some(entry.tag()));
        let name = entry.services.module.clone();
        let mut registry = inner.registry().lock();
        let (canary_ended, switched_on) = registry.outcome(&entry);
        registry.entries.insert((*name).into(), entry);
        let generation = inner.swap(&mut registry);
        tracing::info!(module = &*name, version, canary_ended, digest = &*digest, generation, "module bound anew");
        Ok(Deployed { canary_ended, switched_on, tag, ..Deployed::new(name, version, digest, generation) })
    }
}
