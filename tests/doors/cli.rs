//! `pliant pub` and `pliant sub` on every transport: what they bring through, and what they say where they cannot.

use super::rig::{Rig, Way};
use crate::harness::binary;
use std::process::{Command, Output, Stdio};

fn pliant(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    pliant(arguments).output().expect("pliant can be started")
}

#[test]
fn messages_small_and_large_come_through_on_every_transport() {
    let Some(rig) = Rig::start() else { return };
    let ca = rig.authority.path("ca.pem").display().to_string();
    let large = rig.authority.path("large");
    std::fs::write(&large, vec![b'x'; 3_000_000]).unwrap();
    let large = large.display().to_string();
    for (way, scheme) in [(Way::Tcp, "mqtt"), (Way::Tls, "mqtts"), (Way::Ws, "ws"), (Way::Wss, "wss")] {
        let url = format!("{scheme}://localhost:{}", rig.address(way).port());
        let common = ["--url", &url, "--ca-file", &ca];
        for qos in ["0", "1", "2"] {
            for message in [&["small"][..], &["--file", &large]] {
                let publish = [&["pub", "cli/row", "--retain", "--qos", qos], message, &common].concat();
                let sent = run(&publish);
                assert!(sent.status.success(), "{publish:?}: {}", String::from_utf8_lossy(&sent.stderr));
                let got = run(&[&["sub", "cli/row", "--count", "1", "--timeout", "20"], &common[..]].concat());
                let expected = if message.len() == 1 { 6 } else { 3_000_001 };
                assert_eq!(got.stdout.len(), expected, "{publish:?}: {}", String::from_utf8_lossy(&got.stderr));
            }
        }
    }
}

#[test]
fn what_is_in_the_way_is_said() {
    let Some(rig) = Rig::start() else { return };
    let (tls, web) = (rig.address(Way::Tls).port(), rig.address(Way::Ws).port());
    for (url, more, says) in [
        (format!("mqtts://localhost:{tls}"), None, "TLS: invalid peer certificate"),
        (format!("mqtts://localhost:{tls}"), Some("--insecure"), ""),
        (format!("ws://localhost:{web}/elsewhere"), None, "404"),
        (format!("ws://localhost:{tls}"), None, "WebSocket: "),
    ] {
        let arguments = [&["pub", "cli/row", "x", "--url", &url], more.as_slice()].concat();
        let ended = run(&arguments);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(i32::from(!says.is_empty())), "{url}: {said}");
        assert!(said.contains(says), "{url}: {said}");
    }
}
