//! `pliant module build` and `pliant module check`: from a module's folder to a component, and what is in a component.

use super::limits::LimitArgs;
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
    /// Rust: without optimisation, for a quick try
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
    #[command(flatten)]
    limits: LimitArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BuildArgs) -> Outcome {
    let folder = &args.folder;
    let has = |file: &str| folder.join(file).is_file();
    let built = if has("Cargo.toml") {
        cargo(folder, args.debug)?
    } else {
        if has("package.json") {
            npm(folder)?;
        } else if has("app.py") {
            componentize_py(folder)?;
        } else if has("Makefile") {
            tool(Command::new("make").arg("-C").arg(folder), folder)?;
        } else {
            let folder = folder.display();
            return Err(Failure::Usage(format!(
                "{folder} is no folder of a module: it has no Cargo.toml, package.json, app.py or Makefile"
            )));
        }
        folder.join(MADE)
    };
    output::line(&put_beside(&built, folder)?.display().to_string())
}

/// What the builds of other languages than Rust leave in the module's folder.
const MADE: &str = "component.wasm";

/// Runs a tool whose words are for whoever builds.
fn tool(command: &mut Command, folder: &Path) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    // Standard output is for the path of the component.
    let run = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
    let run = run.map_err(|error| {
        let readme = folder.join("README.md");
        Failure::Failed(format!("cannot run {name}: {error}; {} says what is needed", readme.display()))
    })?;
    if run.status.success() {
        return Ok(());
    }
    eprint!("{}", String::from_utf8_lossy(&run.stdout));
    let readme = folder.join("README.md");
    let (folder, readme, status) = (folder.display(), readme.display(), run.status);
    Err(Failure::Failed(format!("{folder} does not build: {name} ended with {status}; {readme} says what is needed")))
}

fn npm(folder: &Path) -> Outcome {
    if !folder.join("node_modules").exists() {
        tool(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(folder), folder)?;
    }
    tool(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder), folder)
}

/// That of the folder's virtual environment, if it has one.
fn componentize_py(folder: &Path) -> Outcome {
    const NAME: &str = "componentize-py";
    let own = folder.join(".venv/bin").join(NAME);
    let own = own.canonicalize().ok().filter(|path| path.is_file());
    let mut command = Command::new(own.as_deref().unwrap_or(Path::new(NAME)));
    command.args(["-d", "wit", "-w", "module", "componentize", "app", "-o", MADE]).current_dir(folder);
    tool(&mut command, folder)
}

fn cargo(folder: &Path, debug: bool) -> Result<PathBuf, Failure> {
    let manifest = folder.join("Cargo.toml");
    target_is_there(folder)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&manifest).stderr(Stdio::inherit());
    if !debug {
        cargo.arg("--release");
    }
    let built =
        cargo.output().map_err(|error| Failure::Failed(format!("cannot run cargo: {error}; is Rust installed?")))?;
    if !built.status.success() {
        return Err(Failure::Failed(format!("{} does not compile", folder.display())));
    }
    component(&built.stdout).map(PathBuf::from).ok_or_else(|| {
        Failure::Failed(format!("{} makes no component; its crate-type must contain cdylib", manifest.display()))
    })
}

/// `name-site/name-site.wasm`: named as what was built, or as the folder.
fn beside(built: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let name = built.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
    if name != MADE {
        return Ok(folder.join(name));
    }
    let whole = folder.canonicalize().map_err(Failure::failed)?;
    Ok(folder.join(format!("{}.wasm", whole.file_name().unwrap_or_default().to_string_lossy())))
}

/// Copies the component to where people look for it, with the examples of its folder in it.
fn put_beside(built: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let beside = beside(built, folder)?;
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
    let trial = Trial::new(args.limits.limits()?)?;
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
