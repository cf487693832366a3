//! Clients that people use, as they are installed: mosquitto_pub and mosquitto_sub, paho for Python, MQTT.js, Qpid Proton, rhea;
//! and brokers that bridges lead to: Mosquitto, RabbitMQ.
//!
//! `.ci/run` installs them. Where one is missing its rows are left out and say so, unless `CI` is set: there they fail.

mod bridges;
mod brokers;
mod examples;
mod languages;
mod mosquitto;
mod proton;
mod rhea;
mod scripts;

use crate::harness::is_ci;
use crate::house::root;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Where `.ci/run` puts what it installs.
fn installed(path: &str) -> PathBuf {
    root().join("target/interop").join(path)
}

/// Whether a client is there; says so if not.
fn is_there(client: &str, probe: &mut Command) -> bool {
    let there = probe.output().is_ok_and(|output| output.status.success());
    assert!(there || !is_ci(), "{client} is not installed, and this is CI");
    if !there {
        eprintln!("left out: {client} is not installed; `.ci/run` installs it");
    }
    there
}

/// Runs a program that must succeed; what it printed.
fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output().expect("a program that can be started");
    assert!(output.status.success(), "{} {arguments:?}: {}", program.to_string_lossy(), told(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
