//! Where a module goes back to, by hand and by itself: to what was active before, as it stood then.

use super::rig::{Rig, property};
use super::versions::start_with;
use OnFailure::{Bypass, Refuse};
use host::store::Store;
use host::wasm::{Binding, DeployError, DeployOptions, Expected, Kept, OnFailure, Rollback, Tags};
use std::path::Path;

fn named(version: &str) -> String {
    format!(r#"{{"version": "{version}"}}"#)
}

/// It fails on `bad`.
fn failing(version: &str) -> String {
    format!(r#"{{"version": "{version}", "fails": ["bad"]}}"#)
}

fn stands(rig: &Rig) -> (Option<u64>, i32, OnFailure) {
    let info = rig.modules.show("m").unwrap();
    (info.version, info.order, info.on_failure)
}

fn start(directory: &Path, rewrite: fn(&mut Kept)) -> (Rig, Store) {
    start_with(directory, Vec::<Binding>::new(), rewrite).unwrap()
}

fn again(directory: &Path, (rig, store): (Rig, Store), rewrite: fn(&mut Kept)) -> (Rig, Store) {
    drop(rig);
    assert!(store.close());
    drop(store);
    start(directory, rewrite)
}

/// `wit/README.md`: the version that was active before. A trial that was taken back never was, nor is it a lower number.
#[test]
fn back_is_to_what_was_active_before_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let started = start(directory.path(), |_| ());
    let rig = &started.0;
    rig.deploy("m", "echoes-version", 1, Refuse, &named("one"));
    rig.canary("m", "echoes-version", 10, &named("tried"));
    rig.modules.rollback("m", None).unwrap();
    rig.deploy("m", "echoes-version", 1, Refuse, &named("three"));
    let started = again(directory.path(), started, |_| ());
    let rig = &started.0;
    assert_eq!(rig.modules.rollback("m", None).unwrap().version, Some(1));
    for version in ["four", "five"] {
        rig.deploy("m", "echoes-version", 1, Refuse, &named(version));
    }
    rig.modules.rollback("m", Some(1)).unwrap();
    rig.deploy("m", "echoes-version", 1, Refuse, &named("six"));
    let started = again(directory.path(), started, |_| ());
    assert_eq!(started.0.modules.rollback("m", None).unwrap().version, Some(1));
}

#[test]
fn back_is_not_to_what_is_in_quarantine() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, &named("one"));
    rig.deploy("m", "fickle", 1, Refuse, &failing("two"));
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "refuse Unavailable"));
    assert_eq!(stands(&rig).0, Some(1));
    rig.deploy("m", "fickle", 1, Refuse, &named("three"));
    assert_eq!(rig.modules.rollback("m", None).unwrap().version, Some(1));
    assert_eq!(property(&rig.route("good", b""), "version").as_deref(), Some("one"));
}

/// What was said of order and failures with a version goes and comes with it.
#[test]
fn order_and_policy_are_those_of_the_version_that_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut started = start(directory.path(), |_| ());
    let deploy = |rig: &Rig| {
        rig.deploy("m", "fickle", 20, Refuse, &named("one"));
        rig.deploy("m", "fickle", 5, Bypass, &failing("two"));
        assert_eq!(stands(rig), (Some(2), 5, Bypass));
    };
    deploy(&started.0);
    let rig = &mut started.0;
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "pass bad"));
    assert_eq!(stands(rig), (Some(1), 20, Refuse), "by itself");
    rig.modules.rollback("m", Some(2)).unwrap();
    assert_eq!(stands(rig), (Some(2), 5, Bypass), "by hand");
    let started = again(directory.path(), started, |_| ());
    let rig = &started.0;
    assert_eq!(stands(rig), (Some(2), 5, Bypass));
    rig.modules.rollback("m", None).unwrap();
    assert_eq!(stands(rig), (Some(1), 20, Refuse), "after a restart");
    rig.modules.rollback("m", Some(2)).unwrap();
    rig.modules.configure("m", &named("three")).unwrap();
    assert_eq!(stands(rig), (Some(3), 5, Bypass), "a configuration leaves it");
}

/// What runs already is not put to work again, and no version has to go for it.
#[test]
fn what_is_deployed_again_is_a_new_version_unless_it_is_to_be_none() {
    let rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, &named("one"));
    let first = rig.deploy("m", "echoes-version", 1, Refuse, &named("two"));
    let before = rig.modules.generation();
    for _ in 0..10 {
        let same = deploy_if_changed(&rig, "echoes-version", 1, Refuse);
        assert_eq!((same.version, &same.digest), (Some(2), &first.digest));
        assert_eq!(rig.modules.configure_if_changed("m", &named("two")).unwrap().version, Some(2));
    }
    let kept = |rig: &Rig| rig.modules.versions("m").unwrap().iter().map(|it| it.version).collect::<Vec<_>>();
    assert_eq!((kept(&rig), rig.modules.generation()), (vec![1, 2], before));
    // Each of these says something else.
    deploy_if_changed(&rig, "echoes-version", 2, Refuse);
    deploy_if_changed(&rig, "echoes-version", 2, Bypass);
    deploy_if_changed(&rig, "fickle", 2, Bypass);
    assert_eq!(kept(&rig), [1, 2, 3, 4, 5]);
    rig.modules.set_enabled("m", false).unwrap();
    assert!(deploy_if_changed(&rig, "fickle", 2, Bypass).switched_on);
    assert_eq!(rig.deploy("m", "fickle", 2, Bypass, &named("two")).version, Some(7));
    assert_eq!(rig.modules.configure("m", &named("two")).unwrap().version, Some(8));
}

/// Unless it is so already, with the configuration `two`.
fn deploy_if_changed(rig: &Rig, guest: &str, order: i32, on_failure: OnFailure) -> host::wasm::Deployed {
    let (order, on_failure, config) = (Some(order), Some(on_failure), Some(named("two")));
    let options = DeployOptions { order, on_failure, config, if_changed: true, ..DeployOptions::default() };
    rig.modules.deploy("m", &crate::harness::guests::component(guest), options).unwrap()
}

/// Rows of an older broker do not say how a version stood: as the module did.
#[test]
fn a_version_of_an_older_broker_stands_as_its_module_did() {
    let directory = tempfile::tempdir().unwrap();
    let started = start(directory.path(), |_| ());
    for version in ["one", "two"] {
        started.0.deploy("m", "echoes-version", 7, Bypass, &named(version));
    }
    let older: fn(&mut Kept) = |kept| {
        kept.versions.iter_mut().for_each(|version| version.standing = None);
        kept.modules.iter_mut().for_each(|record| record.former = None);
    };
    let started = again(directory.path(), started, older);
    let rig = &started.0;
    assert_eq!(stands(rig), (Some(2), 7, Bypass));
    let shown: Vec<_> = rig.modules.versions("m").unwrap().iter().map(|it| (it.order, it.on_failure)).collect();
    assert_eq!(shown, [(7, Bypass), (7, Bypass)]);
    rig.modules.rollback("m", None).unwrap();
    assert_eq!(stands(rig), (Some(1), 7, Bypass));
}

#[test]
fn what_is_passed_over_on_the_way_back_is_named() {
    let mut rig = Rig::new();
    rig.deploy("m", "fickle", 1, Refuse, &named("one"));
    rig.deploy("m", "fickle", 1, Refuse, &failing("two"));
    (0..5).for_each(|_| drop(rig.routed("bad")));
    rig.deploy("m", "fickle", 1, Refuse, &named("three"));
    let back = rig.modules.rollback("m", None).unwrap();
    assert_eq!((back.version, &*back.skipped), (Some(1), &[2][..]));
    let named = rig.modules.rollback("m", Some(3)).unwrap();
    assert!(named.skipped.is_empty());
}

/// `from` is what the caller saw: the same request twice is one step.
#[test]
fn a_rollback_that_is_asked_for_twice_goes_back_once() {
    let rig = Rig::new();
    for version in ["one", "two", "three"] {
        rig.deploy("m", "echoes-version", 1, Refuse, &named(version));
    }
    let once = Rollback { from: Some(3), ..Rollback::default() };
    assert_eq!(rig.modules.rollback("m", once).unwrap().version, Some(2));
    let twice = rig.modules.rollback("m", once);
    assert_eq!(twice, Err(DeployError::NotFrom { name: "m".into(), active: Some(2) }));
    assert_eq!(stands(&rig).0, Some(2));
}

/// Who says what is gone back from means one step, also where that is a trial.
#[test]
fn a_rollback_from_a_version_ends_the_trial_of_that_version_only() {
    let rig = Rig::new();
    for version in ["one", "two"] {
        rig.deploy("m", "echoes-version", 1, Refuse, &named(version));
    }
    rig.canary("m", "echoes-version", 10, &named("tried"));
    let from = |from| rig.modules.rollback("m", Rollback { from: Some(from), ..Rollback::default() });
    let stands = || rig.modules.show("m").map(|info| (info.version, info.canary.map(|it| it.version))).unwrap();
    for _ in 0..2 {
        assert_eq!(from(2), Err(DeployError::OnTrial { name: "m".into(), canary: 3 }));
    }
    assert_eq!(stands(), (Some(2), Some(3)));
    assert_eq!(from(3).unwrap().canary_ended, Some(3));
    assert_eq!(from(3), Err(DeployError::NotFrom { name: "m".into(), active: Some(2) }));
    assert_eq!(stands(), (Some(2), None));
    assert_eq!(from(2).unwrap().version, Some(1));
}

#[test]
fn who_ends_a_trial_that_is_over_changes_nothing() {
    let rig = Rig::new();
    for version in ["one", "two"] {
        rig.deploy("m", "echoes-version", 1, Refuse, &named(version));
    }
    let end = Rollback { canary: true, ..Rollback::default() };
    assert_eq!(rig.modules.rollback("m", end), Err(DeployError::NoCanary("m".into())));
    rig.canary("m", "echoes-version", 10, &named("tried"));
    let ended = rig.modules.rollback("m", end).unwrap();
    assert_eq!((ended.version, ended.canary_ended), (Some(2), Some(3)));
    assert_eq!(rig.modules.rollback("m", end), Err(DeployError::NoCanary("m".into())));
    assert_eq!(stands(&rig).0, Some(2));
}

#[test]
fn a_trial_that_nobody_ended_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let started = start(directory.path(), |_| ());
    started.0.deploy("m", "fickle", 1, Refuse, &named("one"));
    started.0.canary("m", "fickle", 10, &named("two"));
    let problem = |rig: &Rig| rig.modules.show("m").unwrap().problem.unwrap_or_default();
    assert_eq!(problem(&started.0), "");
    let mut started = again(directory.path(), started, |_| ());
    let rig = &mut started.0;
    let says = "the canary, version 2 for 10 of 100 clients, is over: a restart of the broker has ended it";
    assert_eq!((problem(rig).as_str(), stands(rig).0), (says, Some(1)));
    let mut started = again(directory.path(), started, |_| ());
    let rig = &mut started.0;
    assert_eq!(problem(rig), "", "it was told");
    rig.canary("m", "fickle", 100, &failing("three"));
    assert_eq!(problem(rig), "");
    (0..5).for_each(|_| drop(rig.routed("bad")));
    let said = problem(rig);
    assert!(said.starts_with("the canary, version 3, is over: it was put into quarantine: 5 failures"), "{said}");
    rig.modules.configure("m", &named("four")).unwrap();
    let started = again(directory.path(), started, |_| ());
    assert_eq!(problem(&started.0), "");
}

/// By the tag that it was shown with, or by there being none.
#[test]
fn a_module_is_changed_by_who_knows_what_it_is() {
    let rig = Rig::new();
    let component = crate::harness::guests::component("echoes-version");
    let deploy = |modules: &host::wasm::Modules, version: &str| {
        let options = DeployOptions { config: Some(named(version)), ..Default::default() };
        modules.deploy("m", &component, options)
    };
    let none = || rig.modules.expecting(Expected { is_not: Some(Tags::Any), ..Default::default() });
    let seen = |tag: &str| rig.modules.expecting(Expected { is: Some(Tags::These(vec![tag.into()])), is_not: None });
    assert_eq!(deploy(&seen("x"), "one"), Err(DeployError::NotThere("m".into())));
    let first = deploy(&none(), "one").unwrap().tag.expect("it is there");
    let changed = Err(DeployError::Changed { name: "m".into(), active: Some(1) });
    assert_eq!(deploy(&none(), "one"), changed);
    assert_eq!(rig.modules.show("m").unwrap().tag, first);
    let second = seen(&first).configure("m", &named("two")).unwrap().tag.unwrap();
    let late = seen(&first);
    let changed = Err(DeployError::Changed { name: "m".into(), active: Some(2) });
    for refused in [
        deploy(&late, "three"),
        late.configure("m", &named("three")),
        late.rollback("m", None),
        late.confirm("m"),
        late.widen("m", 5),
        late.set_enabled("m", false),
        late.set_enabled("m", true),
        late.remove("m"),
    ] {
        assert_eq!(refused, changed);
    }
    let back = seen(&second).rollback("m", None).unwrap();
    assert_eq!(back.version, Some(1));
    seen(&back.tag.unwrap()).remove("m").unwrap();
}

/// RFC 9110, 8.8.1: who makes the same version active by another way makes another module of it: it goes back elsewhere.
#[test]
fn the_tag_of_a_module_stands_for_what_it_goes_back_to_too() {
    let directory = tempfile::tempdir().unwrap();
    let started = start(directory.path(), |_| ());
    let rig = &started.0;
    let tag = |rig: &Rig| rig.modules.show("m").unwrap().tag;
    rig.deploy("m", "echoes-version", 1, Refuse, &named("one"));
    rig.deploy("m", "echoes-version", 1, Refuse, &named("two"));
    let seen = tag(rig);
    rig.modules.rollback("m", None).unwrap();
    rig.deploy("m", "echoes-version", 1, Refuse, &named("three"));
    assert_eq!(rig.modules.rollback("m", Some(2)).unwrap().version, Some(2));
    assert_ne!(tag(rig), seen);
    let late = rig.modules.expecting(Expected { is: Some(Tags::These(vec![seen])), is_not: None });
    assert_eq!(late.rollback("m", None), Err(DeployError::Changed { name: "m".into(), active: Some(2) }));
    let before = tag(rig);
    let started = again(directory.path(), started, |_| ());
    let rig = &started.0;
    assert_eq!(tag(rig), before, "a restart changes nothing");
    let made = |rig: &Rig| {
        rig.modules.remove("m").unwrap();
        rig.pass_milliseconds(1);
        rig.deploy("m", "echoes-version", 1, Refuse, &named("one")).tag
    };
    assert_ne!(made(rig), made(rig), "one that is removed and deployed anew is another one");
}

/// What waits behind a deployed version is gone back to.
#[test]
fn the_tag_of_a_module_stands_for_what_the_configuration_says_of_it() {
    let bound = |prefix| super::versions::binding(prefix);
    let directory = tempfile::tempdir().unwrap();
    let (rig, _store) = start_with(directory.path(), vec![bound("a/")], |_| ()).unwrap();
    rig.modules.configure("renames", r#"{"prefix": "by-hand/"}"#).unwrap();
    let tag = || rig.modules.show("renames").unwrap().tag;
    let seen = tag();
    rig.modules.rebind(bound("a/"), false).unwrap();
    assert_eq!(tag(), seen);
    rig.modules.rebind(bound("b/"), false).unwrap();
    assert_ne!(tag(), seen);
}

/// The one who goes back to it may not have come from it: the configuration had it off when the other one was made.
#[test]
fn behind_what_the_configuration_says_there_is_nothing_older() {
    let directory = tempfile::tempdir().unwrap();
    let bound = |enabled| Binding { enabled, ..super::versions::binding("file/") };
    let (rig, _store) = start_with(directory.path(), vec![bound(false)], |_| ()).unwrap();
    rig.modules.configure("renames", r#"{"prefix": "api/"}"#).unwrap();
    rig.modules.rebind(bound(true), true).unwrap();
    assert_eq!(rig.modules.rollback("renames", None).unwrap().version, Some(0));
    assert_eq!(rig.modules.rollback("renames", None), Err(DeployError::NothingOlder("renames".into())));
}

#[test]
fn where_a_module_is_off_going_back_says_so() {
    let rig = Rig::new();
    for version in ["one", "two"] {
        rig.deploy("m", "echoes-version", 1, Refuse, &named(version));
    }
    rig.modules.set_enabled("m", false).unwrap();
    let refused = rig.modules.rollback("m", None).unwrap_err().to_string();
    assert!(refused.contains("`m` is switched off"), "{refused}");
    assert_eq!(rig.modules.rollback("m", Some(1)).unwrap().version, Some(1));
}
