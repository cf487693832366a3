//! The authorization matrix: two identities, all ways in and out, and what is revoked at each step. Nothing leaks.
//!
//! ann is the one who reads and bob the one who writes. Rules are replaced while both are there.

use super::rig::{Rig, rules};
use crate::harness::*;
use serde_json::{Value as Json, json};

/// ann may subscribe to `t/#` and bob publish to it.
fn both() -> Json {
    rules(json!([may_read(), may_write()]))
}

fn may_read() -> Json {
    json!({ "allow": ["subscribe"], "users": ["ann", "cleo"], "topics": ["t/#"] })
}

fn may_write() -> Json {
    json!({ "allow": ["publish"], "users": ["bob"], "topics": ["t/#"] })
}

/// ann is not to get anything more of `t/a`; what she subscribed stays.
fn reading_revoked() -> Json {
    rules(json!([may_read(), may_write(), { "deny": ["receive"], "users": ["ann"], "topics": ["t/a"] }]))
}

/// ann's right to subscribe is taken away as a whole.
fn subscribing_revoked() -> Json {
    let may_read = json!({ "allow": ["subscribe"], "users": ["cleo"], "topics": ["t/#"] });
    rules(json!([may_read, may_write()]))
}

/// S09: an access list without rules denies everything.
#[test]
fn without_rules_nobody_may_do_anything() {
    let Some(rig) = Rig::start(Some(json!({}))) else { return };
    let mut ann = rig.open(V5, "ann");
    assert_eq!(ann.subscribe_with([], &[Subscription::new("t/a", 1), Subscription::new("#", 0)]), [0x87, 0x87]);
    for qos in [1, 2] {
        assert_eq!(ann.publish(&Publish::new("t/a", "x", qos)), 0x87);
    }
    ann.publish(&Publish::new("t/a", "x", 0));
    ann.ping();
    assert_eq!(rig.open(V311, "bob").subscribe_with([], &[Subscription::new("t/a", 1)]), [0x80]);
    // 3.1.1 has no word for no: the connection is closed.
    for qos in [1, 2] {
        let mut bob = rig.open(V311, "bob");
        bob.send_publish(&Publish::new("t/a", "x", qos));
        bob.expect_closed();
    }
    assert!(rig.admin().get("/api/v1/retained").expect(200).json()["items"].as_array().unwrap().is_empty());
}

#[test]
fn old_clients_may_be_acknowledged_what_they_may_not_publish() {
    let rig = Rig::start_with(Some(both()), |config| config.mqtt.acknowledge_unauthorized = true);
    let Some(rig) = rig else { return };
    let mut reader = rig.open(V5, "ann");
    reader.subscribe("t/#", 2);
    let mut cleo = rig.open(V311, "cleo");
    for qos in [0, 1, 2] {
        cleo.say("t/a", "x", qos);
    }
    reader.expect_nothing();
}

/// Live: each QoS, both versions, reading and writing revoked.
#[test]
fn live_messages_follow_the_rules_of_the_moment() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    for version in BOTH {
        let mut ann = rig.open(version, "ann");
        let mut bob = rig.open(V5, "bob");
        for qos in [0, 1, 2] {
            ann.subscribe("t/+", qos);
            bob.say("t/a", "1", qos);
            ann.expect("t/a", "1", qos);
            for revoked in [reading_revoked(), subscribing_revoked()] {
                rig.put(revoked);
                bob.say("t/a", "2", qos);
                ann.expect_nothing();
                rig.put(both());
                bob.say("t/a", "3", qos);
                ann.expect("t/a", "3", qos);
            }
            rig.put(rules(json!([may_read()])));
            let code = bob.publish(&Publish::new("t/a", "4", qos));
            assert_eq!(code, if qos == 0 { 0 } else { 0x87 });
            ann.expect_nothing();
            rig.put(both());
        }
    }
}

/// S04: queued while the reader is away.
#[test]
fn what_is_queued_is_looked_at_again() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let mut rig = rig;
    for restarts in [false, true] {
        for qos in [1, 2] {
            let mut ann = rig.as_user(V5, "ann").kept().open();
            ann.subscribe("t/+", qos);
            ann.disconnect();
            let mut bob = rig.open(V5, "bob");
            bob.say("t/a", "secret", qos);
            bob.say("t/b", "open", qos);
            bob.disconnect();
            rig.put(reading_revoked());
            if restarts {
                rig = rig.restart();
            }
            let mut ann = rig.as_user(V5, "ann").kept().resume();
            ann.expect("t/b", "open", qos);
            ann.expect_nothing();
            // It does not come back with the right.
            rig.put(both());
            ann.expect_nothing();
            ann.disconnect();
            rig.as_user(V5, "ann").clean(true).open().disconnect();
        }
    }
}

/// S04: under way, not acknowledged, and about to be sent again.
#[test]
fn what_is_in_flight_is_not_sent_again() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    for qos in [1, 2] {
        let mut ann = rig.as_user(V5, "ann").kept().open();
        ann.subscribe("t/+", qos);
        let mut bob = rig.open(V5, "bob");
        bob.say("t/a", "secret", qos);
        bob.say("t/b", "open", qos);
        let (secret, open) = (ann.delivery(), ann.delivery());
        assert_eq!((secret.text(), open.text()), ("secret", "open"));
        ann.cut();
        rig.put(subscribing_revoked());
        let mut ann = rig.as_user(V5, "ann").kept().resume();
        // Of those she may have at QoS 2 the identifiers are released: they are free for others only then (4.3.3).
        for id in [secret.id, open.id].into_iter().filter(|_| qos == 2) {
            assert!(matches!(ann.receive(), Packet::Pubrel(release) if release.id == id));
            ann.ack(0x70, id);
        }
        ann.expect_nothing();
        rig.put(both());
        bob.say("t/b", "after", qos);
        ann.expect("t/b", "after", qos);
        ann.expect_nothing();
        ann.disconnect();
        rig.as_user(V5, "ann").clean(true).open().disconnect();
    }
}

/// Behind a full window, of a client that is there.
#[test]
fn what_waits_for_the_window_is_looked_at_again() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    for kept in [false, true] {
        let narrow = rig.as_user(V5, "ann").with(Property::Two(property::RECEIVE_MAXIMUM, 1));
        let mut ann = if kept { narrow.kept().open() } else { narrow.open() };
        ann.subscribe("t/+", 1);
        let mut bob = rig.open(V5, "bob");
        bob.say("t/a", "first", 1);
        bob.say("t/a", "secret", 1);
        bob.say("t/b", "open", 1);
        let first = ann.delivery();
        assert_eq!(first.text(), "first");
        rig.put(reading_revoked());
        ann.ack(0x40, first.id);
        ann.expect("t/b", "open", 1);
        ann.expect_nothing();
        rig.put(both());
        ann.disconnect();
        rig.as_user(V5, "ann").clean(true).open().disconnect();
    }
}

/// CVE-2018-12546 and its like: retained messages, at subscribe.
#[test]
fn retained_messages_are_for_those_who_may_read_them() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let mut bob = rig.open(V5, "bob");
    bob.publish(&Publish::new("t/a", "secret", 1).retained());
    bob.publish(&Publish::new("t/b", "open", 1).retained());
    for qos in [0, 1] {
        for kept in [false, true] {
            let connect = || if kept { rig.as_user(V5, "ann").kept() } else { rig.as_user(V5, "ann") };
            let mut ann = connect().clean(true).open();
            ann.subscribe("t/+", qos);
            let mut got = [ann.take().text().to_owned(), ann.take().text().to_owned()];
            got.sort();
            assert_eq!(got, ["open", "secret"]);
            rig.put(reading_revoked());
            ann.subscribe("t/+", qos);
            assert_eq!(ann.take().text(), "open");
            ann.expect_nothing();
            rig.put(subscribing_revoked());
            assert_eq!(ann.subscribe_with([], &[Subscription::new("t/+", qos)]), [0x87]);
            ann.expect_nothing();
            ann.disconnect();
            rig.put(both());
        }
    }
    // Whoever may not publish may not store, nor delete.
    rig.put(rules(json!([may_read()])));
    assert_eq!(bob.publish(&Publish::new("t/b", "", 1).retained()), 0x87);
    assert_eq!(bob.publish(&Publish::new("t/c", "x", 1).retained()), 0x87);
    let kept = rig.admin().get("/api/v1/retained").expect(200).json();
    let topics: Vec<_> = kept["items"].as_array().unwrap().iter().map(|item| item["topic"].clone()).collect();
    assert_eq!(topics, ["t/a", "t/b"]);
}

/// S05: at CONNECT, and when it fires.
/// S14: a will that may not be published holds up none that is due after it.
#[test]
fn a_will_is_looked_at_when_it_is_left_and_when_it_fires() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let mut ann = rig.open(V5, "ann");
    ann.subscribe("t/+", 1);
    rig.as_user(V5, "bob").will(Will::new("other", "x")).refused(0x87);
    rig.as_user(V311, "bob").will(Will::new("other", "x")).refused(5);
    rig.as_user(V5, "bob").will(Will::new("t/a", "gone").qos(1)).open().cut();
    ann.expect("t/a", "gone", 1);
    // Revoked between CONNECT and the end.
    let bob = rig.as_user(V5, "bob").will(Will::new("t/a", "gone").qos(1).retained()).open();
    rig.put(rules(json!([may_read()])));
    bob.cut();
    // Revoked between the end and the delay.
    rig.put(both());
    let delayed = rig.as_user(V5, "bob").session_expiry(60).will(Will::new("t/a", "late").qos(1).delay(1)).open();
    delayed.cut();
    rig.put(rules(json!([may_read(), { "allow": ["publish", "subscribe"], "users": ["cleo"], "topics": ["clock"] }])));
    let mut cleo = rig.open(V5, "cleo");
    cleo.subscribe("clock", 0);
    let clock = rig.as_user(V5, "cleo").id("clock").session_expiry(60).will(Will::new("clock", "now").delay(2));
    clock.open().cut();
    cleo.expect("clock", "now", 0);
    ann.expect_nothing();
}

/// Of a group, those get the messages who may.
#[test]
fn shared_subscriptions_pass_over_whoever_may_not_read() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let (mut ann, mut cleo) = (rig.open(V5, "ann"), rig.open(V5, "cleo"));
    ann.subscribe("$share/g/t/+", 1);
    cleo.subscribe("$share/g/t/+", 1);
    let mut bob = rig.open(V5, "bob");
    rig.put(subscribing_revoked());
    for at in 0..6 {
        bob.say("t/a", &at.to_string(), 1);
    }
    for at in 0..6 {
        cleo.expect("t/a", &at.to_string(), 1);
    }
    ann.expect_nothing();
    rig.put(rules(json!([may_write()])));
    bob.say("t/a", "nobody", 1);
    ann.expect_nothing();
    cleo.expect_nothing();
}

/// P08: the topic behind an alias counts, and a client that takes over has the rights of its own.
#[test]
fn neither_an_alias_nor_a_take_over_is_a_way_around() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let mut ann = rig.open(V5, "ann");
    ann.subscribe("t/#", 1);
    let mut bob = rig.open(V5, "bob");
    let alias = |topic: &str| Publish::new(topic, "x", 1).with(Property::Two(property::TOPIC_ALIAS, 1));
    assert!(bob.publish(&alias("t/a")) < 0x80);
    ann.expect("t/a", "x", 1);
    assert_eq!(bob.publish(&alias("other")), 0x87);
    assert_eq!(bob.publish(&alias("")), 0x87);
    rig.put(subscribing_revoked());
    assert!(bob.publish(&alias("t/a")) < 0x80);
    let mut again = rig.open(V5, "ann");
    assert_eq!(again.subscribe_with([], &[Subscription::new("t/#", 1)]), [0x87]);
    assert!(bob.publish(&alias("")) < 0x80);
    again.expect_nothing();
}

/// S07, S08: patterns over HTTP's and MQTT's names, through the whole broker.
#[test]
fn names_in_patterns_are_taken_literally() {
    let own = json!([{ "allow": ["publish", "subscribe"], "topics": ["c/%c/#"] }]);
    let Some(rig) = Rig::start(Some(rules(own))) else { return };
    for id in ["+", "#", "a/b", "%c"] {
        let mut client = rig.as_user(V5, "ann").id(id).open();
        for filter in ["c/+/x", "c/#", "c/+/#", "#"] {
            assert_eq!(client.subscribe_with([], &[Subscription::new(filter, 0)]), [0x87], "{id} {filter}");
        }
        assert_eq!(client.publish(&Publish::new("c/ann/x", "x", 1)), 0x87, "{id}");
    }
    let mut client = rig.as_user(V5, "ann").id("x-]").open();
    client.subscribe("c/x-]/+", 1);
    client.say("c/x-]/1", "own", 1);
    client.expect("c/x-]/1", "own", 1);
}

/// What comes by HTTP is the operator's own, and denied where a rule says so.
#[test]
fn the_admin_api_publishes_unless_a_rule_names_it() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let mut ann = rig.open(V5, "ann");
    ann.subscribe("t/+", 1);
    let message = json!({ "topic": "t/a", "payload": "http", "qos": 1 });
    rig.admin().post("/api/v1/publish", &message).expect(200);
    ann.expect("t/a", "http", 1);
    let deny = json!({ "deny": ["publish"], "topics": ["#"], "protocol": "http" });
    rig.put(rules(json!([may_read(), may_write(), deny])));
    let refused = rig.admin().post("/api/v1/publish", &message);
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    ann.expect_nothing();
    let explained = rig.admin().post("/api/v1/explain", &message).expect(200).json();
    assert_eq!(explained["outcome"], "refused: not authorized");
}

/// What modules wish for is their own, and denied where a rule says so.
#[test]
fn wishes_of_modules_are_granted_unless_a_rule_names_them() {
    let Some(rig) = Rig::start(Some(both())) else { return };
    let config = json!({ "filters": ["t/a"], "verdict": "keep", "topic": "t/wish", "payload": "w", "also": 1 });
    let config: String = config.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/modules/wisher?on_failure=refuse&config={config}");
    rig.admin().deploy(&path, &guests::component("router")).expect(200);
    let (mut ann, mut bob) = (rig.open(V5, "ann"), rig.open(V5, "bob"));
    ann.subscribe("t/+", 1);
    bob.say("t/a", "x", 1);
    let mut topics: Vec<String> = (0..2).map(|_| ann.take().topic).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["t/a", "t/wish"]);
    let deny = json!({ "deny": ["publish"], "topics": ["t/wish"], "protocol": "module" });
    rig.put(rules(json!([may_read(), may_write(), deny])));
    bob.say("t/a", "x", 1);
    ann.expect("t/a", "x", 1);
    ann.expect_nothing();
}

/// A module that fails here refuses, and comes back when it is well.
#[test]
fn a_failing_access_module_refuses() {
    let Some(rig) = Rig::start(None) else { return };
    rig.admin().deploy("/api/v1/modules/guards?on_failure=bypass", &guests::component("guards")).expect(200);
    // The guest lets people write under `open/`, and traps on the topic `trap`.
    let mut stranger = connect(V5).at(rig.address()).user("evil").password(b"wrong").sent();
    assert!(matches!(stranger.receive(), Packet::Connack(Connack { code: 0x87, .. })));
    // Its own way of knowing people comes after the password file, for names that the file does not have.
    let mut bob = connect(V5).at(rig.address()).user("abc").password(b"cba").open();
    for (topic, code) in [("open/1", 0x10), ("closed", 0x87), ("trap", 0x87), ("open/2", 0x10), ("trap", 0x87)] {
        assert_eq!(bob.publish(&Publish::new(topic, "x", 1)), code, "{topic}");
    }
    rig.admin().delete("/api/v1/modules/guards");
    bob.subscribe("trap", 0);
    assert_eq!(bob.publish(&Publish::new("trap", "x", 1)), 0);
    bob.expect("trap", "x", 0);
}
