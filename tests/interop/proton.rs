//! Qpid Proton, with paho on the other side: queues, crossing, and EnMasse's wills and sessions (EM-01 to EM-28 by their ids
//! in the script).

use super::rhea::with_tls;
use super::{installed, is_there, run};
use crate::access::rig::PASSWORD;
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

/// Together with the two rows below: each line of the table (1.7 of the project's reference on MQTT over AMQP) but for those
/// that no client can see. DUP goes one way only, since that of an MQTT delivery says whether *it* was sent before
/// [MQTT-3.3.1-3]; topic aliases and packet sizes end at their hop, and Receive Maximum is credit (see `outcomes`). Will delay
/// and session expiry take seconds, and are rows with a clock of their own (`tests/amqp/em`).
#[test]
fn every_property_crosses_both_ways() {
    with_proton(|broker| play("crossing", &broker, &unique("crossing")));
}

#[test]
fn a_session_s_receiver_sees_identifiers_duplicates_and_options() {
    with_proton(|broker| play("sessions_see", &broker, &unique("see")));
}

#[test]
fn refusals_are_said_in_the_words_of_each_protocol() {
    with_proton(|broker| play("reasons", &broker, &unique("reasons")));
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
fn messages_are_settled_in_every_way() {
    with_proton(|broker| play("settling", &broker, &unique("settling")));
}

#[test]
fn each_outcome_does_what_it_says_and_a_drain_is_answered() {
    with_proton(|broker| play("outcomes", &broker, &unique("outcomes")));
}

#[test]
fn ten_megabytes_are_one_message_and_its_answer_comes_by_a_dynamic_node() {
    with_proton(|broker| play("long", &broker, &unique("long")));
}

#[test]
fn a_client_of_mqtt_answers_what_one_of_amqp_asks() {
    with_proton(|broker| play("asks", &broker, &unique("asks")));
}

#[test]
fn a_transaction_is_committed_or_never_was() {
    with_proton(|broker| play("transactions", &broker, &unique("transactions")));
}

#[test]
fn tls_and_a_password_let_in_and_a_wrong_one_does_not() {
    if !is_there("Proton", Command::new(installed("venv/bin/python")).arg(script()).arg("probe")) {
        return;
    }
    let Some((rig, authority)) = with_tls() else { return };
    let ca = authority.path("ca.pem").to_string_lossy().into_owned();
    let port = rig.at("amqps").port().to_string();
    run(installed("venv/bin/python"), &[&script(), "doors", &port, "0", &unique("doors"), &ca, "ann", PASSWORD]);
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
