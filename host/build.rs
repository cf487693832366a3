//! Compiles the modules of `modules/` to Wasm components and embeds the bundled ones.
//!
//! Leaves `bundled.rs` in `OUT_DIR`: `BUNDLED`, a list of name and component, in the order in
//! which a broker without a configuration runs them; and `carried.rs`: `WIT` and `SDK`, the files
//! of the contract and of the guest SDK, which `pliant module new` writes beside a module.

#[path = "build/components.rs"]
mod components;
#[path = "build/target.rs"]
mod target;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Embedded in the binary.
const BUNDLED: &[&str] = &["topic-rules", "retain-rules", "will-rules", "access-list", "exchanges", "translate"];

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
    let out = directory("OUT_DIR");
    if let Err(why) = carry(workspace, &out).and_then(|()| build(workspace, &out)) {
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

/// Makes `carried.rs`.
fn carry(workspace: &Path, out: &Path) -> Result<(), String> {
    let list = |name: &str, folder: &str, kept: fn(&str) -> bool| -> Result<String, String> {
        let (root, mut files) = (workspace.join(folder), Vec::new());
        walk(&root, &mut files).map_err(|why| format!("cannot list {}: {why}", root.display()))?;
        files.sort();
        let path = |file: &PathBuf| file.strip_prefix(&root).unwrap_or(file).display().to_string();
        let entry =
            |file: &PathBuf| format!("    ({:?}, include_str!({:?})),\n", path(file), file.display().to_string());
        let entries: String = files.iter().filter(|file| kept(&path(file))).map(entry).collect();
        Ok(format!("/// Files of `{folder}`.\npub(super) const {name}: &[File] = &[\n{entries}];\n"))
    };
    let wit = list("WIT", "wit", |path| path.ends_with(".wit"))?;
    let sdk = list("SDK", "guest-sdk", |path| path == "Cargo.toml" || path.starts_with("src"))?;
    write(&out.join("carried.rs"), (wit + &sdk).as_bytes())
}

/// All files below a folder.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
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
