//! What an MQTT broker refuses with a reason code that the standard has elsewhere costs that message only.

use super::mosquitto;
use super::rig::*;
use crate::harness::*;
use host::bridge::Direction;

#[test]
fn a_reason_that_is_not_in_the_standards_table_is_an_answer_like_others() {
    for (reason, refused) in [(0x95, true), (0x87, true), (0xC3, false), (0x97, false)] {
        let there = mosquitto::start(1000, reason);
        let Some(here) = with(vec![bridge("b", &mqtt(there), &[route(Direction::Out, "x/#")])]) else { return };
        until_up(&here, "b");
        let mut publisher = connect(V5).at(here.address()).open();
        let long = "l".repeat(2000);
        for qos in [1, 2] {
            publisher.say("x/before", "short", qos);
            publisher.say("x/long", &long, qos);
            publisher.say("x/behind", "short", qos);
        }
        if refused {
            until(&here, "b", |bridge| bridge["waiting"] == 0 && bridge["sent"] == 4 && bridge["refused"] == 2);
        } else {
            until(&here, "b", |bridge| bridge["sent"] == 4 && bridge["routes"][0]["state"] == "stuck");
        }
        let bridge = standing(&here, "b");
        assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
    }
}
