//! Bytes that nobody thought of: nothing panics, nothing is read past its end, what is written comes back, and where the
//! reading differs from that of `mqttbytes` it is the stricter one.

use super::harness::{C3, C5, C31, Connection};
use crate::dialogue::{Delivery, Identifiers, Outgoing};
use crate::message::{Envelope, Guarantee, Message, Properties, Time};
use crate::mqtt::packet::{Version, header, publish, subscribe, text};
use crate::mqtt::{Inbound, Limits, Step, Written};
use crate::topic::Topic;
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

fn connect() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![Just(C31), Just(C3), Just(C5)]
}

/// Bytes that get past the first checks more often than bytes at random do.
pub(super) fn likely_packet() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x30_u8, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0, 0xF0, 0x10]),
        1 => any::<u8>(),
    ];
    let byte =
        prop_oneof![3 => 0..6_u8, 1 => prop::sample::select(b"a/+#$\x26\x23\x1F\x0B\x7F".to_vec()), 1 => any::<u8>()];
    (first, vec(byte, 0..60)).prop_map(|(first, body)| {
        let mut packet = vec![first, body.len() as u8];
        packet.extend(body);
        packet
    })
}

fn topic() -> impl Strategy<Value = String> {
    "[a-zß/$]{1,40}"
}

fn properties() -> impl Strategy<Value = Properties> {
    let text = "[a-z]{0,9}".prop_map(Box::<str>::from);
    let user = vec((text.clone(), text.clone()), 0..4);
    let data = vec(any::<u8>(), 0..9).prop_map(Box::<[u8]>::from);
    let topic = topic().prop_map(Box::<str>::from);
    (option::of(text), option::of(any::<bool>()), option::of(topic), option::of(data), user).prop_map(
        |(content_type, payload_is_text, response_topic, correlation_data, user)| Properties {
            content_type,
            payload_is_text,
            response_topic,
            correlation_data,
            user,
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_a_connection_panic(connect in connect(), bytes in vec(any::<u8>(), 0..100)) {
        Connection::new(Limits::default()).send(&bytes);
        Connection::open(connect).send(&bytes);
    }

    #[test]
    fn no_packets_make_a_connection_panic(connect in connect(), packets in vec(likely_packet(), 1..6)) {
        let mut c = Connection::open(connect);
        for packet in packets {
            c.send(&packet);
        }
        Connection::new(Limits::default()).send(&c.sent);
    }

    /// However a packet is cut, it is read when it is whole and not before, and it says the same.
    #[test]
    fn a_packet_is_read_when_it_is_whole(connect in connect(), packet in likely_packet()) {
        let mut whole = Connection::open(connect);
        whole.send(&packet);
        let mut cut = Connection::open(connect);
        for end in 0..packet.len() {
            let step = cut.inbound.receive(Time(0), &packet[..end]);
            match step {
                Ok(Step::NeedMore { length }) => prop_assert!(length.is_none_or(|length| length == packet.len())),
                Ok(Step::Packet { .. }) => prop_assert!(false, "read after {} bytes", end),
                Err(violation) => {
                    prop_assert_eq!(Some(violation), whole.violation);
                    return Ok(());
                }
            }
        }
        cut.send(&packet);
        prop_assert_eq!(cut.violation, whole.violation);
        prop_assert_eq!(cut.requests, whole.requests);
    }

    /// MQTT-3.3.2-15 to -20: a message goes through unaltered.
    #[test]
    fn a_delivery_can_be_read(
        topic in topic(),
        payload in vec(any::<u8>(), 0..300),
        properties in option::of(properties()),
        level in 0..3_u8,
        retain: bool,
        handle in 1..u16::MAX,
        expires in option::of(1..100_u64),
        identifiers in vec(1..268_435_455_u32, 0..4),
        is_v5: bool,
    ) {
        let envelope = Envelope {
            topic: Topic::new(&topic, &crate::topic::Limits::default()).unwrap(),
            guarantee: Guarantee::ExactlyOnce,
            retain,
            expires: expires.map(|seconds| Time(seconds * 1000)),
            properties: properties.clone().map(Box::new),
            hops: 0,
        };
        let message = Message::new(envelope, 0, &payload);
        let guarantee = Guarantee::from_level(level).unwrap();
        let delivery = Delivery {
            message, name: None, guarantee, retain, duplicate: false, handle, identifiers: Identifiers::new(),
        };
        let mut c = Connection::open(if is_v5 { C5 } else { C3 });
        let outbound = c.outbound.as_mut().unwrap();
        prop_assert_eq!(outbound.deliver(Time(0), &Outgoing::Deliver(delivery.clone()), &mut c.sent), Written::Whole);
        let version = if is_v5 { Version::V5 } else { Version::V311 };
        let header = header::read(&c.sent).unwrap().unwrap();
        prop_assert!(header.is_minimal());
        prop_assert_eq!(header.total(), c.sent.len());
        let read = publish::read(c.sent[0], &c.sent[header.bytes..], version, 10, text::topic_name).unwrap();
        prop_assert_eq!((read.topic, read.payload, read.guarantee, read.retain), (&*topic, &*payload, guarantee, retain));
        prop_assert_eq!(read.handle, if level == 0 { 0 } else { handle });
        let said = if is_v5 { properties.filter(|properties| !properties.is_empty()) } else { None };
        prop_assert_eq!(read.properties.rest.map(|rest| *rest), said);
        prop_assert_eq!(read.properties.expiry_seconds, if is_v5 { expires.map(|seconds| seconds as u32) } else { None });
        if is_v5 {
            let theirs = mqttbytes::v5::read(&mut BytesMut::from(&c.sent[..]), c.sent.len());
            let Ok(mqttbytes::v5::Packet::Publish(theirs)) = theirs else {
                return Err(TestCaseError::fail(format!("{theirs:?} {:02X?}", c.sent)));
            };
            prop_assert_eq!((&*theirs.topic, &*theirs.payload, theirs.qos as u8), (&*topic, &*payload, level));
        }
        // With identifiers the packet is one that only a server may send, so nobody here can read it.
        let delivery = Delivery { identifiers: Identifiers::from_slice(&identifiers), ..delivery };
        let mut out = Vec::new();
        prop_assert_eq!(outbound.deliver(Time(0), &Outgoing::Deliver(delivery), &mut out), Written::Whole);
        prop_assert_eq!(header::read(&out).unwrap().unwrap().total(), out.len());
        prop_assert!(out.ends_with(&payload));
    }

    /// What the gate lets pass, `mqttbytes` reads as the same (its known faults are rows elsewhere).
    #[test]
    fn what_we_read_mqttbytes_reads(packet in likely_packet(), is_v5: bool) {
        let version = if is_v5 { Version::V5 } else { Version::V311 };
        if header::check_first(packet[0], version).is_err() {
            return Ok(());
        }
        let stream = &mut BytesMut::from(&packet[..]);
        let (body, limits) = (&packet[2..], Limits::default());
        match packet[0] >> 4 {
            3 => {
                let Ok(ours) = publish::read(packet[0], body, version, 99, text::topic_name) else { return Ok(()) };
                let (topic, qos, id, payload) = match is_v5 {
                    true => match mqttbytes::v5::read(stream, 1000) {
                        Ok(mqttbytes::v5::Packet::Publish(p)) => (p.topic, p.qos as u8, p.pkid, p.payload),
                        other => return Err(TestCaseError::fail(format!("{other:?} {packet:02X?}"))),
                    },
                    false => match mqttbytes::v4::read(stream, 1000) {
                        Ok(mqttbytes::v4::Packet::Publish(p)) => (p.topic, p.qos as u8, p.pkid, p.payload),
                        other => return Err(TestCaseError::fail(format!("{other:?} {packet:02X?}"))),
                    },
                };
                let found = (ours.topic, ours.guarantee.level(), ours.handle, ours.payload);
                prop_assert_eq!(found, (&*topic, qos, id, &*payload));
            }
            8 if !is_v5 => {
                let Ok(subscribe::Filters::Taken(ours)) = subscribe::read(body, version, &limits) else { return Ok(()) };
                let theirs = mqttbytes::v4::read(stream, 1000);
                let Ok(mqttbytes::v4::Packet::Subscribe(theirs)) = theirs else {
                    return Err(TestCaseError::fail(format!("{theirs:?} {packet:02X?}")));
                };
                prop_assert_eq!((ours.handle, ours.filters.len()), (theirs.pkid, theirs.filters.len()));
                for (ours, theirs) in ours.filters.iter().zip(&theirs.filters) {
                    prop_assert_eq!(ours.options.guarantee.level(), theirs.qos as u8);
                    prop_assert!(ours.share.is_some() || *ours.name == *theirs.path);
                }
            }
            _ => {}
        }
    }

    /// CONNECT as mqttbytes writes it is read as it was meant.
    #[test]
    fn what_mqttbytes_writes_we_read(
        id in "[a-z]{1,30}",
        keep_alive: u16,
        clean: bool,
        user in option::of("[a-z]{1,9}"),
        will in option::of((topic(), vec(any::<u8>(), 0..20), 0..3_u8, any::<bool>())),
    ) {
        let mut connect = mqttbytes::v5::Connect::new(&id);
        (connect.keep_alive, connect.clean_session) = (keep_alive, clean);
        if let Some(user) = &user {
            connect.set_login(user.clone(), "p".to_owned());
        }
        connect.last_will = will.clone().map(|(topic, payload, qos, retain)| {
            mqttbytes::v5::LastWill::new(topic, payload, mqttbytes::qos(qos).unwrap(), retain)
        });
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).unwrap();
        let mut inbound = Inbound::new(Arc::default(), "l".into(), "p".into(), Time(0));
        let request = match inbound.receive(Time(0), &bytes) {
            Ok(Step::Packet { action: crate::mqtt::Action::Request(crate::dialogue::Request::Attach(attach)), .. }) => attach,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!((&*request.client.id, request.clean), (&*id, clean));
        prop_assert_eq!(request.credentials.and_then(|c| c.user_name), user.map(Into::into));
        let found = request.will.map(|w| (w.name.to_string(), w.payload.to_vec(), w.guarantee.level(), w.retain));
        prop_assert_eq!(found, will);
        let silence = u64::from(keep_alive) * 1500;
        prop_assert_eq!(inbound.deadline(), (silence > 0).then_some(Time(silence)));
    }
}
