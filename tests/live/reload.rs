//! A routing module is replaced two hundred times while a hundred thousand messages flow.

use crate::harness::{Admin, Broker, Client, Packet, Property, Publish, V5, connect, guests, property};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Versions that are put to work: two hundred, ten thousand where `PLIANT_TEST_LONG` is set.
fn deployments() -> u32 {
    if std::env::var_os("PLIANT_TEST_LONG").is_some() { 10_000 } else { 200 }
}

const PUBLISHERS: u32 = 4;
const TOPICS: u32 = 2;
/// In each topic of each publisher.
const MESSAGES: u32 = 12_500;
const ALL: u32 = PUBLISHERS * TOPICS * MESSAGES;
/// Messages that a publisher has under way: few where versions follow each other after ten messages, so that most of them
/// meet some.
fn burst() -> u32 {
    if deployments() > ALL / 100 { 2 } else { 50 }
}

/// Keeps load and deployments together: neither gets far ahead of the other, whatever the machine.
#[derive(Default)]
struct Pace {
    /// Messages published, versions deployed.
    done: Mutex<(u32, u32)>,
    changed: Condvar,
}

impl Pace {
    fn messages_a_deployment() -> u32 {
        ALL / deployments()
    }

    fn published(&self, messages: u32) {
        let mut done = self.done.lock().unwrap();
        done.0 += messages;
        self.changed.notify_all();
        self.wait(done, |(sent, versions)| *sent > (*versions + 2) * Self::messages_a_deployment());
    }

    fn deployed(&self) {
        let mut done = self.done.lock().unwrap();
        done.1 += 1;
        self.changed.notify_all();
        self.wait(done, |(sent, versions)| *sent < *versions * Self::messages_a_deployment());
    }

    /// Not for ever: where the other side has failed, this one has to fail, too.
    fn wait(&self, done: MutexGuard<'_, (u32, u32)>, ahead: impl Fn(&(u32, u32)) -> bool) {
        let waited = self.changed.wait_timeout_while(done, Duration::from_secs(60), |done| ahead(done));
        assert!(!waited.unwrap().1.timed_out(), "the other side came to a halt");
    }
}

/// None lost, none duplicated, each handled by exactly one version, order per publisher and topic kept.
#[test]
fn two_hundred_deployments_under_load_are_not_noticed() {
    // Calls have time: a processor that the machine below takes away counts as used, and a call that was stopped is a refusal.
    let Some(broker) = Broker::start_with(|config| config.wasm.call_milliseconds_max = 1_000) else { return };
    let (admin, at) = (broker.admin(), broker.address());
    deploy(&admin, 0);
    let mut readers: Vec<Client> = ["passing", "kept"].map(|name| reader(at, name)).into();
    let pace = Pace::default();
    let got: Vec<Vec<Publish>> = std::thread::scope(|scope| {
        let pace = &pace;
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || publish(at, publisher, pace));
        }
        scope.spawn(|| {
            for version in 1..=deployments() {
                deploy(&admin, version);
                pace.deployed();
            }
        });
        let reading: Vec<_> = readers.iter_mut().map(|reader| scope.spawn(|| read(reader))).collect();
        reading.into_iter().map(|reading| reading.join().expect("a reader that got everything")).collect()
    });
    for (reader, got) in readers.iter_mut().zip(&got) {
        reader.expect_nothing();
        check(got);
    }
    let info = admin.get("/api/v1/modules/stamp").expect(200).json();
    assert_eq!((&info["failures"], &info["config"]["version"]), (&0.into(), &deployments().to_string().into()));
}

/// Every fourth version is only another configuration; the others are deployed with their component.
fn deploy(admin: &Admin, version: u32) {
    let config = json!({ "version": version.to_string() });
    if version % 4 == 3 {
        admin.put("/api/v1/modules/stamp/config", &config).expect(200);
        return;
    }
    let query: String = config.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let component = guests::component("echoes-version");
    admin.deploy(&format!("/api/v1/modules/stamp?config={query}"), &component).expect(200);
}

fn reader(at: SocketAddr, name: &str) -> Client {
    let reader = connect(V5).at(at).id(name).with(Property::Two(property::RECEIVE_MAXIMUM, 1000));
    let mut reader = if name == "kept" { reader.kept().open() } else { reader.open() };
    reader.subscribe("load/#", 2);
    reader
}

/// Half of the publishers at QoS 1, half at QoS 2; two topics in turns.
fn publish(at: SocketAddr, number: u32, pace: &Pace) {
    let qos = 1 + (number % 2) as u8;
    let mut publisher = connect(V5).at(at).id(&format!("publisher-{number}")).open();
    let (mut sent, length) = (0, burst());
    while sent < TOPICS * MESSAGES {
        let burst = sent..sent + length;
        let send = |at: u32| {
            let topic = format!("load/{number}/{}", at % TOPICS);
            publisher.send_publish(&Publish::new(&topic, format!("{}", at / TOPICS), qos))
        };
        let ids: Vec<u16> = burst.map(send).collect();
        let mut taken = |first: u8, id: u16| {
            let ack = publisher.acked(first, id);
            assert_eq!(ack.code, 0, "{ack:?}");
        };
        if qos == 1 {
            ids.iter().for_each(|id| taken(0x40, *id));
        } else {
            ids.iter().for_each(|id| taken(0x50, *id));
            ids.iter().for_each(|id| publisher.ack(0x62, *id));
            ids.iter().for_each(|id| assert_eq!(publisher.acked(0x70, *id).code, 0));
        }
        sent += length;
        pace.published(length);
    }
    publisher.disconnect();
}

fn read(reader: &mut Client) -> Vec<Publish> {
    let (mut got, mut unreleased) = (Vec::new(), 0);
    while got.len() < ALL as usize || unreleased > 0 {
        match reader.receive() {
            Packet::Publish(message) => {
                reader.ack(if message.qos == 1 { 0x40 } else { 0x50 }, message.id);
                unreleased += u32::from(message.qos == 2);
                got.push(message);
            }
            Packet::Pubrel(ack) => {
                reader.ack(0x70, ack.id);
                unreleased -= 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    got
}

fn check(got: &[Publish]) {
    let mut next: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for message in got {
        assert!(!message.duplicate);
        let (number, version) = next.entry(&message.topic).or_default();
        assert_eq!(message.text(), number.to_string(), "order in {}", message.topic);
        let stamps = message.properties.user();
        assert_eq!(stamps.len(), 1, "one version handles a message: {stamps:?}");
        let stamp: u32 = stamps[0].1.parse().expect("a version");
        assert!(stamp >= *version, "version {stamp} after {version} in {}", message.topic);
        seen.insert(stamp);
        (*number, *version) = (*number + 1, stamp);
    }
    assert_eq!(next.len() as u32, PUBLISHERS * TOPICS);
    assert!(next.values().all(|(number, _)| *number == MESSAGES), "{next:?}");
    println!("{} of {} versions handled messages", seen.len(), deployments() + 1);
    assert!(seen.len() > deployments() as usize / 2, "the load did not meet the deployments: {} versions", seen.len());
}
