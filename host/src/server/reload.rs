//! Reading the configuration again while the broker runs.

use super::modules::{component, grants, settings};
use super::secrets::Secrets;
use super::waiting;
use crate::admin::{Reload, Reloaded};
use crate::config::{Auth, Config, Module, Origins, Sources, differences};
use crate::identity::Identity;
use crate::net::Certificates;
use crate::wasm::{Binding, DeployError, Modules};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Compares what the sources say now with what they said last, and takes over what can be taken over: modules, users and
/// keys. Certificates, keys and tokens are read again in any case.
pub(super) fn from_sources(
    sources: Sources,
    config: Config,
    secrets: Secrets,
    identity: Identity,
    certificates: Certificates,
) -> Reload {
    let current = Mutex::new(config);
    Arc::new(move || {
        let mut current = current.lock();
        let (new, written) = sources.load_with_origins().map_err(|error| error.to_string()).inspect_err(|error| {
            tracing::error!("the configuration is not taken over: {}", error.replace('\n', "; "));
        })?;
        let refused = refused(&current, &new, &secrets.modules);
        if !refused.is_empty() {
            tracing::error!("the configuration is not taken over: {}", refused.join("; "));
            return Err(refused.join("\n"));
        }
        // Before the connections are looked through.
        let mut reloaded = Reloaded { failed: certificates.reload(), ..Reloaded::default() };
        users(&mut current, &new, &identity, &mut reloaded);
        secrets.reload(&mut current, &new, &mut reloaded);
        let reloaded = take_over(&mut current, new, &written, &secrets.modules, reloaded);
        tell(&reloaded);
        Ok(reloaded)
    })
}

/// Why modules would not take what is said of them now, before anything is changed.
fn refused(current: &Config, new: &Config, modules: &Modules) -> Vec<String> {
    let changes = differences(current, new);
    let mut refused = Vec::new();
    for module in new.modules.iter().filter(|module| !module.only_grants()) {
        let Some(known) = current.modules.iter().find(|known| known.name == module.name) else { continue };
        let concerns = |key: &str| module_of(key) == Some(&module.name) && !key.ends_with(".http_hosts");
        if known.only_grants() || !changes.iter().any(|change| change.live && concerns(&change.key)) {
            continue;
        }
        refused.extend(rebind(module, known, |binding, switched| modules.try_binding(&binding, switched)).err());
    }
    refused
}

/// Has `bind` bind a module anew, or try to; with whether it is switched.
fn rebind<T>(
    module: &Module,
    known: &Module,
    bind: impl FnOnce(Binding, bool) -> Result<T, DeployError>,
) -> Result<T, String> {
    let switched = module.enabled != known.enabled;
    bind(settings(module), switched).map_err(|error| format!("module {}: {error}", module.name))
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
        Err(error) => {
            reloaded.failed.push(error.to_string());
            reloaded.connections_ended = identity.sweep();
        }
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
fn take_over(
    current: &mut Config,
    new: Config,
    written: &Origins,
    modules: &Modules,
    mut reloaded: Reloaded,
) -> Reloaded {
    grant(current, &new, modules, &mut reloaded);
    let changes = differences(current, &new);
    let (live, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.live);
    let rest = rest.into_iter().map(|change| change.key);
    // Whom a module may speak to that is not named any more is settled.
    reloaded.restart_needed = rest.filter(|key| !is_grant_of_nobody(key, &new)).collect();
    let bytes_max = current.wasm.component_bytes_max;
    for module in new.modules.iter().filter(|module| !module.only_grants()) {
        let Some(known) = current.modules.iter_mut().find(|known| known.name == module.name) else { continue };
        let mut changed: Vec<_> = live.iter().map(|change| change.key.as_str()).collect();
        changed.retain(|key| module_of(key) == Some(&module.name));
        let is_moved = module.path != known.path;
        let module = Module { path: known.path.clone(), ..module.clone() };
        if !is_moved && is_another_file(&module, bytes_max, modules) {
            reloaded.restart_needed.push(format!("module.{}.path", module.name));
        }
        if !changed.is_empty() {
            let bound = rebind(&module, known, |binding, switched| modules.rebind(binding, switched));
            match bound {
                Ok(done) => {
                    let ended = done.canary_ended.map(|version| format!("{}: version {version}", module.name));
                    reloaded.canaries_ended.extend(ended);
                    *known = module.clone();
                }
                Err(reason) => {
                    reloaded.failed.push(reason);
                    continue;
                }
            }
        }
        wait_or_hold(&module, &changed, written, modules, &mut reloaded);
    }
    reloaded
}

/// Whether the next start finds another component in the file of a module, or none.
fn is_another_file(module: &Module, bytes_max: usize, modules: &Modules) -> bool {
    match component(module, bytes_max) {
        Ok(bytes) => !modules.is_made_of(&module.name, &bytes),
        Err(error) => {
            tracing::warn!(module = module.name, "the next start does not find its component: {error}");
            true
        }
    }
}

/// Tells of what the configuration says of a module whether it waits, whenever it is read, and of what has changed whether it
/// holds now.
fn wait_or_hold(module: &Module, changed: &[&str], written: &Origins, modules: &Modules, reloaded: &mut Reloaded) {
    let name = &module.name;
    let key = |setting: &str| format!("module.{name}.{setting}");
    let has_changed = |setting: &str| changed.contains(&key(setting).as_str());
    let waits = waiting::settings(modules, module, |setting| written.has(&key(setting)), has_changed);
    if let Some((_, why)) = waits.first() {
        tracing::warn!(module = name, why, "what the configuration says of it is not in force");
    }
    let waits: Vec<_> = waits.into_iter().map(|(setting, why)| (key(setting), why)).collect();
    let holds = changed.iter().filter(|changed| !waits.iter().any(|(key, _)| key == *changed));
    reloaded.applied.extend(holds.map(|key| (*key).to_owned()));
    reloaded.waiting.extend(waits.into_iter().map(|(key, why)| format!("{key}: {why}")));
}

fn is_grant_of_nobody(key: &str, new: &Config) -> bool {
    let is_named = |name: &str| new.modules.iter().any(|module| module.name == name);
    key.ends_with(".http_hosts") && module_of(key).is_some_and(|name| !is_named(name))
}

/// The module that a key is about. Its name may have dots, the settings of modules have none.
fn module_of(key: &str) -> Option<&str> {
    Some(key.strip_prefix("module.")?.rsplit_once('.')?.0)
}
