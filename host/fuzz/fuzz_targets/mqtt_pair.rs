//! A message from one client to another, through both machines: what the publisher says is what the subscriber is sent, or
//! the message is left out because it does not fit.

#![no_main]

use fuzz::dialogue::{Attached, Delivery, Event, Identifiers, Outgoing, Request};
use fuzz::frames;
use fuzz::message::{Envelope, Message, Time};
use fuzz::mqtt::{Action, Inbound, Limits, Outbound, Step, Written};
use fuzz::topic::Topic;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const V311: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a";
const V5: &[u8] = b"\x10\x16\0\x04MQTT\x05\x02\0\x3C\x08\x22\0\x03\x27\0\0\x02\0\0\x01a";

fn open(connect: &[u8]) -> (Inbound, Outbound) {
    let mut inbound = Inbound::new(Arc::new(Limits::default()), "l".into(), "p".into(), Time(0));
    let Ok(Step::Packet { action: Action::Request(Request::Attach(attach)), .. }) = inbound.receive(Time(0), connect)
    else {
        panic!("a good CONNECT")
    };
    let mut outbound = inbound.outbound();
    let client = Arc::new(attach.client);
    let event = Event::Attached(Attached { client, resumed: false, assigned: false, expiry_seconds: 0, proof: None });
    inbound.answered(&event);
    let _ = outbound.event(&event, &mut Vec::new());
    (inbound, outbound)
}

fuzz_target!(|input: &[u8]| {
    let Some((how, mut bytes)) = input.split_first() else { return };
    let (mut publisher, _) = open(if how & 1 == 0 { V311 } else { V5 });
    let (_, mut subscriber) = open(if how & 2 == 0 { V311 } else { V5 });
    while !bytes.is_empty() {
        let Ok(Step::Packet { length, action }) = publisher.receive(Time(0), bytes) else { return };
        if let Action::Request(Request::Publish(publish)) = action {
            let Ok(topic) = Topic::new(publish.name, &Default::default()) else { return };
            let envelope = Envelope {
                topic,
                guarantee: publish.guarantee,
                retain: publish.retain,
                expires: publish.expiry_seconds.map(|seconds| Time(0).plus_seconds(seconds)),
                properties: publish.properties,
                hops: 0,
            };
            let delivery = Delivery {
                message: Message::new(envelope, 0, publish.payload),
                name: None,
                guarantee: publish.guarantee,
                retain: publish.retain,
                duplicate: how & 4 != 0,
                handle: 7,
                identifiers: Identifiers::new(),
            };
            let mut out = Vec::new();
            let sent = subscriber.deliver(Time(0), &Outgoing::Deliver(delivery), &mut out) != Written::TooLarge;
            assert!(!subscriber.go_on(usize::MAX, &mut out));
            assert_eq!(frames::mqtt(&out), usize::from(sent));
            assert!(how & 2 == 0 || out.len() <= 512, "longer than the client takes");
            assert!(!sent || out.ends_with(publish.payload));
        }
        bytes = &bytes[length..];
    }
});
