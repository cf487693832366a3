//! What one MQTT packet costs: PUBLISH in and out, with and without properties, and an acknowledgement.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use host::client::{Client, Protocol, Scope};
use host::dialogue::{Attached, Delivery, Event, Identifiers, Outgoing, Routed};
use host::message::{Envelope, Guarantee, Message, Properties, Time};
use host::mqtt::{Inbound, Limits, Outbound, Step, Written};
use host::topic::{Limits as TopicLimits, Topic};
use std::hint::black_box;
use std::sync::Arc;

const TOPIC: &str = "site/1/building/7/room/42/temperature";
const C3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a";
const C5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a";
/// A 5.0 client that allows ten topic aliases.
const C5_ALIASES: &[u8] = b"\x10\x11\0\x04MQTT\x05\x02\0\x3C\x03\x22\0\x0A\0\x01a";

fn open(connect: &[u8]) -> (Inbound, Outbound) {
    let mut inbound = Inbound::new(Arc::new(Limits::default()), "mqtt".into(), "127.0.0.1:1".into(), Time(0));
    inbound.receive(Time(0), connect).expect("the packet is a good one");
    let mut outbound = inbound.outbound();
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None }.into();
    let client = Arc::new(Client { id: "a".into(), container: None, scope, peer: "127.0.0.1:1".into() });
    let attached = Attached { client, resumed: false, assigned: false, expiry_seconds: 0, proof: None };
    let attached = Event::Attached(attached);
    let _ = outbound.event(&attached, &mut Vec::new());
    (inbound, outbound)
}

fn properties() -> Properties {
    Properties {
        content_type: Some("application/json".into()),
        response_topic: Some("answers/a".into()),
        correlation_data: Some(b"12345678"[..].into()),
        user: vec![("trace".into(), "00-4bf92f3577b34da6".into())],
        ..Properties::default()
    }
}

fn message(payload_bytes: usize, properties: Option<Properties>) -> Message {
    let envelope = Envelope {
        topic: Topic::new(TOPIC, &TopicLimits::default()).expect("the topic is a good one"),
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        expires: None,
        properties: properties.map(Box::new),
        hops: 0,
    };
    Message::new(envelope, 0, &vec![b'x'; payload_bytes])
}

fn outgoing(message: Message, guarantee: Guarantee) -> Outgoing {
    let handle = if guarantee == Guarantee::AtMostOnce { 0 } else { 5 };
    let identifiers = Identifiers::new();
    Outgoing::Deliver(Delivery { message, name: None, guarantee, retain: false, duplicate: false, handle, identifiers })
}

/// What is measured in both directions: name, CONNECT, message, guarantee.
fn shapes() -> Vec<(&'static str, &'static [u8], Message, Guarantee)> {
    use Guarantee::{AtLeastOnce, AtMostOnce};
    vec![
        ("3.1.1 QoS 0 64 B", C3, message(64, None), AtMostOnce),
        ("5.0 QoS 0 64 B", C5, message(64, None), AtMostOnce),
        ("3.1.1 QoS 1 256 B", C3, message(256, None), AtLeastOnce),
        ("5.0 QoS 1 256 B", C5, message(256, None), AtLeastOnce),
        ("5.0 QoS 1 256 B with properties", C5, message(256, Some(properties())), AtLeastOnce),
    ]
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read PUBLISH");
    group.throughput(Throughput::Elements(1));
    for (name, connect, message, guarantee) in shapes() {
        let (mut inbound, mut outbound) = open(connect);
        let mut packet = Vec::new();
        assert_eq!(outbound.deliver(Time(0), &outgoing(message, guarantee), &mut packet), Written::Whole);
        let answer = Event::Published { handle: 5, guarantee, outcome: Ok(Routed::Matched) };
        let mut out = Vec::with_capacity(16);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let step = inbound.receive(Time(1), black_box(&packet)).expect("the packet is a good one");
                assert!(matches!(black_box(step), Step::Packet { .. }));
                if guarantee != Guarantee::AtMostOnce {
                    out.clear();
                    let _ = outbound.event(black_box(&answer), &mut out); // gives the place back
                }
            });
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write PUBLISH");
    group.throughput(Throughput::Elements(1));
    let mut shapes = shapes();
    shapes.push(("5.0 QoS 0 64 B by alias", C5_ALIASES, message(64, None), Guarantee::AtMostOnce));
    for (name, connect, message, guarantee) in shapes {
        let (_, mut outbound) = open(connect);
        let outgoing = outgoing(message, guarantee);
        let mut out = Vec::with_capacity(64 * 1024);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                if out.len() > 60 * 1024 {
                    out.clear();
                }
                outbound.deliver(Time(1), black_box(&outgoing), &mut out)
            });
        });
    }
    group.finish();
}

fn acknowledge(criterion: &mut Criterion) {
    let (mut inbound, _) = open(C3);
    criterion.bench_function("read PUBACK", |bencher| {
        bencher.iter(|| inbound.receive(Time(1), black_box(b"\x40\x02\0\x05")).is_ok());
    });
}

fn connect(criterion: &mut Criterion) {
    for (name, bytes) in [("CONNECT and CONNACK 3.1.1", C3), ("CONNECT and CONNACK 5.0", C5)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(|| (), |()| open(black_box(bytes)), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, read, write, acknowledge, connect);
criterion_main!(benches);
