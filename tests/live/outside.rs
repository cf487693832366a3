//! Modules that ask a server outside: who may come in, what to publish. Only for those who wait for it, only where the
//! operator granted the host, and within bounds.

use super::server::Server;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::harness::{Admin, Broker, Publish, V5, V311, connect, guests};
use fe2o3_amqp::Connection;
use fe2o3_amqp::sasl_profile::SaslProfile;
use host::config::{Config, List, Module};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::time::Duration;

const OK: u8 = 0;
const UNAVAILABLE: u8 = 0x88;
const NOT_AUTHORIZED: u8 = 0x87;

/// A module of this name may speak to this server.
fn grant(config: &mut Config, host: &str) {
    let mut module = Module::named("asks");
    module.http_hosts = List(host.split(',').map(|host| host.trim().parse().expect("a host")).collect());
    config.modules.push(module);
    // A busy machine is no reason to stop a guest.
    config.wasm.call_milliseconds_max = 1_000;
}

fn start(server: &Server, adjust: impl Fn(&mut Config) + Send + Sync + 'static) -> Option<Broker> {
    let host = server.at.to_string();
    Broker::start_with(move |config| {
        grant(config, &host);
        adjust(config);
    })
}

fn deploy(admin: &Admin, config: &Json) {
    let config: String = config.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/modules/asks?on_failure=bypass&config={config}");
    admin.deploy(&path, &guests::component("asks-outside")).expect(200);
}

fn come_in(at: SocketAddr, user: &str, code: u8) {
    let client = connect(V5).at(at).user(user).password(b"secret");
    match code {
        OK => client.open().ping(),
        code => client.refused(code),
    }
}

fn figure(admin: &Admin, name: &str) -> u64 {
    let metrics = admin.get("/metrics").expect(200);
    let line = metrics.text().lines().find(|line| line.starts_with(&format!("pliant_{name} "))).expect(name).to_owned();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

fn log(admin: &Admin) -> String {
    admin.get("/api/v1/modules/asks/logs").expect(200).text().to_owned()
}

async fn sasl(at: SocketAddr, user: &str) -> bool {
    let profile = SaslProfile::Plain { username: user.to_owned(), password: "secret".to_owned() };
    let url = format!("amqp://{at}");
    let open = Connection::builder().container_id(user).sasl_profile(profile).open(&url[..]);
    tokio::time::timeout(Duration::from_secs(15), open).await.expect("the broker answers").is_ok()
}

#[test]
fn a_server_says_who_may_come_in() {
    let server = Server::start();
    let Some(broker) = start(&server, |_| {}) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    let at = broker.address();
    come_in(at, "ann", OK);
    come_in(at, "bob", NOT_AUTHORIZED);
    connect(V311).at(at).user("ann").password(b"secret").open().ping();
    connect(V311).at(at).user("bob").password(b"secret").refused(5);
    let client = connect(V5).at(at).id("named").user("ann").password(b"secret").open();
    assert_eq!(admin.get("/api/v1/clients/named").expect(200).json()["identity"], "Ann of secret");
    drop(client);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert!(runtime.block_on(sasl(broker.at("amqp"), "ann")));
    assert!(!runtime.block_on(sasl(broker.at("amqp"), "bob")));
    assert_eq!((figure(&admin, "module_http_requests_total"), figure(&admin, "module_http_failures_total")), (7, 0));
    let info = admin.get("/api/v1/modules/asks").expect(200).json();
    assert_eq!(info["http_hosts"], json!([server.at.to_string()]));
    // Somebody without a name is nobody's question.
    connect(V5).at(at).open().ping();
}

/// As in MQTT: nobody knows yet whether it may come in, and that is no reason to turn it away.
#[test]
fn an_amqp_client_that_says_nothing_waits_for_modules_that_may_ask() {
    let server = Server::start();
    let Some(broker) = start(&server, |_| {}) else { return };
    deploy(&broker.admin(), &json!({ "url": server.url() }));
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.send(&raw::close());
    peer.expect(0x18);
}

/// A client that is nobody yet need not know, the operator does.
#[test]
fn the_log_says_that_a_url_is_none() {
    let server = Server::start();
    let Some(broker) = start(&server, |_| {}) else { return };
    let admin = broker.admin();
    let at = server.at;
    for (url, why) in [
        (format!("ftp://{at}"), "neither http:// nor https://"),
        (format!("http://user:hidden@{at}"), "user information"),
        (format!("http://{at}/a b"), "a blank"),
        (format!("http://{at}/a#b"), "a fragment"),
    ] {
        admin.delete("/api/v1/modules/asks");
        deploy(&admin, &json!({ "url": url }));
        come_in(broker.address(), "ann", NOT_AUTHORIZED);
        let log = log(&admin);
        assert!(log.contains("no request: ") && log.contains(why) && !log.contains("hidden"), "{url}: {log}");
    }
    assert_eq!(figure(&admin, "module_http_requests_total"), 0);
}

/// The port counts, and so does the module's name.
#[test]
fn a_host_that_is_not_granted_is_an_error_that_the_module_sees() {
    let (server, other) = (Server::start(), Server::start());
    let Some(broker) = start(&other, |_| {}) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    let log = log(&admin);
    assert!(log.contains("the host is not granted") && log.contains("no answer: Denied"), "{log}");
    assert_eq!((figure(&admin, "module_http_requests_total"), figure(&admin, "module_http_denied_total")), (0, 1));
    assert_eq!(admin.get("/api/v1/modules/asks").expect(200).json()["failures"], 0);
    let config: String = json!({ "url": other.url() }).to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    let path = format!("/api/v1/modules/another?config={config}");
    admin.delete("/api/v1/modules/asks").expect(200);
    admin.deploy(&path, &guests::component("asks-outside")).expect(200);
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    assert_eq!((server.requests(), other.requests()), (0, 0));
}

/// A module that fails over what it heard lets nobody in, whatever its binding says.
#[test]
fn a_module_that_fails_after_its_question_refuses() {
    let server = Server::start();
    let Some(broker) = start(&server, |config| config.wasm.http_milliseconds_max = 100) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    for (user, why) in [("trap", "trapped"), ("loop", "stopped at its deadline")] {
        come_in(broker.address(), user, UNAVAILABLE);
        let log = log(&admin);
        assert!(log.contains("no answer: TimedOut") && log.contains(why), "{log}");
        let told = format!("no answer from http://{}: it took too long", server.at);
        assert!(log.contains(&told), "the broker says it, whatever the module does: {log}");
    }
    come_in(broker.address(), "ann", OK);
}

/// The one whose server hangs waits; with one worker thread, all others are served meanwhile.
#[test]
fn who_waits_for_a_slow_server_holds_up_nobody() {
    let server = Server::start();
    let Some(broker) = start(&server, |config| (config.workers, config.wasm.http_milliseconds_max) = (1, 60_000))
    else {
        return;
    };
    deploy(&broker.admin(), &json!({ "url": server.url() }));
    let at = broker.address();
    let mut slow = connect(V5).at(at).user("slow").sent();
    server.wait_for_held();
    let mut client = connect(V5).at(at).user("ann").password(b"secret").open();
    client.subscribe("a", 1);
    for number in 0..20 {
        client.say("a", &number.to_string(), 1);
        client.expect("a", &number.to_string(), 1);
    }
    assert!(slow.is_silent_for(Duration::from_millis(1)));
    server.let_go();
    slow.wait_for("CONNACK", |packet| match packet {
        crate::harness::Packet::Connack(answer) => {
            assert_eq!(answer.code, NOT_AUTHORIZED);
            Some(())
        }
        _ => None,
    });
}

/// Its module goes meanwhile: it is let go without an answer, and whoever comes then is let in by the rules that hold then.
#[test]
fn a_module_that_goes_while_its_server_is_waited_for_holds_up_nobody() {
    let server = Server::start();
    let Some(broker) = start(&server, |config| config.wasm.http_milliseconds_max = 60_000) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    let mut slow = connect(V5).at(broker.address()).user("slow").sent();
    server.wait_for_held();
    admin.delete("/api/v1/modules/asks").expect(200);
    connect(V5).at(broker.address()).open().ping();
    server.let_go();
    slow.wait_for("CONNACK", |packet| match packet {
        crate::harness::Packet::Connack(answer) => {
            assert_eq!(answer.code, NOT_AUTHORIZED, "one that began under a rule ends under it");
            Some(())
        }
        _ => None,
    });
    deploy(&admin, &json!({ "url": server.url() }));
    come_in(broker.address(), "ann", OK);
}

/// Of a module that asks twice a login, where one request a second is allowed.
#[test]
fn a_second_has_so_many_requests() {
    let server = Server::start();
    let Some(broker) = start(&server, |config| config.wasm.http_requests_per_second_max = 1) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url(), "times": 2 }));
    // The second request of one call comes long before the second is over, unless the machine stands still.
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    let counted = "pliant_module_over_quota_total{module=\"asks\",service=\"http\"} 1";
    let metrics = admin.get("/metrics").expect(200);
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[test]
fn answers_have_bounds() {
    let server = Server::start();
    let Some(broker) = start(&server, |config| config.wasm.http_reply_bytes_max = 1_000) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    // As it said beforehand, chunk after chunk without an end, and a header without an end.
    for user in ["large", "endless", "headers"] {
        come_in(broker.address(), user, NOT_AUTHORIZED);
    }
    let log = log(&admin);
    assert_eq!(log.matches("no answer: TooLarge").count(), 2, "{log}");
    assert_eq!(log.matches("no answer: Failed").count(), 1, "{log}");
    // Other answers that are none.
    for user in ["closes", "nonsense"] {
        come_in(broker.address(), user, NOT_AUTHORIZED);
    }
    deploy(&admin, &json!({ "url": server.url(), "times": 5 }));
    let before = server.requests();
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    assert_eq!(server.requests(), before + 4);
}

/// It would lead where nobody granted anything.
#[test]
fn a_redirect_is_not_followed() {
    let (server, other) = (Server::start(), Server::start());
    server.redirect_to(&other.url());
    let Some(broker) = start(&server, |_| {}) else { return };
    deploy(&broker.admin(), &json!({ "url": server.url() }));
    come_in(broker.address(), "elsewhere", NOT_AUTHORIZED);
    assert_eq!((server.requests(), other.requests()), (1, 0));
}

#[test]
fn a_timer_publishes_what_a_server_says() {
    let server = Server::start();
    let Some(broker) = start(&server, |_| {}) else { return };
    let mut watcher = connect(V5).at(broker.address()).open();
    watcher.subscribe("outside/#", 0);
    deploy(&broker.admin(), &json!({ "url": server.url(), "tick_milliseconds": 20 }));
    watcher.expect("outside/tick", "tick of the server", 0);
    watcher.expect("outside/tick", "tick of the server", 0);
}

/// Whoever is asked on the way of messages may not wait.
#[test]
fn other_hooks_cannot_ask() {
    let server = Server::start();
    let Some(broker) = start(&server, |_| {}) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("route/#", 1);
    client.say("route/x", "x", 1);
    assert_eq!(client.take().properties.user()[0], ("said", "denied"));
    assert_eq!(client.publish(&Publish::new("asks/x", "x", 1)), NOT_AUTHORIZED);
    assert!(log(&admin).contains("this hook may not wait"));
    assert_eq!((server.requests(), figure(&admin, "module_http_denied_total")), (0, 2));
}

/// Where nothing is granted, nobody waits for the module; that is not what its author has to hear.
#[test]
fn the_log_says_where_a_host_is_granted() {
    let server = Server::start();
    let adjust = |config: &mut Config| config.wasm.call_milliseconds_max = 1_000;
    let Some(broker) = Broker::start_with(adjust) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    let said = log(&admin);
    assert!(said.contains(r#"add it to http_hosts of [[module]] name = \"asks\""#), "{said}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn over_tls_the_server_has_to_be_who_it_says() {
    let (server, stranger) = (Server::start_tls(), Server::start_tls());
    let trusted = server.root_file();
    let hosts = [server.at.port(), stranger.at.port()].map(|port| format!("localhost:{port}")).join(",");
    let adjust = move |config: &mut Config| {
        grant(config, &hosts);
        config.http_ca_file.clone_from(&trusted);
    };
    let Some(broker) = Broker::start_with(adjust) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": format!("https://localhost:{}", server.at.port()) }));
    come_in(broker.address(), "ann", OK);
    come_in(broker.address(), "bob", NOT_AUTHORIZED);
    deploy(&admin, &json!({ "url": format!("https://localhost:{}", stranger.at.port()) }));
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    assert_eq!((server.requests(), stranger.requests()), (2, 0));
}

/// Granting, and taking it back, needs no restart.
#[test]
fn grants_are_read_again_on_a_reload() {
    let server = Server::start();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let write = |hosts: &str| std::fs::write(file.path(), hosts).expect("a file that can be written");
    write("");
    let Some(broker) = Broker::start_from(file.path()) else { return };
    let admin = broker.admin();
    deploy(&admin, &json!({ "url": server.url() }));
    come_in(broker.address(), "ann", NOT_AUTHORIZED);
    let entry = format!("[[module]]\nname = \"asks\"\nhttp_hosts = [\"{}\"]\n", server.at);
    for (text, code) in [(entry.as_str(), OK), ("", NOT_AUTHORIZED)] {
        write(text);
        let reloaded = admin.send("POST", "/api/v1/reload", &[], b"").expect(200).json();
        assert_eq!(reloaded["applied"], json!(["module.asks.http_hosts"]), "{reloaded}");
        assert_eq!(reloaded["restart_needed"], json!([]), "{reloaded}");
        come_in(broker.address(), "ann", code);
    }
}
