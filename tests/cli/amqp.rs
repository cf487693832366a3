//! `pliant pub` and `pliant sub` over AMQP.

use super::pliant;
use crate::access::rig::{PASSWORD, write_users};
use crate::amqp::link::Terms;
use crate::amqp::peer::Peer;
use crate::amqp::value::Value;
use crate::amqp::{raw, run};
use crate::doors::rig::Authority;
use crate::harness::*;
use fe2o3_amqp::{Connection, Sender, Session};
use host::config::{ClientCertificate, Transport};
use host::identity::Anonymous;
use serde_json::Value as Json;

fn url(broker: &Broker) -> String {
    format!("amqp://{}", broker.at("amqp"))
}

#[test]
fn messages_go_through_a_queue_at_every_quality_of_service() {
    let Some(broker) = Broker::start() else { return };
    let (folder, url) = (broker.data(), url(&broker));
    for qos in ["0", "1", "2"] {
        let queue = format!("/queues/{}", unique("q"));
        let more = ["--content-type", "text/plain", "--property", "a=1", "--correlation-data", "7", "--json"];
        let sent = ["pub", &queue, "hello", "--url", &url, "--qos", qos, "--count", "3"];
        pliant(&folder, &[&sent[..], &more].concat(), b"").expect(0, "\"sent\":3");
        let take = ["sub", &queue, "--url", &url, "--qos", qos, "--count", "3", "--timeout", "30", "--json"];
        let got = pliant(&folder, &take, b"");
        got.expect(0, "hello");
        let lines: Vec<Json> = got.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        for line in &lines {
            assert_eq!(line["payload"], "hello");
            assert_eq!(line["properties"]["content_type"], "text/plain");
            assert_eq!(line["properties"]["correlation_data"], "7");
            assert_eq!(line["properties"]["user"][0][1], "1");
        }
        // They were settled: nothing is left.
        let rest = ["sub", &queue, "--url", &url, "--timeout", "1"];
        let rest = pliant(&folder, &rest, b"");
        assert_eq!((rest.code, rest.out.as_str()), (Some(0), ""), "{}", rest.talk);
    }
}

#[test]
fn what_is_published_over_amqp_comes_over_mqtt() {
    let Some(broker) = Broker::start() else { return };
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("a/b", 2);
    let (folder, url) = (broker.data(), url(&broker));
    pliant(&folder, &["pub", "a/b", "--lines", "--url", &url, "--retain"], b"one\ntwo\n").expect(0, "");
    for expected in ["one", "two"] {
        assert_eq!(subscriber.take().text(), expected);
    }
    let mut later = connect(V5).at(broker.address()).open();
    later.subscribe("a/b", 1);
    assert_eq!(later.take().text(), "two");
}

#[test]
fn a_subscription_that_is_kept_finds_what_came_meanwhile() {
    let Some(broker) = Broker::start() else { return };
    let (folder, url) = (broker.data(), url(&broker));
    let kept = ["sub", "k/#", "--url", &url, "--id", "keeper", "--session-expiry", "3600", "--verbose"];
    pliant(&folder, &[&kept[..], &["--timeout", "1"]].concat(), b"").expect(0, "");
    connect(V5).at(broker.address()).open().say("k/1", "meanwhile", 1);
    let found = pliant(&folder, &[&kept[..], &["--count", "1", "--timeout", "30"]].concat(), b"");
    found.expect(0, "meanwhile");
}

/// Whoever sent it, and whether or not it says where to.
#[test]
fn what_comes_for_a_filter_is_printed_with_its_topic() {
    let Some(broker) = Broker::start() else { return };
    let (folder, url) = (broker.data(), url(&broker));
    let kept = ["sub", "t/#", "--url", &url, "--id", "keeper", "--session-expiry", "3600"];
    pliant(&folder, &[&kept[..], &["--timeout", "1"]].concat(), b"").expect(0, "");
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.receiver("in", 0, &Terms { node: Some(raw::source("t/own")), ..Terms::default() });
    pliant(&folder, &["pub", "t/own", "1", "--url", &url], b"").expect(0, "");
    let got = peer.delivery();
    assert_eq!(got.section(0x73).field(2), &Value::Text("t/own".to_owned()), "it says where to");
    assert_eq!(got.section(0x71), Value::Null, "nobody has asked for more");
    connect(V5).at(broker.address()).open().say("t/mqtt", "2", 1);
    run(async {
        let connection = Connection::open("another", format!("amqp://{}", broker.at("amqp")).as_str()).await;
        let mut connection = connection.expect("a connection");
        let mut session = Session::begin(&mut connection).await.expect("a session");
        let mut sender = Sender::attach(&mut session, "out", "t/bare").await.expect("a sender");
        sender.send("3").await.expect("it is taken");
        sender.close().await.expect("it closes");
    });
    let found = pliant(&folder, &[&kept[..], &["--verbose", "--count", "3", "--timeout", "30"]].concat(), b"");
    assert_eq!((found.code, &*found.out), (Some(0), "t/own 1\nt/mqtt 2\nt/bare 3\n"), "{}", found.talk);
}

#[test]
fn tls_and_a_password_are_checked_both_ways() {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    write_users(&authority.path("users"), &["ann"], false);
    let users = authority.path("users");
    let broker = Broker::start_with(move |config| {
        let listener = config.listeners.iter_mut().find(|listener| listener.name == "amqp").unwrap();
        (listener.transport, listener.tls) = (Transport::Tls, tls.clone());
        listener.allow_anonymous.0 = Anonymous::Never;
        config.auth.password_file.clone_from(&users);
    });
    let Some(broker) = broker else { return };
    let folder = broker.data();
    let text = |file: &str| authority.path(file).display().to_string();
    std::fs::write(authority.path("password"), PASSWORD).unwrap();
    std::fs::write(authority.path("wrong"), "wrong").unwrap();
    let url = format!("amqps://localhost:{}", broker.at("amqp").port());
    let as_ann = |ca: &str, password: &str| {
        let (ca, password) = (text(ca), text(password));
        let way = ["pub", "t", "x", "--url", &url, "--ca-file", &ca, "--user", "ann", "--password-file", &password];
        pliant(&folder, &way, b"")
    };
    as_ann("ca.pem", "password").expect(0, "");
    assert_eq!(as_ann("ca.pem", "wrong").code, Some(1));
    let stranger = Authority::new();
    std::fs::copy(stranger.path("ca.pem"), authority.path("other.pem")).unwrap();
    as_ann("other.pem", "password").expect(1, "TLS");
}

#[test]
fn what_cannot_be_is_said() {
    let Some(broker) = Broker::start() else { return };
    let folder = broker.data();
    pliant(&folder, &["pub", "t", "x", "--url", "amqp://127.0.0.1:1"], b"").expect(1, "amqp://127.0.0.1:1");
    pliant(&folder, &["sub", "t", "--url", "amqp://h/x"], b"").expect(2, "expected amqp://HOST");
    pliant(&folder, &["bench", "--url", "ws://127.0.0.1:1"], b"").expect(2, "mqtt://, amqp:// and amqps://");
    pliant(&folder, &["bench", "retained", "--url", "amqp://127.0.0.1:1"], b"").expect(2, "are for mqtt://");
    pliant(&folder, &["bench", "--node", "a", "--url", "amqp://127.0.0.1:1"], b"").expect(2, "--node is for p2p");
}

#[test]
fn bench_counts_every_copy_over_amqp() {
    let Some(broker) = Broker::start() else { return };
    let folder = broker.data();
    let url = format!("amqp://{}", broker.at("amqp"));
    for (words, received) in [
        (&["--qos", "0", "--subscribers", "2"][..], 120),
        (&["--qos", "1", "--topics", "3"], 60),
        (&["--qos", "2"], 60),
        (&["p2p"], 60),
        (&["p2p", "--node", "/queues/bench-{}"], 60),
        (&["shared", "--subscribers", "2"], 60),
        (&["durable"], 60),
        (&["modules"], 60),
    ] {
        let mut arguments = vec!["bench", "--url", &url, "--publishers", "3", "--messages", "20", "--json"];
        arguments.extend(words);
        let ended = pliant(&folder, &arguments, b"");
        ended.expect(0, "");
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&report["sent"], &report["received"]), (&60.into(), &received.into()), "{words:?}: {report}");
        assert_eq!(
            (&report["expected"], &report["out_of_order"]),
            (&received.into(), &0.into()),
            "{words:?}: {report}"
        );
    }
    let left = broker.admin().get("/api/v1/subscriptions").expect(200).json();
    // Only the queues stay.
    let left = left["items"].as_array().unwrap();
    assert!(left.iter().all(|left| left["client"].as_str().unwrap().starts_with("/queues/bench-")), "{left:?}");
}
