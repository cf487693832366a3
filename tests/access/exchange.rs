//! SCRAM in AUTH packets of MQTT 5.0 (4.12), by a client written from RFC 5802.

use super::rig::{PASSWORD, Rig, write_users};
use crate::harness::packet::Farewell;
use crate::harness::property::{AUTHENTICATION_DATA, AUTHENTICATION_METHOD, MAXIMUM_PACKET_SIZE, REASON_STRING};
use crate::harness::*;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use host::config::Config;
use sha2::{Digest, Sha256, Sha512};

const METHOD: &str = "SCRAM-SHA-256";
const FIRST: &str = "n=ann,r=fyko+d2lbbFgONRv9qkxdawL";

fn start() -> Option<Rig> {
    Rig::start_with(None, |config| write_users(&config.auth.password_file, &["ann", "bob"], true))
}

/// What a mechanism reckons with.
#[derive(Clone, Copy)]
pub(crate) struct Reckoning {
    mac: fn(&[u8], &[u8]) -> Vec<u8>,
    digest: fn(&[u8]) -> Vec<u8>,
}

pub(crate) const SHA_256: Reckoning = Reckoning {
    mac: |key, message| {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.chain_update(message).finalize().into_bytes().to_vec()
    },
    digest: |bytes| Sha256::digest(bytes).to_vec(),
};

pub(crate) const SHA_512: Reckoning = Reckoning {
    mac: |key, message| {
        let mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key).unwrap();
        mac.chain_update(message).finalize().into_bytes().to_vec()
    },
    digest: |bytes| Sha512::digest(bytes).to_vec(),
};

pub(crate) fn first(user: &str) -> Vec<u8> {
    format!("n,,{}", FIRST.replace("ann", user)).into_bytes()
}

/// The client's last message, and what the server has to answer.
pub(crate) fn last(user: &str, challenge: &[u8], password: &str) -> (Vec<u8>, Vec<u8>) {
    last_by(SHA_256, user, challenge, password)
}

/// As [`last`], by any of the mechanisms.
pub(crate) fn last_by(by: Reckoning, user: &str, challenge: &[u8], password: &str) -> (Vec<u8>, Vec<u8>) {
    let Reckoning { mac, digest } = by;
    let challenge = std::str::from_utf8(challenge).unwrap();
    let mut fields = challenge.split(',').map(|field| &field[2..]);
    let (nonce, salt, count) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
    assert!(nonce.starts_with("fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40);
    let salt = [&BASE64_STANDARD.decode(salt).unwrap()[..], &[0, 0, 0, 1]].concat();
    let mut block = mac(password.as_bytes(), &salt);
    let mut salted = block.clone();
    for _ in 1..count.parse::<u32>().unwrap() {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let key = mac(&salted, b"Client Key");
    let said = format!("{},{challenge},c=biws,r={nonce}", FIRST.replace("ann", user));
    let signature = mac(&digest(&key), said.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    let server = mac(&mac(&salted, b"Server Key"), said.as_bytes());
    let last = format!("c=biws,r={nonce},p={}", BASE64_STANDARD.encode(proof));
    (last.into_bytes(), format!("v={}", BASE64_STANDARD.encode(server)).into_bytes())
}

fn connecting(rig: &Rig, user: &str) -> Connect {
    connect(V5)
        .at(rig.address())
        .id(user)
        .with(Property::text(AUTHENTICATION_METHOD, METHOD))
        .with(Property::Binary(AUTHENTICATION_DATA, first(user)))
}

/// AUTH as a client sends it.
fn auth(reason: u8, method: &str, data: &[u8]) -> Vec<u8> {
    auth_with(reason, method, Some(data))
}

fn auth_with(reason: u8, method: &str, data: Option<&[u8]>) -> Vec<u8> {
    let text = |id: u8, value: &[u8]| [&[id][..], &(value.len() as u16).to_be_bytes(), value].concat();
    let data = data.map(|data| text(AUTHENTICATION_DATA, data)).unwrap_or_default();
    let properties = [text(AUTHENTICATION_METHOD, method.as_bytes()), data].concat();
    assert!(properties.len() < 256);
    let length = properties.len();
    let count = if length < 128 { vec![length as u8] } else { vec![(length % 128) as u8 | 128, (length / 128) as u8] };
    raw(0xF0, &[&[reason][..], &count, &properties].concat())
}

fn challenged(client: &mut Client) -> Vec<u8> {
    let Packet::Auth(auth) = client.receive() else { panic!("expected AUTH") };
    // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    assert_eq!((auth.code, auth.properties.text(AUTHENTICATION_METHOD)), (0x18, Some(METHOD)));
    data(&auth.properties)
}

fn data(properties: &Properties) -> Vec<u8> {
    let found = properties.0.iter().find_map(|property| match property {
        Property::Binary(AUTHENTICATION_DATA, data) => Some(data.clone()),
        _ => None,
    });
    found.expect("authentication data")
}

fn let_in(rig: &Rig, user: &str) -> Client {
    let mut client = connecting(rig, user).sent();
    let challenge = challenged(&mut client);
    let (last, proof) = last(user, &challenge, PASSWORD);
    client.send(&auth(0x18, METHOD, &last));
    let Packet::Connack(answer) = client.receive() else { panic!("expected CONNACK") };
    assert_eq!(answer.code, 0);
    // MQTT 5.0, 3.2.2.3.17 and .18
    assert_eq!(answer.properties.text(AUTHENTICATION_METHOD), Some(METHOD));
    assert_eq!(data(&answer.properties), proof, "the server proves that it knows the keys");
    client
}

/// MQTT 5.0, 4.12
#[test]
fn both_sides_prove_who_they_are() {
    let Some(rig) = start() else { return };
    let mut ann = let_in(&rig, "ann");
    ann.ping();
    assert_eq!(rig.admin().get("/api/v1/clients/ann").expect(200).json()["identity"], "ann");
    // The session is hers, whichever way she comes in.
    rig.as_user(V5, "bob").id("ann").refused(0x87);
}

/// MQTT 5.0, 4.12.1: as with CONNECT, whoever sends no data lets the broker begin.
#[test]
fn a_client_that_is_in_may_let_the_broker_begin() {
    let Some(rig) = start() else { return };
    let mut ann = let_in(&rig, "ann");
    ann.send(&auth_with(0x19, METHOD, None));
    let Packet::Auth(empty) = ann.receive() else { panic!("expected AUTH") };
    assert_eq!(empty.code, 0x18);
    ann.send(&auth(0x18, METHOD, &first("ann")));
    let challenge = challenged(&mut ann);
    let (last_words, proof) = last("ann", &challenge, PASSWORD);
    ann.send(&auth(0x18, METHOD, &last_words));
    let Packet::Auth(done) = ann.receive() else { panic!("expected AUTH") };
    assert_eq!((done.code, data(&done.properties)), (0x00, proof));
}

/// MQTT 5.0, 4.12.1
#[test]
fn a_client_that_is_in_proves_it_again() {
    let Some(rig) = start() else { return };
    let mut ann = let_in(&rig, "ann");
    ann.send(&auth(0x19, METHOD, &first("ann")));
    // Everything goes on meanwhile.
    ann.ping();
    let challenge = challenged(&mut ann);
    ann.subscribe("a", 1);
    let (last_words, proof) = last("ann", &challenge, PASSWORD);
    ann.send(&auth(0x18, METHOD, &last_words));
    let Packet::Auth(done) = ann.receive() else { panic!("expected AUTH") };
    assert_eq!((done.code, data(&done.properties)), (0x00, proof));
    ann.say("a", "x", 1);
    ann.expect("a", "x", 1);
    // [MQTT-4.12.1-2]: a proof that fails ends the connection.
    ann.send(&auth(0x19, METHOD, &first("ann")));
    let challenge = challenged(&mut ann);
    ann.send(&auth(0x18, METHOD, &last("ann", &challenge, "wrong").0));
    // The words are those that a client hears which is not let in.
    let said = |farewell: Farewell| farewell.properties.text(REASON_STRING).map(str::to_owned).expect("a reason");
    assert_eq!(said(ann.expect_disconnect(0x87)), "the user name or password is wrong");
    // So does one of being somebody else.
    let mut ann = let_in(&rig, "ann");
    ann.send(&auth(0x19, METHOD, &first("bob")));
    let challenge = challenged(&mut ann);
    ann.send(&auth(0x18, METHOD, &last("bob", &challenge, PASSWORD).0));
    assert!(said(ann.expect_disconnect(0x87)).contains("another user"));
}

/// MQTT 5.0, 3.1.4: who begins to prove who it is and stops half-way hears why the connection ends.
#[test]
fn an_exchange_that_stalls_is_refused() {
    let adjust = |config: &mut Config| {
        write_users(&config.auth.password_file, &["ann"], true);
        config.mqtt.connect_seconds_max = 1;
    };
    let Some(rig) = Rig::start_with(None, adjust) else { return };
    let mut client = connecting(&rig, "ann").sent();
    challenged(&mut client);
    let Packet::Connack(answer) = client.receive() else { panic!("expected CONNACK") };
    assert_eq!(answer.code, 0x87);
    assert!(answer.properties.text(REASON_STRING).is_some_and(|why| why.contains("in time")));
    client.expect_closed();
    // A connection on which nothing came hears nothing.
    assert_eq!(Client::dial(rig.address(), V5).try_receive(), Err(End::Closed));
}

/// [MQTT-3.1.2-24], MQTT 5.0, 4.12: an AUTH that the client does not take ends the exchange, with the reason.
#[test]
fn a_challenge_that_does_not_fit_is_told_so() {
    let Some(rig) = start() else { return };
    for (bytes_max, code) in [(4, 0), (5, 0x95), (60, 0x95)] {
        connecting(&rig, "ann").with(Property::Four(MAXIMUM_PACKET_SIZE, bytes_max)).refused(code);
    }
    let_in(&rig, "ann").ping();
}

#[test]
fn what_proves_nothing_is_refused() {
    let Some(rig) = start() else { return };
    for (user, password) in [("ann", "wrong"), ("nobody", PASSWORD)] {
        let mut client = connecting(&rig, user).sent();
        let challenge = challenged(&mut client);
        client.send(&auth(0x18, METHOD, &last(user, &challenge, password).0));
        assert!(matches!(client.receive(), Packet::Connack(Connack { code: 0x86, .. })));
        client.expect_closed();
    }
    // [MQTT-4.12.0-1]
    for method in ["PLAIN", "GS2-KRB5", "scram-sha-256"] {
        connect(V5).at(rig.address()).with(Property::text(AUTHENTICATION_METHOD, method)).refused(0x8C);
    }
    connect(V5)
        .at(rig.address())
        .with(Property::text(AUTHENTICATION_METHOD, METHOD))
        .with(Property::Binary(AUTHENTICATION_DATA, b"nonsense".to_vec()))
        .refused(0x86);
}

/// P13, and everything else out of its order.
#[test]
fn packets_out_of_order_end_the_exchange() {
    let Some(rig) = start() else { return };
    let again = auth(0x19, METHOD, &first("ann"));
    let other = auth(0x18, "SCRAM-SHA-512", b"x");
    let bare = hex("F0 02 18 00");
    let success = auth(0x00, METHOD, b"");
    let ping = hex("C0 00");
    for packet in [&again, &other, &bare, &success, &ping] {
        let mut client = connecting(&rig, "ann").sent();
        challenged(&mut client);
        client.send(packet);
        // [MQTT-3.1.2-30]
        assert!(matches!(client.receive(), Packet::Connack(Connack { code: 0x82, .. })), "{packet:02x?}");
        client.expect_closed();
    }
    let mut client = connecting(&rig, "ann").sent();
    challenged(&mut client);
    client.send(&hex("E0 00"));
    client.expect_closed();
    let last_step = auth(0x18, METHOD, b"x");
    for packet in [&other, &bare, &success, &last_step] {
        let mut client = let_in(&rig, "ann");
        client.send(packet);
        client.expect_disconnect(0x82);
    }
    // [MQTT-4.12.0-7]: without a method there is no AUTH.
    let mut client = rig.open(V5, "ann");
    client.send(&again);
    client.expect_disconnect(0x82);
}

/// Where no users are known, no method is.
#[test]
fn a_method_that_nobody_can_use_is_not_supported() {
    let Some(broker) = Broker::start() else { return };
    connect(V5).at(broker.address()).with(Property::text(AUTHENTICATION_METHOD, METHOD)).refused(0x8C);
}
