//! Reading the configuration again while the broker runs.

use super::modules::{binding, grants};
use crate::admin::{Reload, Reloaded};
use crate::config::{Auth, Config, Module, Sources, differences};
use crate::identity::Identity;
use crate::net::Certificates;
use crate::wasm::{Deployed, Modules};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Compares what the sources say now with what they said last, and takes over what can be taken over: modules, users and
/// keys. Certificates are read again in any case.
pub(super) fn from_sources(
    sources: Sources,
    config: Config,
    modules: Modules,
    identity: Identity,
    certificates: Certificates,
) -> Reload {
    let current = Mutex::new(config);
    Arc::new(move || {
        let mut current = current.lock();
        let new = sources.load().map_err(|error| error.to_string()).inspect_err(|error| {
            tracing::error!("the configuration is not taken over: {}", error.replace('\n', "; "));
        })?;
        let mut reloaded = Reloaded::default();
        users(&mut current, &new, &identity, &mut reloaded);
        reloaded.failed.extend(certificates.reload());
        let reloaded = take_over(&mut current, new, &modules, reloaded);
        tell(&reloaded);
        Ok(reloaded)
    })
}

/// Whoever asked for it: the log is where somebody else finds it.
fn tell(reloaded: &Reloaded) {
    tracing::info!(
        applied = reloaded.applied.join(","),
        restart_needed = reloaded.restart_needed.join(","),
        waiting = reloaded.waiting.join("; "),
        canaries_ended = reloaded.canaries_ended.join("; "),
        connections_ended = reloaded.connections_ended,
        "read the configuration again"
    );
    for failed in &reloaded.failed {
        tracing::warn!("a part of the configuration is not taken over: {}", failed.replace('\n', "; "));
    }
}

/// Users and keys are read again whether or not a setting has changed: the files may have.
fn users(current: &mut Config, new: &Config, identity: &Identity, reloaded: &mut Reloaded) {
    // One that the new file does not name runs on until the next start, and lets in whom it let in.
    let mut listeners = current.listeners.clone();
    for listener in &mut listeners {
        let named = new.listeners.iter().find(|named| named.name == listener.name);
        listener.allow_anonymous = named.map_or(listener.allow_anonymous, |named| named.allow_anonymous);
    }
    match identity.reload(new.auth.settings(&listeners)) {
        Ok(ended) => {
            reloaded.connections_ended = ended;
            let changes = differences(current, new).into_iter().filter(|change| change.live).map(|change| change.key);
            let taken = |key: &String| key.starts_with("auth.") || key.ends_with(".allow_anonymous");
            reloaded.applied.extend(changes.filter(taken));
            let limits = std::mem::take(&mut current.auth.limits);
            current.auth = Auth { limits, ..new.auth.clone() };
            current.listeners = listeners;
        }
        Err(error) => reloaded.failed.push(error.to_string()),
    }
}

/// Which hosts modules may speak to holds at once, also of modules that the configuration did not name before.
fn grant(current: &mut Config, new: &Config, modules: &Modules, reloaded: &mut Reloaded) {
    modules.set_grants(grants(new));
    let names = |config: &Config| config.modules.iter().map(|module| module.name.clone()).collect::<BTreeSet<_>>();
    let mut changed = Vec::new();
    for name in &names(current) | &names(new) {
        let known = current.modules.iter().position(|module| module.name == name);
        let said = new.modules.iter().find(|module| module.name == name);
        let hosts = said.map(|module| module.http_hosts.clone()).unwrap_or_default();
        let differs = match (known, said) {
            (Some(at), None) if current.modules[at].only_grants() => {
                current.modules.remove(at);
                true
            }
            (Some(at), _) => std::mem::replace(&mut current.modules[at].http_hosts, hosts.clone()) != hosts,
            (None, Some(module)) if module.only_grants() => {
                current.modules.push(module.clone());
                true
            }
            (None, _) => false,
        };
        changed.extend(differs.then(|| format!("module.{name}.http_hosts")));
    }
    current.modules.sort_by(|a, b| a.name.cmp(&b.name));
    reloaded.applied.extend(changed);
}

/// What needs a start stays as it is in `current`, so that the next reload says so again.
fn take_over(current: &mut Config, new: Config, modules: &Modules, mut reloaded: Reloaded) -> Reloaded {
    grant(current, &new, modules, &mut reloaded);
    let changes = differences(current, &new);
    let (live, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.live);
    reloaded.restart_needed = rest.into_iter().map(|change| change.key).collect();
    let names: BTreeSet<_> = live.iter().filter_map(|change| module_of(&change.key)).collect();
    for name in names {
        let Some(module) = new.modules.iter().find(|module| module.name == name) else { continue };
        let Some(known) = current.modules.iter_mut().find(|known| known.name == name) else { continue };
        let module = Module { path: known.path.clone(), ..module.clone() };
        let switched = module.enabled != known.enabled;
        let bound = binding(&module, current.wasm.component_bytes_max).map_err(|error| error.to_string());
        match bound
            .and_then(|binding| modules.rebind(binding, switched).map_err(|error| format!("module {name}: {error}")))
        {
            Ok(done) => {
                let keys = live.iter().map(|change| change.key.as_str()).filter(|key| module_of(key) == Some(name));
                match waits(&module, &done) {
                    Some(why) => {
                        tracing::warn!(module = name, why, "what the configuration says of it is not in force");
                        reloaded.waiting.extend(keys.map(|key| format!("{key}: {why}")));
                    }
                    None => reloaded.applied.extend(keys.map(str::to_owned)),
                }
                let ended = done.canary_ended.map(|version| format!("{name}: version {version}"));
                reloaded.canaries_ended.extend(ended);
                *known = module;
            }
            Err(reason) => reloaded.failed.push(reason),
        }
    }
    reloaded
}

/// The module that a key is about. Its name may have dots, the settings of modules have none.
fn module_of(key: &str) -> Option<&str> {
    Some(key.strip_prefix("module.")?.rsplit_once('.')?.0)
}

/// Why a module does not do yet what the configuration says.
fn waits(module: &Module, done: &Deployed) -> Option<String> {
    let name = &module.name;
    match (done.version, module.enabled) {
        (Some(0), _) | (None, false) => None,
        (Some(version), enabled) => {
            let remedy = match enabled {
                true => format!("pliant module rollback {name} --to 0 puts to work what the configuration says"),
                false => format!("pliant module disable {name} switches it off"),
            };
            Some(format!("waits behind version {version}, which was deployed and goes on; {remedy}"))
        }
        (None, true) => {
            Some(format!("waits as it was switched off by hand; pliant module enable {name} switches it on"))
        }
    }
}
