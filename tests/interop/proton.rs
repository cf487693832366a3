//! Qpid Proton, with paho on the other side: queues, crossing, and EnMasse's wills and sessions (EM-01 to EM-28 by their ids
//! in the script).

use super::{installed, is_there, run};
use crate::harness::{Broker, unique};
use crate::house::root;
use std::process::Command;

fn script() -> String {
    root().join("tests/interop/proton_client.py").to_string_lossy().into_owned()
}

fn play(scenario: &str, broker: &Broker, name: &str) {
    let (amqp, mqtt) = (broker.at("amqp").port().to_string(), broker.address().port().to_string());
    run(installed("venv/bin/python"), &[&script(), scenario, &amqp, &mqtt, name]);
}

fn with_proton(row: impl FnOnce(Broker)) {
    if is_there("Proton", Command::new(installed("venv/bin/python")).arg(script()).arg("probe"))
        && let Some(broker) = Broker::start()
    {
        row(broker);
    }
}

#[test]
fn wills_are_kept_replaced_cleared_and_published() {
    with_proton(|broker| play("wills", &broker, &unique("wills")));
}

#[test]
fn a_session_is_made_listed_moved_to_mqtt_and_back_and_ended() {
    with_proton(|broker| play("sessions", &broker, &unique("sessions")));
}

#[test]
fn every_property_crosses_both_ways() {
    with_proton(|broker| play("crossing", &broker, &unique("crossing")));
}

#[test]
fn retained_messages_are_set_fetched_and_deleted_by_annotation() {
    with_proton(|broker| play("retained", &broker, &unique("retained")));
}

#[test]
fn mqtt_publishes_into_a_queue_that_consumers_share() {
    with_proton(|broker| play("queues", &broker, &unique("queues")));
}

#[test]
fn queues_sessions_and_wills_are_there_after_a_restart() {
    with_proton(|broker| {
        let name = unique("back");
        play("leave", &broker, &name);
        let broker = broker.restart();
        play("back", &broker, &name);
    });
}
