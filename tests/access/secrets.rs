//! A planted password and a planted token are looked for in everything that the broker shows.

use super::rig::write_users;
use crate::harness::*;
use std::io::Read;
use std::process::{Command, Stdio};

const PLANTED: &str = "pl4nted-passw0rd";
/// It looks like a token: three parts, the first of them a header.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkLXRva2VuIn0.cGxhbnRlZC10b2tlbg";

const READS: &str = "pl4nted-token-of-readers";
const AWAY: &str = "pl4nted-passw0rd-over-there";
const KEY: &str = "cGxhbnRlZC1rZXktb2YtMzItYnl0ZXMtYW5kLW1vcmU";

/// What an AMQP client hears that says so much and hangs up.
fn say_sasl(at: std::net::SocketAddr, mechanism: &str, response: &[u8]) -> String {
    let mut socket = std::net::TcpStream::connect(at).unwrap();
    let mut fields = vec![0xA3, mechanism.len() as u8];
    fields.extend_from_slice(mechanism.as_bytes());
    fields.extend_from_slice(&[0xA0, response.len() as u8]);
    fields.extend_from_slice(response);
    // sasl-init: a list of two fields.
    let mut body = vec![0x00, 0x53, 0x41, 0xC0, fields.len() as u8 + 1, 2];
    body.extend_from_slice(&fields);
    let mut bytes = b"AMQP\x03\x01\x00\x00".to_vec();
    bytes.extend_from_slice(&(body.len() as u32 + 8).to_be_bytes());
    bytes.extend_from_slice(&[2, 1, 0, 0]);
    bytes.extend_from_slice(&body);
    std::io::Write::write_all(&mut socket, &bytes).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    // However it ends, what was heard counts.
    drop(socket.read_to_end(&mut heard));
    assert!(heard.starts_with(b"AMQP\x03\x01\x00\x00"), "{heard:?}");
    String::from_utf8_lossy(&heard).into_owned()
}

/// H08
#[test]
fn a_planted_password_is_found_nowhere() {
    let folder = data_dir();
    let users = folder.path().join("users");
    write_users(&users, &["ann"], true);
    let data = folder.path().join("data");
    // A key for tokens, which is a secret, too.
    let keys = folder.path().join("keys.json");
    let key = serde_json::json!({ "keys": [{ "kty": "oct", "kid": "k", "alg": "HS256", "k": KEY }] });
    std::fs::write(&keys, key.to_string()).unwrap();
    let (reads, away) = (folder.path().join("reads"), folder.path().join("away"));
    std::fs::write(&reads, format!("{READS}\n")).unwrap();
    std::fs::write(&away, format!("{AWAY}\n")).unwrap();
    // Nobody listens there, so that what is said about it is logged.
    let bridge = serde_json::json!({
        "url": "mqtt://127.0.0.1:1", "user": "site", "password_file": away, "routes": [{ "direction": "out", "filter": "a" }],
    });
    let mut child = Command::new(binary())
        .args(["serve", "--log", "debug", "--log-format", "json", "--data-dir"])
        .arg(&data)
        .args(["--set", "listener.mqtt.bind=127.0.0.1:0", "--set", "listener.ws.bind=127.0.0.1:0"])
        .args(["--set", "admin.bind=127.0.0.1:0", "--set", "module.access-list.enabled=true"])
        .args(["--set", &format!("auth.password_file={}", users.display()), "--set", "listener.amqp.bind=127.0.0.1:0"])
        .args(["--set", &format!("auth.jwt.keys_file={}", keys.display())])
        .args(["--set", &format!("admin.read_token_file={}", reads.display())])
        .args(["--set", &format!("bridge.away={bridge}")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("pliant can be started");
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut shown = String::new();
    let (mut mqtt, mut amqp, mut admin) = (None, None, None);
    while mqtt.is_none() || amqp.is_none() || admin.is_none() {
        let begin = shown.len();
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut shown).unwrap(), 0, "pliant ended:\n{shown}");
        let line: serde_json::Value = serde_json::from_str(&shown[begin..]).unwrap_or_default();
        let at = line["address"].as_str().and_then(|text| text.parse().ok());
        match line["listener"].as_str() {
            Some("mqtt") => mqtt = at.or(mqtt),
            Some("amqp") => amqp = at.or(amqp),
            Some(_) => {}
            None => admin = at.or(admin),
        }
    }
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        rest
    });
    let at = mqtt.unwrap();
    for version in ALL {
        for password in [PLANTED, TOKEN] {
            let mut client = connect(version).at(at).user("ann").password(password.as_bytes()).sent();
            shown += &format!("{:?}", client.receive());
            client.expect_closed();
        }
    }
    let mut exchange = connect(V5)
        .at(at)
        .with(Property::Text(property::AUTHENTICATION_METHOD, "SCRAM-SHA-256".to_owned()))
        .with(Property::Binary(property::AUTHENTICATION_DATA, format!("n,,n=ann,r={PLANTED}\0").into_bytes()))
        .sent();
    shown += &String::from_utf8_lossy(&exchange.rest());
    for (mechanism, response) in [
        ("PLAIN", format!("\0ann\0{PLANTED}")),
        ("PLAIN", format!("\0ann\0{TOKEN}")),
        ("OAUTHBEARER", format!("n,,\u{1}auth=Bearer {TOKEN}\u{1}\u{1}")),
        ("SCRAM-SHA-256", format!("n,,n=ann,r={PLANTED}\0")),
    ] {
        shown += &say_sasl(amqp.unwrap(), mechanism, response.as_bytes());
    }
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap();
    let admin = Admin { address: admin.unwrap(), token: token.trim().to_owned() };
    for path in [
        "/metrics",
        "/api/v1/bridges",
        "/api/v1/clients",
        "/api/v1/modules",
        "/api/v1/modules/access-list/logs",
        "/api/v1/openapi.json",
    ] {
        shown += admin.get(path).text();
    }
    shown += admin.post("/api/v1/reload", &serde_json::json!({})).text();
    drop(child.kill());
    drop(child.wait());
    shown += &reading.join().unwrap();
    for secret in
        [KEY, READS, AWAY, PLANTED, "planted-token", TOKEN, "cGxhbnRlZC10b2tlbg", "$argon2id$", admin.token.as_str()]
    {
        assert!(!shown.contains(secret), "{secret} was shown");
    }
    let hex: String = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&hex));
}
