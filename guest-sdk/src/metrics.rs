//! Figures of the module's own, exported beside the broker's.

/// Adds to a counter, which starts at 0.
pub fn count(name: &str, delta: u64) {
    #[cfg(target_family = "wasm")]
    crate::worlds::every_module::pliant::broker::metrics::count(name, delta);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::stand_in(|host| *host.counters.entry(name.into()).or_default() += delta);
}

/// Sets a gauge.
pub fn gauge(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::worlds::every_module::pliant::broker::metrics::gauge(name, value);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::stand_in(|host| host.gauges.insert(name.into(), value));
}
