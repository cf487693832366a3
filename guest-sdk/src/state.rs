//! Small values that outlive the instance, the version and the process.
//!
//! Each module sees its own and no other's. All instances of a module share them: use
//! [`compare_and_set`] or [`add`] where two may write the same key.

use alloc::vec::Vec;

#[cfg(target_family = "wasm")]
use crate::worlds::every_module::pliant::broker::state as broker;

pub use crate::worlds::every_module::pliant::broker::state::StateError;

/// The value of a key; none if it was never set, was deleted or has run out.
pub fn get(key: &str) -> Option<Vec<u8>> {
    #[cfg(target_family = "wasm")]
    return broker::get(key);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.state.get(host.now, key));
}

/// Sets a key, for so many seconds if given.
///
/// # Errors
/// If the module's share of the store is used up, the key is longer than 256 bytes or the value
/// longer than 64 KiB, or the store cannot be written.
pub fn set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), StateError> {
    #[cfg(target_family = "wasm")]
    return broker::set(key, value, ttl_seconds);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.state.set(host.now, key, value, ttl_seconds));
}

/// Forgets a key, whether it is there or not.
///
/// # Errors
/// If the store cannot be written.
pub fn delete(key: &str) -> Result<(), StateError> {
    #[cfg(target_family = "wasm")]
    return broker::delete(key);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.state.delete(key));
}

/// Sets a key only if its value is still `expected` (none: only if it is absent), and tells
/// whether it did.
///
/// # Errors
/// As [`set`].
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, StateError> {
    #[cfg(target_family = "wasm")]
    return broker::compare_and_set(key, expected, value);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.state.compare_and_set(host.now, key, expected, value));
}

/// Adds to a counter, which starts at 0, and tells its new value.
///
/// # Errors
/// As [`set`].
pub fn add(key: &str, delta: i64) -> Result<i64, StateError> {
    #[cfg(target_family = "wasm")]
    return broker::add(key, delta);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.state.add(host.now, key, delta));
}
