//! What a peer takes is kept to (2.7.1), and addresses that would be shares of MQTT.

use super::address;
use super::link::{Terms, attach, source_with};
use super::peer::{Peer, says};
use super::raw::*;
use super::value::Value;
use crate::harness::unique;

/// A session of a peer that takes the shortest frames that there are. The frames come with their sizes.
fn small() -> Option<Peer> {
    let mut peer = Peer::connect(address()?);
    let open = frame(0, &performative(0x10, &[&string(&unique("small")), NULL, &uint(512)]));
    peer.send(&[AMQP, &open, &begin(0)].concat());
    peer.await_header();
    assert!(peer.expect(0x10).len() <= 504, "an open that a peer may not take");
    peer.expect(0x11);
    Some(peer)
}

#[test]
fn a_peer_with_the_shortest_frames_is_refused_what_does_not_fit_and_served_the_rest() {
    let Some(mut peer) = small() else { return };
    let long = format!("/queues/{}", "x".repeat(600));
    for (handle, is_receiver) in [(0, true), (1, false)] {
        let node = Some(if is_receiver { source(&long) } else { target(&long) });
        peer.send(&attach("long", handle, is_receiver, &Terms { node, ..Terms::default() }));
        assert!(peer.expect(0x12).len() <= 504);
        let detached = peer.expect(0x16);
        assert!(says(&detached, "amqp:frame-size-too-small") && detached.len() <= 504);
        peer.send(&detach(handle, true));
    }
    let node = unique("small");
    peer.send(&attach("in", 0, true, &Terms { node: Some(source(&node)), ..Terms::default() }));
    peer.expect(0x12);
    peer.send(&flow(0, 2048, Some((0, 0, 1, false, false))));
    let mut sender = Peer::begun(address().expect("it is there"));
    sender.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let payload: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    sender.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(&payload)));
    let mut got = Vec::new();
    loop {
        let body = peer.expect(0x14);
        assert!(body.len() <= 504, "{} bytes", body.len());
        let (head, part) = Value::read(&body);
        got.extend_from_slice(part);
        if *head.field(5) != Value::Bool(true) {
            break;
        }
    }
    let Some(Value::Described(0x75, data)) = Value::sections(&got).pop() else { panic!("no data") };
    assert!(data.bytes() == payload);
}

/// [MQTT-4.8.2-1] and [MQTT-4.8.2-2] are about filters of MQTT: over AMQP a subscription is shared by capability, and what looks
/// like a share is neither a source nor a target, whatever capabilities come with it.
#[test]
fn addresses_that_look_like_shares_are_refused() {
    let Some(address) = address() else { return };
    let capabilities: [&[&str]; 4] = [&[], &["shared"], &["shared", "global"], &["queue"]];
    for shape in ["$share/", "$share//a", "$share/g", "$share/g/", "$share/g/a", "$share/+/a", "$share/#/a"] {
        for capabilities in capabilities {
            let mut peer = Peer::begun(address);
            let node = Some(source_with(shape, 0, "session-end", None, capabilities));
            peer.send(&attach("in", 0, true, &Terms { node, ..Terms::default() }));
            assert_eq!(peer.refusal(), "amqp:invalid-field", "{shape} {capabilities:?}");
            let queue = if capabilities.contains(&"queue") { &["queue"][..] } else { &[] };
            let node =
                performative(0x29, &[&string(shape), NULL, NULL, NULL, NULL, NULL, &super::link::symbols(queue)]);
            peer.send(
                &[detach(0, true), attach("out", 1, false, &Terms { node: Some(node), ..Terms::default() })].concat(),
            );
            // Without wildcards they are names, which the broker keeps to itself.
            let is_name = !shape.contains(['+', '#']);
            let expected = if is_name { "amqp:unauthorized-access" } else { "amqp:invalid-field" };
            assert_eq!(peer.refusal(), expected, "{shape} {queue:?}");
        }
    }
}

/// As the share name of MQTT has at least one character ([MQTT-4.8.2-1]), so has the name of a shared subscription.
#[test]
fn a_shared_subscription_has_a_name() {
    let Some(address) = address() else { return };
    for capabilities in [&["shared"][..], &["shared", "global"]] {
        let mut peer = Peer::begun(address);
        let node = || Some(source_with("a", 2, "never", None, capabilities));
        peer.send(&attach("|1", 0, true, &Terms { node: node(), ..Terms::default() }));
        assert_eq!(peer.refusal(), "amqp:invalid-field", "{capabilities:?}");
    }
}

/// 2.7.3: what is too long for one receiver of a subscription is there for another.
#[test]
fn a_message_that_is_too_long_for_one_who_shares_goes_to_another() {
    let Some(address) = address() else { return };
    for durable in [0, 2] {
        let (node, name) = (unique("long"), unique("share"));
        let policy = if durable > 0 { "never" } else { "link-detach" };
        let shared = |bytes_max| {
            let node = Some(source_with(&node, durable, policy, None, &["shared"]));
            Terms { node, bytes_max, ..Terms::default() }
        };
        let mut peer = Peer::of(address, &unique("container"));
        peer.receiver(&format!("{name}|1"), 0, &shared(200));
        peer.receiver(&format!("{name}|2"), 1, &shared(0));
        let mut out = Peer::begun(address);
        out.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        let long = "x".repeat(5_000);
        for id in 0..6u32 {
            out.send(&transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &message(long.as_bytes())));
            assert_eq!(out.disposition().field(4).code(), 0x24);
        }
        for _ in 0..6 {
            assert_eq!(peer.delivery().text(), long);
        }
        peer.send(&detach(0, true));
        peer.find(0x16);
        peer.send(&detach(1, true));
        peer.find(0x16);
    }
}

/// 2.7.3: a receiver of which the subscription has a message that it does not take hears so, and finds it when it takes more.
#[test]
fn a_message_that_is_too_long_for_the_only_receiver_ends_its_link_and_waits() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("long"), unique("container"));
    let kept =
        |bytes_max| Terms { node: Some(source_with(&node, 2, "never", None, &[])), bytes_max, ..Terms::default() };
    let mut peer = Peer::of(address, &container);
    peer.receiver("sub", 0, &kept(200));
    let mut out = Peer::begun(address);
    out.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let texts = [&"x".repeat(5_000), "last"];
    for (id, text) in (0u32..).zip(texts) {
        out.send(&transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &message(text.as_bytes())));
        assert_eq!(out.disposition().field(4).code(), 0x24);
    }
    assert!(says(&peer.find(0x16), "amqp:link:message-size-exceeded"));
    peer.send(&detach(0, true));
    peer.receiver("sub", 1, &kept(0));
    for text in texts {
        assert!(peer.delivery().text() == text);
    }
}
