//! A canary splits AMQP clients as it does those of MQTT, whichever way their messages come in.

use super::link::Terms;
use super::peer::Peer;
use super::raw::*;
use super::{Client, own, run};
use crate::harness::{self, V5, connect, guests};
use fe2o3_amqp::Sender;
use fe2o3_amqp::transaction::{Controller, Transaction, TransactionDischarge, TransactionPosting};
use std::collections::BTreeSet;

/// What module `echoes-version` put on the next message.
fn version(seen: &mut harness::Client) -> String {
    seen.take().properties.user_value("version").expect("a version").to_owned()
}

#[test]
fn clients_of_both_protocols_are_split_alike_and_each_sees_one_version() {
    let Some((broker, address)) = own() else { return };
    let path = |version: &str, more: &str| {
        format!("/api/v1/modules/stamp?order=5{more}&config=%7B%22version%22:%22{version}%22%7D")
    };
    let component = guests::component("echoes-version");
    broker.admin().deploy(&path("old", ""), &component).expect(200);
    broker.admin().deploy(&path("new", "&canary=50"), &component).expect(200);
    let mut seen = connect(V5).at(broker.address()).open();
    seen.subscribe("#", 1);
    let mut versions = BTreeSet::new();
    for n in 0..12 {
        let id = format!("client-{n}");
        let mut publisher = connect(V5).at(broker.address()).id(&id).open();
        publisher.say("a", "m", 1);
        let expected = version(&mut seen);
        versions.insert(expected.clone());
        // The message that makes a queue is one like others.
        publisher.say(&format!("/queues/mqtt-{id}"), "m", 1);
        assert_eq!(version(&mut seen), expected, "{id}: a queue that is made by MQTT");
        publisher.disconnect();

        let mut peer = Peer::of(address, &id);
        peer.sender("topic", 0, &Terms { node: Some(target("a")), ..Terms::default() });
        peer.sender("queue", 1, &Terms { node: Some(target(&format!("/queues/{id}"))), ..Terms::default() });
        peer.sender("relay", 2, &Terms { node: Some(performative(0x29, &[])), ..Terms::default() });
        let to = |node: &str| [performative(0x73, &[NULL, NULL, &string(node)]), message(b"m")].concat();
        let ways: [(&str, u32, Vec<u8>); 4] = [
            ("a topic", 0, message(b"m")),
            ("a queue", 1, message(b"m")),
            ("the anonymous terminus", 2, to("a")),
            ("a queue that it makes", 2, to(&format!("/queues/relay-{id}"))),
        ];
        for (delivery, (way, handle, message)) in (0..).zip(ways) {
            peer.send(&transfer(handle, Some(delivery), Some(&[delivery as u8]), false, false, &message));
            peer.disposition();
            assert_eq!(version(&mut seen), expected, "{id}: {way}");
        }
        run(async {
            let mut client = Client::named(address, &id).await;
            let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
            let mut sender = Sender::attach(&mut client.session, "out", "a").await.expect("a sender");
            let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
            transaction.post(&mut sender, "m".to_owned()).await.expect("it is taken");
            transaction.commit().await.expect("it is committed");
            controller.close().await.expect("it closes");
            client.close().await;
        });
        assert_eq!(version(&mut seen), expected, "{id}: a transaction");
    }
    assert_eq!(versions.len(), 2, "both are in use: {versions:?}");
}
