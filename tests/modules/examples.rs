//! Examples: run offline on a component, and at each deployment of one that carries them.

use super::rig::Rig;
use crate::harness::guests::component;
use host::wasm::{DeployOptions, Examples, attach_examples};
use serde_json::{Value as Json, json};

fn examples(document: Json) -> Examples {
    serde_json::from_value(document).expect("good examples")
}

/// What the guest decides, by example.
fn decisions(guest: &str, config: &str, of: Json) -> Vec<Json> {
    let rig = Rig::new();
    let runs = rig.modules.run_examples(&component(guest), &examples(json!({ "example": of })), config);
    runs.unwrap().into_iter().map(|run| run.decision).collect()
}

#[test]
fn each_hook_has_its_decision_in_words() {
    let message = json!({ "topic": "a", "payload": "x", "qos": 1 });
    let route = decisions(
        "router",
        "{}",
        json!([
            { "hook": "routing", "message": message },
            { "hook": "routing", "message": message, "config": { "verdict": "discard", "topic": "b", "also": 1 } },
            { "hook": "routing", "message": message, "config": { "verdict": "refuse", "payload": "no" } },
            { "hook": "routing", "message": { "topic": "a", "payload_base64": "/w==" } },
        ]),
    );
    let passed = |payload: Json| {
        let mut message = json!({ "topic": "a", "qos": 1, "retain": false });
        message.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
        message
    };
    assert_eq!(route[0], json!({ "pass": passed(json!({ "payload": "x" })), "also": [] }));
    let also = json!([{ "topic": "b", "payload": "", "qos": 0, "retain": false }]);
    assert_eq!(route[1], json!({ "discard": true, "also": also }));
    assert_eq!(route[2], json!({ "refuse": { "kind": "QuotaExceeded", "reason": "no" }, "also": [] }));
    assert_eq!(route[3]["pass"]["payload_base64"], "/w==");
    let beside = decisions(
        "beside",
        "{}",
        json!([
            { "hook": "delivery", "client": { "id": "ann" }, "message": message },
            { "hook": "delivery", "client": { "id": "blind" }, "message": message },
            { "hook": "events", "client": { "id": "c" }, "event": "disconnected", "departure": "keep-alive-expired" },
            { "hook": "events", "message": message, "event": "queue-full" },
            { "hook": "timers", "clock": 77 },
        ]),
    );
    assert_eq!(beside[0]["message"]["payload"], "x for ann at 1");
    assert_eq!(beside[1], json!({ "deliver": "not" }));
    assert_eq!(beside[2]["publish"][0]["payload"], "c keep-alive-expired");
    assert_eq!(beside[3]["publish"][0]["payload"], "a Loss::QueueFull");
    assert_eq!(beside[4]["publish"][0]["payload"], "77");
    let names = decisions(
        "renames",
        r#"{"prefix": "p/"}"#,
        json!([
            { "hook": "topic-mapping.publish-topic", "topic": "x" },
            { "hook": "topic-mapping.publish-topic", "topic": "forbidden" },
            { "hook": "topic-mapping.deliver-name", "topic": "p/x" },
        ]),
    );
    assert_eq!((&names[0], &names[2]), (&json!({ "topic": "p/x" }), &json!({ "name": "x" })));
    assert_eq!(names[1]["refuse"]["kind"], "TopicInvalid");
    let access = decisions(
        "guards",
        "{}",
        json!([
            { "hook": "access.authenticate", "username": "ann", "password": "nna" },
            { "hook": "access.authenticate", "username": "ann", "password": "x" },
            { "hook": "access.authorize", "action": "publish", "topic": "open/x" },
            { "hook": "access.authorize", "action": "subscribe", "topic": "open/x" },
            { "hook": "access.authorize", "topic": "trap" },
        ]),
    );
    assert_eq!(access[0], json!({ "identity": "ann" }));
    assert_eq!(
        (&access[1]["refuse"]["reason"], &access[2], &access[3]),
        (&json!("wrong password"), &json!({ "may": true }), &json!({ "may": null }))
    );
    assert!(access[4]["failed"].as_str().unwrap().starts_with("trapped"));
}

#[test]
fn a_message_that_crosses_has_its_form_in_words() {
    let there = |message: Json| json!({ "hook": "translation.to-amqp", "message": message });
    let back = |amqp: Json| json!({ "hook": "translation.from-amqp", "topic": "b", "amqp": amqp });
    let crossed = decisions(
        "beside",
        "{}",
        json!([
            there(json!({ "topic": "a", "payload": "xy", "qos": 1, "expiry_seconds": 3, "content_type": "text/plain" })),
            { "hook": "translation.to-amqp", "topic": "shown/as", "message": { "topic": "a", "payload_base64": "/wA=" } },
            there(json!({ "topic": "a" })),
            there(json!({ "topic": "a", "payload": "1" })),
            back(json!({ "body": { "data": "xy" } })),
            back(json!({ "body": { "value": { "int": -5 } }, "application_properties": { "unit": { "symbol": "C" } } })),
            back(json!({ "body": { "sequence_base64": ["/w==", "AA=="] } })),
            back(json!({ "body": { "data": "refuse" } })),
            back(json!({ "body": { "data": "trap" } })),
            back(json!({})),
            back(json!({ "ttl": 1500 })),
        ]),
    );
    let id = json!({ "uuid": "07070707-0707-0707-0707-070707070707" });
    let form = json!({
        "durable": true, "ttl": 3_000, "message_annotations": { "x-opt-retain": false }, "message_id": id, "to": "a",
        "content_type": "text/plain", "body": { "data": "xy" },
    });
    assert_eq!(crossed[0], json!({ "amqp": form }));
    assert_eq!(
        (&crossed[1]["amqp"]["to"], &crossed[1]["amqp"]["body"]["data_base64"]),
        (&json!("shown/as"), &json!("/wA="))
    );
    assert_eq!(crossed[2]["refuse"], json!({ "kind": "PayloadInvalid", "reason": "nothing to translate" }));
    assert!(crossed[3]["failed"].as_str().unwrap().contains("a UUID of 3 bytes"), "{}", crossed[3]);
    assert_eq!(crossed[4], json!({ "message": { "topic": "b", "payload": "xy", "qos": 0, "retain": false } }));
    assert_eq!(crossed[5]["message"]["payload"], "AmqpValue::Int(-5)");
    assert_eq!(crossed[5]["message"]["user_properties"], json!([["unit", "AmqpValue::Symbol(\"C\")"]]));
    assert_eq!(crossed[6]["message"]["payload_base64"], "/wA=");
    assert_eq!(crossed[7], json!({ "refuse": { "kind": "PayloadInvalid", "reason": "as it was asked to" } }));
    assert!(crossed[8]["failed"].as_str().unwrap().starts_with("trapped"), "{}", crossed[8]);
    assert_eq!(crossed[9]["message"]["payload"], "");
    assert_eq!(crossed[10]["message"]["user_properties"], json!([["ttl", "1500"]]));
}

/// Clock, state and retained messages are given, and what the module keeps and logs is told.
#[test]
fn what_a_module_asks_of_the_broker_is_given() {
    let message = json!({ "topic": "t", "payload": "" });
    let seen = decisions(
        "remembers",
        "{}",
        json!([
            { "hook": "routing", "message": message, "clock": 5_000, "state": { "seen": "41" },
              "retained": [{ "topic": "last", "payload": "kept" }] },
            { "hook": "routing", "message": message },
        ]),
    );
    let properties: std::collections::BTreeMap<String, String> =
        serde_json::from_value::<Vec<(String, String)>>(seen[0]["pass"]["user_properties"].clone())
            .unwrap()
            .into_iter()
            .collect();
    assert_eq!((&*properties["seen"], &*properties["now"], &*properties["last"]), ("42", "5000", "kept"));
    assert_eq!((&seen[0]["state"]["seen"], &seen[0]["log"]), (&json!("42"), &json!(["seen 42"])));
    assert_eq!(seen[1]["state"]["seen"], "1", "no example sees another's state");
}

#[test]
fn a_component_that_does_not_do_what_its_examples_say_is_not_deployed() {
    let rig = Rig::new();
    let with = |expected: &str| {
        let examples = examples(json!({ "config": { "version": "v" }, "example": [
            { "name": "says its version", "hook": "routing", "message": { "topic": "a" },
              "expect": { "pass": { "topic": "a", "user_properties": [["version", expected]] } } },
        ]}));
        attach_examples(&component("echoes-version"), &examples)
    };
    let options = || DeployOptions { config: Some(r#"{"version": "deployed"}"#.into()), ..DeployOptions::default() };
    let error = rig.modules.deploy("m", &with("w"), options()).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"its examples do not hold: says its version: pass.user_properties[0][1]: expected "w", got "v""#
    );
    assert!(rig.modules.show("m").is_err());
    assert_eq!(rig.modules.deploy("m", &with("v"), options()).unwrap().version, Some(1));
}

#[test]
fn a_wrong_example_says_which_and_why() {
    let rig = Rig::new();
    for (example, why) in [
        (json!({ "name": "n", "hook": "route" }), "n: hook: there are no examples for `route`"),
        (json!({ "hook": "routing" }), "example 1: a message is needed"),
        (json!({ "hook": "routing", "message": { "topic": "a/#" } }), "example 1: message.topic: "),
        (json!({ "hook": "routing", "message": { "topic": "a", "qos": 3 } }), "example 1: message.qos: 0, 1 or 2"),
        (json!({ "hook": "events", "event": "born" }), "example 1: event: `born` is none that there is"),
        (
            json!({ "hook": "translation", "message": { "topic": "a" } }),
            "example 1: hook: there are no examples for `tra",
        ),
        (json!({ "hook": "translation.to-amqp", "topic": "a" }), "example 1: a message is needed"),
        (json!({ "hook": "translation.from-amqp", "topic": "a" }), "example 1: a message of AMQP is needed, as amqp"),
        (json!({ "hook": "translation.from-amqp", "topic": "a/#", "amqp": {} }), "example 1: topic: "),
        (
            json!({ "hook": "routing", "config": { "verdict": 7 }, "message": { "topic": "a" } }),
            "example 1: it refuses its configuration",
        ),
    ] {
        let document = examples(json!({ "example": [example] }));
        let error = rig.modules.run_examples(&component("router"), &document, "{}").unwrap_err().to_string();
        assert!(error.starts_with(&format!("its examples do not hold: {why}")), "{error}");
    }
    let many = examples(json!({ "example": vec![json!({ "hook": "routing" }); 257] }));
    let error = rig.modules.run_examples(&component("router"), &many, "{}").unwrap_err().to_string();
    assert_eq!(error, "its examples do not hold: 257 examples; 256 are allowed");
}

/// An example that says nothing of the component does not hold, so that a forgotten export is found.
#[test]
fn an_example_is_about_what_the_component_exports() {
    let rig = Rig::new();
    for (example, why) in [
        (
            json!({ "hook": "delivery", "message": { "topic": "a" }, "expect": { "deliver": "as-it-is" } }),
            "does not export delivery",
        ),
        (json!({ "hook": "access.authorize", "topic": "a", "expect": {} }), "does not export access"),
        (
            json!({ "hook": "translation.to-amqp", "message": { "topic": "a" }, "expect": {} }),
            "does not export translation",
        ),
        (
            json!({ "hook": "translation.from-amqp", "topic": "a", "amqp": {}, "expect": {} }),
            "does not export translation",
        ),
        (json!({ "hook": "routing", "message": { "topic": "a" } }), "expect is missing"),
    ] {
        let document = examples(json!({ "example": [example] }));
        let runs = rig.modules.run_examples(&component("echoes-version"), &document, r#"{"version": "v"}"#).unwrap();
        assert!(runs[0].differences[0].contains(why), "{:?}", runs[0].differences);
        assert!(runs[0].microseconds.is_sign_positive());
    }
}
