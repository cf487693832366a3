//! Another AMQP broker says "not now" by giving no credit, and other things by taking links and connections down: bridges tell
//! what they hear, in words.

use super::foreign::{self, Foreign};
use super::rig::*;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::harness::*;
use host::bridge::{Direction, Route};
use serde_json::Value as Json;

const FILTER: &str = "out/#";
const NO_CREDIT: &str = "it gives no credit";

/// A broker with a route out, and the other side of its link, which has given no credit.
fn dry() -> Option<(Broker, Foreign, Peer)> {
    let foreign = Foreign::start();
    let way = Route { remote: "there".into(), ..route(Direction::Out, FILTER) };
    let here = with(vec![bridge("b", &foreign.url(), &[way])])?;
    let peer = foreign.receives_later();
    until_up(&here, "b");
    Some((here, foreign, peer))
}

fn say(here: &Broker, count: usize) {
    let mut publisher = connect(V5).at(here.address()).open();
    (0..count).for_each(|number| publisher.say("out/x", &number.to_string(), 1));
}

fn is(bridge: &Json, state: &str, reason: &str) -> bool {
    let route = &bridge["routes"][0];
    route["state"] == state && route["reason"].as_str().unwrap_or_default() == reason
}

/// An error, as detach and close have it.
fn error(condition: &str, words: &str) -> Vec<u8> {
    raw::performative(0x1D, &[&raw::symbol(condition), &raw::string(words)])
}

fn closed_for(condition: &str, words: &str) -> Vec<u8> {
    raw::frame(0, &raw::performative(0x16, &[&raw::uint(0), raw::TRUE, &error(condition, words)]))
}

#[test]
fn a_route_that_gets_no_credit_is_told_as_stuck_and_what_waits_counts() {
    let Some((here, _foreign, mut peer)) = dry() else { return };
    assert!(is(&standing(&here, "b"), "up", ""), "nothing waits");
    say(&here, 5);
    until(&here, "b", |bridge| is(bridge, "stuck", NO_CREDIT));
    let told = standing(&here, "b");
    let held = told["routes"][0]["held"].as_u64().expect("a number");
    assert_eq!((held > 0, held + told["waiting"].as_u64().expect("a number")), (true, 5), "{told}");
    let metrics = here.admin().get("/metrics").expect(200);
    let line = format!("pliant_bridge_route_held_messages{{bridge=\"b\",route=\"out {FILTER}\"}} {held}");
    assert!(metrics.text().contains(&line), "{}", metrics.text());
    foreign::credit(&mut peer);
    for number in 0..5 {
        assert!(foreign::take(&mut peer).ends_with(number.to_string().as_bytes()));
    }
    until(&here, "b", |bridge| is(bridge, "up", "") && bridge["routes"][0]["held"] == 0 && bridge["waiting"] == 0);
}

#[test]
fn a_route_sees_a_detach_while_it_waits_for_credit_and_while_nothing_waits() {
    for waits in [true, false] {
        let Some((here, _foreign, mut peer)) = dry() else { return };
        if waits {
            say(&here, 1);
            until(&here, "b", |bridge| is(bridge, "stuck", NO_CREDIT));
        }
        peer.send(&closed_for("amqp:resource-deleted", "bye"));
        until(&here, "b", |bridge| is(bridge, "broken", "it closed the link: amqp:resource-deleted: bye"));
        assert_eq!(standing(&here, "b")["waiting"], i32::from(waits));
    }
}

#[test]
fn a_route_sees_that_the_hall_ends_it_while_it_waits_for_credit() {
    let Some((here, _foreign, _peer)) = dry() else { return };
    say(&here, 1);
    until(&here, "b", |bridge| is(bridge, "stuck", NO_CREDIT));
    let session = standing(&here, "b")["sessions"][0].as_str().expect("a session").to_owned();
    here.admin().delete(&format!("/api/v1/clients/{session}")).expect(204);
    until(&here, "b", |bridge| is(bridge, "broken", "an operator ended its session's connection here"));
}

#[test]
fn why_a_connection_ends_is_told_in_words() {
    let Some((here, foreign, mut peer)) = dry() else { return };
    let close = raw::performative(0x18, &[&error("amqp:connection:forced", "the broker shuts down")]);
    peer.send(&raw::frame(0, &close));
    let expected = "it closed the connection: amqp:connection:forced: the broker shuts down";
    until(&here, "b", |bridge| bridge["last_error"] == expected);
    let peer = foreign.receives_later();
    until_up(&here, "b");
    drop(peer);
    until(&here, "b", |bridge| {
        let error = bridge["last_error"].as_str().unwrap_or_default();
        error == "it closed the connection" || error.contains("reset")
    });
    let mut peer = foreign.receives_later();
    until_up(&here, "b");
    // A transfer on a link that is not there.
    peer.send(&raw::transfer(7, Some(0), Some(b"t"), false, false, &raw::message(b"m")));
    peer.find(0x17);
    peer.send(&raw::end(0));
    until(&here, "b", |bridge| {
        let reason = bridge["routes"][0]["reason"].as_str().unwrap_or_default();
        !reason.is_empty() && !reason.contains(['{', '('])
    });
}
