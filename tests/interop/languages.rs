//! Modules in other languages than Rust, from `pliant module new` to decisions: with componentize-js, componentize-py,
//! wit-bindgen and clang as `.ci/run` installs them.

use super::{installed, is_there};
use crate::harness::binary;
use crate::house::root;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path with what `.ci/run` installs before all else.
fn path() -> String {
    let tools = root().join("target/tools/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{}:{path}", installed("venv/bin").display(), tools.display())
}

/// A folder that `pliant module new` wrote, built by the language's own tool, and its examples run. The component carries
/// them, and an interpreter that asks for WASI.
fn marks_a_message(language: &str, prepare: impl FnOnce(&Path)) {
    let runs = decides(language, prepare);
    assert!(runs.contains("seen-by"), "{runs}");
}

/// The same, whatever its examples are about.
fn decides(language: &str, prepare: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place to write a module");
    let path = path();
    let pliant = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        let output = command.args(arguments).current_dir(folder.path()).env("PATH", &path).output();
        let output = output.expect("a program that starts");
        assert!(output.status.success(), "{arguments:?}: {}", super::told(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    pliant(&["module", "new", "hello", "--lang", language]);
    prepare(&folder.path().join("hello"));
    let component = pliant(&["module", "build", "hello"]);
    assert_eq!(component, "hello/hello.wasm");
    // Memory and stack as they are by default; time is no matter on a machine that does other things as well.
    let patient = ["--set", "wasm.call_milliseconds_max=5000", "--set", "wasm.configure_milliseconds_max=60000"];
    pliant(&[&["module", "test", &component, "--json"], &patient[..]].concat())
}

#[test]
fn a_module_in_javascript_is_built_and_asked() {
    let tool = installed("node_modules/.bin/componentize-js");
    if is_there("componentize-js", Command::new(&tool).arg("--version")) {
        marks_a_message("js", |folder| {
            let modules = installed("node_modules");
            std::os::unix::fs::symlink(modules, folder.join("node_modules")).expect("a link");
        });
    }
}

#[test]
fn a_module_in_python_is_built_and_asked() {
    let tool = installed("venv/bin/componentize-py");
    if is_there("componentize-py", Command::new(&tool).arg("--version")) {
        marks_a_message("python", |_| {});
    }
}

/// The fenced block of the guide's page that begins with this word, behind its part about Python.
fn of_the_guide(kind: &str) -> String {
    let page = std::fs::read_to_string(root().join("guide/access.md")).expect("the page");
    let part = page.split("### In Python").nth(1).expect("a part about Python");
    let block = part.split(&format!("```{kind}\n")).nth(1).expect(kind);
    block.split("```").next().unwrap_or_default().to_owned()
}

/// Where cargo has the WIT files that a crate of ours brings along.
fn wasi() -> PathBuf {
    let asked = Command::new(env!("CARGO")).args(["metadata", "--format-version", "1"]).current_dir(root()).output();
    let known: Json = serde_json::from_slice(&asked.expect("cargo").stdout).expect("JSON");
    let packages = known["packages"].as_array().expect("packages");
    let wasip2 = packages.iter().find(|package| package["name"] == "wasip2").expect("the SDK has it");
    Path::new(wasip2["manifest_path"].as_str().expect("a path")).with_file_name("wit/deps")
}

#[test]
fn the_python_of_the_guide_asks_a_server() {
    let tool = installed("venv/bin/componentize-py");
    if !is_there("componentize-py", Command::new(&tool).arg("--version")) {
        return;
    }
    let runs = decides("python", |folder| {
        for file in std::fs::read_dir(wasi()).expect("WIT files") {
            let file = file.expect("a file").path();
            let name = file.file_name().expect("a name");
            std::fs::copy(&file, folder.join("wit/deps").join(name)).expect("a copy");
        }
        let world = std::fs::read_to_string(folder.join("wit/world.wit")).expect("a world");
        let package = world.split("world module").next().expect("what is before it").to_owned();
        std::fs::write(folder.join("wit/world.wit"), package + &of_the_guide("wit")).expect("written");
        std::fs::write(folder.join("app.py"), of_the_guide("python")).expect("written");
        std::fs::write(folder.join("examples.toml"), of_the_guide("text")).expect("written");
    });
    assert!(runs.contains("the server says 403"), "{runs}");
}

#[test]
fn a_module_in_c_is_built_and_asked() {
    // The linker has no name of its own that every system knows; clang finds it, or the row says so.
    let all = ["wit-bindgen", "clang", "make"]
        .into_iter()
        .all(|tool| is_there(tool, Command::new("env").args([tool, "--version"]).env("PATH", path())));
    if all {
        marks_a_message("c", |_| {});
    }
}
