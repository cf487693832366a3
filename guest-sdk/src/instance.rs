//! The one module of an instance, between `configure` and the hooks.

#[cfg(target_family = "wasm")]
use alloc::boxed::Box;
use core::marker::PhantomData;
#[cfg(target_family = "wasm")]
use core::{any::Any, cell::RefCell};

use crate::lifecycle::{Manifest, Module};

/// What `export!` knows of the crate it stands in.
#[doc(hidden)]
pub trait Package {
    /// The crate's `description`.
    const DESCRIPTION: &'static str;
    /// The crate's `version`.
    const VERSION: &'static str;
}

/// Stands for module `M` before the bindings: their functions have no `self`.
#[doc(hidden)]
pub struct Exported<M>(PhantomData<M>);

/// The manifest of a module, its blanks filled from the crate.
pub(crate) fn manifest<M: Module + Package>(module: &M) -> Manifest {
    let mut manifest = module.manifest();
    if manifest.description.is_empty() {
        manifest.description = M::DESCRIPTION.into();
    }
    if manifest.version.is_empty() {
        manifest.version = M::VERSION.into();
    }
    manifest
}

/// A value of the one thread that an instance has.
#[cfg(target_family = "wasm")]
struct OneThread<T>(T);

// SAFETY: a component instance has one thread, and the host calls it one call at a time. The
// SDK is built without the `atomics` feature, so no second thread can share its memory.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
#[allow(unsafe_code, reason = "see above; there is no thread_local without the standard library")]
unsafe impl<T> Sync for OneThread<T> {}

#[cfg(target_family = "wasm")]
static MODULE: OneThread<RefCell<Option<Box<dyn Any>>>> = OneThread(RefCell::new(None));

/// Puts the configured module in its place.
#[cfg(target_family = "wasm")]
pub(crate) fn install<M: Module>(module: M) {
    *MODULE.0.borrow_mut() = Some(Box::new(module));
}

/// Runs a hook on the module. A hook before `configure` is the host's mistake, and traps.
#[cfg(target_family = "wasm")]
pub(crate) fn with<M: Module, R>(hook: impl FnOnce(&M) -> R) -> R {
    let module = MODULE.0.borrow();
    let module = module.as_ref().and_then(|any| any.downcast_ref::<M>());
    hook(module.expect("the host calls configure before any hook"))
}
