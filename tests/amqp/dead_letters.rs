//! Dead letters and modules on their way.

use super::link::Terms;
use super::own;
use super::peer::Peer;
use super::raw::*;
use crate::doors::rig::{figure_of, until};
use crate::harness::guests;

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
