//! Machine code that is kept from start to start: used where it is whole, made anew where it is not, and within its bound.

use super::rig::{Rig, limits, property};
use crate::harness::binary;
use crate::harness::guests::component;
use host::metrics::Metrics;
use host::store::{Durability, Limits as StoreLimits, Store};
use host::wasm::{DeployOptions, Kept, MachineCode, OnFailure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BOUND: u64 = 64 << 20;

/// A room for modules that keeps machine code here, with `echoes-version` deployed, which answers.
fn room(root: &Path) -> (Rig, MachineCode) {
    room_within(root, BOUND)
}

fn room_within(root: &Path, bytes_max: u64) -> (Rig, MachineCode) {
    let code = MachineCode::open(root, bytes_max).expect("a directory");
    let (store, _) = Store::in_memory(&StoreLimits::default(), Durability::Commit, Arc::new(Metrics::default()));
    let kept = Kept { machine_code: Some(code.clone()), ..Kept::default() };
    let mut rig = Rig::open(limits(), store, kept, Vec::new()).expect("a room");
    rig.deploy("m", "echoes-version", 1, OnFailure::Refuse, r#"{"version": "one"}"#);
    assert_eq!(property(&rig.route("t", b""), "version").as_deref(), Some("one"));
    (rig, code)
}

/// The files of machine code, and not the compiler's notes on them.
fn files(root: &Path) -> Vec<PathBuf> {
    let compilers = fs::read_dir(root.join("code/modules")).expect("there is some");
    let folders = compilers.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let mut files: Vec<PathBuf> = folders.flatten().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none());
    files
}

#[test]
fn what_was_compiled_is_found_at_the_next_start() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(room(place.path()).1.found(), (0, 1));
    assert_eq!(files(place.path()).len(), 1);
    assert_eq!(room(place.path()).1.found(), (1, 0));
}

#[test]
fn a_child_leaves_what_it_compiled_to_its_parent() {
    let place = tempfile::tempdir().unwrap();
    let (rig, code) = room(place.path());
    rig.modules.set_compiler(binary().to_owned());
    let before = code.found();
    rig.modules.deploy("other", &component("router"), DeployOptions::default()).unwrap();
    assert_eq!(code.found(), (before.0 + 1, before.1));
}

#[test]
fn machine_code_with_a_turned_bit_is_not_run() {
    let place = tempfile::tempdir().unwrap();
    drop(room(place.path()));
    for file in files(place.path()) {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(room(place.path()).1.found(), (0, 1));
    assert_eq!(room(place.path()).1.found(), (1, 0));
}

#[test]
fn machine_code_that_ends_early_is_not_run() {
    let place = tempfile::tempdir().unwrap();
    drop(room(place.path()));
    for (file, length) in files(place.path()).iter().zip([0, 1_000].iter().cycle()) {
        fs::File::options().write(true).open(file).unwrap().set_len(*length).unwrap();
    }
    assert_eq!(room(place.path()).1.found(), (0, 1));
}

#[test]
fn machine_code_without_a_sum_and_what_else_lies_there_is_removed() {
    let place = tempfile::tempdir().unwrap();
    drop(room(place.path()));
    let own = files(place.path())[0].clone();
    let strange = own.with_file_name("strange");
    fs::copy(&own, &strange).unwrap();
    fs::create_dir(own.with_file_name("folder")).unwrap();
    fs::write(own.with_extension("wip-atomic-write-mod"), "a process that was killed").unwrap();
    fs::write(place.path().join("sums/nothing"), "x").unwrap();
    drop(MachineCode::open(place.path(), BOUND).expect("a directory"));
    assert_eq!(files(place.path()), std::slice::from_ref(&own));
    assert!(!own.with_extension("wip-atomic-write-mod").exists());
    assert_eq!(fs::read_dir(place.path().join("sums")).unwrap().count(), 1);
}

#[test]
fn machine_code_keeps_to_its_bound() {
    let place = tempfile::tempdir().unwrap();
    let (rig, _) = room(place.path());
    for (name, guest) in [("a", "router"), ("b", "remembers"), ("c", "answers")] {
        rig.modules.deploy(name, &component(guest), DeployOptions::default()).unwrap();
    }
    let bytes = |root: &Path| files(root).iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    let (count, all) = (files(place.path()).len(), bytes(place.path()));
    drop(room_within(place.path(), all - 1));
    assert!(bytes(place.path()) < all && files(place.path()).len() < count);
    assert!(!files(place.path()).is_empty());
}

#[test]
fn machine_code_is_its_owners_alone() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("compiled");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    drop(room(&root));
    for folder in [root.clone(), root.join("sums")] {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
    }
}

#[test]
fn where_machine_code_cannot_be_kept_there_is_none() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(MachineCode::open(&file, BOUND).is_none());
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    assert!(MachineCode::open(&link, BOUND).is_none());
    assert!(MachineCode::open(&place.path().join("none"), 0).is_none());
    assert!(!place.path().join("none").exists());
}
