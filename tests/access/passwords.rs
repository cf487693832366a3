//! The file of users, over MQTT.

use super::rig::{PASSWORD, Rig, write_users};
use crate::harness::*;
use std::process::{Command, Stdio};

#[test]
fn the_right_password_comes_in_and_nothing_else() {
    let Some(rig) = Rig::start(None) else { return };
    // In 3.1 code 4 is "bad user name or password"; in 3.1.1 (table 3.1) only for what is malformed.
    for (version, code) in [(V31, 4), (V311, 5), (V5, 0x86)] {
        let with = |user: &str, password: &[u8]| connect(version).at(rig.address()).user(user).password(password);
        with("ann", PASSWORD.as_bytes()).open().ping();
        with("ann", b"wrong").refused(code);
        with("ann", b"").refused(code);
        with("nobody", PASSWORD.as_bytes()).refused(code);
        with("", PASSWORD.as_bytes()).refused(code);
        connect(version).at(rig.address()).user("ann").refused(code);
        connect(version).at(rig.address()).refused(if version == V5 { 0x87 } else { 5 });
    }
}

/// [MQTT-3.1.4-5]: what follows CONNECT waits for the proof to be looked at, and is not lost.
#[test]
fn packets_that_follow_at_once_wait_for_the_proof() {
    let Some(rig) = Rig::start(None) else { return };
    for (password, comes_in) in [(PASSWORD, true), ("wrong", false)] {
        let mut client = rig.as_user(V311, "ann").password(password.as_bytes()).sent();
        client.send(&raw(0x82, &[0, 9, 0, 1, b'a', 1]));
        client.send(&raw(0x30, &[0, 1, b'a', b'x']));
        match comes_in {
            true => {
                assert!(matches!(client.receive(), Packet::Connack(Connack { code: 0, .. })));
                assert!(matches!(client.receive(), Packet::Suback(granted) if granted.codes == [1]));
                client.expect("a", "x", 0);
            }
            false => {
                assert!(matches!(client.receive(), Packet::Connack(Connack { code: 5, .. })));
                client.expect_closed();
            }
        }
    }
}

/// S01, S02
#[test]
fn a_session_belongs_to_its_identity_and_its_client_id() {
    let Some(rig) = Rig::start(None) else { return };
    let mut ann = rig.as_user(V5, "ann").id("shared").kept().open();
    ann.subscribe("a", 1);
    for clean in [true, false] {
        rig.as_user(V5, "bob").id("shared").clean(clean).refused(0x87);
        rig.as_user(V5, "ann").id("shared").password(b"wrong").clean(clean).refused(0x86);
        rig.as_user(V311, "bob").id("shared").clean(clean).refused(5);
    }
    ann.ping();
    ann.disconnect();
    rig.as_user(V5, "bob").id("shared").clean(true).refused(0x87);
    rig.open(V5, "bob").say("a", "kept", 1);
    let mut ann = rig.as_user(V5, "ann").id("shared").kept().resume();
    ann.expect("a", "kept", 1);
}

/// S13: within a second of the reload.
#[test]
fn whoever_is_taken_out_of_the_file_has_to_go() {
    let folder = data_dir();
    let users = folder.path().join("users");
    write_users(&users, &["ann", "bob"], false);
    let file = folder.path().join("pliant.toml");
    std::fs::write(&file, format!("auth.password_file = {:?}", users.display().to_string())).unwrap();
    let Some(broker) = Broker::start_from(&file) else { return };
    let open = |user: &str| connect(V5).at(broker.address()).user(user).password(PASSWORD.as_bytes());
    let mut ann = open("ann").open();
    let mut bob = open("bob").open();
    let reload = || broker.admin().post("/api/v1/reload", &serde_json::json!({})).expect(200).json();
    let text = std::fs::read_to_string(&users).unwrap();
    let without_ann: String =
        text.lines().filter(|line| !line.starts_with("ann:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&users, without_ann).unwrap();
    assert_eq!(reload()["failed"].as_array().unwrap().len(), 0);
    ann.expect_disconnect(0x87);
    bob.ping();
    open("ann").refused(0x86);
    // A file that is none changes nothing (S11).
    std::fs::write(&users, "bob:secret\n").unwrap();
    let failed = reload()["failed"].to_string();
    assert!(failed.contains("auth.password_file") && failed.contains(":1:") && !failed.contains("secret"), "{failed}");
    bob.ping();
    open("bob").open().ping();
}

/// S13: a door that a reload closes is closed for those, too, who came in by it.
#[test]
fn whoever_came_in_by_a_door_that_is_closed_has_to_go() {
    let folder = data_dir();
    let users = folder.path().join("users");
    write_users(&users, &["ann"], false);
    let file = folder.path().join("pliant.toml");
    let write = |anonymous: bool, order: &str| {
        let auth = format!("[auth]\npassword_file = {:?}\norder = [{order}]\n", users.display().to_string());
        std::fs::write(&file, format!("listener.mqtt.allow_anonymous = {anonymous}\n{auth}")).unwrap();
    };
    write(true, "\"password\", \"module\"");
    let Some(broker) = Broker::start_from(&file) else { return };
    let reload = || broker.admin().post("/api/v1/reload", &serde_json::json!({})).expect(200).json();
    let ann = || connect(V5).at(broker.address()).user("ann").password(PASSWORD.as_bytes());
    let (mut stranger, mut user) = (connect(V5).at(broker.address()).open(), ann().open());
    write(false, "\"password\", \"module\"");
    let answer = reload();
    assert_eq!((&answer["failed"], &answer["connections_ended"]), (&serde_json::json!([]), &1.into()), "{answer}");
    stranger.expect_disconnect(0x87);
    user.ping();
    write(false, "\"module\"");
    let answer = reload();
    assert_eq!((&answer["applied"][0], &answer["connections_ended"]), (&"auth.order".into(), &1.into()), "{answer}");
    user.expect_disconnect(0x87);
    ann().refused(0x87);
}

/// It runs on until the next start, as the answer says, and so do its rules.
#[test]
fn a_listener_that_a_reload_no_longer_names_lets_in_whom_it_let_in() {
    let folder = data_dir();
    let file = folder.path().join("pliant.toml");
    std::fs::write(&file, "[[listener]]\nname = \"side\"\nbind = \"127.0.0.1:0\"\n").unwrap();
    let Some(broker) = Broker::start_from(&file) else { return };
    let stranger = || connect(V5).at(broker.at("side"));
    let mut early = stranger().open();
    std::fs::write(&file, "").unwrap();
    let answer = broker.admin().post("/api/v1/reload", &serde_json::json!({})).expect(200).json();
    assert!(answer["restart_needed"].to_string().contains("listener.side.bind"), "{answer}");
    assert_eq!(answer["connections_ended"], 0, "{answer}");
    early.ping();
    stranger().open().ping();
}

/// Anonymous clients of this machine come in by default, also where there are users; what proves nothing does not.
#[test]
fn strangers_of_this_machine_come_in_unless_they_claim_a_name() {
    let Some(rig) = Rig::start_with(None, |config| {
        for listener in &mut config.listeners {
            listener.allow_anonymous = Default::default();
        }
        config.auth.default_user = "guest".to_owned();
    }) else {
        return;
    };
    connect(V5).at(rig.address()).id("stranger").open().ping();
    let mut stranger = connect(V5).at(rig.address()).id("stranger").open();
    stranger.ping();
    assert_eq!(rig.admin().get("/api/v1/clients/stranger").expect(200).json()["identity"], "guest");
    connect(V5).at(rig.address()).user("ann").password(b"wrong").refused(0x86);
    rig.open(V5, "ann").ping();
    let metrics = rig.admin().get("/metrics").expect(200);
    assert!(metrics.text().contains("pliant_authentications_failed_total 1"), "{}", metrics.text());
}

/// F25: the more wrong passwords come from an address, the longer the next answer takes; who has the right one waits for
/// nobody.
#[test]
fn wrong_passwords_in_a_row_are_answered_later_and_later() {
    let Some(rig) = Rig::start(None) else { return };
    for _ in 0..12 {
        connect(V5).at(rig.address()).user("ann").password(b"wrong").refused(0x86);
    }
    let delayed = |rig: &Rig| {
        let metrics = rig.admin().get("/metrics").expect(200).text().to_owned();
        let line = metrics.lines().find(|line| line.starts_with("pliant_authentications_delayed_total "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).expect("a figure")
    };
    assert_eq!(delayed(&rig), 2);
    let waiting = connect(V5).at(rig.address()).user("ann").password(b"wrong").sent();
    rig.open(V5, "ann").ping();
    drop(waiting);
}

#[test]
fn the_command_line_keeps_the_file() {
    let folder = data_dir();
    let file = folder.path().join("users");
    let run = &|arguments: &[&str], input: &str| {
        let mut command = Command::new(binary());
        command.args(["user", "--file"]).arg(&file).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&["add", "ann"], "secret\n"), (Some(0), "added ann\n".to_owned(), String::new()));
    assert_eq!(run(&["add", "b:b", "--no-scram"], "secret"), (Some(0), "added b:b\n".to_owned(), String::new()));
    assert_eq!(run(&["add", "ann"], "other\r\n").1, "changed ann\n");
    assert_eq!(run(&["list"], "").1, "ann\nb:b\n");
    assert!(run(&["list", "--json"], "").1.contains(r#"{"scram":["SCRAM-SHA-256","SCRAM-SHA-512"],"user":"ann"}"#));
    assert_eq!(run(&["remove", "b:b"], "").1, "removed b:b\n");
    assert_eq!(run(&["remove", "b:b"], "").0, Some(1));
    assert_eq!(run(&["add", "cleo"], "").0, Some(1));
    assert_eq!(run(&["add", "a\nb"], "x").0, Some(2));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("ann:$argon2id$") && !text.contains("secret") && !text.contains("other"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let mode = |file| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        // The broker may be another user than the one who keeps the file: it goes on to be able to read it.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).is_ok();
        assert_eq!(run(&["add", "dan", "--no-scram"], "secret").0, Some(0));
        assert_eq!(run(&["remove", "dan"], "").0, Some(0));
        assert_eq!(mode(&file), 0o640);
        let owner = std::fs::metadata(&file).map(|of| (of.uid(), of.gid())).unwrap();
        assert!(!is_root || owner == (65_534, 65_534), "{owner:?}");
    }
    // Each reads the file and writes it whole.
    std::thread::scope(|scope| {
        for name in ["x", "y", "z"] {
            scope.spawn(move || assert_eq!(run(&["add", name, "--no-scram"], "secret").0, Some(0)));
        }
    });
    assert_eq!(run(&["list"], "").1, "ann\nx\ny\nz\n");
    std::fs::write(&file, "nonsense\n").unwrap();
    let (code, _, error) = run(&["add", "ann"], "secret");
    assert!(code == Some(1) && error.contains(":1: ") && std::fs::read(&file).unwrap() == b"nonsense\n", "{error}");
}
