//! Bounds on connections: how many, how fast, how long before a client has said who it is, how long without reading.

use super::rig::{Rig, WAYS, Way, figure, until};
use crate::harness::{Broker, Client, End, Packet, Publish, Subscription, V5, V311, Will, connect, unique};
use host::config::Listener;

#[test]
fn more_connections_than_there_may_be_are_closed_and_there_is_room_again_later() {
    for bound in ["connections_max", "connections_per_address_max"] {
        let broker = Broker::start_with(move |config| match bound {
            "connections_max" => config.net.connections_max = 3,
            _ => config.net.connections_per_address_max = 3,
        });
        let Some(broker) = broker else { return };
        let mut inside: Vec<Client> = (0..3).map(|_| connect(V5).at(broker.address()).open()).collect();
        let mut fourth = Client::dial(broker.address(), V5);
        assert_eq!(fourth.try_receive(), Err(End::Closed), "{bound}");
        inside.iter_mut().for_each(Client::ping);
        assert_eq!(figure(&broker, "pliant_connections_refused_total"), 1, "{bound}");
        inside.pop().expect("three are in").disconnect();
        until("there is room again", || {
            let mut again = connect(V5).at(broker.address()).sent();
            again.try_receive().is_ok()
        });
    }
}

#[test]
fn those_who_do_not_say_who_they_are_keep_nobody_out_who_is_in() {
    let Some(broker) = Broker::start_with(|config| config.net.unauthenticated_max = 2) else { return };
    // Those who are in do not count.
    let mut inside: Vec<Client> = (0..5).map(|_| connect(V5).at(broker.address()).open()).collect();
    let silent: Vec<Client> = (0..2).map(|_| Client::dial(broker.address(), V5)).collect();
    let mut third = Client::dial(broker.address(), V5);
    assert_eq!(third.try_receive(), Err(End::Closed));
    inside.iter_mut().for_each(Client::ping);
    drop(silent);
    until("there is room again", || connect(V5).at(broker.address()).sent().try_receive().is_ok());
}

/// More than may be accepted in a second wait their turn, and are served.
#[test]
fn connections_come_in_at_a_bounded_rate_and_what_waits_is_counted() {
    let Some(broker) = Broker::start_with(|config| config.net.accepts_per_second_max = 20) else { return };
    let mut clients: Vec<Client> = (0..24).map(|_| connect(V5).at(broker.address()).sent()).collect();
    for client in &mut clients {
        assert!(matches!(client.receive(), Packet::Connack(answer) if answer.code == 0));
    }
    assert!(figure(&broker, "pliant_accepts_delayed_total") >= 4);
    assert_eq!(figure(&broker, "pliant_connections_refused_total"), 0);
}

#[test]
fn subscriptions_have_a_quota_for_each_client_and_for_all() {
    for (each, all) in [(2, 1_000_000), (1_000_000, 2)] {
        let broker = Broker::start_with(move |config| {
            config.broker.subscriptions_per_client_max = each;
            config.broker.subscriptions_max = all;
        });
        let Some(broker) = broker else { return };
        let mut client = connect(V5).at(broker.address()).open();
        let wanted: Vec<_> = ["a", "b", "c"].map(|filter| Subscription::new(filter, 1)).into();
        assert_eq!(client.subscribe_with([], &wanted), [1, 1, 0x97], "{each} {all}");
        // What is there may be changed, and what is given up makes room.
        assert_eq!(client.subscribe_with([], &[Subscription::new("b", 2)]), [2]);
        client.unsubscribe(&["a"]);
        assert_eq!(client.subscribe_with([], &[Subscription::new("c", 0)]), [0]);
    }
}

#[test]
fn listeners_may_be_at_addresses_of_ipv6() {
    let Some(broker) = has_ipv6().then(|| {
        Broker::start_with(|config| {
            let bind = "[::1]:0".parse().unwrap();
            config.listeners.push(Listener { bind, ..Listener::named("six") });
        })
    }) else {
        return eprintln!("left out: this machine has no IPv6");
    };
    let Some(broker) = broker else { return };
    let client = connect(V5).at(broker.at("six")).open();
    let shown = broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
    assert!(shown["peer"].as_str().unwrap_or_default().starts_with("[::1]:"), "{shown}");
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// However few answers may wait: what was read together with more than that is answered to its end.
#[test]
fn what_is_held_back_for_a_while_is_answered_without_another_byte() {
    let rig = Rig::start_with(|config| config.net.answers_waiting_max = 4);
    let Some(rig) = rig else { return };
    for way in WAYS {
        let mut client = connect(V311).open_on(rig.dial(way));
        client.send(&[0xC0, 0].repeat(1000));
        for number in 0..1000 {
            assert_eq!(client.try_receive(), Ok(Packet::Pingresp), "{way:?}: answer {number}");
        }
        client.disconnect();
    }
}

/// The beginning of a CONNECT that says it is large, with so many bytes.
fn half_a_greeting(bytes: usize) -> Vec<u8> {
    let mut greeting = vec![0x10, 0x80, 0x80, 0x10];
    greeting.extend_from_slice(b"\0\x04MQTT\x04\x02\0\0\xFF\xFF");
    greeting.resize(bytes, b'x');
    greeting
}

#[test]
fn bytes_before_a_client_says_who_it_is_are_few_or_out_of_a_common_reserve() {
    let rig = Rig::start_with(|config| {
        config.net.unauthenticated_bytes_max = 4096;
        config.net.unauthenticated_reserve_bytes = 100_000;
    });
    let Some(rig) = rig else { return };
    for way in WAYS {
        // A large will comes out of the reserve, and gives back what it took.
        for _ in 0..3 {
            let will = Will::new(&unique("will"), "x".repeat(60_000));
            connect(V311).will(will).open_on(rig.dial(way)).disconnect();
        }
        let mut greedy = Client::on(rig.dial(way), V311);
        greedy.try_send(&half_a_greeting(200_000));
        assert_eq!(greedy.try_receive(), Err(End::Closed), "{way:?}");
    }
    assert_eq!(rig.figure("pliant_connections_refused_total"), WAYS.len() as u64);
}

#[test]
fn who_does_not_say_in_time_who_it_is_is_cut_off_on_every_transport() {
    let rig = Rig::start_with(|config| {
        config.net.opening_seconds_max = 1;
        config.net.unauthenticated_seconds_max = 1;
        config.mqtt.connect_seconds_max = 1;
    });
    let Some(rig) = rig else { return };
    let mut stalled = Vec::new();
    for way in WAYS {
        // Nothing at all, and half a greeting.
        let silent = Client::on(rig.dial_raw(way), V5);
        let mut half = Client::on(rig.dial(way), V5);
        half.send(&half_a_greeting(100));
        stalled.extend([silent, half]);
    }
    for client in &mut stalled {
        // At most the goodbye of TLS.
        assert!(client.rest().len() <= 7);
    }
    until("all are counted", || rig.figure("pliant_opening_timeouts_total") >= stalled.len() as u64);
}

/// W09. What waits for it is given up, its publisher and others go on.
#[test]
fn who_takes_nothing_of_what_waits_for_it_is_cut_off_on_every_transport() {
    let rig = Rig::start_with(|config| {
        config.net.write_seconds_max = 1;
        config.broker.queue_messages_max = 1000;
    });
    let Some(rig) = rig else { return };
    let topic = unique("stalled");
    let mut healthy = connect(V5).open_on(rig.dial(Way::Tcp));
    healthy.subscribe(&topic, 0);
    let mut stalled: Vec<Client> = WAYS.iter().map(|way| connect(V5).open_on(rig.dial(*way))).collect();
    for client in &mut stalled {
        client.subscribe(&topic, 0);
    }
    let mut writer = connect(V5).open_on(rig.dial(Way::Tcp));
    let message = Publish::new(&topic, vec![0x5A; 65_536], 0);
    while rig.figure("pliant_write_timeouts_total") < WAYS.len() as u64 {
        // The healthy one gets all of it, whatever becomes of the others.
        for _ in 0..20 {
            writer.send_publish(&message);
        }
        for _ in 0..20 {
            assert_eq!(healthy.take().payload.len(), 65_536);
        }
    }
    writer.ping();
    drop(stalled);
}
