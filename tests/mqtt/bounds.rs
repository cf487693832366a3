//! What one client may make the broker hold, and what happens at the bound.

use crate::harness::property::*;
use crate::harness::*;

/// P07: topics behind aliases take a bounded number of bytes.
#[test]
fn long_topics_behind_aliases_have_an_end() {
    let mut publisher = client(V5);
    let maximum = publisher.connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or(0) as u16;
    for alias in 1..=maximum {
        let topic = char::from(b'a' + alias as u8 % 26).to_string().repeat(65_535);
        publisher.try_send_publish(&Publish::new(&topic, "x", 0).with(Property::Two(TOPIC_ALIAS, alias)));
    }
    assert_eq!(publisher.expect_closed(), Some(0x97));
}

/// P08: what is allowed is decided on the topic, not on its alias.
#[test]
fn an_alias_of_a_forbidden_topic_is_no_way_around() {
    let (own, mut watcher, mut publisher) = (unique("own"), client(V5), client(V5));
    watcher.subscribe("$SYS/broker/version", 0);
    watcher.messages();
    let aliased = |topic: &str| Publish::new(topic, "mine", 1).with(Property::Two(TOPIC_ALIAS, 1));
    let rows = [(&*own, false), ("", false), ("$SYS/broker/version", true), ("", true), (&own, false), ("", false)];
    for (at, (topic, forbidden)) in rows.into_iter().enumerate() {
        assert_eq!(publisher.publish(&aliased(topic)) == 0x87, forbidden, "publication {at}");
    }
    assert!(watcher.messages().iter().all(|message| message.text() != "mine"));
}

/// T17: a slow reader of very many retained messages costs nobody anything, and gets them all.
#[test]
fn a_slow_reader_of_many_retained_messages_hinders_nobody() {
    const COUNT: usize = 5000;
    let Some(broker) = Broker::start() else { return };
    let open = || connect(V5).at(broker.address()).open();
    let mut publisher = open();
    for number in 0..COUNT {
        let mut payload = vec![b'x'; 4096];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        publisher.send_publish(&Publish::new(&format!("many/{}/{number}", number % 7), payload, 0).retained());
    }
    publisher.ping();
    let mut slow = open();
    slow.send_subscribe(&[Subscription::new("many/#", 0)]);
    let mut other = open();
    other.subscribe("many/3/3", 1);
    assert_eq!(other.take().payload[..8], 3_u64.to_be_bytes());
    other.say("elsewhere", "x", 1);
    other.ping();
    // Twenty megabytes are on their way to a client that reads nothing; the broker holds a page of them.
    let shown = broker.admin().get(&format!("/api/v1/clients/{}", slow.id)).expect(200).json();
    assert!(shown["queued"].as_u64().is_some_and(|queued| queued < 2000), "{shown}");
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < COUNT {
        assert!(seen.insert(slow.delivery().payload[..8].to_vec()), "one came twice");
    }
    assert_eq!(slow.messages(), []);
}

/// T18: retained messages have a quota. What is there can be replaced, and what is cleared makes room.
#[test]
fn retained_messages_have_a_quota() {
    let Some(broker) = Broker::start_with(|config| config.broker.retained_max = 3) else { return };
    let mut publisher = connect(V5).at(broker.address()).open();
    let mut retain = |topic: &str, payload: &str| publisher.publish(&Publish::new(topic, payload, 1).retained());
    for topic in ["1", "2", "3"] {
        assert!(retain(topic, "x") < 0x80);
    }
    assert_eq!(retain("4", "x"), 0x97);
    assert!(retain("3", "y") < 0x80);
    assert!(retain("2", "") < 0x80);
    assert!(retain("4", "x") < 0x80);
    assert_eq!(retain("2", "x"), 0x97);
    // There is no word for no before 5.0.
    let mut old = connect(V311).at(broker.address()).open();
    old.send_publish(&Publish::new("5", "x", 1).retained());
    old.expect_closed();
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("#", 1);
    let mut kept: Vec<String> = subscriber.messages().into_iter().map(|message| message.topic).collect();
    kept.sort();
    assert_eq!(kept, ["1", "3", "4"]);
}

/// T19: what is no message is answered also while a client's queue is full.
#[test]
fn answers_pass_a_full_queue() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 5) else { return };
    let mut stuck = connect(V5).at(broker.address()).with(Property::Two(RECEIVE_MAXIMUM, 1)).open();
    stuck.subscribe("a", 1);
    let mut publisher = connect(V5).at(broker.address()).open();
    for _ in 0..6 {
        publisher.say("a", "x", 1);
    }
    for _ in 0..20 {
        publisher.send_publish(&Publish::new("a", "x", 0));
    }
    stuck.subscribe("b", 2);
    assert_eq!(stuck.unsubscribe(&["b", "c"]), [0, 0x11]);
    stuck.ping();
    stuck.say("elsewhere", "x", 2);
}

/// P18, S: sessions have a quota; who has one may come back.
#[test]
fn sessions_have_a_quota() {
    let Some(broker) = Broker::start_with(|config| config.broker.mailboxes_max = 2) else { return };
    let at = |version: Version| connect(version).at(broker.address()).kept();
    at(V5).id("one").open().disconnect();
    at(V311).id("two").open().disconnect();
    at(V5).id("three").refused(0x97);
    at(V311).id("three").refused(3);
    at(V5).id("one").resume().disconnect();
    connect(V311).at(broker.address()).id("two").open().disconnect();
    at(V5).id("three").open();
}

/// Q02: all 65,535 identifiers of a 3.1.1 client may be under way, which cannot be told of a bound.
#[test]
fn an_old_client_may_have_all_identifiers_under_way() {
    let topic = unique("all");
    let (mut publisher, mut subscriber) = (client(V311), client(V5));
    subscriber.subscribe(&format!("{topic}/last"), 2);
    for id in 1..=u16::MAX {
        publisher.send_publish(&Publish::new(&topic, "x", 2).id(id));
        if id % 512 == 0 || id == u16::MAX {
            publisher.acked(0x50, id);
        }
    }
    // The same again is the same message; after its release the identifier is free.
    publisher.send_publish(&Publish::new(&topic, "x", 2).id(1).duplicate());
    publisher.acked(0x50, 1);
    assert_eq!(publisher.release(1).code, 0);
    publisher.publish(&Publish::new(&format!("{topic}/last"), "y", 2).id(1));
    subscriber.expect(&format!("{topic}/last"), "y", 2);
}

/// What expired in a queue that nobody fetches keeps nobody out.
#[test]
fn a_queue_full_of_expired_messages_takes_new_ones() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 3) else { return };
    let (id, topic) = (unique("full"), unique("full"));
    let mut away = connect(V5).at(broker.address()).id(&id).kept().open();
    away.subscribe(&topic, 1);
    away.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    for number in 0..3 {
        let short = Publish::new(&topic, number.to_string(), 1).with(Property::Four(property::MESSAGE_EXPIRY, 5));
        assert_eq!(publisher.publish(&short), 0);
    }
    pass_at(broker.address(), 6);
    publisher.say(&topic, "new", 1);
    let mut back = connect(V5).at(broker.address()).id(&id).kept().resume();
    back.expect(&topic, "new", 1);
    back.expect_nothing();
}

/// Q12: a message that finds no room is not acknowledged, and what was acknowledged is there.
#[test]
fn nothing_is_acknowledged_that_a_full_queue_does_not_take() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 5) else { return };
    for version in ALL {
        let (id, topic) = (unique("full"), unique("full"));
        let at = |version: Version| connect(version).at(broker.address());
        let mut away = at(V5).id(&id).kept().open();
        away.subscribe(&topic, 1);
        away.disconnect();
        let mut publisher = at(version).open();
        for number in 0..5 {
            publisher.say(&topic, &number.to_string(), 1);
        }
        let refused = Publish::new(&topic, "too much", 1);
        if version == V5 {
            assert_eq!(publisher.publish(&refused), 0x97);
        } else {
            publisher.send_publish(&refused);
            publisher.expect_closed();
        }
        let mut back = at(V5).id(&id).kept().resume();
        for number in 0..5 {
            back.expect(&topic, &number.to_string(), 1);
        }
        back.expect_nothing();
    }
}

/// S05: a will is held to what its client may publish when it is left.
#[test]
fn a_will_to_a_name_of_the_brokers_own_is_refused() {
    for topic in ["$SYS/broker/version", "$SYS/x"] {
        connect(V5).will(Will::new(topic, "x")).refused(0x87);
        connect(V311).will(Will::new(topic, "x")).refused(5);
    }
    connect(V5).will(Will::new(&"/".repeat(200), "x")).refused(0x90);
    connect(V311).will(Will::new(&"/".repeat(200), "x")).refused(0);
}

/// S12: what belongs to one client or share is not taken for another's, however their names run together.
#[test]
fn names_that_run_together_stay_apart() {
    let Some(broker) = Broker::start() else { return };
    let rows =
        [("a", "b/c"), ("a/b", "c"), ("a/b/c", "x"), ("a\u{2028}b", "c"), ("ab", "/c"), ("1", "11"), ("11", "1")];
    for (id, filter) in rows {
        let mut client = connect(V5).at(broker.address()).id(id).kept().open();
        client.subscribe(filter, 1);
        client.subscribe(&format!("$share/s/{filter}"), 1);
        client.disconnect();
    }
    let broker = broker.restart();
    let mut publisher = connect(V5).at(broker.address()).open();
    for (_, filter) in rows {
        publisher.say(filter, filter, 1);
    }
    for (id, filter) in rows {
        let mut client = connect(V5).at(broker.address()).id(id).kept().resume();
        let got: Vec<String> = client.messages().iter().map(|message| message.text().to_owned()).collect();
        assert!(!got.is_empty() && got.iter().all(|text| text == filter), "{id} got {got:?}");
    }
}
