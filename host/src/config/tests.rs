//! Rows for the configuration: what each source may say, and what is said about what is wrong.

use super::*;
use std::collections::HashSet;
use std::path::Path;

fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let flags = flags.iter().map(|flag| flag.to_string()).collect();
    let place = format!("{}", path.display());
    Sources { file: Some(path), environment, flags }.load().map_err(|error| error.to_string().replace(&place, "c.toml"))
}

fn value(config: &Config, key: &str) -> String {
    let found = effective(config).into_iter().find(|(k, _)| k == key);
    found.unwrap_or_else(|| panic!("{key}")).1.to_string().trim_matches('"').to_owned()
}

#[test]
fn nothing_given_is_the_default() {
    let config = load("", &[], &[]).unwrap();
    assert_eq!(effective(&config), effective(&Config::default()));
    for (key, expected) in [
        ("data_dir", "data"),
        ("listener.mqtt.bind", "127.0.0.1:1883"),
        ("listener.mqtt.protocol", "mqtt"),
        ("listener.mqtt.transport", "tcp"),
        ("admin.bind", "127.0.0.1:9880"),
        ("store.durability", "commit"),
        ("module.topic-rules.on_failure", "refuse"),
    ] {
        assert_eq!(value(&config, key), expected, "{key}");
    }
}

#[test]
fn the_example_file_is_the_default_and_mentions_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let config = Sources { file: Some(path.clone()), ..Sources::default() }.load().unwrap();
    for (written, default) in effective(&config).into_iter().zip(effective(&Config::default())) {
        assert_eq!(written, default, "example.toml and the default differ");
    }
    let given: HashSet<_> = written::from_file(&path, &text).0.into_iter().map(|given| given.path.join(".")).collect();
    let list = |list: &str, entry: &str| (list.to_owned(), entry.to_owned());
    let (listener, module) = (list("listener.mqtt.", "mqtt"), list("module.topic-rules.", "topic-rules"));
    let keys = settings::GLOBAL.iter().map(|setting| setting.key.to_owned());
    let keys = keys.chain(settings::LISTENER.iter().map(|setting| format!("{}{}", listener.0, setting.key)));
    for key in keys.chain(settings::MODULE.iter().map(|setting| format!("{}{}", module.0, setting.key))) {
        assert!(given.contains(&key), "example.toml does not mention {key}");
    }
}

#[test]
fn the_example_of_a_bridge_mentions_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("example.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let settings = text
        .lines()
        .skip_while(|line| *line != "#[[bridge]]")
        .filter(|line| !line.starts_with("# ") || line.starts_with("#    "));
    let file: Vec<&str> = settings.map(|line| line.trim_start_matches('#')).collect();
    let config = load(&file.join("\n"), &[], &[]).unwrap();
    let default = Config { bridges: vec![crate::bridge::Settings::named("head-office")], ..Config::default() };
    for setting in settings::BRIDGE {
        let key = format!("bridge.head-office.{}", setting.key);
        assert!(file.iter().any(|line| line.starts_with(setting.key.split('.').next().unwrap())), "{key}");
        let same = value(&config, &key) == value(&default, &key);
        assert_eq!(same, !matches!(setting.key, "url" | "routes"), "{key}");
    }
}

#[test]
fn what_is_no_server_to_send_clients_to_and_no_stack_is_refused() {
    for (flag, why) in [
        ("redirect.server=a:99999", "and `a:99999` is neither"),
        ("redirect.server=mqtt://a:1883", "and `mqtt://a:1883` is neither"),
        ("redirect.server=a b,c", "and `b,c` is neither"),
        ("wasm.stack_bytes_max=1048577", "expected a whole number from 65536 to 1048576 (bytes)"),
    ] {
        let error = load("", &[], &[flag]).unwrap_err();
        assert!(error.contains(why), "{flag}: {error}");
    }
    for server in ["", "a", "a.example:1883 [::1]:1884"] {
        assert_eq!(load("", &[], &[&format!("redirect.server={server}")]).unwrap().redirect.server, server);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let file = "workers = 1\n[store]\ndurability = \"relaxed\"\n[topic]\nlevels_max = 7";
    let environment = [("PLIANT__WORKERS", "2"), ("PLIANT__STORE__DURABILITY", "commit"), ("PATH", "/bin")];
    let config = load(file, &environment, &["workers=3"]).unwrap();
    for (key, expected) in [("workers", "3"), ("store.durability", "commit"), ("topic.levels_max", "7")] {
        assert_eq!(value(&config, key), expected, "{key}");
    }
}

#[test]
fn entries_of_lists_are_addressed_by_name_in_every_source() {
    for (file, environment, flags, key, expected) in [
        (
            "[[listener]]\nname = \"mqtt\"\nbind = \"127.0.0.1:2\"",
            &[][..],
            &[][..],
            "listener.mqtt.bind",
            "127.0.0.1:2",
        ),
        ("[listener.mqtt]\nbind = \"[::1]:2\"", &[], &[], "listener.mqtt.bind", "[::1]:2"),
        ("", &[("PLIANT__LISTENER__MQTT__BIND", "127.0.0.1:3")], &[], "listener.mqtt.bind", "127.0.0.1:3"),
        ("", &[], &["listener.mqtt.bind=127.0.0.1:4"], "listener.mqtt.bind", "127.0.0.1:4"),
        ("", &[], &["listener.mqtt.bind=localhost:0"], "listener.mqtt.bind", "127.0.0.1:0"),
        ("", &[], &["listener.two.bind=127.0.0.1:5"], "listener.two.bind", "127.0.0.1:5"),
        ("", &[], &["listener.two={ bind = \"127.0.0.1:5\" }"], "listener.two.bind", "127.0.0.1:5"),
        (
            "",
            &[],
            &["listener.ws.transport=wss", "listener.ws.tls={ certificate = \"c\", key = \"k\" }"],
            "listener.ws.tls.key",
            "k",
        ),
        (
            "",
            &[],
            &["listener.ws={\"transport\":\"wss\",\"tls\":{\"certificate\":\"c\",\"key\":\"k\"}}"],
            "listener.ws.tls.key",
            "k",
        ),
        ("", &[("PLIANT__AUTH__JWT", "{ issuer = \"i\" }")], &[], "auth.jwt.issuer", "i"),
        ("", &[], &["module.topic-rules={config={rules=[1]}}"], "module.topic-rules.config", "{\"rules\":[1]}"),
        ("", &[("PLIANT__MODULE__TOPIC_RULES__ORDER", "5")], &[], "module.topic-rules.order", "5"),
        ("", &[], &["module.topic-rules.config={\"rules\":[1]}"], "module.topic-rules.config", "{\"rules\":[1]}"),
        (
            "[[module]]\nname = \"own\"\npath = \"own.wasm\"\nconfig = { a = { b = [1, 2.5, true] } }",
            &[],
            &[],
            "module.own.config",
            "{\"a\":{\"b\":[1,2.5,true]}}",
        ),
    ] {
        let config = load(file, environment, flags).unwrap();
        assert_eq!(value(&config, key), expected, "{key}");
    }
}

/// What can be deployed can be named here: the rule is one.
#[test]
fn names_of_modules_are_those_that_can_be_deployed() {
    let grants = "http_hosts = [\"a.example\"]";
    let long = "m".repeat(64);
    for name in ["my.mod", "My_mod-2", "0", long.as_str()] {
        let config = load(&format!("[[module]]\nname = \"{name}\"\n{grants}"), &[], &[]).unwrap();
        assert_eq!(value(&config, &format!("module.{name}.http_hosts")), "[\"a.example\"]");
    }
    let longer = "m".repeat(65);
    for name in ["", ".mod", "-mod", "a/b", "a b", "ü", longer.as_str()] {
        assert!(!crate::wasm::is_name(name), "{name}");
        let error =
            load(&format!("[[module]]\nname = \"{name}\"\npath = \"m.wasm\"\n{grants}"), &[], &[]).expect_err(name);
        assert!(error.starts_with("c.toml:2: module.") && error.contains(crate::wasm::NAME_RULE), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // Dots within a segment: in quotes as in a file, and by an underscore where there are none.
    let file = format!("[module.\"my.mod\"]\npath = \"m.wasm\"\n{grants}");
    let flags = ["module.\"my.mod\".order=5"];
    let config = load(&file, &[("PLIANT__MODULE__MY_MOD__ON_FAILURE", "bypass")], &flags).unwrap();
    assert_eq!(
        (value(&config, "module.my.mod.order"), value(&config, "module.my.mod.on_failure")),
        ("5".into(), "bypass".into())
    );
    for list in ["listener", "bridge"] {
        let error = load(&format!("[[{list}]]\nname = \"a.b\"\nenabled = true"), &[], &[]).expect_err(list);
        assert!(error.contains("letters, digits, - and _") && error.lines().count() == 1, "{error}");
    }
}

/// A name that is misspelt would leave the broker without what the entry is about.
#[test]
fn hosts_beside_anything_else_do_not_make_a_module_one_that_is_deployed() {
    let entry = |more: &str| format!("[[module]]\nname = \"acces-list\"\nhttp_hosts = [\"a.example\"]\n{more}");
    assert!(load(&entry(""), &[], &[]).unwrap().modules.iter().any(Module::only_grants));
    let said = "module acces-list has no path, and no bundled module has that name; the nearest is access-list; what is \
                said here of a module that is deployed by hand is http_hosts and nothing else";
    for more in ["enabled = true", "config = { rules = [] }", "order = 10", "on_failure = \"bypass\"", "path = \"\""] {
        let error = load(&entry(more), &[], &[]).expect_err(more);
        assert!(error.contains(said) && error.lines().count() == 1, "{more}: {error}");
    }
    let error = load(&entry(""), &[("PLIANT__MODULE__ACCES_LIST__ORDER", "5")], &[]).expect_err("by the environment");
    assert!(error.contains(said), "{error}");
    let error = load(&entry(""), &[], &["module.acces-list.enabled=true"]).expect_err("by a flag");
    assert!(error.contains(said), "{error}");
}

/// A file, variables, flags, and what is said of them.
type Wrong = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static str);

fn are_said(rows: impl IntoIterator<Item = Wrong>) {
    for (file, environment, flags, expected) in rows {
        let error = load(file, environment, flags).expect_err(file);
        assert!(
            error.contains(expected),
            "{file:?} {environment:?} {flags:?}\n  said     {error}\n  expected {expected}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    are_said([
        ("\ndatadir = \"x\"", &[][..], &[][..], "c.toml:2: unknown key datadir; the nearest is data_dir"),
        ("[store]\ndurabilty = 1", &[], &[], "c.toml:2: unknown key store.durabilty; the nearest is store.durability"),
        ("durability = 1", &[], &[], "c.toml:1: unknown key durability; the nearest is store.durability"),
        ("[[listner]]\nname = \"x\"", &[], &[], "c.toml:1: unknown key listner; the nearest is listener"),
        (
            "[[listener]]\nname = \"mqtt\"\nbnid = \"x\"",
            &[],
            &[],
            "c.toml:3: unknown key listener.mqtt.bnid; the nearest is listener.mqtt.bind",
        ),
        (
            "",
            &[("PLIANT__WORKRS", "1")],
            &[],
            "environment variable PLIANT__WORKRS: unknown key workrs; the nearest is workers",
        ),
        ("", &[], &["admin.bnd=x"], "--set admin.bnd: unknown key admin.bnd; the nearest is admin.bind"),
        ("", &[], &["workers"], "--set workers: expected key.path=value"),
        (
            "",
            &[],
            &["listener.ws.tls={ ke = \"k\" }"],
            "--set listener.ws.tls: unknown key listener.ws.tls.ke; the nearest",
        ),
        ("", &[], &["listener.ws.tls={ key = }"], "--set listener.ws.tls: expected a table, as in"),
        ("", &[], &["auth.jwt={}\nworkers = 1"], "something stands behind it"),
        ("", &[], &["no.such={ a = 1 }"], "--set no.such: unknown key no.such.a; the nearest"),
        ("a = [", &[], &[], "c.toml:1: "),
        ("\n\nworkers = \"x\"", &[], &[], "c.toml:3: workers: expected a whole number from 0 to 1024 (threads)"),
        ("", &[], &["workers=-1"], "--set workers: expected a whole number from 0 to 1024 (threads)"),
        ("store.durability = \"never\"", &[], &[], "c.toml:1: store.durability: expected one of commit, relaxed"),
        ("listener.mqtt.bind = \"1883\"", &[], &[], "c.toml:1: listener.mqtt.bind: expected address:port"),
        ("listener.mqtt.enabled = 1", &[], &[], "c.toml:1: listener.mqtt.enabled: expected true or false"),
        ("[[listener]]\nbind = \"127.0.0.1:1\"", &[], &[], "c.toml:1: each [[listener]] needs a name"),
        ("[[listener]]\nname = \"a/b\"", &[], &[], "c.toml:2: listener.a/b.name: a name is 1 to 64 letters"),
        (
            "[[module]]\nname = \"a\"\npath = \"p\"\n[[module]]\nname = \"a\"",
            &[],
            &[],
            "c.toml:4: a second module.a of that name",
        ),
        ("[[listener]]\nname = \"x\"", &[], &[], "c.toml:2: listener x needs bind"),
        ("", &[], &["listener.bridge.bind=127.0.0.1:1"], "that of the broker's own bridges; take another one"),
        (
            "[[listener]]\nname = \"x\"\ntransport = \"udp\"",
            &[],
            &[],
            "c.toml:3: listener.x.transport: expected one of tcp, tls, ws, wss, unix, quic",
        ),
        ("[[bridge]]\nname = \"b\"\nurl = \"mqtt://h\"", &[], &[], "bridge b needs at least one route"),
        ("[[bridge]]\nname = \"b\"\nuri = \"mqtt://h\"", &[], &[], "the nearest is bridge.b.url"),
        (
            "[[bridge]]\nname = \"b\"\nurl = \"mqtt://h\"\nroutes = [ { direction = \"up\", filter = \"a\" } ]",
            &[],
            &[],
            "c.toml:4: bridge.b.routes: route 1: direction: expected one of out, in, both",
        ),
        ("", &[], &["broker.dead_letters=a/#"], "broker.dead_letters: a/# is no topic name"),
        ("", &[], &["broker.dead_letters=/queues/"], "broker.dead_letters: /queues/ is no"),
        ("", &[], &["admin.token_file=t", "admin.read_token_file=t"], "admin.read_token_file: it is the file of"),
        (
            "[admin]\n\nconnections_max = 20",
            &[],
            &[],
            "c.toml:3: admin.connections_max: 20 connections leave none beside 8 components (admin.uploads_max) and 64 other bodies \
             (admin.bodies_max) that may be on their way: raise it above 72, or lower these two",
        ),
        (
            "",
            &[],
            &["admin.bind=[::1]:1", "admin.bodies_max=120"],
            "--set admin.bodies_max: admin.connections_max: 128 connections leave none",
        ),
        ("", &[], &["admin.uploads_max=9", "admin.bodies_max=119"], "128 connections leave none beside 9 components"),
        ("", &[], &["listener.mqtt.transport=unix"], "listener mqtt binds a path if its transport is unix"),
        ("", &[], &["listener.mqtt.bind=./x"], "listener mqtt binds a path if its transport is unix"),
        ("", &[], &["listener.ws.path=mqtt"], "listener ws needs a path that begins with /"),
        (
            "[[module]]\nname = \"topic-rule\"\norder = 1",
            &[],
            &[],
            "module topic-rule has no path, and no bundled module has that name; the nearest is topic-rules",
        ),
        (
            "\nlistener.mqtt.bind = \"0.0.0.0:1883\"",
            &[],
            &[],
            "c.toml:2: listener mqtt binds 0.0.0.0:1883, which other machines reach",
        ),
        ("", &[], &["admin.bind=0.0.0.0:1"], "--set admin.bind: the admin API has no TLS yet"),
        ("", &[], &["store=3"], "--set store: store is a section: name one of its keys"),
    ]);
}

/// The line that was written is named, not the default beside it.
#[test]
fn listeners_that_cannot_be_as_they_are_are_said() {
    are_said([
        (
            "",
            &[][..],
            &["listener.b.bind=127.0.0.1:1883"][..],
            "--set listener.b.bind: listener mqtt binds 127.0.0.1:1883 like listener b",
        ),
        ("", &[], &["listener.b.bind=127.0.0.1:9880"], "listener b binds 127.0.0.1:9880 like the admin API"),
        (
            "",
            &[],
            &["admin.bind=127.0.0.1:1883"],
            "--set admin.bind: listener mqtt binds 127.0.0.1:1883 like the admin API",
        ),
        (
            "",
            &[],
            &["listener.z={ bind = \"0.0.0.0:1883\", allow_anonymous = true }"],
            "--set listener.z: listener z binds 0.0.0.0:1883 and listener mqtt 127.0.0.1:1883: one port",
        ),
        (
            "",
            &[],
            &["listener.a={ bind = \"[::]:9880\", allow_anonymous = true }"],
            "--set listener.a: listener a binds [::]:9880 and the admin API 127.0.0.1:9880: one port",
        ),
        (
            "",
            &[],
            &[
                "listener.t={ bind = \"0.0.0.0:1\", transport = \"tls\", tls = { certificate = \"c\", key = \"k\", client_ca = \"a\", client_certificate = \"optional\" } }",
            ],
            "name auth.password_file, say client_certificate = \"required\" in its tls, or say allow_anonymous = true",
        ),
    ]);
}

#[test]
fn what_does_not_fit_together_of_tls_is_said() {
    are_said([
        (
            "",
            &[][..],
            &["listener.ws.transport=wss"][..],
            "listener ws needs tls.certificate and tls.key, two PEM files",
        ),
        ("", &[], &["listener.mqtt.tls.key=k"], "listener mqtt needs tls.certificate and tls.key, two PEM files"),
        ("", &[], &["listener.mqtt.tls.client_certificate=required"], "listener mqtt needs tls.client_ca"),
        (
            "",
            &[],
            &["listener.mqtt.tls={ client_ca = \"a\", client_certificate = \"required\" }"],
            "--set listener.mqtt.tls: listener mqtt asks for clients' certificates, which come in TLS only",
        ),
        (
            "",
            &[],
            &[
                "listener.mqtt.bind=0.0.0.0:1883",
                "listener.mqtt.tls={ client_ca = \"a\", client_certificate = \"optional\" }",
            ],
            "has no tls.certificate of its own",
        ),
        ("", &[], &["listener.mqtt.tls={ certificate = \"c\", key = \"k\" }"], "say transport = \"tls\""),
        ("", &[], &["listener.ws.tls={ certificate = \"c\", key = \"k\" }"], "say transport = \"wss\""),
        (
            "",
            &[],
            &[
                "listener.mqtt.protocol=amqp",
                "listener.mqtt.tls={ certificate = \"c\", key = \"k\", client_ca = \"a\", client_certificate = \"required\" }",
            ],
            "since TLS is only on offer there",
        ),
    ]);
}

/// An entry that lacks something has a place, and what has no name keeps nothing else from being said.
#[test]
fn what_an_entry_lacks_is_said_with_the_entrys_place() {
    are_said([
        (
            "[[listener]]\nname = \"y\"\ntransport = \"tls\"\nbind = \"127.0.0.1:1\"",
            &[][..],
            &[][..],
            "c.toml:4: listener y needs tls.certificate and tls.key, two PEM files",
        ),
        (
            "store.durability = \"commit\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n[mqt]\na = 1",
            &[],
            &[],
            "c.toml:5: unknown key mqt.a",
        ),
    ]);
}

#[test]
fn what_is_wrong_in_a_list_or_a_path_is_said_too() {
    are_said([
        (
            "listener.mqtt.proxy_protocol = [\"10.0.0.0/33\"]",
            &[][..],
            &[][..],
            "a network, as 10.0.0.0/8, got 10.0.0.0/33",
        ),
        ("", &[], &["listener.ws.origins=nonsense"], "origins: expected the origin of a page, as https://host or"),
        ("", &[], &["listener.ws.origins=[https://a.example]"], "https://host:8443, or *, got [https://a.example]"),
        ("", &[("PLIANT__LISTENER__WS__ORIGINS", "https://a.example/x")], &[], "got https://a.example/x"),
        ("", &[], &["auth.order=[\"jwt\", 1]"], "auth.order: expected a list of texts in quotes"),
        ("data_dir = \"\"", &[], &[], "c.toml:1: data_dir: expected a path"),
        ("", &[], &["data_dir="], "--set data_dir: expected a path"),
        ("listener.mqtt.origins = \"x\"", &[], &[], "c.toml:1: listener.mqtt.origins: expected a list"),
        (
            "module.x.http_hosts = [\"http://a/b\"]",
            &[],
            &[],
            "http_hosts: expected host or host:port, without a scheme, a path or wildcards, got http://a/b",
        ),
        ("", &[], &["module.x.http_hosts=*.example"], "or wildcards, got *.example"),
    ]);
}

#[test]
fn a_quic_listener_has_a_certificate_and_speaks_mqtt_and_needs_a_port_of_udp_only() {
    let bare = ["listener.mqtt.transport=quic"];
    let (certificate, key) = ("listener.mqtt.tls.certificate=c", "listener.mqtt.tls.key=k");
    for (more, expected) in [
        (&[][..], "listener mqtt needs tls.certificate and tls.key, two PEM files"),
        (&[certificate, key, "listener.mqtt.protocol=amqp"], "for QUIC, which carries mqtt and nothing else"),
        (&[certificate, key, "listener.mqtt.protocol=any"], "for QUIC, which carries mqtt and nothing else"),
        (&[certificate, key, "listener.mqtt.proxy_protocol=10.0.0.0/8"], "no room for a PROXY header"),
        (&[certificate, key, "listener.mqtt.bind=./x"], "listener mqtt binds a path if its transport is unix"),
        (&[certificate, key, "listener.mqtt.bind=0.0.0.0:1883"], "which other machines reach"),
    ] {
        let error = load("", &[], &[&bare, more].concat()).expect_err(expected);
        assert!(error.contains(expected), "{more:?}\n  said     {error}\n  expected {expected}");
    }
    // TCP's port of that number is another one.
    for same in ["listener.b.bind=127.0.0.1:1883", "listener.mqtt.bind=127.0.0.1:9880"] {
        let loaded = load("", &[], &[bare[0], certificate, key, same]);
        assert!(loaded.is_ok(), "{same}: {loaded:?}");
    }
}

#[test]
fn every_problem_is_said_at_once() {
    let error = load("workrs = 1\nstor.x = 2", &[], &["x=1"]).expect_err("three are wrong");
    assert_eq!(error.lines().count(), 3, "{error}");
}

/// What follows from something wrong is not said: the routes are there, the address is.
#[test]
fn one_thing_that_is_wrong_is_one_line() {
    for file in [
        "[[bridge]]\nname = \"b\"\nurl = \"mqtt://h\"\nroutes = [ { direction = \"out\", filtr = \"a\" } ]",
        "[[bridge]]\nname = \"b\"\nurl = 1\nroutes = [ { direction = \"out\", filter = \"a\" } ]",
        "[[listener]]\nname = \"x\"\nbind = \"1883\"",
        "[[listener]]\nname = \"x\"\nbind = \"[::1]:1\"\ntransport = \"tls\"\ntls = { certificate = \"c\", kye = \"k\" }",
    ] {
        let error = load(file, &[], &[]).expect_err(file);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn flags_that_cannot_be_read_are_wrong_usage_and_what_they_say_is_not() {
    for (environment, flags, usage) in [
        (&[][..], &["workers=-1"][..], false),
        (&[], &["workers"], true),
        (&[], &["workers", "=1"], true),
        (&[], &["workers", "workers=-1"], false),
        (&[], &["no.such=1", "listener.b.enabled=true"], false),
        (&[("PLIANT__WORKERS", "x")], &[], false),
        (&[("PLIANT__WORKERS", "x")], &["no.such=1"], false),
    ] {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let (environment, flags) =
            (environment.iter().map(owned).collect(), flags.iter().map(|flag| flag.to_string()).collect());
        let error = Sources { file: None, environment, flags }.load().expect_err("it is wrong");
        assert_eq!(error.is_usage(), usage, "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let sources = Sources { file: Some("no/such/file.toml".into()), ..Sources::default() };
    let error = sources.load().expect_err("there is none").to_string();
    assert!(error.starts_with("cannot read configuration file no/such/file.toml: "), "{error}");
}

#[test]
fn strangers_come_in_without_a_name_only_where_that_is_said() {
    for (bind, allow, starts) in [
        ("127.0.0.1:1", false, true),
        ("127.1.2.3:1", false, true),
        ("[::1]:1", false, true),
        ("[::ffff:127.0.0.1]:1", false, true),
        ("0.0.0.0:1", false, false),
        ("[::]:1", false, false),
        ("10.0.0.1:1", false, false),
        ("0.0.0.0:1", true, true),
    ] {
        let flags = [format!("listener.mqtt.bind={bind}"), format!("listener.mqtt.allow_anonymous={allow}")];
        let loaded = load("", &[], &flags.each_ref().map(String::as_str));
        assert_eq!(loaded.is_ok(), starts, "{bind} {allow}");
    }
}

#[test]
fn differences_say_what_needs_a_restart() {
    let old = Config::default();
    for (flag, key, live) in [
        ("module.topic-rules.order=3", "module.topic-rules.order", true),
        ("admin.page_max=3", "admin.page_max", false),
        ("workers=3", "workers", false),
        ("listener.mqtt.bind=127.0.0.1:3", "listener.mqtt.bind", false),
    ] {
        let new = load("", &[], &[flag]).unwrap();
        assert_eq!(differences(&old, &new), [Change { key: key.to_owned(), live }], "{flag}");
    }
    let more = load("", &[], &["listener.b.bind=127.0.0.1:3"]).unwrap();
    assert!(differences(&old, &more).iter().all(|change| !change.live && change.key.starts_with("listener.b.")));
    assert!(differences(&more, &old).iter().all(|change| !change.live && change.key.starts_with("listener.b.")));
    assert_eq!(differences(&more, &more), []);
}

#[test]
fn a_list_in_one_text_has_commas_between_or_brackets_around() {
    let both = "[\"https://a.example\",\"https://b.example:8443\"]";
    for (key, text, expected) in [
        ("listener.ws.origins", "https://a.example,https://b.example:8443", both),
        ("listener.ws.origins", both, both),
        ("listener.ws.origins", " ['https://a.example', 'https://b.example:8443'] ", both),
        ("listener.ws.origins", "https://a.example:443, HTTPS://B.example:8443", both),
        ("listener.ws.origins", "[]", "[]"),
        ("listener.ws.origins", "", "[]"),
        ("listener.ws.origins", "*", "[\"*\"]"),
        ("listener.mqtt.proxy_protocol", "[\"10.0.0.0/8\"]", "[\"10.0.0.0/8\"]"),
        ("auth.order", "[\"password\", \"jwt\"]", "[\"password\",\"jwt\"]"),
        ("auth.order", "password, jwt", "[\"password\",\"jwt\"]"),
        ("module.topic-rules.http_hosts", "[::1]:80", "[\"[::1]:80\"]"),
        ("module.topic-rules.http_hosts", "[\"[::1]:80\", \"a.example\"]", "[\"[::1]:80\",\"a.example\"]"),
    ] {
        let flagged = load("", &[], &[&format!("{key}={text}")]).unwrap();
        assert_eq!(value(&flagged, key), expected, "{key}={text}");
        let name = format!("PLIANT__{}", key.replace('.', "__").to_uppercase());
        let said = load("", &[(name.as_str(), text)], &[]).unwrap();
        assert_eq!(value(&said, key), expected, "{name}={text}");
    }
}
