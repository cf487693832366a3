//! "Use another server" (5.0, 4.11), by setting and by the admin API.

use crate::harness::property::SERVER_REFERENCE;
use crate::harness::*;
use serde_json::json;

fn refusal(version: Version, broker: &Broker) -> (u8, Option<String>) {
    let mut client = connect(version).at(broker.address()).sent();
    let Packet::Connack(answer) = client.receive() else { panic!("expected CONNACK") };
    client.expect_closed();
    assert!(!answer.present);
    (answer.code, answer.properties.text(SERVER_REFERENCE).map(str::to_owned))
}

/// [MQTT-3.2.2-22] and table 3-1; 3.1.1, table 3.1.
#[test]
fn a_client_that_comes_is_told_where_to_go() {
    for (permanent, code) in [(false, 0x9C), (true, 0x9D)] {
        let broker = Broker::start_with(move |config| {
            config.redirect.server = "b.example:1883".into();
            config.redirect.permanent = permanent;
        });
        let Some(broker) = broker else { return };
        assert_eq!(refusal(V5, &broker), (code, Some("b.example:1883".to_owned())));
        assert_eq!(refusal(V311, &broker), (3, None));
        assert_eq!(refusal(V31, &broker), (3, None));
        // A load balancer is to send nobody here.
        // It says nothing else to those who have no token.
        assert_eq!(broker.admin().get("/readyz").problem(503), "not ready");
        assert!(broker.admin().get("/metrics").expect(200).text().contains("\npliant_draining 1\n"));
        broker.admin().delete("/api/v1/drain").expect(204);
        connect(V5).at(broker.address()).open();
        broker.admin().get("/readyz").expect(200);
        assert!(broker.admin().get("/metrics").expect(200).text().contains("\npliant_draining 0\n"));
    }
}

#[test]
fn one_client_is_sent_elsewhere() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for (query, code, server) in [("server=b%20c:1", 0x9C, Some("b c:1")), ("server=&permanent=true", 0x9D, None)] {
        let mut client = connect(V5).at(broker.address()).id("one").open();
        admin.delete(&format!("/api/v1/clients/one?{query}")).expect(204);
        let farewell = client.expect_disconnect(code);
        assert_eq!(farewell.properties.text(SERVER_REFERENCE), server);
    }
    let mut old = connect(V311).at(broker.address()).id("old").open();
    admin.delete("/api/v1/clients/old?server=b").expect(204);
    assert_eq!(old.expect_closed(), None);
    admin.delete("/api/v1/clients/nobody?server=b").problem(404);
    for wrong in ["%00", "a:99999", "mqtt://a:1883", "a,b", "a:b:c"] {
        admin.delete(&format!("/api/v1/clients/one?server={wrong}")).problem(400);
    }
    admin.put("/api/v1/drain", &json!({ "server": "a:99999" })).problem(400);
    admin.get("/api/v1/drain").problem(404);
    admin.delete("/api/v1/clients/one?srever=b").problem(400);
}

#[test]
fn all_clients_are_sent_elsewhere_and_their_sessions_stay() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    admin.get("/api/v1/drain").problem(404);
    admin.delete("/api/v1/drain").problem(404);
    let mut clients: Vec<_> = (0..100).map(|n| connect([V311, V5][n % 2]).at(broker.address()).kept().open()).collect();
    assert!(admin.put("/api/v1/drain", &json!([])).problem(400).contains("an object"));
    admin.put("/api/v1/drain", &json!({ "server": "b", "clients_per_second": 1000 })).expect(204);
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.expect_closed(), [None, Some(0x9C)][n % 2]);
    }
    let shown = admin.get("/api/v1/drain").expect(200).json();
    assert_eq!((&shown["server"], &shown["clients_per_second"]), (&"b".into(), &1000.into()));
    assert_eq!(refusal(V5, &broker), (0x9C, Some("b".to_owned())));
    admin.delete("/api/v1/drain").expect(204);
    connect(V5).at(broker.address()).id(&clients[1].id).kept().resume();
}

#[test]
fn a_drain_that_sends_nobody_away_lets_those_stay_who_are_here() {
    let Some(broker) = Broker::start() else { return };
    let mut client = connect(V5).at(broker.address()).open();
    broker.admin().put("/api/v1/drain", &json!({ "server": "b" })).expect(204);
    assert_eq!(refusal(V5, &broker).0, 0x9C);
    client.expect_nothing();
}

/// [MQTT-3.2.2-19], [MQTT-3.14.2-3], and 4.13: the reason where there is no room for the name.
#[test]
fn a_client_of_short_packets_hears_the_reason_without_the_server() {
    let Some(broker) = Broker::start() else { return };
    let short = || connect(V5).at(broker.address()).with(Property::Four(property::MAXIMUM_PACKET_SIZE, 40));
    let mut here = short().open();
    broker.admin().put("/api/v1/drain", &json!({ "server": "b".repeat(51), "clients_per_second": 1000 })).expect(204);
    assert_eq!(here.expect_disconnect(0x9C).properties.text(SERVER_REFERENCE), None);
    let mut comes = short().sent();
    let Packet::Connack(answer) = comes.receive() else { panic!("expected CONNACK") };
    assert_eq!((answer.code, answer.properties.text(SERVER_REFERENCE)), (0x9C, None));
}
