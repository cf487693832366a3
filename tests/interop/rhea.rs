//! rhea: links in every way to settle, outcomes, credit, long messages, TLS with a password, and a restart.

use super::{installed, is_there, run};
use crate::access::rig::{PASSWORD, Rig, write_users};
use crate::doors::rig::{Authority, listener};
use crate::harness::{Broker, amqp_address, unique};
use crate::house::root;
use host::config::{ClientCertificate, Listener, ProtocolName, Transport};
use std::net::SocketAddr;
use std::process::Command;

fn script() -> String {
    root().join("tests/interop/rhea_client.js").to_string_lossy().into_owned()
}

fn rhea_is_there() -> bool {
    installed("node_modules/rhea").is_dir() && is_there("rhea", Command::new("node").arg(script()).args(["probe"]))
}

fn play(scenario: &str, broker: SocketAddr, name: &str, more: &[&str]) {
    run("node", &[&[&*script(), scenario, &broker.port().to_string(), name], more].concat());
}

fn plays(scenario: &str) {
    if let (true, Some(address)) = (rhea_is_there(), amqp_address()) {
        play(scenario, address, &unique(scenario), &[]);
    }
}

/// A broker that knows a user, with a listener over TLS by the name of `amqps`.
pub fn with_tls() -> Option<(Rig, Authority)> {
    let authority = Authority::new();
    authority.sign("server", "localhost");
    let tls = authority.tls(ClientCertificate::None);
    let rig = Rig::start_with(None, move |config| {
        write_users(&config.auth.password_file, &["ann"], true);
        let protocol = ProtocolName::Amqp;
        config.listeners.push(Listener { protocol, tls: tls.clone(), ..listener("amqps", Transport::Tls) });
    })?;
    Some((rig, authority))
}

#[test]
fn messages_are_settled_in_every_way() {
    plays("settling");
}

#[test]
fn each_outcome_does_what_it_says() {
    plays("outcomes");
}

#[test]
fn credit_is_kept_and_a_drain_is_answered() {
    plays("credit");
}

#[test]
fn an_answer_comes_by_a_dynamic_node() {
    plays("dynamic");
}

#[test]
fn ten_megabytes_are_one_message() {
    plays("long");
}

/// The suite of real clients has transactions with Proton only.
#[test]
fn a_transaction_is_committed_or_never_was() {
    plays("transactions");
}

#[test]
fn a_selector_chooses_and_a_copy_takes_nothing_away() {
    plays("filters");
}

#[test]
fn tls_and_a_password_let_in_and_a_wrong_one_does_not() {
    if !rhea_is_there() {
        return;
    }
    let Some((rig, authority)) = with_tls() else { return };
    let ca = authority.path("ca.pem").to_string_lossy().into_owned();
    play("doors", rig.at("amqps"), &unique("doors"), &[&ca, "ann", PASSWORD]);
}

#[test]
fn a_durable_subscription_is_there_after_a_restart_with_what_was_not_settled() {
    if !rhea_is_there() {
        return;
    }
    let Some(broker) = Broker::start() else { return };
    let name = unique("rhea");
    play("leave", broker.at("amqp"), &name, &[]);
    let broker = broker.restart();
    play("back", broker.at("amqp"), &name, &[]);
}
