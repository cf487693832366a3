//! What MQTT promises holds on every transport, however its bytes are cut.

use super::rig::{Rig, WAYS, Way};
use crate::harness::wire::{Wire, frame};
use crate::harness::{Client, Packet, Publish, V5, V311, connect, raw, unique};
use std::io::{Read, Write};

#[test]
fn every_transport_carries_every_guarantee_in_both_directions() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        for version in [V311, V5] {
            let topic = unique("way");
            let mut reader = connect(version).open_on(rig.dial(way));
            reader.subscribe(&topic, 2);
            let mut writer = connect(version).open_on(rig.dial(way));
            // From nothing to several TLS records and lengths of frames.
            for size in [0, 1, 124, 125, 126, 127, 16_383, 65_535, 65_536, 300_000] {
                let payload = "x".repeat(size);
                for qos in 0..=2 {
                    writer.say(&topic, &payload, qos);
                    let got = reader.expect(&topic, &payload, qos);
                    assert_eq!(got.qos, qos, "{way:?}");
                }
            }
            writer.disconnect();
            reader.disconnect();
        }
    }
}

#[test]
fn a_message_goes_from_each_transport_to_each_other() {
    let Some(rig) = Rig::start() else { return };
    let topic = unique("across");
    let mut readers: Vec<Client> = WAYS.iter().map(|way| connect(V5).open_on(rig.dial(*way))).collect();
    for reader in &mut readers {
        reader.subscribe(&topic, 1);
    }
    for way in WAYS {
        let mut writer = connect(V5).open_on(rig.dial(way));
        writer.say(&topic, &format!("{way:?}"), 1);
        for reader in &mut readers {
            reader.expect(&topic, &format!("{way:?}"), 1);
        }
    }
}

/// A connection that sends each byte by itself.
struct Drips(Box<dyn Wire>);

impl Read for Drips {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Drips {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Drips {
    fn patience(&mut self, time: std::time::Duration) {
        self.0.patience(time);
    }

    fn cut(&mut self) {
        self.0.cut();
    }
}

#[test]
fn packets_may_come_in_single_bytes_records_and_frames() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let topic = unique("drip");
        let mut client = connect(V5).open_on(Box::new(Drips(rig.dial(way))));
        client.subscribe(&topic, 1);
        client.say(&topic, "drop by drop", 1);
        client.expect(&topic, "drop by drop", 1);
    }
}

#[test]
fn many_packets_may_come_in_one_piece() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let mut client = connect(V311).open_on(rig.dial(way));
        client.send(&[0xC0, 0].repeat(10_000));
        for _ in 0..10_000 {
            assert_eq!(client.receive(), Packet::Pingresp, "{way:?}");
        }
    }
}

/// Goodbye and the goodbye of the transport in one piece: the will of who says goodbye is not published.
#[test]
fn what_comes_before_the_end_of_a_transport_counts() {
    let Some(rig) = Rig::start() else { return };
    let topic = unique("will");
    let mut watcher = connect(V5).at(rig.address(Way::Tcp)).open();
    watcher.subscribe(&topic, 0);
    let will = crate::harness::Will::new(&topic, "it broke");
    let inner = rig.dial_raw(Way::Ws);
    let request = crate::harness::wire::upgrade("/mqtt", "mqtt", "");
    let mut web = crate::harness::wire::Web::open(inner, &request).unwrap_or_else(|_| panic!("a WebSocket"));
    web.write_all(&connect(V311).will(will).bytes()).unwrap();
    web.read_exact(&mut [0; 4]).unwrap();
    web.send_raw(&[frame(0x82, &raw(0xE0, &[])), frame(0x88, &1000u16.to_be_bytes())].concat());
    let mut rest = Vec::new();
    drop(web.read_to_end(&mut rest));
    assert_eq!((rest, web.closed), (Vec::new(), Some(1000)));
    watcher.expect_nothing();
}

#[test]
fn who_breaks_the_rules_of_mqtt_is_told_so_on_every_transport() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let mut client = connect(V5).open_on(rig.dial(way));
        client.send(&raw(0x36, b"\0\x01t\0\x01\0"));
        assert_eq!(client.expect_closed(), Some(0x81), "{way:?}: QoS 3");
        let mut stranger = Client::on(rig.dial(way), V5);
        stranger.send(&raw(0xC0, &[]));
        assert_eq!(stranger.expect_closed(), None, "{way:?}: no CONNECT");
    }
}

#[test]
fn a_stopping_broker_says_goodbye_on_every_transport() {
    let Some(rig) = Rig::start() else { return };
    let mut clients: Vec<_> = WAYS.iter().map(|way| (*way, connect(V5).open_on(rig.dial(*way)))).collect();
    let Rig { broker, authority } = rig;
    drop(broker);
    for (way, client) in &mut clients {
        assert_eq!(client.expect_closed(), Some(0x8B), "{way:?}");
    }
    assert!(!authority.path("mqtt.socket").exists(), "the Unix socket is gone");
}

#[test]
fn clients_are_shown_with_the_way_they_came() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let client = connect(V5).open_on(rig.dial(way));
        let shown = rig.broker.admin().get(&format!("/api/v1/clients/{}", client.id)).expect(200).json();
        let peer = shown["peer"].as_str().unwrap_or_default().to_owned();
        let expected = if way == Way::Unix { "unix" } else { "127.0.0.1:" };
        assert!(peer.starts_with(expected), "{way:?}: {shown}");
    }
}

#[test]
fn a_publication_larger_than_all_buffers_is_held_back_by_a_slow_reader_and_comes_whole() {
    let Some(rig) = Rig::start() else { return };
    for way in WAYS {
        let topic = unique("large");
        let mut reader = connect(V5).open_on(rig.dial(way));
        reader.subscribe(&topic, 1);
        let mut writer = connect(V5).open_on(rig.dial(way));
        let payload = vec![0x5A; 8 << 20];
        let handle = writer.send_publish(&Publish::new(&topic, &payload, 1));
        writer.acked(0x40, handle);
        assert!(reader.take().payload == payload, "{way:?}");
    }
}
