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
