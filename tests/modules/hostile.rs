//! A matrix of guests that behave badly: each costs its own message what its binding says, is held to its bounds, and
//! leaves the next module and the next message alone.

use super::rig::{Rig, limits, property};
use crate::harness::guests::component;
use OnFailure::{Bypass, Refuse};
use host::wasm::{DeployOptions, Happening, Limits, Loss, OnFailure, Outcome};
use std::time::Instant;

fn config(mode: &str) -> String {
    format!(r#"{{"mode": "{mode}", "topic": "bad/wish"}}"#)
}

/// Quick limits: the matrix is long.
fn rig() -> Rig {
    Rig::with(Limits { call_milliseconds_max: 20, configure_milliseconds_max: 500, failures_max: 0, ..limits() })
}

/// A storm ends at one of two bounds, whichever comes first on the machine.
const STORM: &str = "wanted more calls of the broker than it may have|stopped at its deadline";

/// Mode and what the log says of it.
const FAIL: [(&str, &str); 25] = [
    ("loops", "stopped at its deadline"),
    // Its own stack in its memory ends before the one that the broker gives it.
    ("recurses", "trapped"),
    ("eats", "wanted more memory than it may have"),
    ("traps", "trapped"),
    ("exits", "trapped"),
    ("spawns", "trapped"),
    ("reads-much", STORM),
    ("log-storm", STORM),
    ("state-storm", STORM),
    ("state-fill", STORM),
    ("counter-storm", STORM),
    ("metric-storm", STORM),
    ("clock-storm", STORM),
    ("retained-storm", STORM),
    ("print-storm", STORM),
    ("long-lines", ""),
    ("bad-text", "bad answer"),
    ("long-text", "bad answer"),
    ("wild", "bad answer"),
    ("empty", "bad answer"),
    ("long-topic", "bad answer"),
    ("answers-to-wild", "bad answer"),
    ("large", ""),
    ("many-wishes", ""),
    ("some-wishes", "bad answer: 65 messages, 64 are allowed"),
];

#[test]
fn a_bad_answer_costs_its_message_and_nothing_more() {
    for (policy, expected) in [(Refuse, "refuse Unavailable"), (Bypass, "pass bad")] {
        let mut rig = rig();
        rig.deploy("next", "echoes-version", 2, Refuse, r#"{"version": "next"}"#);
        rig.deploy("hostile", "hostile", 1, policy, &config("behaves"));
        for (mode, why) in FAIL {
            let version = rig.modules.configure("hostile", &config(mode)).unwrap().version.unwrap();
            assert_eq!(rig.routed("good"), "pass good");
            let begun = Instant::now();
            assert_eq!(rig.routed("bad"), expected, "{mode}");
            println!("{mode}: {:?}", begun.elapsed());
            let good = rig.route("good", b"");
            assert_eq!(property(&good, "version").as_deref(), Some("next"), "{mode}");
            let info = rig.modules.show("hostile").unwrap();
            assert_eq!(info.failures, 1, "{mode}");
            let lines = rig.modules.logs("hostile").unwrap();
            let told = |line: &str| why.split('|').any(|why| line.contains(why));
            let ours = format!("version {version}: ");
            assert!(lines.iter().any(|line| line.line.starts_with(&ours) && told(&line.line)), "{mode}: {lines:?}");
            assert!(lines.iter().all(|line| line.line.len() <= 1_024), "{mode}");
            assert!(lines.len() <= rig.modules.limits().log_lines_kept);
            assert!(info.state_bytes <= rig.modules.limits().state_bytes_max, "{mode}");
            assert!(rig.modules.figures().len() <= rig.modules.limits().figures_max, "{mode}");
        }
    }
}

/// What a guest may ask of its system is not there, which is no failure.
#[test]
fn there_is_nothing_to_be_found_outside() {
    for (mode, expected) in [("opens", "Err(\"no\")"), ("connects", "false"), ("environment", "0"), ("reads-past", "0")]
    {
        let mut rig = rig();
        rig.deploy("hostile", "hostile", 1, Refuse, &config(mode));
        assert_eq!(property(&rig.route("bad", b"abc"), "p").as_deref(), Some(expected), "{mode}");
    }
    // Time stands still for a sleeper: it wakes at once, or is stopped.
    let mut rig = rig();
    rig.deploy("hostile", "hostile", 1, Bypass, &config("sleeps"));
    assert_eq!(rig.routed("bad"), "pass bad");
}

#[test]
fn a_bad_start_refuses_the_deployment() {
    for (mode, why) in [
        ("configure-loops", "it failed in `configure`: stopped at its deadline"),
        ("configure-recurses", "it failed in `configure`: trapped"),
        ("configure-storms", "it failed in `configure`: "),
        ("configure-eats", "it failed in `configure`: wanted more memory"),
        ("configure-exits", "it failed in `configure`: trapped"),
        ("configure-says-much", "it refuses its configuration: xxx"),
        ("manifest-many", "it refuses its configuration: the manifest names 1000 filters"),
        ("manifest-bad", "it refuses its configuration: the manifest's filter \"a/#/b\""),
    ] {
        let rig = rig();
        let options = DeployOptions { config: Some(config(mode)), ..DeployOptions::default() };
        let error = rig.modules.deploy("hostile", &component("hostile"), options).expect_err(mode).to_string();
        assert!(error.starts_with(why), "{mode}: {error:.200}");
        assert!(rig.modules.show("hostile").is_err(), "{mode}");
    }
    let rig = rig();
    rig.deploy("hostile", "hostile", 1, Refuse, &config("manifest-long"));
    assert!(rig.modules.show("hostile").unwrap().description.len() <= 1_024);
}

#[test]
fn loops_of_one_and_of_two_end_at_the_hop_limit() {
    let mut rig = rig();
    rig.deploy("one", "hostile", 1, Refuse, &config("wishes"));
    rig.deploy("two", "hostile", 2, Refuse, &config("wishes"));
    let (chain, mut waiting, mut asked) = (rig.chain(), vec![super::rig::message("bad", b"")], 0);
    while let Some(message) = waiting.pop() {
        asked += 1;
        assert!(asked < 1_000, "it ends");
        let verdict = chain.route(&mut rig.guests, &super::rig::client(), message);
        waiting.extend(verdict.wishes.into_iter().map(|wish| wish.message));
    }
    // Two wishes a message, eight hops.
    assert_eq!(asked, (1 << 9) - 1);
}

#[test]
fn reserved_topics_are_left_to_the_hall_to_refuse() {
    let mut rig = rig();
    rig.deploy("hostile", "hostile", 1, Refuse, &config("reserved"));
    let Outcome::Pass(message) = rig.route("bad", b"").outcome else { panic!("it passes here") };
    assert!(message.topic().is_reserved());
}

#[test]
fn a_bad_hook_beside_the_way_loses_its_turn_only() {
    let mut rig = rig();
    rig.deploy("hostile", "hostile", 1, Refuse, &config("events-loop"));
    rig.deploy("next", "hostile", 2, Refuse, &config("events-flood"));
    let chain = rig.chain();
    let lost = Happening::Lost(super::rig::message("bad", b""), Loss::Unroutable);
    let wishes = chain.tell(&mut rig.guests, &[lost]);
    assert_eq!((wishes.len(), &*wishes[0].module), (64, "next"));
    rig.deploy("hostile", "hostile", 1, Refuse, &config("tick-loops"));
    rig.deploy("next", "hostile", 2, Refuse, &config("ticks-always"));
    let chain = rig.chain();
    let mut pulses = host::wasm::Pulses::default();
    chain.tick(&mut rig.guests, &mut pulses, host::message::Time(0));
    let (wishes, _) = chain.tick(&mut rig.guests, &mut pulses, host::message::Time(10));
    assert_eq!(wishes.iter().map(|wish| &*wish.module).collect::<Vec<_>>(), ["next"]);
}

/// Milliseconds of a processor that this thread has used. None where the system does not tell.
fn used() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(told.split(' ').next()?.parse::<f64>().ok()? / 1e6)
}

/// With the bounds that a broker has by default. Told in time of a processor, so that those who wait for one do not count; the
/// thread that stops guests may wait for one as well, so that on a busy machine single calls take longer. Where
/// `PLIANT_TEST_LONG` is set, as it takes a while.
#[test]
fn calls_are_stopped_within_ten_milliseconds() {
    if std::env::var_os("PLIANT_TEST_LONG").is_none() || used().is_none() {
        eprintln!("left out: PLIANT_TEST_LONG is not set, or the system does not tell");
        return;
    }
    let mut rig = Rig::with(Limits { failures_max: 0, instances_max: 16, ..Limits::default() });
    rig.deploy("hostile", "hostile", 1, Bypass, &config("behaves"));
    let mut all = Vec::new();
    for (mode, _) in FAIL.iter().chain(&[("dawdles", ""), ("leaks", ""), ("leaks-bytes", ""), ("sleeps", "")]) {
        rig.modules.configure("hostile", &config(mode)).unwrap();
        let mut times: Vec<f64> = Vec::new();
        for _ in 0..100 {
            let before = used().unwrap();
            rig.routed("bad");
            times.push(used().unwrap() - before);
        }
        times.sort_by(f64::total_cmp);
        println!("{mode}: p50 {:.2}, p99 {:.2}, greatest {:.2} ms", times[49], times[98], times[99]);
        all.push((times[49], mode));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(all.last().unwrap().0 < 10.0, "medians: {all:?}");
}
