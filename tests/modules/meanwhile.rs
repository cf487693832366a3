//! While a component is compiled, which may take a minute: everything else about modules goes on, and what was done meanwhile holds.

use super::rig::{Rig, client, limits, message, property};
use crate::harness::guests::component;
use OnFailure::Refuse;
use host::wasm::{DeployError, DeployOptions, Deployed, Limits, ModuleState, Modules, OnFailure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const ONE: &str = r#"{"version": "one"}"#;
const TWO: &str = r#"{"version": "two"}"#;

/// A compiler that begins, tells so, and is not done before it hears that it may be. Whoever waits for it in vain sees it killed
/// after 60 s.
struct Slow {
    rig: Rig,
    folder: tempfile::TempDir,
}

impl Slow {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let run = |program: &str, arguments: &[&str]| {
            assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
        };
        for name in ["began", "may-end"] {
            run("mkfifo", &[path(name).to_str().unwrap()]);
        }
        let steps = format!("echo x > {}; read x < {}", path("began").display(), path("may-end").display());
        let script = path("compiler").display().to_string();
        // Written by another process: this one, whose threads start others, must not have it open.
        run("sh", &["-c", &format!("printf '#!/bin/sh\n{steps}\n' > {script} && chmod +x {script}")]);
        Self { rig: Rig::with(Limits { compile_seconds_max: 10, ..limits() }), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on components that are deployed are compiled by it.
    fn begin(self) -> Self {
        self.rig.modules.set_compiler(self.path("compiler"));
        self
    }

    /// Begins to deploy, without waiting for anything.
    fn deploy(&self, name: &str, bytes: Vec<u8>, config: Option<&str>) -> JoinHandle<Result<Deployed, DeployError>> {
        let (modules, name): (Modules, _) = (self.rig.modules.clone(), name.to_owned());
        let options = DeployOptions { config: config.map(str::to_owned), ..DeployOptions::default() };
        thread::spawn(move || modules.deploy(&name, &bytes, options))
    }

    fn has_begun(&self) {
        fs::read(self.path("began")).unwrap();
    }

    fn may_end(&self) {
        fs::write(self.path("may-end"), "x\n").unwrap();
    }

    fn version(&mut self) -> Option<String> {
        property(&self.rig.route("t", b""), "version")
    }
}

/// The same component with other bytes, and another digest.
fn another(guest: &str, mark: u8) -> Vec<u8> {
    [component(guest), vec![0, 3, 1, b'x', mark]].concat()
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(50), "{what}");
        thread::yield_now();
    }
}

#[test]
fn modules_are_changed_by_hand_while_a_component_is_compiled() {
    let slow = Slow::new();
    slow.rig.deploy("m", "router", 1, Refuse, "{}");
    slow.rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    slow.rig.deploy("other", "router", 1, Refuse, "{}");
    let mut slow = slow.begin();
    let deployment = slow.deploy("slow", another("echoes-version", 1), Some(TWO));
    slow.has_begun();
    let modules = slow.rig.modules.clone();
    assert_eq!(modules.configure("m", TWO).unwrap().version, Some(3));
    assert_eq!(slow.version().as_deref(), Some("two"));
    // Of a component that is not ready any more: it is compiled beside the other.
    modules.configure("m", ONE).unwrap();
    assert_eq!(modules.rollback("m", Some(1)).unwrap().version, Some(1));
    assert_eq!(slow.version(), None);
    assert_eq!(modules.set_enabled("m", false).unwrap().version, None);
    assert_eq!(modules.set_enabled("m", true).unwrap().version, Some(1));
    modules.set_grants(Default::default());
    modules.remove("other").unwrap();
    assert!(modules.show("slow").is_err() && modules.show("other").is_err());
    slow.may_end();
    assert_eq!(deployment.join().unwrap().unwrap().version, Some(1));
    assert_eq!(slow.version().as_deref(), Some("two"));
}

/// Not for ever, and with a word: as long as others come first each time, its version is rehearsed anew.
#[test]
fn a_change_that_others_overtake_again_and_again_gives_up() {
    const QUICK: &str = r#"{"mode": "calm"}"#;
    const LONG: &str = r#"{"mode": "configure-waits"}"#;
    let rig = Rig::with(Limits { configure_milliseconds_max: 20_000, ..limits() });
    rig.deploy("m", "hostile", 1, Refuse, QUICK);
    let is_over = AtomicBool::new(false);
    let overtaken = |answer: Result<Deployed, DeployError>| {
        let error = answer.expect_err("others come first");
        assert!(error.is_temporary() && error.to_string().ends_with("nothing was changed; try again"), "{error}");
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                rig.modules.configure("m", QUICK).unwrap();
            }
        });
        let configured = rig.modules.configure("m", LONG);
        let options = DeployOptions { config: Some(LONG.to_owned()), ..DeployOptions::default() };
        let deployed = rig.modules.deploy("m", &component("hostile"), options);
        is_over.store(true, Ordering::Relaxed);
        overtaken(configured);
        overtaken(deployed);
    });
    assert_eq!(rig.modules.show("m").unwrap().config.trim(), QUICK);
}

#[test]
fn a_failing_version_is_taken_back_while_a_component_is_compiled() {
    let slow = Slow::new();
    slow.rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    for version in ["two", "three"] {
        slow.rig.deploy("m", "fickle", 1, Refuse, &format!(r#"{{"version": "{version}", "fails": ["bad"]}}"#));
    }
    let mut slow = slow.begin();
    let deployment = slow.deploy("slow", another("router", 1), None);
    slow.has_begun();
    (0..5).for_each(|_| assert_eq!(slow.rig.routed("bad"), "refuse Unavailable"));
    assert_eq!(slow.rig.modules.show("m").unwrap().version, Some(2), "the warm one, at once");
    (0..5).for_each(|_| assert_eq!(slow.rig.routed("bad"), "refuse Unavailable"));
    until("the one that has to be compiled", || slow.rig.modules.show("m").unwrap().version == Some(1));
    assert_eq!(slow.version().as_deref(), Some("one"));
    let info = slow.rig.modules.show("m").unwrap();
    assert_eq!((info.state, &*info.quarantined), (ModuleState::Active, &[2, 3][..]));
    slow.may_end();
    deployment.join().unwrap().unwrap();
}

/// Whoever switches off or removes wants that more than who deployed before.
#[test]
fn a_module_that_is_switched_off_or_removed_while_its_component_is_compiled_stays_so() {
    let slow = Slow::new();
    slow.rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    let mut slow = slow.begin();
    let deployment = slow.deploy("m", another("echoes-version", 1), Some(TWO));
    slow.has_begun();
    slow.rig.modules.set_enabled("m", false).unwrap();
    slow.may_end();
    assert_eq!(deployment.join().unwrap(), Err(DeployError::SwitchedOff("m".into())));
    let info = slow.rig.modules.show("m").unwrap();
    assert_eq!((info.state, slow.rig.modules.versions("m").unwrap().len()), (ModuleState::Off, 1));
    // It was off when this one begins: it is switched on, and the answer says so.
    for (mark, removed) in [(2, false), (3, true)] {
        let deployment = slow.deploy("m", another("echoes-version", mark), Some(TWO));
        slow.has_begun();
        if removed {
            slow.rig.modules.remove("m").unwrap();
        }
        slow.may_end();
        let done = deployment.join().unwrap();
        match removed {
            false => assert!(done.unwrap().switched_on),
            true => assert_eq!(done, Err(DeployError::Removed("m".into()))),
        }
    }
    assert!(slow.rig.modules.show("m").is_err());
    assert_eq!(slow.version(), None);
}

#[test]
fn what_is_configured_while_a_component_is_compiled_is_kept() {
    let slow = Slow::new();
    slow.rig.deploy("m", "echoes-version", 7, Refuse, ONE);
    let mut slow = slow.begin();
    let deployment = slow.deploy("m", another("echoes-version", 1), None);
    slow.has_begun();
    assert_eq!(slow.rig.modules.configure("m", TWO).unwrap().version, Some(2));
    slow.may_end();
    let done = deployment.join().unwrap().unwrap();
    assert_eq!((done.version, slow.version().as_deref()), (Some(3), Some("two")));
    assert_eq!(slow.rig.modules.show("m").unwrap().order, 7);
}

#[test]
fn one_component_is_compiled_at_a_time_and_the_next_deployment_comes_after_it() {
    let mut slow = Slow::new().begin();
    let first = slow.deploy("m", another("echoes-version", 1), Some(ONE));
    slow.has_begun();
    let second = slow.deploy("m", another("echoes-version", 2), Some(TWO));
    // The second one would tell that it has begun where nobody listens, and could end first.
    slow.may_end();
    assert_eq!(first.join().unwrap().unwrap().version, Some(1));
    slow.has_begun();
    slow.may_end();
    assert_eq!(second.join().unwrap().unwrap().version, Some(2));
    assert_eq!(slow.version().as_deref(), Some("two"));
}

#[test]
fn messages_pass_while_a_component_is_compiled() {
    let slow = Slow::new();
    slow.rig.deploy("m", "echoes-version", 1, Refuse, ONE);
    let mut slow = slow.begin();
    let deployment = slow.deploy("slow", another("router", 1), None);
    slow.has_begun();
    let chain = slow.rig.chain();
    let verdict = chain.route(&mut slow.rig.guests, &client(), message("t", b""));
    assert_eq!(property(&verdict, "version").as_deref(), Some("one"));
    slow.may_end();
    deployment.join().unwrap().unwrap();
}
