//! The modules of the guide are built as a reader would, and do what the guide says: each Rust source of `guide/` with the
//! examples that follow it.

use crate::harness::binary;
use crate::house::root;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Each module of a page: its source and its examples.
fn modules(page: &str) -> Vec<(String, String)> {
    let block = |text: &str| text.split("```").next().unwrap_or_default().to_owned();
    let sources = page.split("```rust\n").skip(1);
    let with_examples =
        |part: &str| (block(part), block(part.split("```toml\n").nth(1).expect("examples after a source")));
    sources.map(with_examples).collect()
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `pliant` in this folder, with cargo as a user has it and one target directory for all modules.
fn pliant(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        command.env_remove(name);
    }
    let output = command.env("CARGO_TARGET_DIR", folder.join("target")).output().expect("a program that starts");
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_modules_of_the_guide_do_what_their_examples_say() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place to write modules");
    let mut built = 0;
    for page in fs::read_dir(root().join("guide")).expect("the guide") {
        let page = page.expect("a page").path();
        let stem = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (at, (source, examples)) in modules(&fs::read_to_string(&page).expect("text")).into_iter().enumerate() {
            let name = format!("{stem}-{at}");
            pliant(folder.path(), &["module", "new", &name]);
            let module = folder.path().join(&name);
            fs::write(module.join("src/lib.rs"), source).expect("written");
            fs::write(module.join("examples.toml"), examples).expect("written");
            let manifest = fs::read_to_string(module.join("Cargo.toml")).expect("a manifest");
            let manifest = manifest.replace("[dependencies]\n", "[dependencies]\nserde_json = \"1\"\n");
            let manifest = match fs::read_to_string(module.join("src/lib.rs")).expect("a source").contains("::http::") {
                true => manifest.replace(" }\n", ", features = [\"http\"] }\n"),
                false => manifest,
            };
            fs::write(module.join("Cargo.toml"), manifest).expect("written");
            let component = pliant(folder.path(), &["module", "build", "--debug", &name]);
            // What time a call may take is no matter on a machine that does other things as well.
            let patient =
                ["--set", "wasm.call_milliseconds_max=5000", "--set", "wasm.configure_milliseconds_max=60000"];
            pliant(folder.path(), &[&["module", "test", &component], &patient[..]].concat());
            built += 1;
        }
    }
    assert!(built >= 12, "{built} modules");
}
