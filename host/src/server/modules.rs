//! Modules of the configuration as the module room wants them: their components read.

use super::BUNDLED;
use super::error::StartError;
use crate::config::{Config, Module, OnFailure};
use crate::wasm::{self, Binding, HostGrant};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// All modules that the configuration names.
///
/// # Errors
/// A component cannot be read.
pub fn bindings(config: &Config) -> Result<Vec<Binding>, StartError> {
    let bound = config.modules.iter().filter(|module| !module.only_grants());
    bound.map(|module| binding(module, config.wasm.component_bytes_max)).collect()
}

/// To whom modules may speak, by their names.
pub(super) fn grants(config: &Config) -> BTreeMap<String, Vec<HostGrant>> {
    let of_one = |module: &Module| (module.name.clone(), module.http_hosts.0.clone());
    config.modules.iter().map(of_one).filter(|(_, hosts)| !hosts.is_empty()).collect()
}

fn binding(module: &Module, bytes_max: usize) -> Result<Binding, StartError> {
    Ok(Binding { component: Some(component(module, bytes_max)?.into()), ..settings(module) })
}

/// One of them, without its component.
pub(super) fn settings(module: &Module) -> Binding {
    Binding {
        name: module.name.clone(),
        component: None,
        order: module.order,
        on_failure: policy(module.on_failure),
        config: module.config.to_string(),
        enabled: module.enabled,
    }
}

/// As the module room wants it.
pub(super) fn policy(on_failure: OnFailure) -> wasm::OnFailure {
    match on_failure {
        OnFailure::Refuse => wasm::OnFailure::Refuse,
        OnFailure::Bypass => wasm::OnFailure::Bypass,
        OnFailure::Discard => wasm::OnFailure::Discard,
    }
}

/// The bytes of a module: of its file, or the bundled ones of its name.
///
/// # Errors
/// The file cannot be read, or is larger than allowed.
pub fn component(module: &Module, bytes_max: usize) -> Result<Cow<'static, [u8]>, StartError> {
    let bundled = BUNDLED.iter().find(|(name, _)| *name == module.name && module.path.as_os_str().is_empty());
    if let Some((_, bytes)) = bundled {
        return Ok(Cow::Borrowed(bytes));
    }
    let failed = |error| StartError::ModuleFile { name: module.name.clone(), path: module.path.clone(), error };
    read(&module.path, bytes_max).map(Cow::Owned).map_err(failed)
}

fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}
