//! Retained messages, wills and sessions for AMQP clients (EnMasse's MQTT over AMQP): a row for each of EM-01 to EM-28 by a
//! client that writes frames by hand, with raw MQTT clients on the other side.

mod bridge;
mod client;
mod gateway;
mod names;
mod packets;
mod qos;
mod release;
mod sessions;
mod value;
mod wills;

use crate::house::root;
use std::fs;

/// The addresses of a client.
fn publish_of(id: &str) -> String {
    format!("$mqtt.to.{id}.publish")
}

fn control_of(id: &str) -> String {
    format!("$mqtt.to.{id}.control")
}

#[test]
fn every_requirement_has_a_row() {
    let mut text = String::new();
    for entry in fs::read_dir(root().join("tests/amqp/em")).expect("this folder") {
        text.push_str(&fs::read_to_string(entry.expect("an entry").path()).expect("a source"));
    }
    let rows: Vec<&str> =
        text.split("#[test]\nfn ").skip(1).map(|rest| rest.split('(').next().unwrap_or_default()).collect();
    let missing: Vec<String> = (1..=28)
        .map(|number| format!("em_{number:02}_"))
        .filter(|id| !rows.iter().any(|row| row.starts_with(id.as_str())))
        .collect();
    assert!(missing.is_empty(), "no rows for {missing:?}");
}
