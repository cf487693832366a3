//! The bindings: one `wit_bindgen::generate!` a world of `wit/worlds.wit`, in the same order.
//!
//! All worlds share the types and imports of [`every_module`], so that a `Client` is the same
//! type in each hook. A world's macro exports its functions; [`export!`](crate::export) calls
//! the ones that a module names. Nothing here is meant to be used directly.
#![allow(unsafe_code, reason = "generated code that crosses the component boundary")]
#![allow(missing_docs, reason = "documented in wit/, and re-exported where it is meant to be used")]
#![allow(clippy::all, reason = "generated code")]

/// Generates the bindings of one hook's world over the shared types and imports.
macro_rules! world {
    ($module:ident, $world:literal, $macro:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                additional_derives: [PartialEq],
                with: {
                    "pliant:broker/types@0.1.1": crate::worlds::every_module::pliant::broker::types,
                    "pliant:broker/log@0.1.1": crate::worlds::every_module::pliant::broker::log,
                    "pliant:broker/state@0.1.1": crate::worlds::every_module::pliant::broker::state,
                    "pliant:broker/metrics@0.1.1": crate::worlds::every_module::pliant::broker::metrics,
                    "pliant:broker/clock@0.1.1": crate::worlds::every_module::pliant::broker::clock,
                    "pliant:broker/retained@0.1.1": crate::worlds::every_module::pliant::broker::retained,
                },
            });
        }
    };
}

pub mod every_module {
    wit_bindgen::generate!({
        path: "../wit",
        world: "every-module",
        pub_export_macro: true,
        export_macro_name: "export_every_module",
        additional_derives: [PartialEq],
        generate_all,
    });
}

world!(topic_mapper, "topic-mapper", "export_topic_mapper");
world!(router, "router", "export_router");
world!(retainer, "retainer", "export_retainer");
world!(will_keeper, "will-keeper", "export_will_keeper");
world!(translator, "translator", "export_translator");
world!(gatekeeper, "gatekeeper", "export_gatekeeper");
world!(deliverer, "deliverer", "export_deliverer");
world!(observer, "observer", "export_observer");
world!(ticker, "ticker", "export_ticker");
