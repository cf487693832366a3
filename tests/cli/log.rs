//! The log of `pliant serve`: whoever reads it, or does not, the broker serves.

use crate::doors::rig::{Authority, figure_of, until};
use crate::harness::*;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A broker on this data that logs there.
fn serve(data: &Path, log: Stdio) -> Child {
    serve_with(data, log, &[])
}

fn serve_with(data: &Path, log: Stdio, more: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(data).args(["--log", "info"]);
    for key in ["listener.mqtt.bind", "listener.ws.bind", "listener.amqp.bind", "admin.bind"] {
        command.args(["--set", &format!("{key}=127.0.0.1:0")]);
    }
    command.args(["--set", &format!("wasm.machine_code_dir={}", machine_code().display())]);
    command.args(more);
    command.stderr(log).spawn().expect("pliant can be started")
}

/// Its admin API, once it is there.
fn admin(data: &Path) -> Admin {
    let address = || fs::read_to_string(data.join("admin.url")).ok()?.trim().strip_prefix("http://")?.parse().ok();
    until("it serves", || address().is_some());
    let token = fs::read_to_string(data.join("admin.token")).expect("a token");
    Admin { address: address().expect("just seen"), token: token.trim().to_owned() }
}

fn terminate(child: &mut Child) -> Option<i32> {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code()
}

/// A pipe that is full, and stays so until its reader goes.
fn full_pipe() -> (io::PipeReader, Stdio) {
    let (reader, writer) = io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    std::thread::spawn(move || while filler.write_all(&[b'.'; 4096]).is_ok() {});
    (reader, writer.into())
}

/// A full disk beneath it, its reader gone, its reader stuck.
#[test]
fn a_log_that_takes_nothing_keeps_nobody_from_being_served() {
    if is_outside() {
        return;
    }
    let gone = || Stdio::from(io::pipe().unwrap().1);
    let full = || File::create("/dev/full").map_or_else(|_| Stdio::from(io::pipe().unwrap().1), Stdio::from);
    for (what, log) in [("full", full as fn() -> Stdio), ("gone", gone)] {
        let data = data_dir();
        let mut child = serve(data.path(), log());
        let admin = admin(data.path());
        until("lines are lost", || figure_of(&admin, "pliant_log_lines_lost_total") > 0);
        admin.get("/readyz").expect(200);
        assert_eq!(terminate(&mut child), Some(0), "{what}");
        let file = data.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(serve(&file, log()).wait().unwrap().code(), Some(1), "{what}");
    }
    let data = data_dir();
    let (reader, log) = full_pipe();
    let mut child = serve(data.path(), log);
    let admin = admin(data.path());
    until("it is ready", || admin.get("/readyz").status == 200);
    assert_eq!(terminate(&mut child), Some(0));
    drop(reader);
}

/// Whoever asked for it, and each part that failed in a line of its own.
#[test]
fn what_a_reload_over_http_has_done_is_logged() {
    if is_outside() {
        return;
    }
    let data = data_dir();
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let (certificate, key) = (authority.path("server.pem"), authority.path("server.key"));
    let tls = format!("{{ certificate = {certificate:?}, key = {key:?} }}");
    let listener = format!("listener.t={{ transport = \"tls\", bind = \"127.0.0.1:0\", tls = {tls} }}");
    let mut child = serve_with(data.path(), Stdio::piped(), &["--set", &listener]);
    let admin = admin(data.path());
    fs::write(&key, "").unwrap();
    admin.post("/api/v1/reload", &serde_json::json!({})).expect(200);
    assert_eq!(terminate(&mut child), Some(0));
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let line = |says: &str| log.lines().find(|line| line.contains(says)).unwrap_or_else(|| panic!("{says} in\n{log}"));
    assert!(line("read the configuration again").contains("INFO"), "{log}");
    let failed = line("a part of the configuration is not taken over: listener t keeps its old certificate");
    assert!(failed.contains("WARN"), "{log}");
}

/// At an end in peace and at a start that fails, to the last line.
#[test]
fn what_was_logged_before_the_end_is_written() {
    if is_outside() {
        return;
    }
    let data = data_dir();
    let mut child = serve(data.path(), Stdio::piped());
    admin(data.path());
    assert_eq!(terminate(&mut child), Some(0));
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("stopped; everything is on disk"), "{log}");
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let mut child = serve(&file, Stdio::piped());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    log.clear();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.lines().last().is_some_and(|last| last.starts_with("pliant: ")), "{log}");
}
