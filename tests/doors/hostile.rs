//! What is left of the catalogue of bad inputs for doors and the admin API.

use crate::harness::{Admin, Broker, Process, V5, Will, connect, unique};
use serde_json::json;

/// H05: nothing that a caller sends is a pattern with more than linear cost.
#[test]
fn patterns_in_queries_cost_nothing() {
    let Some(broker) = Broker::start() else { return };
    let long = format!("{}!", "a".repeat(4000));
    let _client = connect(V5).at(broker.address()).id(&long).open();
    for list in ["clients", "subscriptions", "retained", "modules"] {
        let answer = broker.admin().get(&format!("/api/v1/{list}?filter=(a%2B)%2B%24"));
        assert!(matches!(answer.status, 200 | 400), "{list}: {}", answer.status);
    }
}

/// H07: eight callers at once; each call is done or refused, and what is left is one of the versions that there were.
#[test]
fn eight_callers_change_one_module_at_the_same_time() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let calls = |admin: &Admin, caller: usize| {
        for round in 0..5 {
            let status = match (caller + round) % 4 {
                0 => admin.post("/api/v1/modules/topic-rules/rollback", &json!({})).status,
                1 => admin.post("/api/v1/modules/topic-rules/disable", &json!({})).status,
                2 => admin.post("/api/v1/modules/topic-rules/enable", &json!({})).status,
                _ => {
                    let rule = json!({ "from": format!("in-{caller}/{{r...}}"), "to": "out/{r...}" });
                    admin.put("/api/v1/modules/topic-rules/config", &json!({ "rules": [rule] })).status
                }
            };
            assert!(matches!(status, 200 | 204 | 409 | 422), "{status}");
        }
    };
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let admin = admin.clone();
            scope.spawn(move || calls(&admin, caller));
        }
    });
    let shown = admin.get("/api/v1/modules/topic-rules").expect(200).json();
    let listed = admin.get("/api/v1/modules/topic-rules/versions").expect(200).text().to_owned();
    assert!(shown["version"].is_null() || listed.contains(&shown["version"].to_string()), "{shown} {listed}");
    admin.post("/api/v1/modules/topic-rules/enable", &json!({}));
    let topic = unique("after");
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe(&topic, 1);
    client.say(&topic, "served", 1);
    client.expect(&topic, "served", 1);
}

/// S06: a will that waits when the broker is killed is published once, by the broker that comes after it.
#[test]
fn a_will_that_waits_survives_a_kill_and_is_published_once() {
    let Some(broker) = Process::start() else { return };
    let topic = unique("will");
    let mut watcher = connect(V5).at(broker.address()).id("watcher").session_expiry(600).open();
    watcher.subscribe(&topic, 1);
    let will = Will::new(&topic, "late").qos(1).delay(2);
    connect(V5).at(broker.address()).session_expiry(600).will(will).open().cut();
    // Its departure is on disk when this is.
    watcher.say(&topic, "before", 1);
    watcher.expect(&topic, "before", 1);
    let broker = broker.kill_and_start();
    let mut watcher = connect(V5).at(broker.address()).id("watcher").clean(false).session_expiry(600).open();
    // What was under way when it was killed may come again.
    let mut message = watcher.take();
    if message.text() == "before" {
        message = watcher.take();
    }
    assert_eq!(message.text(), "late");
    watcher.expect_nothing();
}

/// S10: reading the configuration again with hardly a file left changes nothing for the worse.
#[test]
fn a_reload_with_all_connections_taken_keeps_what_was() {
    let Some(broker) = Process::start_with(&[], Some(128)) else { return };
    let mut inside = connect(V5).at(broker.address()).open();
    let crowd: Vec<_> = (0..200).filter_map(|_| std::net::TcpStream::connect(broker.address()).ok()).collect();
    let answer = broker.admin().post("/api/v1/reload", &json!({})).expect(200).json();
    assert_eq!(answer["failed"], json!([]), "{answer}");
    inside.ping();
    drop(crowd);
}
