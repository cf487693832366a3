//! `pliant module build` and `pliant module check`: from a crate to a component, and what is in a component.

use crate::cli::progress::Progress;
use crate::cli::trial::Trial;
use crate::cli::{Failure, Outcome, output};
use crate::wasm::DeployError;
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
    /// Configuration: a file with a JSON document, or the document itself
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
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
        Some(path) => output::line(&put_beside(&path, &args.folder)?.display().to_string()),
        None => Err(Failure::Failed(format!(
            "{} makes no component; its crate-type must contain cdylib",
            manifest.display()
        ))),
    }
}

/// Copies the component to where people look for it: `name-site/name-site.wasm`, with the examples of its folder in it.
fn put_beside(built: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let file = Path::new(built).file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
    let beside = folder.join(file);
    let failed = |error| Failure::Failed(format!("cannot write {}: {error}", beside.display()));
    let Some(examples) = super::examples::beside(folder) else {
        std::fs::copy(built, &beside).map_err(failed)?;
        return Ok(beside);
    };
    let component = std::fs::read(built).map_err(failed)?;
    let component = crate::wasm::attach_examples(&component, &super::examples::read(&examples)?);
    std::fs::write(&beside, component).map_err(failed)?;
    Ok(beside)
}

/// The last component that cargo says it has made.
fn component(messages: &[u8]) -> Option<String> {
    let artifacts = messages.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Json>(line).ok());
    let files = artifacts.filter(|message| message["reason"] == "compiler-artifact").flat_map(|message| {
        let names = message["filenames"].as_array().cloned().unwrap_or_default();
        names.into_iter().filter_map(|name| name.as_str().map(str::to_owned))
    });
    files.filter(|name| name.ends_with(".wasm")).reduce(|_, last| last)
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
    let config = args.config.as_deref().map(super::document).transpose()?;
    let progress = Progress::start("compiling");
    let trial = Trial::new(crate::wasm::Limits::default())?;
    let tried = trial.run("on-trial", &bytes, config.unwrap_or_else(|| "{}".to_owned()));
    drop(progress);
    let found = tried.map_err(|error| match (&error, &args.config) {
        (DeployError::RefusedConfig(_), None) => {
            Failure::Failed(format!("{file}: {error} (give it one with --config)"))
        }
        _ => Failure::Failed(format!("{file}: {error}")),
    })?;
    let (hooks, digest) = (found.hooks.join(", "), &*found.digest);
    if args.json {
        return output::json(&serde_json::json!({
            "bytes": bytes.len(),
            "digest": digest,
            "hooks": found.hooks,
            "description": found.description,
            "version": found.module_version,
        }));
    }
    output::line(&format!("{file} can be deployed: {hooks}; {} bytes, {digest}", bytes.len()))
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
