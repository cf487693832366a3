//! What a receiver says of messages from a queue, and links that come back.

use super::link::Terms;
use super::peer::Peer;
use super::value::Value;
use super::{Client, address, own, raw, run};
use crate::doors::rig::{figure_of, until};
use crate::harness::{Process, Publish, V5, connect, unique};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::definitions::ReceiverSettleMode;
use fe2o3_amqp::types::messaging::Modified;
use fe2o3_amqp::{Delivery, Receiver, Sender};

#[test]
fn what_is_released_comes_again_and_what_failed_is_counted() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = format!("/queues/{}", unique("again"));
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("once".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::builder()
            .name("in")
            .source(&node[..])
            .credit_mode(CreditMode::Manual)
            .attach(&mut client.session)
            .await
            .expect("a receiver");
        let count =
            |delivery: &Delivery<String>| delivery.message().header.as_ref().map_or(0, |header| header.delivery_count);
        receiver.set_credit(1).await.expect("credit");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        assert_eq!(count(&delivery), 0);
        receiver.release(&delivery).await.expect("it goes back");
        receiver.set_credit(1).await.expect("credit");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes again");
        assert_eq!(count(&delivery), 0);
        let failed = Modified { delivery_failed: Some(true), undeliverable_here: None, message_annotations: None };
        receiver.modify(&delivery, failed).await.expect("it goes back");
        receiver.set_credit(1).await.expect("credit");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes again");
        assert_eq!(count(&delivery), 1);
        receiver.reject(&delivery, None).await.expect("it goes");
        receiver.close().await.expect("it closes");
        // Nothing is left for the next.
        sender.send("twice".to_owned()).await.expect("it is taken");
        let mut next = Receiver::attach(&mut client.session, "next", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = next.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "twice");
        next.accept(&delivery).await.expect("it is settled");
        client.close().await;
    });
}

#[test]
fn what_a_lost_client_had_goes_to_the_next() {
    let Some(address) = address() else { return };
    run(async {
        let node = format!("/queues/{}", unique("lost"));
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("kept".to_owned()).await.expect("it is taken");
        let mut lost = Client::connect(address).await;
        let mut receiver = Receiver::attach(&mut lost.session, "in", &node[..]).await.expect("a receiver");
        let _: Delivery<String> = receiver.recv().await.expect("it comes");
        lost.connection.close().await.expect("it closes");
        let mut next = Receiver::attach(&mut client.session, "next", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = next.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "kept");
        next.accept(&delivery).await.expect("it is settled");
        client.close().await;
    });
}

#[test]
fn a_queue_outlives_the_broker() {
    let Some((broker, address)) = own() else { return };
    let node = format!("/queues/{}", unique("durable"));
    run(async {
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        for number in 0..10u32 {
            sender.send(number).await.expect("it is taken");
        }
        client.close().await;
    });
    let broker = broker.restart();
    let address = broker.at("amqp");
    run(async {
        let mut client = Client::connect(address).await;
        let mut receiver = Receiver::builder()
            .name("in")
            .source(&node[..])
            .receiver_settle_mode(ReceiverSettleMode::Second)
            .attach(&mut client.session)
            .await
            .expect("a receiver");
        for expected in 0..10u32 {
            let delivery: Delivery<u32> = receiver.recv().await.expect("it comes");
            assert_eq!(*delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        client.close().await;
    });
}

/// 2.7.4, 2.6.7: `available` in what a client is told when it asks, and when it drains.
#[test]
fn a_flow_says_how_many_messages_wait() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("available"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(raw::target(&node)), ..Terms::default() });
    for id in 0..5u32 {
        peer.send(&raw::transfer(0, Some(id), Some(&[id as u8]), false, false, &raw::message(b"m")));
        peer.find(0x15);
    }
    peer.link("in", 1, true, &Terms { node: Some(raw::source(&node)), ..Terms::default() });
    let available = |peer: &mut Peer| Value::read(&peer.find(0x13)).0.field(7).number();
    peer.send(&raw::flow(0, 2048, Some((1, 0, 0, false, true))));
    assert_eq!(available(&mut peer), 5, "asked with echo");
    peer.send(&raw::flow(0, 2048, Some((1, 0, 2, true, false))));
    assert_eq!((peer.delivery().text(), peer.delivery().text()), ("m".into(), "m".into()));
    assert_eq!(available(&mut peer), 3, "behind the last one that a drain takes");
    peer.send(&raw::flow(2, 2048, Some((1, 2, 0, true, false))));
    assert_eq!(available(&mut peer), 3, "a drain without credit");
    peer.send(&raw::flow(2, 2048, Some((1, 2, 9, true, false))));
    assert_eq!(available(&mut peer), 0, "a drain that finds the end");
}

/// 2.6.7: the answer to a drain needs no window.
#[test]
fn a_drain_that_finds_the_end_of_queue_and_window_together_is_answered() {
    let Some(address) = address() else { return };
    for count in 1..=2 {
        let node = format!("/queues/{}", unique("window"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(raw::target(&node)), ..Terms::default() });
        for id in 0..count {
            peer.send(&raw::transfer(0, Some(id), Some(&[id as u8]), false, false, &raw::message(b"m")));
            peer.find(0x15);
        }
        peer.link("in", 1, true, &Terms { node: Some(raw::source(&node)), ..Terms::default() });
        peer.send(&raw::flow(0, 2, Some((1, 0, 5, true, false))));
        (0..count).for_each(|_| drop(peer.delivery()));
        let told = Value::read(&peer.find(0x13)).0;
        assert_eq!((told.field(5).number(), told.field(6).number(), told.field(7).number()), (5, 0, 0), "{count}");
    }
}

/// 2.6.12: of deliveries that are not settled no two have one tag. What is given back is settled before it comes again.
#[test]
fn what_is_given_back_is_settled_before_it_comes_again() {
    let Some(address) = address() else { return };
    for state in [raw::performative(0x27, &[raw::TRUE]), raw::performative(0x26, &[])] {
        let node = format!("/queues/{}", unique("tags"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(raw::target(&node)), ..Terms::default() });
        peer.send(&raw::transfer(0, Some(0), Some(b"t"), false, false, &raw::message(b"m")));
        peer.find(0x15);
        let second = Terms { node: Some(raw::source(&node)), settles: (0, 1), ..Terms::default() };
        peer.receiver("in", 1, &second);
        let first = peer.delivery();
        peer.send(&raw::disposition(true, first.id, first.id, false, &state));
        let settled = Value::read(&peer.expect(0x15)).0;
        assert_eq!((settled.field(1).number(), settled.field(3)), (first.id.into(), &Value::Bool(true)));
        let again = peer.delivery();
        assert_eq!((&again.tag, again.text()), (&first.tag, "m".to_owned()));
    }
}

/// 2.6.5: detached, not closed; what was not settled comes again, and what comes meanwhile behind it.
#[test]
fn links_that_were_detached_go_on_where_they_were() {
    let Some(address) = address() else { return };
    run(async {
        let node = format!("/queues/{}", unique("detached"));
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("one".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "one");
        let receiver = receiver.detach().await.map_err(|(_, why)| why).expect("it is detached");
        let sender = sender.detach().await.map_err(|(_, why)| why).expect("it is detached");
        let mut sender = sender.resume().await.map_err(|why| why.kind).expect("it goes on");
        sender.send("two".to_owned()).await.expect("it is taken");
        let mut receiver = receiver.resume().await.map_err(|why| why.kind).expect("it goes on").into_receiver();
        for expected in ["one", "two"] {
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            assert_eq!(delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        receiver.close().await.expect("it closes");
        let mut next = Receiver::attach(&mut client.session, "next", &node[..]).await.expect("a receiver");
        sender.send("three".to_owned()).await.expect("it is taken");
        let delivery: Delivery<String> = next.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "three");
        next.accept(&delivery).await.expect("it is settled");
        client.close().await;
    });
}

/// What its publisher was promised nothing of is dropped at the mark on memory, also where a receiver is to settle it.
#[test]
fn what_was_published_at_most_once_stays_below_the_mark_on_memory() {
    const MARK: u64 = 8 << 20;
    let mark = format!("broker.memory_bytes_max={MARK}");
    let Some(broker) = Process::start_with(&[&mark], None) else { return };
    let topic = unique("unread");
    let mut peer = Peer::begun(broker.amqp());
    let terms = Terms { node: Some(raw::source(&topic)), ..Terms::default() };
    peer.link("in", 0, true, &terms);
    peer.send(&raw::flow(0, u32::MAX >> 1, Some((0, 0, 100_000, false, false))));
    for name in [topic.as_str(), "/queues/unread"] {
        let mut publisher = connect(V5).at(broker.address()).open();
        for _ in 0..640 {
            publisher.send_publish(&Publish::new(name, vec![b'x'; 65_536], 0));
        }
        publisher.ping();
    }
    assert!(figure_of(&broker.admin(), "pliant_messages_dropped_total") > 0);
    let held = figure_of(&broker.admin(), "pliant_message_bytes");
    // Of one that is on its way to an AMQP receiver both forms are there.
    assert!(held <= 2 * MARK, "{held} bytes");
}

/// What receivers write on messages that wait counts like messages: it passes the mark on memory, and is written no more.
#[test]
fn what_receivers_write_on_messages_counts_at_the_mark_on_memory() {
    let Some(broker) = Process::start_with(&["broker.memory_bytes_max=8388608"], None) else { return };
    let mut peer = Peer::begun(broker.amqp());
    peer.sender("out", 0, &Terms { node: Some(raw::target("/queues/q")), ..Terms::default() });
    for id in 0..200 {
        peer.send(&raw::transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &raw::message(b"m")));
        peer.disposition();
    }
    let terms = Terms { node: Some(raw::source("/queues/q")), ..Terms::default() };
    peer.link("in", 1, true, &terms);
    peer.send(&raw::flow(0, 2048, Some((1, 0, 200, false, false))));
    let long = raw::map(&[&raw::symbol("x-note"), &raw::string(&"x".repeat(60_000))]);
    let modified = raw::performative(0x27, &[raw::FALSE, raw::FALSE, &long]);
    for _ in 0..200 {
        let got = peer.delivery();
        peer.send(&raw::disposition(true, got.id, got.id, true, &modified));
    }
    until("the mark is passed", || figure_of(&broker.admin(), "pliant_memory_alarms_total") == 1);
}
