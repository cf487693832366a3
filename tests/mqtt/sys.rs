//! `$SYS`: what the broker tells about itself.

use crate::harness::*;
use std::collections::BTreeMap;

/// All values that are retained below `$SYS` now.
fn told(broker: &Broker) -> BTreeMap<String, String> {
    let mut client = connect(V311).at(broker.address()).open();
    // The clock that tells them starts beside the listeners.
    client.subscribe("$SYS/broker/load/sockets/15min", 0);
    client.take();
    client.unsubscribe(&["$SYS/broker/load/sockets/15min"]);
    client.subscribe("$SYS/#", 0);
    let retained = client.messages().into_iter().filter(|message| message.retain);
    retained.map(|message| (message.topic.clone(), message.text().to_owned())).collect()
}

#[test]
fn the_topics_are_those_that_users_of_mosquitto_know() {
    let Some(broker) = Broker::start() else { return };
    let values = told(&broker);
    for name in [
        "version",
        "uptime",
        "clients/total",
        "clients/connected",
        "clients/disconnected",
        "clients/maximum",
        "clients/expired",
        "messages/received",
        "messages/sent",
        "publish/messages/received",
        "publish/messages/sent",
        "publish/messages/dropped",
        "publish/bytes/received",
        "publish/bytes/sent",
        "bytes/received",
        "bytes/sent",
        "subscriptions/count",
        "shared_subscriptions/count",
        "retained messages/count",
        "store/messages/count",
        "store/messages/bytes",
        "messages/stored",
        "load/messages/received/1min",
        "load/publish/sent/5min",
        "load/bytes/received/15min",
        "load/connections/1min",
    ] {
        assert!(values.contains_key(&format!("$SYS/broker/{name}")), "{name} is not among {values:?}");
    }
    assert!(values["$SYS/broker/version"].starts_with("pliant version "));
    assert!(values["$SYS/broker/uptime"].ends_with(" seconds"));
}

#[test]
fn what_is_retained_counts_as_stored() {
    let Some(broker) = Broker::start() else { return };
    let mut publisher = connect(V5).at(broker.address()).open();
    for payload in ["0123456789", "01234"] {
        publisher.publish(&Publish::new("kept", payload, 1).retained());
    }
    publisher.publish(&Publish::new("gone", "0123456789", 1).retained());
    publisher.publish(&Publish::new("gone", "", 1).retained());
    let broker = broker.restart();
    let values = told(&broker);
    let stored = ["messages/count", "messages/bytes"].map(|name| values[&format!("$SYS/broker/store/{name}")].clone());
    assert_eq!(stored, ["1", "5"]);
}

/// [MQTT-4.7.2-1]: whoever wants it has to name it.
#[test]
fn filters_that_begin_with_a_wildcard_do_not_match_it() {
    let Some(broker) = Broker::start() else { return };
    drop(told(&broker));
    let mut client = connect(V5).at(broker.address()).open();
    for filter in ["#", "+/broker/#", "+/broker/version"] {
        client.subscribe(filter, 0);
    }
    client.expect_nothing();
    client.subscribe("$SYS/broker/version", 0);
    assert_eq!(client.take().topic, "$SYS/broker/version");
}

#[test]
fn a_value_that_changed_is_sent_to_those_who_watch() {
    let Some(broker) = Broker::start_with(|config| config.sys.interval_seconds = 1) else { return };
    let mut watcher = connect(V311).at(broker.address()).open();
    watcher.subscribe("$SYS/broker/clients/connected", 0);
    let mut others = Vec::new();
    while watcher.take().text() != "3" {
        while others.len() < 2 {
            others.push(connect(V5).at(broker.address()).open());
        }
    }
}

#[test]
fn an_interval_of_0_means_no_such_messages() {
    let Some(broker) = Broker::start_with(|config| config.sys.interval_seconds = 0) else { return };
    let mut client = connect(V311).at(broker.address()).open();
    client.subscribe("$SYS/#", 0);
    client.expect_nothing();
}

/// T09
#[test]
fn nobody_else_publishes_there() {
    let Some(broker) = Broker::start() else { return };
    let mut client = connect(V5).at(broker.address()).open();
    let version = told(&broker)["$SYS/broker/version"].clone();
    client.publish(&Publish::new("$SYS/broker/version", "mine", 0).retained());
    assert_eq!(client.publish(&Publish::new("$SYS/broker/version", "mine", 1).retained()), 0x87);
    assert_eq!(client.publish(&Publish::new("$SYS/broker/version", "", 2).retained()), 0x87);
    assert_eq!(told(&broker)["$SYS/broker/version"], version);
}

#[test]
fn they_are_no_messages_that_an_operator_has_to_look_after() {
    let Some(broker) = Broker::start() else { return };
    assert_eq!(told(&broker)["$SYS/broker/retained messages/count"], "0");
    let listed = broker.admin().get("/api/v1/retained").json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(0));
}
