//! Rows for a wall clock that is another one after a restart (G7). While the broker runs nothing reads it: `tests/house` sees
//! to that.

use super::tests::{Hall, hall_at};
use super::*;
use crate::client::{Client, Protocol};
use crate::dialogue::WillRequest;
use crate::message::Guarantee;

const NOW: u64 = 1_795_000_000_000;
const HOUR: u64 = 3_600_000;
const YEAR: u64 = 365 * 24 * HOUR;
/// 1970, ten years and an hour back, and a second; then forwards, to 2106 and to the end of what can be said.
const BACK: [u64; 4] = [0, NOW - 10 * YEAR, NOW - HOUR, NOW - 1000];
const FORTH: [u64; 4] = [NOW + 2 * HOUR, NOW + 10 * YEAR, 4_294_967_296_000, u64::MAX / 4];

/// A session for an hour with a message in it, and a will that is due in a minute.
fn leave(directory: &std::path::Path) {
    let mut hall = hall_at(directory, Time(NOW));
    let (mut subscriber, _) = hall.attach("s", false, 3600, 10);
    hall.subscribe(&mut subscriber, "a", Guarantee::AtLeastOnce);
    hall.lose(&mut subscriber);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "a", Guarantee::AtLeastOnce, 1, b"kept");
    let client =
        Arc::new(Client { id: "w".into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() });
    let will = WillRequest {
        name: "wills".into(),
        guarantee: Guarantee::AtLeastOnce,
        retain: false,
        expiry_seconds: None,
        properties: None,
        payload: b"gone".to_vec().into(),
        delay_seconds: 60,
    };
    let owner = hall.broker.origin();
    let broker = hall.broker.clone();
    broker.leave_will(&mut hall.worker, hall.now, owner, &client, &will).unwrap();
    broker.will_is_due(&mut hall.worker, hall.now, owner, crate::client::Departure::ConnectionLost);
    hall.commit();
    assert!(broker.store.close());
}

fn wills_after(hall: &mut Hall, seconds: u64) -> u64 {
    let broker = hall.broker.clone();
    broker.tick(&mut hall.worker, hall.now.plus_seconds(seconds as u32));
    broker.metrics.wills_published_total.get()
}

#[test]
fn a_clock_that_was_set_back_ends_nothing_early_and_nothing_waits_longer_than_asked() {
    for now in BACK {
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path());
        let mut hall = hall_at(directory.path(), Time(now));
        assert_eq!(wills_after(&mut hall, 0), 0, "{now}");
        assert_eq!(wills_after(&mut hall, 60), 1, "{now}");
        let (subscriber, resumed) = hall.attach("s", false, 3600, 10);
        assert!(resumed, "{now}");
        assert_eq!(hall.take(&subscriber).len(), 1, "{now}");
        drop(subscriber);
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path());
        let mut hall = hall_at(directory.path(), Time(now));
        wills_after(&mut hall, 3601);
        assert!(hall.broker.client("s").is_none(), "{now}: its hour is over");
    }
}

#[test]
fn a_clock_that_was_set_forward_ends_what_is_over_once() {
    for now in FORTH {
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path());
        let mut hall = hall_at(directory.path(), Time(now));
        assert_eq!((wills_after(&mut hall, 0), wills_after(&mut hall, 3600)), (1, 1), "{now}");
        assert!(!hall.attach("s", false, 3600, 10).1, "{now}");
    }
}
