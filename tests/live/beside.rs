//! On a running broker: copies decided on their way out, events told, ticks, dead letters, presence.

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
    let retained = broker.admin().get("/api/v1/retained").expect(200);
    assert!(retained.text().contains("presence/c"), "{}", retained.text());
}
