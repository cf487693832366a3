//! Compiles the modules of `modules/` to Wasm components and embeds the bundled ones.
//!
//! Leaves `bundled.rs` in `OUT_DIR`: `BUNDLED`, a list of name and component, in the order in
//! which a broker without a configuration runs them.

#[path = "build/components.rs"]
mod components;
#[path = "build/target.rs"]
mod target;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Embedded in the binary.
const BUNDLED: &[&str] = &["topic-rules", "retain-rules", "will-rules", "access-list", "translate"];

/// Built beside them, for tests and as something to deploy by hand.
const EXAMPLES: &[&str] = &["add-property"];

/// What the components are made of, seen from the workspace. Never a target directory.
const SOURCES: &[&str] = &["modules", "guest-sdk", "wit", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];

fn main() {
    let here = directory("CARGO_MANIFEST_DIR");
    let workspace = here.parent().expect("host lies in the workspace");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    if let Err(why) = build(workspace, &directory("OUT_DIR")) {
        let (line, more) = why.split_once('\n').unwrap_or((&why, ""));
        println!("cargo::error={line}");
        if !more.is_empty() {
            // Only of a script that fails is the standard error shown.
            eprintln!("{more}");
            std::process::exit(1);
        }
    }
}

/// Makes the components and `bundled.rs`. An error is one line for whoever runs cargo, and
/// what the compiler said after it.
fn build(workspace: &Path, out: &Path) -> Result<(), String> {
    target::ensure(workspace)?;
    let names = [BUNDLED, EXAMPLES].concat();
    let built = components::build(workspace, &components::target_directory(out), &names)?;
    println!("cargo::rustc-env=PLIANT_MODULES_DIR={}", built.display());
    for name in BUNDLED {
        let component = built.join(components::file_name(name));
        let bytes = fs::read(&component).map_err(|why| format!("cannot read {}: {why}", component.display()))?;
        write(&out.join(format!("{name}.wasm")), &bytes)?;
    }
    write(&out.join("bundled.rs"), list().as_bytes())
}

/// The text of `bundled.rs`.
fn list() -> String {
    let entry =
        |name: &&str| format!("    (\"{name}\", include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\"))),\n");
    let entries: String = BUNDLED.iter().map(entry).collect();
    format!(
        "/// The bundled modules: name and component, in the order in which they run.\n\
         pub const BUNDLED: &[(&str, &[u8])] = &[\n{entries}];\n"
    )
}

/// Writes a file only where that changes it, so that nothing is compiled again for nothing.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|why| format!("cannot write {}: {why}", path.display()))
}

/// A directory that cargo names in the environment of every build script.
fn directory(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).expect("cargo sets it for every build script")
}
