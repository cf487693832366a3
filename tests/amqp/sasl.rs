//! Who a client is, by raw frames on every way in: each mechanism, TLS at once and by AMQP's header, WebSocket, and an opening
//! that is sent in one piece.

use super::raw::*;
use super::value::Value;
use crate::access::exchange;
use crate::access::rig::{PASSWORD, Rig, write_users};
use crate::doors::rig::{Authority, listener, wrap};
use crate::harness::wire::{Web, Wire, upgrade};
use host::config::{ClientCertificate, Listener, ProtocolName, Transport};
use host::identity::Anonymous;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::net::TcpStream;
use std::sync::Arc;

const SECRET: &str = "c2VjcmV0cyBvZiBhdCBsZWFzdCB0aGlydHktdHdvIGJ5dGVzLCBzbyBsb25n";

/// A broker with users, keys for tokens, and listeners for certificates.
fn start() -> Option<(Rig, Arc<Authority>)> {
    let authority = Arc::new(Authority::new());
    authority.sign("server", "localhost");
    authority.sign("client", "alice");
    let tls = authority.tls(ClientCertificate::Optional);
    let rig = Rig::start_with(None, move |config| {
        write_users(&config.auth.password_file, &["ann"], true);
        let file = config.data_dir.join("jwks.json");
        std::fs::write(&file, json!({ "keys": [{ "kty": "oct", "k": SECRET }] }).to_string()).expect("a file");
        config.auth.jwt.keys_file = file;
        let of =
            |name, transport| Listener { protocol: ProtocolName::Amqp, tls: tls.clone(), ..listener(name, transport) };
        let mut open = of("open", Transport::Tcp);
        open.allow_anonymous.0 = Anonymous::Always;
        config.listeners.push(open);
        for (name, transport) in [("by-header", Transport::Tcp), ("amqps", Transport::Tls), ("amqp-ws", Transport::Ws)]
        {
            let mut listener = of(name, transport);
            listener.allow_anonymous.0 = Anonymous::Never;
            config.listeners.push(listener);
        }
    })?;
    Some((rig, authority))
}

/// A connection on which frames are read one by one.
struct Line(Box<dyn Wire>);

impl Line {
    fn tcp(rig: &Rig, listener: &str) -> Self {
        Self(Box::new(TcpStream::connect(rig.at(listener)).expect("a broker that listens")))
    }

    /// Over TLS where the listener wants it.
    fn to(rig: &Rig, authority: &Authority, listener: &str) -> Self {
        match listener {
            "amqps" => Self(Box::new(authority.dial(rig.at(listener), None))),
            _ => Self::tcp(rig, listener),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("a broker that reads");
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    fn header(&mut self) -> Vec<u8> {
        self.take(8).expect("a header")
    }

    /// The kind and the body of the next frame; none: the broker hung up.
    fn frame(&mut self) -> Option<(u8, Value)> {
        let head = self.take(8)?;
        let size = u32::from_be_bytes(head[..4].try_into().expect("four")) as usize;
        Some((head[5], Value::read(&self.take(size - 8)?).0))
    }

    /// The mechanisms that are on offer, after the header.
    fn offered(&mut self) -> Vec<String> {
        self.send(SASL);
        assert_eq!(self.header(), SASL);
        let (kind, frame) = self.frame().expect("mechanisms");
        assert_eq!((kind, frame.code()), (1, 0x40));
        match frame.field(0) {
            Value::List(all) => all.iter().map(|one| one.text().to_owned()).collect(),
            one => vec![one.text().to_owned()],
        }
    }

    /// Begins an exchange; what is answered: a challenge, or the code of the outcome.
    fn init(&mut self, mechanism: &str, response: &[u8]) -> Result<Vec<u8>, i128> {
        self.send(&sasl_frame(&performative(0x41, &[&symbol(mechanism), &binary(response)])));
        self.exchange()
    }

    fn exchange(&mut self) -> Result<Vec<u8>, i128> {
        let (kind, frame) = self.frame().expect("an answer");
        match (kind, frame.code()) {
            (1, 0x42) => Ok(frame.field(0).bytes().to_vec()),
            (1, 0x44) => Err(frame.field(0).number()),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the client is let in after the exchange, and sends and receives.
    fn gets_in(mut self) -> bool {
        self.send(
            &[AMQP, &open("c"), &begin(0), &attach_receiver("r", 0, (0, 0)), &attach_sender("s", 1, (0, 0))].concat(),
        );
        self.send(&flow(0, 2048, Some((0, 0, 10, false, false))));
        self.send(&transfer(1, Some(0), Some(b"t"), true, false, &message(b"m")));
        if self.take(8).is_none_or(|header| header != AMQP) {
            return false;
        }
        loop {
            match self.frame() {
                Some((0, frame)) if frame.code() == 0x14 => return true,
                Some((0, frame)) if frame.code() == 0x18 => return false,
                Some(_) => {}
                None => return false,
            }
        }
    }
}

/// 5.3.3: each mechanism with what is right and what is wrong. An outcome of 0 is a yes, of 1 a no.
#[test]
fn each_mechanism_is_spoken_and_what_is_wrong_is_told_so() {
    let Some((rig, authority)) = start() else { return };
    let token = |secret: &str| {
        let claims = json!({ "sub": "meter", "exp": 4_000_000_000u64 });
        let key = EncodingKey::from_base64_secret(secret).expect("a key");
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
    };
    let bearer_for = |whom: &str, token: &str| format!("n,{whom},\x01auth=Bearer {token}\x01\x01");
    let bearer = |token: &str| bearer_for("", token);
    let plain = |text: String| text.into_bytes();
    let wrong_key = "d3Jvbmcgc2VjcmV0cyBvZiBhdCBsZWFzdCB0aGlydHktdHdvIGJ5dGVzLCBsb25n";
    for (listener, mechanism, response, code) in [
        ("open", "ANONYMOUS", Vec::new(), 0),
        ("by-header", "ANONYMOUS", Vec::new(), 1),
        ("by-header", "PLAIN", plain(format!("\0ann\0{PASSWORD}")), 0),
        ("by-header", "PLAIN", plain(format!("ann\0ann\0{PASSWORD}")), 0),
        ("by-header", "PLAIN", plain(format!("bob\0ann\0{PASSWORD}")), 1),
        ("by-header", "PLAIN", plain("\0ann\0wrong".to_owned()), 1),
        ("by-header", "PLAIN", plain("no zeros".to_owned()), 1),
        ("by-header", "EXTERNAL", Vec::new(), 1),
        ("by-header", "NONSENSE", Vec::new(), 1),
        ("by-header", "OAUTHBEARER", plain(bearer(&token(SECRET))), 0),
        ("by-header", "OAUTHBEARER", plain(bearer(&token(wrong_key))), 1),
        ("by-header", "OAUTHBEARER", plain(bearer_for("a=meter", &token(SECRET))), 0),
        ("by-header", "OAUTHBEARER", plain(bearer_for("a=ann", &token(SECRET))), 1),
        ("amqps", "ANONYMOUS", Vec::new(), 1),
        ("amqps", "PLAIN", plain(format!("\0ann\0{PASSWORD}")), 0),
        ("amqps", "PLAIN", plain("\0ann\0wrong".to_owned()), 1),
        ("amqps", "OAUTHBEARER", plain(bearer(&token(SECRET))), 0),
        ("amqps", "OAUTHBEARER", plain(bearer(&token(wrong_key))), 1),
    ] {
        let mut line = Line::to(&rig, &authority, listener);
        line.offered();
        let mut said = line.init(mechanism, &response);
        if mechanism == "OAUTHBEARER" && code != 0 {
            // RFC 7628, 3.2.2 and 3.2.3: an error comes as a challenge, and is answered with a control-A.
            assert!(said.is_ok_and(|said| said.starts_with(br#"{"status":"invalid_"#)));
            line.send(&sasl_frame(&performative(0x43, &[&binary(b"\x01")])));
            said = line.exchange();
        }
        assert_eq!(said, Err(code), "{mechanism} {:?}", String::from_utf8_lossy(&response));
        assert!(code != 0 || line.gets_in(), "{mechanism}");
    }
    let mut line = Line::tcp(&rig, "by-header");
    let offered = line.offered();
    assert_eq!(offered, ["SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN"]);
}

/// RFC 7677, by a client written from the text: both sides prove that they know the password.
#[test]
fn scram_proves_both_sides() {
    let Some((rig, authority)) = start() else { return };
    let mechanisms = [("SCRAM-SHA-256", exchange::SHA_256), ("SCRAM-SHA-512", exchange::SHA_512)];
    let ways = ["by-header", "amqps"].into_iter().flat_map(|listener| mechanisms.map(|one| (listener, one)));
    let cases = ways.flat_map(|way| [(PASSWORD, 0), ("wrong", 1)].map(|(password, code)| (way, password, code)));
    for ((listener, (mechanism, reckoning)), password, code) in cases {
        let mut line = Line::to(&rig, &authority, listener);
        line.offered();
        let challenge = line.init(mechanism, &exchange::first("ann")).expect("a challenge");
        let (last, proof) = exchange::last_by(reckoning, "ann", &challenge, password);
        line.send(&sasl_frame(&performative(0x43, &[&binary(&last)])));
        let (_, frame) = line.frame().expect("an answer");
        if code == 0 {
            assert_eq!((frame.code(), frame.field(0).number()), (0x44, 0));
            assert_eq!(frame.field(1).bytes(), proof);
            assert!(line.gets_in());
        } else {
            assert_eq!((frame.code(), frame.field(0).number()), (0x44, 1));
        }
    }
}

/// A certificate is a name, whether TLS begins at once or by AMQP's header (5.2); without one there is no EXTERNAL.
#[test]
fn a_certificate_is_a_name_with_tls_at_once_and_by_its_header() {
    let Some((rig, authority)) = start() else { return };
    for own in [Some("client"), None] {
        let at_once = authority.dial(rig.at("amqps"), own);
        let mut socket = TcpStream::connect(rig.at("by-header")).expect("a broker that listens");
        std::io::Write::write_all(&mut socket, TLS).expect("a broker that reads");
        let mut answer = [0; 8];
        std::io::Read::read_exact(&mut socket, &mut answer).expect("a header");
        assert_eq!(answer, TLS);
        let by_header = wrap(authority.client(own), socket);
        for wire in [Box::new(at_once) as Box<dyn Wire>, Box::new(by_header)] {
            let mut line = Line(wire);
            let offered = line.offered();
            assert_eq!(offered.iter().any(|name| name == "EXTERNAL"), own.is_some(), "{offered:?}");
            if own.is_some() {
                assert_eq!(line.init("EXTERNAL", b""), Err(0));
                assert!(line.gets_in());
            } else {
                assert_eq!(line.init("EXTERNAL", b""), Err(1));
            }
        }
    }
}

/// 5.3.3.6: what may be different in a while is no wrong password, over which clients give up.
#[test]
fn too_many_connections_of_a_user_are_told_from_a_wrong_password() {
    let Some(rig) = Rig::start_with(None, |config| config.auth.limits.connections_per_identity_max = 1) else { return };
    let mut lines = [0, 4].map(|code| {
        let mut line = Line::tcp(&rig, "amqp");
        line.offered();
        assert_eq!(line.init("PLAIN", format!("\0ann\0{PASSWORD}").as_bytes()), Err(code));
        line
    });
    assert!(lines[1].frame().is_none(), "the broker hangs up");
}

#[test]
fn a_web_socket_carries_it_all() {
    let Some((rig, _authority)) = start() else { return };
    let socket = TcpStream::connect(rig.at("amqp-ws")).expect("a broker that listens");
    let web = Web::open(socket, &upgrade("/mqtt", "amqp", "")).or_else(|_| {
        let socket = TcpStream::connect(rig.at("amqp-ws")).expect("a broker that listens");
        Web::open(socket, &upgrade("/amqp", "amqp", ""))
    });
    let mut line = Line(Box::new(web.expect("a WebSocket")));
    line.offered();
    assert_eq!(line.init("PLAIN", format!("\0ann\0{PASSWORD}").as_bytes()), Err(0));
    assert!(line.gets_in());
}

/// A40 and 2.4.1: everything in one piece, with and without the word of the broker about who the client is.
#[test]
fn a40_an_opening_in_one_piece_is_answered_in_order() {
    let Some((rig, _authority)) = start() else { return };
    let init = sasl_frame(&performative(0x41, &[&symbol("PLAIN"), &binary(format!("\0ann\0{PASSWORD}").as_bytes())]));
    let rest = [
        AMQP,
        &open("c"),
        &begin(0),
        &attach_sender("s", 0, (1, 0)),
        &transfer(0, Some(0), Some(b"t"), true, false, &message(b"m")),
    ];
    let mut line = Line::tcp(&rig, "by-header");
    line.send(&[&[SASL, &init[..]].concat()[..], &rest.concat()].concat());
    assert_eq!(line.header(), SASL);
    let mut codes = vec![line.frame().expect("mechanisms").1.code(), line.frame().expect("an outcome").1.code()];
    assert_eq!(line.header(), AMQP);
    // A transfer without credit ends its link (2.6.7), and nothing else.
    codes.extend((0..4).map(|_| line.frame().expect("an answer").1.code()));
    codes.sort_unstable();
    assert_eq!(codes, [0x10, 0x11, 0x12, 0x13, 0x40, 0x44]);
}

/// A37: a relay to an address that is denied rejects the message, and goes on. A38: nobody speaks in another one's name.
#[test]
fn a37_a38_a_message_may_not_say_more_than_its_client() {
    let rules = json!({ "rules": [{ "allow": ["publish"], "users": ["ann"], "topics": ["mine/#"] }] });
    let Some(rig) = Rig::start_with(Some(rules), |_| {}) else { return };
    let mut line = Line::tcp(&rig, "amqp");
    line.offered();
    assert_eq!(line.init("PLAIN", format!("\0ann\0{PASSWORD}").as_bytes()), Err(0));
    let relay = super::link::Terms { node: Some(performative(0x29, &[NULL])), ..Default::default() };
    line.send(&[AMQP, &open("c"), &begin(0), &super::link::attach("s", 0, false, &relay)].concat());
    assert_eq!(line.header(), AMQP);
    while line.frame().expect("credit").1.code() != 0x13 {}
    let cases = [
        ("mine/a", "", None),
        ("mine/a", "ann", None),
        ("mine/a", "bob", Some("amqp:unauthorized-access")),
        ("other", "", Some("amqp:unauthorized-access")),
        ("/queues/other", "", Some("amqp:unauthorized-access")),
        ("mine/b", "", None),
    ];
    for (id, (to, user, expected)) in (0..).zip(cases) {
        let properties = described(0x73, &list(&[NULL, &binary(user.as_bytes()), &string(to)]));
        line.send(&transfer(0, Some(id), Some(&[1]), false, false, &[&properties[..], &message(b"m")].concat()));
        let state = loop {
            let (_, frame) = line.frame().expect("a frame");
            if frame.code() == 0x15 {
                break frame.field(4).clone();
            }
        };
        match expected {
            None => assert_eq!(state.code(), 0x24, "{to} {user}"),
            Some(condition) => assert_eq!(state.field(0).field(0).text(), condition, "{to} {user}"),
        }
    }
}
