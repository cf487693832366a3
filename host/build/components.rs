//! Runs cargo within cargo: modules to components, in a target directory of their own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::target::TARGET;

/// The profile in the workspace's Cargo.toml.
const PROFILE: &str = "module";

/// Variables of the outer build's environment that the inner one needs too.
const KEPT: &[&str] =
    &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_", "RUSTUP_"];

/// Variables that speak of the outer build: its flags, its wrapper (clippy's, say), its job
/// server, its directories.
const DROPPED: &[&str] = &["CARGO", "RUST", "CLIPPY", "DEP_", "MAKEFLAGS", "MFLAGS"];

/// Builds the named packages and tells in which directory their components lie.
///
/// # Errors
/// One line, and after it what the inner cargo said.
pub fn build(workspace: &Path, target_directory: &Path, names: &[&str]) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let starts = |list: &[&str]| list.iter().any(|prefix| text.starts_with(prefix));
        if starts(DROPPED) && !starts(KEPT) {
            cargo.env_remove(&name);
        }
    }
    // Set and empty, so that no configuration file adds the machine's own flags either; and
    // intermediate files stay with the rest, where no other build holds the lock.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "").env("CARGO_BUILD_BUILD_DIR", target_directory);
    cargo.current_dir(workspace).args(["build", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.arg("--target-dir").arg(target_directory);
    for name in names {
        cargo.args(["--package", name]);
    }
    let output = cargo.output().map_err(|why| format!("cannot run cargo for the modules: {why}"))?;
    if !output.status.success() {
        return Err(format!("the modules do not compile\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target_directory.join(TARGET).join(PROFILE))
}

/// `modules` in the target directory of the outer build, the same for every profile of it.
///
/// `OUT_DIR` is `TARGET/PROFILE/build/PACKAGE-HASH/out`. Cargo locks each profile's directory
/// for itself, so a directory beside them is never one that the outer build holds.
pub fn target_directory(out: &Path) -> PathBuf {
    out.ancestors().nth(4).unwrap_or(out).join("modules")
}

/// The file that cargo makes of a package.
pub fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}
