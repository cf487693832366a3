//! Links that are detached and not closed, whose deliveries live on (2.7.6), and sources that go with what their receivers hold
//! (3.5.3, default-outcome).

use super::address;
use super::link::{Terms, attach, source_with};
use super::peer::Peer;
use super::raw::*;
use super::resume::{unsettled, waiting};
use super::value::Value;
use crate::harness::unique;
use std::net::SocketAddr;

/// Puts messages into a queue.
fn put(address: SocketAddr, node: &str, count: u32) {
    let mut peer = Peer::begun(address);
    peer.sender("put", 0, &Terms { node: Some(target(node)), ..Terms::default() });
    for id in 0..count {
        peer.send(&transfer(0, Some(id), Some(&[id as u8]), false, false, &message(id.to_string().as_bytes())));
        peer.disposition();
    }
    peer.send(&close());
    peer.find(0x18);
}

/// A receiver of two messages of a queue, which settles first or second.
fn with_two(address: SocketAddr, container: &str, node: &str, mode: u8) -> Peer {
    put(address, node, 2);
    let mut peer = Peer::of(address, container);
    peer.receiver("in", 0, &Terms { node: Some(source(node)), settles: (0, mode), ..Terms::default() });
    assert_eq!((peer.delivery().id, peer.delivery().id), (0, 1));
    peer
}

fn ends(mut peer: Peer) {
    peer.send(&end(0));
    peer.find(0x17);
    peer.send(&close());
    peer.find(0x18);
}

#[test]
fn what_a_receiver_says_after_a_detach_counts_and_at_once_with_it() {
    let Some(address) = address() else { return };
    for (mode, at_once) in [(0, false), (0, true), (1, false), (1, true)] {
        let node = format!("/queues/{}", unique("said"));
        let mut peer = with_two(address, &unique("container"), &node, mode);
        let said = disposition(true, 0, 1, mode == 0, ACCEPTED);
        if at_once {
            peer.send(&[detach(0, false), said].concat());
            if mode == 0 {
                peer.find(0x16);
            }
        } else {
            peer.send(&detach(0, false));
            assert_ne!(*Value::read(&peer.find(0x16)).0.field(1), Value::Bool(true));
            peer.send(&said);
        }
        if mode == 1 {
            // 2.6.12: the sender settles, and says so of a link that is detached, too.
            for id in 0..2 {
                let told = peer.disposition();
                assert_eq!((told.field(1).number(), told.field(3)), (id, &Value::Bool(true)));
            }
        }
        ends(peer);
        assert_eq!(waiting(address, &node), Vec::<String>::new(), "mode {mode}, at once: {at_once}");
    }
}

/// 3.4.5: an attempt that failed counts, and what was written on the message stays, also where the receiver settles second or
/// what it says is of the last deliveries of its link.
#[test]
fn an_attempt_that_failed_counts_after_a_detach_too() {
    let Some(address) = address() else { return };
    for settled in [true, false] {
        let node = format!("/queues/{}", unique("failed"));
        let mut peer = with_two(address, &unique("container"), &node, 0);
        peer.send(&detach(0, false));
        peer.find(0x16);
        let failed = performative(0x27, &[TRUE, NULL, &map(&[&symbol("x-opt-why"), &string("broken")])]);
        peer.send(&disposition(true, 0, 1, settled, &failed));
        if !settled {
            for id in 0..2 {
                let told = peer.disposition();
                assert_eq!((told.field(1).number(), told.field(3)), (id, &Value::Bool(true)));
            }
        }
        ends(peer);
        let mut next = Peer::begun(address);
        next.receiver("next", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
        for _ in 0..2 {
            let got = next.delivery();
            let why = got.section(0x72).get("x-opt-why").clone();
            assert_eq!(
                (got.section(0x70).field(4), &why),
                (&Value::Number(1), &Value::Text("broken".into())),
                "{settled}"
            );
        }
    }
}

/// 2.6.3 to 2.6.6: a link that came up and went down in one write was up, and is told so with its termini.
#[test]
fn an_attach_and_a_detach_in_one_write_are_answered_as_what_they_are() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("once"), unique("container"));
    let asked = || Terms { node: Some(source_with(&node, 2, "never", None, &[])), ..Terms::default() };
    let mut peer = Peer::of(address, &container);
    peer.send(&[attach("in", 0, true, &asked()), detach(0, false)].concat());
    let answer = Value::read(&peer.find(0x12)).0;
    assert_eq!(answer.field(5).field(0).text(), node);
    let gone = Value::read(&peer.find(0x16)).0;
    assert!(*gone.field(1) != Value::Bool(true) && *gone.field(2) == Value::Null, "{gone:?}");
    let out = Terms { node: Some(target(&node)), ..Terms::default() };
    peer.send(&[attach("out", 0, false, &out), detach(0, true)].concat());
    let answer = Value::read(&peer.expect(0x12)).0;
    assert_eq!(answer.field(6).field(0).text(), node);
    peer.find(0x16);
    peer.sender("out", 0, &out);
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"kept")));
    peer.disposition();
    peer.receiver("in", 1, &asked());
    assert_eq!(peer.delivery().text(), "kept");
}

/// Each of them as its receiver says, and the rest goes back with the session.
#[test]
fn what_a_detached_receiver_holds_is_nobody_elses_until_its_session_ends() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("holds"));
    let mut peer = with_two(address, &unique("container"), &node, 0);
    peer.send(&detach(0, false));
    peer.find(0x16);
    put(address, &node, 1);
    assert_eq!(waiting(address, &node), ["0"], "what came later is for whoever is there");
    peer.send(&disposition(true, 0, 0, true, ACCEPTED));
    ends(peer);
    assert_eq!(waiting(address, &node), ["1"]);
    // A source that goes with its link holds nothing, nor one that is closed or went with an error.
    for way in 0..3 {
        let node = format!("/queues/{}", unique("goes"));
        put(address, &node, 1);
        let policy = if way == 0 { "link-detach" } else { "session-end" };
        let mut peer = Peer::begun(address);
        peer.receiver("in", 0, &Terms { node: Some(source_with(&node, 0, policy, None, &[])), ..Terms::default() });
        peer.delivery();
        let error = performative(0x1D, &[&symbol("x:y")]);
        match way {
            0 => peer.send(&detach(0, false)),
            1 => peer.send(&detach(0, true)),
            _ => peer.send(&frame(0, &performative(0x16, &[&uint(0), FALSE, &error]))),
        }
        peer.find(0x16);
        assert_eq!(waiting(address, &node), ["0"], "way {way}");
    }
}

/// 2.6.1: the same link, in another session, or over another connection that tells what it has.
#[test]
fn a_link_that_comes_back_has_what_it_held() {
    let Some(address) = address() else { return };
    for elsewhere in [false, true] {
        let (node, container) = (format!("/queues/{}", unique("back")), unique("container"));
        put(address, &node, 2);
        let terms = |unsettled| Terms { node: Some(source(&node)), settles: (0, 0), unsettled, ..Terms::default() };
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 0, &terms(None));
        let all = [peer.delivery(), peer.delivery()];
        peer.send(&detach(0, false));
        peer.find(0x16);
        let known = map(&[&binary(&all[0].tag), ACCEPTED, &binary(&all[1].tag), NULL]);
        let mut next = if elsewhere { Peer::of(address, &container) } else { Peer::begun(address) };
        let again = if elsewhere { &mut next } else { &mut peer };
        let answer = again.link("in", 0, true, &terms(Some(known)));
        assert_eq!(unsettled(&answer), [(all[1].tag.clone(), 0)], "elsewhere: {elsewhere}");
        again.send(&flow(if elsewhere { 0 } else { 2 }, 2048, Some((0, 0, 100, false, false))));
        let got = again.delivery();
        assert!(got.resume && got.tag == all[1].tag);
        again.send(&disposition(true, got.id, got.id, true, ACCEPTED));
        // What it says of the former life of the link has no effect.
        peer.send(&disposition(true, 0, 1, true, performative(0x26, &[]).as_slice()));
        ends(peer);
        ends(next);
        assert_eq!(waiting(address, &node), Vec::<String>::new(), "elsewhere: {elsewhere}");
    }
}

#[test]
fn a_subscription_forgets_what_its_receiver_settles_after_a_detach() {
    let Some(address) = address() else { return };
    for policy in ["never", "session-end", "connection-close"] {
        let (node, container) = (unique("sub"), unique("container"));
        let asked = || Terms { node: Some(source_with(&node, 2, policy, None, &[])), ..Terms::default() };
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 0, &asked());
        peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
        for id in 0..2 {
            peer.send(&transfer(1, Some(id), Some(&[id as u8]), false, false, &message(id.to_string().as_bytes())));
            assert_eq!(peer.delivery().text(), id.to_string());
        }
        peer.send(&detach(0, false));
        peer.find(0x16);
        peer.send(&disposition(true, 0, 0, true, ACCEPTED));
        peer.link("in", 0, true, &asked());
        peer.send(&flow(2, 2048, Some((0, 0, 100, false, false))));
        let got = peer.delivery();
        assert_eq!(got.text(), "1", "{policy}");
        peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
        assert!(peer.is_drained(0, 1), "{policy}");
    }
}

#[test]
fn a_sender_that_settles_after_a_detach_is_heard() {
    let Some(address) = address() else { return };
    let (node, container) = (format!("/queues/{}", unique("sender")), unique("container"));
    let terms = |unsettled| Terms { node: Some(target(&node)), settles: (0, 1), unsettled, ..Terms::default() };
    let mut peer = Peer::of(address, &container);
    peer.sender("out", 0, &terms(None));
    for (id, tag) in (0..).zip([b"a", b"b"]) {
        peer.send(&transfer(0, Some(id), Some(tag), false, false, &message(tag)));
        peer.disposition();
    }
    peer.send(&detach(0, false));
    peer.find(0x16);
    peer.send(&disposition(false, 0, 0, true, ACCEPTED));
    assert_eq!(*peer.disposition().field(3), Value::Bool(true));
    let both = map(&[&binary(b"a"), NULL, &binary(b"b"), NULL]);
    let answer = peer.sender("out", 0, &terms(Some(both)));
    assert_eq!(unsettled(&answer), [(b"b".to_vec(), 0x24)]);
}

/// 3.5.3: "the outcome to be used for transfers that have not reached a terminal state at the receiver when the transfer is
/// settled, including when the source is destroyed".
#[test]
fn a_source_that_goes_settles_what_its_receiver_holds_as_it_said() {
    let Some(address) = address() else { return };
    let failed = performative(0x27, &[TRUE]);
    let (rejected, released) = (performative(0x25, &[]), performative(0x26, &[]));
    // What is left of it: none; as it was; with a failed attempt.
    let rows = [
        (ACCEPTED, [None, None, None]),
        (&rejected, [None, None, None]),
        (&failed, [Some(1), Some(1), Some(1)]),
        (&released, [Some(0), Some(0), Some(0)]),
    ];
    for (outcome, left) in rows {
        for (way, expected) in left.into_iter().enumerate() {
            let node = format!("/queues/{}", unique("default"));
            put(address, &node, 1);
            let mut peer = Peer::begun(address);
            let source = source_with(&node, 0, "session-end", Some(outcome), &[]);
            peer.receiver("in", 0, &Terms { node: Some(source), ..Terms::default() });
            peer.delivery();
            match way {
                0 => {
                    peer.send(&detach(0, true));
                    peer.find(0x16);
                }
                // Behind a detach that leaves it live.
                1 => {
                    peer.send(&[detach(0, false), end(0)].concat());
                    peer.find(0x17);
                }
                _ => {
                    peer.send(&close());
                    peer.find(0x18);
                    assert!(peer.until_closed().is_empty());
                }
            }
            let mut next = Peer::begun(address);
            next.receiver("next", 0, &Terms { node: Some(super::raw::source(&node)), ..Terms::default() });
            match expected {
                None => assert!(next.is_drained(0, 0), "{outcome:02x?}, way {way}"),
                Some(count) => {
                    let got = next.delivery();
                    let number = match got.section(0x70) {
                        Value::Null => 0,
                        header if *header.field(4) == Value::Null => 0,
                        header => header.field(4).number(),
                    };
                    assert_eq!(number, count, "{outcome:02x?}, way {way}");
                }
            }
        }
    }
}

/// A source that outlives its session has not gone with it.
#[test]
fn a_source_that_stays_settles_nothing() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("stays"), unique("container"));
    let asked = || Terms { node: Some(source_with(&node, 2, "never", Some(ACCEPTED), &[])), ..Terms::default() };
    let mut peer = Peer::of(address, &container);
    peer.receiver("in", 0, &asked());
    peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"m")));
    peer.delivery();
    peer.send(&[end(0), begin(0), attach("in", 0, true, &asked())].concat());
    peer.find(0x12);
    peer.send(&flow(0, 2048, Some((0, 0, 100, false, false))));
    assert_eq!(peer.delivery().text(), "m");
}
