//! A guest that answers with more than anybody asked for in every hook, and wants more of each service than it may have: its
//! own call fails or gets no more, and what is told and counted stays what it is.

use super::rig::{Rig, client, limits, message, property};
use OnFailure::{Bypass, Refuse};
use host::client::Departure;
use host::message::{Guarantee, Refusal, RefusalKind, Time, Will};
use host::wasm::{Credentials, Figure, Happening, Leaves, Limits, Loss, OnFailure, Pulses};
use std::sync::Arc;

fn rig(mode: &str, limits: Limits) -> Rig {
    let rig = Rig::with(limits);
    rig.deploy("m", "sprawls", 1, Refuse, &format!(r#"{{"mode": "{mode}", "tick_milliseconds": 10}}"#));
    rig
}

fn patient() -> Limits {
    Limits { call_milliseconds_max: 1_000, failures_max: 0, ..limits() }
}

fn over(rig: &Rig, service: &str) -> u64 {
    let refusals = rig.modules.refusals();
    let of = |(module, name, _): &&(Arc<str>, &'static str, u64)| &**module == "m" && *name == service;
    refusals.iter().find(of).expect("each service is counted").2
}

/// A text of 1 MiB, a list of 100,000 messages or 1,000,000 properties, 3 MiB of payload: all of it is a bad answer, or more than
/// one call may hand over.
#[test]
fn too_much_is_a_failure_in_every_hook() {
    for mode in ["text", "list", "bytes"] {
        let mut rig = rig(mode, patient());
        let chain = rig.chain();
        let failed = |refusal: &Refusal| refusal.kind == RefusalKind::Unavailable;
        assert_eq!(rig.routed("bad"), "refuse Unavailable", "{mode}");
        let guests = &mut rig.guests;
        let copy = chain.leaves(guests, &client(), &message("bad", b""), Guarantee::AtLeastOnce, false);
        assert!(matches!(copy, Leaves::NotNow), "{mode}");
        let will = || Will { message: message("w", b"bye"), delay_seconds: 0 };
        if mode != "bytes" {
            let registered = chain.will_registered(guests, &client(), will());
            assert!(registered.is_err_and(|refusal| failed(&refusal)), "{mode}");
        }
        assert!(chain.will_due(guests, &client(), will(), Departure::ConnectionLost).is_empty(), "{mode}");
        assert!(chain.tell(guests, &[Happening::Lost(message("a", b""), Loss::Unroutable)]).is_empty(), "{mode}");
        let mut pulses = Pulses::default();
        chain.tick(guests, &mut pulses, Time(0));
        assert!(chain.tick(guests, &mut pulses, Time(10)).0.is_empty(), "{mode}");
        let info = rig.modules.show("m").unwrap();
        let calls = if mode == "bytes" { 5 } else { 6 };
        assert_eq!((info.calls, info.failures), (calls, calls), "{mode}: {info:?}");
    }
}

#[test]
fn names_and_identities_of_a_mebibyte_are_refused() {
    let mut rig = rig("text", patient());
    let (chain, who) = (rig.chain(), client());
    let guests = &mut rig.guests;
    let credentials = Credentials { client: &who, username: Some("ann"), password: None, certificate_subject: None };
    let refusal = chain.authenticate(guests, credentials).expect_err("1 MiB is nobody's name");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    let refusal = chain.publish_topic(guests, &who.scope, "bad").expect_err("1 MiB is no topic");
    assert_eq!(refusal.kind, RefusalKind::TopicInvalid);
    let refusal = chain.subscribe_filter(guests, &who.scope, "bad").expect_err("1 MiB is no filter");
    assert_eq!(refusal.kind, RefusalKind::TopicInvalid);
    assert_eq!(chain.deliver_name(guests, &who.scope, "bad"), None, "it is shown as it is");
}

#[test]
fn reasons_are_cut_in_every_hook() {
    let mut rig = rig("refuses", patient());
    let (chain, who) = (rig.chain(), client());
    let guests = &mut rig.guests;
    let credentials = Credentials { client: &who, username: Some("ann"), password: None, certificate_subject: None };
    let will = Will { message: message("w", b""), delay_seconds: 0 };
    for refusal in [
        chain.authenticate(guests, credentials).expect_err("refused"),
        chain.publish_topic(guests, &who.scope, "bad").expect_err("refused"),
        chain.subscribe_filter(guests, &who.scope, "bad").expect_err("refused"),
        chain.will_registered(guests, &who, will).expect_err("refused"),
    ] {
        assert_eq!((refusal.kind, refusal.reason.len()), (RefusalKind::QuotaExceeded, 1_024));
    }
    assert_eq!(rig.routed("bad"), "refuse QuotaExceeded");
}

#[test]
fn lines_names_and_values_that_are_none_do_no_harm() {
    let mut rig = rig("names", patient());
    assert_eq!(rig.routed("bad"), "pass bad");
    let lines = rig.modules.logs("m").unwrap();
    assert_eq!(lines.len(), 13);
    for line in &lines {
        assert!(line.line.len() <= 1_024 && !line.line.contains(char::is_control), "{line:?}");
    }
    assert!(lines.iter().any(|line| &*line.line == r"a\r\nERROR forged"), "{lines:?}");
    let names: Vec<_> = rig.modules.figures().into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["digits", "little", "most", "much", "no_number"].map(Into::into));
    // Each odd name once as a counter and once as a gauge.
    assert_eq!((over(&rig, "metrics"), over(&rig, "log")), (26, 0));
}

#[test]
fn a_second_has_so_many_lines_and_the_next_one_as_many() {
    let mut rig = rig("logs", patient());
    for second in 1..=2 {
        assert_eq!(rig.routed("bad"), "pass bad");
        assert_eq!(over(&rig, "log"), second * 100);
        assert_eq!(rig.modules.logs("m").unwrap().last().unwrap().line.as_ref(), "name_499");
        rig.pass_milliseconds(1_000);
    }
}

#[test]
fn figures_past_the_share_are_left_out_and_counted() {
    let mut rig = rig("figures", patient());
    rig.routed("bad");
    let figures = rig.modules.figures();
    assert_eq!((figures.len(), over(&rig, "metrics")), (64, 36));
    assert!(figures.iter().all(|(_, _, figure)| *figure == Figure::Count(1)));
}

/// 300 times 60,003 bytes are 18 MB; 16 MiB hold 279 of them.
#[test]
fn a_second_has_so_many_bytes_of_state() {
    let mut rig = rig("states", patient());
    for second in 1..=2 {
        assert_eq!(rig.routed("bad"), "pass bad");
        assert_eq!(over(&rig, "state"), second * 21);
        rig.pass_milliseconds(1_000);
    }
}

#[test]
fn a_call_has_so_many_retained_messages_and_so_many_bytes_of_them() {
    for (mode, failures) in [("looks-up", 1), ("looks-at-much", 1), ("names", 0)] {
        let mut rig = rig(mode, patient());
        rig.modules.set_retained(Arc::new(|topic| (topic == "large").then(|| message("large", &[7; 1 << 20]))));
        assert_eq!(rig.routed("bad"), if failures == 0 { "pass bad" } else { "refuse Unavailable" }, "{mode}");
        assert_eq!(over(&rig, "retained"), failures, "{mode}");
        let lines = rig.modules.logs("m").unwrap();
        let told = lines.iter().any(|line| line.line.contains("wanted more of the retained messages than it may have"));
        assert_eq!(told, failures > 0, "{mode}: {lines:?}");
    }
}

/// What has no room in the guest is not copied first: a copy of 64 MiB would hold its thread for tens of milliseconds.
#[test]
fn a_payload_larger_than_the_memory_is_not_handed_over_at_once() {
    let mut rig = rig("reads-all", patient());
    let small = rig.route("bad", &[7; 1_000]);
    assert_eq!(property(&small, "bytes").as_deref(), Some("1000"));
    let chain = rig.chain();
    let outcome = chain.route(&mut rig.guests, &client(), message("bad", &vec![7; 64 << 20])).outcome;
    assert!(matches!(outcome, host::wasm::Outcome::Refuse(_)));
    let lines = rig.modules.logs("m").unwrap();
    assert!(lines.last().unwrap().line.contains("wanted more memory than it may have"), "{lines:?}");
}

/// The first instance is the rehearsal's. Each call fails as its binding says; the version before comes back.
#[test]
fn instances_that_cannot_be_made_a_second_time_bring_back_the_version_before() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Bypass, r#"{"version": "one"}"#);
    rig.deploy("m", "echoes-version", 1, Bypass, r#"{"version": "two", "last_start": 1}"#);
    for n in 0..5 {
        assert_eq!(property(&rig.route("bad", b""), "version"), None, "{n}");
    }
    assert_eq!(property(&rig.route("bad", b""), "version").as_deref(), Some("one"));
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.version, &*info.quarantined), (Some(1), &[2][..]));
    // As the only version it is asked no more, and nobody waits for it.
    let mut rig = Rig::new();
    rig.deploy("m", "sprawls", 1, Refuse, r#"{"mode": "fine", "last_start": 1}"#);
    for _ in 0..10 {
        assert_eq!(rig.routed("bad"), "refuse Unavailable");
    }
    assert_eq!(rig.modules.show("m").unwrap().state, host::wasm::ModuleState::Quarantined);
}

/// A call that runs while its module is removed ends in peace, and what it writes is nowhere: not for a module of the same
/// name that comes later either.
#[test]
fn what_a_call_writes_after_its_module_is_gone_is_not_kept() {
    let mut rig = rig("writes-on-ticks", patient());
    let (chain, mut pulses) = (rig.chain(), Pulses::default());
    chain.tick(&mut rig.guests, &mut pulses, Time(0));
    rig.modules.remove("m").unwrap();
    // Its clock stands still here, and so it writes until its time is over.
    chain.tick(&mut rig.guests, &mut pulses, Time(10));
    rig.deploy("m", "sprawls", 1, Refuse, r#"{"mode": "fine"}"#);
    assert_eq!(rig.modules.show("m").unwrap().state_bytes, 0);
    assert_eq!(rig.routed("bad"), "pass bad");
}
