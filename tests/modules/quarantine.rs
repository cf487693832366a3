//! A version that fails again and again: the one before it comes back; without one, only what fails is kept away from it.

use super::rig::{Rig, limits, property};
use super::versions::start_with;
use crate::harness::guests;
use OnFailure::{Bypass, Refuse};
use host::wasm::{Binding, DeployError, Limits, ModuleState, OnFailure};

fn version(rig: &mut Rig, topic: &str) -> Option<String> {
    property(&rig.route(topic, b""), "version")
}

#[test]
fn the_version_before_comes_back_after_five_failures() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "one"}"#);
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "two", "fails": ["bad"]}"#);
    for _ in 0..4 {
        assert_eq!(rig.routed("bad"), "refuse Unavailable");
    }
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
    assert_eq!(rig.routed("bad"), "refuse Unavailable");
    assert_eq!(version(&mut rig, "bad").as_deref(), Some("one"));
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.version, info.state, &*info.quarantined), (Some(1), ModuleState::Active, &[2][..]));
    assert!(info.problem.unwrap().starts_with("version 2 was put into quarantine: 5 failures within 10000 ms"));
    let versions = rig.modules.versions("m").unwrap();
    assert!(versions[1].quarantined.as_ref().unwrap().contains("routing.on-publish: trapped"));
    let metrics = &rig.metrics;
    assert_eq!((metrics.module_quarantines_total.get(), metrics.module_rollbacks_total.get()), (1, 1));
    let lines = rig.modules.logs("m").unwrap();
    assert!(lines.iter().any(|line| line.line.starts_with("version 2 is put into quarantine")));
}

#[test]
fn a_version_is_asked_again_when_the_operator_says_so() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Bypass, r#"{"version": "one"}"#);
    rig.deploy("m", "fickle", 1, Bypass, r#"{"version": "two", "fails": ["bad"]}"#);
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "pass bad"));
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
    rig.modules.rollback("m", Some(2)).unwrap();
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
    assert!(rig.modules.show("m").unwrap().quarantined.is_empty());
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "pass bad"));
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
}

/// Whoever looks for why a version was put aside finds what it was asked, until it is kept no more.
#[test]
fn a_version_that_is_put_aside_keeps_its_figures() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Bypass, r#"{"version": "one"}"#);
    rig.deploy("m", "fickle", 1, Bypass, r#"{"version": "two", "fails": ["bad"]}"#);
    let counted = |rig: &Rig, number: u64| {
        let versions = rig.modules.versions("m").unwrap();
        let found = versions.into_iter().find(|version| version.version == number).expect("it is kept");
        assert_eq!(found.figures.iter().map(|figures| figures.calls).sum::<u64>(), found.calls);
        let exported = rig.modules.version_figures();
        let same = exported.into_iter().find(|(module, version, _)| (&**module, *version) == ("m", number));
        assert_eq!(same.map(|(_, _, figures)| figures), Some(found.figures));
        (found.calls, found.failures)
    };
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "pass bad"));
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
    assert_eq!((counted(&rig, 1), counted(&rig, 2)), ((1, 0), (6, 5)));
    // Nothing of it is ready any more.
    for number in ["three", "four"] {
        rig.modules.configure("m", &format!(r#"{{"version": "{number}"}}"#)).unwrap();
        assert_eq!(version(&mut rig, "good").as_deref(), Some(number));
    }
    assert_eq!((counted(&rig, 1), counted(&rig, 2), counted(&rig, 4)), ((1, 0), (6, 5), (1, 0)));
    // Put to work again it counts on, as counters do.
    rig.modules.rollback("m", Some(2)).unwrap();
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
    assert_eq!((counted(&rig, 2), rig.modules.show("m").unwrap().calls), ((7, 5), 7));
}

#[test]
fn failures_far_apart_are_no_reason() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "one"}"#);
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "two", "fails": ["bad"]}"#);
    for _ in 0..20 {
        rig.routed("bad");
        rig.pass_milliseconds(2_500);
    }
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
}

/// Nobody else pays for what somebody makes it fail on.
#[test]
fn without_a_version_before_only_what_fails_is_kept_away() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "one", "fails": ["bad/#"]}"#);
    (0..5).for_each(|_| assert_eq!(rig.routed("bad/1"), "refuse Unavailable"));
    assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Quarantined);
    let calls = |rig: &Rig| rig.modules.show("m").unwrap().calls;
    assert_eq!(calls(&rig), 5);
    for _ in 0..10 {
        assert_eq!(rig.routed("bad/1"), "refuse Unavailable");
        assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
    }
    assert_eq!(calls(&rig), 15, "what failed was not asked about again");
    rig.pass_milliseconds(10_000);
    assert_eq!(rig.routed("bad/1"), "refuse Unavailable");
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.calls, info.state), (16, ModuleState::Active), "after a quiet time it is asked again");
}

/// By whoever looks, and by the next call.
#[test]
fn a_quarantine_that_is_over_is_not_shown_any_more() {
    for is_asked in [true, false] {
        let mut rig = Rig::new();
        rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "one", "fails": ["bad/#"]}"#);
        (0..5).for_each(|_| assert_eq!(rig.routed("bad/1"), "refuse Unavailable"));
        rig.pass_milliseconds(9_999);
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.state, &*info.quarantined), (ModuleState::Quarantined, &[1][..]));
        assert!(info.problem.unwrap().starts_with("in quarantine: 5 failures"));
        rig.pass_milliseconds(1);
        if is_asked {
            assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
        }
        let info = rig.modules.show("m").unwrap();
        assert_eq!((info.state, &*info.quarantined, info.problem), (ModuleState::Active, &[][..], None));
        assert!(rig.modules.versions("m").unwrap()[0].quarantined.is_none());
        let lines = rig.modules.logs("m").unwrap();
        let over = lines.iter().filter(|line| &*line.line == "the quarantine of version 1 is over").count();
        assert_eq!(over, 1);
        (0..5).for_each(|_| assert_eq!(rig.routed("bad/1"), "refuse Unavailable"));
        assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Quarantined, "again");
    }
}

#[test]
fn where_everything_fails_nothing_is_asked_for_a_while() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Bypass, r#"{"version": "one", "fails": ["bad/#"]}"#);
    for n in 0..200 {
        assert_eq!(rig.routed(&format!("bad/{n}")), format!("pass bad/{n}"));
    }
    assert!(rig.modules.show("m").unwrap().calls < 80);
    assert_eq!((version(&mut rig, "good"), rig.routed("good")), (None, "pass good".to_owned()));
    rig.pass_milliseconds(10_000);
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
}

#[test]
fn access_stays_closed_while_its_module_is_in_quarantine() {
    let mut rig = Rig::with(Limits { failures_max: 2, ..limits() });
    rig.deploy("m", "guards", 1, Bypass, "{}");
    let chain = rig.chain();
    let mut may = |topic| chain.authorize(&mut rig.guests, &super::rig::client(), host::wasm::Action::Publish, topic);
    for _ in 0..5 {
        assert_eq!(may("trap"), Some(false));
    }
    assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Quarantined);
}

/// Whoever can make rules of access fail does not get back those that held before.
#[test]
fn a_version_that_decides_over_access_is_replaced_by_hand_only() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "one"}"#);
    rig.deploy("m", "guards", 1, Bypass, "{}");
    rig.deploy("m", "guards", 2, Bypass, "{}");
    let may = |rig: &mut Rig, topic| {
        rig.chain().authorize(&mut rig.guests, &super::rig::client(), host::wasm::Action::Publish, topic)
    };
    (0..5).for_each(|_| assert_eq!(may(&mut rig, "trap"), Some(false)));
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.version, info.state, &*info.quarantined), (Some(3), ModuleState::Quarantined, &[3][..]));
    assert!(info.problem.unwrap().contains("it decides over access"));
    let metrics = &rig.metrics;
    assert_eq!((metrics.module_quarantines_total.get(), metrics.module_rollbacks_total.get()), (1, 0));
    assert_eq!(
        (may(&mut rig, "trap"), may(&mut rig, "open/x"), may(&mut rig, "x")),
        (Some(false), Some(true), Some(false))
    );
    rig.modules.rollback("m", None).unwrap();
    assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Active);
}

/// Nor does one come back that decided over access, as another thing fails: the one before it does.
#[test]
fn a_version_that_decided_over_access_does_not_come_back_by_itself() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "one"}"#);
    rig.deploy("m", "guards", 1, Refuse, "{}");
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "three", "fails": ["bad"]}"#);
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "refuse Unavailable"));
    let begun = std::time::Instant::now();
    while rig.modules.show("m").unwrap().version == Some(3) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(50), "it stays");
        std::thread::yield_now();
    }
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
    assert!(!rig.chain().wants_access());
}

#[test]
fn a_failing_canary_is_taken_back_by_itself() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, r#"{"version": "one"}"#);
    rig.canary("m", "fickle", 100, r#"{"version": "two", "fine": 1}"#);
    assert_eq!(version(&mut rig, "good").as_deref(), Some("two"));
    // An instance that failed makes way for a fresh one, which is fine once more.
    for _ in 0..9 {
        rig.routed("good");
    }
    assert_eq!(version(&mut rig, "good").as_deref(), Some("one"));
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.version, info.canary.is_none(), &*info.quarantined), (Some(1), true, &[2][..]));
}

/// A module of the configuration, with this one.
fn bound(config: &str) -> Binding {
    Binding {
        name: "m".into(),
        component: Some(guests::component("fickle").into()),
        order: 1,
        on_failure: Refuse,
        config: config.into(),
        enabled: true,
    }
}

const FAILING: &str = r#"{"version": "failing", "fails": ["bad"]}"#;
const FINE: &str = r#"{"version": "fine"}"#;

fn in_quarantine(rig: &Rig) -> Vec<u64> {
    rig.modules.show("m").unwrap().quarantined
}

fn fails(rig: &mut Rig) {
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "refuse Unavailable"));
}

/// What failed was the one that it said before.
#[test]
fn what_the_configuration_says_anew_is_in_no_quarantine() {
    for is_behind in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (mut rig, _store) = start_with(directory.path(), vec![bound(FAILING)], |_| ()).unwrap();
        fails(&mut rig);
        assert_eq!(in_quarantine(&rig), [0]);
        if is_behind {
            rig.deploy("m", "fickle", 1, Refuse, FAILING);
        }
        rig.modules.rebind(bound(FINE), false).unwrap();
        assert_eq!((in_quarantine(&rig), rig.modules.show("m").unwrap().problem), (Vec::new(), None));
        if !is_behind {
            rig.deploy("m", "fickle", 1, Refuse, FAILING);
        }
        fails(&mut rig);
        let begun = std::time::Instant::now();
        while rig.modules.show("m").unwrap().version == Some(1) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(50), "it stays");
            std::thread::yield_now();
        }
        assert_eq!(version(&mut rig, "bad").as_deref(), Some("fine"));
    }
}

/// Neither by hand nor by itself a module goes back to it. What is asked after a start is asked anew.
#[test]
fn what_failed_before_a_restart_is_in_quarantine_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start_with(directory.path(), Vec::new(), |_| ()).unwrap();
    rig.deploy("m", "fickle", 1, Refuse, FAILING);
    fails(&mut rig);
    rig.deploy("m", "fickle", 1, Refuse, FAILING);
    drop((rig, store));
    let (mut rig, store) = start_with(directory.path(), Vec::new(), |_| ()).unwrap();
    assert_eq!(in_quarantine(&rig), [1]);
    let why = rig.modules.versions("m").unwrap()[0].quarantined.clone().unwrap();
    assert!(why.starts_with("5 failures within 10000 ms"), "{why}");
    let unfit = DeployError::OlderUnfit { name: "m".into(), versions: "1".into() };
    assert_eq!(rig.modules.rollback("m", None), Err(unfit));
    fails(&mut rig);
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.version, info.state, &*info.quarantined), (Some(2), ModuleState::Quarantined, &[1, 2][..]));
    rig.modules.set_enabled("m", false).unwrap();
    rig.modules.rollback("m", Some(1)).unwrap();
    drop((rig, store));
    let (rig, _store) = start_with(directory.path(), Vec::new(), |_| ()).unwrap();
    assert_eq!(in_quarantine(&rig), [2]);
}

/// Another file or configuration is another version 0.
#[test]
fn what_the_configuration_says_is_in_quarantine_after_a_restart_where_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start_with(directory.path(), vec![bound(FAILING)], |_| ()).unwrap();
    fails(&mut rig);
    rig.deploy("m", "fickle", 1, Refuse, FINE);
    drop((rig, store));
    for (config, expected) in [(FAILING, &[0][..]), (FINE, &[])] {
        let (rig, _store) = start_with(directory.path(), vec![bound(config)], |_| ()).unwrap();
        assert_eq!((in_quarantine(&rig), rig.modules.show("m").unwrap().version), (expected.to_vec(), Some(1)));
    }
}

#[test]
fn what_is_kept_no_more_is_in_no_quarantine() {
    let mut rig = Rig::with(Limits { versions_kept: 2, ..limits() });
    rig.deploy("m", "fickle", 1, Refuse, FINE);
    rig.deploy("m", "fickle", 1, Refuse, FAILING);
    fails(&mut rig);
    assert_eq!(in_quarantine(&rig), [2]);
    (0..2).for_each(|_| drop(rig.modules.configure("m", FINE).unwrap()));
    let kept: Vec<u64> = rig.modules.versions("m").unwrap().iter().map(|it| it.version).collect();
    assert!(!kept.contains(&2), "{kept:?}");
    assert_eq!(in_quarantine(&rig), [0; 0]);
}
