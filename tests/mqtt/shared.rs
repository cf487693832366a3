//! Shared subscriptions (5.0, 4.8.2).

use crate::harness::*;
use std::collections::BTreeSet;

fn group(topic: &str, members: usize, qos: u8) -> Vec<Client> {
    let join = |_| {
        let mut member = client(V5);
        member.subscribe(&format!("$share/group/{topic}"), qos);
        member
    };
    (0..members).map(join).collect()
}

/// 4.8.2: each message goes to one member of the group.
#[test]
fn each_message_reaches_one_member() {
    for qos in 0..3 {
        let topic = unique("share");
        let mut members = group(&topic, 3, qos);
        let mut publisher = client(V5);
        for number in 0..90 {
            publisher.say(&topic, &number.to_string(), qos);
        }
        let mut got = Vec::new();
        for member in &mut members {
            let before = got.len();
            member.ping();
            while !member.is_silent_for(std::time::Duration::from_millis(50)) {
                got.push(member.take().text().to_owned());
            }
            assert!(got.len() > before, "a member got nothing");
        }
        let different: BTreeSet<_> = got.iter().collect();
        assert_eq!((got.len(), different.len()), (90, 90));
    }
}

/// 4.8.2: groups of different names and ordinary subscriptions know nothing of each other.
#[test]
fn groups_and_ordinary_subscribers_each_get_their_own() {
    let topic = unique("groups");
    let (mut one, mut two, mut plain) = (client(V5), client(V5), client(V311));
    one.subscribe(&format!("$share/one/{topic}"), 1);
    two.subscribe(&format!("$share/two/{topic}"), 1);
    plain.subscribe(&topic, 1);
    client(V5).say(&topic, "x", 1);
    for client in [&mut one, &mut two, &mut plain] {
        client.expect(&topic, "x", 1);
        client.expect_nothing();
    }
}

/// One client with a shared and an ordinary subscription has two subscriptions.
#[test]
fn a_member_that_also_subscribes_alone_gets_both() {
    let topic = unique("both");
    let mut member = client(V5);
    member.subscribe(&topic, 1);
    member.subscribe(&format!("$share/g/{topic}"), 1);
    client(V5).say(&topic, "x", 1);
    member.expect(&topic, "x", 1);
    member.expect(&topic, "x", 1);
    member.expect_nothing();
}

/// 3.8.3.1: no retained messages for a shared subscription.
#[test]
fn retained_messages_are_not_sent_to_a_group() {
    let topic = unique("retained");
    let mut publisher = client(V5);
    publisher.publish(&Publish::new(&topic, "x", 1).retained());
    group(&topic, 1, 1)[0].expect_nothing();
    publisher.publish(&Publish::new(&topic, "", 1).retained());
}

#[test]
fn a_member_that_unsubscribes_gets_nothing_more() {
    let topic = unique("leave");
    let mut members = group(&topic, 2, 1);
    members[0].unsubscribe(&[&format!("$share/group/{topic}")]);
    let mut publisher = client(V5);
    for number in 0..10 {
        publisher.say(&topic, &number.to_string(), 1);
        members[1].expect(&topic, &number.to_string(), 1);
    }
    members[0].expect_nothing();
}

/// 4.8.2.2: what a member whose session ends had not acknowledged goes to another one.
#[test]
fn unacknowledged_messages_of_a_member_that_goes_are_not_lost() {
    let topic = unique("inherit");
    let mut members = group(&topic, 2, 1);
    let mut publisher = client(V5);
    for number in 0..20 {
        publisher.say(&topic, &number.to_string(), 1);
    }
    let mut leaving = members.remove(0);
    let mut held = BTreeSet::new();
    leaving.ping();
    while !leaving.is_silent_for(std::time::Duration::from_millis(50)) {
        held.insert(leaving.delivery().text().to_owned());
    }
    assert!(!held.is_empty());
    leaving.disconnect();
    let got: BTreeSet<String> = (0..20).map(|_| members[0].take().text().to_owned()).collect();
    assert_eq!(got.len(), 20);
}

/// [MQTT-3.3.1-12]: what is handed over goes by the options of whoever gets it.
#[test]
fn what_is_handed_over_has_the_retain_flag_that_its_new_member_wants() {
    for wanted in [false, true] {
        let (topic, value) = (unique("inherit"), Property::Two(property::RECEIVE_MAXIMUM, 1));
        let filter = format!("$share/group/{topic}");
        let option = |wants: bool| {
            let plain = Subscription::new(&filter, 1);
            if wants { plain.retain_as_published() } else { plain }
        };
        let mut leaving = connect(V5).with(value).open();
        leaving.subscribe_with([], &[option(!wanted)]);
        client(V5).publish(&Publish::new(&topic, "x", 1).retained());
        assert_eq!(leaving.delivery().retain, !wanted);
        let mut heir = client(V5);
        heir.subscribe_with([], &[option(wanted)]);
        leaving.disconnect();
        assert_eq!(heir.expect(&topic, "x", 1).retain, wanted);
    }
}

/// What waits behind the full window of a member goes to another one with its session.
#[test]
fn a_member_whose_window_is_full_loses_nothing() {
    let topic = unique("full");
    let mut stuck = connect(V5).with(Property::Two(property::RECEIVE_MAXIMUM, 1)).open();
    stuck.subscribe(&format!("$share/group/{topic}"), 1);
    let mut members = group(&topic, 1, 1);
    let mut publisher = client(V5);
    for number in 0..20 {
        publisher.say(&topic, &number.to_string(), 1);
    }
    stuck.delivery();
    stuck.expect_nothing();
    stuck.disconnect();
    let got: BTreeSet<String> = (0..20).map(|_| members[0].take().text().to_owned()).collect();
    assert_eq!(got.len(), 20);
    members[0].expect_nothing();
}

/// T07, [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a share name is not empty and holds no wildcard, and a filter follows.
#[test]
fn a_share_that_is_none_is_refused() {
    for filter in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/#/a", "$share/"] {
        let mut client = client(V5);
        client.send(&raw(0x82, &[&[0, 1, 0, 0, filter.len() as u8], filter.as_bytes(), &[0]].concat()));
        match client.receive() {
            Packet::Suback(granted) => assert_eq!(granted.codes, [0x8F], "{filter}"),
            Packet::Disconnect(farewell) => assert!(matches!(farewell.code, 0x81 | 0x82 | 0x8F), "{filter}"),
            other => panic!("{filter}: {other:?}"),
        }
    }
}

/// A shared subscription is part of the session.
#[test]
fn a_group_of_one_queues_while_its_member_is_away() {
    let (id, topic) = (unique("away"), unique("away"));
    let mut member = connect(V5).id(&id).kept().open();
    member.subscribe(&format!("$share/g/{topic}"), 1);
    member.disconnect();
    client(V5).say(&topic, "x", 1);
    connect(V5).id(&id).kept().resume().expect(&topic, "x", 1);
}

/// [MQTT-4.8.2-3]: each member gets its copies at the QoS that it was granted.
#[test]
fn a_member_gets_no_more_than_its_qos() {
    let topic = unique("granted");
    for granted in [0, 1, 2] {
        let mut member = group(&topic, 1, granted).remove(0);
        client(V5).say(&topic, "x", 2);
        member.expect(&topic, "x", granted);
        member.disconnect();
    }
}

/// [MQTT-4.8.2-4]: a delivery at QoS 2 that has begun is brought to its end with the same member.
#[test]
fn a_qos_2_message_under_way_waits_for_its_member() {
    let (id, topic) = (unique("begun"), unique("begun"));
    let filter = format!("$share/group/{topic}");
    let mut chosen = connect(V5).id(&id).kept().open();
    chosen.subscribe(&filter, 2);
    client(V5).say(&topic, "x", 2);
    let message = chosen.delivery();
    let mut other = group(&topic, 1, 2).remove(0);
    chosen.cut();
    other.expect_nothing();
    let again = connect(V5).id(&id).kept().resume().take();
    assert_eq!((again.id, again.text(), again.duplicate), (message.id, "x", true));
    other.expect_nothing();
}

/// [MQTT-4.8.2-5]: if that member's session ends, nobody gets it. What was not yet sent goes to others.
#[test]
fn a_qos_2_message_under_way_to_a_member_that_goes_reaches_nobody_else() {
    let topic = unique("ended");
    let mut chosen = connect(V5).with(Property::Two(property::RECEIVE_MAXIMUM, 1)).open();
    chosen.subscribe(&format!("$share/group/{topic}"), 2);
    let mut publisher = client(V5);
    publisher.say(&topic, "begun", 2);
    publisher.say(&topic, "waiting", 2);
    assert_eq!(chosen.delivery().text(), "begun");
    let mut other = group(&topic, 1, 2).remove(0);
    chosen.disconnect();
    other.expect(&topic, "waiting", 2);
    other.expect_nothing();
}

/// [MQTT-4.8.2-6]: what its member refuses is not offered to another one.
#[test]
fn a_message_that_its_member_refuses_is_over() {
    for qos in [1, 2] {
        let topic = unique("refused");
        let mut chosen = group(&topic, 1, qos).remove(0);
        client(V5).say(&topic, "x", qos);
        let message = chosen.delivery();
        let mut other = group(&topic, 1, qos).remove(0);
        chosen.send(&raw([0, 0x40, 0x50][usize::from(qos)], &[&message.id.to_be_bytes()[..], &[0x83]].concat()));
        chosen.ping();
        other.expect_nothing();
        chosen.disconnect();
        other.expect_nothing();
    }
}

/// [MQTT-3.1.2-25] lets the broker choose; no message is lost for want of a member that takes it: what is too large for one goes
/// to another, whoever's turn it was. Where it is too large for all it counts as sent.
#[test]
fn what_is_too_large_for_a_member_goes_to_another() {
    for qos in [1, 2] {
        let topic = unique("large");
        let filter = format!("$share/g/{topic}");
        let join = || {
            let mut member = connect(V5).with(Property::Four(property::MAXIMUM_PACKET_SIZE, 100)).open();
            member.subscribe(&filter, qos);
            member
        };
        let (mut small, mut smaller, mut publisher) = (join(), join(), client(V5));
        let mut large = client(V5);
        large.subscribe(&filter, qos);
        for number in 0..9 {
            publisher.say(&topic, &format!("{number}{}", "x".repeat(200)), qos);
        }
        let mut got: Vec<String> = (0..9).map(|_| large.take().text()[..1].to_owned()).collect();
        got.sort();
        assert_eq!(got.concat(), "012345678");
        large.expect_nothing();
        large.disconnect();
        publisher.say(&topic, &"y".repeat(200), qos);
        publisher.say(&topic, "z", qos);
        let other = [&mut small, &mut smaller].into_iter().map(|member| member.messages().len()).sum::<usize>();
        assert_eq!(other, 1);
    }
}

/// 4.8.2: what is at-least-once may be sent to another member when the connection breaks.
#[test]
fn what_was_sent_to_a_member_that_comes_back_for_smaller_packets_goes_to_another() {
    let (id, topic) = (unique("member"), unique("shrunk"));
    let filter = format!("$share/g/{topic}");
    let mut member = connect(V5).id(&id).kept().open();
    member.subscribe(&filter, 1);
    let mut publisher = client(V5);
    for text in ["one", "two"] {
        publisher.say(&topic, &format!("{text}{}", "x".repeat(100)), 1);
        assert_eq!(&member.delivery().text()[..3], text);
    }
    let mut other = client(V5);
    other.subscribe(&filter, 1);
    member.cut();
    let small = Property::Four(property::MAXIMUM_PACKET_SIZE, 60);
    let mut member = connect(V5).id(&id).kept().with(small).open();
    assert!(member.connack.present);
    for text in ["one", "two"] {
        assert_eq!(&other.take().text()[..3], text);
    }
    member.expect_nothing();
}
