//! A version on trial decides for its clients in everything that they do, and the one beside it in nothing.

use crate::harness::{Admin, Broker, Publish, V5, Will, connect, guests};
use std::collections::BTreeSet;

/// A broker with a module of which a second version is on trial for all clients.
fn on_trial(guest: &str, config: &str) -> Option<Broker> {
    let broker = Broker::start()?;
    let config: String = config.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for more in ["", "&canary=100"] {
        let path = format!("/api/v1/modules/m?config={config}{more}");
        broker.admin().deploy(&path, &guests::component(guest)).expect(200);
    }
    Some(broker)
}

/// What a version was asked.
fn asked(admin: &Admin, version: u64) -> BTreeSet<String> {
    let versions = admin.get("/api/v1/modules/m/versions").expect(200).json();
    let found = versions["items"].as_array().unwrap().iter().find(|found| found["version"] == version).expect("kept");
    let figures = found["figures"].as_array().unwrap().iter();
    figures
        .filter(|figures| figures["calls"] != 0)
        .map(|figures| figures["hook"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn who_a_client_is_and_what_it_may_do_is_said_by_the_same_version() {
    let Some(broker) = on_trial("guards", "{}") else { return };
    let mut client = connect(V5).at(broker.address()).id("c").user("ann").password(b"nna").open();
    client.say("open/x", "m", 1);
    let admin = broker.admin();
    let both = ["access.authenticate", "access.authorize"].map(str::to_owned).into();
    assert_eq!((asked(&admin, 1), asked(&admin, 2)), (BTreeSet::new(), both));
    // Who has said no id yet is asked about by what runs for everybody.
    let stranger = connect(V5).at(broker.address()).id("").user("ann").password(b"nna").open();
    assert_eq!(asked(&admin, 1), ["access.authenticate".to_owned()].into());
    stranger.disconnect();
}

/// The delayed one is published by a thread that has no client, the other when its client goes.
#[test]
fn a_will_is_left_and_published_by_the_version_of_its_client() {
    for (guest, config) in [("answers", "{}"), ("guards", "{}")] {
        let Some(broker) = on_trial(guest, config) else { return };
        let mut watcher = connect(V5).at(broker.address()).id("watcher").open();
        watcher.subscribe("open/will", 1);
        let will = Will::new("open/will", "gone").qos(1);
        connect(V5).at(broker.address()).id("c").will(will).open().cut();
        assert_eq!(watcher.take().text(), "gone");
        assert_eq!(asked(&broker.admin(), 1), BTreeSet::new(), "{guest}");
    }
}

#[test]
fn retained_messages_are_named_by_the_version_of_who_gets_them() {
    let Some(broker) = on_trial("renames", r#"{"prefix": "a/"}"#) else { return };
    let mut publisher = connect(V5).at(broker.address()).id("p").open();
    // More than are fetched at once.
    for n in 0..300 {
        publisher.publish(&Publish { retain: true, ..Publish::new(&format!("t/{n}"), "m", 1) });
    }
    let mut client = connect(V5).at(broker.address()).id("c").open();
    client.subscribe("t/#", 1);
    for _ in 0..300 {
        assert!(client.take().topic.starts_with("t/"));
    }
    assert_eq!(asked(&broker.admin(), 1), BTreeSet::new());
}
