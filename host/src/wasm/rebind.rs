//! What the configuration says of a module, said anew while the broker runs.

use super::component;
use super::error::DeployError;
use super::modules::Modules;
use super::open::{Binding, configured};
use super::registry::{Base, Standing};
use super::report::Deployed;
use super::version::Version;
use std::sync::Arc;

impl Modules {
    /// Binds a bundled or configured module anew: its configuration, order, policy, and whether it is asked, if `switched` says
    /// that the configuration has changed in this: otherwise it stays on or off, whoever has switched it. Nothing is written to
    /// disk, as the configuration is not kept there either, but for a module of which the store has a record: the next start is not
    /// to take what was said before this for the last word.
    ///
    /// Where a deployed version stands in its place, that goes on, and the new binding waits behind it.
    pub fn rebind(&self, binding: Binding, switched: bool) -> Result<Deployed, DeployError> {
        let inner = self.inner();
        let missing = || DeployError::NoModule(binding.name.clone());
        let digest: Option<Arc<str>> = binding.component.as_deref().map(|bytes| component::digest(bytes).into());
        let config: Arc<str> = binding.config.as_str().into();
        let mut made: Option<Arc<Version>> = None;
        // Compiled, where it has to be, before anybody is kept from changing anything.
        let (_changing, mut entry) = loop {
            let changing = inner.changing();
            let mut entry = inner.registry().lock().entry(&binding.name)?.clone();
            let former = entry.base.clone().ok_or_else(missing)?;
            let component = binding.component.clone().unwrap_or_else(|| former.component.clone());
            let digest = digest.clone().unwrap_or_else(|| former.digest.clone());
            let standing = Standing { order: binding.order, on_failure: binding.on_failure };
            entry.base = Some(Arc::new(Base { component, digest, config: config.clone(), standing }));
            entry.configured = configured(binding.enabled);
            if entry.chosen.is_some_and(|number| number != 0) {
                break (changing, entry);
            }
            let asked = if switched { binding.enabled } else { entry.chosen.is_some() };
            let version = made.take().filter(|version| asked && entry.is_made_of(version, 0));
            if asked && version.is_none() {
                drop(changing);
                made = Some(inner.load_version(&entry, 0, None)?);
                continue;
            }
            entry.standing = standing;
            entry.choose(version);
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
