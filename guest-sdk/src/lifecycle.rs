//! What every module has: a configuration, and a manifest that says what it wants to see.

use alloc::{string::String, vec::Vec};

use crate::types::Refusal;
pub use crate::worlds::every_module::exports::pliant::broker::lifecycle::{Interest, Manifest};

/// A module: made from its configuration, then asked by the host through its hooks.
///
/// The host keeps several instances of a module, makes new ones when it likes and drops any of
/// them between calls. What a module keeps in its fields beside the configuration is a cache;
/// what must last goes into [`state`](crate::state). Hooks take `&self`, so a cache lives in a
/// `Cell` or `RefCell`. An instance sees one call at a time.
pub trait Module: Sized + 'static {
    /// What the operator's JSON document is read into: [`NoConfig`](crate::config::NoConfig),
    /// a type of its own, or `Self` where the fields of the module are its configuration.
    /// Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is refused and the
    /// known ones are named.
    type Config: serde::de::DeserializeOwned;

    /// Makes the module; called once for each fresh instance, before any hook.
    ///
    /// # Errors
    /// Refuses the deployment, and what ran before goes on running. The reason goes to the
    /// operator; [`config::entry`](crate::config::entry) helps to say where the fault is.
    fn new(config: Self::Config) -> Result<Self, Refusal>;

    /// What the module wants to see; everything, without ticks, unless it says otherwise. An
    /// empty description or version is taken from the crate.
    fn manifest(&self) -> Manifest {
        Manifest::default()
    }
}

impl Interest {
    /// Every message.
    pub fn everything() -> Self {
        Interest { filters: Vec::new() }
    }

    /// The messages whose topic matches one of these filters (MQTT syntax). No filter at all
    /// means every message.
    pub fn filters<F: Into<String>>(filters: impl IntoIterator<Item = F>) -> Self {
        Interest { filters: filters.into_iter().map(Into::into).collect() }
    }
}

impl Default for Interest {
    fn default() -> Self {
        Interest::everything()
    }
}

/// Every message for `routing` and `delivery`, flagged ones only for `retain_policy`, no ticks.
impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            description: String::new(),
            version: String::new(),
            routing: Interest::everything(),
            unflagged_retain: None,
            retain_by_topic: false,
            delivers_as_is: false,
            delivery: Interest::everything(),
            tick_milliseconds: None,
        }
    }
}

#[cfg(target_family = "wasm")]
impl<M: Module + crate::Package> crate::worlds::every_module::exports::pliant::broker::lifecycle::Guest
    for crate::Exported<M>
{
    fn configure(config: String) -> Result<Manifest, Refusal> {
        let module = M::new(crate::config::parse(&config)?)?;
        let manifest = crate::instance::manifest(&module);
        crate::instance::install(module);
        Ok(manifest)
    }
}
