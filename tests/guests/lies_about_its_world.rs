//! A component with a world of its own: it exports a `lifecycle` of another shape.
#![allow(unsafe_code, reason = "generated code that crosses the component boundary")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pliant:broker@0.1.0;
            interface lifecycle { configure: func(config: u32) -> bool; }
            interface secrets { read: func() -> string; }
            world liar { import secrets; export lifecycle; }
        ",
    });
}

struct Liar;

impl bindings::exports::pliant::broker::lifecycle::Guest for Liar {
    fn configure(config: u32) -> bool {
        config > 0 || bindings::pliant::broker::secrets::read().is_empty()
    }
}

bindings::export!(Liar with_types_in bindings);
