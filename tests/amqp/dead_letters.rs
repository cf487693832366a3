//! Dead letters and modules on their way.

use super::link::Terms;
use super::own;
use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use crate::doors::rig::{figure_of, until};
use crate::harness::{Broker, guests};

/// Nothing acknowledged is lost because a module refuses it; what a module discards in so many words is gone, and counted.
#[test]
fn a_dead_letter_that_a_module_refuses_waits_and_one_that_it_discards_is_gone() {
    let Some((broker, address)) = own() else { return };
    let admin = broker.admin();
    let module = |verdict: &str| {
        let filters = "%5B%22/queues/dead-letters%22%5D";
        let config = format!("%7B%22filters%22:{filters},%22verdict%22:%22{verdict}%22,%22payload%22:%22no%22%7D");
        admin.deploy(&format!("/api/v1/modules/m?config={config}"), &guests::component("router")).expect(200);
    };
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target("/queues/q")), ..Terms::default() });
    peer.receiver("in", 1, &Terms { node: Some(source("/queues/q")), ..Terms::default() });
    let mut reject = |text: &str, id: u32| {
        peer.send(&transfer(0, Some(id), Some(&[id as u8]), false, false, &message(text.as_bytes())));
        let got = peer.delivery();
        peer.send(&disposition(true, got.id, got.id, true, &performative(0x25, &[])));
    };
    module("refuse");
    reject("refused", 0);
    until("it waits", || figure_of(&admin, "pliant_dead_letters_held_total") == 1);
    let mut dead = Peer::begun(address);
    dead.receiver("dead", 0, &Terms { node: Some(source("/queues/dead-letters")), ..Terms::default() });
    assert!(dead.is_drained(0, 0));
    admin.delete("/api/v1/modules/m").expect(200);
    dead.send(&flow(0, 2048, Some((0, 100, 100, false, false))));
    assert_eq!(dead.delivery().text(), "refused");
    module("discard");
    reject("discarded", 1);
    until("it is gone", || figure_of(&admin, "pliant_messages_discarded_total") == 1);
    assert!(dead.is_drained(0, 101));
}

/// A state `modified`: failed, with these annotations.
fn modified(annotations: &[&[u8]]) -> Vec<u8> {
    performative(0x27, &[TRUE, NULL, &map(annotations)])
}

/// 3.4.5: what receivers write on a message stays on it, over a restart and on its way to the dead letters.
#[test]
fn what_receivers_wrote_is_kept_over_a_restart_and_told_with_the_dead_letter() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_failures_max = 3) else { return };
    let fails = |address, count: i128, annotations: &[&[u8]]| {
        let mut peer = Peer::begun(address);
        peer.receiver("in", 0, &Terms { node: Some(source("/queues/noted")), ..Terms::default() });
        let got = peer.delivery();
        let header = got.section(0x70);
        assert_eq!(if *header.field(4) == Value::Null { 0 } else { header.field(4).number() }, count);
        peer.send(&disposition(true, got.id, got.id, false, &modified(annotations)));
        peer.disposition();
        peer.send(&close());
        peer.find(0x18);
        got.section(0x72)
    };
    let mut out = Peer::begun(broker.at("amqp"));
    out.sender("out", 0, &Terms { node: Some(target("/queues/noted")), ..Terms::default() });
    let said = described(0x72, &map(&[&symbol("x-opt-why"), &string("new"), &symbol("x-opt-own"), &string("mine")]));
    let durable = described(0x70, &list(&[TRUE]));
    let text = [&durable[..], &said, &message(b"m")].concat();
    out.send(&transfer(0, Some(0), Some(b"t"), false, false, &text));
    out.disposition();
    fails(broker.at("amqp"), 0, &[&symbol("x-opt-why"), &string("first")]);
    let broker = broker.restart();
    let before = fails(broker.at("amqp"), 1, &[&symbol("x-opt-also"), &string("second")]);
    let broker = broker.restart();
    assert_eq!((before.get("x-opt-why").text(), before.get("x-opt-own").text()), ("first", "mine"));
    let before = fails(broker.at("amqp"), 2, &[&symbol("x-opt-why"), &string("last")]);
    assert_eq!((before.get("x-opt-why").text(), before.get("x-opt-also").text()), ("first", "second"));
    let mut dead = Peer::begun(broker.at("amqp"));
    dead.receiver("dead", 0, &Terms { node: Some(source("/queues/dead-letters")), ..Terms::default() });
    let letter = dead.delivery();
    let annotations = letter.section(0x72);
    let told = ["x-opt-why", "x-opt-also", "x-opt-own"].map(|name| annotations.get(name).text().to_owned());
    assert_eq!((told.join(" ").as_str(), letter.text().as_str()), ("last second mine", "m"));
}
