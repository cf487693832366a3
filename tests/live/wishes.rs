//! What modules want published and what becomes of it where it finds no way: counted, told, and part of what its message is.

use crate::harness::{Admin, Broker, Client, Publish, V5, connect, guests};
use serde_json::{Value as Json, json};

const QUOTA_EXCEEDED: u8 = 0x97;
/// Of a session's queue.
const ROOM: usize = 4;

fn deploy(admin: &Admin, name: &str, guest: &str, config: &Json) {
    let config: String = config.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/modules/{name}?config={config}");
    admin.deploy(&path, &guests::component(guest)).expect(200);
}

/// Wishes of module `m` that came to nothing for this reason.
fn unmet(admin: &Admin, reason: &str) -> u64 {
    let metrics = admin.get("/metrics").expect(200);
    let name = format!("pliant_module_wishes_refused_total{{module=\"m\",reason=\"{reason}\"}} ");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(&*name)).expect(reason).to_owned();
    line.parse().expect("a number")
}

fn log(admin: &Admin) -> String {
    admin.get("/api/v1/modules/m/logs").expect(200).text().to_owned()
}

/// A module wants so many messages beside each one to `in`.
fn wishes(topic: &str, qos: u8, also: usize) -> Json {
    json!({ "filters": ["in", "on/#"], "topic": topic, "payload": "wish", "also": also, "qos": qos })
}

/// A session that is away, with a subscription to `out`.
fn away(broker: &Broker) -> Client {
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("out", 1);
    kept.disconnect();
    connect(V5).at(broker.address()).open()
}

fn small() -> Option<Broker> {
    Broker::start_with(|config| config.broker.queue_messages_max = ROOM)
}

#[test]
fn a_wish_that_comes_to_nothing_is_counted_with_its_reason_and_told_in_the_log_of_its_module() {
    let adjust = |config: &mut host::config::Config| config.broker.wishes_per_message_max = 2;
    let Some(broker) = Broker::start_with(adjust) else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let rules = json!({ "rules": [
        { "allow": ["publish", "subscribe"], "topics": ["#"] },
        { "deny": ["publish"], "protocol": "module", "topics": ["forbidden"] },
    ] });
    admin.put("/api/v1/modules/access-list/config", &rules).expect(200);
    let refuses = json!({ "filters": ["refused"], "verdict": "refuse", "payload": "not here" });
    deploy(&admin, "another", "router", &refuses);
    let mut client = connect(V5).at(at).open();
    for (reason, config, count, says) in [
        ("reserved", wishes("$SYS/x", 0, 1), 1, "only the broker itself publishes there"),
        ("denied", wishes("forbidden", 0, 2), 2, "forbidden"),
        ("budget", wishes("out", 0, 5), 3, "broker.wishes_per_message_max"),
        ("refused", wishes("refused", 0, 1), 1, "not here"),
    ] {
        deploy(&admin, "m", "router", &config);
        client.say("in", "x", 1);
        assert_eq!(unmet(&admin, reason), count, "{reason}");
        let log = log(&admin);
        assert!(log.contains("comes to nothing") && log.contains(says), "{reason}: {log}");
        admin.delete("/api/v1/modules/m").expect(200);
    }
    // Each leads to the next.
    deploy(&admin, "m", "router", &json!({ "filters": ["loop"], "topic": "loop", "also": 1 }));
    client.say("loop", "x", 1);
    assert_eq!((unmet(&admin, "hops"), unmet(&admin, "budget")), (0, 1), "two come of one message here");
}

#[test]
fn explaining_a_message_counts_none_of_its_wishes() {
    let Some(broker) = Broker::start_with(|config| config.wasm.hops_max = 0) else { return };
    let admin = broker.admin();
    deploy(&admin, "m", "router", &wishes("out", 0, 1));
    admin.post("/api/v1/explain", &json!({ "topic": "in" })).expect(200);
    assert_eq!(unmet(&admin, "hops"), 0);
    connect(V5).at(broker.address()).open().say("in", "x", 1);
    assert_eq!(unmet(&admin, "hops"), 1);
}

/// As one that a module put in its place would be: before anything of it happened.
#[test]
fn a_message_whose_module_wants_what_finds_no_room_is_refused_and_leaves_nothing() {
    let Some(broker) = small() else { return };
    let admin = broker.admin();
    let mut publisher = away(&broker);
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("in", 1);
    reader.subscribe("on/#", 1);
    for verdict in ["keep", "discard"] {
        let mut config = wishes("out", 1, ROOM / 2);
        config["verdict"] = verdict.into();
        deploy(&admin, "m", "router", &config);
        publisher.say("in", "x", 1);
        if verdict == "keep" {
            reader.expect("in", "x", 1);
        }
    }
    for (verdict, topic) in [("keep", "in"), ("discard", "on/x")] {
        let mut config = wishes("out", 1, 1);
        config["verdict"] = verdict.into();
        deploy(&admin, "m", "router", &config);
        let refused = publisher.publish(&Publish::new(topic, "refused", 1).retained());
        assert_eq!(refused, QUOTA_EXCEEDED, "{verdict}");
    }
    reader.expect_nothing();
    assert_eq!(unmet(&admin, "full"), 0, "nothing was promised");
    assert!(!admin.get("/api/v1/retained").expect(200).text().contains("refused"));
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    for _ in 0..ROOM {
        kept.expect("out", "wish", 1);
    }
    kept.expect_nothing();
}

/// Nobody hears of what is at most once: it goes on, and the wish is told as lost.
#[test]
fn a_wish_without_room_of_a_message_that_nobody_waits_for_is_told_as_lost() {
    let Some(broker) = small() else { return };
    let admin = broker.admin();
    let mut publisher = away(&broker);
    deploy(&admin, "m", "router", &wishes("out", 1, ROOM + 1));
    deploy(&admin, "beside", "beside", &json!({ "filters": ["none"] }));
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("in", 1);
    reader.subscribe("told/lost", 1);
    publisher.publish(&Publish::new("in", "x", 0));
    reader.expect("in", "x", 0);
    reader.expect("told/lost", "out Loss::QueueFull", 0);
    assert_eq!(unmet(&admin, "full"), 1);
    let log = log(&admin);
    assert!(log.contains("a receiver's queue is full"), "{log}");
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    for _ in 0..ROOM {
        kept.expect("out", "wish", 1);
    }
}

/// MQTT 5.0, 3.3.2.3.3: what has 0 seconds left is worthless before it can go anywhere.
#[test]
fn what_a_module_says_is_worthless_at_once_reaches_nobody() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("out", 2);
    client.subscribe("copied", 2);
    deploy(&admin, "beside", "beside", &json!({ "filters": ["copied"] }));
    for qos in 0..3 {
        let worthless =
            json!({ "filters": ["in"], "verdict": "replace", "topic": "out", "qos": qos, "expiry_seconds": 0 });
        deploy(&admin, "m", "router", &worthless);
        client.publish(&Publish::new("in", "x", qos));
        client.publish(&Publish::new("copied", "worthless", qos));
        client.say("copied", "as it is", qos);
        client.expect("copied", "as it is", qos);
    }
    client.expect_nothing();
}

/// Five failures would put the module into quarantine, and what is sent to exchanges would go nowhere.
#[test]
fn what_is_too_much_for_the_queues_of_an_exchange_is_refused_and_the_exchange_stays() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let bindings = json!([{ "queue": "a" }, { "queue": "b" }, { "queue": "c" }]);
    let config = json!({ "exchanges": [{ "name": "all", "type": "fanout", "bindings": bindings }] });
    admin.put("/api/v1/modules/exchanges/config", &config).expect(200);
    let mut client = connect(V5).at(broker.address()).open();
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("/queues/c", 1);
    let large = "x".repeat(1_200_000);
    for _ in 0..10 {
        assert_eq!(client.publish(&Publish::new("/exchanges/all/k", &large, 1)), QUOTA_EXCEEDED);
    }
    let module = admin.get("/api/v1/modules/exchanges").expect(200).json();
    assert_eq!((&module["state"], &module["failures"]), (&json!("active"), &json!(0)), "{module}");
    client.say("/exchanges/all/k", "small", 1);
    reader.expect("/queues/c", "small", 1);
}
