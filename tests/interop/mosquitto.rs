//! mosquitto_pub and mosquitto_sub.

use super::{is_there, run};
use crate::harness::{Broker, address, unique};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn are_there() -> bool {
    // Both print their usage and leave with 1; what counts is that they can be started.
    is_there(
        "mosquitto_pub",
        Command::new("sh").args(["-c", "command -v mosquitto_pub && command -v mosquitto_sub && command -v stdbuf"]),
    )
}

fn publish(broker: SocketAddr, version: &str, arguments: &[&str]) {
    let port = broker.port().to_string();
    run("mosquitto_pub", &[&["-h", "127.0.0.1", "-p", &port, "-V", version], arguments].concat());
}

/// Runs mosquitto_sub to its end; the lines it printed.
fn subscribe(broker: SocketAddr, version: &str, arguments: &[&str]) -> Vec<String> {
    let port = broker.port().to_string();
    let all = [&["-h", "127.0.0.1", "-p", &port, "-V", version, "-W", "30"], arguments].concat();
    run("mosquitto_sub", &all).lines().map(str::to_owned).collect()
}

/// A mosquitto_sub that has subscribed and runs on.
fn subscriber(broker: SocketAddr, version: &str, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    // Into a pipe, it would print only when it ends.
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        "mosquitto_sub",
        "-d",
        "-h",
        "127.0.0.1",
        "-p",
        &broker.port().to_string(),
        "-V",
        version,
        "-W",
        "30",
    ]);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("mosquitto_sub");
    let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    while !line.contains("received SUBACK") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "mosquitto_sub ended before it had subscribed");
    }
    (child, lines)
}

#[test]
fn exchanges_messages_at_every_qos() {
    for version in VERSIONS.into_iter().filter(|_| are_there()) {
        for qos in ["0", "1", "2"] {
            let topic = unique("exchange");
            let arguments = ["-t", &topic, "-q", qos, "-C", "2", "-F", "got %q %p"];
            let (mut child, mut lines) = subscriber(address(), version, &arguments);
            publish(address(), version, &["-t", &topic, "-q", qos, "-m", "one"]);
            publish(address(), version, &["-t", &topic, "-q", qos, "-m", "two"]);
            assert!(child.wait().unwrap().success());
            let mut all = String::new();
            lines.read_to_string(&mut all).unwrap();
            let got: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("got ")).collect();
            assert_eq!(got, [format!("{qos} one"), format!("{qos} two")]);
        }
    }
}

#[test]
fn sets_and_clears_retained_messages() {
    for version in VERSIONS.into_iter().filter(|_| are_there()) {
        let (topic, fence) = (unique("retained"), unique("fence"));
        publish(address(), version, &["-t", &topic, "-q", "1", "-r", "-m", "kept"]);
        publish(address(), version, &["-t", &fence, "-q", "1", "-r", "-m", "fence"]);
        let both = ["-t", &topic, "-t", &fence, "-q", "1", "-F", "%r %p"];
        assert_eq!(subscribe(address(), version, &[&both[..], &["-C", "2"]].concat()).len(), 2);
        publish(address(), version, &["-t", &topic, "-q", "1", "-r", "-n"]);
        assert_eq!(subscribe(address(), version, &[&both[..], &["-C", "1"]].concat()), ["1 fence"]);
        publish(address(), version, &["-t", &fence, "-q", "1", "-r", "-n"]);
    }
}

#[test]
fn leaves_a_will() {
    for version in VERSIONS.into_iter().filter(|_| are_there()) {
        let topic = unique("will");
        let (mut watcher, mut seen) = subscriber(address(), version, &["-t", &topic, "-C", "1", "-F", "got %p"]);
        let will = ["-t", "elsewhere", "--will-topic", &topic, "--will-payload", "gone"];
        let (mut mortal, _) = subscriber(address(), version, &will);
        mortal.kill().unwrap();
        mortal.wait().unwrap();
        assert!(watcher.wait().unwrap().success());
        let mut all = String::new();
        seen.read_to_string(&mut all).unwrap();
        assert!(all.lines().any(|line| line == "got gone"), "{all}");
    }
}

/// Subscribes, goes, and finds what was published meanwhile.
fn finds_its_queue(version: &str, mut broker: SocketAddr, meanwhile: impl FnOnce() -> Option<SocketAddr>) {
    let (id, topic) = (unique("q"), unique("queue"));
    let kept: &[&str] = if version == "mqttv5" { &["-x", "3600"] } else { &[] };
    let session = [&["-c", "-i", &id, "-t", &topic, "-q", "2"], kept].concat();
    subscribe(broker, version, &[&session[..], &["-E"]].concat());
    for (qos, payload) in [("1", "one"), ("2", "two"), ("1", "three")] {
        publish(broker, version, &["-t", &topic, "-q", qos, "-m", payload]);
    }
    broker = meanwhile().unwrap_or(broker);
    let got = subscribe(broker, version, &[&session[..], &["-C", "3", "-F", "%q %p"]].concat());
    // This client hands on a QoS 2 message at its PUBREL, so order can be seen within each QoS only.
    let of = |qos: &str| got.iter().filter(|line| line.starts_with(qos)).cloned().collect::<Vec<_>>();
    assert_eq!((of("1"), of("2")), (vec!["1 one".to_owned(), "1 three".to_owned()], vec!["2 two".to_owned()]));
}

#[test]
fn finds_its_queue_after_a_reconnect() {
    for version in VERSIONS.into_iter().filter(|_| are_there()) {
        finds_its_queue(version, address(), || None);
    }
}

#[test]
fn finds_its_queue_after_a_restart_of_the_broker() {
    for version in VERSIONS.into_iter().filter(|_| are_there()) {
        let Some(broker) = Broker::start() else { return };
        let at = broker.address();
        let mut running = Some(broker);
        finds_its_queue(version, at, || {
            running = running.take().map(Broker::restart);
            running.as_ref().map(Broker::address)
        });
    }
}
