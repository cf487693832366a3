//! Reading the configuration again while the broker runs.

use super::modules::binding;
use crate::admin::{Reload, Reloaded};
use crate::config::{Config, Module, Sources, differences};
use crate::wasm::Modules;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Compares what the sources say now with what they said last, and takes over what can be taken over: modules.
pub(super) fn from_sources(sources: Sources, config: Config, modules: Modules) -> Reload {
    let current = Mutex::new(config);
    Arc::new(move || {
        let mut current = current.lock();
        let new = sources.load().map_err(|error| error.to_string())?;
        Ok(take_over(&mut current, new, &modules))
    })
}

/// What needs a start stays as it is in `current`, so that the next reload says so again.
fn take_over(current: &mut Config, new: Config, modules: &Modules) -> Reloaded {
    let mut reloaded = Reloaded::default();
    let changes = differences(current, &new);
    let (live, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.live);
    reloaded.restart_needed = rest.into_iter().map(|change| change.key).collect();
    let names: BTreeSet<_> = live.iter().filter_map(|change| change.key.split('.').nth(1)).collect();
    for name in names {
        let Some(module) = new.modules.iter().find(|module| module.name == name) else { continue };
        let Some(known) = current.modules.iter_mut().find(|known| known.name == name) else { continue };
        let module = Module { path: known.path.clone(), ..module.clone() };
        let bound = binding(&module, current.wasm.component_bytes_max).map_err(|error| error.to_string());
        match bound.and_then(|binding| modules.rebind(binding).map_err(|error| format!("module {name}: {error}"))) {
            Ok(_) => {
                let prefix = format!("module.{name}.");
                let keys = live.iter().filter(|change| change.key.starts_with(&prefix));
                reloaded.applied.extend(keys.map(|change| change.key.clone()));
                *known = module;
            }
            Err(reason) => reloaded.failed.push(reason),
        }
    }
    reloaded
}
