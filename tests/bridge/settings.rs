//! How a bridge is configured, secured and watched.

use super::rig::*;
use crate::access::rig::{PASSWORD, write_users};
use crate::doors::rig::Authority;
use crate::harness::*;
use host::bridge::Direction;
use host::config::{ClientCertificate, Transport};
use host::identity::Anonymous;
use std::process::Command;

#[test]
fn a_bridge_trusts_its_authority_only_and_says_who_it_is() {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    write_users(&authority.path("users"), &["ann"], false);
    let users = authority.path("users");
    let there = Broker::start_with(move |config| {
        let listener = config.listeners.iter_mut().find(|listener| listener.name == "mqtt").unwrap();
        (listener.transport, listener.tls) = (Transport::Tls, tls.clone());
        listener.allow_anonymous.0 = Anonymous::Never;
        config.auth.password_file.clone_from(&users);
    });
    let Some(there) = there else { return };
    let url = format!("mqtts://localhost:{}", there.address().port());
    std::fs::write(authority.path("password"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(authority.path("wrong"), "wrong\n").unwrap();
    let settings = |name: &str, ca: bool, password: &str| {
        let mut settings = bridge(name, &url, &[route(Direction::Out, &format!("{name}/#"))]);
        if ca {
            settings.ca_file = authority.path("ca.pem");
        }
        settings.user = "ann".into();
        settings.password_file = authority.path(password);
        settings
    };
    let other = Authority::new();
    let mut stranger = settings("stranger", true, "password");
    stranger.ca_file = other.path("ca.pem");
    let bridges = vec![settings("good", true, "password"), stranger, settings("liar", true, "wrong")];
    let Some(here) = with(bridges) else { return };
    until_up(&here, "good");
    let says = |name: &str, word: &'static str| {
        until(&here, name, |bridge| bridge["last_error"].as_str().is_some_and(|error| error.contains(word)));
    };
    says("stranger", "TLS");
    says("liar", "refuses the connection");
    let page = here.admin().get("/api/v1/bridges?limit=1&after=good").expect(200).json();
    assert_eq!(
        (&page["items"][0]["name"], &page["items"][1], &page["next"]),
        (&"liar".into(), &serde_json::Value::Null, &"liar".into())
    );
    assert_eq!(standing(&here, "good")["remote"], url.as_str());
}

#[test]
fn the_state_of_a_bridge_is_told_everywhere() {
    // It may have to be built first.
    let pliant = binary();
    let Some(there) = Broker::start() else { return };
    let Some(here) = with(vec![bridge("b", &mqtt(there.address()), &[route(Direction::Out, "n")])]) else { return };
    let mut watcher = connect(V5).at(here.address()).open();
    watcher.subscribe("$SYS/broker/connection/b/state", 0);
    while watcher.take().text() != "1" {}
    connect(V5).at(here.address()).open().say("n", "x", 1);
    until(&here, "b", |bridge| bridge["sent"] == 1);
    let text = here.admin().get("/metrics").expect(200).text().to_owned();
    for line in ["pliant_bridge_connected{bridge=\"b\"} 1", "pliant_bridge_sent_total{bridge=\"b\"} 1"] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let admin = format!("http://{}", here.admin().address);
    let data = here.data();
    let mut command = Command::new(pliant);
    command.args(["bridge", "list", "--admin", &admin, "--data-dir"]).arg(&data);
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(printed.lines().any(|line| line.starts_with("b ") && line.contains("connected")), "{printed}");
    drop(there);
    while watcher.take().text() != "0" {}
    until(&here, "b", |bridge| bridge["state"] != "connected" && bridge["last_error"].is_string());
}

/// A store from before ids that begin with `bridge/` were kept for bridges.
#[test]
fn a_bridge_gets_its_id_though_a_client_had_it() {
    let Some(there) = Broker::start() else { return };
    let bridges = vec![bridge("new", &mqtt(there.address()), &[route(Direction::Out, "n")])];
    let is_written = std::sync::atomic::AtomicBool::new(false);
    let here = Broker::start_with(move |config| {
        config.bridges.clone_from(&bridges);
        if !is_written.swap(true, std::sync::atomic::Ordering::Relaxed) {
            leave_session(&config.data_dir, "bridge/new");
        }
    });
    let Some(here) = here else { return };
    until_up(&here, "new");
    let mut far = connect(V5).at(there.address()).open();
    far.subscribe("n", 1);
    connect(V5).at(here.address()).open().say("n", "x", 1);
    far.expect("n", "x", 1);
    let session = here.admin().get("/api/v1/clients/bridge/new").expect(200).json();
    assert_eq!(session["listener"], "bridge", "{session}");
    let here = here.restart();
    until_up(&here, "new");
}

/// The session of an MQTT client that is away.
fn leave_session(data: &std::path::Path, id: &str) {
    use host::client::{Client, Protocol, Scope};
    use host::message::Time;
    use host::store::{Change, Durability, Limits, MailboxRecord, Store};
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None };
    let record = MailboxRecord {
        client: std::sync::Arc::new(Client { id: id.into(), container: None, scope: scope.into(), peer: "".into() }),
        expiry_seconds: u32::MAX,
        detached: Some(Time(1)),
        per_subscription: false,
        knows_options: true,
        sent_to: 0,
    };
    let metrics = std::sync::Arc::default();
    let (store, _) = Store::open(data, &Limits::default(), Durability::Commit, metrics, Time(1)).unwrap();
    let after = store.submit([Change::Mailbox(1, Box::new(record))]);
    while store.committed() < after {
        std::thread::yield_now();
    }
    store.close();
}

#[test]
fn a_bridge_that_is_configured_no_more_leaves_nothing_behind() {
    let Some(there) = Broker::start() else { return };
    let bridges = vec![bridge("b", &mqtt(there.address()), &[route(Direction::Out, "n")])];
    let on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let switch = on.clone();
    let here = Broker::start_with(move |config| {
        config.bridges.clone_from(&bridges);
        config.bridges[0].enabled = switch.load(std::sync::atomic::Ordering::Relaxed);
    });
    let Some(here) = here else { return };
    until_up(&here, "b");
    assert_eq!(here.admin().get("/api/v1/clients/bridge/b").expect(200).json()["subscriptions"], 1);
    on.store(false, std::sync::atomic::Ordering::Relaxed);
    let here = here.restart();
    here.admin().get("/api/v1/clients/bridge/b").expect(404);
}
