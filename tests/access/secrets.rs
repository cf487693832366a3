//! A planted password and a planted token are looked for in everything that the broker shows.

use super::rig::write_users;
use crate::harness::*;
use std::io::Read;
use std::process::{Command, Stdio};

const PLANTED: &str = "pl4nted-passw0rd";
/// It looks like a token: three parts, the first of them a header.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkLXRva2VuIn0.cGxhbnRlZC10b2tlbg";

#[test]
fn a_planted_password_is_found_nowhere() {
    let folder = data_dir();
    let users = folder.path().join("users");
    write_users(&users, &["ann"], true);
    let data = folder.path().join("data");
    let mut child = Command::new(binary())
        .args(["serve", "--log", "trace", "--log-format", "json", "--data-dir"])
        .arg(&data)
        .args(["--set", "listener.mqtt.bind=127.0.0.1:0", "--set", "listener.ws.bind=127.0.0.1:0"])
        .args(["--set", "admin.bind=127.0.0.1:0", "--set", "module.access-list.enabled=true"])
        .args(["--set", &format!("auth.password_file={}", users.display())])
        .stderr(Stdio::piped())
        .spawn()
        .expect("pliant can be started");
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut shown = String::new();
    let (mut mqtt, mut admin) = (None, None);
    while mqtt.is_none() || admin.is_none() {
        let begin = shown.len();
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut shown).unwrap(), 0, "pliant ended:\n{shown}");
        let line: serde_json::Value = serde_json::from_str(&shown[begin..]).unwrap_or_default();
        let at = line["address"].as_str().and_then(|text| text.parse().ok());
        match line["listener"].as_str() {
            Some("mqtt") => mqtt = at.or(mqtt),
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
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap();
    let admin = Admin { address: admin.unwrap(), token: token.trim().to_owned() };
    for path in
        ["/metrics", "/api/v1/clients", "/api/v1/modules", "/api/v1/modules/access-list/logs", "/api/v1/openapi.json"]
    {
        shown += admin.get(path).text();
    }
    shown += admin.post("/api/v1/reload", &serde_json::json!({})).text();
    drop(child.kill());
    drop(child.wait());
    shown += &reading.join().unwrap();
    for secret in [PLANTED, "planted-token", TOKEN, "cGxhbnRlZC10b2tlbg", "$argon2id$", admin.token.as_str()] {
        assert!(!shown.contains(secret), "{secret} was shown");
    }
    let hex: String = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&hex));
}
