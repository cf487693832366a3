//! Kills in the middle of an upload, a new configuration and a rollback: afterwards the old version or the new one is active,
//! whole, and decides over messages.

use super::Dice;
use crate::harness::{Admin, Process, V5, connect, guests};
use serde_json::json;
use std::time::{Duration, Instant};

const MODULE: &str = "/api/v1/modules/stamp";

/// Kills where nobody asks for more.
const KILLS: u64 = 3;

/// What is active: number of the version, and what its configuration says.
type Active = (u64, String);

/// A change, as a request.
struct Step {
    method: &'static str,
    path: String,
    headers: &'static [&'static str],
    body: Vec<u8>,
    /// What is active afterwards.
    new: Active,
}

fn active(admin: &Admin) -> Active {
    let module = admin.get(MODULE).expect(200).json();
    assert_eq!(module["state"], "active", "{module}");
    let stamp = module["config"]["version"].as_str().expect("a configuration").to_owned();
    (module["version"].as_u64().expect("a version"), stamp)
}

/// Other bytes that mean the same: a custom section at the end.
fn component(number: u64) -> Vec<u8> {
    let mut bytes = guests::component("echoes-version");
    bytes.extend([0, 10, 1, b'n']);
    bytes.extend(number.to_le_bytes());
    bytes
}

fn upload(stamp: u64, next: u64) -> Step {
    let config: String = json!({ "version": stamp.to_string() }).to_string().bytes().map(hex).collect();
    let (path, headers) = (format!("{MODULE}?config={config}"), &["Content-Type: application/wasm"][..]);
    Step { method: "PUT", path, headers, body: component(stamp), new: (next, stamp.to_string()) }
}

fn configure(stamp: u64, next: u64) -> Step {
    let body = json!({ "version": stamp.to_string() }).to_string().into_bytes();
    let (path, headers) = (format!("{MODULE}/config"), &["Content-Type: application/json"][..]);
    Step { method: "PUT", path, headers, body, new: (next, stamp.to_string()) }
}

/// To any version that is kept and not active.
fn roll_back(admin: &Admin, dice: &mut Dice) -> Option<Step> {
    let versions = admin.get(&format!("{MODULE}/versions")).expect(200).json();
    let items = versions["items"].as_array().or(versions.as_array()).expect("a list").clone();
    let others: Vec<_> = items.iter().filter(|version| version["active"] == false).collect();
    let to = others.get(usize::try_from(dice.below(others.len().max(1) as u64)).ok()?)?;
    let number = to["version"].as_u64().expect("a number");
    let stamp = match &to["config"] {
        serde_json::Value::String(text) => serde_json::from_str(text).expect("JSON"),
        document => document.clone(),
    };
    let new = (number, stamp["version"].as_str().expect("its configuration").to_owned());
    let path = format!("{MODULE}/rollback?to={number}");
    Some(Step { method: "POST", path, headers: &[], body: Vec::new(), new })
}

fn hex(byte: u8) -> String {
    format!("%{byte:02X}")
}

fn take(admin: &Admin, step: &Step) -> Option<u16> {
    Some(admin.try_send(step.method, &step.path, step.headers, &step.body)?.status)
}

/// The version that stamps a message.
fn stamped(broker: &Process) -> String {
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a", 1);
    client.say("a", "x", 1);
    let got = client.take();
    let stamps: Vec<_> = got.properties.user().iter().map(|(_, value)| (*value).to_owned()).collect();
    assert_eq!(stamps.len(), 1, "one version a message");
    stamps[0].clone()
}

#[test]
fn a_kill_during_a_change_of_modules_leaves_old_or_new() {
    let Some(mut broker) = Process::start() else { return };
    let kills = super::campaign::number("PLIANT_KILLS").unwrap_or(KILLS);
    let seed = super::campaign::number("PLIANT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{kills} kills with PLIANT_SEED={seed}");
    let mut dice = Dice::new(seed, 0);
    for stamp in [1, 2] {
        assert_eq!(take(&broker.admin(), &upload(stamp, stamp)), Some(200));
    }
    let (mut next, mut stamp) = (3, 2);
    // How long each kind of change takes, so that kills fall into it.
    let mut lasts = [Duration::from_millis(400); 3];
    let (mut came_through, mut old, mut new) = (0, 0, 0);
    for kill in 1..=kills {
        let admin = broker.admin();
        let before = active(&admin);
        let kind = usize::try_from(kill % 3).expect("small");
        stamp += 1;
        let step = match kind {
            1 => upload(stamp, next),
            2 => configure(stamp, next),
            _ => roll_back(&admin, &mut dice).unwrap_or_else(|| configure(stamp, next)),
        };
        let most = u64::try_from(lasts[kind].as_micros()).expect("short") * 5 / 4;
        let time = Duration::from_micros(dice.below(most.max(1)));
        let (answer, lasted) = std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let begun = Instant::now();
                (take(&admin, &step), begun.elapsed())
            });
            std::thread::sleep(time);
            broker.kill();
            taking.join().expect("a request that ends")
        });
        if answer == Some(200) {
            lasts[kind] = lasted;
            came_through += 1;
        } else {
            // Too early, perhaps: more time for the next of this kind.
            lasts[kind] = lasts[kind].max(time) + Duration::from_millis(20);
        }
        assert!(matches!(answer, None | Some(200)), "kill {kill}: {answer:?}");
        broker = broker.kill_and_start();
        let after = active(&broker.admin());
        let whole = after == step.new || (answer.is_none() && after == before);
        assert!(whole, "kill {kill} of seed {seed}: {before:?} to {:?}, answered {answer:?}: {after:?}", step.new);
        if after == step.new {
            new += 1
        } else {
            old += 1
        }
        assert_eq!(stamped(&broker), after.1, "kill {kill} of seed {seed}");
        next = next.max(after.0 + 1);
    }
    println!(
        "{kills} kills: {came_through} changes were answered; {old} times the old version, {new} times the new one"
    );
}
