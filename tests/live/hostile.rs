//! Guests that behave badly, on a running broker: nothing of the broker's own is written, and the version before comes back.

use crate::harness::{Broker, Publish, V5, connect, guests};
use std::time::Instant;

fn path(mode: &str, topic: &str) -> String {
    let config = format!(r#"{{"mode": "{mode}", "topic": "{topic}"}}"#);
    let config: String = config.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/v1/modules/hostile?on_failure=refuse&config={config}")
}

#[test]
fn a_wish_for_the_brokers_own_topics_is_not_granted() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut watcher = connect(V5).at(broker.address()).open();
    watcher.subscribe("$SYS/forged", 1);
    watcher.subscribe("bad/#", 1);
    admin.deploy(&path("wishes", "$SYS/forged"), &guests::component("hostile")).expect(200);
    watcher.say("bad/x", "x", 1);
    watcher.expect("bad/x", "x", 1);
    admin.deploy(&path("reserved", ""), &guests::component("hostile")).expect(200);
    assert!(watcher.publish(&Publish::new("bad/y", "x", 1)) >= 0x80);
    watcher.expect_nothing();
}

/// The version that behaves comes back within the fifth failure, and whoever looks is told.
#[test]
fn the_version_before_comes_back_while_messages_flow() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let deploy = |config: &str| {
        let config: String = config.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/modules/m?on_failure=refuse&config={config}");
        admin.deploy(&path, &guests::component("fickle")).expect(200);
    };
    deploy(r#"{"version": "one"}"#);
    deploy(r#"{"version": "two", "fine": 20}"#);
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a", 1);
    let (mut refused, mut versions, mut first_failure) = (0, Vec::new(), None);
    for n in 0..200 {
        if client.publish(&Publish::new("a", n.to_string(), 1)) >= 0x80 {
            refused += 1;
            first_failure.get_or_insert_with(Instant::now);
            continue;
        }
        let got = client.take();
        assert_eq!(got.text(), n.to_string());
        versions.push(got.properties.user()[0].1.to_owned());
        if refused == 5
            && let Some(begun) = first_failure.take()
        {
            println!("{:?} from the first failure to a message by the version before", begun.elapsed());
        }
    }
    assert_eq!(refused, 5);
    assert_eq!(versions.last().map(String::as_str), Some("one"));
    let info = admin.get("/api/v1/modules/m").expect(200).json();
    assert_eq!((&info["version"], &info["quarantined"][0]), (&1.into(), &2.into()), "{info}");
    let metrics = admin.get("/metrics").expect(200);
    assert!(metrics.text().contains("pliant_module_quarantines_total 1"), "{}", metrics.text());
    // What is asked is well: an alert ends.
    assert!(metrics.text().contains("pliant_module_quarantined{module=\"m\"} 0"), "{}", metrics.text());
    // What is on disk is what runs.
    let broker = broker.restart();
    let info = broker.admin().get("/api/v1/modules/m").expect(200).json();
    assert_eq!(info["version"], 1);
}
