//! Subscription options of 5.0: No Local, Retain As Published, Retain Handling (3.8.3.1).

use crate::harness::*;

/// [MQTT-3.3.1-9] of 3.1.1, whatever options the session got when its client spoke 5.0.
#[test]
fn options_of_5_0_do_not_hold_for_a_client_that_comes_back_with_3_1_1() {
    let (id, topic) = (unique("older"), unique("older"));
    let shared = format!("{topic}/shared");
    let share = format!("$share/older/{shared}");
    let mut newer = connect(V5).id(&id).kept().open();
    newer.subscribe_with([], &[Subscription::new(&topic, 1).no_local().retain_as_published()]);
    newer.subscribe_with([], &[Subscription::new(&share, 1).retain_as_published()]);
    newer.disconnect();
    let mut other = client(V5);
    let mut older = connect(V311).id(&id).kept().resume();
    older.say(&topic, "own", 1);
    older.expect(&topic, "own", 1);
    for topic in [&topic, &shared] {
        other.publish(&Publish::new(topic, "live", 1).retained());
        assert!(!older.expect(topic, "live", 1).retain);
    }
    older.disconnect();
    let mut newer = connect(V5).id(&id).kept().session_expiry(0).resume();
    newer.say(&topic, "own", 1);
    for topic in [&topic, &shared] {
        for payload in ["live", ""] {
            other.publish(&Publish::new(topic, payload, 1).retained());
            assert!(newer.expect(topic, payload, 1).retain);
        }
    }
}

/// [MQTT-3.8.3-3]
#[test]
fn no_local_leaves_out_what_the_client_publishes_itself() {
    let topic = unique("local");
    let (mut one, mut two) = (client(V5), client(V5));
    one.subscribe_with([], &[Subscription::new(&topic, 1).no_local()]);
    two.subscribe(&topic, 1);
    one.say(&topic, "mine", 1);
    two.say(&topic, "yours", 1);
    one.expect(&topic, "yours", 1);
    one.expect_nothing();
    two.expect(&topic, "mine", 1);
    two.expect(&topic, "yours", 1);
}

/// [MQTT-3.8.3-3]: a client is known by its id, not by its connection.
#[test]
fn no_local_holds_after_a_reconnect() {
    let (id, topic) = (unique("local"), unique("local"));
    let mut client = connect(V5).id(&id).kept().open();
    client.subscribe_with([], &[Subscription::new(&topic, 1).no_local()]);
    client.disconnect();
    let mut client = connect(V5).id(&id).kept().resume();
    client.say(&topic, "mine", 1);
    client.expect_nothing();
}

/// [MQTT-3.8.3-3] for what the client has retained: at once, and queued for a session.
#[test]
fn no_local_leaves_out_what_the_client_has_retained() {
    for (qos, expiry) in [(0, 0), (1, 60)] {
        let topic = unique("local");
        let mut one = connect(V5).session_expiry(expiry).open();
        let mut two = client(V5);
        one.publish(&Publish::new(&format!("{topic}/mine"), "x", 1).retained());
        two.publish(&Publish::new(&format!("{topic}/yours"), "y", 1).retained());
        let filter = format!("{topic}/#");
        one.subscribe_with([], &[Subscription::new(&filter, qos).no_local()]);
        one.expect(&format!("{topic}/yours"), "y", qos);
        one.expect_nothing();
        two.subscribe_with([], &[Subscription::new(&filter, qos).no_local()]);
        two.expect(&format!("{topic}/mine"), "x", qos);
        two.expect_nothing();
    }
}

/// [MQTT-3.8.3-3] compares client ids, not sessions: what an earlier session of the client has retained is its own, also when
/// the broker was started anew since.
#[test]
fn no_local_leaves_out_what_an_earlier_session_of_the_client_has_retained() {
    let Some(mut broker) = Broker::start() else { return };
    for restarted in [false, true] {
        for (qos, expiry) in [(0, 0), (1, 60)] {
            let open = |id: &str| connect(V5).at(broker.address()).id(id).session_expiry(expiry).open();
            let id = unique("local");
            let (mut one, mut two) = (open(&id), open(&unique("other")));
            one.publish(&Publish::new(&format!("{id}/mine"), "x", 1).retained());
            two.publish(&Publish::new(&format!("{id}/yours"), "y", 1).retained());
            one.disconnect();
            if restarted {
                broker = broker.restart();
            }
            let mut one = connect(V5).at(broker.address()).id(&id).session_expiry(expiry).open();
            let filter = format!("{id}/#");
            one.subscribe_with([], &[Subscription::new(&filter, qos).no_local()]);
            one.expect(&format!("{id}/yours"), "y", qos);
            one.expect_nothing();
        }
    }
}

/// [MQTT-3.8.3-3] for the client's will.
#[test]
fn no_local_leaves_out_the_will_of_the_client() {
    let (id, topic) = (unique("local"), unique("local"));
    let mut other = client(V5);
    other.subscribe(&topic, 1);
    let mut one = connect(V5).id(&id).kept().will(Will::new(&topic, "gone").qos(1)).open();
    one.subscribe_with([], &[Subscription::new(&topic, 1).no_local()]);
    one.cut();
    other.expect(&topic, "gone", 1);
    connect(V5).id(&id).kept().resume().expect_nothing();
}

/// [MQTT-3.8.3-4], T08
#[test]
fn no_local_with_a_share_is_a_violation() {
    let mut client = client(V5);
    let filter = b"$share/g/a";
    client.send(&raw(0x82, &[&[0, 1, 0, 0, 10], &filter[..], &[0x05]].concat()));
    client.expect_disconnect(0x82);
}

/// [MQTT-3.3.1-9] of 3.1.1: also of what comes after a restart, while the client is away.
#[test]
fn options_of_an_older_subscription_mean_nothing_to_3_1_1_over_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let (id, topic) = (unique("older"), unique("flag"));
    let mut newer = connect(V5).at(broker.address()).id(&id).kept().open();
    newer.subscribe_with([], &[Subscription::new(&topic, 1).retain_as_published()]);
    newer.disconnect();
    connect(V311).at(broker.address()).id(&id).kept().resume().disconnect();
    let broker = broker.restart();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.publish(&Publish::new(&topic, "live", 1).retained());
    let mut older = connect(V311).at(broker.address()).id(&id).kept().resume();
    assert!(!older.take().retain);
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-13]
#[test]
fn retain_as_published_hands_the_flag_on() {
    let topic = unique("as-published");
    let (mut publisher, mut faithful, mut plain) = (client(V5), client(V5), client(V5));
    faithful.subscribe_with([], &[Subscription::new(&topic, 1).retain_as_published()]);
    plain.subscribe(&topic, 1);
    publisher.publish(&Publish::new(&topic, "kept", 1).retained());
    publisher.say(&topic, "passing", 1);
    assert!(faithful.expect(&topic, "kept", 1).retain);
    assert!(!faithful.expect(&topic, "passing", 1).retain);
    assert!(!plain.expect(&topic, "kept", 1).retain);
    publisher.publish(&Publish::new(&topic, "", 1).retained());
}

/// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
#[test]
fn retain_handling_says_when_retained_messages_are_sent() {
    for (handling, at_first, again) in [(0, true, true), (1, true, false), (2, false, false)] {
        let topic = unique("handling");
        let mut publisher = client(V5);
        publisher.publish(&Publish::new(&topic, "x", 1).retained());
        let mut subscriber = client(V5);
        for expected in [at_first, again] {
            subscriber.subscribe_with([], &[Subscription::new(&topic, 1).retain_handling(handling)]);
            if expected {
                assert!(subscriber.expect(&topic, "x", 1).retain);
            }
            subscriber.expect_nothing();
        }
        publisher.publish(&Publish::new(&topic, "", 1).retained());
    }
}

/// [MQTT-3.3.1-10] over a reconnect: the subscription exists already.
#[test]
fn retain_handling_1_counts_subscriptions_of_the_session() {
    let (id, topic) = (unique("handling"), unique("handling"));
    let mut publisher = client(V5);
    publisher.publish(&Publish::new(&topic, "x", 1).retained());
    let once = Subscription::new(&topic, 1).retain_handling(1);
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe_with([], std::slice::from_ref(&once));
    subscriber.expect(&topic, "x", 1);
    subscriber.disconnect();
    let mut subscriber = connect(V5).id(&id).kept().resume();
    subscriber.subscribe_with([], std::slice::from_ref(&once));
    subscriber.expect_nothing();
    publisher.publish(&Publish::new(&topic, "", 1).retained());
}
