//! Rows for sessions that end with their connections, and that a share, or somebody who gives them time, has the store know.

use super::receive::{Receive, Source};
use super::tests::{Hall, Probe, hall, hall_in};
use super::*;
use crate::client::{Client, Protocol};
use crate::message::Guarantee;

const LEAST: Guarantee = Guarantee::AtLeastOnce;

/// As a receiver of AMQP.
fn of_amqp(id: &str) -> Client {
    Client { id: id.into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() }
}

/// A clean session `brief` with a share and a filter of its own; `lent`: another member of the share is kept.
fn brief(hall: &mut Hall, lent: bool) -> super::tests::Peer {
    let (mut kept, _) = hall.attach("kept", false, 5000, 10);
    if lent {
        hall.subscribe(&mut kept, "$share/g/a", LEAST);
        hall.lose(&mut kept);
    }
    let (mut brief, _) = hall.attach("brief", true, 0, 10);
    hall.subscribe(&mut brief, "$share/g/a", LEAST);
    hall.subscribe(&mut brief, "own", LEAST);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", LEAST, 1, b"1");
    hall.commit();
    brief
}

/// MQTT 5.0, 3.1.2.11.2: it ends with its connection, whoever comes next.
#[test]
fn who_comes_by_amqp_takes_nothing_over_of_a_session_that_a_share_has_lent() {
    for lent in [false, true] {
        let mut hall = hall(Limits::default());
        let before = brief(&mut hall, lent);
        assert_eq!(hall.broker.directory.get("brief").unwrap().is_durable(), lent);
        let receive = Receive { client: of_amqp("brief"), origin: 7, source: Source::Session, predicate: None };
        let probe = Arc::new(Probe::default());
        let received = hall.broker.receive(&mut hall.worker, hall.now, probe, receive).unwrap();
        let client = hall.broker.client("brief").unwrap();
        assert_eq!((client.subscriptions, client.queued, client.expiry_seconds), (0, 0, u32::MAX), "lent: {lent}");
        drop((before, received));
    }
}

#[test]
fn a_session_that_is_given_time_is_in_the_store_with_its_filters() {
    for lent in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut hall = hall_in(directory.path());
        let before = brief(&mut hall, lent);
        let client = Client { scope: nobody("mqtt", Protocol::Mqtt), ..of_amqp("brief") };
        hall.broker.session_expires(&mut hall.worker, hall.now, &client, 5000).unwrap();
        hall.commit();
        drop(before);
        assert!(hall.broker.store.close());
        let hall = hall_in(directory.path());
        assert_eq!(hall.broker.client("brief").map(|client| client.subscriptions), Some(2), "lent: {lent}");
    }
}

#[test]
fn a_lent_session_does_not_make_a_long_name_one_that_may_be_kept() {
    let mut hall = hall(Limits { kept_name_bytes_max: 4, ..Default::default() });
    let before = brief(&mut hall, true);
    let (attach, client) = (will_tests::attach_for("w", "x", 0), before.link.client.clone().unwrap());
    let crate::dialogue::Request::Attach(attach) = attach else { unreachable!() };
    assert!(hall.broker.may_come(&client, &attach, 60).is_err(), "`brief` has five bytes");
}
