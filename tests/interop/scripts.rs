//! paho and MQTT.js: one script each, with the same scenarios, each a word on its command line.

use super::{installed, is_there, run};
use crate::harness::{Broker, address, unique};
use crate::house::root;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// A client library behind its script.
struct Client {
    name: &'static str,
    interpreter: PathBuf,
    script: PathBuf,
}

fn paho() -> Client {
    let interpreter = installed("venv/bin/python");
    Client { name: "paho", interpreter, script: root().join("tests/interop/paho_client.py") }
}

fn mqttjs() -> Client {
    Client { name: "MQTT.js", interpreter: "node".into(), script: root().join("tests/interop/mqttjs_client.js") }
}

impl Client {
    fn is_there(&self) -> bool {
        is_there(self.name, Command::new(&self.interpreter).arg(&self.script).arg("probe"))
    }

    /// Plays a scenario in 3.1.1 and in 5.0.
    fn plays(&self, scenario: &str) {
        if self.is_there() {
            for version in ["4", "5"] {
                self.play(scenario, address(), version, &unique(scenario));
            }
        }
    }

    fn play(&self, scenario: &str, broker: SocketAddr, version: &str, name: &str) {
        let script = self.script.to_string_lossy().into_owned();
        run(&self.interpreter, &[&script, scenario, &broker.port().to_string(), version, name]);
    }

    /// Leaves a session, a queue and a retained message behind and finds them after a restart of the broker.
    fn finds_all_after_a_restart(&self) {
        if !self.is_there() {
            return;
        }
        let Some(mut broker) = Broker::start() else { return };
        for version in ["4", "5"] {
            let name = unique("restart");
            self.play("leave", broker.address(), version, &name);
            broker = broker.restart();
            self.play("return", broker.address(), version, &name);
        }
    }
}

#[test]
fn paho_exchanges_messages_at_every_qos() {
    paho().plays("exchange");
}

#[test]
fn paho_sets_and_clears_retained_messages() {
    paho().plays("retained");
}

#[test]
fn paho_leaves_a_will() {
    paho().plays("will");
}

#[test]
fn paho_finds_its_queue_after_a_reconnect() {
    paho().plays("offline");
}

#[test]
fn paho_finds_its_queue_after_a_restart_of_the_broker() {
    paho().finds_all_after_a_restart();
}

#[test]
fn mqttjs_exchanges_messages_at_every_qos() {
    mqttjs().plays("exchange");
}

#[test]
fn mqttjs_sets_and_clears_retained_messages() {
    mqttjs().plays("retained");
}

#[test]
fn mqttjs_leaves_a_will() {
    mqttjs().plays("will");
}

#[test]
fn mqttjs_finds_its_queue_after_a_reconnect() {
    mqttjs().plays("offline");
}

#[test]
fn mqttjs_finds_its_queue_after_a_restart_of_the_broker() {
    mqttjs().finds_all_after_a_restart();
}
