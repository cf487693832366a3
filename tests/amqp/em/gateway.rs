//! A gateway outside the broker, as EnMasse's own: MQTT 3.1.1 on one side, plain AMQP 1.0 by the design on the other. It knows
//! nothing of the broker but the addresses, links and messages of the design (1.2 to 1.5).

use super::bridge::Gateway;
use crate::amqp::address;
use crate::harness::{Client as Mqtt, Publish, V5, V311, Will, client, connect, unique};

/// The gateway, and a word of the row's own.
fn start(stem: &str) -> Option<(Gateway, String)> {
    Some((Gateway::start(address()?), unique(stem)))
}

impl Gateway {
    fn open(&self, id: &str, clean: bool) -> Mqtt {
        let connecting = connect(V311).at(self.address()).id(id).clean(clean);
        connecting.open()
    }
}

#[test]
fn a_gateway_connects_with_and_without_a_clean_session() {
    let Some((gateway, id)) = start("gw-clean") else { return };
    let topic = unique("gw");
    let mut kept = gateway.open(&id, false);
    assert!(!kept.connack.present);
    kept.subscribe(&topic, 1);
    kept.disconnect();
    client(V5).say(&topic, "one", 1);
    let mut kept = gateway.open(&id, false);
    assert!(kept.connack.present);
    kept.expect(&topic, "one", 1);
    kept.disconnect();
    client(V5).say(&topic, "lost", 1);
    let mut clean = gateway.open(&id, true);
    assert!(!clean.connack.present);
    client(V5).say(&topic, "lost, too", 1);
    clean.expect_nothing();
    clean.disconnect();
    assert!(!gateway.open(&id, false).connack.present);
}

#[test]
fn a_gateway_s_clients_exchange_messages_at_every_qos() {
    let Some((gateway, id)) = start("gw-qos") else { return };
    let mut through = gateway.open(&id, true);
    let mut direct = client(V5);
    for granted in 0..=2u8 {
        let topic = format!("{id}/{granted}");
        through.subscribe(&topic, granted);
        direct.subscribe(&topic, granted);
        for published in 0..=2u8 {
            through.say(&topic, "through", published);
            direct.expect(&topic, "through", published.min(granted));
            through.expect(&topic, "through", published.min(granted));
            direct.say(&topic, "direct", published);
            direct.expect(&topic, "direct", published.min(granted));
            through.expect(&topic, "direct", published.min(granted));
        }
        through.unsubscribe(&[&topic]);
        direct.say(&topic, "nobody", 1);
        direct.expect(&topic, "nobody", 1.min(granted));
    }
    through.expect_nothing();
}

#[test]
fn a_gateway_s_clients_see_retained_messages() {
    let Some((gateway, id)) = start("gw-retained") else { return };
    let topic = format!("{id}/kept");
    let mut through = gateway.open(&id, true);
    through.publish(&Publish::new(&topic, "kept", 1).retained());
    through.subscribe(&format!("{id}/#"), 1);
    assert!(through.expect(&topic, "kept", 1).retain);
    let mut direct = client(V5);
    direct.subscribe(&topic, 2);
    assert!(direct.expect(&topic, "kept", 1).retain);
    through.publish(&Publish::new(&topic, "", 1).retained());
    assert!(!through.expect(&topic, "", 1).retain);
    let mut late = client(V5);
    late.subscribe(&topic, 1);
    late.expect_nothing();
}

#[test]
fn a_gateway_s_clients_leave_wills() {
    let Some((gateway, id)) = start("gw-will") else { return };
    let topic = format!("{id}/will");
    let mut watcher = client(V5);
    watcher.subscribe(&topic, 2);
    for qos in 0..=2 {
        let mortal = connect(V311).at(gateway.address()).id(&id).will(Will::new(&topic, "gone").qos(qos)).open();
        mortal.cut();
        watcher.expect(&topic, "gone", qos);
        let polite = connect(V311).at(gateway.address()).id(&id).will(Will::new(&topic, "gone").qos(qos)).open();
        polite.disconnect();
    }
    // A will that is not published is not seen after one that is.
    connect(V311).at(gateway.address()).id(&id).will(Will::new(&topic, "last")).open().cut();
    watcher.expect(&topic, "last", 0);
    watcher.expect_nothing();
}

/// An acknowledgement that was not given before a cut is asked for again.
#[test]
fn a_gateway_s_clients_reconnect() {
    let Some((gateway, id)) = start("gw-back") else { return };
    let topic = unique("gw");
    let mut through = gateway.open(&id, false);
    through.subscribe(&topic, 1);
    let mut direct = client(V5);
    direct.say(&topic, "one", 1);
    assert_eq!(through.delivery().payload, b"one");
    through.cut();
    direct.say(&topic, "two", 1);
    let mut through = gateway.open(&id, false);
    assert!(through.connack.present);
    assert!(through.expect(&topic, "one", 1).duplicate);
    through.expect(&topic, "two", 1);
    through.disconnect();
    // The same client without the gateway.
    direct.say(&topic, "three", 1);
    let mut native = connect(V311).id(&id).kept().resume();
    native.expect(&topic, "three", 1);
    native.disconnect();
    direct.say(&topic, "four", 1);
    gateway.open(&id, false).expect(&topic, "four", 1);
}
