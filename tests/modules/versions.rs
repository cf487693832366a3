//! Deploy, configure, go back, remove, restart: always one whole version, and nothing changed by an error.

use super::rig::{Rig, client, limits, message, property};
use crate::harness::guests::component;
use OnFailure::Refuse;
use host::message::Time;
use host::metrics::Metrics;
use host::store::{Durability, Limits as StoreLimits, Store};
use host::wasm::{
    Binding, DeployError, DeployOptions, Kept, Limits, ModuleState, Modules, OnFailure, OpenError, Outcome,
};
use std::path::Path;
use std::sync::Arc;
use std::thread;

const ONE: &str = r#"{"version": "one"}"#;
const TWO: &str = r#"{"version": "two"}"#;

fn version(rig: &mut Rig) -> Option<String> {
    property(&rig.route("t", b""), "version")
}

fn configured(config: &str) -> DeployOptions {
    DeployOptions { config: Some(config.to_owned()), ..DeployOptions::default() }
}

/// It is taken, as hooks may move to another module; who loses one by mistake hears it.
#[test]
fn a_deployment_says_which_hooks_are_not_served_any_more() {
    let rig = Rig::new();
    let first = rig.deploy("m", "guards", 1, Refuse, "{}");
    assert!(first.hooks_gone.is_empty());
    assert_eq!(rig.canary("m", "echoes-version", 100, ONE).hooks_gone, ["access"]);
    assert_eq!(rig.deploy("m", "echoes-version", 1, Refuse, ONE).hooks_gone, ["access"]);
    assert!(rig.deploy("m", "echoes-version", 1, Refuse, TWO).hooks_gone.is_empty());
    assert!(rig.modules.configure("m", ONE).unwrap().hooks_gone.is_empty());
    assert_eq!(rig.deploy("m", "guards", 1, Refuse, "{}").hooks_gone, ["routing"]);
    rig.modules.set_enabled("m", false).unwrap();
    assert!(rig.deploy("m", "echoes-version", 1, Refuse, ONE).hooks_gone.is_empty(), "it served none");
}

#[test]
fn a_refused_deployment_says_why_and_changes_nothing() {
    let mut rig = Rig::with(Limits { configure_milliseconds_max: 100, component_bytes_max: 1 << 20, ..limits() });
    rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    let echo = component("echoes-version");
    let cut = &echo[..echo.len() / 2];
    let core = b"\0asm\x01\0\0\0";
    let empty = b"\0asm\x0d\0\x01\0";
    let digest = DeployOptions { digest: Some("sha256:00".into()), ..DeployOptions::default() };
    let rows: Vec<(&str, Vec<u8>, DeployOptions, &str)> = vec![
        ("m", b"hello".to_vec(), configured(TWO), "not WebAssembly"),
        ("m", Vec::new(), configured(TWO), "not WebAssembly"),
        ("m", core.to_vec(), configured(TWO), "a core module, not a component"),
        ("m", empty.to_vec(), configured(TWO), "it does not export `pliant:broker/lifecycle`"),
        ("m", cut.to_vec(), configured(TWO), "not a valid component"),
        ("m", vec![0; (1 << 20) + 1], configured(TWO), "the component has 1048577 bytes; 1048576 are allowed"),
        ("m", component("lies-about-its-world"), configured(TWO), "it imports `pliant:broker/secrets@0.1.0`"),
        ("m", component("traps-in-configure"), configured("{}"), "it failed in `configure`: trapped"),
        ("m", component("traps-in-configure"), configured(r#"{"forever": true}"#), "it failed in `configure`: stopped"),
        ("m", echo.clone(), configured("{}"), "it refuses its configuration: configuration: missing field `version`"),
        ("m", echo.clone(), configured("{"), "it refuses its configuration: "),
        ("m", echo.clone(), digest, "the component's digest is sha256:"),
        ("", echo.clone(), configured(TWO), "`` is no name for a module"),
        ("../m", echo.clone(), configured(TWO), "`../m` is no name for a module"),
        ("new", b"hello".to_vec(), configured(TWO), "not WebAssembly"),
    ];
    let before = (rig.modules.generation(), rig.modules.versions("m").unwrap().len(), rig.modules.list().len());
    for (name, bytes, options, expected) in rows {
        let error = rig.modules.deploy(name, &bytes, options).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
        let after = (rig.modules.generation(), rig.modules.versions("m").unwrap().len(), rig.modules.list().len());
        assert_eq!(before, after, "{expected}");
        assert_eq!(version(&mut rig).as_deref(), Some("one"));
    }
    assert!(rig.modules.configure("m", "{}").is_err());
    assert_eq!(rig.modules.configure("none", "{}"), Err(DeployError::NoModule("none".into())));
    let missing = DeployError::NoVersion { name: "m".into(), version: 9 };
    assert_eq!(rig.modules.rollback("m", Some(9)), Err(missing));
    assert_eq!(rig.modules.rollback("m", None), Err(DeployError::NothingOlder("m".into())));
    assert_eq!(version(&mut rig).as_deref(), Some("one"));
}

#[test]
fn versions_follow_each_other_and_one_can_go_back() {
    let mut rig = Rig::new();
    let first = rig.deploy("m", "echoes-version", 3, Refuse, ONE);
    assert_eq!((first.version, first.generation), (Some(1), rig.modules.generation()));
    let second = rig.modules.configure("m", TWO).unwrap();
    assert_eq!((second.version, &second.digest), (Some(2), &first.digest));
    assert_eq!(version(&mut rig).as_deref(), Some("two"));
    let third = rig.modules.deploy("m", &component("router"), configured("{}")).unwrap();
    assert_ne!(third.digest, first.digest);
    assert_eq!((rig.modules.show("m").unwrap().order, version(&mut rig)), (3, None));
    assert_eq!(rig.modules.rollback("m", None).unwrap().version, Some(2));
    assert_eq!(version(&mut rig).as_deref(), Some("two"));
    assert_eq!(rig.modules.rollback("m", Some(1)).unwrap().version, Some(1));
    assert_eq!(version(&mut rig).as_deref(), Some("one"));
    assert_eq!(rig.modules.rollback("m", Some(3)).unwrap().version, Some(3));
    // Options that are not given stay: here the configuration.
    rig.modules.rollback("m", Some(2)).unwrap();
    rig.modules
        .deploy("m", &component("echoes-version"), DeployOptions { order: Some(4), ..Default::default() })
        .unwrap();
    assert_eq!(version(&mut rig).as_deref(), Some("two"));
    let active: Vec<_> = rig.modules.versions("m").unwrap().iter().map(|v| (v.version, v.active)).collect();
    assert_eq!(active, [(1, false), (2, false), (3, false), (4, true)]);
}

#[test]
fn only_so_many_versions_are_kept_and_never_without_the_active_one() {
    let mut rig = Rig::with(Limits { versions_kept: 3, ..limits() });
    rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    for n in 2..=6 {
        rig.modules.configure("m", &format!(r#"{{"version": "{n}"}}"#)).unwrap();
        assert_eq!(version(&mut rig), Some(n.to_string()));
    }
    let kept: Vec<_> = rig.modules.versions("m").unwrap().iter().map(|v| v.version).collect();
    assert_eq!(kept, [4, 5, 6]);
    rig.modules.rollback("m", Some(4)).unwrap();
    rig.modules.configure("m", TWO).unwrap();
    let kept: Vec<_> = rig.modules.versions("m").unwrap().iter().map(|v| v.version).collect();
    // Nor without the one to go back to.
    assert_eq!(kept, [4, 6, 7]);
}

#[test]
fn modules_are_switched_off_and_on_and_removed() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    assert_eq!(rig.modules.set_enabled("m", false).unwrap().version, None);
    assert_eq!((version(&mut rig), rig.modules.show("m").unwrap().state), (None, ModuleState::Off));
    assert_eq!(rig.modules.set_enabled("m", true).unwrap().version, Some(1));
    assert_eq!(version(&mut rig).as_deref(), Some("one"));
    rig.modules.remove("m").unwrap();
    assert_eq!(version(&mut rig), None);
    assert!(rig.modules.show("m").is_err());
    // The bundled one was known all the time, and off.
    let names: Vec<_> = rig.modules.list().iter().map(|info| (info.name.to_string(), info.state)).collect();
    assert_eq!(names, [("renames".to_owned(), ModuleState::Off)]);
}

/// Not the newest one, which the operator may have gone back from.
#[test]
fn a_module_that_is_off_is_shown_configured_and_switched_on_as_the_version_that_was_asked_last() {
    let mut rig = Rig::new();
    let first = rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    rig.deploy("m", "router", 1, Refuse, "{}");
    rig.modules.rollback("m", None).unwrap();
    let off = |rig: &Rig| assert!(!rig.modules.set_enabled("m", false).unwrap().switched_on);
    off(&rig);
    let info = rig.modules.show("m").unwrap();
    assert_eq!((info.state, info.version, &*info.config, &info.digest), (ModuleState::Off, None, ONE, &first.digest));
    let on = rig.modules.set_enabled("m", true).unwrap();
    assert_eq!((on.version, on.switched_on), (Some(1), true));
    off(&rig);
    let third = rig.modules.configure("m", TWO).unwrap();
    assert_eq!((third.version, third.digest, third.switched_on), (Some(3), first.digest, true));
    assert_eq!(version(&mut rig).as_deref(), Some("two"));
    assert!(!rig.modules.configure("m", ONE).unwrap().switched_on);
    off(&rig);
    // What is deployed without a configuration has the one that was shown.
    let fifth = rig.modules.deploy("m", &component("echoes-version"), DeployOptions::default()).unwrap();
    assert_eq!((fifth.version, fifth.switched_on, version(&mut rig).as_deref()), (Some(5), true, Some("one")));
    assert!(!rig.deploy("new", "router", 1, Refuse, "{}").switched_on);
}

#[test]
fn a_message_that_began_on_a_chain_ends_on_it() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    let old = rig.chain();
    rig.modules.configure("m", TWO).unwrap();
    let new = rig.chain();
    for (chain, expected) in [(&old, "one"), (&new, "two"), (&old, "one"), (&new, "two")] {
        let verdict = chain.route(&mut rig.guests, &client(), message("t", b""));
        assert_eq!(property(&verdict, "version").as_deref(), Some(expected));
    }
    // The instance of the old version went with the first call on the new chain after it.
    assert_eq!(rig.guests.instances(), 1);
}

#[test]
fn modules_change_while_a_call_is_running() {
    let rig = Rig::with(Limits { call_milliseconds_max: 300, ..limits() });
    rig.deploy("m", "loops-forever", 1, OnFailure::Bypass, "{}");
    let (modules, old) = (rig.modules.clone(), rig.chain());
    let (begins, begun) = std::sync::mpsc::channel();
    let caller = thread::spawn(move || {
        let mut guests = host::wasm::Guests::new(&modules);
        old.route(&mut guests, &client(), message("good", b""));
        begins.send(()).unwrap();
        let verdict = old.route(&mut guests, &client(), message("bad", b""));
        (verdict, guests.failures())
    });
    begun.recv().unwrap();
    rig.modules.remove("m").unwrap();
    assert!(!rig.chain().wants_routing("bad"));
    let (verdict, failures) = caller.join().unwrap();
    assert!(matches!(verdict.outcome, Outcome::Pass(_)));
    assert_eq!(failures, 1);
}

#[test]
fn many_threads_see_one_version_a_message_while_it_is_changed() {
    let rig = Rig::new();
    rig.deploy("a", "echoes-version", 1, Refuse, r#"{"version": "0"}"#);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (modules, stop) = (rig.modules.clone(), stop.clone());
            thread::spawn(move || {
                let mut guests = host::wasm::Guests::new(&modules);
                let mut last = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let verdict = modules.chain().route(&mut guests, &client(), message("t", b""));
                    let seen: u32 = property(&verdict, "version").expect("a version").parse().unwrap();
                    assert!(seen >= last, "{seen} after {last}");
                    last = seen;
                }
                (last, guests.failures())
            })
        })
        .collect();
    for n in 1..=30 {
        rig.modules.configure("a", &format!(r#"{{"version": "{n}"}}"#)).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.join().unwrap().1, 0);
    }
}

/// A broker's modules in a data directory, as at a start.
fn start(directory: &Path, configured: Vec<Binding>) -> Result<(Rig, Store), OpenError> {
    start_with(directory, configured, |_| ())
}

/// The same with what the store kept rewritten.
pub fn start_with(
    directory: &Path,
    configured: Vec<Binding>,
    rewrite: fn(&mut Kept),
) -> Result<(Rig, Store), OpenError> {
    let metrics = Arc::new(Metrics::default());
    let (store, mut loaded) =
        Store::open(directory, &StoreLimits::default(), Durability::Commit, metrics, Time(1_000_000)).unwrap();
    let mut kept = Kept::take(&mut loaded);
    rewrite(&mut kept);
    Rig::open(limits(), store.clone(), kept, configured).map(|rig| (rig, store))
}

pub fn binding(prefix: &str) -> Binding {
    Binding {
        name: "renames".into(),
        component: None,
        order: 10,
        on_failure: Refuse,
        config: format!(r#"{{"prefix": "{prefix}"}}"#),
        enabled: true,
    }
}

pub fn mapped(rig: &mut Rig) -> Option<String> {
    rig.chain().publish_topic(&mut rig.guests, &super::rig::scope(), "x").unwrap()
}

#[test]
fn a_restart_brings_back_versions_configuration_order_and_state() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start(directory.path(), Vec::new()).unwrap();
    rig.deploy("m", "echoes-version", 4, OnFailure::Bypass, ONE);
    rig.modules.configure("m", TWO).unwrap();
    rig.modules.rollback("m", Some(1)).unwrap();
    rig.deploy("counts", "remembers", 5, Refuse, "{}");
    assert_eq!(property(&rig.route("t", b""), "seen").as_deref(), Some("1"));
    rig.deploy("gone", "router", 1, Refuse, "{}");
    rig.modules.remove("gone").unwrap();
    rig.deploy("off", "router", 1, Refuse, "{}");
    rig.modules.configure("off", r#"{"verdict": "discard"}"#).unwrap();
    rig.modules.rollback("off", None).unwrap();
    rig.modules.set_enabled("off", false).unwrap();
    let before: Vec<_> = rig.modules.list().iter().map(|info| (info.name.clone(), info.version, info.order)).collect();
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, _store) = start(directory.path(), Vec::new()).unwrap();
    let after: Vec<_> = rig.modules.list().iter().map(|info| (info.name.clone(), info.version, info.order)).collect();
    assert_eq!(before, after);
    let verdict = rig.route("t", b"");
    assert_eq!(property(&verdict, "version").as_deref(), Some("one"));
    assert_eq!(property(&verdict, "seen").as_deref(), Some("2"));
    assert_eq!(rig.modules.show("m").unwrap().on_failure, OnFailure::Bypass);
    assert_eq!(rig.modules.configure("m", TWO).unwrap().version, Some(3));
    // What was switched off comes back as the version that was asked, not as the newest.
    assert_eq!(rig.modules.set_enabled("off", true).unwrap().version, Some(1));
}

#[test]
fn what_was_deployed_wins_over_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start(directory.path(), vec![binding("file/")]).unwrap();
    assert_eq!(mapped(&mut rig).as_deref(), Some("file/x"));
    assert_eq!(rig.modules.show("renames").unwrap().version, Some(0));
    assert_eq!(rig.modules.configure("renames", r#"{"prefix": "api/"}"#).unwrap().version, Some(1));
    assert_eq!(mapped(&mut rig).as_deref(), Some("api/x"));
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, store) = start(directory.path(), vec![binding("file2/")]).unwrap();
    assert_eq!(mapped(&mut rig).as_deref(), Some("api/x"));
    assert_eq!(rig.modules.rollback("renames", Some(0)).unwrap().version, Some(0));
    assert_eq!(mapped(&mut rig).as_deref(), Some("file2/x"));
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, _store) = start(directory.path(), vec![binding("file3/")]).unwrap();
    assert_eq!(mapped(&mut rig).as_deref(), Some("file3/x"));
}

#[test]
fn what_the_configuration_switches_on_again_is_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start(directory.path(), vec![binding("file/")]).unwrap();
    rig.modules.set_enabled("renames", false).unwrap();
    assert_eq!(rig.modules.rebind(binding("again/"), true).unwrap().version, Some(0));
    assert_eq!(mapped(&mut rig).as_deref(), Some("again/x"));
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, _store) = start(directory.path(), vec![binding("again/")]).unwrap();
    assert_eq!(mapped(&mut rig).as_deref(), Some("again/x"));
}

#[test]
fn what_was_switched_by_hand_stays_so_until_the_configuration_switches_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, _store) = start(directory.path(), vec![binding("file/")]).unwrap();
    rig.modules.set_enabled("renames", false).unwrap();
    assert_eq!(rig.modules.rebind(Binding { order: 3, ..binding("again/") }, false).unwrap().version, None);
    assert_eq!(mapped(&mut rig), None);
    rig.modules.set_enabled("renames", true).unwrap();
    assert_eq!((mapped(&mut rig).as_deref(), rig.modules.show("renames").unwrap().order), (Some("again/x"), 3));
    // Likewise on, where the configuration has it off.
    let off = |prefix: &str| Binding { enabled: false, ..binding(prefix) };
    assert_eq!(rig.modules.rebind(off("off/"), true).unwrap().version, None);
    rig.modules.set_enabled("renames", true).unwrap();
    assert_eq!(rig.modules.rebind(off("on/"), false).unwrap().version, Some(0));
    assert_eq!(mapped(&mut rig).as_deref(), Some("on/x"));
}

/// Without rules it would deny everything to everybody.
#[test]
fn back_to_what_the_configuration_has_off_is_off() {
    let directory = tempfile::tempdir().unwrap();
    let off = || Binding { enabled: false, order: 7, ..binding("file/") };
    let (mut rig, store) = start(directory.path(), vec![off()]).unwrap();
    rig.deploy("renames", "renames", 3, OnFailure::Bypass, r#"{"prefix": "api/"}"#);
    assert_eq!(mapped(&mut rig).as_deref(), Some("api/x"));
    let unnamed = rig.modules.rollback("renames", None);
    assert_eq!(unnamed, Err(DeployError::ToConfiguration("renames".into())));
    let back = rig.modules.rollback("renames", Some(0)).unwrap();
    assert_eq!((back.version, back.off_as_configured, mapped(&mut rig)), (None, true, None));
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, _store) = start(directory.path(), vec![off()]).unwrap();
    assert_eq!(mapped(&mut rig), None);
    // By hand it is what it was taken back to.
    assert_eq!(rig.modules.set_enabled("renames", true).unwrap().version, Some(0));
    assert_eq!((mapped(&mut rig).as_deref(), rig.modules.show("renames").unwrap().order), (Some("file/x"), 7));
    let newer = rig.modules.rollback("renames", Some(1)).unwrap();
    assert_eq!((newer.version, newer.off_as_configured), (Some(1), false));
}

/// Order and policy that were said with a deployment go with it.
#[test]
fn the_version_of_the_configuration_is_bound_as_that_says() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start(directory.path(), vec![binding("file/")]).unwrap();
    let bound = |rig: &Rig| {
        let info = rig.modules.show("renames").unwrap();
        (info.order, info.on_failure)
    };
    rig.deploy("renames", "renames", 3, OnFailure::Bypass, r#"{"prefix": "api/"}"#);
    assert_eq!(bound(&rig), (3, OnFailure::Bypass));
    rig.modules.rebind(Binding { order: 7, ..binding("again/") }, false).unwrap();
    assert_eq!(bound(&rig), (3, OnFailure::Bypass), "it waits");
    rig.modules.rollback("renames", Some(0)).unwrap();
    assert_eq!(bound(&rig), (7, Refuse));
    rig.modules.set_enabled("renames", false).unwrap();
    drop(rig);
    assert!(store.close());
    drop(store);
    let (rig, _store) = start(directory.path(), vec![Binding { order: 8, ..binding("again/") }]).unwrap();
    rig.modules.set_enabled("renames", true).unwrap();
    assert_eq!(bound(&rig), (8, Refuse));
}

/// As after a start.
#[test]
fn what_is_off_is_shown_as_the_version_that_would_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start(directory.path(), vec![binding("file/")]).unwrap();
    let bound = |rig: &Rig| {
        let info = rig.modules.show("renames").unwrap();
        (info.version, info.order, info.on_failure)
    };
    rig.deploy("renames", "renames", 3, OnFailure::Bypass, r#"{"prefix": "api/"}"#);
    rig.modules.set_enabled("renames", false).unwrap();
    let again = || Binding { order: 7, ..binding("again/") };
    rig.modules.rebind(again(), false).unwrap();
    assert_eq!(bound(&rig), (None, 3, OnFailure::Bypass));
    drop((rig, store));
    let (rig, _store) = start(directory.path(), vec![again()]).unwrap();
    assert_eq!(bound(&rig), (None, 3, OnFailure::Bypass));
}

/// Refused means that nothing changed.
#[test]
fn what_a_version_wrote_while_it_was_tried_is_forgotten() {
    let mut rig = Rig::new();
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "one"}"#);
    let kept = |rig: &Rig| rig.modules.show("m").unwrap().state_bytes;
    assert!(rig.modules.configure("m", r#"{"version": "two", "last_start": 0}"#).is_err());
    assert_eq!(kept(&rig), 0);
    rig.modules.configure("m", r#"{"version": "two", "last_start": 9}"#).unwrap();
    assert_eq!(version(&mut rig).as_deref(), Some("two"));
    assert_eq!(kept(&rig), "starts".len() + 1, "of those that are to be asked");
}

/// Whoever has the name next does not find it.
#[test]
fn what_a_refused_module_wrote_while_it_was_configured_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start(directory.path(), Vec::new()).unwrap();
    let options = DeployOptions { config: Some(r#"{"mode": "configure-writes"}"#.to_owned()), ..Default::default() };
    rig.modules.deploy("m", &component("hostile"), options).expect_err("it refuses");
    drop(rig);
    assert!(store.close());
    drop(store);
    let metrics = Arc::new(Metrics::default());
    let (_store, mut loaded) =
        Store::open(directory.path(), &StoreLimits::default(), Durability::Commit, metrics, Time(0)).unwrap();
    assert_eq!(Kept::take(&mut loaded).state.len(), 0);
}

#[test]
fn a_bundled_module_is_not_removed_but_switched_off() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rig, store) = start(directory.path(), vec![binding("file/")]).unwrap();
    rig.modules.configure("renames", r#"{"prefix": "api/"}"#).unwrap();
    for (back_to, expected) in [(None, "api/x"), (Some(0), "file/x"), (Some(1), "api/x")] {
        if let Some(number) = back_to {
            rig.modules.rollback("renames", Some(number)).unwrap();
        }
        assert_eq!(rig.modules.remove("renames").unwrap().version, None);
        assert_eq!(mapped(&mut rig), None);
        rig.modules.set_enabled("renames", true).unwrap();
        assert_eq!(mapped(&mut rig).as_deref(), Some(expected));
    }
    rig.modules.remove("renames").unwrap();
    drop(rig);
    assert!(store.close());
    drop(store);
    let (mut rig, _store) = start(directory.path(), vec![binding("file/")]).unwrap();
    assert_eq!(mapped(&mut rig), None);
    assert_eq!(rig.modules.set_enabled("renames", true).unwrap().version, Some(1));
    assert_eq!(mapped(&mut rig).as_deref(), Some("api/x"));
}

#[test]
fn a_configured_module_that_does_not_run_is_an_error_at_start() {
    for (wrong, expected) in [
        (Binding { config: "{}".into(), ..binding("") }, "module renames: it refuses its configuration"),
        (Binding { component: Some(b"x".as_slice().into()), ..binding("") }, "module renames: not WebAssembly"),
        (Binding { name: "unknown".into(), ..binding("") }, "module unknown: there is no module `unknown`"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let error = start(directory.path(), vec![wrong]).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Rewrites what the store kept, as a newer broker with a narrower contract would find it.
fn spoil(kept: &mut Kept) {
    for version in &mut kept.versions {
        let mut bytes = version.component.to_vec();
        bytes.truncate(bytes.len() - 10);
        version.component = bytes.into();
    }
}

#[test]
fn what_a_deployed_module_that_does_not_run_any_more_was_asked_about_follows_its_policy_and_access_stays_closed() {
    for (guest, policy, closed, routed) in [
        ("router", Refuse, false, "refuse Unavailable"),
        ("router", OnFailure::Bypass, false, "pass t"),
        ("guards", Refuse, true, "pass t"),
        ("guards", OnFailure::Bypass, true, "pass t"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (rig, store) = start(directory.path(), Vec::new()).unwrap();
        rig.deploy("m", guest, 1, policy, "{}");
        drop(rig);
        assert!(store.close());
        drop(store);
        let metrics = Arc::new(Metrics::default());
        let (store, mut loaded) =
            Store::open(directory.path(), &StoreLimits::default(), Durability::Commit, metrics, Time(0)).unwrap();
        let mut kept = Kept::take(&mut loaded);
        spoil(&mut kept);
        let mut rig = Rig::open(limits(), store, kept, Vec::new()).unwrap();
        let info = rig.modules.show("m").unwrap();
        assert_eq!(info.state, ModuleState::Broken);
        assert!(info.problem.unwrap().starts_with("not a valid component"));
        let says =
            (routed != "pass t" || closed).then(|| ("m".into(), if closed { "access" } else { "routing" }.to_owned()));
        assert_eq!(rig.modules.closed_by(), says, "{guest} {policy:?}");
        let chain = rig.chain();
        assert_eq!(chain.wants_access(), closed);
        let answer = chain.authorize(&mut rig.guests, &client(), host::wasm::Action::Subscribe, "a");
        assert_eq!(answer, closed.then_some(false));
        assert_eq!(rig.routed("t"), routed, "{guest} {policy:?}");
        // A fresh deployment repairs it.
        rig.deploy("m", "router", 1, Refuse, "{}");
        assert!(!rig.chain().wants_access());
        assert_eq!(rig.modules.closed_by(), None);
    }
}

/// What it might decide over is not known any more.
#[test]
fn a_deployed_module_whose_bytes_are_gone_keeps_access_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start(directory.path(), Vec::new()).unwrap();
    rig.deploy("m", "guards", 1, Refuse, "{}");
    drop(rig);
    assert!(store.close());
    drop(store);
    let metrics = Arc::new(Metrics::default());
    let (store, mut loaded) =
        Store::open(directory.path(), &StoreLimits::default(), Durability::Commit, metrics, Time(0)).unwrap();
    let mut kept = Kept::take(&mut loaded);
    kept.versions.clear();
    let rig = Rig::open(limits(), store, kept, Vec::new()).unwrap();
    assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Broken);
    assert!(rig.chain().wants_access());
    rig.deploy("m", "router", 1, Refuse, "{}");
    assert!(!rig.chain().wants_access());
}

#[test]
fn modules_are_counted() {
    let rig = Rig::with(Limits { modules_max: 2, ..limits() });
    rig.deploy("a", "router", 1, Refuse, "{}");
    let modules: &Modules = &rig.modules;
    assert_eq!(modules.deploy("b", &component("router"), configured("{}")), Err(DeployError::TooMany(2)));
}

/// What `wit/README.md` promises: an older version of the contract with the same middle number.
#[test]
fn a_module_built_for_an_older_minor_version_runs() {
    let mut rig = Rig::new();
    rig.deploy("old", "built-for-0-1-0", 1, Refuse, "{}");
    assert_eq!(property(&rig.route("t", b"abc"), "old").as_deref(), Some("3 bytes at 1000000"));
    let info = rig.modules.show("old").unwrap();
    assert_eq!((&*info.description, &*info.hooks), ("built for 0.1.0", &["routing", "events"][..]));
    assert_eq!(rig.chain().wants_events(), host::wasm::EventKinds::ALL);
}

/// Another version of the contract is named, whatever of it the component asks for.
#[test]
fn a_component_for_another_contract_says_which_and_what_to_do() {
    let rig = Rig::new();
    let version = |component: Vec<u8>, other: &str| {
        let ours = format!("@{}", host::wasm::CONTRACT);
        assert_eq!(ours.len(), other.len());
        let mut bytes = component;
        let last = bytes.len() - ours.len();
        for at in 0..=last {
            let part = &mut bytes[at..at + ours.len()];
            if *part == *ours.as_bytes() {
                part.copy_from_slice(other.as_bytes());
            }
        }
        bytes
    };
    for (other, says) in [
        ("@0.2.0", "built for version 0.2 of the contract; this broker runs 0.1: take its wit/ "),
        ("@1.1.1", "built for version 1.1 of the contract; this broker runs 0.1: take its wit/ "),
    ] {
        for guest in ["echoes-version", "guards", "beside"] {
            let error = rig.modules.deploy("m", &version(component(guest), other), configured(ONE)).unwrap_err();
            assert!(error.to_string().starts_with(says), "{guest}: {error}");
        }
    }
    // A newer one of the same track that asks for nothing new runs.
    let newer = version(component("echoes-version"), "@0.1.9");
    assert_eq!(rig.modules.deploy("m", &newer, configured(ONE)).unwrap().version, Some(1));
}

/// There is no log to look at of a module that is not there.
#[test]
fn what_a_module_said_before_it_trapped_in_configure_is_told() {
    let rig = Rig::new();
    let error = rig.modules.deploy("m", &component("traps-in-configure"), configured("{}")).unwrap_err().to_string();
    assert!(error.starts_with("it failed in `configure`: trapped: "), "{error}");
    let said = error.split_once("; it said: ").unwrap_or_else(|| panic!("{error}")).1;
    assert!(said.contains("panicked at ") && said.contains("told to trap"), "{error}");
    assert!(rig.modules.logs("m").is_err());
}
