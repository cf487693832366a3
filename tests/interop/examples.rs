//! The examples for AMQP users run as they are written: examples/amqp.

use super::{installed, is_there, told};
use crate::harness::amqp_address;
use crate::house::root;
use std::path::Path;
use std::process::Command;

fn example(name: &str) -> String {
    root().join("examples/amqp").join(name).to_string_lossy().into_owned()
}

/// Runs an example against the broker that rows share.
fn runs(interpreter: &Path, name: &str) {
    let Some(address) = amqp_address() else { return };
    let mut command = Command::new(interpreter);
    command.arg(example(name)).arg(format!("amqp://{address}"));
    let output = command.env("NODE_PATH", installed("node_modules")).output().expect("a program that can be started");
    assert!(output.status.success() && output.stdout.ends_with(b"done\n"), "{name}: {}", told(&output));
}

#[test]
fn the_example_with_proton_runs() {
    let python = installed("venv/bin/python");
    if is_there("Proton", Command::new(&python).args(["-c", "import proton"])) {
        runs(&python, "proton_example.py");
    }
}

#[test]
fn the_example_with_rhea_runs() {
    let node = Path::new("node");
    let mut probe = Command::new(node);
    if is_there("rhea", probe.args(["-e", "require('rhea')"]).env("NODE_PATH", installed("node_modules"))) {
        runs(node, "rhea_example.js");
    }
}

/// What the page says and what is in the repository is the same.
#[test]
fn the_page_names_what_is_there() {
    let page = std::fs::read_to_string(example("README.md")).expect("the page");
    for name in ["proton_example.py", "rhea_example.js"] {
        assert!(page.contains(name), "{name}");
        assert!(Path::new(&example(name)).is_file(), "{name}");
    }
}
