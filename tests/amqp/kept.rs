//! A durable subscription is kept as its receiver left it: with its condition and its time, also over a restart.

use super::link::Terms;
use super::peer::Peer;
use super::raw::*;
use super::termini::{coloured, selecting, to};
use super::value::Value;
use super::{address, own};
use crate::harness::{Broker, unique};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ACCEPTED_CODE: i128 = 0x24;

/// Publishes one message of each colour; what became of each.
fn publish(address: SocketAddr, node: &str, colours: &[&str]) -> Vec<i128> {
    let mut out = Peer::begun(address);
    out.sender("out", 0, &to(node));
    let mut outcomes = Vec::new();
    for (id, colour) in (0..).zip(colours) {
        out.send(&transfer(0, Some(id), Some(&[1]), false, false, &coloured(colour)));
        outcomes.push(out.disposition().field(4).code());
    }
    outcomes
}

/// Attaches as a receiver and goes again, but the subscription stays; what the broker answered.
fn visit(address: SocketAddr, container: &str, terms: &Terms<'_>) -> Value {
    let mut peer = Peer::of(address, container);
    let answer = peer.link("sub", 0, true, terms);
    peer.send(&detach(0, false));
    peer.find(0x16);
    peer.send(&close());
    peer.find(0x18);
    answer
}

/// All that waits, by its text. What is accepted is gone.
fn taken(address: SocketAddr, container: &str, terms: &Terms<'_>, count: u32) -> Vec<String> {
    let mut peer = Peer::of(address, container);
    peer.receiver("sub", 0, terms);
    let mut texts = Vec::new();
    for _ in 0..count {
        let got = peer.delivery();
        peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
        texts.push(got.text());
    }
    assert!(peer.is_drained(0, count));
    peer.send(&close());
    peer.find(0x18);
    texts
}

/// 3.5.3 and 3.5.5: the filter is configuration of a terminus that is retained. Nobody is refused for the sake of a
/// subscription that does not want the message.
#[test]
fn a_condition_holds_after_a_restart_before_its_receiver_is_back() {
    let bounded = Broker::start_with(|config| config.broker.queue_messages_max = 2);
    let Some(broker) = bounded else { return };
    let (node, container) = (unique("kept"), unique("container"));
    let asked = visit(broker.at("amqp"), &container, &selecting(&node, "colour = 'red'"));
    let broker = broker.restart();
    let address = broker.at("amqp");
    let outcomes = publish(address, &node, &["blue", "blue", "blue", "red"]);
    assert_eq!(outcomes, [ACCEPTED_CODE; 4]);
    // 2.6.3: with its filter, and to be found without a word about it.
    let found = visit(address, &container, &Terms::default());
    assert_eq!(found.field(5).field(7), asked.field(5).field(7));
    assert_eq!(taken(address, &container, &Terms::default(), 1), ["red"]);
    // Whoever has found it has not changed it.
    let broker = broker.restart();
    let address = broker.at("amqp");
    assert_eq!(publish(address, &node, &["blue", "blue", "blue", "red"]), [ACCEPTED_CODE; 4]);
    assert_eq!(taken(address, &container, &selecting(&node, "colour = 'red'"), 1), ["red"]);
}

/// The last one is what a restart finds.
#[test]
fn a_condition_that_is_given_up_does_not_come_back() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (unique("kept"), unique("container"));
    visit(address, &container, &selecting(&node, "colour = 'red'"));
    visit(address, &container, &lasting(&node, "never", 0));
    let broker = broker.restart();
    let address = broker.at("amqp");
    publish(address, &node, &["blue"]);
    let found = visit(address, &container, &Terms::default());
    assert_eq!(found.field(5).field(7), &Value::Null);
    assert_eq!(taken(address, &container, &Terms::default(), 1), ["blue"]);
}

/// What is refused under the limits of the day holds nothing back, and holds again under others.
#[test]
fn a_condition_that_is_too_long_now_is_waived_and_not_forgotten() {
    let longest = Arc::new(AtomicUsize::new(4_096));
    let limit = longest.clone();
    let bounded = Broker::start_with(move |config| config.amqp.selector_bytes_max = limit.load(Ordering::Relaxed));
    let Some(broker) = bounded else { return };
    let (node, container) = (unique("kept"), unique("container"));
    let asked = visit(broker.at("amqp"), &container, &selecting(&node, "colour = 'red'"));
    longest.store(4, Ordering::Relaxed);
    let broker = broker.restart();
    publish(broker.at("amqp"), &node, &["blue"]);
    assert_eq!(visit(broker.at("amqp"), &container, &Terms::default()).field(5).field(7), &Value::Null);
    assert_eq!(taken(broker.at("amqp"), &container, &Terms::default(), 1), ["blue"]);
    longest.store(4_096, Ordering::Relaxed);
    let broker = broker.restart();
    let found = visit(broker.at("amqp"), &container, &Terms::default());
    assert_eq!(found.field(5).field(7), asked.field(5).field(7));
}

fn lasting(node: &str, policy: &str, seconds: u32) -> Terms<'static> {
    let fields: [&[u8]; 4] = [&string(node), &uint(2), &symbol(policy), &uint(seconds)];
    Terms { node: Some(performative(0x28, &fields)), ..Terms::default() }
}

/// 3.5.3: what the source says of its time. The policy is left out where it is the default.
fn time(answer: &Value) -> (i128, String, i128) {
    let source = answer.field(5);
    let policy = match source.field(2) {
        Value::Null => "session-end",
        policy => policy.text(),
    };
    (source.field(1).number(), policy.to_owned(), source.field(3).number())
}

/// 3.5.6: the timeout is the subscription's, not that of whoever looks for it.
#[test]
fn a_subscription_that_is_found_lasts_as_long_as_before() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (unique("kept"), unique("container"));
    visit(address, &container, &lasting(&node, "link-detach", 1_000));
    let expected = (2, "link-detach".to_owned(), 1_000);
    for _ in 0..2 {
        assert_eq!(time(&visit(address, &container, &Terms::default())), expected);
    }
    let broker = broker.restart();
    for _ in 0..2 {
        assert_eq!(time(&visit(broker.at("amqp"), &container, &Terms::default())), expected);
    }
}

/// 3.5.6: a policy of its session's or connection's end holds for whoever comes back within it.
#[test]
fn a_subscription_that_lasts_as_long_as_its_connection_still_does_when_it_is_found() {
    let Some(address) = address() else { return };
    for policy in ["session-end", "connection-close"] {
        let (node, container) = (unique("kept"), unique("container"));
        let mut peer = Peer::of(address, &container);
        for terms in [lasting(&node, policy, 1_000), Terms::default(), Terms::default()] {
            let answer = peer.link("sub", 0, true, &terms);
            assert_eq!(time(&answer), (2, policy.to_owned(), 1_000));
            peer.send(&detach(0, false));
            peer.find(0x16);
        }
    }
}

/// No Local is a filter of the terminus, too.
#[test]
fn no_local_is_among_the_filters_of_a_subscription_that_is_found() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (unique("kept"), unique("container"));
    let filter = [&[0x00][..], &symbol("apache.org:no-local-filter:list"), &[0x45]].concat();
    let set = map(&[&symbol("no-local"), &filter]);
    let fields: [&[u8]; 8] = [&string(&node), &uint(2), &symbol("never"), &uint(0), FALSE, NULL, NULL, &set];
    let asked = visit(address, &container, &Terms { node: Some(performative(0x28, &fields)), ..Terms::default() });
    let broker = broker.restart();
    let found = visit(broker.at("amqp"), &container, &Terms::default());
    assert_ne!(found.field(5).field(7), &Value::Null);
    assert_eq!(found.field(5).field(7), asked.field(5).field(7));
}
