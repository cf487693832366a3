//! Between MQTT 5.0 and AMQP: each property of the translation both ways, request and reply, long messages.

use super::link::{Terms, source_with};
use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use super::{address, own};
use crate::harness::property as id;
use crate::harness::{Process, Property, Publish, V5, connect, guests, unique};

/// What an AMQP receiver is sent for an MQTT message with these properties: sections by number, and what is under a key or
/// in a place of them.
#[test]
fn each_property_of_mqtt_has_its_place_in_amqp() {
    let Some(address) = address() else { return };
    let node = unique("to-amqp");
    let mut peer = Peer::begun(address);
    peer.receiver("in", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
    let mut publisher = connect(V5).open();
    let mut send = |qos: u8, properties: &[Property]| {
        let mut message = Publish::new(&node, "m", qos);
        for property in properties {
            message = message.with(property.clone());
        }
        publisher.publish(&message);
        let got = peer.delivery();
        peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
        assert_eq!(got.text(), "m");
        got
    };
    let text = |text: &str| Value::Text(text.to_owned());
    // topic -> to
    assert_eq!(send(0, &[]).section(0x73).field(2), &text(&node));
    // QoS -> x-opt-mqtt-qos and durable
    for qos in 0..3 {
        let got = send(qos, &[]);
        assert_eq!(got.section(0x72).get("x-opt-mqtt-qos").number(), i128::from(qos));
        let durable = match got.section(0x70) {
            Value::Null => Value::Null,
            header => header.field(0).clone(),
        };
        assert_eq!(durable == Value::Bool(true), qos > 0, "{durable:?}");
    }
    // message expiry -> ttl in milliseconds, less what has passed
    let ttl = send(1, &[Property::Four(id::MESSAGE_EXPIRY, 60)]).section(0x70).field(2).number();
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    // content type, response topic, correlation data, payload format
    assert_eq!(send(1, &[Property::text(id::CONTENT_TYPE, "text/plain")]).section(0x73).field(6), &text("text/plain"));
    assert_eq!(send(1, &[Property::text(id::RESPONSE_TOPIC, "answers/1")]).section(0x73).field(4), &text("answers/1"));
    let correlated = send(1, &[Property::Binary(id::CORRELATION_DATA, vec![0, 255])]);
    assert_eq!(correlated.section(0x73).field(5).bytes(), [0, 255]);
    let uuid = b"urn:uuid:00112233-4455-6677-8899-aabbccddeeff".to_vec();
    let correlated = send(1, &[Property::Binary(id::CORRELATION_DATA, uuid)]);
    assert_eq!(correlated.section(0x73).field(5).bytes()[..4], [0, 0x11, 0x22, 0x33]);
    let formatted = send(1, &[Property::Byte(id::PAYLOAD_FORMAT, 1)]);
    assert_eq!(formatted.section(0x72).get("x-opt-mqtt-payload-format").number(), 1);
    // user properties, and those that come twice
    let user = send(1, &[Property::user("a", "1"), Property::user("b", "2")]);
    assert_eq!((user.section(0x74).get("a"), user.section(0x74).get("b")), (&text("1"), &text("2")));
    let twice = send(1, &[Property::user("a", "1"), Property::user("a", "2")]);
    assert!(matches!(twice.section(0x72).get("x-opt-mqtt-user-properties"), Value::List(_)), "{twice:?}");
}

#[test]
fn each_field_of_amqp_has_its_place_in_mqtt() {
    let Some(address) = address() else { return };
    let node = unique("to-mqtt");
    let mut subscriber = connect(V5).open();
    subscriber.subscribe(&node, 2);
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let mut sent = 0;
    let mut send = |sections: &[Vec<u8>]| {
        peer.send(&transfer(
            0,
            Some(sent),
            Some(&[1]),
            false,
            false,
            &[&sections.concat()[..], &message(b"m")].concat(),
        ));
        assert_eq!(peer.disposition().field(4).code(), 0x24);
        sent += 1;
        let got = subscriber.take();
        assert_eq!((got.topic.as_str(), got.text()), (node.as_str(), "m"));
        got
    };
    let annotated = |key: &str, value: &[u8]| described(0x72, &map(&[&symbol(key), value]));
    let properties = |at: usize, value: &[u8]| {
        let mut fields = vec![NULL; 13];
        fields[at] = value;
        described(0x73, &list(&fields))
    };
    let header = |fields: &[&[u8]]| described(0x70, &list(fields));
    // QoS: by annotation, else by durable
    for qos in 0..3 {
        assert_eq!(send(&[annotated("x-opt-mqtt-qos", &ubyte(qos))]).qos, qos);
    }
    assert_eq!(send(&[header(&[TRUE])]).qos, 1);
    assert_eq!(send(&[]).qos, 0);
    // ttl -> expiry in seconds, else absolute-expiry-time
    let expiry = |got: &Publish| got.properties.number(id::MESSAGE_EXPIRY);
    assert!(expiry(&send(&[header(&[TRUE, NULL, &uint(100_000)])])).is_some_and(|left| (60..=100).contains(&left)));
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let until = [&[0x83][..], &(now + 100_000).to_be_bytes()].concat();
    assert!(expiry(&send(&[properties(8, &until)])).is_some_and(|left| (60..=110).contains(&left)));
    // Some clients write one where they have nothing to say.
    for nothing in [0_i64, -62_135_596_800_000] {
        assert_eq!(expiry(&send(&[properties(8, &[&[0x83][..], &nothing.to_be_bytes()].concat())])), None);
    }
    // content-type, reply-to, correlation-id
    let got = send(&[properties(6, &symbol("text/plain"))]);
    assert_eq!(got.properties.text(id::CONTENT_TYPE), Some("text/plain"));
    assert_eq!(send(&[properties(4, &string("answers/1"))]).properties.text(id::RESPONSE_TOPIC), Some("answers/1"));
    let correlation = |got: Publish| got.properties.binary(id::CORRELATION_DATA).map(<[u8]>::to_vec);
    assert_eq!(correlation(send(&[properties(5, &binary(&[0, 255]))])), Some(vec![0, 255]));
    assert_eq!(correlation(send(&[properties(5, &string("q"))])), Some(b"q".to_vec()));
    let uuid = [&[0x98][..], &[0x11; 16]].concat();
    let said = correlation(send(&[properties(5, &uuid)])).expect("a correlation");
    assert_eq!(said, b"urn:uuid:11111111-1111-1111-1111-111111111111");
    // application properties that are scalars
    let pairs = described(0x74, &map(&[&string("a"), &string("x"), &string("n"), &[0x54, 7], &string("t"), TRUE]));
    let got = send(&[pairs]);
    assert_eq!(got.properties.user(), [("a", "x"), ("n", "7"), ("t", "true")]);
}

/// A module sees little of an AMQP message; the rest reaches AMQP receivers all the same, with what the module added.
#[test]
fn what_a_module_does_not_change_of_an_amqp_message_stays() {
    let Some(broker) = Process::start() else { return };
    let query = "?config=%7B%22version%22:%22one%22%7D";
    broker.admin().deploy(&format!("/api/v1/modules/stamp{query}"), &guests::component("echoes-version")).expect(200);
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("node", 1);
    let mut peer = Peer::begun(broker.amqp());
    peer.receiver("in", 0, &Terms { node: Some(source("node")), ..Terms::default() });
    peer.sender("out", 1, &Terms { node: Some(target("node")), ..Terms::default() });
    let mut fields = vec![NULL; 13];
    let (id, to, subject, group) = ([0x53, 7], string("elsewhere"), string("news"), string("g"));
    (fields[0], fields[2], fields[3], fields[10]) = (&id, &to, &subject, &group);
    let pairs = described(0x74, &map(&[&string("n"), &[0x54, 7], &string("t"), TRUE]));
    let value = described(0x77, &[0x54, 42]);
    let sent = [described(0x70, &list(&[TRUE])), described(0x73, &list(&fields)), pairs, value].concat();
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &sent));
    let got = peer.delivery();
    let said = got.section(0x73);
    assert_eq!(said.field(0).number(), 7);
    assert_eq!((said.field(2).text(), said.field(3).text(), said.field(10).text()), ("elsewhere", "news", "g"));
    let pairs = got.section(0x74);
    assert_eq!((pairs.get("n").number(), pairs.get("t"), pairs.get("version").text()), (7, &Value::Bool(true), "one"));
    assert!(matches!(got.section(0x77), Value::Described(0x77, value) if value.number() == 42), "{got:?}");
    let shown = subscriber.take();
    assert_eq!(shown.properties.user(), [("n", "7"), ("t", "true"), ("version", "one")]);
}

/// Time, count and annotations of a delivery are not the module's to say; of the time it sees what is left.
#[test]
fn what_is_the_brokers_own_of_a_message_no_module_says() {
    let Some((broker, address)) = own() else { return };
    broker.admin().deploy("/api/v1/modules/own?order=5", &guests::component("beside")).expect(200);
    let mut peer = Peer::begun(address);
    peer.receiver("in", 0, &Terms { node: Some(source("there")), ..Terms::default() });
    let mut client = connect(V5).at(broker.address()).open();
    client.say("there", "no time", 1);
    let got = peer.delivery();
    assert_eq!((got.section(0x70).field(2), got.section(0x71)), (&Value::Null, Value::Null), "ttl, annotations");
    client.publish(&Publish::new("there", "a minute", 1).with(Property::Four(id::MESSAGE_EXPIRY, 60)));
    let ttl = peer.delivery().section(0x70).field(2).number();
    assert!((1_000..=60_000).contains(&ttl), "{ttl}");
    client.subscribe("back", 1);
    peer.sender("out", 1, &Terms { node: Some(target("back")), ..Terms::default() });
    let sections = [described(0x70, &list(&[TRUE, NULL, &uint(60_000)])), message(b"m")].concat();
    peer.send(&transfer(1, Some(0), Some(&[1]), false, false, &sections));
    let got = client.take();
    let left: u32 = got.properties.user_value("ttl").and_then(|left| left.parse().ok()).expect("what is left");
    assert!((1_000..=60_000).contains(&left), "{left}");
}

/// What was on its way when the broker went is put into the subscriber's form again (MQTT-4.4.0-1).
#[test]
fn a_message_from_amqp_is_sent_again_in_words_of_mqtt_after_a_restart() {
    let Some(broker) = Process::start() else { return };
    let mut subscriber = connect(V5).at(broker.address()).id("s").kept().open();
    subscriber.subscribe("node", 1);
    let mut peer = Peer::begun(broker.amqp());
    peer.sender("out", 0, &Terms { node: Some(target("node")), ..Terms::default() });
    let sent = [described(0x70, &list(&[TRUE])), message(b"m")].concat();
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &sent));
    assert_eq!(peer.disposition().field(4).code(), 0x24);
    assert_eq!(subscriber.delivery().text(), "m");
    let broker = broker.kill_and_start();
    let mut subscriber = connect(V5).at(broker.address()).id("s").kept().open();
    let again = subscriber.take();
    assert_eq!((again.text(), again.duplicate), ("m", true));
}

/// An MQTT 5.0 client asks an AMQP one, and the other way round.
#[test]
fn request_and_reply_cross_both_ways() {
    let Some(address) = address() else { return };
    let (service, answers) = (unique("service"), unique("answers"));
    // Asked by MQTT, answered by AMQP through a relay.
    let mut peer = Peer::begun(address);
    peer.receiver("in", 0, &Terms { node: Some(source(&service)), ..Terms::default() });
    peer.sender("relay", 1, &Terms { node: Some(performative(0x29, &[NULL])), ..Terms::default() });
    let mut asker = connect(V5).open();
    asker.subscribe(&answers, 1);
    let question = Publish::new(&service, "question", 1);
    let question = question.with(Property::text(id::RESPONSE_TOPIC, &answers));
    asker.publish(&question.with(Property::Binary(id::CORRELATION_DATA, b"7".to_vec())));
    let got = peer.delivery();
    let asked = got.section(0x73);
    let fields = [NULL, NULL, &string(asked.field(4).text()), NULL, NULL, &binary(asked.field(5).bytes())];
    let answer = [described(0x70, &list(&[TRUE])), described(0x73, &list(&fields)), message(b"answer")].concat();
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &answer));
    let reply = asker.expect(&answers, "answer", 1);
    assert!(reply.properties.0.contains(&Property::Binary(id::CORRELATION_DATA, b"7".to_vec())));
    // Asked by AMQP with a dynamic node, answered by MQTT.
    let mut servant = connect(V5).open();
    servant.subscribe(&format!("{service}/2"), 1);
    let dynamic = performative(0x28, &[NULL, NULL, NULL, NULL, TRUE]);
    let told = peer.receiver("replies", 2, &Terms { node: Some(dynamic), ..Terms::default() });
    let node = told.field(5).field(0).text().to_owned();
    let fields = [NULL, NULL, &string(&format!("{service}/2")), NULL, &string(&node), &string("id-1")];
    let question = [described(0x70, &list(&[TRUE])), described(0x73, &list(&fields)), message(b"question")].concat();
    peer.send(&transfer(1, Some(1), Some(b"u"), false, false, &question));
    let got = servant.take();
    let to = got.properties.text(id::RESPONSE_TOPIC).expect("where to").to_owned();
    let answer = Publish::new(&to, "answer", 1);
    servant.publish(&answer.with(Property::Binary(id::CORRELATION_DATA, b"id-1".to_vec())));
    let reply = peer.delivery();
    assert_eq!((reply.text().as_str(), reply.section(0x73).field(5).text()), ("answer", "id-1"));
}

#[test]
fn ten_megabytes_cross_both_ways() {
    let Some(address) = address() else { return };
    let node = unique("long");
    let body: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut subscriber = connect(V5).open();
    subscriber.subscribe(&format!("{node}/mqtt"), 1);
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&format!("{node}/mqtt"))), ..Terms::default() });
    let text: Vec<u8> = body.iter().map(|byte| b'a' + byte % 26).collect();
    let long = |code: u8, bytes: &[u8]| [&[code][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat();
    // Data, and a value of bytes or of text, as clients put them that are given one of these.
    let rows = [
        (message(&body), &body),
        (described(0x77, &long(0xB0, &body)), &body),
        (described(0x77, &long(0xB1, &text)), &text),
    ];
    for (sent, (bare, expected)) in (0..).zip(rows) {
        let payload = [described(0x70, &list(&[TRUE])), bare].concat();
        let parts = payload.chunks(100_000);
        let last = parts.len() - 1;
        for (n, part) in parts.enumerate() {
            let (id, tag) = if n == 0 { (Some(sent), Some(&b"t"[..])) } else { (None, None) };
            peer.send(&transfer(0, id, tag, false, n < last, part));
        }
        assert_eq!(peer.disposition().field(4).code(), 0x24);
        assert!(subscriber.take().payload == *expected, "not what was sent");
    }
    peer.receiver("in", 1, &Terms { node: Some(source(&format!("{node}/amqp"))), ..Terms::default() });
    subscriber.publish(&Publish::new(&format!("{node}/amqp"), &body, 1));
    let (mut got, mut more) = (Vec::new(), true);
    while more {
        let frame = peer.find(0x14);
        let (head, part) = Value::read(&frame);
        more = *head.field(5) == Value::Bool(true);
        got.extend_from_slice(part);
    }
    let sections = Value::sections(&got);
    let Some(Value::Described(0x75, data)) = sections.last() else { panic!("no data") };
    assert!(data.bytes() == body, "not what was sent");
}

/// As much as one packet of MQTT may have: it was acknowledged.
#[test]
fn all_properties_of_a_packet_cross_to_amqp() {
    let Some(address) = address() else { return };
    let node = unique("properties");
    let mut peer = Peer::begun(address);
    peer.receiver("in", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
    let long = "v".repeat(65_000);
    let mut message = Publish::new(&node, "m", 1).with(Property::text(id::CONTENT_TYPE, &long));
    message = message.with(Property::Binary(id::CORRELATION_DATA, vec![1; 65_000]));
    // One name, so that they stand twice in what is made of them.
    for _ in 0..8 {
        message = message.with(Property::user("k", &long));
    }
    connect(V5).open().publish(&message);
    let (mut got, mut more) = (Vec::new(), true);
    while more {
        let frame = peer.find(0x14);
        let (head, part) = Value::read(&frame);
        more = *head.field(5) == Value::Bool(true);
        got.extend_from_slice(part);
    }
    assert!(Value::sections(&got).iter().any(|section| section.code() == 0x75) && got.len() > 512 << 10);
}

/// What has no room in a guest is refused in so many words, and no module is blamed for it.
#[test]
fn what_is_too_large_to_be_translated_is_refused_to_its_sender() {
    let Some(broker) = crate::harness::Broker::start() else { return };
    let node = unique("large");
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe(&node, 1);
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let long = "l".repeat(800 << 10);
    let items = |count: usize| (0..count).flat_map(|n| [string(&format!("k{n}")), string("v")]).collect::<Vec<_>>();
    let map = |items: &[Vec<u8>]| {
        let body = [&(items.len() as u32).to_be_bytes()[..], &items.concat()].concat();
        [&[0xD1][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    };
    let lists = described(0x77, &map(&[string("k"), string(&long), string("l"), string(&long)]));
    let rows = [
        [described(0x74, &map(&[string("k"), string(&long)])), message(b"m")].concat(),
        [described(0x74, &map(&items(3_000))), message(b"m")].concat(),
        lists,
    ];
    for (sent, bare) in (0..).zip(rows.iter().cycle().take(9)) {
        let payload = [described(0x70, &list(&[TRUE])), bare.clone()].concat();
        let parts = payload.chunks(50_000);
        let last = parts.len() - 1;
        for (n, part) in parts.enumerate() {
            let (id, tag) = if n == 0 { (Some(sent), Some(&b"t"[..])) } else { (None, None) };
            peer.send(&transfer(0, id, tag, false, n < last, part));
        }
        assert_eq!(peer.disposition().field(4).code(), 0x25, "{sent}");
    }
    let translate = broker.admin().get("/api/v1/modules/translate").expect(200).json();
    assert_eq!((&translate["state"], &translate["failures"]), (&"active".into(), &0.into()), "{translate}");
    peer.send(&transfer(0, Some(9), Some(b"t"), false, false, &message(b"small")));
    assert_eq!(peer.disposition().field(4).code(), 0x24);
    assert_eq!(subscriber.take().text(), "small");
}

/// A client's id and a queue's address are names of different things, over a restart, too; whichever was there first.
#[test]
fn a_queue_and_a_client_may_have_the_same_name() {
    let Some((mut broker, mut address)) = own() else { return };
    let names = ["/queues/jobs", "orders", "/queues/dead-letters"];
    let node = |name: &str| performative(0x29, &[&string(name), NULL, NULL, NULL, NULL, NULL, &symbol("queue")]);
    let post = |address, name: &str| {
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(node(name)), ..Terms::default() });
        peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(name.as_bytes())));
        assert_eq!(peer.disposition().field(4).code(), 0x24, "{name}");
    };
    post(address, names[0]);
    for name in names {
        let mut client = connect(V5).at(broker.address()).id(name).kept().open();
        client.subscribe("t", 1);
        client.disconnect();
    }
    connect(V5).at(broker.address()).open().say("t", "for the client", 1);
    for restarts in [false, true] {
        if restarts {
            broker = broker.restart();
            address = broker.at("amqp");
        }
        for name in names {
            post(address, name);
        }
    }
    for (name, count) in names.into_iter().zip([3, 2, 2]) {
        let mut client = connect(V5).at(broker.address()).id(name).kept().resume();
        client.expect("t", "for the client", 1);
        let mut peer = Peer::begun(address);
        let asked = source_with(name, 0, "session-end", None, &["queue"]);
        peer.receiver("in", 0, &Terms { node: Some(asked), ..Terms::default() });
        for _ in 0..count {
            assert_eq!(peer.delivery().text(), name);
        }
        assert!(peer.is_drained(0, count), "{name}");
        client.expect_nothing();
    }
}

/// What says of itself how long it lives twice lives no longer than either (3.2.1, 3.2.4); and what lives longer than `ttl`
/// can say says until when.
#[test]
fn a_message_expires_when_the_first_of_its_times_is_over_and_no_sooner() {
    let Some(address) = address() else { return };
    let node = unique("expires");
    let mut subscriber = connect(V5).open();
    subscriber.subscribe(&node, 1);
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        i64::try_from(since.as_millis()).expect("a time")
    };
    for (number, (ttl, until, bounds)) in (0..).zip([(100_000, 50_000, 20..=50), (50_000, 100_000, 20..=50)]) {
        let until = [&[0x83][..], &(now() + until).to_be_bytes()].concat();
        let mut fields = vec![NULL; 13];
        fields[8] = &until;
        let header = described(0x70, &list(&[TRUE, NULL, &uint(ttl)]));
        let sent = [header, described(0x73, &list(&fields)), message(b"m")].concat();
        peer.send(&transfer(0, Some(number), Some(&[1]), false, false, &sent));
        assert_eq!(peer.disposition().field(4).code(), 0x24);
        let left = subscriber.take().properties.number(id::MESSAGE_EXPIRY);
        assert!(left.is_some_and(|left| bounds.contains(&left)), "{left:?}");
    }
    peer.receiver("in", 1, &Terms { node: Some(source(&node)), ..Terms::default() });
    let long = Publish::new(&node, "m", 1).with(Property::Four(id::MESSAGE_EXPIRY, u32::MAX));
    let before = now();
    connect(V5).open().publish(&long);
    let got = peer.delivery();
    assert_eq!(got.section(0x70).field(2), &Value::Null, "{got:?}");
    let until = got.section(0x73).field(8).number() - i128::from(before) - i128::from(u32::MAX) * 1000;
    // The broker's clock runs on from its start: each of the two is cut to milliseconds, and the system's may be set meanwhile.
    assert!((-1_000..=60_000).contains(&until), "{until}");
}
