//! Versions that are not signed as they have to be now.

use super::rig::Rig;
use super::versions::start_with;
use crate::harness::guests;
use host::wasm::{DeployError, DeployOptions, Kept, ModuleState, Signers, key_pair, sign};

const SECRET: [u8; 32] = [3; 32];

fn required(kept: &mut Kept) {
    kept.signers = Signers::read(&key_pair(SECRET).1, true).unwrap();
}

fn required_of_another(kept: &mut Kept) {
    kept.signers = Signers::read(&key_pair([4; 32]).1, true).unwrap();
}

/// Known, not required.
fn known(kept: &mut Kept) {
    kept.signers = Signers::read(&key_pair(SECRET).1, false).unwrap();
}

fn deploy(rig: &Rig, guest: &str, is_signed: bool) {
    let component = guests::component(guest);
    let signature = is_signed.then(|| sign(&key_pair(SECRET).0, &component).unwrap());
    rig.modules.deploy("m", &component, DeployOptions { signature, ..DeployOptions::default() }).unwrap();
}

fn refused(outcome: Result<host::wasm::Deployed, DeployError>) -> DeployError {
    outcome.expect_err("a refusal")
}

/// What nobody has signed comes back neither by a start nor by hand, and what it decided over is closed.
#[test]
fn a_version_that_is_not_signed_is_not_put_to_work_where_signatures_are_required() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start_with(directory.path(), Vec::new(), |_| ()).unwrap();
    deploy(&rig, "router", false);
    drop((rig, store));
    let (rig, store) = start_with(directory.path(), Vec::new(), required).unwrap();
    let shown = rig.modules.show("m").unwrap();
    assert_eq!(shown.state, ModuleState::Broken);
    assert!(shown.problem.is_some_and(|why| why.contains("not signed")));
    assert!(rig.modules.closed_by().is_some_and(|(module, hooks)| &*module == "m" && hooks.contains("routing")));
    assert_eq!(refused(rig.modules.rollback("m", Some(1))), DeployError::Unsigned);
    assert_eq!(refused(rig.modules.configure("m", "{}")), DeployError::Unsigned);
    // The way out.
    deploy(&rig, "router", true);
    assert!(rig.modules.closed_by().is_none());
    assert_eq!(refused(rig.modules.rollback("m", None)), DeployError::Unsigned);
    rig.modules.configure("m", "{ }").unwrap();
    rig.modules.rollback("m", None).unwrap();
    rig.modules.set_enabled("m", false).unwrap();
    drop((rig, store));
    let (rig, store) = start_with(directory.path(), Vec::new(), required_of_another).unwrap();
    assert_eq!(refused(rig.modules.set_enabled("m", true)), DeployError::Signature);
    drop((rig, store));
    let (rig, _store) = start_with(directory.path(), Vec::new(), required).unwrap();
    rig.modules.set_enabled("m", true).unwrap();
    assert_eq!(rig.modules.show("m").unwrap().version, Some(2));
}

/// Nothing changes for those who do not require it, and bundled modules are the broker's own.
#[test]
fn where_signatures_are_not_required_and_of_bundled_modules_none_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (rig, store) = start_with(directory.path(), Vec::new(), known).unwrap();
    deploy(&rig, "router", false);
    for prefix in ["b", "c"] {
        rig.modules.configure("renames", &format!(r#"{{"prefix": "{prefix}"}}"#)).unwrap();
    }
    drop((rig, store));
    let (rig, store) = start_with(directory.path(), Vec::new(), known).unwrap();
    assert_eq!(rig.modules.show("m").unwrap().state, ModuleState::Active);
    drop((rig, store));
    let (rig, _store) = start_with(directory.path(), Vec::new(), required).unwrap();
    assert_eq!(rig.modules.show("renames").unwrap().state, ModuleState::Active);
    rig.modules.rollback("renames", Some(0)).unwrap();
}

/// Two keys are known, or one of them was withdrawn since.
fn withdraw(rig: &Rig, is_withdrawn: bool) {
    let (one, other) = (key_pair(SECRET).1, key_pair([4; 32]).1);
    let keys = if is_withdrawn { one } else { format!("{one}\n{other}") };
    rig.modules.set_signers(Signers::read(&keys, true).unwrap());
}

fn deploy_signed(rig: &Rig, secret: [u8; 32], config: &str, canary: Option<u8>) {
    let component = guests::component("fickle");
    let signature = Some(sign(&key_pair(secret).0, &component).unwrap());
    let options = DeployOptions { signature, canary, config: Some(config.into()), ..DeployOptions::default() };
    rig.modules.deploy("m", &component, options).unwrap();
}

/// A key is taken out as what it signed is not trusted any more. What another one signed still takes its place.
#[test]
fn a_version_under_a_withdrawn_key_does_not_come_back_by_itself() {
    let mut rig = Rig::new();
    withdraw(&rig, false);
    deploy_signed(&rig, SECRET, r#"{"version": "one"}"#, None);
    deploy_signed(&rig, [4; 32], r#"{"version": "two"}"#, None);
    deploy_signed(&rig, SECRET, r#"{"version": "three", "fails": ["bad"]}"#, None);
    withdraw(&rig, true);
    (0..5).for_each(|_| assert_eq!(rig.routed("bad"), "refuse Unavailable"));
    let begun = std::time::Instant::now();
    while rig.modules.show("m").unwrap().version == Some(3) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(50), "it stays");
        std::thread::yield_now();
    }
    assert_eq!(rig.modules.show("m").unwrap().version, Some(1));
}

#[test]
fn a_trial_under_a_withdrawn_key_is_not_widened() {
    let rig = Rig::new();
    withdraw(&rig, false);
    deploy_signed(&rig, SECRET, r#"{"version": "one"}"#, None);
    deploy_signed(&rig, [4; 32], r#"{"version": "two"}"#, Some(10));
    rig.modules.widen("m", 20).unwrap();
    withdraw(&rig, true);
    assert_eq!(refused(rig.modules.widen("m", 100)), DeployError::Signature);
    assert_eq!(refused(rig.modules.confirm("m")), DeployError::Signature);
    // Away from it anybody may.
    rig.modules.widen("m", 5).unwrap();
}
