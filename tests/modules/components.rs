//! The components that the host's build script made, and a runtime to put them into.

use std::path::PathBuf;
use std::sync::Arc;

use host::message::Time;
use host::metrics::Metrics;
use host::store::{self, Durability, Store};
use host::wasm::{Binding, Kept, Modules, OnFailure};

use super::rig::limits;

/// 2025-12-31T23:59:59.001Z.
pub const NOW: Time = Time(1_767_225_599_001);

/// The component of a module of this repository.
pub fn component(name: &str) -> Arc<[u8]> {
    // This program is TARGET/PROFILE/deps/all-HASH; the build script works in TARGET/modules.
    let program = std::env::current_exe().expect("a test knows its own path");
    let target = program.ancestors().nth(3).expect("cargo runs tests in its target directory");
    let directory: PathBuf = ["modules", "wasm32-wasip2", "module"].iter().collect();
    let path = target.join(directory).join(format!("{}.wasm", name.replace('-', "_")));
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display())).into()
}

/// A runtime with these modules, each with a configuration, and nothing on disk.
pub fn runtime(modules: &[(&str, &str)]) -> Modules {
    let metrics = Arc::new(Metrics::default());
    let (store, _) = Store::in_memory(&store::Limits::default(), Durability::Relaxed, metrics.clone());
    let bindings = modules.iter().map(|(name, config)| Binding {
        name: (*name).to_owned(),
        component: Some(component(name)),
        order: 10,
        on_failure: OnFailure::Refuse,
        config: (*config).to_owned(),
        enabled: true,
    });
    let clock = Arc::new(|| NOW);
    Modules::open(limits(), store, Kept::default(), &[], bindings.collect(), metrics, clock).expect("modules that run")
}
