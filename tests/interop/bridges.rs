//! Bridges to brokers of others: both directions, and nothing is lost when either side stops and starts again.

use super::brokers::{Mosquitto, RabbitMq};
use crate::amqp::run;
use crate::bridge::rig::until_of;
use crate::harness::*;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{Body, Header, Message};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Connection, Delivery, Receiver, Sender, Session};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Settings of a bridge that comes back quickly.
fn bridge(name: &str, url: &str, routes: &str, more: &[&str]) -> Vec<String> {
    let mut settings = vec![format!("url={url}"), format!("routes={routes}")];
    settings.extend(["retry_milliseconds_min=20", "retry_milliseconds_max=200"].map(str::to_owned));
    settings.extend(more.iter().map(|&setting| setting.to_owned()));
    settings.iter().map(|setting| format!("bridge.{name}.{setting}")).collect()
}

/// Says numbers to these topics in turn, each at its QoS, each acknowledged before the next.
fn say(at: SocketAddr, topics: &[(&str, u8)], numbers: Range<u32>) {
    let mut publisher = connect(V5).at(at).open();
    for number in numbers {
        topics.iter().for_each(|(topic, qos)| publisher.say(topic, &number.to_string(), *qos));
    }
}

/// Makes a session that stays and keeps what these filters match.
fn keep(at: SocketAddr, filters: &[&str]) {
    let mut session = connect(V5).id("keeps").kept().at(at).open();
    filters.iter().for_each(|filter| session.subscribe(filter, 2));
    session.disconnect();
}

/// Takes from that session until each of these topics has had all numbers; how often each message came.
fn take(at: SocketAddr, topics: &[&str], count: u32) -> BTreeMap<(String, u32), u32> {
    let mut session = connect(V5).id("keeps").kept().at(at).resume();
    let mut seen = BTreeMap::new();
    while seen.len() < topics.len() * count as usize {
        let message = session.take();
        *seen.entry((message.topic.clone(), message.text().parse().expect("a number"))).or_default() += 1;
    }
    // What may have come twice comes before this.
    session.subscribe("end", 0);
    session.say("end", "0", 0);
    loop {
        let message = session.take();
        if message.topic == "end" {
            return seen;
        }
        *seen.entry((message.topic.clone(), message.text().parse().expect("a number"))).or_default() += 1;
    }
}

fn until_all_is_over_there(here: &Process, bridges: &[&str]) {
    for bridge in bridges {
        until_of(&here.admin(), bridge, |bridge| bridge["state"] == "connected" && bridge["waiting"] == 0);
    }
}

#[test]
fn mosquitto_gets_and_gives_all_across_restarts_of_either_side() {
    let Some(mut there) = Mosquitto::start() else { return };
    let url = format!("mqtt://{}", there.address());
    let settings: Vec<String> = ["5", "3.1.1"]
        .iter()
        .flat_map(|version| {
            let (v, direction) = (&version[..1], ["out", "in"]);
            let routes = direction.map(|way| format!(r#"{{"direction":"{way}","filter":"{v}/{way}/#","qos":2}}"#));
            bridge(&format!("v{v}"), &url, &format!("[{}]", routes.join(",")), &[&format!("version={version}")])
        })
        .collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(here) = Process::start_with(&settings, None) else { return };
    until_all_is_over_there(&here, &["v5", "v3"]);
    let (out, back) = (
        [("5/out/1", 1), ("5/out/2", 2), ("3/out/1", 1), ("3/out/2", 2)],
        [("5/in/1", 1), ("5/in/2", 2), ("3/in/1", 1), ("3/in/2", 2)],
    );
    keep(there.address(), &["5/out/#", "3/out/#"]);
    keep(here.address(), &["5/in/#", "3/in/#"]);
    say(here.address(), &out, 0..20);
    say(there.address(), &back, 0..20);
    // Some of it is on its way.
    let here = here.kill_and_start_with(&settings);
    say(there.address(), &back, 20..40);
    say(here.address(), &out, 20..40);
    there.stop();
    say(here.address(), &out, 40..60);
    there.start_again();
    say(there.address(), &back, 40..60);
    until_all_is_over_there(&here, &["v5", "v3"]);
    for (at, topics) in [(there.address(), out), (here.address(), back)] {
        let seen = take(at, &topics.map(|(topic, _)| topic), 60);
        // Exactly once holds from end to end.
        let twice: Vec<_> = seen.iter().filter(|((topic, _), count)| topic.ends_with('2') && **count > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// A client of RabbitMQ.
struct Client {
    connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let url = format!("amqp://guest:guest@{address}");
        let mut connection = Connection::open(unique("fe2o3"), &url[..]).await.expect("a connection");
        let session = Session::begin(&mut connection).await.expect("a session");
        Self { connection, session }
    }

    /// Sends numbers, each taken before the next.
    async fn say(&mut self, node: &str, numbers: Range<u32>) {
        let mut sender = Sender::attach(&mut self.session, unique("out"), node).await.expect("a sender");
        for number in numbers {
            let header = Header { durable: true, ..Header::default() };
            let message = Message::builder().header(header).value(number.to_string()).build();
            let outcome = sender.send(message).await.expect("it is sent");
            assert!(outcome.is_accepted(), "{outcome:?}");
        }
        // Here and below: its answers are not what the library expects.
        drop(sender.close().await);
    }

    /// Takes until all numbers have come.
    async fn take(&mut self, node: &str, count: u32) {
        let mut receiver = Receiver::attach(&mut self.session, unique("in"), node).await.expect("a receiver");
        let mut missing: std::collections::BTreeSet<u32> = (0..count).collect();
        while !missing.is_empty() {
            let came = tokio::time::timeout(Duration::from_secs(20), receiver.recv::<Body<Value>>()).await;
            let Ok(came) = came else { panic!("{node} has no {missing:?}") };
            let delivery: Delivery<Body<Value>> = came.expect("it comes");
            let Body::Data(data) = delivery.body() else { panic!("another body: {:?}", delivery.body()) };
            let text: Vec<u8> = data.iter().flat_map(|part| part.0.to_vec()).collect();
            missing.remove(&std::str::from_utf8(&text).expect("text").parse().expect("a number"));
            receiver.accept(&delivery).await.expect("it is settled");
        }
        drop(receiver.close().await);
    }

    async fn close(mut self) {
        drop(self.session.end().await);
        drop(self.connection.close().await);
    }
}

/// Sends numbers to a queue of RabbitMQ.
fn say_to(rabbit: &RabbitMq, node: &str, numbers: Range<u32>) {
    run(async {
        let mut client = Client::connect(rabbit.address()).await;
        client.say(node, numbers).await;
        client.close().await;
    });
}

#[test]
fn rabbitmq_gets_and_gives_all_across_restarts_of_either_side() {
    let Some(mut there) = RabbitMq::start() else { return };
    let password = there.path("password");
    std::fs::write(&password, "guest\n").expect("a file");
    // From a queue, and from topics; into topics. The bridge makes the queues there.
    let routes = r#"[{"direction":"out","local":"/queues/jobs","remote":"/queue/jobs"},
        {"direction":"out","filter":"tele/#","remote":"/queue/tele"},
        {"direction":"in","local":"back","remote":"/queue/back"}]"#;
    let password = format!("password_file={}", password.display());
    let settings = bridge("b", &format!("amqp://{}", there.address()), routes, &["user=guest", &password]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(here) = Process::start_with(&settings, None) else { return };
    keep(here.address(), &["back"]);
    let out = [("/queues/jobs", 1), ("tele/a", 1)];
    // They are made when the first message has crossed.
    say(here.address(), &out, 0..30);
    until_all_is_over_there(&here, &["b"]);
    say_to(&there, "/amq/queue/back", 0..30);
    say(here.address(), &out, 30..60);
    // Some of it is on its way.
    let here = here.kill_and_start_with(&settings);
    say_to(&there, "/amq/queue/back", 30..60);
    say(here.address(), &out, 60..90);
    there.stop();
    say(here.address(), &out, 90..120);
    there.start_again();
    say_to(&there, "/amq/queue/back", 60..90);
    until_all_is_over_there(&here, &["b"]);
    take(here.address(), &["back"], 90);
    run(async {
        let mut client = Client::connect(there.address()).await;
        client.take("/amq/queue/jobs", 120).await;
        client.take("/amq/queue/tele", 120).await;
        client.close().await;
    });
}
