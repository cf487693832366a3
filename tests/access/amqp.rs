//! SASL and the access list for AMQP clients, with a client library that shares nothing with the broker's machine.

use super::rig::{PASSWORD, Rig, rules, write_users};
use crate::harness::{V5, guests};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::{SaslProfile, SaslScramSha256, SaslScramSha512};
use fe2o3_amqp::types::messaging::{Body, Outcome};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use serde_json::{Value as Json, json};
use std::future::Future;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

fn start(rules: Option<Json>) -> Option<Rig> {
    Rig::start_with(rules, |config| write_users(&config.auth.password_file, &["ann", "bob"], true))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("the broker answers") })
}

fn plain(user: &str, password: &str) -> SaslProfile {
    SaslProfile::Plain { username: user.to_owned(), password: password.to_owned() }
}

async fn open(rig: &Rig, name: &str, profile: Option<SaslProfile>) -> Option<ConnectionHandle<()>> {
    let url = format!("amqp://{}", rig.at("amqp"));
    let builder = Connection::builder().container_id(name);
    match profile {
        Some(profile) => builder.sasl_profile(profile).open(&url[..]).await.ok(),
        None => builder.open(&url[..]).await.ok(),
    }
}

#[test]
fn each_mechanism_proves_who_the_client_is() {
    let Some(rig) = start(None) else { return };
    run(async {
        let scram256 = |word: &str| SaslProfile::ScramSha256(SaslScramSha256::new("ann", word));
        let scram512 = |word: &str| SaslProfile::ScramSha512(SaslScramSha512::new("ann", word));
        for (profile, comes_in) in [
            (Some(plain("ann", PASSWORD)), true),
            (Some(plain("ann", "wrong")), false),
            (Some(plain("nobody", PASSWORD)), false),
            (Some(scram256(PASSWORD)), true),
            (Some(scram256("wrong")), false),
            (Some(scram512(PASSWORD)), true),
            (Some(scram512("wrong")), false),
            (Some(SaslProfile::Anonymous), false),
            (Some(SaslProfile::External), false),
            (None, false),
        ] {
            let shown = format!("{profile:?}");
            let mut connection = open(&rig, "a", profile).await;
            // Without SASL the answer is Open, since Close cannot come before it, and then Close.
            let session = match &mut connection {
                Some(connection) => Session::begin(connection).await.ok(),
                None => None,
            };
            assert_eq!(session.is_some(), comes_in, "{shown}");
            if let (Some(mut connection), true) = (connection, comes_in) {
                connection.close().await.expect("a broker that says goodbye");
            }
        }
    });
}

/// A37 and its like: the list holds for AMQP addresses, too, and from the moment at which it changes.
#[test]
fn the_access_list_holds_for_links() {
    let read = json!({ "allow": ["subscribe"], "users": ["ann"], "topics": ["t/#"] });
    let write = json!({ "allow": ["publish"], "users": ["bob"], "topics": ["t/#"] });
    let both = rules(json!([read, write]));
    let Some(rig) = start(Some(both.clone())) else { return };
    run(async {
        let mut ann = open(&rig, "ann", Some(plain("ann", PASSWORD))).await.expect("ann comes in");
        let mut bob = open(&rig, "bob", Some(plain("bob", PASSWORD))).await.expect("bob comes in");
        let mut reading = Session::begin(&mut ann).await.expect("a session");
        let mut writing = Session::begin(&mut bob).await.expect("a session");
        let mut receiver = Receiver::attach(&mut reading, "r", "t/a").await.expect("ann may read");
        let mut sender = Sender::attach(&mut writing, "s", "t/a").await.expect("bob may write");
        let accepted = |outcome: Outcome| matches!(outcome, Outcome::Accepted(_));
        assert!(accepted(sender.send("one").await.expect("an outcome")));
        let delivery = receiver.recv::<String>().await.expect("a message");
        assert_eq!(delivery.body(), "one");
        receiver.accept(&delivery).await.expect("it may be accepted");
        // Reading is revoked: what comes now is not hers, and what comes after it was restored is.
        rig.put(rules(json!([{ "allow": ["publish"], "users": ["bob"], "topics": ["t/#"] }])));
        sender.send("secret").await.expect("an outcome");
        rig.put(both.clone());
        assert!(accepted(sender.send("two").await.expect("an outcome")));
        let delivery = receiver.recv::<String>().await.expect("a message");
        assert_eq!(delivery.body(), "two");
        // Writing is revoked.
        rig.put(rules(json!([{ "allow": ["subscribe"], "users": ["ann"], "topics": ["t/#"] }])));
        let refused = sender.send("three").await.expect("an outcome");
        assert!(matches!(refused, Outcome::Rejected(_)), "{refused:?}");
        // What may not be written to or read cannot be attached to.
        let other = Sender::attach(&mut writing, "o", "other").await;
        assert!(other.is_err(), "a link to a denied address");
        let other = Receiver::attach(&mut reading, "o", "other").await;
        let attached = match other {
            Ok(mut other) => tokio::time::timeout(PATIENCE, other.recv::<String>()).await.expect("an end").is_ok(),
            Err(_) => false,
        };
        assert!(!attached, "a link to a denied address");
    });
}

/// From the moment at which they change the rules hold for what leaves a queue, too, and what one consumer may not have is there
/// for others.
#[test]
fn a_consumer_of_a_queue_gets_nothing_under_rules_that_deny_it() {
    let all = json!({ "allow": ["subscribe", "publish"], "topics": ["/queues/work"] });
    for lost in ["subscribe", "receive"] {
        let Some(rig) = start(Some(rules(json!([all])))) else { return };
        let deny = json!({ "deny": [lost], "users": ["ann"], "topics": ["/queues/work"] });
        run(async {
            let mut ann = open(&rig, "ann", Some(plain("ann", PASSWORD))).await.expect("ann comes in");
            let mut reading = Session::begin(&mut ann).await.expect("a session");
            let mut receiver = Receiver::attach(&mut reading, "r", "/queues/work").await.expect("ann may consume");
            let mut bob = open(&rig, "bob", Some(plain("bob", PASSWORD))).await.expect("bob comes in");
            let mut writing = Session::begin(&mut bob).await.expect("a session");
            let mut sender = Sender::attach(&mut writing, "s", "/queues/work").await.expect("bob may publish");
            assert!(matches!(sender.send("zero").await, Ok(Outcome::Accepted(_))));
            let delivery = receiver.recv::<String>().await.expect("a message");
            receiver.accept(&delivery).await.expect("it may be accepted");
            // The broker has heard of it when it answers what follows.
            let heard = Session::begin(&mut ann).await.expect("another session");
            rig.put(rules(json!([deny, all])));
            for text in ["one", "two"] {
                assert!(matches!(sender.send(text).await, Ok(Outcome::Accepted(_))));
            }
            assert!(receiver.recv::<String>().await.is_err(), "she may not {lost}");
            let mut other = Receiver::attach(&mut writing, "o", "/queues/work").await.expect("bob may consume");
            for text in ["one", "two"] {
                assert_eq!(other.recv::<String>().await.expect("a message").body(), text);
            }
            drop(heard);
        });
    }
}

/// What a module fails on stays in the queue.
#[test]
fn a_queue_keeps_what_a_delivery_module_fails_on() {
    let Some(rig) = start(None) else { return };
    let beside = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22%2Fqueues%2F%23%22%5D%7D";
    rig.admin().deploy(beside, &guests::component("beside")).expect(200);
    run(async {
        let mut ann = open(&rig, "ann", Some(plain("ann", PASSWORD))).await.expect("ann comes in");
        let mut session = Session::begin(&mut ann).await.expect("a session");
        let mut receiver = Receiver::attach(&mut session, "r", "/queues/jobs").await.expect("a link");
        let mut publisher = rig.open(V5, "bob");
        publisher.say("/queues/jobs", "trap", 1);
        publisher.say("/queues/jobs", "as it is", 1);
        let early = tokio::time::timeout(Duration::from_millis(300), receiver.recv::<Body<Value>>()).await;
        assert!(early.is_err(), "{early:?}");
        rig.admin().delete("/api/v1/modules/beside").expect(200);
        for text in ["trap", "as it is"] {
            let delivery = receiver.recv::<Body<Value>>().await.expect("a message");
            let Body::Data(data) = delivery.body() else { panic!("{delivery:?}") };
            let bytes = data.iter().flat_map(|part| part.0.iter().copied()).collect::<Vec<u8>>();
            assert_eq!(bytes, text.as_bytes());
            receiver.accept(&delivery).await.expect("it may be accepted");
        }
    });
}

/// Whoever consumes a queue and may not any more has to go.
#[test]
fn a_consumer_of_a_queue_is_ended_with_its_right() {
    let consume = json!({ "allow": ["subscribe", "publish"], "users": ["ann"], "topics": ["/queues/work"] });
    let Some(rig) = start(Some(rules(json!([consume])))) else { return };
    run(async {
        let mut ann = open(&rig, "ann", Some(plain("ann", PASSWORD))).await.expect("ann comes in");
        let mut session = Session::begin(&mut ann).await.expect("a session");
        let mut receiver = Receiver::attach(&mut session, "r", "/queues/work").await.expect("ann may consume");
        rig.put(json!({}));
        let end = receiver.recv::<String>().await.map(drop).expect_err("the link ends");
        assert!(format!("{end:?}").contains("UnauthorizedAccess"), "{end:?}");
    });
}

/// 2.6.13: a sender that comes back after its right was taken hears what was accepted of what it sent before it is refused;
/// else it would send that again elsewhere.
#[test]
fn a_sender_that_may_send_no_more_hears_what_was_taken() {
    use crate::amqp::link::{Terms, attach};
    use crate::amqp::peer::Peer;
    use crate::amqp::raw::{NULL, binary, close, detach, map, message, target, transfer};
    use crate::amqp::value::Value;
    let may = |topics: &str| rules(json!([{ "allow": ["publish"], "topics": [topics] }]));
    let other = may("other");
    let adjust = |config: &mut host::config::Config| {
        for listener in &mut config.listeners {
            listener.allow_anonymous.0 = host::identity::Anonymous::Always;
        }
    };
    let Some(rig) = Rig::start_with(Some(may("t/a")), adjust) else { return };
    let known = map(&[&binary(b"taken"), NULL, &binary(b"lost"), NULL]);
    let terms = |unsettled| Terms { node: Some(target("t/a")), settles: (0, 1), unsettled, ..Terms::default() };
    let mut peer = Peer::of(rig.at("amqp"), "container");
    peer.sender("out", 0, &terms(None));
    peer.send(&transfer(0, Some(0), Some(b"taken"), false, false, &message(b"m")));
    assert_eq!(peer.disposition().field(4).code(), 0x24);
    drop(peer);
    rig.put(other);
    // Twice: nobody knows whether the first answer was heard.
    for _ in 0..2 {
        let mut peer = Peer::of(rig.at("amqp"), "container");
        peer.send(&attach("out", 0, false, &terms(Some(known.clone()))));
        let answer = Value::read(&peer.expect(0x12)).0;
        assert_ne!(answer.field(6), &Value::Null, "a target, as of a link that is up");
        let Value::Map(told) = answer.field(7) else { panic!("{answer:?}") };
        let told: Vec<_> = told.iter().map(|(tag, state)| (tag.bytes(), state.code())).collect();
        assert_eq!(told, [(&b"taken"[..], 0x24)]);
        let said = Value::read(&peer.expect(0x16)).0;
        assert_eq!(said.field(1), &Value::Bool(true));
        assert_eq!(said.field(2).field(0).text(), "amqp:unauthorized-access");
    }
    // Who has nothing to hear is refused as ever.
    let mut peer = Peer::of(rig.at("amqp"), "container");
    peer.send(&attach("other", 0, false, &terms(Some(known.clone()))));
    assert_eq!(Value::read(&peer.expect(0x12)).0.field(6), &Value::Null);
    peer.expect(0x16);
    peer.send(&[detach(0, true), close()].concat());
    peer.find(0x18);
    // And with its right back it goes on.
    rig.put(may("t/a"));
    let mut peer = Peer::of(rig.at("amqp"), "container");
    let answer = peer.sender("out", 0, &terms(Some(known)));
    assert!(matches!(answer.field(7), Value::Map(told) if told.len() == 1), "{answer:?}");
    peer.send(&transfer(0, Some(0), Some(b"lost"), false, false, &message(b"m")));
    assert_eq!(peer.disposition().field(4).code(), 0x24);
}
