//! Two connections with one client id: the later one wins.

use crate::harness::*;
use std::time::Duration;

/// [MQTT-3.1.4-3], [MQTT-3.1.4-2]
#[test]
fn the_later_connection_closes_the_earlier_one() {
    for (earlier, later) in [(V311, V311), (V5, V5), (V311, V5), (V5, V311)] {
        let id = unique("taken");
        let mut first = connect(earlier).id(&id).open();
        let mut second = connect(later).id(&id).open();
        let code = first.expect_closed();
        assert!(code.is_none_or(|code| code == 0x8E), "{code:02x?}");
        second.ping();
    }
}

/// [MQTT-3.1.4-3]
#[test]
fn the_earlier_one_is_told_why() {
    let id = unique("told");
    let mut first = connect(V5).id(&id).open();
    let _second = connect(V5).id(&id).open();
    first.expect_disconnect(0x8E);
}

/// [MQTT-3.1.2-5], [MQTT-3.1.2-4]
#[test]
fn the_later_one_goes_on_with_the_session() {
    for version in BOTH {
        let (id, topic) = (unique("heir"), unique("heir"));
        let mut first = connect(version).id(&id).kept().open();
        first.subscribe(&topic, 1);
        let mut publisher = client(version);
        publisher.say(&topic, "one", 1);
        let unacked = first.delivery();
        let mut second = connect(version).id(&id).kept().resume();
        publisher.say(&topic, "two", 1);
        let again = second.expect(&topic, "one", 1);
        assert!(again.duplicate && again.id == unacked.id);
        second.expect(&topic, "two", 1);
        first.expect_closed();
    }
}

/// [MQTT-4.1.0-2]: with expiry 0 the session ends when the connection is closed, by whomever.
#[test]
fn a_session_that_was_to_end_with_its_connection_is_not_taken_over() {
    let (id, topic) = (unique("ending"), unique("ending"));
    let mut once = connect(V5).id(&id).session_expiry(60).open();
    once.subscribe(&topic, 1);
    once.disconnect();
    let mut first = connect(V5).id(&id).clean(false).session_expiry(0).resume();
    let mut second = connect(V5).id(&id).clean(false).session_expiry(60).open();
    assert!(!second.connack.present);
    first.expect_closed();
    client(V5).say(&topic, "lost", 1);
    second.expect_nothing();
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-6]
#[test]
fn a_clean_start_of_the_later_one_ends_the_session() {
    for version in BOTH {
        let (id, topic) = (unique("clean"), unique("clean"));
        let mut first = connect(version).id(&id).kept().open();
        first.subscribe(&topic, 1);
        let mut second = connect(version).id(&id).open();
        assert!(!second.connack.present);
        client(version).say(&topic, "lost", 1);
        second.expect_nothing();
    }
}

/// [MQTT-3.1.2-8], 3.1.4: the earlier connection was not closed by DISCONNECT.
#[test]
fn the_will_of_the_earlier_one_is_published() {
    for version in BOTH {
        let (id, topic) = (unique("will"), unique("will"));
        let mut watcher = client(version);
        watcher.subscribe(&topic, 1);
        let _first = connect(version).id(&id).will(Will::new(&topic, "taken over").qos(1)).open();
        let mut second = connect(version).id(&id).open();
        watcher.expect(&topic, "taken over", 1);
        second.ping();
    }
}

/// 3.1.3.2.2, [MQTT-3.1.3-9]
#[test]
fn a_delayed_will_is_cancelled_unless_the_session_ends() {
    for (clean, expected) in [(false, None), (true, Some("session over"))] {
        let (id, topic) = (unique("late"), unique("late"));
        let mut watcher = client(V5);
        watcher.subscribe(&topic, 1);
        let will = Will::new(&topic, "session over").delay(1);
        let _first = connect(V5).id(&id).session_expiry(60).will(will).open();
        let _second = connect(V5).id(&id).clean(clean).session_expiry(60).open();
        if let Some(payload) = expected {
            watcher.expect(&topic, payload, 0);
        }
        pass(2);
        watcher.expect_nothing();
    }
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]: what a client has sent before it comes again counts, its goodbye above all, whether
/// the broker had read it by then or not.
#[test]
fn what_came_before_the_later_one_is_worked_off_first() {
    for version in BOTH {
        let (id, topic) = (unique("hasty"), unique("hasty"));
        let mut watcher = client(version);
        watcher.subscribe(&format!("{topic}/#"), 0);
        for round in 0..5 {
            let mut hasty = connect(version).id(&id).will(Will::new(&format!("{topic}/will"), "never")).open();
            let one = writer::publish(version, &Publish::new(&format!("{topic}/data"), "x".repeat(1024), 0));
            let bytes = [one.repeat(500), writer::disconnect(version, 0, &Properties::default())].concat();
            hasty.send(&bytes);
            let again = connect(version).id(&id).open();
            for number in 0..500 {
                let message = watcher.take();
                assert!(message.topic.ends_with("/data"), "{} is message {number} of round {round}", message.topic);
            }
            again.disconnect();
        }
        watcher.expect_nothing();
    }
}

#[test]
fn of_many_that_come_at_once_one_remains() {
    let id = unique("crowd");
    let comers: Vec<_> = (0..16)
        .map(|_| {
            let id = id.clone();
            std::thread::spawn(move || connect(V311).id(&id).sent())
        })
        .collect();
    let mut comers: Vec<Client> = comers.into_iter().map(|comer| comer.join().unwrap()).collect();
    // Once all are answered it is decided who remains.
    for comer in &mut comers {
        assert!(matches!(comer.try_receive(), Ok(Packet::Connack(answer)) if answer.code == 0));
    }
    let served = comers.iter_mut().map(|comer| {
        comer.try_send(&hex("C0 00"));
        comer.try_receive() == Ok(Packet::Pingresp) && comer.is_silent_for(Duration::from_secs(1))
    });
    assert_eq!(served.filter(|served| *served).count(), 1);
}

/// S03: one owner at any time, and nothing that was acknowledged is lost, while an id is taken over again and again.
#[test]
fn taking_over_again_and_again_loses_nothing() {
    let (id, topic) = (unique("relay"), unique("relay"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    let told = topic.clone();
    let publisher = std::thread::spawn(move || {
        let mut publisher = client(V5);
        for number in 0..400 {
            publisher.say(&told, &number.to_string(), 1);
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut next = connect(V5).id(&id).kept().resume();
        assert_eq!(
            std::iter::from_fn(|| subscriber.try_receive().ok()).find_map(|packet| match packet {
                Packet::Disconnect(farewell) => Some(farewell.code),
                _ => None,
            }),
            Some(0x8E)
        );
        for message in next.messages() {
            next.ack(0x40, message.id);
            seen.insert(message.text().to_owned());
        }
        subscriber = next;
    }
    publisher.join().unwrap();
    while seen.len() < 400 {
        seen.insert(subscriber.take().text().to_owned());
    }
    subscriber.expect_nothing();
}
