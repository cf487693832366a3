//! Commands that need no broker.

use super::pliant;
use crate::doors::rig::Authority;
use crate::harness::{Process, Publish, V5, binary, connect, guests};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Command;

#[test]
fn wrong_usage_ends_with_2_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["serve", "--log", "a=b=c"], "--log"),
        (&["check", "--sett", "workers=2"], "--sett"),
        (&["check", "--set", "workers"], "key.path=value"),
        (&["bench", "--url", "wss://localhost"], "mqtt://, amqp:// and amqps://"),
        (&["pub", "a/#", "x"], "wildcard"),
        (&["pub", "a", "x", "--response-topic", "b/+"], "--response-topic \"b/+\": "),
        (&["pub", "a", "x", "--url", "udp://localhost"], "unknown"),
        (&["sub", "a#"], "whole"),
        (&["module", "new", "No Name"], "is no name"),
        (&["module", "new", "self"], "is a word of Rust"),
        (&["module", "new", "core"], "is a crate that a module needs"),
        (&["module", "new", "pliant-guest"], "is a crate that a module needs"),
        (&["module", "new", "guest-sdk"], "a folder that a module needs beside it"),
        (&["module", "new", "wit", "--lang", "c"], "a folder that a module needs beside it"),
        (&["module", "build", "nowhere"], "Cargo.toml"),
        (&["module", "test", "new.wasm", "--against", "old.wasm"], "--replay"),
        (&["module", "deploy", "m.wasm", "--order", "1000001"], "-1000000..=1000000"),
        (&["module", "explain", "--event", "timer", "--retain"], "--event"),
        (&["bench", "--warm-up", "1"], "--seconds"),
        (&["bench", "--warm-up", "1", "--messages", "1"], "cannot be used with '--messages"),
        (&["sub", "a", "--session-expiry", "60"], "--id"),
        (&["sub", "a", "--session-expiry", "60", "--url", "amqp://localhost"], "--id"),
        (&["pub", "a", "x", "--session-expiry", "60"], "--id"),
    ] {
        pliant(folder.path(), arguments, b"").expect(2, says);
    }
}

#[test]
fn help_and_version_end_with_0() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["--help"][..], "Examples:"),
        (&["module", "deploy", "--help"], "Examples:"),
        (&["bench", "--help"], "mqtt://, amqp:// or amqps://, a host"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let ended = pliant(folder.path(), arguments, b"");
        assert!(ended.out.contains(says), "{arguments:?}: {}", ended.out);
        assert_eq!(ended.code, Some(0), "{arguments:?}");
    }
}

#[test]
fn check_says_what_is_wrong_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "no component").unwrap();
    for (file, code, says) in [
        ("", 0, "the configuration is right"),
        ("store.durabilty = \"commit\"", 1, "c.toml:1: unknown key store.durabilty; the nearest is store.durability"),
        ("\n[[module]]\nname = \"own\"\npath = \"none\"", 1, "c.toml:4: module own: cannot read none"),
        ("\n[[module]]\nname = \"own\"\npath = \"text\"", 1, "c.toml:4: module own: not WebAssembly"),
        ("[[module]]\nname = \"topic-rules\"\nconfig = { x = 1 }", 1, "c.toml:3: module topic-rules: "),
    ] {
        fs::write(folder.path().join("c.toml"), file).unwrap();
        pliant(folder.path(), &["check", "--config", "c.toml"], b"").expect(code, says);
    }
    assert!(!folder.path().join("data").exists(), "checking starts nothing");
}

/// Wherever it stands.
#[test]
fn a_wrong_setting_on_the_command_line_is_a_wrong_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (set, says) in [
        ("store.durability=foo", "--set store.durability: "),
        ("workers=many", "whole number"),
        ("listner.mqtt.bind=x", "the nearest is"),
        ("listener.mqtt.bind=0.0.0.0:0", "allow_anonymous"),
    ] {
        for command in ["check", "serve"] {
            pliant(folder.path(), &[command, "--set", set], b"").expect(1, says);
        }
    }
}

#[test]
fn check_warns_of_a_certificate_that_has_expired() {
    let authority = Authority::new();
    authority.sign_for("old", "localhost", 0);
    let (certificate, key) = (authority.path("old.pem"), authority.path("old.key"));
    let tls = format!(
        "listener.t={{ transport = \"tls\", bind = \"127.0.0.1:0\", tls = {{ certificate = {certificate:?}, key = {key:?} }} }}"
    );
    let ended = pliant(authority.path("").as_path(), &["check", "--set", &tls], b"");
    ended.expect(0, "the configuration is right");
    ended.expect(0, "warning: listener.t.tls.certificate: the certificate in ");
    ended.expect(0, "has expired on ");
}

/// Each file that the configuration names: not there, nothing of its kind, not its partner. One line each, with its key.
#[test]
fn files_that_cannot_be_used_are_said_with_their_keys() {
    let authority = Authority::new();
    authority.sign("one", "localhost");
    authority.sign("two", "localhost");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "nothing of its kind").unwrap();
    fs::write(folder.path().join("blank"), "\n").unwrap();
    let pem = |file: &str| authority.path(file).display().to_string();
    let listener = |certificate: &str, key: &str, ca: &str| {
        format!(
            "[[listener]]\nname = \"t\"\ntransport = \"tls\"\nbind = \"127.0.0.1:0\"\ntls = {{ certificate = \"{certificate}\", \
             key = \"{key}\", client_ca = \"{ca}\", client_certificate = \"required\" }}"
        )
    };
    let bridge = |ca: &str, more: &str| {
        format!(
            "[[bridge]]\nname = \"b\"\nurl = \"mqtts://h\"\nroutes = [ {{ direction = \"out\", filter = \"a\" }} ]\n\
             tls.ca_file = \"{ca}\"\n{more}"
        )
    };
    let (one, key, two, ca) = (pem("one.pem"), pem("one.key"), pem("two.key"), pem("ca.pem"));
    let own = format!("tls.certificate = \"{one}\"\ntls.key = \"{two}\"");
    for (file, says) in [
        ("auth.password_file = \"none\"".to_owned(), &["c.toml:1: auth.password_file: "][..]),
        ("auth.password_file = \"text\"".to_owned(), &["c.toml:1: auth.password_file: "]),
        ("auth.jwt.keys_file = \"none\"".to_owned(), &["c.toml:1: auth.jwt.keys_file: "]),
        ("auth.jwt.keys_file = \"text\"".to_owned(), &["c.toml:1: auth.jwt.keys_file: "]),
        ("signing.keys_file = \"none\"".to_owned(), &["c.toml:1: signing.keys_file: none: "]),
        (
            "signing.required = true".to_owned(),
            &["c.toml:1: signing.keys_file: signatures are required and there is no key"],
        ),
        (
            "listener.u = { transport = \"unix\", bind = \"none/socket\" }".to_owned(),
            &["c.toml:1: listener.u.bind: none/socket: its directory: "],
        ),
        ("admin.token_file = \"blank\"".to_owned(), &["delete it, and a start makes a new one"]),
        ("wasm.http_ca_file = \"none\"".to_owned(), &["c.toml:1: wasm.http_ca_file: cannot use none: "]),
        ("admin.token_file = \"none/token\"".to_owned(), &["c.toml:1: admin.token_file: none/token: "]),
        ("admin.read_token_file = \"none\"".to_owned(), &["c.toml:1: admin.read_token_file: none: "]),
        (
            listener("none", "text", "none"),
            &[
                "c.toml:5: listener.t.tls.certificate: none: ",
                "c.toml:5: listener.t.tls.key: text: it holds no key",
                "c.toml:5: listener.t.tls.client_ca: none: ",
            ],
        ),
        (listener("text", &key, &ca), &["c.toml:5: listener.t.tls.certificate: text: it holds no certificate"]),
        (listener(&one, &two, &ca), &["it is not the key of the certificate in "]),
        (bridge("none", ""), &["c.toml:5: bridge.b.tls.ca_file: cannot use none: "]),
        (bridge(&ca, &own), &["c.toml:7: bridge.b.tls.key: "]),
        (
            bridge("text", "user = \"u\"\npassword_file = \"none\""),
            &[
                "c.toml:7: bridge.b.password_file: cannot read none: ",
                "c.toml:5: bridge.b.tls.ca_file: cannot use text: ",
            ],
        ),
        (bridge(&ca, "user = \"u\"\npassword_env = \"NO_SUCH_\""), &["bridge.b.password_env: the environment has no"]),
    ] {
        fs::write(folder.path().join("c.toml"), &file).unwrap();
        let ended = pliant(folder.path(), &["serve", "--log", "off", "--config", "c.toml"], b"");
        says.iter().for_each(|says| ended.expect(1, says));
        assert_eq!(ended.talk.lines().count(), says.len(), "{file}:\n{}", ended.talk);
    }
    // What is right is not mentioned.
    fs::write(folder.path().join("c.toml"), format!("auth.password_file = \"none\"\n{}", listener(&one, &key, &ca)))
        .unwrap();
    let ended = pliant(folder.path(), &["check", "--config", "c.toml"], b"");
    ended.expect(1, "c.toml:1: auth.password_file: ");
    assert_eq!(ended.talk.lines().count(), 1, "{}", ended.talk);
    assert!(!folder.path().join("data").exists(), "nothing was started");
}

/// By whatever name, and where neither key names the file of the token that may do everything.
#[test]
fn one_token_does_not_stand_for_both() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for file in ["data/admin.token", "copy"] {
        fs::write(folder.path().join(file), "0123456789abcdefghij\n").unwrap();
    }
    std::os::unix::fs::symlink("data/admin.token", folder.path().join("link")).unwrap();
    fs::write(folder.path().join("other"), "another-token-than-that\n").unwrap();
    for own in ["", "admin.token_file = \"./data/admin.token\"\n"] {
        for (file, code) in [("data/admin.token", 1), ("./data/admin.token", 1), ("link", 1), ("copy", 1), ("other", 0)]
        {
            fs::write(folder.path().join("c.toml"), format!("{own}admin.read_token_file = \"{file}\"")).unwrap();
            let ended = pliant(folder.path(), &["check", "--config", "c.toml"], b"");
            let says = if code == 1 { "admin.read_token_file: " } else { "" };
            ended.expect(code, says);
            assert_eq!(ended.talk.contains("the token that may do everything"), code == 1, "{}", ended.talk);
        }
    }
}

#[test]
fn a_broker_that_cannot_start_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("listener.mqtt.bind={}", taken.local_addr().unwrap());
    fs::write(folder.path().join("file"), "").unwrap();
    for (set, code, says) in [
        (bind.as_str(), 1, "another program uses that port"),
        ("data_dir=file", 1, "data directory: "),
        ("auth.password_file=none", 1, "--set auth.password_file: cannot read none: "),
        ("listener.mqtt.bind=0.0.0.0:0", 1, "allow_anonymous"),
        ("listner.mqtt.bind=x", 1, "the nearest is"),
        ("workers", 2, "key.path=value"),
    ] {
        let ended = pliant(folder.path(), &["--log", "off", "--set", "admin.bind=127.0.0.1:0", "--set", set], b"");
        ended.expect(code, says);
        assert_eq!(ended.talk.lines().count(), 1, "{set}: {}", ended.talk);
    }
}

#[test]
fn a_new_module_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    pliant(folder.path(), &["module", "new", "name-site"], b"").expect(0, "name-site");
    let source = fs::read_to_string(folder.path().join("name-site/src/lib.rs")).unwrap();
    assert!(source.contains("struct NameSite;"), "{source}");
    pliant(folder.path(), &["module", "new", "name-site"], b"").expect(1, "there is a name-site here already");
}

#[test]
fn what_is_no_sdk_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sdk")).unwrap();
    let new = ["module", "new", "hello", "--sdk", "sdk"];
    pliant(folder.path(), &new, b"").expect(1, "sdk/Cargo.toml is not there");
    fs::write(folder.path().join("sdk/Cargo.toml"), "").unwrap();
    pliant(folder.path(), &new, b"").expect(1, "sdk/../wit/worlds.wit is not there: the contract");
    assert!(!folder.path().join("hello").exists());
}

#[test]
fn a_store_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["check", "compact", "export"] {
        pliant(folder.path(), &["store", verb, "--data-dir", "none"], b"").expect(1, "there is no store in none");
    }
}

/// Whoever is told so has lost nothing by asking: the file is as it was.
#[test]
fn a_store_that_is_in_use_or_damaged_is_said() {
    let Some(mut broker) = Process::start() else { return };
    connect(V5).at(broker.address()).open().publish(&Publish::new("kept", "x".repeat(1000), 1).retained());
    let data = broker.data();
    let directory = data.to_string_lossy().into_owned();
    let run = |verb: &str| pliant(&data, &["store", verb, "--data-dir", &directory], b"");
    for verb in ["check", "compact", "export"] {
        run(verb).expect(1, "in use by another process");
    }
    broker.kill();
    run("check").expect(0, "1 retained messages");
    run("export").expect(0, "\"topic\":\"kept\"");
    let file = data.join("pliant.redb");
    let mut bytes = fs::read(&file).unwrap();
    // All but the first page, which says how the file is laid out.
    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&file, &bytes).unwrap();
    for verb in ["check", "compact", "export"] {
        run(verb).expect(1, "is damaged");
    }
}

#[test]
fn a_broker_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    pliant(folder.path(), &["module", "list"], b"").expect(1, "cannot read the admin token");
    fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
    let arguments = ["module", "list", "--token-file", "token", "--admin", "http://127.0.0.1:1"];
    let ended = pliant(folder.path(), &arguments, b"");
    ended.expect(1, "cannot reach the broker's admin API at http://127.0.0.1:1");
    ended.expect(1, "if the broker runs, name its --data-dir, or where the API is with --admin");
    pliant(folder.path(), &["pub", "a", "b", "--url", "mqtt://127.0.0.1:1"], b"").expect(1, "mqtt://127.0.0.1:1");
    let without_scheme = ["module", "list", "--token-file", "token", "--admin", "127.0.0.1:1"];
    pliant(folder.path(), &without_scheme, b"").expect(2, "say http://127.0.0.1:1");
}

/// Whoever is cut off after the request is told that it may have been carried out, and where to look.
#[test]
fn an_answer_that_does_not_come_leaves_open_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut head = BufReader::new(stream.unwrap()).lines().map_while(Result::ok);
            assert!(head.any(|line| line.is_empty()), "a whole head");
        }
    });
    for (arguments, reason) in [
        (
            ["module", "enable", "my-module"],
            "not known whether that was done, or is still being done: see pliant module show my-module",
        ),
        (["module", "show", "my-module"], "did not answer"),
    ] {
        let arguments = [&arguments[..], &["--token-file", "token", "--admin", &url]].concat();
        pliant(folder.path(), &arguments, b"").expect(1, reason);
    }
    serving.join().unwrap();
}

#[test]
fn examples_of_a_module_are_run_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("echoes.wasm"), folder.path().join("router.wasm"));
    fs::write(&old, guests::component("echoes-version")).unwrap();
    fs::write(&new, guests::component("router")).unwrap();
    let test = |arguments: &[&str]| pliant(folder.path(), &[&["module", "test"], arguments].concat(), b"");
    test(&["echoes.wasm"]).expect(1, "carries no examples, and none lie beside it");
    let examples = |version: &str| {
        format!(
            "[config]\nversion = \"1\"\n\n[[example]]\nname = \"stamped\"\nhook = \"routing\"\nmessage = {{ topic = \"a\" }}\n\
             expect.pass.user_properties = [[\"version\", \"{version}\"]]\n"
        )
    };
    fs::write(folder.path().join("examples.toml"), examples("1")).unwrap();
    test(&["echoes.wasm"]).expect(0, "ok     stamped");
    fs::write(folder.path().join("wrong.toml"), examples("2")).unwrap();
    let failed = test(&["echoes.wasm", "wrong.toml"]);
    assert_eq!(failed.code, Some(1), "{}", failed.talk);
    assert!(failed.out.contains("pass.user_properties[0][1]: expected \"2\", got \"1\""), "{}", failed.out);
    assert!(failed.talk.contains("1 of 1 examples do not hold"), "{}", failed.talk);
    fs::write(folder.path().join("bad.toml"), "[[example]]\nhok = 1").unwrap();
    test(&["echoes.wasm", "bad.toml"]).expect(1, "unknown field `hok`");
    for (file, text) in [("none.toml", ""), ("none.json", "{}"), ("example.toml", "config = {}")] {
        fs::write(folder.path().join(file), text).unwrap();
        test(&["echoes.wasm", file]).expect(1, "there is no example");
    }
    let samples = r#"{ "config": {}, "example": [{ "hook": "message", "topic": "x", "message": { "topic": "x" } }] }"#;
    fs::write(folder.path().join("samples.json"), samples).unwrap();
    let replay = ["router.wasm", "--replay", "samples.json", "--against", "router.wasm"];
    test(&replay).expect(0, "0 decisions differ over 1 samples");
    let config = [&replay[..], &["--config", "{}"]].concat();
    test(&config).expect(0, "0 decisions differ");
    fs::write(folder.path().join("beside.wasm"), guests::component("beside")).unwrap();
    let crosses = test(&["beside.wasm", "--replay", "samples.json", "--against", "router.wasm"]);
    crosses.expect(0, "1 decisions differ over 1 samples");
    assert!(crosses.out.contains("sample 1, x, translation.to-amqp:"), "{}", crosses.out);
    // Of another configuration.
    fs::write(folder.path().join("plain.json"), samples.replace("\"config\": {},", "")).unwrap();
    let configured = |old: &str| {
        let old = format!("{{\"version\": \"{old}\"}}");
        let new =
            ["echoes.wasm", "--replay", "plain.json", "--against", "echoes.wasm", "--config", r#"{"version": "1"}"#];
        test(&[&new[..], &["--against-config", &old]].concat())
    };
    configured("1").expect(0, "0 decisions differ");
    configured("2").expect(0, "1 decisions differ");
    // That they decide alike about nothing proves nothing.
    fs::write(folder.path().join("guards.wasm"), guests::component("guards")).unwrap();
    let others = ["guards.wasm", "--replay", "samples.json", "--against", "guards.wasm"];
    test(&others).expect(1, "neither component has a hook that is replayed");
}

/// A value of AMQP in TOML, which has no null, and in which a number alone does not say its type.
#[test]
fn examples_of_translation_are_written_in_toml() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("beside.wasm"), guests::component("beside")).unwrap();
    let test = |amqp: &str| {
        let example = "[[example]]\nhook = \"translation.from-amqp\"\ntopic = \"a\"\nexpect.message.topic = \"a\"\n";
        fs::write(folder.path().join("examples.toml"), format!("{example}amqp = {{ {amqp} }}\n")).unwrap();
        pliant(folder.path(), &["module", "test", "beside.wasm"], b"")
    };
    let values =
        "a = \"x\", b = true, c = { null = {} }, d = { ulong = 1 }, e = { character = \"x\" }, f = { double = 2 }";
    test(&format!("application_properties = {{ {values} }}, body.value = {{ timestamp = 1767225600000 }}"))
        .expect(0, "ok");
    for (amqp, why) in [
        ("subjekt = \"x\"", "unknown field `subjekt`"),
        ("body = { text = \"x\" }", "unknown variant `text`"),
        ("body = { data = \"x\", value = \"x\" }", "examples.toml"),
        ("footer.a = 5", "expected text, true, false, or a value with its type, such as { int = 5 }"),
        ("footer.a = { ubyte = 256 }", "256"),
        ("footer.a = { ubyte = 1, uint = 1 }", "a value has one type; `uint` is another"),
        ("footer.a = { double = nan }", "a number that is finite is needed"),
        ("footer.a = { uuid = \"x\" }", "uuid: "),
    ] {
        test(amqp).expect(1, why);
    }
}

#[test]
fn an_example_whose_call_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("traps.wasm"), guests::component("traps")).unwrap();
    let example = "[[example]]\nhook = \"routing\"\nmessage = { topic = \"bad\" }\nexpect.pass = { topic = \"bad\" }\n";
    fs::write(folder.path().join("examples.toml"), example).unwrap();
    let failed = pliant(folder.path(), &["module", "test", "traps.wasm"], b"");
    assert!(failed.out.contains("the call failed: trapped"), "{}", failed.out);
    assert!(failed.out.contains("log: ") && failed.out.contains("told to trap"), "{}", failed.out);
}

/// What helps is said: a configuration where that is at fault, and nothing of it where the component is.
#[test]
fn a_component_that_fails_in_configure_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for guest in ["traps-in-configure", "hostile", "echoes-version"] {
        fs::write(folder.path().join(format!("{guest}.wasm")), guests::component(guest)).unwrap();
    }
    let check = |arguments: &[&str]| pliant(folder.path(), &[&["module", "check"], arguments].concat(), b"");
    check(&["traps-in-configure.wasm"]).expect(1, "told to trap");
    check(&["echoes-version.wasm"]).expect(1, "(give it one with --config)");
    let ended = check(&["hostile.wasm", "--config", r#"{"mode": "manifest-bad", "topic": "t"}"#]);
    ended.expect(1, "its manifest, what it answers in `configure`, is wrong: the filter \"a/#/b\": ");
    assert!(!ended.talk.contains("--config"), "{}", ended.talk);
    fs::write(
        folder.path().join("examples.toml"),
        "[[example]]\nhook = \"routing\"\nexpect = {}\nmessage.topic = \"a\"",
    )
    .unwrap();
    pliant(folder.path(), &["module", "test", "traps-in-configure.wasm"], b"").expect(1, "told to trap");
}

#[test]
fn hooks_are_timed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.wasm"), guests::component("router")).unwrap();
    let timed = pliant(folder.path(), &["module", "bench", "m.wasm", "--calls", "50"], b"");
    timed.expect(0, "routing.on-publish");
    assert_eq!(timed.out.lines().count(), 3, "a line for each size of payload: {}", timed.out);
    fs::write(folder.path().join("m.wasm"), guests::component("beside")).unwrap();
    let timed = pliant(folder.path(), &["module", "bench", "m.wasm", "--calls", "5"], b"");
    timed.expect(0, "translation.to-amqp");
    timed.expect(0, "translation.from-amqp");
    // What fails each time was not timed.
    fs::write(folder.path().join("m.wasm"), guests::component("fickle")).unwrap();
    let bench = ["module", "bench", "m.wasm", "--calls", "5", "--config"];
    pliant(folder.path(), &[&bench[..], &[r##"{"version": "1", "fails": ["#"]}"##]].concat(), b"")
        .expect(1, "all calls failed");
    pliant(folder.path(), &[&bench[..], &[r#"{"version": "1"}"#]].concat(), b"").expect(0, "routing.on-publish");
}

/// What has no figure says why.
#[test]
fn hooks_that_are_not_timed_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for guest in ["router", "guards"] {
        fs::write(folder.path().join(format!("{guest}.wasm")), guests::component(guest)).unwrap();
    }
    let bench =
        |arguments: &[&str]| pliant(folder.path(), &[&["module", "bench", "--calls", "5"], arguments].concat(), b"");
    let filtered = ["router.wasm", "--config", r#"{"filters": ["home/#"]}"#];
    let why =
        "nothing was timed: routing.on-publish was not called: its filters do not match `bench/topic`; say --topic";
    bench(&filtered).expect(1, why);
    let timed = bench(&[&filtered[..], &["--topic", "home/a"]].concat());
    timed.expect(0, "routing.on-publish");
    assert!(!timed.talk.contains("not called"), "{}", timed.talk);
    let timed = bench(&["guards.wasm", "--json"]);
    timed.expect(0, "access.authorize");
    assert!(timed.talk.contains("access.authenticate was not called: bench does not time it"), "{}", timed.talk);
    assert!(
        pliant(folder.path(), &["module", "bench", "--help"], b"").out.contains("Never timed: access.authenticate")
    );
}

/// A secret key whose public part nobody has seen is no use, and would stand in the way.
#[test]
fn a_key_that_cannot_be_told_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut keygen = Command::new(binary());
    let ended = keygen.current_dir(folder.path()).args(["module", "keygen", "release.key"]).stdout(full).output();
    assert_eq!(ended.unwrap().status.code(), Some(1));
    assert!(!folder.path().join("release.key").exists());
}

/// More may not be deployed than the bound says; what comes with the broker starts in any case.
#[test]
fn check_takes_as_many_modules_as_a_start_does() {
    let folder = tempfile::tempdir().unwrap();
    pliant(folder.path(), &["check", "--set", "wasm.modules_max=1"], b"").expect(0, "the configuration is right");
}

#[test]
fn components_are_signed_with_a_key_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.wasm"), "component").unwrap();
    let keygen = pliant(folder.path(), &["module", "keygen", "release.key"], b"");
    keygen.expect(0, "ed25519 ");
    let mode = fs::metadata(folder.path().join("release.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    pliant(folder.path(), &["module", "keygen", "release.key"], b"").expect(1, "cannot write release.key");
    let signed = pliant(folder.path(), &["module", "sign", "m.wasm", "--key", "release.key"], b"");
    signed.expect(0, "");
    let signers = host::wasm::Signers::read(&keygen.out, true).unwrap();
    assert_eq!(signers.check(b"component", Some(&signed.out)), Ok(()));
    pliant(folder.path(), &["module", "sign", "m.wasm", "--key", "m.wasm"], b"").expect(1, "holds no secret key");
}
