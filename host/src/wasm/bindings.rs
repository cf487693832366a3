//! The one place where WIT becomes Rust: types, import traits and typed exports of every hook.
#![allow(missing_docs, clippy::all, unreachable_pub)]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package pliant:host;
        world guest {
            include pliant:broker/imports@0.1.1;
            export pliant:broker/lifecycle@0.1.1;
            export pliant:broker/topic-mapping@0.1.1;
            export pliant:broker/routing@0.1.1;
            export pliant:broker/retain-policy@0.1.1;
            export pliant:broker/will-handling@0.1.1;
            export pliant:broker/access@0.1.1;
            export pliant:broker/delivery@0.1.1;
            export pliant:broker/events@0.1.1;
            export pliant:broker/event-interest@0.1.1;
            export pliant:broker/translation@0.1.1;
            export pliant:broker/timers@0.1.1;
        }
    ",
    world: "pliant:host/guest",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
    with: {
        "pliant:broker/types.payload": super::instance::Payload,
    },
});
