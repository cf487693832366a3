//! Modules on trial: compiled, linked and configured as a broker would, and forgotten.

use super::Failure;
use crate::message::Time;
use crate::metrics::Metrics;
use crate::store::{Durability, Limits, Store};
use crate::wasm::{self, DeployError, DeployOptions, Kept, MachineCode, ModuleInfo, Modules};
use std::path::PathBuf;
use std::sync::Arc;

/// A place to try modules in.
pub(super) struct Trial(Modules);

impl Trial {
    /// An empty one.
    pub(super) fn new(limits: wasm::Limits) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::default());
        let (store, _) = Store::in_memory(&Limits::default(), Durability::Relaxed, metrics.clone());
        let kept = Kept { machine_code: machine_code(&limits), ..Kept::default() };
        // As many as are configured start, whatever may be deployed.
        let limits = wasm::Limits { modules_max: usize::MAX, ..limits };
        let modules = Modules::open(limits, store, kept, &[], Vec::new(), metrics, Arc::new(|| Time(0)));
        Ok(Self(modules.map_err(Failure::failed)?))
    }

    /// The room that it is.
    pub(super) fn modules(&self) -> &Modules {
        &self.0
    }

    /// Tries one; what it says about itself.
    pub(super) fn run(&self, name: &str, component: &[u8], config: String) -> Result<ModuleInfo, DeployError> {
        let options = DeployOptions { config: Some(config), ..DeployOptions::default() };
        self.0.deploy(name, component, options)?;
        self.0.show(name)
    }
}

/// What was compiled on trial before, for a module is checked, tested and timed one after the other: in the user's cache, where
/// there is one.
fn machine_code(limits: &wasm::Limits) -> Option<MachineCode> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    MachineCode::open(&caches.join("pliant/compiled"), limits.machine_code_bytes_max)
}
