//! Transactions: what is posted and retired in one takes effect together, or not at all.

use super::link::{Terms, resumed, source_with};
use super::peer::Peer;
use super::raw::*;
use super::resume::{unsettled, waiting};
use super::value::Value;
use super::{Broker, Client, address, own, run};
use crate::harness::{Process, unique};
use fe2o3_amqp::transaction::{
    Controller, Transaction, TransactionDischarge, TransactionPosting, TransactionRetirement,
};
use fe2o3_amqp::{Delivery, Receiver, Sender};

#[test]
fn what_is_posted_comes_when_it_is_committed_and_never_when_it_is_not() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = format!("/queues/{}", unique("posted"));
        let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let dropped = Transaction::declare(&controller, None).await.expect("a transaction");
        dropped.post(&mut sender, "never".to_owned()).await.expect("it is taken");
        dropped.rollback().await.expect("it is rolled back");
        let kept = Transaction::declare(&controller, None).await.expect("a transaction");
        for text in ["one", "two"] {
            kept.post(&mut sender, text.to_owned()).await.expect("it is taken");
        }
        // Comes first, since the others are not there yet.
        sender.send("zero".to_owned()).await.expect("it is taken");
        kept.commit().await.expect("it is committed");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        for expected in ["zero", "one", "two"] {
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            assert_eq!(delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        controller.close().await.expect("it closes");
        client.close().await;
    });
}

/// 4.4.2: nobody else gets it meanwhile, though the link that it came over is gone.
#[test]
fn what_is_retired_waits_for_the_discharge_without_its_link() {
    let Some(address) = address() else { return };
    for commits in [true, false] {
        run(async {
            let node = format!("/queues/{}", unique("left"));
            let mut client = Client::connect(address).await;
            let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
            sender.send("first".to_owned()).await.expect("it is taken");
            let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
            let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
            transaction.accept(&mut receiver, &delivery).await.expect("it is retired");
            receiver.close().await.expect("it closes");
            sender.send("second".to_owned()).await.expect("it is taken");
            let mut other = Receiver::attach(&mut client.session, "other", &node[..]).await.expect("a receiver");
            let delivery: Delivery<String> = other.recv().await.expect("it comes");
            assert_eq!(delivery.body(), "second");
            if commits {
                transaction.commit().await.expect("it is committed");
                sender.send("third".to_owned()).await.expect("it is taken");
            } else {
                transaction.rollback().await.expect("it is rolled back");
            }
            let delivery: Delivery<String> = other.recv().await.expect("it comes");
            assert_eq!(delivery.body(), if commits { "third" } else { "first" });
            drop((other, controller));
            let _ = client.connection.close().await;
        });
    }
}

#[test]
fn what_is_retired_is_gone_only_when_that_is_committed() {
    let Some(address) = address() else { return };
    run(async {
        let node = format!("/queues/{}", unique("retired"));
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("twice".to_owned()).await.expect("it is taken");
        let mut first = Client::connect(address).await;
        let controller = Controller::attach(&mut first.session, "control").await.expect("a coordinator");
        let mut receiver = Receiver::attach(&mut first.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.accept(&mut receiver, &delivery).await.expect("it is retired");
        transaction.rollback().await.expect("it is rolled back");
        drop((receiver, controller));
        // A frame that meets the library's close on the way is a fault to it.
        let _ = first.connection.close().await;

        let mut second = Client::connect(address).await;
        let controller = Controller::attach(&mut second.session, "control").await.expect("a coordinator");
        let mut receiver = Receiver::attach(&mut second.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes again");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.accept(&mut receiver, &delivery).await.expect("it is retired");
        transaction.commit().await.expect("it is committed");
        drop((receiver, controller));
        let _ = second.connection.close().await;

        sender.send("last".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "last");
        client.close().await;
    });
}

#[test]
fn a_transaction_that_was_not_discharged_is_as_if_it_had_never_been() {
    let Some((broker, address)) = own() else { return };
    let node = format!("/queues/{}", unique("left"));
    run(async {
        let mut client = Client::connect(address).await;
        let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.post(&mut sender, "done".to_owned()).await.expect("it is taken");
        transaction.commit().await.expect("it is committed");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.post(&mut sender, "never".to_owned()).await.expect("it is taken");
        std::mem::forget(transaction);
        let _ = client.connection.close().await;
    });
    let broker = broker.restart();
    let address = broker.at("amqp");
    run(async {
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("last".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        for expected in ["done", "last"] {
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            assert_eq!(delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        client.close().await;
    });
}

/// A coordinator, and what is told there.
struct Coordinator {
    handle: u32,
    sent: u32,
}

impl Coordinator {
    /// On handle 9.
    fn attach(peer: &mut Peer, first: u32) -> Self {
        Self::attach_as(peer, "txn", 9, first)
    }

    fn attach_as(peer: &mut Peer, name: &str, handle: u32, first: u32) -> Self {
        peer.sender(name, handle, &Terms { node: Some(performative(0x30, &[])), ..Terms::default() });
        Self { handle, sent: first }
    }

    fn tell(&mut self, peer: &mut Peer, body: Vec<u8>) -> Value {
        self.sent += 1;
        let payload = described(0x77, &body);
        peer.send(&transfer(self.handle, Some(self.sent), Some(&self.sent.to_be_bytes()), false, false, &payload));
        loop {
            // What the broker settles of what it sent comes before.
            let said = peer.disposition();
            if *said.field(0) == Value::Bool(true) {
                return said.field(4).clone();
            }
        }
    }

    /// The state that answers a declare.
    fn declare(&mut self, peer: &mut Peer) -> Value {
        self.tell(peer, performative(0x31, &[]))
    }

    fn discharge(&mut self, peer: &mut Peer, txn: &[u8], fail: bool) -> Value {
        self.tell(peer, performative(0x32, &[&binary(txn), if fail { TRUE } else { FALSE }]))
    }
}

fn under(txn: &[u8], outcome: &[u8]) -> Vec<u8> {
    performative(0x34, &[&binary(txn), outcome])
}

/// A message under a transaction; what is said of it.
fn post(peer: &mut Peer, handle: u32, id: u32, txn: &[u8], settled: bool, text: &str) -> Option<Value> {
    let state = under(txn, NULL);
    let fields: [&[u8]; 8] = [
        &uint(handle),
        &uint(id),
        &binary(&id.to_be_bytes()),
        &uint(0),
        if settled { TRUE } else { FALSE },
        FALSE,
        NULL,
        &state,
    ];
    peer.send(&frame(0, &[&performative(0x14, &fields)[..], &message(text.as_bytes())].concat()));
    (!settled).then(|| peer.disposition().field(4).clone())
}

fn condition(state: &Value) -> &str {
    state.field(0).field(0).text()
}

/// 4.4.2: an outcome belongs to one transaction. Who names another one loses the link to its coordinator, with all that
/// was begun on it; the first one is as it was.
#[test]
fn a_delivery_is_retired_in_one_transaction_only() {
    let Some(address) = address() else { return };
    for (settles, commits) in [(false, true), (true, true), (true, false), (false, false)] {
        let node = format!("/queues/{}", unique("twice"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        post_plain(&mut peer, 0, 0);
        peer.link("in", 1, true, &Terms { node: Some(source(&node)), ..Terms::default() });
        peer.send(&flow(0, 2048, Some((1, 0, 1, false, false))));
        let got = peer.delivery();
        let mut first = Coordinator::attach(&mut peer, 100);
        let one = first.declare(&mut peer).field(0).bytes().to_vec();
        let mut second = Coordinator::attach_as(&mut peer, "second", 8, 300);
        let other = second.declare(&mut peer).field(0).bytes().to_vec();
        let posted = post(&mut peer, 0, 400, &other, false, "with the other");
        assert_eq!(posted.map(|state| state.code()), Some(0x34));
        peer.send(&disposition(true, got.id, got.id, false, &under(&one, ACCEPTED)));
        let released = performative(0x26, &[]);
        peer.send(&disposition(true, got.id, got.id, settles, &under(&other, &released)));
        let gone = Value::read(&peer.find(0x16)).0;
        let why = (gone.field(0).number(), gone.field(1), gone.field(2).field(0).text());
        assert_eq!(why, (3, &Value::Bool(true), "amqp:transaction:rollback"), "{gone:?}");
        peer.send(&detach(8, true));
        first.sent = 400;
        assert_eq!(first.discharge(&mut peer, &one, !commits).code(), 0x24);
        if !commits && !settles {
            peer.send(&disposition(true, got.id, got.id, true, &released));
        }
        let mut next = Peer::begun(address);
        next.receiver("next", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
        if !commits {
            assert_eq!(next.delivery().text(), "plain");
        }
        assert!(next.is_drained(0, u32::from(!commits)), "settles {settles}, commits {commits}");
    }
}

/// 4.3, 2.6.1: who comes back over another connection gets the message again, and then nothing of the transaction that it
/// was to end with on the former one happens.
#[test]
fn a_delivery_that_somebody_took_over_cannot_be_committed() {
    let Some(address) = address() else { return };
    let container = unique("thief");
    for durable in [false, true] {
        let (node, out) = (unique("stolen"), format!("/queues/{}", unique("out")));
        let node = if durable { node } else { format!("/queues/{node}") };
        let policy = if durable { ("never", 2) } else { ("session-end", 0) };
        let terms = |unsettled: Option<Vec<u8>>| Terms {
            node: Some(source_with(&node, policy.1, policy.0, None, &[])),
            settles: (0, 1),
            unsettled,
            ..Terms::default()
        };
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 1, &terms(None));
        let mut sender = Peer::begun(address);
        sender.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        post_plain(&mut sender, 0, 0);
        let got = peer.delivery();
        peer.sender("post", 0, &Terms { node: Some(target(&out)), ..Terms::default() });
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        post(&mut peer, 0, 200, &txn, false, "of the former");
        coordinator.sent = 200;
        peer.send(&disposition(true, got.id, got.id, false, &under(&txn, ACCEPTED)));
        // Its answer says that the disposition was read.
        assert_eq!(coordinator.declare(&mut peer).code(), 0x33);
        let mut thief = Peer::of(address, &container);
        thief.receiver("in", 1, &terms(Some(map(&[&binary(&got.tag), NULL]))));
        assert_eq!(thief.delivery().tag, got.tag);
        // The former one may be told that it is over, or that its transaction is, and nothing else.
        peer.send(&transfer(
            9,
            Some(300),
            Some(b"d"),
            false,
            false,
            &described(0x77, &performative(0x32, &[&binary(&txn), FALSE])),
        ));
        while let Some(body) = peer.frame() {
            let said = Value::read(&body).0;
            if body[2] == 0x15 && *said.field(0) == Value::Bool(true) {
                assert_eq!(condition(said.field(4)), "amqp:transaction:rollback", "durable {durable}");
                break;
            }
        }
        let mut rest = Peer::begun(address);
        rest.link("rest", 0, true, &Terms { node: Some(source(&out)), ..Terms::default() });
        assert!(rest.is_drained(0, 0), "durable {durable}");
    }
}

/// 4.4.2: the last word of one transaction counts. What is settled without a word meanwhile ends with it; what is settled
/// with one, outside of it, spoils it.
#[test]
fn a_delivery_that_is_enlisted_ends_with_its_transaction_or_spoils_it() {
    let Some(address) = address() else { return };
    let released = performative(0x26, &[]);
    for way in 0..3 {
        let node = format!("/queues/{}", unique("enlisted"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        post_plain(&mut peer, 0, 0);
        let node_of = performative(0x28, &[&string(&node), NULL, NULL, NULL, NULL, NULL, NULL, NULL, &released]);
        peer.link("in", 1, true, &Terms { node: Some(node_of), ..Terms::default() });
        peer.send(&flow(0, 2048, Some((1, 0, 1, false, false))));
        let got = peer.delivery();
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        let first = if way == 0 { under(&txn, &released) } else { under(&txn, ACCEPTED) };
        peer.send(&disposition(true, got.id, got.id, false, &first));
        match way {
            0 => peer.send(&disposition(true, got.id, got.id, true, &under(&txn, ACCEPTED))),
            1 => peer.send(&disposition(true, got.id, got.id, true, NULL)),
            _ => peer.send(&disposition(true, got.id, got.id, true, &released)),
        }
        let said = coordinator.discharge(&mut peer, &txn, false);
        let mut next = Peer::begun(address);
        next.receiver("next", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
        if way == 2 {
            assert_eq!(condition(&said), "amqp:transaction:rollback");
            assert_eq!(next.delivery().text(), "plain");
        } else {
            assert_eq!(said.code(), 0x24, "way {way}");
        }
        assert!(next.is_drained(0, u32::from(way == 2)), "way {way}");
    }
}

/// What is more than a transaction may hold spoils it: all or nothing (4.3), also where its sender was not told.
#[test]
fn a_transaction_of_which_something_was_refused_cannot_be_committed() {
    let broker = Broker::start_with(|config| {
        config.amqp.transaction_entries_max = 2;
        config.amqp.transactions_max = 1;
    });
    let Some(broker) = broker else { return };
    let address = broker.at("amqp");
    let node = format!("/queues/{}", unique("txn"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let mut coordinator = Coordinator::attach(&mut peer, 100);
    for settled in [false, true] {
        let declared = coordinator.declare(&mut peer);
        let txn = declared.field(0).bytes().to_vec();
        assert_eq!(condition(&coordinator.declare(&mut peer)), "amqp:resource-limit-exceeded");
        let first = coordinator.sent + 1;
        for id in first..first + 3 {
            let said = post(&mut peer, 0, id, &txn, settled, "no");
            if let Some(said) = said {
                assert_eq!(said.code(), if id < first + 2 { 0x34 } else { 0x25 });
            }
        }
        coordinator.sent = first + 2;
        assert_eq!(condition(&coordinator.discharge(&mut peer, &txn, false)), "amqp:transaction:rollback");
        assert_eq!(condition(&coordinator.discharge(&mut peer, &txn, false)), "amqp:transaction:unknown-id");
    }
    peer.receiver("in", 1, &Terms { node: Some(source(&node)), ..Terms::default() });
    assert!(peer.is_drained(1, 0));
}

/// What waits in transactions counts like messages that wait: past the mark on memory there is no room in them.
#[test]
fn what_waits_in_transactions_counts_at_the_mark_on_memory() {
    let Some(broker) = Process::start_with(&["broker.memory_bytes_max=8388608"], None) else { return };
    let mut peer = Peer::begun(broker.amqp());
    peer.sender("out", 0, &Terms { node: Some(target("/queues/q")), ..Terms::default() });
    let mut coordinator = Coordinator::attach(&mut peer, 0);
    let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
    let long = "x".repeat(100_000);
    let refused = (2..200).map(|id| post(&mut peer, 0, id, &txn, false, &long).expect("a state"));
    let refused = refused.into_iter().find(|said| said.code() == 0x25).expect("one is too much");
    assert_eq!(condition(&refused), "amqp:resource-limit-exceeded");
    coordinator.sent = 200;
    assert_eq!(condition(&coordinator.discharge(&mut peer, &txn, false)), "amqp:transaction:rollback");
}

/// A module that refuses one message of a transaction refuses all of it: nothing of it is seen.
#[test]
fn what_a_module_refuses_rolls_the_transaction_back() {
    let Some((broker, address)) = own() else { return };
    let exchanges = serde_json::json!({ "exchanges": [{ "name": "e", "type": "fanout", "unroutable": "refuse" }] });
    broker.admin().put("/api/v1/modules/exchanges/config", &exchanges).expect(200);
    let node = format!("/queues/{}", unique("txn"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.sender("refused", 1, &Terms { node: Some(target("/exchanges/e")), ..Terms::default() });
    peer.sender("kept", 3, &Terms { node: Some(target(&node)), ..Terms::default() });
    post_plain(&mut peer, 3, 0);
    peer.link("in", 2, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    peer.send(&flow(0, 2048, Some((2, 0, 1, false, false))));
    let got = peer.delivery();
    let mut coordinator = Coordinator::attach(&mut peer, 100);
    let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
    peer.send(&disposition(true, got.id, got.id, false, &under(&txn, ACCEPTED)));
    assert_eq!(post(&mut peer, 0, 200, &txn, false, "a").map(|state| state.code()), Some(0x34));
    assert_eq!(post(&mut peer, 1, 201, &txn, false, "b").map(|state| state.code()), Some(0x34));
    coordinator.sent = 201;
    assert_eq!(condition(&coordinator.discharge(&mut peer, &txn, false)), "amqp:transaction:rollback");
    // Neither the message is there, nor is the one gone that was accepted.
    peer.send(&disposition(true, got.id, got.id, true, &performative(0x26, &[])));
    peer.send(&flow(1, 2048, Some((2, 1, 100, false, false))));
    assert_eq!(peer.delivery().text(), "plain");
    assert!(peer.is_drained(2, 2));
}

fn post_plain(peer: &mut Peer, handle: u32, id: u32) {
    peer.send(&transfer(handle, Some(id), Some(b"plain"), false, false, &message(b"plain")));
    peer.find(0x15);
}

/// 4.4.3: who asks for messages within a transaction is told that there is no such thing, and has none of them.
#[test]
fn an_acquisition_is_refused_and_takes_nothing() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("acquired"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    post_plain(&mut peer, 0, 0);
    peer.link("in", 1, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    let txn = Coordinator::attach(&mut peer, 100).declare(&mut peer).field(0).bytes().to_vec();
    let asks = map(&[&symbol("txn-id"), &binary(&txn)]);
    let head = [uint(0), uint(2048), uint(0), uint(2048), uint(1), uint(0), uint(10)];
    let mut fields: Vec<&[u8]> = head.iter().map(Vec::as_slice).collect();
    fields.extend([NULL, FALSE, FALSE, &asks]);
    peer.send(&frame(0, &performative(0x13, &fields)));
    let gone = Value::read(&peer.find(0x16)).0;
    assert_eq!((gone.field(0).number(), gone.field(2).field(0).text()), (1, "amqp:not-implemented"), "{gone:?}");
    // What was there is there for others.
    peer.receiver("next", 2, &Terms { node: Some(source(&node)), ..Terms::default() });
    assert_eq!(peer.delivery().text(), "plain");
}

/// 3.2.1: a delivery that its receiver has settled under a transaction which is rolled back is an attempt that failed. A message
/// that nobody can deal with would come for ever.
#[test]
fn what_is_rolled_back_is_counted_and_goes_to_the_dead_letters() {
    let Some((_broker, address)) = own() else { return };
    let node = format!("/queues/{}", unique("poison"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    post_plain(&mut peer, 0, 0);
    peer.link("in", 1, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    let mut coordinator = Coordinator::attach(&mut peer, 100);
    for count in 0..20 {
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        peer.send(&flow(0, 2048, Some((1, count, 1, false, false))));
        let got = peer.delivery();
        let header = got.section(0x70);
        let before = if *header.field(4) == Value::Null { 0 } else { header.field(4).number() };
        assert_eq!(before, i128::from(count));
        peer.send(&disposition(true, got.id, got.id, true, &under(&txn, ACCEPTED)));
        assert_eq!(coordinator.discharge(&mut peer, &txn, true).code(), 0x24);
    }
    peer.receiver("dead", 2, &Terms { node: Some(source("/queues/dead-letters")), ..Terms::default() });
    assert_eq!(peer.delivery().text(), "plain");
}

/// 4.3: a coordinator that goes rolls back what was begun on it, however it goes.
#[test]
fn a_coordinator_that_goes_rolls_back() {
    let Some(address) = address() else { return };
    for way in 0..3 {
        let node = format!("/queues/{}", unique("gone"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        post_plain(&mut peer, 0, 0);
        peer.link("in", 1, true, &Terms { node: Some(source(&node)), ..Terms::default() });
        peer.send(&flow(0, 2048, Some((1, 0, 1, false, false))));
        let got = peer.delivery();
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        post(&mut peer, 0, 200, &txn, false, "posted");
        peer.send(&disposition(true, got.id, got.id, true, &under(&txn, ACCEPTED)));
        match way {
            0 => {
                peer.send(&detach(9, true));
                peer.find(0x16);
            }
            1 => {
                peer.send(&end(0));
                peer.find(0x17);
            }
            _ => {
                peer.send(&close());
                peer.find(0x18);
            }
        }
        drop(peer);
        let mut next = Peer::begun(address);
        next.receiver("next", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
        assert_eq!(next.delivery().text(), "plain", "way {way}");
        assert!(next.is_drained(0, 1), "way {way}");
    }
}

/// A link that settles second, to this node.
fn second(node: &str, unsettled: Option<Vec<u8>>) -> Terms<'static> {
    Terms { node: Some(target(node)), settles: (0, 1), unsettled, ..Terms::default() }
}

/// The unsettled map of a sender that knows of no outcome of these posts.
fn remembered(ids: &[u32]) -> Option<Vec<u8>> {
    let tags: Vec<Vec<u8>> = ids.iter().map(|id| binary(&id.to_be_bytes())).collect();
    Some(map(&tags.iter().flat_map(|tag| [&tag[..], NULL]).collect::<Vec<_>>()))
}

/// 2.8.3, 4.4.1: on a link that settles second a post is settled with its sender, and known until then: who has not heard of
/// the discharge does not send it again.
#[test]
fn a_post_on_a_link_that_settles_second_is_known_until_its_sender_settles_it() {
    for restarts in [false, true] {
        let Some((mut broker, mut address)) = own() else { return };
        let (node, container) = (format!("/queues/{}", unique("second")), unique("container"));
        let mut peer = Peer::of(address, &container);
        peer.sender("out", 0, &second(&node, None));
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        for id in [200, 220, 240] {
            post(&mut peer, 0, id, &txn, true, "settled beforehand");
            let said = post_second(&mut peer, id + 10, &txn);
            assert_eq!((said.field(3), said.field(4).code()), (&Value::Bool(false), 0x34), "{said:?}");
        }
        // Of one its sender knows enough before the discharge.
        peer.send(&disposition(false, 230, 230, true, &under(&txn, ACCEPTED)));
        peer.disposition();
        coordinator.sent = 300;
        assert_eq!(coordinator.discharge(&mut peer, &txn, false).code(), 0x24);
        drop(peer);
        if restarts {
            broker = broker.restart();
            address = broker.at("amqp");
        }
        let mut peer = Peer::of(address, &container);
        let answer = peer.sender("out", 0, &second(&node, remembered(&[210, 230, 250])));
        let mut known = unsettled(&answer);
        known.sort();
        let tag = |id: u32| id.to_be_bytes().to_vec();
        assert_eq!(known, [(tag(210), 0x24), (tag(250), 0x24)]);
        peer.send(&resumed(0, 0, &tag(210), true, &under(&txn, ACCEPTED), false, &[]));
        // Sent again as if that had not been heard: answered, and not taken twice.
        peer.send(&resumed(0, 1, &tag(250), false, &under(&txn, NULL), false, &message(b"twice")));
        let said = peer.disposition();
        assert_eq!((said.field(3), said.field(4).code()), (&Value::Bool(false), 0x24), "{said:?}");
        peer.send(&disposition(false, 1, 1, true, ACCEPTED));
        peer.send(&close());
        peer.find(0x18);
        let mut peer = Peer::of(address, &container);
        let answer = peer.sender("out", 0, &second(&node, remembered(&[210, 230, 250])));
        assert_eq!(unsettled(&answer), []);
        peer.send(&close());
        peer.find(0x18);
        assert_eq!(waiting(address, &node).len(), 6, "restarts {restarts}");
        drop(broker);
    }
}

/// 2.6.7, 4.4.1: such posts wait for the discharge, and not for the broker: a transaction may be longer than the credit.
#[test]
fn posts_on_a_link_that_settles_second_take_up_no_credit() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (format!("/queues/{}", unique("many")), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.sender("out", 0, &second(&node, None));
    let mut coordinator = Coordinator::attach(&mut peer, 100);
    for (round, first) in [(1, 1000), (2, 3000)] {
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        let posts = first..first + 600;
        for id in posts.clone() {
            assert_eq!(post_second(&mut peer, id, &txn).field(4).code(), 0x34, "{id}");
        }
        coordinator.sent = first + 1000;
        assert_eq!(coordinator.discharge(&mut peer, &txn, false).code(), 0x24);
        peer.send(&disposition(false, posts.start, posts.end - 1, true, ACCEPTED));
        peer.disposition();
        let queues = broker.admin().get("/api/v1/queues").expect(200).json();
        assert_eq!(queues["items"][0]["waiting"], 600 * round, "{queues}");
    }
}

/// The whole answer to an unsettled post on handle 0.
fn post_second(peer: &mut Peer, id: u32, txn: &[u8]) -> Value {
    let (state, tag) = (under(txn, NULL), binary(&id.to_be_bytes()));
    let fields: [&[u8]; 8] = [&uint(0), &uint(id), &tag, &uint(0), FALSE, FALSE, NULL, &state];
    peer.send(&frame(0, &[&performative(0x14, &fields)[..], &message(b"once")].concat()));
    peer.disposition()
}

/// 2.6.13: who comes back to such a link before the discharge is told that the post never came, and sends it again: so it does
/// not come by the transaction any more. Who closes the link will not ask (2.6.6).
#[test]
fn a_post_is_not_taken_behind_the_back_of_a_sender_that_came_back() {
    let Some(address) = address() else { return };
    for way in ["closed", "detached", "attached again", "attached elsewhere"] {
        let (node, container) = (format!("/queues/{}", unique("back")), unique("container"));
        let mut peer = Peer::of(address, &container);
        peer.sender("out", 0, &second(&node, None));
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        assert_eq!(post_second(&mut peer, 200, &txn).field(4).code(), 0x34);
        let mut other = Peer::of(address, &container);
        match way {
            "closed" | "detached" => {
                peer.send(&detach(0, way == "closed"));
                peer.find(0x16);
            }
            _ => {
                let (who, handle) = if way == "attached again" { (&mut peer, 1) } else { (&mut other, 0) };
                let answer = who.sender("out", handle, &second(&node, remembered(&[200])));
                assert_eq!(unsettled(&answer), [], "{way}");
            }
        }
        coordinator.sent = 300;
        let said = coordinator.discharge(&mut peer, &txn, false);
        if way == "closed" {
            assert_eq!((said.code(), &waiting(address, &node)[..]), (0x24, &["once".to_owned()][..]));
        } else {
            assert_eq!(condition(&said), "amqp:transaction:rollback", "{way}");
            assert_eq!(waiting(address, &node), [""; 0], "{way}");
        }
    }
}

/// 3.2.1: a message lives from when it came, and not from when its transaction ended.
#[test]
fn a_message_in_a_transaction_is_worthless_when_it_would_be_without() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    let (node, beside) = (format!("/queues/{}", unique("ttl")), format!("/queues/{}", unique("beside")));
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.sender("beside", 1, &Terms { node: Some(target(&beside)), ..Terms::default() });
    peer.receiver("in", 2, &Terms { node: Some(source(&node)), ..Terms::default() });
    let mut coordinator = Coordinator::attach(&mut peer, 100);
    let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
    let text = [&performative(0x70, &[TRUE, NULL, &uint(200)])[..], &message(b"short")].concat();
    let state = under(&txn, NULL);
    let fields: [&[u8]; 8] = [&uint(0), &uint(200), &binary(b"in"), &uint(0), FALSE, FALSE, NULL, &state];
    peer.send(&frame(0, &[&performative(0x14, &fields)[..], &text].concat()));
    peer.disposition();
    // One that came later tells when its time is over.
    peer.send(&transfer(1, Some(201), Some(b"beside"), false, false, &text));
    peer.disposition();
    let mut other = Peer::begun(address);
    let mut round = 0;
    loop {
        let name = format!("look{round}");
        let copies = performative(0x28, &[&string(&beside), NULL, NULL, NULL, NULL, NULL, &symbol("copy")]);
        other.link(&name, round, true, &Terms { node: Some(copies), ..Terms::default() });
        if other.is_drained(round, 0) {
            break;
        }
        other.find(0x13);
        other.send(&detach(round, true));
        other.find(0x16);
        round += 1;
    }
    coordinator.sent = 300;
    assert_eq!(coordinator.discharge(&mut peer, &txn, false).code(), 0x24);
    assert!(peer.is_drained(2, 0));
}

/// 2.7.6: what is live of a detached subscription may end with a transaction, too.
#[test]
fn a_delivery_of_a_detached_subscription_is_retired() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("sub"), unique("container"));
    let asked = || Terms { node: Some(source_with(&node, 2, "never", None, &[])), ..Terms::default() };
    for settled in [true, false] {
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 1, &asked());
        peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        for id in 0..2 {
            post_plain(&mut peer, 0, id);
        }
        let mut coordinator = Coordinator::attach(&mut peer, 100);
        let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
        peer.send(&detach(1, false));
        peer.find(0x16);
        peer.send(&disposition(true, 0, 1, settled, &under(&txn, ACCEPTED)));
        assert_eq!(coordinator.discharge(&mut peer, &txn, false).code(), 0x24, "settled {settled}");
        peer.send(&close());
        peer.find(0x18);
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 1, &asked());
        assert!(peer.is_drained(1, 0), "settled {settled}");
        peer.send(&close());
        peer.find(0x18);
    }
}

/// 4.2: a transaction that cannot be begun is refused by the outcome of its message, if the client knows that outcome: others go on.
#[test]
fn a_global_transaction_is_refused_and_others_go_on() {
    let Some(address) = address() else { return };
    let global = || performative(0x31, &[&binary(b"global")]);
    let mut peer = Peer::begun(address);
    let node = format!("/queues/{}", unique("global"));
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let outcomes = super::link::symbols(&["amqp:accepted:list", "amqp:rejected:list"]);
    let knows = performative(0x28, &[NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &outcomes]);
    let fields: [&[u8]; 10] =
        [&string("txn"), &uint(9), FALSE, NULL, NULL, &knows, &performative(0x30, &[]), NULL, NULL, &uint(0)];
    peer.send(&frame(0, &performative(0x12, &fields)));
    peer.find(0x13);
    let mut coordinator = Coordinator { handle: 9, sent: 100 };
    let txn = coordinator.declare(&mut peer).field(0).bytes().to_vec();
    post(&mut peer, 0, 200, &txn, false, "kept");
    coordinator.sent = 200;
    assert_eq!(condition(&coordinator.tell(&mut peer, global())), "amqp:not-implemented");
    assert_eq!(coordinator.discharge(&mut peer, &txn, false).code(), 0x24);
    assert_eq!(waiting(address, &node), ["kept"]);
    // Who knows the outcome accepted only hears it with the end of the link.
    let accepted = super::link::symbols(&["amqp:accepted:list"]);
    let knows = performative(0x28, &[NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &accepted]);
    let fields: [&[u8]; 10] =
        [&string("less"), &uint(8), FALSE, NULL, NULL, &knows, &performative(0x30, &[]), NULL, NULL, &uint(0)];
    peer.send(&frame(0, &performative(0x12, &fields)));
    peer.find(0x13);
    peer.send(&transfer(8, Some(400), Some(b"g"), false, false, &described(0x77, &global())));
    assert_eq!(peer.refusal(), "amqp:not-implemented");
}
