//! What was acknowledged stays where it is while a module fails on its way out, and comes when the module works again or is gone.

use crate::amqp::{link::Terms, peer::Peer, raw};
use crate::doors::rig::until;
use crate::harness::{Admin, Broker, Client, Publish, V5, connect, guests};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{Body, Data, Header, Message, Outcome};
use fe2o3_amqp::types::primitives::{Binary, Value};
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use std::future::Future;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

const BESIDE: &str = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22seen/%23%22%5D%7D";

/// A session that is away, with these messages in its queue.
fn away(broker: &Broker, messages: &[(&str, u8)]) -> Client {
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("seen/#", 2);
    kept.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    for (payload, qos) in messages {
        publisher.say("seen/x", payload, *qos);
    }
    publisher
}

fn queued(admin: &Admin) -> u64 {
    admin.get("/api/v1/clients/kept").expect(200).json()["queued"].as_u64().expect("a number")
}

/// [MQTT-4.6.0-6]: nor is anything overtaken.
#[test]
fn what_a_delivery_module_fails_on_waits_with_all_behind_it() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut publisher = away(&broker, &[("trap", 1), ("as it is", 2)]);
    admin.deploy(&format!("{BESIDE}&on_failure=refuse"), &guests::component("beside")).expect(200);
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    publisher.say("seen/x", "later", 1);
    kept.expect_nothing();
    assert_eq!(queued(&admin), 3);
    admin.delete("/api/v1/modules/beside").expect(200);
    for (payload, qos) in [("trap", 1), ("as it is", 2), ("later", 1)] {
        kept.expect("seen/x", payload, qos);
    }
}

/// Nobody was promised what is at-most-once, and `discard` is the word of the operator.
#[test]
fn what_was_not_promised_or_is_to_be_discarded_holds_nobody_up() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for (policy, qos) in [("refuse", 0), ("discard", 1)] {
        let mut kept = connect(V5).at(broker.address()).open();
        kept.subscribe("seen/#", 1);
        admin.deploy(&format!("{BESIDE}&on_failure={policy}"), &guests::component("beside")).expect(200);
        let mut publisher = connect(V5).at(broker.address()).open();
        publisher.publish(&Publish::new("seen/x", "trap", qos));
        publisher.say("seen/x", "as it is", 1);
        kept.expect("seen/x", "as it is", 1);
        admin.delete("/api/v1/modules/beside").expect(200);
    }
}

/// An access module that fails lets nobody have anything, and takes nothing from anybody: neither what was queued before, nor
/// what is published meanwhile.
#[test]
fn what_an_access_module_cannot_judge_waits() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("open/#", 1);
    kept.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("open/unread", "one", 1);
    admin.deploy("/api/v1/modules/guards", &guests::component("guards")).expect(200);
    publisher.say("open/unread", "two", 1);
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    publisher.say("open/unread", "three", 1);
    publisher.say("open/a", "four", 1);
    kept.expect_nothing();
    admin.delete("/api/v1/modules/guards").expect(200);
    for (topic, payload) in
        [("open/unread", "one"), ("open/unread", "two"), ("open/unread", "three"), ("open/a", "four")]
    {
        kept.expect(topic, payload, 1);
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("the broker answers") })
}

async fn amqp(broker: &Broker, name: &str) -> (ConnectionHandle<()>, SessionHandle<()>) {
    let url = format!("amqp://{}", broker.at("amqp"));
    let mut connection = Connection::open(name, &url[..]).await.expect("a connection");
    let session = Session::begin(&mut connection).await.expect("a session");
    (connection, session)
}

/// A message that is not lost where it crosses.
fn durable(text: &str) -> Message<Data> {
    let header = Header { durable: true, ..Header::default() };
    Message::builder().header(header).data(Binary::from(text.as_bytes())).build()
}

async fn expect_nothing(receiver: &mut Receiver) {
    let early = tokio::time::timeout(Duration::from_millis(300), receiver.recv::<Body<Value>>()).await;
    assert!(early.is_err(), "{early:?}");
}

async fn expect(receiver: &mut Receiver, text: &str) {
    let delivery = receiver.recv::<Body<Value>>().await.expect("a message");
    let Body::Data(data) = delivery.body() else { panic!("{delivery:?}") };
    assert_eq!(data.iter().flat_map(|part| part.0.to_vec()).collect::<Vec<_>>(), text.as_bytes());
    receiver.accept(&delivery).await.expect("it may be accepted");
}

/// What of a queue has no form for an AMQP receiver, since the module that would make it fails, is there for later.
#[test]
fn a_queue_keeps_what_cannot_be_translated() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    admin.deploy("/api/v1/modules/beside?order=1", &guests::component("beside")).expect(200);
    let mut publisher = connect(V5).at(broker.address()).open();
    // One byte is translated to what is no UUID.
    publisher.say("/queues/tr", "x", 1);
    publisher.say("/queues/tr", "good", 1);
    run(async {
        let (_connection, mut session) = amqp(&broker, "r").await;
        let mut receiver = Receiver::attach(&mut session, "r", "/queues/tr").await.expect("a link");
        expect_nothing(&mut receiver).await;
        admin.delete("/api/v1/modules/beside").expect(200);
        for text in ["x", "good"] {
            expect(&mut receiver, text).await;
        }
    });
}

/// What has no form by the word of the module is nothing that a receiver of a queue could say anything about: the dead letters have
/// it, where somebody may see what it is, and there it stays.
#[test]
fn what_of_a_queue_has_no_form_is_a_dead_letter() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let waiting = |admin: &Admin| -> Vec<(String, u64)> {
        let queues = admin.get("/api/v1/queues").expect(200).json();
        let of = |queue: &serde_json::Value| {
            (queue["address"].as_str().expect("an address").to_owned(), queue["waiting"].as_u64().expect("a number"))
        };
        queues["items"].as_array().expect("queues").iter().map(of).collect()
    };
    admin.deploy(&format!("{BESIDE}&order=1"), &guests::component("beside")).expect(200);
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("/queues/dead-letters", 1);
    let mut publisher = connect(V5).at(broker.address()).open();
    // What is empty is nothing to translate, it says.
    publisher.say("/queues/tr", "", 1);
    publisher.say("/queues/tr", "good", 1);
    run(async {
        let (_connection, mut session) = amqp(&broker, "r").await;
        let mut receiver = Receiver::attach(&mut session, "r", "/queues/tr").await.expect("a link");
        expect(&mut receiver, "good").await;
        reader.expect("/queues/dead-letters", "", 1);
        let mut dead = Receiver::attach(&mut session, "d", "/queues/dead-letters").await.expect("a link");
        expect_nothing(&mut dead).await;
    });
    assert_eq!(waiting(&admin), [("/queues/dead-letters".to_owned(), 1), ("/queues/tr".to_owned(), 0)]);
    admin.delete("/api/v1/modules/beside").expect(200);
    let broker = broker.restart();
    run(async {
        let (_connection, mut session) = amqp(&broker, "r").await;
        let mut dead = Receiver::attach(&mut session, "d", "/queues/dead-letters").await.expect("a link");
        expect(&mut dead, "").await;
    });
}

/// A delivery module that cannot be shown a message, since the one that translates it fails, has not said that it may leave.
#[test]
fn what_a_delivery_module_cannot_be_shown_waits() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    admin.deploy(&format!("{BESIDE}&order=1"), &guests::component("beside")).expect(200);
    run(async {
        let (_connection, mut session) = amqp(&broker, "r").await;
        let mut receiver = Receiver::attach(&mut session, "r", "seen/x").await.expect("a link");
        let mut sender = Sender::attach(&mut session, "s", "seen/x").await.expect("a link");
        let outcome = sender.send(durable("trap")).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        expect_nothing(&mut receiver).await;
        admin.delete("/api/v1/modules/beside").expect(200);
        expect(&mut receiver, "trap").await;
    });
}

/// What comes by AMQP for MQTT clients is rejected where a module says that it has no form there, or none translates, and is kept
/// as long as the module fails.
#[test]
fn what_is_accepted_over_amqp_comes_when_it_can_be_translated() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("y/#", 1);
    admin.deploy("/api/v1/modules/beside?order=1", &guests::component("beside")).expect(200);
    run(async {
        let (_connection, mut session) = amqp(&broker, "s").await;
        let mut sender = Sender::attach(&mut session, "s", "y/1").await.expect("a link");
        let mut other = Sender::attach(&mut session, "o", "nobody").await.expect("a link");
        for (text, accepted) in [("refuse", false), ("trap", true), ("good", true)] {
            let outcome = sender.send(durable(text)).await.expect("an outcome");
            assert_eq!(matches!(outcome, Outcome::Accepted(_)), accepted, "{text}: {outcome:?}");
        }
        let outcome = other.send(durable("refuse")).await.expect("an outcome");
        assert!(!matches!(outcome, Outcome::Rejected(_)), "nobody is to get it in another form: {outcome:?}");
        reader.expect_nothing();
        admin.delete("/api/v1/modules/beside").expect(200);
        for text in ["trap", "good"] {
            reader.expect("y/1", text, 1);
        }
        admin.post("/api/v1/modules/translate/disable", &serde_json::json!({})).expect(200);
        let outcome = sender.send(durable("good")).await.expect("an outcome");
        assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    });
}

/// What a module keeps from a receiver of a queue it keeps as long as it is asked.
#[test]
fn what_was_withheld_from_a_receiver_of_a_queue_comes_once_the_module_is_gone() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let path = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22/queues/%23%22%5D%7D";
    admin.deploy(path, &guests::component("beside")).expect(200);
    let mut blind = Peer::of(broker.at("amqp"), "blind");
    blind.receiver("in", 0, &Terms { node: Some(raw::source("/queues/w")), ..Terms::default() });
    let mut publisher = connect(V5).at(broker.address()).open();
    for text in ["one", "two"] {
        publisher.say("/queues/w", text, 1);
    }
    let asked = || {
        let info = admin.get("/api/v1/modules/beside").expect(200).json();
        let figures = info["figures"].as_array().unwrap().clone();
        figures.iter().any(|one| one["hook"] == "delivery.on-deliver" && one["calls"].as_u64() >= Some(2))
    };
    until("modules were asked", asked);
    admin.delete("/api/v1/modules/beside").expect(200);
    assert_eq!([blind.delivery().text(), blind.delivery().text()], ["one", "two"]);
}
