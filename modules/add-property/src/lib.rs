//! Adds a user property to every message: the shortest useful module with a configuration.
//!
//! ```json
//! { "name": "site", "value": "plant 7" }
//! ```
#![cfg_attr(target_family = "wasm", no_std)]

use pliant_guest::prelude::*;

/// The property to add.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddProperty {
    name: String,
    value: String,
}

impl Module for AddProperty {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Refusal> {
        Ok(config)
    }
}

impl Routing for AddProperty {
    fn on_publish(&self, _: &Client, envelope: Envelope, _: &Payload) -> Decision {
        Decision::readdress(envelope.property(&self.name, &self.value))
    }
}

pliant_guest::export!(AddProperty with routing);

#[cfg(test)]
mod tests {
    use super::*;
    use pliant_guest::testing;

    #[test]
    fn the_property_stands_after_those_of_the_publisher() {
        let (module, _) = testing::configure::<AddProperty>(r#"{"name": "site", "value": "plant 7"}"#).unwrap();
        let envelope = Envelope::new("a/b").property("unit", "C");
        let decision = module.on_publish(&testing::client("c1"), envelope.clone(), &Payload::from("21"));
        assert_eq!(decision, Decision::readdress(envelope.property("site", "plant 7")));
    }

    #[test]
    fn a_configuration_without_both_fields_is_refused() {
        for (document, expected) in [
            ("{}", "configuration: missing field `name`"),
            (r#"{"name": 3, "value": ""}"#, "configuration: name: invalid type: integer `3`, expected a string"),
            (r#"{"nam": "x"}"#, "configuration: nam: unknown field `nam`, expected `name` or `value`"),
        ] {
            let refusal = testing::configure::<AddProperty>(document).unwrap_err();
            assert!(refusal.reason.starts_with(expected), "{}", refusal.reason);
        }
    }
}
