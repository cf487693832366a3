//! Health, metrics, the API's own description, reload.

use crate::doors::rig::until;
use crate::harness::*;

/// The value of a figure without labels.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().expect("a number")
}

#[test]
fn metrics_count_what_happens() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("m", 1);
    for _ in 0..5 {
        client.say("m", "1234", 1);
        client.expect("m", "1234", 1);
    }
    client.publish(&Publish::new("kept", "x", 1).retained());
    let answer = admin.get("/metrics").expect(200);
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    let text = answer.text();
    for (name, expected) in [
        ("pliant_clients", 1.0),
        ("pliant_connections", 1.0),
        ("pliant_subscriptions", 1.0),
        ("pliant_retained_messages", 1.0),
        ("pliant_messages_received_total", 6.0),
        ("pliant_messages_sent_total", 5.0),
        ("pliant_payload_sent_bytes_total", 20.0),
    ] {
        assert_eq!(figure(text, name), expected, "{name}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.starts_with("pliant_") && line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
}

/// As many as `pliant_module_wishes_refused_total` tells apart.
#[test]
fn reasons_of_refused_wishes_are_explained() {
    let Some(admin) = admin() else { return };
    let metrics = admin.get("/metrics").expect(200);
    let help = metrics.text().lines().find(|line| line.starts_with("# HELP pliant_module_wishes_refused_total "));
    for reason in ["hops", "budget", "topic", "reserved", "denied", "full", "refused"] {
        assert!(help.is_some_and(|help| help.contains(&format!(" {reason} ("))), "{reason}: {help:?}");
    }
}

/// CONNACKs that refuse and DISCONNECTs are packets as others are.
#[test]
fn metrics_count_answers_that_end_a_connection() {
    let Some(broker) = Broker::start_with(|config| config.mqtt.client_id_bytes_max = 20) else { return };
    let sent = || figure(broker.admin().get("/metrics").expect(200).text(), "pliant_answers_sent_total");
    let before = sent();
    connect(V5).at(broker.address()).id("much longer than it may be").refused(0x85);
    until("a CONNACK that refuses", || sent() - before == 1.0);
    let mut first = connect(V5).at(broker.address()).id("one").open();
    let _second = connect(V5).at(broker.address()).id("one").open();
    first.expect_disconnect(0x8E);
    until("two CONNACKs and a DISCONNECT", || sent() - before == 4.0);
}

#[test]
fn the_api_describes_itself() {
    let Some(admin) = admin() else { return };
    let document = admin.get("/api/v1/openapi.json").expect(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/modules",
        "/api/v1/modules/{name}",
        "/api/v1/modules/{name}/versions",
        "/api/v1/modules/{name}/config",
        "/api/v1/modules/{name}/confirm",
        "/api/v1/modules/{name}/rollback",
        "/api/v1/modules/{name}/logs",
        "/api/v1/explain",
        "/api/v1/clients",
        "/api/v1/clients/{id}",
        "/api/v1/subscriptions",
        "/api/v1/retained",
        "/api/v1/retained/{topic}",
        "/api/v1/publish",
        "/api/v1/reload",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}

#[test]
fn reloading_what_did_not_change_changes_nothing() {
    let Some(broker) = Broker::start() else { return };
    let before = broker.admin().get("/api/v1/modules").expect(200).json();
    broker.admin().send("POST", "/api/v1/reload", &[], b"").expect(200);
    assert_eq!(broker.admin().get("/api/v1/modules").expect(200).json(), before);
}
