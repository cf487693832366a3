//! The Wasm target: is it installed, and if not, can rustup add it?

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What modules are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// Adds the target where it is missing.
///
/// # Errors
/// Where that fails: one line with what to type.
pub fn ensure(workspace: &Path) -> Result<(), String> {
    if installed() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    let mut arguments = vec!["target", "add"];
    if let Some(toolchain) = &toolchain {
        arguments.extend(["--toolchain", toolchain.as_str()]);
    }
    arguments.push(TARGET);
    let added = Command::new("rustup").args(&arguments).env_remove("RUST_BACKTRACE").current_dir(workspace).output();
    // Looked at again whatever rustup says: another build may have added it meanwhile, and the
    // compiler in use may not be one of rustup's.
    if installed() {
        return Ok(());
    }
    let why = match added {
        Ok(output) if output.status.success() => "rustup added it to another toolchain than the one in use".to_owned(),
        Ok(output) => error_line(&output.stderr),
        Err(why) => format!("rustup does not run: {why}"),
    };
    let command = arguments.join(" ");
    Err(format!("the Rust target {TARGET} is missing; type: rustup {command} (adding it here failed: {why})"))
}

/// Does the compiler in use have the target's standard library?
fn installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output() else {
        return false;
    };
    output.status.success() && PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

/// Rustup's own word for what went wrong.
fn error_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().find_map(|line| line.strip_prefix("error: "));
    line.or_else(|| text.lines().next()).unwrap_or("rustup gave no reason").trim().to_owned()
}
