//! What modules decide about what is in a queue they decide for each receiver that competes for it.

use super::link::{Delivery, Terms};
use super::own;
use super::peer::Peer;
use super::raw::*;
use crate::harness::{V5, connect, guests};
use std::net::SocketAddr;

const QUEUE: &str = "/queues/work";

/// A container's receiver at the queue, with credit.
fn consumer(address: SocketAddr, container: &str) -> Peer {
    let mut peer = Peer::of(address, container);
    peer.receiver("in", 0, &Terms { node: Some(source(QUEUE)), ..Terms::default() });
    peer
}

fn settles(peer: &mut Peer, delivery: &Delivery, outcome: u8) {
    peer.send(&disposition(true, delivery.id, delivery.id, true, &described(outcome, &list(&[]))));
}

#[test]
fn a_delivery_module_is_told_who_takes_an_entry_from_a_queue() {
    let Some((broker, address)) = own() else { return };
    // Its translation is that of nobody: the bundled module comes first.
    let filters = "%7B%22filters%22:%5B%22/queues/%23%22%5D%7D";
    let path = format!("/api/v1/modules/beside?order=1000&config={filters}");
    broker.admin().deploy(&path, &guests::component("beside")).expect(200);
    let mut publisher = connect(V5).at(broker.address()).open();
    // From whom it is withheld does not take it from the others.
    let mut blind = consumer(address, "blind");
    for number in 0..20 {
        publisher.say(QUEUE, &number.to_string(), 1);
    }
    assert!(blind.is_drained(0, 0));
    let mut ann = consumer(address, "ann");
    let mut last = None;
    for number in 0..20 {
        let delivery = ann.delivery();
        let text = delivery.text();
        assert!(text.starts_with(&format!("{number} for ")) && text.contains("ann"), "{text}");
        if number < 19 {
            settles(&mut ann, &delivery, 0x24);
        } else {
            last = Some(delivery);
        }
    }
    // What one of them gives back is decided anew for whoever gets it then.
    settles(&mut ann, &last.expect("the last one"), 0x26);
    ann.send(&detach(0, true));
    let mut bob = consumer(address, "bob");
    let text = bob.delivery().text();
    assert!(text.starts_with("19 for ") && text.contains("bob"), "{text}");
    assert!(blind.is_drained(0, 0));
}

#[test]
fn a_receiver_of_a_queue_is_shown_its_own_name_for_a_topic() {
    let Some((broker, address)) = own() else { return };
    let mut publisher = connect(V5).at(broker.address()).open();
    let renames = "/api/v1/modules/renames?config=%7B%22prefix%22:%22tenant/ann/%22%7D";
    broker.admin().deploy(renames, &guests::component("renames")).expect(200);
    let mut peer = consumer(address, "ann");
    publisher.say(QUEUE, "x", 1);
    assert_eq!(peer.delivery().section(0x73).field(2).text(), QUEUE);
}
