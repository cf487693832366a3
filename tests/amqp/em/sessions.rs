//! The subscription service: EM-13 to EM-19, EM-23, EM-24, EM-27, EM-28.

use super::client::{ACCEPTED, Client, Link, Post, Said};
use super::value::Value;
use super::{control_of, publish_of};
use crate::amqp::raw;
use crate::amqp::{address, own};
use crate::harness::{BOTH, Packet, V5, client, connect, unique};
use std::net::SocketAddr;

const SERVICE: &str = "$mqtt.subscriptionservice";

/// A client that has the service on link `ss` and its answers on link `control`.
pub fn with_service(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::connect(address, id);
    client.receiver("control", &control_of(id), 100);
    client.sender("ss", SERVICE);
    client
}

pub fn ask(id: &str, subject: &str) -> Post {
    Post::about(subject).correlation(&publish_of(id))
}

pub fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<Vec<u8>> = pairs.iter().flat_map(|(name, value)| [raw::string(name), value.clone()]).collect();
    raw::map(&items.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub fn subscribe(client: &mut Client, id: &str, filters: &[(&str, u8)]) {
    let pairs: Vec<(&str, Vec<u8>)> =
        filters.iter().map(|(name, qos)| (*name, raw::string(&qos.to_string()))).collect();
    assert_eq!(client.send("ss", &ask(id, "subscribe").value(&map(&pairs))), ACCEPTED);
}

/// What a session is subscribed to, and whether it was there before.
fn list(client: &mut Client, id: &str) -> (Vec<(String, String)>, bool) {
    assert_eq!(client.send("ss", &ask(id, "list").reply_to(&control_of(id))), ACCEPTED);
    let answer = client.take("control");
    assert_eq!((answer.subject(), answer.to()), ("subscriptions", &control_of(id)[..]));
    assert_eq!(answer.properties.field(5).text(), Some(&publish_of(id)[..]), "correlation-id");
    (pairs(&answer.value), answer.annotations.get("x-opt-mqtt-session-present").expect("our annotation").is_true())
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let Value::Map(pairs) = value else { panic!("a map: {value:?}") };
    let text = |value: &Value| match value {
        Value::Number(number) => format!("number {number}"),
        other => other.text().expect("text").to_owned(),
    };
    let mut pairs: Vec<_> = pairs.iter().map(|(name, qos)| (text(name), text(qos))).collect();
    pairs.sort();
    pairs
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.iter().map(|(name, qos)| ((*name).to_owned(), (*qos).to_owned())).collect();
    pairs.sort();
    pairs
}

#[test]
fn em_13_the_list_of_an_unknown_client_is_empty() {
    let Some(address) = address() else { return };
    let id = unique("em13");
    let mut client = with_service(address, &id);
    assert_eq!(list(&mut client, &id), (vec![], false));
    // To attach to it is not to have had it.
    client.receiver("in", &publish_of(&id), 10);
    assert_eq!(list(&mut client, &id), (vec![], false));
    client.close();
    let mut client = with_service(address, &id);
    assert_eq!(list(&mut client, &id), (vec![], false), "nothing was ever asked of it");
}

/// All is said in one breath; the answer still comes first.
#[test]
fn em_14_the_list_of_a_known_client_is_whole_and_comes_before_any_message() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em14"), unique("em14"));
    let mut client = with_service(address, &id);
    let (one, two) = (format!("{topic}/1"), format!("{topic}/2/#"));
    subscribe(&mut client, &id, &[(&one, 1), (&two, 2)]);
    client.close();
    let mut publisher = connect(V5).open();
    publisher.say(&one, "one", 1);
    publisher.say(&format!("{topic}/2/x"), "two", 2);
    let mut client = Client::connect(address, &id);
    let mut bytes = client.attach_bytes("control", &control_of(&id), false, &Link::default());
    bytes.extend(client.flow_bytes("control", 10));
    bytes.extend(client.attach_bytes("ss", SERVICE, true, &Link::default()));
    bytes.extend(client.transfer_bytes("ss", b"t", false, &ask(&id, "list").reply_to(&control_of(&id)).bytes()).1);
    bytes.extend(client.attach_bytes("in", &publish_of(&id), false, &Link::default()));
    bytes.extend(client.flow_bytes("in", 10));
    client.peer.send(&bytes);
    let answer = client.any();
    assert_eq!(answer.link, "control");
    assert_eq!(pairs(&answer.value), expected(&[(&one, "1"), (&two, "2")]));
    assert!(answer.annotations.get("x-opt-mqtt-session-present").expect("our annotation").is_true());
    assert_eq!(client.take("in").payload, b"one");
    assert_eq!(client.take("in").payload, b"two");
}

#[test]
fn em_15_close_wipes_the_session() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em15"), unique("em15"));
    let mut client = with_service(address, &id);
    subscribe(&mut client, &id, &[(&topic, 1)]);
    client.close();
    let mut publisher = connect(V5).open();
    publisher.say(&topic, "lost", 1);
    let mut client = with_service(address, &id);
    assert_eq!(client.send("ss", &ask(&id, "close")), ACCEPTED);
    assert_eq!(list(&mut client, &id), (vec![], false));
    client.receiver("in", &publish_of(&id), 10);
    publisher.say(&topic, "lost too", 1);
    client.expect_nothing();
    // A receiver that is there goes on with an empty session.
    subscribe(&mut client, &id, &[(&topic, 1)]);
    publisher.say(&topic, "one", 1);
    assert_eq!(client.take("in").payload, b"one");
    assert_eq!(client.send("ss", &ask(&id, "close")), ACCEPTED);
    publisher.say(&topic, "lost", 1);
    subscribe(&mut client, &id, &[(&topic, 1)]);
    publisher.say(&topic, "two", 1);
    assert_eq!(client.take("in").payload, b"two");
    client.expect_nothing();
    // MQTT finds nothing of it after that.
    assert_eq!(client.send("ss", &ask(&id, "close")), ACCEPTED);
    client.close();
    assert!(!connect(V5).id(&id).kept().open().connack.present);
}

/// Filters by every type of QoS, many at once; what is retained goes to the session alone, and before what comes live.
#[test]
fn em_16_many_filters_and_retained_messages_before_live_ones() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em16"), unique("em16"));
    let mut publisher = connect(V5).open();
    let mut bystander = client(V5);
    bystander.subscribe(&format!("{topic}/#"), 2);
    let kept: Vec<String> = (0..20).map(|number| format!("{topic}/{number}")).collect();
    for name in &kept {
        publisher.publish(&crate::harness::Publish::new(name, "kept", 1).retained());
        bystander.expect(name, "kept", 1);
    }
    let mut client = with_service(address, &id);
    client.receiver("in", &publish_of(&id), 100);
    let qos: [Vec<u8>; 5] =
        [raw::string("1"), raw::ubyte(1), raw::uint(1), vec![0x54, 1], [&[0x81][..], &1i64.to_be_bytes()].concat()];
    let filters: Vec<(&str, Vec<u8>)> =
        kept.iter().enumerate().map(|(at, name)| (name.as_str(), qos[at % 5].clone())).collect();
    assert_eq!(client.send("ss", &ask(&id, "subscribe").value(&map(&filters))), ACCEPTED);
    for name in &kept {
        publisher.say(name, "live", 1);
    }
    let got: Vec<_> = (0..40).map(|_| client.take("in")).collect();
    for (at, one) in got.iter().enumerate() {
        let expected: &[u8] = if at < 20 { b"kept" } else { b"live" };
        assert_eq!((&one.payload[..], one.retain(), one.qos()), (expected, at < 20, Some(1)), "{at}");
        assert!(kept.iter().any(|name| name == one.to()));
    }
    kept.iter().for_each(|name| drop(bystander.expect(name, "live", 1)));
    bystander.expect_nothing();
}

#[test]
fn em_17_a_subscribe_that_is_rejected_leaves_nothing_behind() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em17"), unique("em17"));
    let mut client = with_service(address, &id);
    subscribe(&mut client, &id, &[(&topic, 1)]);
    let bad = format!("{topic}/#/bad");
    let filters =
        map(&[(&format!("{topic}/new")[..], raw::string("1")), (&topic, raw::string("2")), (&bad, raw::string("0"))]);
    let refused = client.send("ss", &ask(&id, "subscribe").value(&filters));
    assert_eq!(refused, Said::Rejected("amqp:invalid-field".to_owned()));
    assert_eq!(list(&mut client, &id).0, expected(&[(&topic, "1")]), "what was there before is as it was");
    for body in [raw::string("no map"), map(&[(&topic, raw::ubyte(3))]), map(&[(&topic, raw::string("x"))])] {
        let refused = client.send("ss", &ask(&id, "subscribe").value(&body));
        assert_eq!(refused, Said::Rejected("amqp:precondition-failed".to_owned()));
    }
    // [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a share has a name and a filter.
    for share in ["$share//a", "$share/g", "$share/g+/a"] {
        let refused = client.send("ss", &ask(&id, "subscribe").value(&map(&[(share, raw::string("1"))])));
        assert_eq!(refused, Said::Rejected("amqp:invalid-field".to_owned()), "{share}");
    }
    client.receiver("in", &publish_of(&id), 10);
    connect(V5).open().say(&format!("{topic}/new"), "no route", 1);
    client.expect_nothing();
    // A session that never was is not made either.
    let other = format!("{id}-other");
    let refused = client.send("ss", &ask(&other, "subscribe").value(&filters));
    assert!(matches!(refused, Said::Rejected(_)));
    assert!(!connect(V5).id(&other).kept().open().connack.present);
}

/// 1.6, 2 and 3: with a reply-to, and filter by filter with our capability.
#[test]
fn results_of_each_filter_come_on_demand() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("each"), unique("each"));
    let bad = format!("{topic}/#/bad");
    let filters = map(&[(&topic, raw::string("2")), (&bad, raw::string("0"))]);
    let mut client = with_service(address, &id);
    let asked = ask(&id, "subscribe").value(&filters).reply_to(&control_of(&id)).id(7);
    assert!(matches!(client.send("ss", &asked), Said::Rejected(_)));
    let answer = client.take("control");
    assert_eq!((answer.subject(), answer.message_id()), ("subscribed", &Value::Number(7)));
    assert_eq!(pairs(&answer.value), expected(&[(&topic, "number 128"), (&bad, "number 143")]));
    let link = Link { desires: Some("x-opt-mqtt-filter-results"), ..Link::default() };
    client.attach("each", SERVICE, true, &link).expect("a link");
    assert_eq!(client.send("each", &asked), ACCEPTED);
    assert_eq!(pairs(&client.take("control").value), expected(&[(&topic, "number 2"), (&bad, "number 143")]));
    assert_eq!(list(&mut client, &id).0, expected(&[(&topic, "2")]));
    let names = raw::list(&[&raw::string(&topic), &raw::string("never")]);
    assert_eq!(client.send("ss", &ask(&id, "unsubscribe").value(&names).reply_to(&control_of(&id))), ACCEPTED);
    let answer = client.take("control");
    assert_eq!(answer.subject(), "unsubscribed");
    assert_eq!(pairs(&answer.value), expected(&[(&topic, "number 0"), ("never", "number 17")]));
}

#[test]
fn em_18_unsubscribe_takes_a_list_a_text_or_a_map() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em18"), unique("em18"));
    let mut client = with_service(address, &id);
    let names: Vec<String> = (0..7).map(|number| format!("{topic}/{number}")).collect();
    let all: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    subscribe(&mut client, &id, &all);
    let sequence = raw::described(0x76, &raw::list(&[&raw::string(&names[5])]));
    let value = |value: &[u8]| raw::described(0x77, value);
    let bodies = [
        value(&raw::list(&[&raw::string(&names[0]), &raw::string(&names[1])])),
        value(&raw::string(&names[2])),
        value(&map(&[(&names[3], raw::NULL.to_vec())])),
        value(&raw::symbol(&names[4])),
        sequence,
    ];
    for (body, left) in bodies.into_iter().zip([5, 4, 3, 2, 1]) {
        let asked = Post { body, ..ask(&id, "unsubscribe") };
        assert_eq!(client.send("ss", &asked), ACCEPTED);
        assert_eq!(list(&mut client, &id).0.len(), left);
    }
    assert_eq!(list(&mut client, &id).0, expected(&[(&names[6], "1")]));
    client.receiver("in", &publish_of(&id), 10);
    let mut publisher = connect(V5).open();
    names.iter().for_each(|name| publisher.say(name, "x", 1));
    assert_eq!(client.take("in").to(), names[6]);
    client.expect_nothing();
}

/// The session leaves by one protocol and comes back by the other with its queue, in both directions, and over a restart.
#[test]
fn em_19_a_session_changes_its_protocol_with_its_queue() {
    let Some((broker, amqp)) = own() else { return };
    for (number, version) in BOTH.into_iter().enumerate() {
        let (id, topic) = (format!("em19-{number}"), format!("em19/{number}"));
        let mut publisher = connect(version).at(broker.address()).open();
        let mut mqtt = connect(version).at(broker.address()).id(&id).kept().open();
        mqtt.subscribe(&topic, 2);
        mqtt.disconnect();
        for (payload, qos) in [("one", 1), ("two", 2)] {
            publisher.say(&topic, payload, qos);
        }
        let mut client = with_service(amqp, &id);
        assert_eq!(list(&mut client, &id), (expected(&[(&topic, "2")]), true));
        client.receiver("in", &publish_of(&id), 1);
        let got = client.take("in");
        assert_eq!((&got.payload[..], got.to(), got.qos()), (&b"one"[..], &topic[..], Some(1)));
        client.cut();
        // What was not taken, and what came meanwhile, comes by MQTT.
        publisher.say(&topic, "three", 1);
        let mut mqtt = connect(version).at(broker.address()).id(&id).kept().resume();
        mqtt.expect(&topic, "two", 2);
        mqtt.expect(&topic, "three", 1);
        mqtt.disconnect();
        publisher.say(&topic, "four", 1);
    }
    let broker = broker.restart();
    let mut client = with_service(broker.at("amqp"), "em19-0");
    client.receiver("in", &publish_of("em19-0"), 10);
    assert_eq!(client.take("in").payload, b"four");
    let mut mqtt = connect(V5).at(broker.address()).id("em19-1").kept().resume();
    mqtt.expect("em19/1", "four", 1);
}

/// 1.6, 9: whoever comes later has the session, by whatever protocol.
#[test]
fn protocols_take_a_session_over_from_each_other() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("taken"), unique("taken"));
    let mut mqtt = connect(V5).id(&id).kept().open();
    mqtt.subscribe(&topic, 1);
    let mut client = with_service(address, &id);
    client.receiver("in", &publish_of(&id), 10);
    mqtt.expect_disconnect(0x8E);
    let mut publisher = connect(V5).open();
    publisher.say(&topic, "to amqp", 1);
    let unsettled = client.receive("in");
    assert_eq!(unsettled.payload, b"to amqp");
    let mut mqtt = connect(V5).id(&id).kept().resume();
    assert_eq!(client.expect_detach("in"), "amqp:link:stolen");
    assert!(mqtt.expect(&topic, "to amqp", 1).duplicate);
    // From one AMQP connection to another.
    let mut first = Client::connect(address, "first");
    first.receiver("in", &publish_of(&id), 10);
    mqtt.expect_disconnect(0x8E);
    let mut second = Client::connect(address, "second");
    second.receiver("in", &publish_of(&id), 10);
    assert_eq!(first.expect_detach("in"), "amqp:link:stolen");
    publisher.say(&topic, "to the second", 1);
    assert_eq!(second.take("in").payload, b"to the second");
}

/// [MQTT-4.4.0-1], 4.3.3: what an MQTT client was sent at QoS 2 and another protocol has taken since is released under its
/// identifier when the MQTT client is back, also after a restart: it may have the message and would take a later one under that
/// identifier for a repetition.
#[test]
fn releases_wait_for_their_client_while_another_protocol_has_the_session() {
    let Some((mut broker, mut amqp)) = own() else { return };
    for (version, restarts) in [(BOTH[0], false), (BOTH[1], false), (BOTH[1], true)] {
        let (id, topic) = (unique("owed"), unique("owed"));
        let mut mqtt = connect(version).at(broker.address()).id(&id).kept().open();
        mqtt.subscribe(&topic, 2);
        let mut publisher = connect(V5).at(broker.address()).open();
        ["one", "two", "three"].iter().for_each(|payload| publisher.say(&topic, payload, 2));
        let ids: Vec<u16> = (0..3).map(|_| mqtt.delivery().id).collect();
        // The first one is with its receiver, of the others nobody knows.
        mqtt.ack(0x50, ids[0]);
        mqtt.acked(0x62, ids[0]);
        mqtt.cut();
        let mut client = with_service(amqp, &id);
        client.receiver("in", &publish_of(&id), 10);
        assert_eq!([client.take("in").payload, client.take("in").payload], [b"two".to_vec(), b"three".to_vec()]);
        client.close();
        if restarts {
            broker = broker.restart();
            amqp = broker.at("amqp");
        }
        let mut mqtt = connect(version).at(broker.address()).id(&id).kept().resume();
        for id in ids {
            assert!(matches!(mqtt.receive(), Packet::Pubrel(release) if release.id == id), "{version:?}");
            mqtt.ack(0x70, id);
        }
        connect(V5).at(broker.address()).open().say(&topic, "four", 2);
        mqtt.expect(&topic, "four", 2);
        mqtt.disconnect();
        connect(version).at(broker.address()).id(&id).kept().resume().expect_nothing();
    }
}

/// Set, replaced, fetched by a wildcard and deleted by every body that says nothing.
#[test]
fn em_23_retained_messages_by_annotation() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em23"), unique("em23"));
    let mut client = Client::connect(address, &id);
    let empty = [
        Post::of(b""),
        Post::default(),
        Post::default().value(raw::NULL),
        Post::default().value(&raw::string("")),
        Post::default().value(&raw::binary(b"")),
    ];
    for (number, empty) in empty.into_iter().enumerate() {
        let name = format!("{topic}/{number}");
        client.sender(&name, &name);
        for payload in [&b"one"[..], b"two"] {
            assert_eq!(client.send(&name, &Post::of(payload).retain(true).qos(1)), ACCEPTED);
        }
        // Without the annotation nothing is kept.
        assert_eq!(client.send(&name, &Post::of(b"live").qos(1)), ACCEPTED);
        client.receiver(&format!("in-{number}"), &format!("{topic}/+"), 10);
        let got = client.take(&format!("in-{number}"));
        assert_eq!((&got.payload[..], got.retain()), (&b"two"[..], true));
        client.detach(&format!("in-{number}"), true, None);
        let mut mqtt = connect(V5).open();
        mqtt.subscribe(&format!("{topic}/#"), 1);
        assert!(mqtt.expect(&name, "two", 1).retain);
        assert_eq!(client.send(&name, &empty.retain(true)), ACCEPTED);
        let mut late = connect(V5).open();
        late.subscribe(&format!("{topic}/#"), 1);
        late.expect_nothing();
    }
    // By the older annotation, also as a delivery annotation, and by MQTT.
    let name = format!("{topic}/0");
    client.send(&name, &Post::of(b"old").with("x-opt-retain", raw::TRUE.to_vec()));
    let of_delivery = raw::map(&[&raw::symbol("x-opt-qos"), &raw::ubyte(2), &raw::symbol("x-opt-retain"), raw::TRUE]);
    let bytes = [raw::described(0x71, &of_delivery), Post::of(b"older").bytes()].concat();
    assert_eq!(client.send_bytes(&name, &bytes), ACCEPTED);
    client.receiver("in", &format!("{topic}/#"), 10);
    assert_eq!(client.take("in").payload, b"older");
    let mut mqtt = connect(V5).open();
    mqtt.subscribe(&name, 2);
    mqtt.expect(&name, "older", 2);
    connect(V5).open().publish(&crate::harness::Publish::new(&name, "", 1).retained());
    let mut late = connect(V5).open();
    late.subscribe(&format!("{topic}/#"), 1);
    late.expect_nothing();
}

#[test]
fn em_24_every_alias_of_every_address_works() {
    let Some(address) = address() else { return };
    for service in ["$mqtt.lwtservice", "$mqtt.willservice", "$lwt"] {
        let (id, topic) = (unique("em24"), unique("em24"));
        let mut watcher = client(V5);
        watcher.subscribe(&topic, 1);
        let mut client = Client::connect(address, &id);
        client.sender(&id, service);
        assert_eq!(client.send(&id, &Post::will(&topic, b"will", 1, false)), ACCEPTED);
        client.cut();
        watcher.expect(&topic, "will", 1);
    }
    for service in [SERVICE, "$subctrl"] {
        let (id, topic) = (unique("em24"), unique("em24"));
        let mut client = Client::connect(address, &id);
        let told = |name| client.open_properties.get(name).and_then(Value::text);
        assert_eq!(told("x-opt-mqtt-will-service"), Some("$mqtt.lwtservice"));
        assert_eq!(told("x-opt-mqtt-subscription-service"), Some(SERVICE));
        assert_eq!((told("product"), told("version").is_some()), (Some("Pliant"), true));
        client.receiver("control", &control_of(&id), 10);
        client.sender("ss", service);
        subscribe(&mut client, &id, &[(&topic, 1)]);
        assert_eq!(list(&mut client, &id).0, expected(&[(&topic, "1")]));
    }
    // One address for both, as at first.
    let (id, topic) = (unique("em24"), unique("em24"));
    let single = format!("$mqtt.to.{id}");
    let mut client = Client::connect(address, &id);
    client.receiver("in", &single, 10);
    client.sender("ss", SERVICE);
    let asked = |subject| Post::about(subject).correlation(&single).reply_to(&single);
    assert_eq!(client.send("ss", &asked("subscribe").value(&map(&[(&topic, raw::string("1"))]))), ACCEPTED);
    assert_eq!(client.take("in").subject(), "subscribed");
    assert_eq!(client.send("ss", &asked("list")), ACCEPTED);
    assert_eq!(pairs(&client.take("in").value), expected(&[(&topic, "1")]));
    connect(V5).open().say(&topic, "message", 1);
    assert_eq!(client.take("in").payload, b"message");
    // By the name of the link where the message says nothing, and over the anonymous terminus.
    client.sender(&id, "$subctrl");
    assert_eq!(client.send(&id, &Post::about("list").reply_to(&single)), ACCEPTED);
    assert_eq!(pairs(&client.take("in").value), expected(&[(&topic, "1")]));
    client.sender("relay", "");
    assert_eq!(client.send("relay", &asked("list").to(SERVICE)), ACCEPTED);
    assert_eq!(pairs(&client.take("in").value), expected(&[(&topic, "1")]));
    assert_eq!(client.send("ss", &asked("list_topics")), ACCEPTED);
    let answer = client.take("in");
    assert_eq!((answer.subject(), &answer.value), ("topics", &Value::List(vec![Value::Text(topic)])));
    for wrong in ["$mqtt.else", "$mqtt.to.x.publish", "$mqtt.to.x.control", "$cbs"] {
        assert_eq!(client.attach(wrong, wrong, true, &Link::default()).expect_err(wrong), "amqp:not-found");
    }
    for wrong in ["$mqtt.else", "$mqtt.lwtservice", SERVICE, "$mqtt.x.pubrel", "$cbs"] {
        assert_eq!(client.attach(wrong, wrong, false, &Link::default()).expect_err(wrong), "amqp:not-found");
    }
}

#[test]
fn em_27_the_subject_of_a_publication_is_its_own() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em27"), unique("em27"));
    let mut client = with_service(address, &id);
    subscribe(&mut client, &id, &[(&topic, 2)]);
    client.receiver("in", &publish_of(&id), 10);
    client.receiver("plain", &topic, 10);
    client.sender("out", &topic);
    for subject in ["will", "will-clear", "list", "close", "subscribe", "pubrel", "mine"] {
        assert_eq!(client.send("out", &Post::of(b"data").subject(subject).qos(2).id(9)), ACCEPTED);
        for link in ["in", "plain"] {
            let got = client.take(link);
            assert_eq!((got.subject(), &got.payload[..], got.message_id()), (subject, &b"data"[..], &Value::Number(9)));
        }
    }
}

#[test]
fn em_28_an_unknown_subject_is_not_implemented() {
    let Some(address) = address() else { return };
    let id = unique("em28");
    let mut client = with_service(address, &id);
    client.sender("pubrel", &format!("$mqtt.{id}.pubrel"));
    for (link, post) in [("ss", ask(&id, "else")), ("ss", Post::default()), ("pubrel", Post::about("else"))] {
        assert_eq!(client.send(link, &post), Said::Rejected("amqp:not-implemented".to_owned()));
    }
    // A request for nobody is one that cannot be met.
    for correlation in ["", "nobody", "$mqtt.to."] {
        let asked = Post::about("list").correlation(correlation);
        assert_eq!(client.send("ss", &asked), Said::Rejected("amqp:precondition-failed".to_owned()));
    }
    client.close();
}

/// 1.7: what MQTT 5.0 says in options and properties.
#[test]
fn options_of_a_subscription_come_as_annotations() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("options"), unique("options"));
    let mut publisher = connect(V5).open();
    publisher.publish(&crate::harness::Publish::new(&format!("{topic}/kept"), "kept", 1).retained());
    let mut client = with_service(address, &id);
    client.receiver("in", &publish_of(&id), 100);
    client.sender("out", &topic);
    let filters = |name: &str| map(&[(name, raw::ubyte(1))]);
    let with_options = ask(&id, "subscribe")
        .value(&filters(&format!("{topic}/#")))
        .with("x-opt-mqtt-retain-handling", raw::ubyte(2))
        .with("x-opt-mqtt-no-local", raw::TRUE.to_vec())
        .with("x-opt-mqtt-retain-as-published", raw::TRUE.to_vec())
        .with("x-opt-mqtt-subscription-id", raw::uint(77));
    assert_eq!(client.send("ss", &with_options), ACCEPTED);
    assert_eq!(client.send("out", &Post::of(b"my own").qos(1)), ACCEPTED);
    client.expect_nothing();
    publisher.publish(&crate::harness::Publish::new(&topic, "live", 1).retained());
    let got = client.take("in");
    assert_eq!((&got.payload[..], got.retain()), (&b"live"[..], true));
    assert_eq!(got.delivery_annotations.get("x-opt-mqtt-subscription-id"), Some(&Value::Number(77)));
    assert_eq!(client.send("ss", &ask(&id, "unsubscribe").value(&raw::string(&format!("{topic}/#")))), ACCEPTED);
    // A share: of two members one gets each message.
    let other = format!("{id}-other");
    let shared = format!("$share/group/{topic}/shared");
    let mut second = with_service(address, &other);
    second.receiver("in", &publish_of(&other), 100);
    subscribe(&mut client, &id, &[(&shared, 1)]);
    subscribe(&mut second, &other, &[(&shared, 1)]);
    assert_eq!(list(&mut second, &other).0, expected(&[(&shared, "1")]));
    for _ in 0..10 {
        publisher.say(&format!("{topic}/shared"), "shared", 1);
    }
    assert_eq!(client.settled_inbox() + second.settled_inbox(), 10);
}

/// 1.7; MQTT 5.0, 3.8.2.1.2, 3.8.3.1: refused there with a malformed packet.
#[test]
fn options_that_mqtt_does_not_have_are_refused() {
    let Some(address) = address() else { return };
    let id = unique("options");
    let mut client = with_service(address, &id);
    for (name, value) in [
        ("x-opt-mqtt-retain-handling", raw::ubyte(3)),
        ("x-opt-mqtt-retain-handling", raw::string("never")),
        ("x-opt-mqtt-subscription-id", raw::uint(0)),
        ("x-opt-mqtt-subscription-id", raw::uint(268_435_456)),
        ("x-opt-mqtt-subscription-id", raw::TRUE.to_vec()),
    ] {
        let asked = ask(&id, "subscribe").value(&map(&[("t", raw::ubyte(1))])).with(name, value);
        assert_eq!(client.send("ss", &asked), Said::Rejected("amqp:precondition-failed".to_owned()), "{name}");
    }
    assert_eq!(list(&mut client, &id).0, expected(&[]));
}

/// 1.7: a session ends with its time.
#[test]
fn a_session_expires() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("expiry"), unique("expiry"));
    let mut client = with_service(address, &id);
    let filters = map(&[(&topic, raw::ubyte(1))]);
    let asked = ask(&id, "subscribe").value(&filters).with("x-opt-mqtt-session-expiry", raw::uint(0));
    assert_eq!(client.send("ss", &asked), ACCEPTED);
    client.receiver("in", &publish_of(&id), 10);
    connect(V5).open().say(&topic, "live", 1);
    assert_eq!(client.take("in").payload, b"live");
    client.detach("in", true, None);
    assert_eq!(list(&mut client, &id), (vec![], false));
    // Another time lets it be found.
    assert_eq!(client.send("ss", &ask(&id, "subscribe").value(&filters)), ACCEPTED);
    let asked = ask(&id, "list").reply_to(&control_of(&id)).with("x-opt-mqtt-session-expiry", raw::uint(3600));
    assert_eq!(client.send("ss", &asked.with("x-opt-mqtt-integer-qos", raw::TRUE.to_vec())), ACCEPTED);
    assert_eq!(pairs(&client.take("control").value), expected(&[(&topic, "number 1")]));
    client.close();
    assert!(connect(V5).id(&id).kept().open().connack.present);
}
