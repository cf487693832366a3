//! Modules in other languages than Rust, from `pliant module new` to a message on its way: with componentize-js and
//! componentize-py as they are installed.

use super::{installed, is_there};
use crate::harness::{Process, Publish, V5, binary, connect};
use std::path::Path;
use std::process::Command;

/// A folder that `pliant module new` wrote, built by the language's own tool, deployed (which runs its examples), and asked
/// about a message.
fn marks_a_message(language: &str, prepare: impl FnOnce(&Path)) {
    let settings = ["--set", "wasm.compile_seconds_max=300", "--set", "wasm.call_milliseconds_max=1000"];
    let settings = [&settings[..], &["--set", "wasm.configure_milliseconds_max=60000"]].concat();
    let Some(broker) = Process::start_with(&settings) else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place to write a module");
    let path = format!("{}:{}", installed("venv/bin").display(), std::env::var("PATH").unwrap_or_default());
    let pliant = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        let output = command.args(arguments).current_dir(folder.path()).env("PATH", &path).output();
        let output = output.expect("a program that starts");
        assert!(output.status.success(), "{arguments:?}: {}", super::told(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    pliant(&["module", "new", "hello", "--lang", language]);
    prepare(&folder.path().join("hello"));
    let component = folder.path().join(pliant(&["module", "build", "hello"]));
    let component = std::fs::read(component).expect("a component");
    let deployed = broker.admin().deploy("/api/v1/modules/hello", &component);
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a/b", 1);
    client.publish(&Publish::new("a/b", "1").qos(1));
    let seen = format!("{:?}", client.take());
    assert!(seen.contains("seen-by") && seen.contains("hello"), "{seen}");
}

#[test]
fn a_module_in_javascript_is_built_deployed_and_asked() {
    let tool = installed("node_modules/.bin/componentize-js");
    if is_there("componentize-js", Command::new(&tool).arg("--version")) {
        marks_a_message("js", |folder| {
            let modules = installed("node_modules");
            std::os::unix::fs::symlink(modules, folder.join("node_modules")).expect("a link");
        });
    }
}

#[test]
fn a_module_in_python_is_built_deployed_and_asked() {
    let tool = installed("venv/bin/componentize-py");
    if is_there("componentize-py", Command::new(&tool).arg("--version")) {
        marks_a_message("python", |_| {});
    }
}
