//! Instances that are made beforehand, and those that are replaced before their memory is used up.

use super::rig::{Rig, limits};
use crate::harness::guests;
use cpu_time::ThreadTime;
use host::wasm::{DeployOptions, Limits, OnFailure, attach_examples};
use serde_json::json;
use std::time::{Duration, Instant};

/// Milliseconds of a processor that this thread uses for a call.
fn milliseconds(rig: &mut Rig, topic: &str) -> f64 {
    let begun = ThreadTime::now();
    rig.routed(topic);
    begun.elapsed().as_secs_f64() * 1e3
}

/// `configure` takes some hundred milliseconds of a processor, and the thread that asks the module spends none of them: neither for
/// its first instance nor for the one after a failure. Told in processor time, of which a call takes a thousandth of that.
#[test]
fn an_instance_that_takes_long_to_make_is_made_beforehand() {
    let mut rig = Rig::with(Limits { configure_milliseconds_max: 20_000, failures_max: 0, ..limits() });
    let begun = ThreadTime::now();
    rig.deploy("m", "hostile", 1, OnFailure::Bypass, r#"{"mode": "configure-toils"}"#);
    let toil = begun.elapsed().as_secs_f64() * 1e3;
    println!("deployed in {toil:.1} ms");
    let first = milliseconds(&mut rig, "good");
    assert!(first < toil / 10.0, "{first} of {toil}");
    rig.deploy("m", "hostile", 1, OnFailure::Bypass, r#"{"mode": "configure-toils-and-traps"}"#);
    for _ in 0..2 {
        let failing = milliseconds(&mut rig, "bad");
        assert!(failing < toil / 10.0, "{failing} of {toil}");
        // The one that takes its place is made meanwhile, by another thread.
        let begun = Instant::now();
        while rig.modules.show("m").unwrap().spares == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no spare instance was made");
            std::thread::yield_now();
        }
    }
}

/// As interpreters do: at its first call it makes up for what it has put off, which takes longer than a call may. It is asked about its
/// own examples beforehand, or about a topic that it wants to see; what it says and counts then is kept nowhere.
#[test]
fn what_an_instance_puts_off_to_its_first_call_costs_no_message() {
    let config = json!({ "mode": "starts-late", "wants": "a/+/b/#" });
    let examples = json!({ "config": config, "example": [
        { "hook": "routing", "message": { "topic": "a/1/b" }, "expect": { "pass": {} } },
        { "hook": "routing", "message": { "topic": "good" }, "expect": {} },
    ] });
    let guest = guests::component("hostile");
    let with = attach_examples(&guest, &serde_json::from_value(examples).unwrap());
    for component in [with, guest] {
        let mut rig = Rig::with(Limits { configure_milliseconds_max: 60_000, call_milliseconds_max: 50, ..limits() });
        let options = DeployOptions { config: Some(config.to_string()), ..DeployOptions::default() };
        rig.modules.deploy("m", &component, options).unwrap();
        // The second one is made in its place after a failure, by this thread or another.
        for _ in 0..2 {
            assert_eq!(rig.routed("a/x/b"), "pass a/x/b");
            assert_eq!(rig.routed("a/x/b/loops"), "refuse Unavailable");
        }
        assert_eq!(rig.routed("a/x/b"), "pass a/x/b");
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.calls, info.failures, info.state_bytes), (5, 2, 0));
        let lines = rig.modules.logs("m").unwrap();
        assert!(lines.iter().all(|line| !line.line.contains("started")), "{lines:?}");
    }
}

/// It keeps 64 KiB of each message: 16 MiB hold 250 of them.
#[test]
fn an_instance_is_replaced_before_its_memory_is_used_up() {
    let mut rig = Rig::with(limits());
    rig.deploy("m", "hostile", 1, OnFailure::Refuse, r#"{"mode": "hoards"}"#);
    for n in 0..1_000 {
        assert_eq!(rig.routed("bad"), "pass bad", "{n}");
    }
    assert_eq!(rig.modules.show("m").unwrap().failures, 0);
}
