//! Bodies without content: as a topic's last value they are none.

use super::peer::Peer;
use super::raw;
use crate::harness::*;

#[test]
fn a_retained_message_without_bytes_takes_the_last_value_away() {
    // MQTT-3.3.1-6, MQTT-3.3.1-7 (5.0): the payload that MQTT would get is empty.
    let Some(broker) = Broker::start() else { return };
    let bodies = [
        raw::message(b""),
        [raw::message(b""), raw::message(b"")].concat(),
        raw::described(0x77, raw::NULL),
        raw::described(0x77, &raw::string("")),
    ];
    let mut peer = Peer::sending(broker.at("amqp"), "blank", (0, 0));
    let retain = raw::described(0x72, &raw::map(&[&raw::symbol("x-opt-retain-message"), raw::TRUE]));
    for (id, body) in (0..).zip(bodies) {
        connect(V5).at(broker.address()).open().publish(&Publish::new("a/b", "kept", 1).retained());
        let message = [retain.clone(), body].concat();
        peer.send(&raw::transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &message));
        peer.find(0x15);
        let mut subscriber = connect(V5).at(broker.address()).open();
        subscriber.subscribe("a/b", 1);
        subscriber.expect_nothing();
    }
}
