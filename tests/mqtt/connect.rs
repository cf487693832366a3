//! CONNECT and CONNACK: who is let in, as whom, and what is granted.

use crate::harness::property::*;
use crate::harness::*;

#[test]
fn a_client_is_let_in_and_may_go() {
    for version in ALL {
        let mut client = client(version);
        // [MQTT-3.2.2-2], [MQTT-3.2.2-1]: a clean start finds no session.
        assert!(!client.connack.present);
        client.ping();
        client.disconnect();
    }
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7]
#[test]
fn an_empty_id_is_replaced_by_one_of_the_brokers_making() {
    let (first, second) = (connect(V5).id("").open(), connect(V5).id("").open());
    assert!(first.connack.properties.text(ASSIGNED_CLIENT_ID).is_some_and(|id| !id.is_empty()));
    assert_ne!(first.id, second.id);

    let (mut first, mut second) = (connect(V311).id("").open(), connect(V311).id("").open());
    first.ping();
    second.ping();
}

#[test]
fn an_assigned_id_may_be_used_again() {
    let first = connect(V5).id("").session_expiry(60).open();
    let id = first.id.clone();
    first.disconnect();
    let again = connect(V5).id(&id).clean(false).session_expiry(60).resume();
    assert_eq!(again.connack.properties.text(ASSIGNED_CLIENT_ID), None);
}

/// [MQTT-3.2.2-16]
#[test]
fn a_given_id_is_not_assigned() {
    assert_eq!(client(V5).connack.properties.text(ASSIGNED_CLIENT_ID), None);
}

/// [MQTT-3.1.3-8] of 3.1.1, F22
#[test]
fn an_empty_id_without_clean_session_is_refused() {
    connect(V311).id("").clean(false).refused(0x02);
}

#[test]
fn an_empty_id_without_clean_start_is_assigned_one() {
    assert!(connect(V5).id("").clean(false).open().connack.properties.text(ASSIGNED_CLIENT_ID).is_some());
}

/// MQTT 3.1, CONNECT: "between 1 and 23 characters long", a longer one is rejected with return code 2: where the operator wants
/// it, for clients have longer ones. [MQTT-3.1.3-5] lets later versions have them.
#[test]
fn in_3_1_an_id_has_1_to_23_characters_where_that_is_wanted() {
    connect(V31).id("").refused(0x02);
    let stem = format!("{:x}", std::process::id());
    let padded = |letter: &str, count: usize| stem.clone() + &letter.repeat(count - stem.len());
    connect(V31).id(&padded("x", 40)).open().ping();
    let Some(broker) = Broker::start_with(|config| config.mqtt.client_id_characters_max_3_1 = 23) else { return };
    for letter in ["x", "ß"] {
        connect(V31).at(broker.address()).id(&padded(letter, 23)).open().ping();
        connect(V31).at(broker.address()).id(&padded(letter, 24)).refused(0x02);
        connect(V311).at(broker.address()).id(&padded(letter, 24)).open().ping();
    }
}

/// [MQTT-3.1.3-5], F23
#[test]
fn ids_of_any_characters_are_names_and_nothing_else() {
    let long = "x".repeat(1000);
    for version in BOTH {
        for stem in ["a/b", "+", "#", "%c%u", "../../etc", "(a+)+$", "\u{feff}ß温度", "$SYS", " ", long.as_str()] {
            let id = unique(stem);
            connect(version).id(&id).kept().open().disconnect();
            connect(version).id(&id).kept().resume().disconnect();
            connect(version).id(&id).clean(true).open().disconnect();
        }
    }
}

/// Mailboxes of AMQP's receivers, and of bridges, have names of their own, under which no MQTT client speaks.
#[test]
fn an_id_that_belongs_to_a_receiver_of_amqp_or_to_a_bridge_is_refused() {
    for id in ["$amqp/container/link", "bridge/name", "bridge/"] {
        for clean in [false, true] {
            connect(V5).id(id).clean(clean).refused(0x87);
            connect(V311).id(id).clean(clean).refused(5);
        }
    }
    connect(V5).id(&unique("$amqp")).open().ping();
    connect(V5).id(&unique("bridge")).open().ping();
}

#[test]
fn a_name_and_a_password_are_no_hindrance_where_nobody_checks_them() {
    for version in ALL {
        connect(version).user("somebody").open().ping();
        connect(version).user("somebody").password(b"secret").open().ping();
        connect(version).user("").password(b"\0\xff").open().ping();
    }
}

#[test]
fn everything_a_client_may_say_at_connect_is_taken() {
    let mut client = connect(V5)
        .with(Property::Four(SESSION_EXPIRY, 10))
        .with(Property::Two(RECEIVE_MAXIMUM, 20))
        .with(Property::Four(MAXIMUM_PACKET_SIZE, 100_000))
        .with(Property::Two(TOPIC_ALIAS_MAXIMUM, 5))
        .with(Property::Byte(REQUEST_RESPONSE_INFORMATION, 1))
        .with(Property::Byte(REQUEST_PROBLEM_INFORMATION, 1))
        .with(Property::user("a", "1"))
        .with(Property::user("a", "2"))
        .open();
    client.ping();
}

/// [MQTT-3.2.2-9], [MQTT-3.2.2-13] and their like: what is not said is offered in full.
#[test]
fn the_broker_offers_all_of_the_protocol() {
    let offered = client(V5).connack.properties;
    assert_eq!(offered.number(MAXIMUM_QOS), None);
    for id in [RETAIN_AVAILABLE, WILDCARD_AVAILABLE, SUBSCRIPTION_IDENTIFIERS_AVAILABLE, SHARED_AVAILABLE] {
        assert_ne!(offered.number(id), Some(0), "property {id:02x}");
    }
    assert_ne!(offered.number(RECEIVE_MAXIMUM), Some(0));
}

/// [MQTT-3.1.4-5]: the client need not wait for CONNACK.
/// Mosquitto's bridges say that they are some by the highest bit of the level, and count on the options of 5.0 then.
#[test]
fn a_bridge_is_sent_nothing_of_its_own_and_retain_flags_as_they_were() {
    for version in [V31, V311] {
        let topic = unique("bridge");
        let mut bytes = connect(version).id(&unique("bridge")).bytes();
        // Behind the fixed header and the protocol's name.
        bytes[if version == V31 { 10 } else { 8 }] |= 0x80;
        let mut bridge = Client::dial(address(), version);
        bridge.send(&bytes);
        assert!(matches!(bridge.receive(), Packet::Connack(Connack { code: 0, .. })));
        bridge.subscribe(&format!("{topic}/#"), 1);
        bridge.say(&format!("{topic}/own"), "x", 1);
        client(V5).publish(&Publish::new(&format!("{topic}/other"), "y", 1).retained());
        assert!(bridge.expect(&format!("{topic}/other"), "y", 1).retain);
        bridge.expect_nothing();
    }
}

#[test]
fn packets_may_follow_connect_at_once() {
    for version in BOTH {
        let topic = unique("pipelined");
        let mut client = connect(version).sent();
        let name = topic.as_bytes();
        let length = [0, name.len() as u8];
        let properties: &[u8] = if version == V5 { &[0] } else { &[] };
        let mut all = raw(0x82, &[&[0, 9], properties, &length[..], name, &[1]].concat());
        all.extend(raw(0x32, &[&length[..], name, &[0, 10], properties, b"early"].concat()));
        client.send(&all);
        assert!(matches!(client.receive(), Packet::Connack(Connack { code: 0, .. })));
        assert!(matches!(client.receive(), Packet::Suback(granted) if granted.id == 9 && granted.codes == [1]));
        client.acked(0x40, 10);
        client.expect(&topic, "early", 1);
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]
#[test]
fn a_message_too_large_for_its_receiver_is_left_out() {
    for qos in [0, 1, 2] {
        let topic = unique("large");
        let mut small = connect(V5).with(Property::Four(MAXIMUM_PACKET_SIZE, 100)).open();
        let mut large = client(V5);
        small.subscribe(&topic, qos);
        large.subscribe(&topic, qos);
        let mut publisher = client(V5);
        let long = "x".repeat(100);
        publisher.say(&topic, &long, qos);
        publisher.say(&topic, "short", qos);
        small.expect(&topic, "short", qos);
        small.expect_nothing();
        large.expect(&topic, &long, qos);
        large.expect(&topic, "short", qos);
    }
}

/// [MQTT-3.1.2-29]: with Request Problem Information 0 only CONNACK, PUBLISH and DISCONNECT may explain themselves.
#[test]
fn reasons_are_not_told_to_whom_does_not_want_them() {
    let mut client = connect(V5).with(Property::Byte(REQUEST_PROBLEM_INFORMATION, 0)).open();
    client.send_publish(&Publish::new(&unique("nobody"), "x", 1).id(1));
    assert_eq!(client.acked(0x40, 1).properties, Properties::default());
    client.send(&hex("62 02 00 07"));
    let unknown = client.acked(0x70, 7);
    assert_eq!(unknown.properties, Properties::default());
}

/// [MQTT-3.2.2-19], [MQTT-3.1.2-24]: also where the answer is no.
#[test]
fn a_refusal_leaves_its_reason_out_where_it_does_not_fit() {
    for (bytes_max, explained) in [(30, false), (200, true)] {
        let refused = connect(V5).with(Property::Four(MAXIMUM_PACKET_SIZE, bytes_max)).will(Will::new("#", "x"));
        let Packet::Connack(answer) = refused.sent().receive() else { panic!("expected CONNACK") };
        assert_eq!((answer.code, answer.properties.text(REASON_STRING).is_some()), (0x90, explained));
    }
}

/// [MQTT-3.1.4-5], [MQTT-3.1.2-24], [MQTT-3.1.2-8]: a CONNECT whose CONNACK its client would not take is refused before it does
/// anything: nobody is taken over, no session ends, and no will is left.
#[test]
fn a_client_that_would_not_hear_that_it_is_in_changes_nothing() {
    for bytes_max in [1, 4, 5, 10, 15] {
        let (id, topic, gone) = (unique("small"), unique("small"), unique("gone"));
        let mut first = connect(V5).id(&id).kept().open();
        first.subscribe(&topic, 1);
        let mut watcher = client(V5);
        watcher.subscribe(&gone, 1);
        let small = connect(V5).id(&id).clean(true).with(Property::Four(MAXIMUM_PACKET_SIZE, bytes_max));
        let mut small = small.will(Will::new(&gone, "x").qos(1)).sent();
        match small.try_receive() {
            Ok(Packet::Connack(answer)) if bytes_max >= 5 => {
                assert_eq!((answer.code, answer.present, answer.properties), (0x95, false, Properties::default()));
                small.expect_closed();
            }
            Err(End::Closed) if bytes_max < 5 => {}
            other => panic!("{bytes_max}: {other:?}"),
        }
        watcher.say(&topic, "still here", 1);
        first.expect(&topic, "still here", 1);
        watcher.expect_nothing();
    }
}

/// [MQTT-3.2.0-1], [MQTT-3.1.2-24]: whatever bound on packets a client has, it hears whether it is in. MQTT 5.0, 3.2.2.3.15:
/// Response Information may be left out, and is where only it does not fit.
#[test]
fn a_client_hears_whether_it_is_in_whatever_bound_it_has() {
    let Some(broker) = Broker::start_with(|config| {
        config.mqtt.response_information = "answers/".repeat(5);
        config.mqtt.keep_alive_seconds_max = 10;
        config.broker.expiry_seconds_max = 60;
    }) else {
        return;
    };
    for (id, expiry_seconds) in [("", 0), ("", 100), ("given", 0), ("given", 100)] {
        let (mut taken, mut informed) = (false, false);
        for bytes_max in 5..150 {
            let mut small = connect(V5).at(broker.address()).id(id).session_expiry(expiry_seconds);
            small = small.with(Property::Four(MAXIMUM_PACKET_SIZE, bytes_max));
            let mut small = small.with(Property::Byte(REQUEST_RESPONSE_INFORMATION, 1)).sent();
            let Packet::Connack(answer) = small.receive() else { panic!("expected CONNACK") };
            let has_information = answer.properties.text(RESPONSE_INFORMATION).is_some();
            assert!(matches!((answer.code, taken), (0, _) | (0x95, false)), "{id} {bytes_max} {answer:?}");
            assert!(has_information || !informed, "{id} {bytes_max} {answer:?}");
            // Without it there is room for more than 40 bytes less.
            assert!(!has_information || taken, "{id} {bytes_max} {answer:?}");
            (taken, informed) = (answer.code == 0, has_information);
        }
        assert!(taken && informed, "{id} {expiry_seconds}");
    }
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]: the client says goodbye and the broker closes.
#[test]
fn after_disconnect_nothing_is_said() {
    for version in ALL {
        let mut client = client(version);
        client.send(&hex("E0 00"));
        assert_eq!(client.expect_closed(), None);
    }
}

/// [MQTT-3.1.4-6], [MQTT-3.1.4-5] of 3.1.1: what follows a CONNECT that was refused is not looked at.
#[test]
fn what_follows_a_refused_connect_is_ignored() {
    for version in ALL {
        let topic = unique("ignored");
        let mut watcher = client(version);
        watcher.subscribe(&topic, 0);
        let mut refused = connect(version).will(Will::new("#", "x")).sent();
        refused.try_send_publish(&Publish::new(&topic, "x", 0));
        while refused.try_receive().is_ok() {}
        client(version).say(&topic, "y", 0);
        watcher.expect(&topic, "y", 0);
    }
}
