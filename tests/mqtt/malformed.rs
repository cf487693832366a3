//! Bytes that no client may send. Each row: what it is called in the list of bad inputs, the bytes, the reason codes that
//! may be given for it. 3.1.1 has no reasons: there the connection is closed and nothing said. After each row a second
//! client must be served as if nothing had happened.

use crate::harness::property::{REASON_STRING, REQUEST_PROBLEM_INFORMATION};
use crate::harness::*;

/// A row for a connection that is established: name, bytes in 3.1.1, bytes in 5.0 (empty: not a row there), reasons.
type Row = (&'static str, &'static str, &'static str, &'static [u8]);

const MALFORMED: &[u8] = &[0x81];
const PROTOCOL: &[u8] = &[0x82];
const EITHER: &[u8] = &[0x81, 0x82];

/// F: framing and packet types.
const FRAMING: &[Row] = &[
    ("F01 length of five bytes", "C0 FF FF FF FF 01", "C0 FF FF FF FF 01", MALFORMED),
    ("F02 length not minimal", "", "C0 80 80 80 00", MALFORMED),
    ("F06 packet type 0", "00 00", "00 00", EITHER),
    ("F06 packet type 15 in 3.1.1", "F0 00", "", MALFORMED),
    ("F07 flags of SUBSCRIBE", "80 06 0001 0001 61 00", "80 07 0001 00 0001 61 00", MALFORMED),
    ("F07 flags of UNSUBSCRIBE", "A0 05 0001 0001 61", "A0 06 0001 00 0001 61", MALFORMED),
    ("F07 flags of PUBACK", "41 02 0001", "41 02 0001", MALFORMED),
    ("F07 flags of PUBREC", "52 02 0001", "52 02 0001", MALFORMED),
    ("F07 flags of PUBREL", "60 02 0001", "60 02 0001", MALFORMED),
    ("F07 flags of PUBCOMP", "78 02 0001", "78 02 0001", MALFORMED),
    ("F07 flags of PINGREQ", "C1 00", "C1 00", MALFORMED),
    ("F07 flags of DISCONNECT", "E1 00", "E1 00", MALFORMED),
    ("F08 QoS 3", "36 05 0001 61 0001", "36 06 0001 61 0001 00", MALFORMED),
    ("F09 DUP with QoS 0", "38 03 0001 61", "38 04 0001 61 00", MALFORMED),
    ("F11 CONNACK", "20 02 0000", "20 03 00 00 00", PROTOCOL),
    ("F11 SUBACK", "90 03 0001 00", "90 04 0001 00 00", PROTOCOL),
    ("F11 UNSUBACK", "B0 02 0001", "B0 04 0001 00 00", PROTOCOL),
    ("F11 PINGRESP", "D0 00", "D0 00", PROTOCOL),
    ("F13 byte after PINGREQ", "C0 01 00", "C0 01 00", MALFORMED),
    ("F13 byte after PUBACK", "40 03 0001 00", "40 05 0001 00 00 00", MALFORMED),
    ("F13 byte after DISCONNECT", "E0 01 00", "E0 03 00 00 00", MALFORMED),
    ("F14 topic past the end", "30 03 FFFF 61", "30 04 FFFF 61 00", MALFORMED),
    ("F14 PUBACK too short", "40 01 00", "40 01 00", MALFORMED),
];

/// U: strings that are not UTF-8, in each place where a string may stand.
const STRINGS: &[Row] = &[
    ("U01 U+0000 in a topic", "30 05 0003 610062", "30 06 0003 610062 00", MALFORMED),
    ("U01 U+0000 in a filter", "82 08 0001 0003 610062 00", "82 09 0001 00 0003 610062 00", MALFORMED),
    ("U01 U+0000 in UNSUBSCRIBE", "A2 07 0001 0003 610062", "A2 08 0001 00 0003 610062", MALFORMED),
    ("U01 U+0000 in a property", "", "30 0A 0001 61 06 03 0003 610062", MALFORMED),
    ("U02 surrogate in a topic", "30 05 0003 EDA080", "30 06 0003 EDA080 00", MALFORMED),
    ("U02 surrogate in a filter", "82 08 0001 0003 EDA080 00", "82 09 0001 00 0003 EDA080 00", MALFORMED),
    ("U02 surrogate in a user property", "", "30 0D 0001 61 09 26 0003 EDA080 0001 61", MALFORMED),
    ("U03 overlong form", "30 04 0002 C080", "30 05 0002 C080 00", MALFORMED),
    ("U04 cut short", "30 03 0001 C3", "30 04 0001 C3 00", MALFORMED),
    ("U04 cut short in a filter", "82 06 0001 0001 C3 00", "82 07 0001 00 0001 C3 00", MALFORMED),
    ("U04 cut short in a response topic", "", "30 08 0001 61 04 08 0001 C3", MALFORMED),
];

/// T: topics, filters and their packets.
const TOPICS: &[Row] = &[
    ("T01 # in a topic", "30 03 0001 23", "30 04 0001 23 00", &[0x90]),
    ("T01 + in a topic", "30 03 0001 2B", "30 04 0001 2B 00", &[0x90]),
    ("T02 empty topic", "30 02 0000", "30 03 0000 00", PROTOCOL),
    ("T11 SUBSCRIBE of nothing", "82 02 0001", "82 03 0001 00", PROTOCOL),
    ("T11 UNSUBSCRIBE of nothing", "A2 02 0001", "A2 03 0001 00", PROTOCOL),
    ("T12 filter without options", "82 05 0001 0001 61", "82 06 0001 00 0001 61", MALFORMED),
    ("T13 identifier 0 in SUBSCRIBE", "82 06 0000 0001 61 00", "82 07 0000 00 0001 61 00", EITHER),
    ("T13 identifier 0 in UNSUBSCRIBE", "A2 05 0000 0001 61", "A2 06 0000 00 0001 61", EITHER),
    ("T13 identifier 0 in PUBLISH", "32 05 0001 61 0000", "32 06 0001 61 0000 00", EITHER),
    ("T13 identifier 0 in PUBREL", "62 02 0000", "62 02 0000", EITHER),
    ("T14 QoS 1 without identifier", "32 03 0001 61", "32 03 0001 61", MALFORMED),
    ("T15 QoS 3 granted", "82 06 0001 0001 61 03", "82 07 0001 00 0001 61 03", PROTOCOL),
    ("T15 reserved bits", "82 06 0001 0001 61 80", "82 07 0001 00 0001 61 C0", MALFORMED),
    ("T15 options of 5.0 in 3.1.1", "82 06 0001 0001 61 04", "", EITHER),
    ("T15 retain handling 3", "", "82 07 0001 00 0001 61 30", PROTOCOL),
];

/// P: properties.
const PROPERTIES: &[Row] = &[
    ("P01 length past the end", "", "30 04 0001 61 7F", MALFORMED),
    ("P01 length past the end of SUBSCRIBE", "", "82 07 0001 7F 0001 61 00", MALFORMED),
    ("P02 length of five bytes", "", "30 08 0001 61 FFFFFFFF01", MALFORMED),
    ("P03 content type twice", "", "30 0C 0001 61 08 03000178 03000178", PROTOCOL),
    ("P03 subscription identifier twice", "", "82 0B 0001 04 0B01 0B02 0001 61 00", PROTOCOL),
    ("P06 alias that was not set", "", "30 06 0000 03 23 0005", PROTOCOL),
    ("P10 session expiry in PUBLISH", "", "30 0A 0001 61 05 11 00000000 31", EITHER),
    ("P11 subscription identifier in PUBLISH", "", "30 07 0001 61 02 0B 01 31", EITHER),
    ("P11 subscription identifier 0", "", "82 09 0001 02 0B 00 0001 61 00", EITHER),
    ("P13 AUTH that nothing led to", "", "F0 00", PROTOCOL),
    ("P13 re-authentication without a method", "", "F0 02 19 00", PROTOCOL),
    ("P14 response topic with #", "", "30 08 0001 61 04 08 0001 23", EITHER),
    ("P15 session expiry raised from 0", "", "E0 07 00 05 11 0000003C", PROTOCOL),
    ("P16 reason that is none", "", "E0 01 05", EITHER),
    ("property that does not exist", "", "30 06 0001 61 02 7E 00", EITHER),
    ("property cut short", "", "30 07 0001 61 03 02 0000", MALFORMED),
    ("payload format 2", "", "30 06 0001 61 02 01 02", EITHER),
    ("reason of PUBACK that is none", "", "40 03 0001 05", EITHER),
];

#[test]
fn framing() {
    check(FRAMING);
}

#[test]
fn strings() {
    check(STRINGS);
}

#[test]
fn topics() {
    check(TOPICS);
}

#[test]
fn properties() {
    check(PROPERTIES);
}

fn check(rows: &[Row]) {
    let mut healthy = Healthy::new();
    let mut faults = Vec::new();
    for (name, old, new, reasons) in rows {
        for (version, bytes) in [(V311, old), (V5, new)].into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let mut client = client(version);
            client.send(&hex(bytes));
            let heard = drain(&mut client);
            let expected = match (&heard, version) {
                (Heard::Closed, _) => version == V311,
                (Heard::Goodbye(code), V5) => reasons.contains(code),
                _ => false,
            };
            if !expected {
                faults.push(format!("{name}, {version:?}, {bytes}: {heard:02x?}, expected {reasons:02x?}"));
            }
            healthy.is_served();
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What the broker says to something that it must not accept.
#[derive(Debug)]
enum Heard {
    Closed,
    Goodbye(u8),
    Refused(u8),
    /// Anything else, or nothing at all: for the message of a failing row.
    #[allow(dead_code)]
    Else(String),
}

fn drain(client: &mut Client) -> Heard {
    let first = match client.try_receive() {
        Err(End::Closed) => return Heard::Closed,
        Err(End::Silence) => return Heard::Else("silence".to_owned()),
        Ok(Packet::Disconnect(farewell)) => Heard::Goodbye(farewell.code),
        Ok(Packet::Connack(answer)) if answer.code != 0 => Heard::Refused(answer.code),
        Ok(other) => return Heard::Else(format!("{other:?}")),
    };
    match client.try_receive() {
        Err(End::Closed) => first,
        other => Heard::Else(format!("{first:?} and then {other:?}")),
    }
}

/// The second client, which must not notice anything.
struct Healthy {
    client: Client,
    topic: String,
}

impl Healthy {
    fn new() -> Self {
        let topic = unique("healthy");
        let mut client = client(V5);
        client.subscribe(&topic, 1);
        Self { client, topic }
    }

    fn is_served(&mut self) {
        self.client.say(&self.topic, "served", 1);
        self.client.expect(&self.topic, "served", 1);
    }
}

/// A row for a fresh socket: name, bytes, codes of a CONNACK that may be given before the connection is closed.
type First = (&'static str, &'static str, &'static [u8]);

/// Packets that may not come first: closed, and nothing said.
const NOT_CONNECT: &[First] = &[
    ("F01 length of five bytes", "10 FF FF FF FF 01", &[]),
    ("F04 SUBSCRIBE of 256 MiB", "82 FF FF FF 7F", &[]),
    ("F04 packet of 256 MiB with wrong flags", "80 FF FF FF 7F", &[]),
    ("F05 PUBACK", "40 02 0001", &[]),
    ("F05 PUBLISH", "30 03 0001 61", &[]),
    ("F05 DISCONNECT", "E0 00", &[]),
    ("F05 PINGREQ", "C0 00", &[]),
    ("F05 SUBSCRIBE", "82 06 0001 0001 61 00", &[]),
    ("F06 packet type 0", "00 00", &[]),
    ("F06 AUTH", "F0 00", &[]),
    ("F11 CONNACK", "20 02 0000", &[]),
    ("HTTP", "47 45 54 20 2F 20 48 54 54 50 2F 31 2E 31 0D 0A 0D 0A", &[]),
    ("TLS", "16 03 01 00 05 01 00 00 01 03", &[]),
];

/// CONNECT of 3.1.1.
const CONNECT_3_1_1: &[First] = &[
    ("F07 flags of CONNECT", "1F 0D 0004 4D515454 04 02 003C 0001 61", &[]),
    ("F13 byte after the end", "10 0E 0004 4D515454 04 02 003C 0001 61 00", &[]),
    ("F14 id past the end", "10 0D 0004 4D515454 04 02 003C FFFF 61", &[]),
    ("F16 password without user name", "10 10 0004 4D515454 04 42 003C 0001 61 0001 70", &[]),
    ("F17 reserved flag", "10 0D 0004 4D515454 04 03 003C 0001 61", &[]),
    ("F18 will QoS without will", "10 0D 0004 4D515454 04 0A 003C 0001 61", &[]),
    ("F18 will retain without will", "10 0D 0004 4D515454 04 22 003C 0001 61", &[]),
    ("F18 will QoS 3", "10 13 0004 4D515454 04 1E 003C 0001 61 0001 77 0001 78", &[]),
    ("F19 user name absent", "10 0D 0004 4D515454 04 82 003C 0001 61", &[]),
    ("F20 user name not UTF-8", "10 10 0004 4D515454 04 82 003C 0001 61 0001 FF", &[]),
    ("F21 another protocol", "10 0D 0004 4D515455 04 02 003C 0001 61", &[0x01]),
    ("F21 level 3 with the name of 3.1.1", "10 0D 0004 4D515454 03 02 003C 0001 61", &[0x01]),
    ("U01 U+0000 in the id", "10 0F 0004 4D515454 04 02 003C 0003 610062", &[0x02]),
    ("U02 surrogate in the id", "10 0F 0004 4D515454 04 02 003C 0003 EDA080", &[0x02]),
    ("U04 id cut short", "10 0D 0004 4D515454 04 02 003C 0001 C3", &[0x02]),
    ("U01 U+0000 in the will's topic", "10 15 0004 4D515454 04 06 003C 0001 61 0003 770078 0001 78", &[]),
    ("T01 # in the will's topic", "10 13 0004 4D515454 04 06 003C 0001 61 0001 23 0001 78", &[]),
    ("T02 empty topic of the will", "10 12 0004 4D515454 04 06 003C 0001 61 0000 0001 78", &[]),
];

/// CONNECT of 5.0.
const CONNECT_5_0: &[First] = &[
    ("F02 length not minimal", "10 8E 80 00 0004 4D515454 05 02 003C 00 0001 61", MALFORMED),
    ("F07 flags of CONNECT", "1F 0E 0004 4D515454 05 02 003C 00 0001 61", MALFORMED),
    ("F13 byte after the end", "10 0F 0004 4D515454 05 02 003C 00 0001 61 00", MALFORMED),
    ("F14 id past the end", "10 0E 0004 4D515454 05 02 003C 00 FFFF 61", MALFORMED),
    ("F17 reserved flag", "10 0E 0004 4D515454 05 03 003C 00 0001 61", MALFORMED),
    ("F18 will QoS 3", "10 15 0004 4D515454 05 1E 003C 00 0001 61 00 0001 77 0001 78", MALFORMED),
    ("F18 will retain without will", "10 0E 0004 4D515454 05 22 003C 00 0001 61", MALFORMED),
    ("F19 user name absent", "10 0E 0004 4D515454 05 82 003C 00 0001 61", MALFORMED),
    ("F20 user name not UTF-8", "10 11 0004 4D515454 05 82 003C 00 0001 61 0001 FF", MALFORMED),
    ("U02 surrogate in the id", "10 10 0004 4D515454 05 02 003C 00 0003 EDA080", &[0x81, 0x85]),
    ("T01 # in the will's topic", "10 15 0004 4D515454 05 06 003C 00 0001 61 00 0001 23 0001 78", &[0x81, 0x82, 0x90]),
    ("P01 length past the end", "10 0E 0004 4D515454 05 02 003C 7F 0001 61", MALFORMED),
    ("P02 length of five bytes", "10 12 0004 4D515454 05 02 003C FFFFFFFF01 0001 61", MALFORMED),
    ("P03 receive maximum twice", "10 14 0004 4D515454 05 02 003C 06 210005 210005 0001 61", PROTOCOL),
    ("P04 receive maximum 0", "10 11 0004 4D515454 05 02 003C 03 210000 0001 61", EITHER),
    ("P05 maximum packet size 0", "10 13 0004 4D515454 05 02 003C 05 2700000000 0001 61", EITHER),
    (
        "P12 session expiry in the will",
        "10 1A 0004 4D515454 05 06 003C 00 0001 61 05 1100000001 0001 77 0001 78",
        EITHER,
    ),
    ("P12 length of the will's properties", "10 15 0004 4D515454 05 06 003C 00 0001 61 7F 0001 77 0001 78", MALFORMED),
    ("P13 data without method", "10 12 0004 4D515454 05 02 003C 04 16000161 0001 61", PROTOCOL),
    ("P13 method that nobody knows", "10 12 0004 4D515454 05 02 003C 04 15000178 0001 61", &[0x8C]),
    ("property of PUBLISH", "10 10 0004 4D515454 05 02 003C 02 0100 0001 61", EITHER),
    ("request problem information 2", "10 10 0004 4D515454 05 02 003C 02 1702 0001 61", EITHER),
    ("user name in the place of the id", "10 0D 0004 4D515454 05 82 003C 00 0000", MALFORMED),
];

/// [MQTT-3.1.0-1]
#[test]
fn packets_that_may_not_come_first() {
    check_first(V311, NOT_CONNECT);
}

#[test]
fn connect_of_3_1_1() {
    check_first(V311, CONNECT_3_1_1);
}

#[test]
fn connect_of_5_0() {
    check_first(V5, CONNECT_5_0);
}

fn check_first(version: Version, rows: &[First]) {
    let mut healthy = Healthy::new();
    let mut faults = Vec::new();
    for (name, bytes, codes) in rows {
        let mut client = Client::dial(address(), version);
        client.send(&hex(bytes));
        let heard = drain(&mut client);
        let expected = match &heard {
            Heard::Closed => true,
            Heard::Refused(code) => codes.contains(code),
            _ => false,
        };
        if !expected {
            faults.push(format!("{name}, {bytes}: {heard:02x?}, expected to be closed, or refused with {codes:02x?}"));
        }
        healthy.is_served();
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// F21, [MQTT-3.1.2-2]: what the answer looks like is left open, as it is to a protocol that nobody knows.
#[test]
fn a_level_that_nobody_knows_is_refused() {
    let mut client = Client::dial(address(), V5);
    client.send(&hex("10 0D 0004 4D515454 06 02 003C 0001 61"));
    let answer = client.rest();
    assert!([&hex("")[..], &hex("20 02 00 01"), &hex("20 03 00 84 00")].contains(&&answer[..]), "{answer:02x?}");
}

/// F02: 3.1.1 does not ask for the shortest form.
#[test]
fn a_length_that_is_not_minimal_is_tolerated_in_3_1_1() {
    let mut client = client(V311);
    client.send(&hex("C0 80 00"));
    assert_eq!(client.receive(), Packet::Pingresp);
}

/// F10, [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_violation() {
    for (version, second) in
        [(V311, "10 0D 0004 4D515454 04 02 003C 0001 61"), (V5, "10 0E 0004 4D515454 05 02 003C 00 0001 61")]
    {
        let topic = unique("second");
        let mut watcher = client(V5);
        watcher.subscribe(&topic, 0);
        let mut client = connect(version).will(Will::new(&topic, "violated")).open();
        client.send(&hex(second));
        assert_eq!(client.expect_closed(), (version == V5).then_some(0x82));
        watcher.expect(&topic, "violated", 0);
    }
}

/// F12: every beginning of a CONNECT, and then nothing more.
#[test]
fn a_connect_that_breaks_off_harms_nobody() {
    let mut healthy = Healthy::new();
    for whole in ["10 0D 0004 4D515454 04 02 003C 0001 61", "10 0E 0004 4D515454 05 02 003C 00 0001 61"] {
        let bytes = hex(whole);
        for length in 0..bytes.len() {
            let mut client = Client::dial(address(), V5);
            client.send(&bytes[..length]);
            client.cut();
            healthy.is_served();
        }
    }
}

/// P16: a DISCONNECT that is none does not take the will back.
#[test]
fn a_goodbye_that_is_none_publishes_the_will() {
    let topic = unique("reserved");
    let mut watcher = client(V5);
    watcher.subscribe(&topic, 0);
    let mut client = connect(V5).will(Will::new(&topic, "not a goodbye")).open();
    client.send(&hex("E0 01 05"));
    watcher.expect(&topic, "not a goodbye", 0);
}

/// T06: an empty filter.
#[test]
fn an_empty_filter_is_refused_or_closed() {
    for (version, bytes) in [(V311, "82 05 0001 0000 00"), (V5, "82 06 0001 00 0000 00")] {
        let mut client = client(version);
        client.send(&hex(bytes));
        match client.try_receive() {
            Ok(Packet::Suback(granted)) => assert!(granted.codes[0] >= 0x80),
            Ok(Packet::Disconnect(farewell)) => assert!(farewell.code >= 0x80),
            Err(End::Closed) => assert_eq!(version, V311),
            other => panic!("{other:?}"),
        }
    }
}

/// T09: a client's message to `$SYS` or another name of the broker's own.
#[test]
fn a_message_to_a_name_of_the_broker_harms_nobody() {
    let mut healthy = Healthy::new();
    for topic in ["$SYS/x", "$x", "$SYS", "$share/g/a"] {
        for version in BOTH {
            let mut publisher = client(version);
            publisher.send_publish(&Publish::new(topic, "x", 1));
            match publisher.try_receive() {
                Ok(Packet::Puback(ack)) => assert!(matches!(ack.code, 0 | 0x10 | 0x87 | 0x90)),
                Ok(Packet::Disconnect(farewell)) => assert!(matches!(farewell.code, 0x87 | 0x90)),
                Err(End::Closed) => assert_eq!(version, V311),
                other => panic!("{other:?}"),
            }
            healthy.is_served();
        }
    }
}

/// U05: one policy for a character, whichever field it stands in.
#[test]
fn control_characters_are_treated_alike_everywhere() {
    for character in ['\u{1}', '\n', '\u{1F}', '\u{7F}', '\u{9F}', '\u{FFFF}'] {
        let own = unique("control");
        let name = format!("{own}/{character}");
        let mut publisher = client(V5);
        publisher.send_publish(&Publish::new(&name, "x", 1).id(1));
        let as_topic = matches!(publisher.receive(), Packet::Puback(ack) if ack.code < 0x80);
        let mut subscriber = client(V5);
        subscriber.send(&raw(0x82, &[&[0, 1, 0, 0, name.len() as u8], name.as_bytes(), &[0]].concat()));
        let as_filter = matches!(subscriber.receive(), Packet::Suback(granted) if granted.codes[0] < 0x80);
        let answer = connect(V5).id(&name).sent().try_receive();
        let as_id = matches!(answer, Ok(Packet::Connack(answer)) if answer.code == 0);
        assert_eq!((as_topic, as_id), (as_filter, as_filter), "{character:?}");
    }
}

/// U07, [MQTT-1.5.4-3]
#[test]
fn a_byte_order_mark_is_a_character() {
    let topic = format!("\u{feff}{}", unique("mark"));
    let mut client = client(V5);
    client.subscribe(&topic, 1);
    client.say(&topic, "x", 1);
    client.expect(&topic, "x", 1);
}

/// Q06: an acknowledgement of the wrong kind. The delivery goes on being under way.
#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_violation() {
    for version in BOTH {
        for (qos, wrong) in [(2, 0x40), (1, 0x50), (2, 0x70)] {
            let (id, topic) = (unique("wrong"), unique("wrong"));
            let mut subscriber = connect(version).id(&id).kept().open();
            subscriber.subscribe(&topic, qos);
            client(version).say(&topic, "x", qos);
            let message = subscriber.delivery();
            subscriber.ack(wrong, message.id);
            assert_eq!(subscriber.expect_closed(), (version == V5).then_some(0x82), "{wrong:02x} for QoS {qos}");
            connect(version).id(&id).kept().resume().expect(&topic, "x", qos);
        }
    }
}

/// MQTT 5.0, 3.14.2.2.3: the DISCONNECT says what was wrong, unless the client does not want to know [MQTT-3.1.2-29].
#[test]
fn an_acknowledgement_of_the_wrong_kind_is_told_in_words() {
    for (wants, qos, wrong) in [(1, 2, 0x40), (1, 1, 0x50), (1, 2, 0x70), (0, 1, 0x50)] {
        let topic = unique("wrong");
        let mut subscriber = connect(V5).with(Property::Byte(REQUEST_PROBLEM_INFORMATION, wants)).open();
        subscriber.subscribe(&topic, qos);
        client(V5).say(&topic, "x", qos);
        let message = subscriber.delivery();
        subscriber.ack(wrong, message.id);
        let said = subscriber.expect_disconnect(0x82);
        assert_eq!(said.properties.text(REASON_STRING).is_some(), wants == 1, "{wrong:02x} for QoS {qos}");
    }
}

/// F03, F15: a socket on which no CONNECT comes, or none that ends, is closed after some seconds.
#[test]
fn a_connect_that_does_not_come_is_not_waited_for() {
    let mut silent: Vec<Client> = (0..10).map(|_| Client::dial(address(), V311)).collect();
    for client in silent.iter_mut().skip(5) {
        client.send(&hex("10 FF FF FF 7F 00"));
    }
    for client in &mut silent {
        assert_eq!(client.try_receive(), Err(End::Closed));
    }
}

/// F10, F25: a thousand of them in one go.
#[test]
fn pipelined_connects_are_a_violation() {
    let mut healthy = Healthy::new();
    let mut client = Client::dial(address(), V311);
    let once = hex("10 0F 0004 4D515454 04 02 003C 0003 463235");
    client.try_send(&once.repeat(1000));
    // Closing on a client that is still writing may cost it the CONNACK.
    match client.try_receive() {
        Ok(Packet::Connack(answer)) => assert_eq!((answer.code, client.try_receive()), (0, Err(End::Closed))),
        other => assert_eq!(other, Err(End::Closed)),
    }
    healthy.is_served();
}
