//! On a running broker: copies decided on their way out, events told, ticks, dead letters, presence.

use crate::amqp::{link::Terms, peer::Peer, raw};
use crate::harness::{Broker, Publish, V5, V311, connect, guests};
use serde_json::json;

const SEEN: &str = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22seen/%23%22%5D%7D";

#[test]
fn copies_leave_as_a_module_says() {
    let Some(broker) = Broker::start() else { return };
    broker.admin().deploy(SEEN, &guests::component("beside")).expect(200);
    let mut clients: Vec<_> = ["ann", "blind", "bob"]
        .map(|id| {
            let mut client = connect(V5).at(broker.address()).id(id).open();
            client.subscribe("seen/#", 2);
            client.subscribe("other", 2);
            client
        })
        .into();
    let mut publisher = connect(V5).at(broker.address()).id("publisher").open();
    for qos in 0..=2 {
        publisher.say("seen/x", "hello", qos);
        publisher.say("other", "plain", qos);
        for (client, id) in clients.iter_mut().zip(["ann", "blind", "bob"]) {
            if id != "blind" {
                client.expect("seen/x", &format!("hello for {id} at {qos}"), qos);
            }
            client.expect("other", "plain", qos);
        }
    }
    let info = broker.admin().get("/api/v1/modules/beside").expect(200).json();
    let figures = info["figures"].as_array().unwrap();
    let deliveries = figures.iter().find(|figures| figures["hook"] == "delivery.on-deliver").expect("its figures");
    assert_eq!(deliveries["calls"], 9, "none for what its filters leave out");
}

/// Retained messages, and those that wait for their client, are decided when they leave.
#[test]
fn what_waited_is_decided_when_it_leaves() {
    let Some(broker) = Broker::start() else { return };
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("seen/#", 1);
    kept.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("seen/queued", "one", 1);
    publisher.publish(&Publish { retain: true, ..Publish::new("seen/kept", "two", 1) });
    broker.admin().deploy(SEEN, &guests::component("beside")).expect(200);
    let broker = broker.restart();
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    kept.expect("seen/queued", "one for kept at 1", 1);
    kept.expect("seen/kept", "two for kept at 1", 1);
    let mut late = connect(V5).at(broker.address()).id("late").open();
    late.subscribe("seen/#", 1);
    assert_eq!(late.take().text(), "two for late at 1");
}

#[test]
fn a_module_is_told_who_comes_and_goes_and_what_is_lost() {
    let Some(broker) = Broker::start() else { return };
    broker.admin().deploy(SEEN, &guests::component("beside")).expect(200);
    let mut watcher = connect(V5).at(broker.address()).id("watcher").open();
    watcher.subscribe("told/#", 1);
    // What is told of the watcher itself may come before or after its subscription.
    let mut expect = |topic: &str, text: &str| loop {
        let got = watcher.take();
        if !got.text().starts_with("watcher") {
            return assert_eq!((&*got.topic, got.text()), (topic, text));
        }
    };
    let mut client = connect(V311).at(broker.address()).id("c").open();
    expect("told/connected", "c");
    client.subscribe("a/+", 0);
    expect("told/subscribed", "c a/+");
    client.say("nobody/listens", "x", 1);
    expect("told/lost", "nobody/listens Loss::Unroutable");
    client.disconnect();
    expect("told/disconnected", "c farewell");
    expect("told/unsubscribed", "c a/+");
}

#[test]
fn ticks_publish() {
    let Some(broker) = Broker::start() else { return };
    let path = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22x%22%5D,%22tick_milliseconds%22:20%7D";
    broker.admin().deploy(path, &guests::component("beside")).expect(200);
    let mut watcher = connect(V5).at(broker.address()).open();
    watcher.subscribe("told/tick", 0);
    let times: Vec<u64> = (0..3).map(|_| watcher.take().text().parse().expect("milliseconds")).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + 20), "{times:?}");
}

/// What modules would make of copies, of a loss, of events and ticks is shown, and nothing of it happens.
#[test]
fn copies_events_and_timers_are_explained() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut watcher = connect(V5).at(broker.address()).id("watcher").open();
    watcher.subscribe("told/#", 1);
    let mut blind = connect(V5).at(broker.address()).id("blind").open();
    blind.subscribe("seen/#", 1);
    let mut ann = connect(V5).at(broker.address()).id("ann").open();
    ann.subscribe("seen/#", 0);
    admin.deploy(SEEN, &guests::component("beside")).expect(200);
    // What was told of the deployment's moment is over.
    watcher.ping();
    watcher.messages();
    let explain = |document| admin.post("/api/v1/explain", &document).expect(200).json();
    let seen = explain(json!({ "topic": "seen/x", "payload": "hello", "qos": 1 }));
    let of = |client: &str| {
        let copies = seen["deliveries"].as_array().expect("copies");
        copies.iter().find(|copy| copy["client"] == client).unwrap_or_else(|| panic!("{client} in {seen}")).clone()
    };
    assert_eq!(of("blind")["outcome"], "withheld");
    let copy = of("ann");
    assert_eq!(copy["outcome"], format!("delivered with {} other bytes", "hello for ann at 0".len()));
    let decision = &copy["decisions"][0];
    assert_eq!((&decision["hook"], &decision["module"]), (&json!("delivery.on-deliver"), &json!("beside")));
    let lost = explain(json!({ "topic": "nobody/listens", "payload": "x" }));
    assert_eq!((&lost["wishes"], &lost["events"][0]["hook"]), (&json!(["told/lost"]), &json!("events.on-events")));
    let client = json!({ "id": "c" });
    for (document, wishes) in [
        (json!({ "event": "connected", "client": client }), json!(["told/connected"])),
        (json!({ "event": "disconnected", "departure": "taken-over", "client": client }), json!(["told/disconnected"])),
        (json!({ "event": "subscribed", "filter": "a/#", "client": client }), json!(["told/subscribed"])),
        (json!({ "event": "unsubscribed", "filter": "a/#", "client": client }), json!(["told/unsubscribed"])),
        (json!({ "event": "timer" }), json!(["told/tick"])),
    ] {
        let said = explain(document.clone());
        assert_eq!(said["wishes"], wishes, "{document}: {said}");
        assert_eq!(said["decisions"][0]["module"], "beside", "{said}");
    }
    for bad in [
        json!({ "event": "born" }),
        json!({ "event": "subscribed" }),
        json!({ "event": "subscribed", "filter": "a/#/b" }),
        json!({ "event": "disconnected", "departure": "sleepy" }),
        json!({ "event": "timer", "topic": "a" }),
    ] {
        admin.post("/api/v1/explain", &bad).problem(400);
    }
    for client in [&mut watcher, &mut blind, &mut ann] {
        client.expect_nothing();
    }
    let info = admin.get("/api/v1/modules/beside").expect(200).json();
    let delivery = info["figures"].as_array().unwrap().iter().find(|it| it["hook"] == "delivery.on-deliver");
    assert!(delivery.is_none(), "what is explained is not counted: {info}");
}

/// What a module changes and counts while it is explained is not kept, and its failures are not held against it.
#[test]
fn explaining_leaves_no_trace() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("#", 1);
    admin.deploy("/api/v1/modules/remembers", &guests::component("remembers")).expect(200);
    client.say("a", "x", 1);
    let first = client.take();
    for _ in 0..3 {
        admin.post("/api/v1/explain", &json!({ "topic": "a", "payload": "x" })).expect(200);
    }
    client.say("a", "x", 1);
    let second = client.take();
    let count = |message: &Publish| -> u64 {
        let user = message.properties.user();
        user.iter().find_map(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("a count in {user:?}"))
    };
    assert_eq!(count(&second), count(&first) + 1);
    admin.deploy("/api/v1/modules/traps?on_failure=bypass", &guests::component("traps")).expect(200);
    for _ in 0..10 {
        let said = admin.post("/api/v1/explain", &json!({ "topic": "bad" })).expect(200);
        assert!(said.text().contains("failed: trapped"), "{}", said.text());
    }
    let info = admin.get("/api/v1/modules/traps").expect(200).json();
    assert_eq!((&info["state"], &info["failures"]), (&json!("active"), &json!(0)), "{info}");
}

/// `will-rules`: online when a client comes, offline when it is gone, whatever the way it went.
#[test]
fn presence_is_kept_for_all_clients() {
    let Some(broker) = Broker::start() else { return };
    broker.admin().put("/api/v1/modules/will-rules/config", &json!({ "presence": "presence/{client}" })).expect(200);
    let mut watcher = connect(V5).at(broker.address()).id("watcher").open();
    watcher.subscribe("presence/+", 1);
    let mut seen = |id: &str| loop {
        let got = watcher.take();
        if got.topic == format!("presence/{id}") {
            return got.text().to_owned();
        }
    };
    let client = connect(V5).at(broker.address()).id("c").open();
    assert_eq!(seen("c"), "online");
    client.disconnect();
    assert_eq!(seen("c"), "offline");
    drop(connect(V5).at(broker.address()).id("dropped").open());
    assert_eq!((seen("dropped"), seen("dropped")), ("online".to_owned(), "offline".to_owned()));
    let mut amqp = Peer::connect(broker.at("amqp")).begins_as("container");
    assert_eq!(seen("container"), "online");
    // The session that it attaches to is no other client, and a second connection goes on for it.
    amqp.receiver("session", 0, &Terms { node: Some(raw::source("$mqtt.to.own.publish")), ..Terms::default() });
    drop(Peer::connect(broker.at("amqp")).begins_as("container"));
    assert_eq!(seen("container"), "online", "the second one");
    drop(amqp);
    assert_eq!(seen("container"), "offline");
    let retained = broker.admin().get("/api/v1/retained").expect(200);
    assert!(!retained.text().contains("presence/own"), "{}", retained.text());
    assert!(retained.text().contains("presence/c"), "{}", retained.text());
}
