//! The guests of `guests/`, compiled when the first row asks for one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// The component of a guest, by the name of its example in `guests/Cargo.toml`.
pub fn component(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let file = BUILT.get_or_init(build).join(format!("{}.wasm", name.replace('-', "_")));
    fs::read(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

/// Runs cargo in a target directory of its own, which no other build holds, and without what the outer one told its
/// children: flags, wrappers, job server.
fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace");
    let target = workspace.join("target/guests");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_ENCODED_", "RUSTFLAGS", "RUSTC", "CLIPPY", "MAKEFLAGS"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(workspace).env("CARGO_ENCODED_RUSTFLAGS", "").env("CARGO_BUILD_BUILD_DIR", &target);
    cargo.args(["build", "--locked", "--package", "guests", "--examples", "--profile", "module"]);
    cargo.args(["--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("wasm32-wasip2/module/examples")
}
