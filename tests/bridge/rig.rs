//! Brokers with bridges, and what rows ask of them.

use crate::harness::*;
use host::bridge::{Direction, Route, Settings};
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A bridge that comes back quickly.
pub fn bridge(name: &str, url: &str, routes: &[Route]) -> Settings {
    Settings {
        url: url.to_owned(),
        routes: routes.to_vec(),
        retry_milliseconds_min: 20,
        retry_milliseconds_max: 200,
        ..Settings::named(name)
    }
}

/// A route without prefixes, at the highest quality of service.
pub fn route(direction: Direction, filter: &str) -> Route {
    Route { direction, filter: filter.to_owned(), qos: 2, ..Route::default() }
}

/// The URL of a broker's MQTT listener.
pub fn mqtt(address: SocketAddr) -> String {
    format!("mqtt://{address}")
}

/// A broker with these bridges.
pub fn with(bridges: Vec<Settings>) -> Option<Broker> {
    Broker::start_with(move |config| config.bridges.clone_from(&bridges))
}

/// What the admin API says of a bridge.
pub fn standing(broker: &Broker, name: &str) -> Json {
    standing_of(&broker.admin(), name)
}

/// As [`standing`], of any broker of ours.
pub fn standing_of(admin: &Admin, name: &str) -> Json {
    let document = admin.get("/api/v1/bridges").expect(200).json();
    let items = document["items"].as_array().expect("a list").clone();
    items.into_iter().find(|bridge| bridge["name"] == name).unwrap_or_else(|| panic!("no bridge {name}"))
}

/// Waits until the admin API says this of a bridge.
#[track_caller]
pub fn until(broker: &Broker, name: &str, holds: impl Fn(&Json) -> bool) {
    until_of(&broker.admin(), name, holds);
}

/// As [`until`], of any broker of ours.
#[track_caller]
pub fn until_of(admin: &Admin, name: &str, holds: impl Fn(&Json) -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let now = standing_of(admin, name);
        if holds(&now) {
            return;
        }
        assert!(Instant::now() < patience, "it stays so: {now}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a bridge is connected.
#[track_caller]
pub fn until_up(broker: &Broker, name: &str) {
    until(broker, name, |bridge| bridge["state"] == "connected");
}

/// Waits until nothing waits in a bridge's session any more.
#[track_caller]
pub fn until_empty(broker: &Broker, name: &str) {
    until(broker, name, |bridge| bridge["state"] == "connected" && bridge["waiting"] == 0);
}
