//! Calls of modules in the log of a broker that was told to trace them.

use crate::harness::{V5, binary, connect};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// A call leaves a line with who was asked what about, and how long it took, whether the module logs something or not.
#[test]
fn a_traced_call_is_a_span_with_its_time() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place for data");
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(data.path()).args([
        "--log-format",
        "json",
        "--log",
        "info,module=trace",
    ]);
    for listener in ["listener.mqtt.bind", "listener.ws.bind", "listener.amqp.bind", "admin.bind"] {
        command.args(["--set", &format!("{listener}=127.0.0.1:0")]);
    }
    let mut broker = command.stderr(Stdio::piped()).spawn().expect("pliant can be started");
    let mut lines = BufReader::new(broker.stderr.take().expect("its log is piped")).lines();
    let mut find = |fits: &dyn Fn(&serde_json::Value) -> bool| loop {
        let line = lines.next().expect("a line more").expect("text");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON document a line");
        if fits(&line) {
            return line;
        }
    };
    let at =
        find(&|line| line["listener"] == "mqtt")["address"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    find(&|line| line["message"].as_str().is_some_and(|text| text.contains("runs")));
    let mut client = connect(V5).at(at.expect("an address")).open();
    client.say("a/b", "x", 1);
    let line = find(&|line| line["target"] == "module" && line["span"]["about"] == "a/b");
    assert_eq!((&line["message"], &line["span"]["module"]), (&"close".into(), &"topic-rules".into()), "{line}");
    assert_eq!(line["span"]["hook"], "topic-mapping.publish-topic", "{line}");
    assert!(line["time.busy"].is_string(), "{line}");
    broker.kill().and_then(|()| broker.wait()).expect("it ends");
}
