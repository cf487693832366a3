//! `export!`: makes a component of a type and the hooks it names.

/// Makes this crate a component that exports `lifecycle` and exactly the hooks named.
///
/// ```
/// # use pliant_guest::prelude::*;
/// # struct Quiet;
/// # impl Module for Quiet {
/// #     type Config = NoConfig;
/// #     fn new(_: NoConfig) -> Result<Self, Refusal> { Ok(Quiet) }
/// # }
/// # impl Routing for Quiet {
/// #     fn on_publish(&self, _: &Client, _: Envelope, _: &Payload) -> Decision { Decision::keep() }
/// # }
/// # impl RetainPolicy for Quiet {
/// #     fn on_publish(&self, _: &Client, _: &Envelope, _: &Payload) -> Retention { Retention::Leave }
/// # }
/// # fn main() {}
/// pliant_guest::export!(Quiet with routing, retain_policy);
/// ```
///
/// Hooks: `topic_mapping`, `routing`, `retain_policy`, `will_handling`, `access`, `delivery`,
/// `events`, `translation`, `timers`. The type must implement the trait of each hook it names,
/// on every target; what the broker calls is made only for Wasm. Use it once a crate.
///
/// The description and version that operators see are those of the crate, unless the module's
/// manifest has its own.
#[macro_export]
macro_rules! export {
    ($module:ident with $($hook:ident),+ $(,)?) => {
        impl $crate::Package for $module {
            const DESCRIPTION: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
        }
        const _: () = {
            #[cfg(target_family = "wasm")]
            type PliantModule = $crate::Exported<$module>;
            #[cfg(target_family = "wasm")]
            $crate::worlds::every_module::export_every_module!(
                PliantModule with_types_in $crate::worlds::every_module
            );
            $($crate::export_hook!($hook $module);)+
        };
    };
}

/// Exports one hook on Wasm, and elsewhere only holds the type to its trait.
#[doc(hidden)]
#[macro_export]
macro_rules! export_hook {
    (topic_mapping $module:ty) => { $crate::export_hook!(@ TopicMapping topic_mapper export_topic_mapper $module); };
    (routing $module:ty) => { $crate::export_hook!(@ Routing router export_router $module); };
    (retain_policy $module:ty) => { $crate::export_hook!(@ RetainPolicy retainer export_retainer $module); };
    (will_handling $module:ty) => { $crate::export_hook!(@ WillHandling will_keeper export_will_keeper $module); };
    (access $module:ty) => { $crate::export_hook!(@ Access gatekeeper export_gatekeeper $module); };
    (delivery $module:ty) => { $crate::export_hook!(@ Delivery deliverer export_deliverer $module); };
    (events $module:ty) => { $crate::export_hook!(@ Events observer export_observer $module); };
    (translation $module:ty) => { $crate::export_hook!(@ Translation translator export_translator $module); };
    (timers $module:ty) => { $crate::export_hook!(@ Timers ticker export_ticker $module); };
    (@ $trait:ident $world:ident $export:ident $module:ty) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
            type PliantModule = $crate::Exported<$module>;
            #[cfg(target_family = "wasm")]
            $crate::worlds::$world::$export!(PliantModule with_types_in $crate::worlds::$world);
            #[cfg(not(target_family = "wasm"))]
            const _: fn() = || {
                fn implements<M: $crate::$trait>() {}
                implements::<$module>();
            };
        };
    };
    ($other:ident $module:ty) => {
        ::core::compile_error!(::core::concat!(
            "there is no hook `", ::core::stringify!($other), "`; the hooks are topic_mapping, routing, ",
            "retain_policy, will_handling, access, delivery, events, translation and timers"
        ));
    };
}
