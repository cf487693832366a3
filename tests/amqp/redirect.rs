//! "Use another server" for AMQP clients (2.8.16), by setting and by the admin API: what an operator says of a client ends its
//! connection, whatever its links are.

use super::peer::Peer;
use super::raw;
use super::value::Value;
use crate::harness::{Admin, Broker};
use serde_json::json;

/// The error of the Close that comes next, whatever comes before it.
fn closing(peer: &mut Peer) -> Value {
    Value::read(&peer.find(0x18)).0.field(0).clone()
}

fn is_redirect(error: &Value, host: &str, port: i128) {
    assert_eq!(error.field(0).text(), "amqp:connection:redirect", "{error:?}");
    assert_eq!((error.field(2).get("network-host").text(), error.field(2).get("port").number()), (host, port));
}

/// A client that receives, and the name by which the API knows it.
fn receiver(broker: &Broker, admin: &Admin) -> (Peer, String) {
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.send(&raw::attach_receiver("r", 0, (0, 0)));
    peer.find(0x12);
    let shown = admin.get("/api/v1/clients").expect(200).json();
    let id = shown["items"][0]["id"].as_str().expect("a client").replace('/', "%2F");
    (peer, id)
}

#[test]
fn a_client_that_comes_is_told_where_to_go() {
    let Some(broker) = Broker::start_with(|config| config.redirect.server = "b.example:5673 c.example".into()) else {
        return;
    };
    let come = || {
        let mut peer = Peer::connect(broker.at("amqp"));
        peer.send(&[raw::AMQP, &raw::open("peer"), &raw::begin(0)].concat());
        peer.await_header();
        peer.expect(0x10);
        peer
    };
    is_redirect(&closing(&mut come()), "b.example", 5673);
    broker.admin().put("/api/v1/drain", &json!({ "server": "" })).expect(204);
    assert_eq!(closing(&mut come()).field(0).text(), "amqp:connection:forced");
    broker.admin().delete("/api/v1/drain").expect(204);
    come().expect(0x11);
}

#[test]
fn one_client_is_sent_elsewhere_or_away_with_its_connection() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let (mut peer, id) = receiver(&broker, &admin);
    admin.delete(&format!("/api/v1/clients/{id}?server=b:1")).expect(204);
    is_redirect(&closing(&mut peer), "b", 1);
    let (mut peer, id) = receiver(&broker, &admin);
    admin.delete(&format!("/api/v1/clients/{id}")).expect(204);
    assert_eq!(closing(&mut peer).field(0).text(), "amqp:connection:forced");
}

#[test]
fn a_drain_sends_those_away_who_receive() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let (mut peer, _) = receiver(&broker, &admin);
    admin.put("/api/v1/drain", &json!({ "server": "[::1]:1", "clients_per_second": 1000 })).expect(204);
    is_redirect(&closing(&mut peer), "::1", 1);
}
