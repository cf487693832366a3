//! A failing guest costs its message what its binding says, and its instance its life; nothing more.

use super::rig::{Rig, limits, property};
use OnFailure::{Bypass, Discard, Refuse};
use host::wasm::{Limits, LogLevel, OnFailure};
use std::time::{Duration, Instant};

#[test]
fn the_failure_policy_of_the_binding_decides_over_the_message() {
    for (policy, expected) in [(Refuse, "refuse Unavailable"), (Bypass, "pass bad"), (Discard, "discard")] {
        for guest in ["traps", "loops-forever", "eats-memory"] {
            let mut rig = Rig::new();
            rig.deploy("m", guest, 1, policy, "{}");
            assert_eq!(rig.routed("bad"), expected, "{guest} {policy:?}");
            assert_eq!(rig.routed("good"), "pass good", "{guest} {policy:?}");
        }
    }
}

#[test]
fn log_and_figures_say_which_module_failed_and_why() {
    for (guest, topic, why) in [
        ("traps", "bad", "routing.on-publish: trapped: "),
        ("traps", "bad/stack", "routing.on-publish: wanted more stack than it may have"),
        ("loops-forever", "bad", "routing.on-publish: stopped at its deadline"),
        ("eats-memory", "bad", "routing.on-publish: wanted more memory than it may have"),
    ] {
        let mut rig = Rig::new();
        rig.deploy("m", guest, 1, Refuse, "{}");
        rig.routed("good");
        rig.routed(topic);
        let lines = rig.modules.logs("m").unwrap();
        let line = lines.iter().rev().find(|line| line.level == LogLevel::Error).expect("a line");
        assert!(line.line.starts_with(&format!("version 1: {why}")), "{guest}: {}", line.line);
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.calls, info.failures), (2, 1), "{guest}");
        assert_eq!(info.figures[0].hook, "routing.on-publish");
        assert!(info.figures[0].p99_microseconds >= info.figures[0].p50_microseconds);
    }
}

#[test]
fn a_loop_is_stopped_at_its_deadline() {
    let mut rig = Rig::with(Limits { call_milliseconds_max: 5, failures_max: 0, ..limits() });
    rig.deploy("m", "loops-forever", 1, Refuse, "{}");
    rig.routed("good");
    let mut took = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        assert_eq!(rig.routed("bad"), "refuse Unavailable");
        took.push(begun.elapsed());
    }
    took.sort();
    println!("stopped after {took:?}");
    assert!(took[0] >= Duration::from_millis(5), "{took:?}");
    // It takes 7 ms on an idle machine; this one is busy with other rows.
    assert!(took[0] <= Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_failure_leaves_the_instances_of_other_modules_alone() {
    let mut rig = Rig::new();
    rig.deploy("a", "loops-forever", 1, Discard, "{}");
    rig.deploy("b", "traps", 2, Refuse, "{}");
    let seen = |rig: &mut Rig, topic| property(&rig.route(topic, b""), "seen");
    assert_eq!(seen(&mut rig, "good").as_deref(), Some("1"));
    assert_eq!(rig.routed("bad"), "discard");
    assert_eq!(rig.guests.instances(), 1);
    assert_eq!(seen(&mut rig, "good").as_deref(), Some("2"));
}

#[test]
fn a_trapped_instance_is_never_asked_again() {
    let mut rig = Rig::new();
    rig.deploy("m", "traps", 1, Refuse, "{}");
    let seen = |rig: &mut Rig, topic| property(&rig.route(topic, b""), "seen");
    for (topic, expected) in [("a", Some("1")), ("a", Some("2")), ("bad", None), ("a", Some("1")), ("a", Some("2"))] {
        assert_eq!(seen(&mut rig, topic).as_deref(), expected);
    }
}

#[test]
fn a_module_without_room_for_its_instance_fails_and_recovers() {
    let mut rig = Rig::with(Limits { instances_max: 1, ..limits() });
    rig.deploy("a", "router", 1, Bypass, "{}");
    assert_eq!(rig.routed("t"), "pass t");
    assert_eq!(rig.guests.failures(), 0);
    let mut other = host::wasm::Guests::new(&rig.modules);
    let verdict = rig.chain().route(&mut other, &super::rig::client(), super::rig::message("t", b""));
    assert!(matches!(verdict.outcome, host::wasm::Outcome::Pass(_)));
    assert_eq!(other.failures(), 1);
    rig.guests = host::wasm::Guests::new(&rig.modules);
    rig.chain().route(&mut other, &super::rig::client(), super::rig::message("t", b""));
    assert_eq!(other.failures(), 1);
}
