//! Rows: what each module of this repository answers when it is called as a component.

use std::sync::Arc;

use host::client::{Client, Departure, Protocol, Scope};
use host::message::{Envelope, Guarantee, Message, Refusal, Will};
use host::topic::{self, Topic};
use host::wasm::{DeployError, DeployOptions, Guests, Happening, Modules, Outcome, Replay, RetainAsk, Retention};

use serde_json::json;

use super::components::{component, runtime};

fn scope(identity: Option<&str>) -> Scope {
    Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: identity.map(Arc::from) }
}

fn client() -> Client {
    Client { id: "c1".into(), container: None, scope: scope(None).into(), peer: "".into() }
}

fn message(topic: &str, retain: bool, payload: &[u8]) -> Message {
    let topic = Topic::new(topic, &topic::Limits::default()).expect("a topic");
    let envelope =
        Envelope { topic, guarantee: Guarantee::AtLeastOnce, retain, expires: None, properties: None, hops: 0 };
    Message::new(envelope, 1, payload)
}

fn properties(message: &Message) -> Vec<(&str, &str)> {
    let properties = message.envelope().properties.as_deref();
    properties.iter().flat_map(|p| &p.user).map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn each_exports_the_hooks_it_is_there_for_and_needs_no_configuration() {
    let modules = runtime(&[
        ("topic-rules", "{}"),
        ("retain-rules", "{}"),
        ("will-rules", "{}"),
        ("exchanges", "{}"),
        ("translate", "{}"),
    ]);
    for (name, hooks) in [
        ("exchanges", vec!["routing"]),
        ("topic-rules", vec!["topic-mapping"]),
        ("retain-rules", vec!["retain-policy"]),
        ("will-rules", vec!["will-handling", "events"]),
        ("translate", vec!["translation"]),
    ] {
        let info = modules.show(name).expect("it is there");
        let mut exported: Vec<&str> = info.hooks.clone();
        exported.sort_unstable();
        let mut hooks = hooks;
        hooks.sort_unstable();
        assert_eq!(exported, hooks, "{name}");
    }
}

#[test]
fn none_asks_for_anything_but_the_contract() {
    for name in ["topic-rules", "retain-rules", "will-rules", "exchanges", "translate", "add-property"] {
        let bytes = component(name);
        assert!(!bytes.windows(5).any(|window| window == b"wasi:"), "{name} imports WASI");
    }
}

#[test]
fn topic_rules_map_there_and_back() {
    let config = r#"{"rules": [{"from": "home/{room}/{rest...}", "to": "site/1/{room}/{rest...}"}]}"#;
    let modules = runtime(&[("topic-rules", config)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let scope = scope(None);
    let topic = chain.publish_topic(&mut guests, &scope, "home/hall/t").expect("no refusal");
    assert_eq!(topic.as_deref(), Some("site/1/hall/t"));
    assert_eq!(chain.publish_topic(&mut guests, &scope, "other").expect("no refusal"), None);
    let filter = chain.subscribe_filter(&mut guests, &scope, "home/+/t").expect("no refusal");
    assert_eq!(filter.as_deref(), Some("site/1/+/t"));
    assert_eq!(chain.deliver_name(&mut guests, &scope, "site/1/hall/t").as_deref(), Some("home/hall/t"));
    assert_eq!(guests.failures(), 0);
}

#[test]
fn topic_rules_refuse_with_their_reason() {
    let modules = runtime(&[("topic-rules", r#"{"mount": "tenant/{user}/"}"#)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let topic = chain.publish_topic(&mut guests, &scope(Some("ann")), "a").expect("no refusal");
    assert_eq!(topic.as_deref(), Some("tenant/ann/a"));
    let Refusal { reason, .. } = chain.publish_topic(&mut guests, &scope(None), "a").expect_err("no user");
    assert_eq!(reason, "topics here belong to a user, and this client has no user name");
    assert_eq!(guests.failures(), 0);
}

#[test]
fn retain_rules_decide_and_may_be_remembered_unless_a_size_counts() {
    let config = r#"{"rules": [{"filter": "a/#", "keep": "always", "expire_after": 9, "replay": 3}]}"#;
    let modules = runtime(&[("retain-rules", config)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    assert_eq!(chain.wants_retain("a/b", false), RetainAsk::PerTopic);
    assert_eq!(chain.wants_retain("b", false), RetainAsk::Never);
    let answer = chain.retain(&mut guests, &client(), &message("a/b", false, b"1")).expect("no refusal");
    assert_eq!(answer, Retention::Store(Some(9)));
    assert_eq!(chain.replay(&mut guests, &client(), "a/+", 10), Replay::Newest(3));

    let changed = modules.configure("retain-rules", r##"{"rules": [{"filter": "#", "refuse_over": 2}]}"##);
    changed.expect("a good configuration");
    let chain = modules.chain();
    assert_eq!(chain.wants_retain("a/b", true), RetainAsk::Each);
    let answer = chain.retain(&mut guests, &client(), &message("a/b", true, b"12"));
    assert_eq!(answer.expect("no refusal"), Retention::AsFlagged);
    let refusal = chain.retain(&mut guests, &client(), &message("a/b", true, b"123")).expect_err("too large");
    assert_eq!(refusal.reason, "3 bytes, and what is kept for `#` has at most 2");
}

/// However many come at once, and whatever they are called: a call returns up to 64 messages and 2 MiB.
#[test]
fn presence_is_told_of_everybody_who_comes_at_once() {
    let modules = runtime(&[("will-rules", r##"{"presence": "presence/{client}"}"##)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let named = |id: String| Happening::Connected(Arc::new(Client { id: id.as_str().into(), ..client() }));
    let many: Vec<Happening> = (0..256).map(|n| named(format!("c{n}"))).collect();
    assert_eq!(chain.tell(&mut guests, &many).len(), 256);
    let long: Vec<Happening> = (0..20).map(|n| named(format!("{n}{}", "x".repeat(60_000)))).collect();
    assert_eq!(chain.tell(&mut guests, &long).len(), 20);
    let odd = chain.tell(&mut guests, &[named("dev\u{1}\u{9f}/+".to_owned())]);
    assert_eq!(odd[0].message.topic().as_str(), "presence/dev%01%C2%9F%2F%2B");
    assert_eq!(guests.failures(), 0);
}

#[test]
fn will_rules_add_reason_time_and_presence() {
    let config = r##"{"rules": [{"filter": "#", "least_delay": 30, "add_reason": true, "add_time": true}],
        "presence": "presence/{client}"}"##;
    let modules = runtime(&[("will-rules", config)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let will = Will { message: message("status", false, b"gone"), delay_seconds: 0 };
    let kept = chain.will_registered(&mut guests, &client(), will).expect("no refusal").expect("a will");
    assert_eq!(kept.delay_seconds, 30);
    let published = chain.will_due(&mut guests, &client(), kept, Departure::ConnectionLost);
    let told: Vec<(&str, &[u8], bool)> =
        published.iter().map(|m| (m.topic().as_str(), m.payload(), m.envelope().retain)).collect();
    assert_eq!(told, [("status", &b"gone"[..], false), ("presence/c1", &b"offline"[..], true)]);
    let expected = [("will-reason", "connection-lost"), ("will-time", "2025-12-31T23:59:59.001Z")];
    assert_eq!(properties(&published[0]), expected);
}

/// Each field there and back, as examples of its component.
#[test]
fn translate_has_a_form_for_each_field() {
    let uuid = "0123abcd-0123-4567-89ab-0123456789ab";
    // A list of names and values in turn.
    let twice = "0AAAABwAAAAEsQAAAAFrsQAAAAF2sQAAAAFrsQAAAAF3";
    let examples = json!({ "example": [
        {
            "name": "to AMQP", "hook": "translation.to-amqp",
            "message": {
                "topic": "a/b", "payload": "x", "qos": 2, "retain": true, "expiry_seconds": 7, "payload_is_text": true,
                "content_type": "text/plain", "response_topic": "back/here", "correlation_data_base64": "AP8=",
                "user_properties": [["k", "v"], ["k", "w"]],
            },
            "expect": { "amqp": {
                "durable": true, "ttl": 7_000, "to": "a/b", "reply_to": "back/here", "content_type": "text/plain",
                "correlation_id": { "binary_base64": "AP8=" }, "application_properties": { "k": "v" },
                "message_annotations": {
                    "x-opt-mqtt-qos": { "ubyte": 2 }, "x-opt-retain-message": true,
                    "x-opt-mqtt-payload-format": { "ubyte": 1 },
                    "x-opt-mqtt-user-properties": { "encoded_base64": twice },
                },
                "body": { "data": "x" },
            } },
        },
        {
            "name": "and back", "hook": "translation.from-amqp", "topic": "a/b",
            "amqp": {
                "durable": true, "ttl": 6_001, "to": "elsewhere", "subject": "left out", "reply_to": "back/here",
                "content_type": "text/plain", "correlation_id": { "uuid": uuid },
                "application_properties": { "k": "v", "n": { "int": -3 }, "t": { "timestamp": -1_500 } },
                "message_annotations": {
                    "x-opt-mqtt-qos": { "ubyte": 2 }, "x-opt-retain-message": true,
                    "x-opt-mqtt-user-properties": { "encoded_base64": twice },
                },
                "body": { "value": "x" },
            },
            "expect": { "message": {
                "topic": "a/b", "payload": "x", "qos": 2, "retain": true, "expiry_seconds": 7, "payload_is_text": true,
                "content_type": "text/plain", "response_topic": "back/here",
                "correlation_data_base64": "dXJuOnV1aWQ6MDEyM2FiY2QtMDEyMy00NTY3LTg5YWItMDEyMzQ1Njc4OWFi",
                "user_properties": [["k", "v"], ["k", "w"]],
            } },
        },
        {
            "name": "what only AMQP knows", "hook": "translation.from-amqp", "topic": "a/b",
            "amqp": {
                "reply_to": "a/+", "application_properties": { "b": { "binary_base64": "AQ==" }, "n": { "int": -3 } },
                "body": { "value": { "ubyte": 200 } },
            },
            "expect": { "message": {
                "payload_base64": "AFN3UMg=", "qos": 0, "response_topic": null, "user_properties": [["n", "-3"]],
                "content_type": "message/vnd.rabbitmq.amqp",
            } },
        },
    ] });
    let modules = runtime(&[]);
    let runs = modules.run_examples(&component("translate"), &serde_json::from_value(examples).unwrap(), "{}").unwrap();
    for run in runs {
        assert!(run.differences.is_empty(), "{}: {:#?}", run.name, run.differences);
    }
}

#[test]
fn the_example_adds_its_property() {
    let modules = runtime(&[("add-property", r#"{"name": "site", "value": "plant 7"}"#)]);
    let (chain, mut guests) = (modules.chain(), Guests::new(&modules));
    let verdict = chain.route(&mut guests, &client(), message("a", false, b"1"));
    let Outcome::Pass(passed) = verdict.outcome else { panic!("it passes") };
    assert_eq!(properties(&passed), [("site", "plant 7")]);
    assert_eq!(passed.payload(), b"1");
}

#[test]
fn a_wrong_configuration_is_refused_in_the_modules_words() {
    let modules = runtime(&[]);
    let deploy = |modules: &Modules, config: &str| {
        let options = DeployOptions { config: Some(config.into()), ..DeployOptions::default() };
        modules.deploy("topic-rules", &component("topic-rules"), options)
    };
    for (config, expected) in [
        ("{", "configuration: "),
        (r#"{"rules": [{"from": "a", "to": "b"}, {"from": 3}]}"#, "configuration: rules, entry 2, from: invalid type"),
        (r#"{"rulez": []}"#, "configuration: rulez: unknown field `rulez`, expected one of `rules`, `mount`, `mounts`"),
    ] {
        let error = deploy(&modules, config).expect_err("a wrong configuration");
        let DeployError::RefusedConfig(reason) = &error else { panic!("{error}") };
        assert!(reason.starts_with(expected), "{config}: {reason}");
    }
    deploy(&modules, "").expect("none at all is a good configuration");
}
