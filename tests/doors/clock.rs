//! A wall clock that jumps and a disk that is slow, by a library that is loaded before the broker's own (`shim.c`).

use super::overload::figure;
use super::rig::{Authority, until};
use crate::harness::{Client, Packet, Process, Publish, V5, V311, connect, is_ci, unique};
use crate::house::root;
use host::config::ClientCertificate;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const SECRET: &str = "c2VjcmV0cyBvZiBhdCBsZWFzdCB0aGlydHktdHdvIGJ5dGVzLCBzbyBsb25n";
const YEAR: i64 = 365 * 24 * 3600;

/// The library, and the file that tells it what to do.
struct Shim {
    folder: TempDir,
}

impl Shim {
    /// None, and a word about it, where it cannot be had.
    fn build() -> Option<Self> {
        let folder = crate::harness::data_dir();
        if !cfg!(target_os = "linux") {
            eprintln!("left out: this row needs the loader of Linux");
            return None;
        }
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("shim.so"));
        let built = compiler.arg(root().join("tests/doors/shim.c")).status();
        if !built.is_ok_and(|status| status.success()) {
            // The broker's own cryptography is built with it, too.
            assert!(!is_ci(), "no compiler for C");
            eprintln!("left out: this row needs a compiler for C");
            return None;
        }
        let shim = Self { folder };
        shim.tell(0, 0);
        Some(shim)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// How far the wall clock is ahead, and how much longer each sync takes.
    fn tell(&self, seconds: i64, milliseconds: u32) {
        // In place and at one length: whoever reads meanwhile sees all of it, before or after.
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(self.path("told")).unwrap();
        file.write_all(format!("{seconds:>20} {milliseconds:>10}\n").as_bytes()).unwrap();
    }

    fn start(&self, settings: &[&str]) -> Option<Process> {
        let (library, told) = (self.path("shim.so"), self.path("told"));
        Process::start_within(&[("LD_PRELOAD", &library), ("PLIANT_SHIM", &told)], settings)
    }
}

fn in_seconds(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

/// A client whose token ends in so many seconds.
fn come(broker: &Process, seconds: u64) -> Client {
    let key = EncodingKey::from_base64_secret(SECRET).unwrap();
    let claims = json!({ "sub": "meter", "exp": in_seconds(seconds) });
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    connect(V5).at(broker.address()).user("any").password(token.as_bytes()).keep_alive(30).open()
}

/// G7 at the doors: tokens, handshakes and the pace of accepts go by what the clock was at the start, and by time that passed.
#[test]
fn jumps_of_the_wall_clock_change_nothing_at_the_doors() {
    let Some(shim) = Shim::build() else { return };
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    fs::write(shim.path("jwks"), json!({ "keys": [{ "kty": "oct", "k": SECRET }] }).to_string()).unwrap();
    let settings = [
        format!("auth.jwt.keys_file={}", shim.path("jwks").display()),
        "listener.mqtts.transport=tls".to_owned(),
        "listener.mqtts.bind=127.0.0.1:0".to_owned(),
        format!("listener.mqtts.tls.certificate={}", tls.certificate.display()),
        format!("listener.mqtts.tls.key={}", tls.key.display()),
        "net.opening_seconds_max=1".to_owned(),
        "net.accepts_per_second_max=16".to_owned(),
    ];
    let Some(broker) = shim.start(&settings.each_ref().map(String::as_str)) else { return };
    let mut inside = come(&broker, 3600);
    let now = i64::try_from(in_seconds(0)).unwrap();
    let mut stalled = Vec::new();
    for ahead in [3600, 10 * YEAR, -3600, -10 * YEAR, 60 - now, 0] {
        shim.tell(ahead, 0);
        inside.ping();
        // More than are accepted at once.
        for _ in 0..4 {
            come(&broker, 3600).ping();
        }
        stalled.push(TcpStream::connect(broker.at("mqtts")).unwrap());
    }
    for stream in &mut stalled {
        // At most the goodbye of TLS.
        assert!(stream.read_to_end(&mut Vec::new()).is_ok_and(|count| count <= 7), "cut off in time");
    }
    assert!(figure(&broker.admin(), "pliant_opening_timeouts_total") >= stalled.len() as u64);
    assert!(figure(&broker.admin(), "pliant_accepts_delayed_total") > 0, "the pace held");
    // Who reads the wall clock sees the jump: the head of an answer does.
    shim.tell(100 * YEAR, 0);
    until("the library does what it is told", || {
        let head = broker.admin().get("/healthz").head;
        head.lines().any(|line| line.starts_with("date:") && (2110..2200).any(|year| line.contains(&year.to_string())))
    });
    let mut brief = come(&broker, 2);
    shim.tell(-10 * YEAR, 0);
    brief.expect_disconnect(0x87);
    inside.ping();
}

/// O6: what has to be on disk waits for it, in order and bounded; what has not, does not, and nobody is taken for dead.
#[test]
fn a_slow_disk_makes_publishers_wait_and_nobody_else() {
    let Some(shim) = Shim::build() else { return };
    let Some(broker) = shim.start(&[]) else { return };
    let (topic, quick) = (unique("slow"), unique("quick"));
    let at = || connect(V311).at(broker.address());
    let mut reader = at().keep_alive(3).kept().open();
    reader.subscribe(&topic, 1);
    reader.subscribe(&quick, 0);
    let mut writer = at().open();
    shim.tell(0, 150);
    let sent: Vec<u16> = (0..500).map(|_| writer.send_publish(&Publish::new(&topic, "kept", 1))).collect();
    let mut direct = at().open();
    for number in 0..20 {
        direct.send_publish(&Publish::new(&quick, number.to_string(), 0));
        reader.wait_for("what needs no disk", |packet| match packet {
            Packet::Publish(message) if message.topic == quick => Some(()),
            _ => None,
        });
    }
    for id in sent {
        writer.acked(0x40, id);
        reader.ping();
    }
    // Group commit: not one sync for each.
    assert!(figure(&broker.admin(), "pliant_store_commits_total") < 100);
    for _ in 0..500 {
        let message = reader.wait_for("each of them", |packet| match packet {
            Packet::Publish(message) if message.topic == topic => Some(message.clone()),
            _ => None,
        });
        reader.ack(0x40, message.id);
    }
    assert_eq!(figure(&broker.admin(), "pliant_keep_alive_timeouts_total"), 0);
}
