//! A module that loops, one that traps and one that eats memory cost their own messages and nobody else's.

use crate::harness::property;
use crate::harness::{
    Broker, Client, Packet, Properties, Property, Publish, Subscription, V5, V311, Version, Will, connect, guests,
    writer,
};
use std::sync::atomic::{AtomicBool, Ordering};

const HOSTILE: [(&str, &str); 3] = [("loops-forever", "deadline"), ("traps", "trapped"), ("eats-memory", "memory")];

/// With `refuse` the publisher hears that its message was not taken; with `discard` it hears nothing, `bypass` passes.
#[test]
fn a_failing_module_costs_its_messages_what_its_binding_says() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("bad/#", 1);
    client.subscribe("good/#", 1);
    for (guest, _) in HOSTILE {
        for (policy, taken, delivered) in [("refuse", false, false), ("discard", true, false), ("bypass", true, true)] {
            admin
                .deploy(&format!("/api/v1/modules/{guest}?on_failure={policy}"), &guests::component(guest))
                .expect(200);
            let code = client.publish(&Publish::new("bad/x", policy, 1));
            assert_eq!(code < 0x80, taken, "{guest} {policy}: {code:02x}");
            if delivered {
                client.expect("bad/x", policy, 1);
            }
            client.say("good/x", "passes", 1);
            client.expect("good/x", "passes", 1);
            client.expect_nothing();
        }
        admin.delete(&format!("/api/v1/modules/{guest}")).expect(200);
    }
}

/// [MQTT-3.3.5-2] of 3.1.1: there is no way to say no, so a success is never acknowledged for what was refused.
#[test]
fn a_refused_message_is_not_acknowledged_in_3_1_1() {
    let Some(broker) = Broker::start() else { return };
    broker.admin().deploy("/api/v1/modules/m?on_failure=refuse", &guests::component("traps")).expect(200);
    let mut publisher = connect(V311).at(broker.address()).open();
    publisher.send_publish(&Publish::new("bad", "x", 1));
    assert_eq!(publisher.expect_closed(), None);
}

/// The same rule, the other way that it has.
#[test]
fn a_refused_message_is_acknowledged_in_3_1_1_where_the_operator_wants_that() {
    let Some(broker) = Broker::start_with(|config| config.mqtt.acknowledge_refused = true) else { return };
    let admin = broker.admin();
    let config = "%7B%22verdict%22:%22unfit%22,%22filters%22:%5B%22x%22%5D%7D";
    admin.deploy(&format!("/api/v1/modules/m?config={config}"), &guests::component("router")).expect(200);
    let mut reader = connect(V5).at(broker.address()).open();
    reader.subscribe("#", 2);
    let mut publisher = connect(V311).at(broker.address()).open();
    for qos in [1, 2] {
        publisher.say("x", "bad", qos);
    }
    reader.expect_nothing();
    // What may be taken the next time is not.
    admin.deploy("/api/v1/modules/traps?on_failure=refuse", &guests::component("traps")).expect(200);
    publisher.send_publish(&Publish::new("bad", "x", 1));
    assert_eq!(publisher.expect_closed(), None);
}

/// While one client feeds it what it fails on, others are served as if it were not there.
#[test]
fn others_are_served_while_a_module_fails() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let at = broker.address();
    for (guest, _) in HOSTILE {
        admin.deploy(&format!("/api/v1/modules/{guest}?on_failure=refuse"), &guests::component(guest)).expect(200);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let failing = scope.spawn(|| {
                let mut attacker = connect(V5).at(at).open();
                let mut failed = 0;
                while !over.load(Ordering::Relaxed) || failed < 20 {
                    assert!(attacker.publish(&Publish::new("bad", "x", 1)) >= 0x80);
                    failed += 1;
                }
                failed
            });
            let mut client = connect(V5).at(at).open();
            client.subscribe("good", 2);
            for number in 0..300u16 {
                client.say("good", &number.to_string(), 1 + (number % 2) as u8);
                client.expect("good", &number.to_string(), 1 + (number % 2) as u8);
            }
            over.store(true, Ordering::Relaxed);
            let failed = failing.join().expect("the failing messages are refused");
            println!("{guest}: {failed} messages refused beside 300 that passed");
        });
        admin.delete(&format!("/api/v1/modules/{guest}")).expect(200);
    }
}

#[test]
fn metrics_and_log_say_which_module_failed() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    for (guest, why) in HOSTILE {
        admin.deploy(&format!("/api/v1/modules/{guest}?on_failure=bypass"), &guests::component(guest)).expect(200);
        client.say("bad/x", "x", 1);
        client.say("good/x", "x", 1);
        let info = admin.get(&format!("/api/v1/modules/{guest}")).expect(200).json();
        assert_eq!(info["failures"], 1, "{info}");
        let logs = admin.get(&format!("/api/v1/modules/{guest}/logs")).expect(200);
        assert!(logs.text().contains(why), "{}", logs.text());
        let metrics = admin.get("/metrics").expect(200);
        let counted = |line: &&str| line.contains("failures") && line.contains(&format!("module=\"{guest}\""));
        let line = metrics.text().lines().find(counted).unwrap_or_else(|| panic!("{guest} in\n{}", metrics.text()));
        assert!(line.ends_with(" 1"), "{line}");
        admin.delete(&format!("/api/v1/modules/{guest}")).expect(200);
    }
}

/// Calls that stay within their time, one after the other, do not keep the thread from the others' messages.
#[test]
fn others_have_their_turn_between_calls_that_take_long() {
    let Some(broker) = Broker::start_with(|config| config.workers = 1) else { return };
    let (admin, at) = (broker.admin(), broker.address());
    admin.deploy(DAWDLES, &guests::component("hostile")).expect(200);
    let mut client = connect(V5).at(at).open();
    client.subscribe("good/#", 1);
    for dawdler in [V5, V311] {
        let calls = || admin.get("/api/v1/modules/hostile").expect(200).json()["calls"].as_u64().unwrap();
        let before = calls();
        let mut dawdler = connect(dawdler).at(at).open();
        let ids: Vec<u16> = (0..200).map(|_| dawdler.send_publish(&Publish::new("bad/x", "x", 1))).collect();
        dawdler.acked(0x40, ids[0]);
        client.say("good/x", "between", 1);
        client.expect("good/x", "between", 1);
        assert!(calls() - before < 200);
        ids[1..].iter().for_each(|id| drop(dawdler.acked(0x40, *id)));
        assert!(calls() - before >= 200);
    }
}

/// A module that takes 3 ms over each message that is not `good`.
const DAWDLES: &str = "/api/v1/modules/hostile?on_failure=bypass&config=%7B%22mode%22%3A%22dawdles%22%7D";

/// A module that takes long is asked on threads of its own. What one publisher sends keeps its order all the same, exactly-once
/// messages come once, and what is sent last before a goodbye comes too.
#[test]
fn what_waits_for_a_slow_module_comes_once_and_in_order() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    admin.deploy(DAWDLES, &guests::component("hostile")).expect(200);
    let mut client = connect(V5).at(at).open();
    client.subscribe("bad/#", 2);
    for version in [V5, V311] {
        let mut publisher = connect(version).at(at).open();
        let qos = |number: u16| (number % 3) as u8;
        // More at once than is read at a time; the answers come as the protocol has them.
        let ids: Vec<u16> =
            (0..60).map(|n| publisher.send_publish(&Publish::new("bad/x", n.to_string(), qos(n)))).collect();
        for number in 0..60 {
            client.expect("bad/x", &number.to_string(), qos(number));
            let id = ids[usize::from(number)];
            match qos(number) {
                0 => {}
                1 => drop(publisher.acked(0x40, id)),
                _ => drop(publisher.release(id)),
            }
        }
        publisher.send_publish(&Publish::new("bad/x", "last", 0));
        publisher.disconnect();
        client.expect("bad/x", "last", 0);
    }
    client.expect_nothing();
    let metrics = admin.get("/metrics").expect(200);
    let line =
        metrics.text().lines().find(|line| line.starts_with("pliant_publications_aside_total")).map(str::to_owned);
    let aside: f64 = line.and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or_default();
    assert!(aside > 60.0, "{aside}");
}

/// A client's messages to `topic`, and its goodbye.
fn messages_and_goodbye(version: Version, topic: &str, count: u16, qos: u8) -> Vec<u8> {
    let publish = |n: u16| writer::publish(version, &Publish::new(topic, n.to_string(), qos).id(n + 1));
    (0..count).flat_map(publish).chain(writer::disconnect(version, 0, &Properties::default())).collect()
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]: also where the client is back, or cannot be written to any more, before modules have answered
/// about what it sent before its goodbye.
#[test]
fn what_waits_for_a_slow_module_comes_before_the_end_of_its_connection() {
    let Some(broker) = Broker::start() else { return };
    let at = broker.address();
    broker.admin().deploy(DAWDLES, &guests::component("hostile")).expect(200);
    let mut watcher = connect(V5).at(at).open();
    watcher.subscribe("bad/#", 0);
    watcher.subscribe("will", 0);
    let mut warm = connect(V5).at(at).open();
    for _ in 0..8 {
        warm.say("bad/x", "warm", 1);
        watcher.expect("bad/x", "warm", 0);
    }
    for version in [V5, V311] {
        for (qos, is_back) in [(0, true), (1, true), (2, true), (1, false)] {
            let connects = || connect(version).at(at).id("hasty").will(Will::new("will", "never"));
            let mut hasty = connects().open();
            // What it was sent and has not read makes its end a reset.
            hasty.send(
                &[
                    writer::subscribe(version, 1, &Properties::default(), &[Subscription::new("bad/x", 0)]),
                    messages_and_goodbye(version, "bad/x", 20, qos),
                ]
                .concat(),
            );
            let again = is_back.then(|| connects().open());
            drop(hasty);
            for number in 0..20 {
                watcher.expect("bad/x", &number.to_string(), 0);
            }
            again.inspect(|_| ()).into_iter().for_each(Client::disconnect);
            watcher.expect_nothing();
        }
    }
}

/// The same of a message that waits for room in somebody's queue: it is taken when there is room soon. If there is none its client
/// comes in all the same, and its goodbye counts.
#[test]
fn what_waits_for_room_holds_up_neither_a_goodbye_nor_who_comes_back() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 2) else { return };
    let at = broker.address();
    let mut watcher = connect(V5).at(at).open();
    watcher.subscribe("will", 0);
    for version in [V5, V311] {
        for has_room in [true, false] {
            let mut slow = connect(V5).at(at).with(Property::Two(property::RECEIVE_MAXIMUM, 1)).open();
            slow.subscribe("full", 1);
            let connects = || connect(version).at(at).id("hasty").will(Will::new("will", "never"));
            let mut hasty = connects().open();
            hasty.send(&messages_and_goodbye(version, "full", 5, 1));
            let first = slow.delivery();
            let mut again = connects().sent();
            if has_room {
                slow.ack(0x40, first.id);
                for number in 1..5 {
                    slow.expect("full", &number.to_string(), 1);
                }
            }
            again.wait_for("CONNACK", |packet| matches!(packet, Packet::Connack(_)).then_some(()));
            again.disconnect();
            slow.disconnect();
            watcher.expect_nothing();
        }
    }
}
