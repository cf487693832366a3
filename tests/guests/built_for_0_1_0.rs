//! Built from the frozen contract of version 0.1.0, without the SDK.
#![allow(unsafe_code, reason = "generated code that crosses the component boundary")]

mod bindings {
    wit_bindgen::generate!({
        path: "wit-0.1.0",
        inline: "
            package pliant:old;
            world old {
                include pliant:broker/every-module@0.1.0;
                export pliant:broker/routing@0.1.0;
                export pliant:broker/events@0.1.0;
            }
        ",
        world: "pliant:old/old",
        generate_all,
    });
}

use bindings::exports::pliant::broker::{events, lifecycle, routing};
use bindings::pliant::broker::{clock, log, types};

struct Old;

impl lifecycle::Guest for Old {
    fn configure(_: String) -> Result<lifecycle::Manifest, types::Refusal> {
        let everything = || lifecycle::Interest { filters: Vec::new() };
        Ok(lifecycle::Manifest {
            description: "built for 0.1.0".into(),
            version: "1.0.0".into(),
            routing: everything(),
            unflagged_retain: None,
            retain_by_topic: false,
            delivers_as_is: true,
            delivery: everything(),
            tick_milliseconds: None,
        })
    }
}

impl routing::Guest for Old {
    fn on_publish(_: types::Client, mut envelope: types::Envelope, payload: &types::Payload) -> routing::Decision {
        log::write(log::Level::Info, "asked");
        let seen = format!("{} bytes at {}", payload.size(), clock::now_milliseconds());
        envelope.user_properties.push(("old".into(), seen));
        routing::Decision { verdict: routing::Verdict::Readdress(envelope), also: Vec::new() }
    }
}

impl events::Guest for Old {
    fn on_events(_: Vec<events::Event>) -> Vec<types::Message> {
        Vec::new()
    }
}

bindings::export!(Old with_types_in bindings);
