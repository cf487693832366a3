//! Publishing and explaining over HTTP.

use crate::harness::*;
use serde_json::json;

#[test]
fn a_message_is_published_with_all_that_is_said_about_it() {
    let Some(admin) = admin() else { return };
    let topic = unique("http");
    let mut subscriber = client(V5);
    subscriber.subscribe(&topic, 2);
    let message = json!({
        "topic": topic, "payload": "hello", "qos": 1, "expiry_seconds": 100,
        "properties": {
            "content_type": "text/plain", "response_topic": "r", "correlation_data": "c", "user": [["a", "1"], ["a", "2"]],
        },
    });
    assert_eq!(admin.post("/api/v1/publish", &message).expect(200).json()["matched"], true);
    let got = subscriber.expect(&topic, "hello", 1).properties;
    assert_eq!(got.text(property::CONTENT_TYPE), Some("text/plain"));
    assert_eq!(got.text(property::RESPONSE_TOPIC), Some("r"));
    assert_eq!(got.binary(property::CORRELATION_DATA), Some(&b"c"[..]));
    assert_eq!(got.user(), [("a", "1"), ("a", "2")]);
    assert!(got.number(property::MESSAGE_EXPIRY).is_some_and(|left| left <= 100));
}

#[test]
fn a_payload_may_be_any_bytes() {
    let Some(admin) = admin() else { return };
    let topic = unique("bytes");
    let mut subscriber = client(V5);
    subscriber.subscribe(&topic, 2);
    admin.post("/api/v1/publish", &json!({ "topic": topic, "payload_base64": "AP8B", "qos": 2 })).expect(200);
    assert_eq!(subscriber.take().payload, [0, 255, 1]);
    admin.post("/api/v1/publish", &json!({ "topic": topic })).expect(200);
    assert!(subscriber.take().payload.is_empty());
}

#[test]
fn nobody_there_is_said() {
    let Some(admin) = admin() else { return };
    let answer = admin.post("/api/v1/publish", &json!({ "topic": unique("nobody"), "payload": "x" })).expect(200);
    assert_eq!(answer.json()["matched"], false);
}

#[test]
fn what_is_no_message_is_refused() {
    let Some(admin) = admin() else { return };
    for (document, status) in [
        (json!({ "topic": "a/#" }), 422),
        (json!({ "topic": "" }), 422),
        (json!({ "topic": "a", "qos": 3 }), 400),
        (json!({ "topic": "a", "payload": "x", "payload_base64": "AA==" }), 400),
        (json!({ "topic": "a", "payload_base64": "?" }), 400),
        (json!({ "topic": "a", "unknown": 1 }), 400),
        (json!({ "payload": "x" }), 400),
        (json!([]), 400),
    ] {
        for path in ["/api/v1/publish", "/api/v1/explain"] {
            let answer = admin.post(path, &document);
            assert_eq!(answer.status, status, "{path} {document}: {}", answer.text());
        }
    }
    admin.send("POST", "/api/v1/publish", &["Content-Type: application/json"], b"{").problem(400);
}

/// MQTT-3.3.2-14, MQTT-4.7.3-1, MQTT-1.5.4-2: what no client could be sent is refused, by the name of its field.
#[test]
fn properties_are_what_mqtt_can_say() {
    let Some(admin) = admin() else { return };
    let long = "x".repeat(65_536);
    for (properties, field) in [
        (json!({ "response_topic": "x/#" }), "response_topic"),
        (json!({ "response_topic": "+" }), "response_topic"),
        (json!({ "response_topic": "" }), "response_topic"),
        (json!({ "response_topic": "a\0b" }), "response_topic"),
        (json!({ "content_type": "a\0b" }), "content_type"),
        (json!({ "content_type": long }), "content_type"),
        (json!({ "user": [["a", "b"], ["a\0", "b"]] }), "user"),
        (json!({ "user": [["a", long]] }), "user"),
        (json!({ "user": vec![["a", "b"]; 1_001] }), "1001 properties"),
        (json!({ "user": vec![["a", &long[1_000..]]; 9] }), "bytes together"),
        (json!({ "correlation_data": long }), "correlation_data"),
    ] {
        for path in ["/api/v1/publish", "/api/v1/explain"] {
            let answer = admin.post(path, &json!({ "topic": unique("said"), "properties": properties }));
            let detail = answer.problem(422);
            assert!(detail.contains(field), "{path} {field}: {detail}");
        }
    }
    let most = json!({ "content_type": &long[1..], "correlation_data": &long[1..], "response_topic": "$SYS/answers" });
    admin.post("/api/v1/publish", &json!({ "topic": unique("most"), "properties": most })).expect(200);
}

#[test]
fn explaining_publishes_nothing() {
    let Some(admin) = admin() else { return };
    let topic = unique("explained");
    let mut subscriber = client(V5);
    subscriber.subscribe(&topic, 1);
    let message = json!({ "topic": topic, "payload": "x", "qos": 1, "retain": true, "client": { "id": "somebody" } });
    let explained = admin.post("/api/v1/explain", &message).expect(200).json();
    assert_eq!(explained["topic"], topic);
    assert_eq!(explained["retained"], "set");
    assert!(explained["subscribers"].as_array().is_some_and(|all| all.len() == 1), "{explained}");
    subscriber.expect_nothing();
    admin.get(&format!("/api/v1/retained/{topic}")).problem(404);
}

/// Each decision with the module, its version and how long it took.
#[test]
fn explaining_names_module_version_and_time_of_each_decision() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let rules = json!({ "rules": [{ "from": "in/{rest...}", "to": "out/{rest...}" }] });
    admin.put("/api/v1/modules/topic-rules/config", &rules).expect(200).json();
    let explained = admin.post("/api/v1/explain", &json!({ "topic": "in/a", "retain": true })).expect(200).json();
    assert_eq!(explained["topic"], "out/a");
    let decisions = explained["decisions"].as_array().expect("decisions");
    let by = |name: &str| decisions.iter().find(|decision| decision["module"] == name);
    let mapping = by("topic-rules").unwrap_or_else(|| panic!("{explained}"));
    assert_eq!(mapping["version"], 1);
    assert!(by("retain-rules").is_some(), "{explained}");
    for decision in decisions {
        let time = decision.as_object().unwrap().iter().find(|(key, _)| key.ends_with("seconds"));
        assert!(time.is_some_and(|(_, value)| value.is_number()), "{decision}");
        assert!(decision["hook"].is_string(), "{decision}");
    }
}

/// What would be ignored, or stand for something that is not there.
#[test]
fn what_does_not_belong_to_what_is_explained_is_refused() {
    let Some(admin) = admin() else { return };
    let explain = |document: serde_json::Value| admin.post("/api/v1/explain", &document);
    for listener in ["nope", ""] {
        let client = json!({ "id": "c", "listener": listener });
        assert!(explain(json!({ "topic": "a", "client": client })).problem(422).contains("no listener"), "{listener}");
        assert!(explain(json!({ "event": "timer", "client": client })).problem(422).contains("no listener"));
    }
    for listener in ["mqtt", "admin", "bridge"] {
        explain(json!({ "topic": "a", "client": { "listener": listener } })).expect(200);
    }
    explain(json!({ "topic": "a", "client": { "id": "c" } })).expect(200);
    for (event, more) in [
        ("connected", "filter"),
        ("disconnected", "filter"),
        ("timer", "filter"),
        ("connected", "departure"),
        ("subscribed", "departure"),
        ("timer", "departure"),
    ] {
        let reason = explain(json!({ "event": event, more: "on-request" })).problem(400);
        assert!(reason.contains(more), "{event}: {reason}");
    }
    explain(json!({ "event": "disconnected", "departure": "on-request" })).expect(200);
}

/// What goes to AMQP receivers is shown where there are any, or would be.
#[test]
fn explaining_shows_the_form_for_amqp_receivers() {
    let Some(admin) = admin() else { return };
    let explain = |document| admin.post("/api/v1/explain", &document).expect(200).json();
    let queue = format!("/queues/{}", unique("explained"));
    let properties = json!({ "content_type": "text/x", "user": [["a", "b"]] });
    let explained = explain(json!({ "topic": queue, "payload": "hello", "qos": 1, "properties": properties }));
    let form = &explained["translation"][0];
    assert_eq!((&form["hook"], &form["module"]), (&json!("translation.to-amqp"), &json!("translate")), "{explained}");
    let answer = form["answer"].as_str().expect("an answer");
    let said =
        [queue.as_str(), ": 5 bytes of data", "durable", r#"content type "text/x""#, "application properties: 1"];
    assert!(said.iter().all(|said| answer.contains(said)), "{answer}");
    let topic = unique("explained");
    let mut subscriber = client(V5);
    subscriber.subscribe(&topic, 1);
    assert_eq!(explain(json!({ "topic": topic, "payload": "hello" }))["translation"], json!([]));
}
