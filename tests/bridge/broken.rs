//! Another AMQP broker that says what is no frame, or more of a link than a bridge asked for.

use super::foreign::{self, Foreign};
use super::rig::*;
use crate::amqp::link::{Terms, attach};
use crate::amqp::peer::says;
use crate::amqp::raw;
use crate::harness::*;
use host::bridge::Direction;

/// The address of the raw writer's links.
const ADDRESS: &str = "a/b";

/// 2.3.1, 2.7.9: what comes in one read with it is not lost by that, and the other side hears what was wrong.
#[test]
fn what_stands_before_a_broken_frame_is_carried_out_and_the_close_says_why() {
    let garbage = raw::frame(0, &[0x00, 0x53, 0x14, 0xC0, 0xFF, 1, 0x40]);
    for (broken, condition, words) in [
        (vec![0, 0, 0, 4, 2, 0, 0, 0], "amqp:connection:framing-error", "shorter than its header"),
        (vec![0x7F, 0, 0, 0, 2, 0, 0, 0], "amqp:connection:framing-error", "were agreed"),
        (garbage, "amqp:decode-error", "cannot be read"),
    ] {
        let foreign = Foreign::start();
        let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::In, ADDRESS)])]) else { return };
        let mut subscriber = connect(V5).at(here.address()).open();
        subscriber.subscribe(ADDRESS, 1);
        let mut peer = foreign.sends();
        let settled = raw::transfer(0, Some(0), Some(b"0"), true, false, &raw::message(b"settled"));
        let unsettled = raw::transfer(0, Some(1), Some(b"1"), false, false, &raw::message(b"unsettled"));
        peer.send(&[settled, unsettled, broken].concat());
        subscriber.expect(ADDRESS, "settled", 0);
        subscriber.expect(ADDRESS, "unsettled", 0);
        let close = peer.find(0x18);
        assert!(says(&close, condition), "{words}: {}", String::from_utf8_lossy(&close));
        until(&here, "b", |bridge| bridge["last_error"].as_str().is_some_and(|error| error.contains(words)));
        // It comes back.
        let _peer = foreign.sends();
        until_up(&here, "b");
    }
}

/// 2.6.13, 2.7.3: a bridge begins its links with nothing, whatever the other side has of them; what that is settles itself.
#[test]
fn what_the_other_side_has_not_settled_does_not_keep_a_route_down() {
    for entries in [1u32, 20_000] {
        let tags: Vec<Vec<u8>> = (0..entries).map(|entry| raw::binary(&entry.to_be_bytes())).collect();
        let unsettled = raw::map(&tags.iter().flat_map(|tag| [&tag[..], raw::NULL]).collect::<Vec<_>>());
        let terms = |node, is_incomplete| Terms {
            node: Some(node),
            unsettled: Some(unsettled.clone()),
            is_incomplete,
            ..Terms::default()
        };
        for is_incomplete in [false, true] {
            let foreign = Foreign::start();
            let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::In, ADDRESS)])]) else { return };
            let mut subscriber = connect(V5).at(here.address()).open();
            subscriber.subscribe(ADDRESS, 1);
            let mut peer = foreign.takes();
            let name = foreign::attached(&mut peer);
            peer.send(&attach(&name, 0, false, &terms(raw::target("here"), is_incomplete)));
            peer.find(0x13);
            foreign::give(&mut peer, 0, &raw::message(b"in"), 1000);
            subscriber.expect(ADDRESS, "in", 0);
        }
        let foreign = Foreign::start();
        let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::Out, ADDRESS)])]) else { return };
        let mut peer = foreign.takes();
        let name = foreign::attached(&mut peer);
        peer.send(&attach(&name, 0, true, &terms(raw::source(ADDRESS), false)));
        foreign::credit(&mut peer);
        connect(V5).at(here.address()).open().say(ADDRESS, "out", 1);
        assert!(foreign::take(&mut peer).ends_with(b"out"));
        until(&here, "b", |bridge| bridge["sent"] == 1);
    }
}
