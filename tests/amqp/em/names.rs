//! Names are claims: EM-25, EM-26.

use super::client::{ACCEPTED, Client, Link, Post, Said};
use super::sessions::{ask, map, subscribe, with_service};
use super::{control_of, publish_of};
use crate::access::rig::{PASSWORD, Rig};
use crate::amqp::{address, raw};
use crate::harness::{V5, client, connect, unique};

#[test]
fn em_25_client_ids_of_all_kinds() {
    let Some(address) = address() else { return };
    let mut publisher = connect(V5).open();
    for odd in
        [".publish", ".control", "a.publish.b", "a/b/+/#", "to.x.control.publish", "ä\u{1F600}%2F", " ", "$share/x"]
    {
        let (id, topic) = (format!("{}{odd}", unique("em25")), unique("em25"));
        let mut watcher = client(V5);
        watcher.subscribe(&format!("{topic}/will"), 1);
        let mut amqp = with_service(address, &id);
        amqp.sender("pubrel", &format!("$mqtt.{id}.pubrel"));
        subscribe(&mut amqp, &id, &[(&topic, 2)]);
        assert_eq!(amqp.send("ss", &ask(&id, "list").reply_to(&control_of(&id))), ACCEPTED);
        assert_eq!(amqp.take("control").value.get(&topic).and_then(|qos| qos.text()), Some("2"), "{id}");
        amqp.receiver("in", &publish_of(&id), 10);
        publisher.say(&topic, "one", 2);
        let got = amqp.receive("in");
        let number = got.message_id().number().expect("a number");
        assert_eq!(amqp.send("pubrel", &Post::about("pubrel").id(number as u64)), ACCEPTED);
        amqp.settle(&got);
        assert_eq!(amqp.take("in").subject(), "pubrel");
        amqp.sender(&id, "$mqtt.lwtservice");
        assert_eq!(amqp.send(&id, &Post::will(&format!("{topic}/will"), b"will", 1, false)), ACCEPTED);
        amqp.cut();
        watcher.expect(&format!("{topic}/will"), "will", 1);
        publisher.say(&topic, "two", 1);
        connect(V5).id(&id).kept().resume().expect(&topic, "two", 1);
    }
}

const DENIED: &str = "amqp:unauthorized-access";

/// Whatever ann has under her id, bob gets at none of it; and she keeps it.
#[test]
fn em_26_somebody_else_s_client_id_is_refused() {
    let Some(rig) = Rig::start(None) else { return };
    let address = rig.at("amqp");
    let mut ann = Client::connect_as(address, "ann", "ann", PASSWORD);
    ann.receiver("control", &control_of("device"), 10);
    ann.sender("ss", "$mqtt.subscriptionservice");
    subscribe(&mut ann, "device", &[("t", 2)]);
    ann.receiver("in", &publish_of("device"), 10);
    ann.sender("device", "$mqtt.lwtservice");
    assert_eq!(ann.send("device", &Post::will("will", b"hers", 1, false)), ACCEPTED);
    // A will alone claims its name, too.
    ann.sender("lonely", "$mqtt.lwtservice");
    assert_eq!(ann.send("lonely", &Post::will("will", b"hers", 1, false)), ACCEPTED);
    let mut bob = Client::connect_as(address, "bob", "bob", PASSWORD);
    for (address, sends) in [
        (control_of("device"), false),
        (publish_of("device"), false),
        ("$mqtt.to.device".to_owned(), false),
        (publish_of("lonely"), false),
        (control_of("lonely"), false),
        ("$mqtt.device.pubrel".to_owned(), true),
    ] {
        assert_eq!(bob.attach(&address, &address, sends, &Link::default()).expect_err(&address), DENIED);
    }
    for id in ["device", "lonely"] {
        for service in ["$mqtt.lwtservice", "$mqtt.willservice", "$lwt"] {
            assert_eq!(bob.attach(id, service, true, &Link::default()).expect_err(id), DENIED);
        }
        rig.as_user(V5, "bob").id(id).refused(0x87);
    }
    for service in ["$mqtt.subscriptionservice", "$subctrl"] {
        bob.sender(service, service);
        for (id, subject, body) in [
            ("device", "list", raw::NULL.to_vec()),
            ("device", "close", raw::NULL.to_vec()),
            ("device", "subscribe", map(&[("t/2", raw::string("1"))])),
            ("device", "unsubscribe", raw::string("t")),
            ("lonely", "subscribe", map(&[("t/2", raw::string("1"))])),
        ] {
            let said = bob.send(service, &ask(id, subject).value(&body));
            assert_eq!(said, Said::Rejected(DENIED.to_owned()), "{subject}");
        }
        // His own session, and her address for the answer.
        let said = bob.send(service, &ask("bobs", "list").reply_to(&control_of("device")));
        assert_eq!(said, Said::Rejected(DENIED.to_owned()));
    }
    assert_eq!(bob.send("$subctrl", &ask("bobs", "subscribe").value(&map(&[("t", raw::string("1"))]))), ACCEPTED);
    // What she has is as it was, and his publications reach it as anybody's do.
    bob.sender("out", "t");
    assert_eq!(bob.send("out", &Post::of(b"hello").qos(1).durable(true)), ACCEPTED);
    assert_eq!(ann.take("in").payload, b"hello");
    assert_eq!(ann.send("ss", &ask("device", "list").reply_to(&control_of("device"))), ACCEPTED);
    assert_eq!(ann.take("control").value.get("t").and_then(|qos| qos.text()), Some("2"));
    ann.expect_nothing();
    // By MQTT the same, and from MQTT to AMQP.
    let mut mqtt = rig.as_user(V5, "bob").id("his").kept().open();
    mqtt.subscribe("t", 1);
    let refused = ann.attach("his", &publish_of("his"), false, &Link::default());
    assert_eq!(refused.expect_err("it is bob's"), DENIED);
    assert_eq!(ann.attach("his", "$lwt", true, &Link::default()).expect_err("it is bob's"), DENIED);
    mqtt.ping();
}

/// The subscription of a receiving link is no session: the service ends none and makes none.
#[test]
fn the_subscription_service_leaves_subscriptions_of_links_alone() {
    let Some(address) = address() else { return };
    let (container, topic) = (unique("holder"), unique("kept"));
    let mut other = with_service(address, &unique("other"));
    let mut client = Client::connect(address, &container);
    client.receiver("sub", &topic, 10);
    client.sender("out", &topic);
    let id = format!("$amqp/{container}/sub");
    for (id, subject, body) in [
        (&*id, "close", raw::NULL.to_vec()),
        (&*id, "list", raw::NULL.to_vec()),
        (&*id, "subscribe", map(&[("t", raw::string("1"))])),
        (&*id, "unsubscribe", raw::string(&topic)),
        ("$amqp/nobody", "subscribe", map(&[("t", raw::string("1"))])),
    ] {
        let said = other.send("ss", &ask(id, subject).value(&body));
        assert_eq!(said, Said::Rejected(DENIED.to_owned()), "{id} {subject}");
    }
    assert_eq!(client.send("out", &Post::of(b"still here").qos(1)), ACCEPTED);
    assert_eq!(client.take("sub").payload, b"still here");
}

/// Ids of bridges are theirs: no service makes, fills, lists or ends a session of that name, nor leaves a will in it.
#[test]
fn ids_of_bridges_are_nobody_else_s() {
    let Some(address) = address() else { return };
    let mut client = with_service(address, &unique("other"));
    let id = unique("bridge/b");
    for (subject, body) in [
        ("subscribe", map(&[("t", raw::string("1"))])),
        ("unsubscribe", raw::string("t")),
        ("list", raw::NULL.to_vec()),
        ("close", raw::NULL.to_vec()),
    ] {
        assert_eq!(client.send("ss", &ask(&id, subject).value(&body)), Said::Rejected(DENIED.to_owned()), "{subject}");
    }
    let own = publish_of(&id);
    assert_eq!(client.attach("in", &own, false, &Link::default()).expect_err("a bridge's"), DENIED);
    for id in [&id[..], "$amqp/container/link"] {
        assert_eq!(client.attach(id, "$lwt", true, &Link::default()).expect_err("a bridge's"), DENIED, "{id}");
    }
}

/// The access list holds for filters of sessions and topics of wills, and not for a client's own answers.
#[test]
fn the_access_list_holds_for_services() {
    use serde_json::json;
    let may = json!([{ "allow": ["subscribe", "publish"], "users": ["ann"], "topics": ["mine/#"] }]);
    let Some(rig) = Rig::start(Some(crate::access::rig::rules(may))) else { return };
    let mut ann = Client::connect_as(rig.at("amqp"), "ann", "ann", PASSWORD);
    ann.receiver("control", &control_of("ann"), 10);
    ann.sender("ss", "$mqtt.subscriptionservice");
    subscribe(&mut ann, "ann", &[("mine/#", 2)]);
    let asked = ask("ann", "subscribe").value(&map(&[("theirs", raw::string("1"))]));
    assert_eq!(ann.send("ss", &asked), Said::Rejected(DENIED.to_owned()));
    assert_eq!(ann.send("ss", &ask("ann", "list").reply_to(&control_of("ann"))), ACCEPTED);
    assert_eq!(ann.take("control").value.get("mine/#").and_then(|qos| qos.text()), Some("2"));
    ann.receiver("in", &publish_of("ann"), 10);
    ann.sender("pubrel", "$mqtt.ann.pubrel");
    ann.sender("out", "mine/1");
    assert_eq!(ann.send("out", &Post::of(b"data").qos(2).durable(true).id(3)), ACCEPTED);
    let got = ann.receive("in");
    assert_eq!(ann.send("pubrel", &Post::about("pubrel").id(3)), ACCEPTED);
    ann.settle(&got);
    assert_eq!(ann.take("in").subject(), "pubrel");
    ann.sender("ann", "$mqtt.lwtservice");
    let said = ann.send("ann", &Post::will("theirs", b"x", 1, false));
    assert!(matches!(said, Said::Detached(why) if why == DENIED || why.is_empty()));
}
