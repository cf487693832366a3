//! What one identity may hold.

use super::rig::Rig;
use crate::harness::*;

#[test]
fn connections_of_one_identity_are_bounded() {
    let Some(rig) = Rig::start_with(None, |config| config.auth.limits.connections_per_identity_max = 2) else { return };
    let as_ann = |id: &str| rig.as_user(V5, "ann").id(id);
    let (mut one, two) = (as_ann("1").open(), as_ann("2").open());
    as_ann("3").refused(0x97);
    rig.as_user(V311, "ann").id("3").refused(3);
    rig.open(V5, "bob").ping();
    two.disconnect();
    // The broker may hear of the one that went a moment after it was let go.
    let mut third = (0..100).find_map(|_| {
        let mut client = as_ann("3").sent();
        match client.receive() {
            Packet::Connack(answer) if answer.code == 0 => Some(client),
            _ => None,
        }
    });
    third.as_mut().expect("a place is free again").ping();
    one.ping();
}

/// MQTT-3.1.4-3: a client that has lost its network comes back before anybody knows that, and its old connection is not held against
/// it.
#[test]
fn whoever_takes_over_its_own_connection_is_not_one_more() {
    let Some(rig) = Rig::start_with(None, |config| config.auth.limits.connections_per_identity_max = 1) else { return };
    let as_ann = |id: &str| rig.as_user(V5, "ann").id(id);
    let mut clients = vec![as_ann("1").open()];
    for _ in 0..5 {
        as_ann("2").refused(0x97);
        clients.push(as_ann("1").open());
        // It does not close its side. The broker waits for that, and the place is free all the same.
        let at = clients.len() - 2;
        let Packet::Disconnect(farewell) = clients[at].receive() else { panic!("expected DISCONNECT") };
        assert_eq!(farewell.code, 0x8E);
    }
    as_ann("2").refused(0x97);
    clients[5].ping();
}

/// T18: retained messages of one client are bounded; what it replaces or deletes does not count.
#[test]
fn retained_messages_of_one_client_are_bounded() {
    let Some(rig) = Rig::start_with(None, |config| config.broker.retained_per_client_max = 2) else { return };
    let (mut ann, mut bob) = (rig.open(V5, "ann"), rig.open(V5, "bob"));
    let keep =
        |client: &mut Client, topic: &str, payload: &str| client.publish(&Publish::new(topic, payload, 1).retained());
    for (topic, payload, code) in [
        ("a", "1", 0x10),
        ("b", "1", 0x10),
        ("c", "1", 0x97),
        ("a", "2", 0x10),
        ("a", "", 0x10),
        ("c", "1", 0x10),
        ("d", "1", 0x97),
    ] {
        assert_eq!(keep(&mut ann, topic, payload), code, "{topic} {payload:?}");
    }
    assert_eq!((keep(&mut bob, "d", "1"), keep(&mut bob, "b", "2")), (0x10, 0x10));
    assert_eq!(keep(&mut bob, "e", "1"), 0x97);
    // One of hers is his now.
    assert_eq!(keep(&mut ann, "e", "1"), 0x10);
    rig.admin()
        .post("/api/v1/publish", &serde_json::json!({ "topic": "f", "payload": "x", "retain": true }))
        .expect(200);
}
