//! Modules on trial: compiled, linked and configured as a broker would, and forgotten.

use super::Failure;
use crate::message::Time;
use crate::metrics::Metrics;
use crate::store::{Durability, Limits, Store};
use crate::wasm::{self, DeployError, DeployOptions, Kept, ModuleInfo, Modules};
use std::sync::Arc;

/// A place to try modules in.
pub(super) struct Trial(Modules);

impl Trial {
    /// An empty one.
    pub(super) fn new(limits: wasm::Limits) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::default());
        let (store, _) = Store::in_memory(&Limits::default(), Durability::Relaxed, metrics.clone());
        let modules = Modules::open(limits, store, Kept::default(), &[], Vec::new(), metrics, Arc::new(|| Time(0)));
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
