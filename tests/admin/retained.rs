//! Endpoints about retained messages.

use crate::harness::*;

#[test]
fn retained_messages_are_listed_shown_and_deleted() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    for (topic, payload) in [("r/1", &b"one"[..]), ("r/2", &[0, 255]), ("s/ü", b"three")] {
        client.publish(&Publish::new(topic, payload, 1).retained());
    }
    let listed = admin.get("/api/v1/retained").expect(200).json();
    let topics: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| item["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["r/1", "r/2", "s/ü"]);
    let page = admin.get("/api/v1/retained?limit=1&after=r/1").expect(200).json();
    assert_eq!((&page["items"][0]["topic"], &page["next"]), (&"r/2".into(), &"r/2".into()));
    let one = admin.get("/api/v1/retained/r/1").expect(200).json();
    assert_eq!((&one["payload"], &one["qos"], &one["payload_bytes"]), (&"one".into(), &1.into(), &3.into()));
    assert_eq!(admin.get("/api/v1/retained/r/2").expect(200).json()["payload_base64"], "AP8=");
    assert_eq!(admin.get("/api/v1/retained/s/%C3%BC").expect(200).json()["payload"], "three");
    admin.delete("/api/v1/retained/r/1").expect(204);
    admin.delete("/api/v1/retained/r/1").problem(404);
    admin.get("/api/v1/retained/r/1").problem(404);
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("r/#", 1);
    assert_eq!(subscriber.take().topic, "r/2");
    subscriber.expect_nothing();
}

#[test]
fn a_deleted_one_does_not_come_back() {
    let Some(broker) = Broker::start() else { return };
    connect(V5).at(broker.address()).open().publish(&Publish::new("gone", "x", 1).retained());
    broker.admin().delete("/api/v1/retained/gone").expect(204);
    broker.restart().admin().get("/api/v1/retained/gone").problem(404);
}
