//! `pliant module`: write, build and check a module; deploy and watch it on a running broker.

mod bench;
mod build;
mod create;
mod examples;
mod form;
mod limits;
mod remote;
mod sign;
mod template;

use super::admin::AdminArgs;
use super::{Failure, Outcome};
use clap::{Args, Subcommand};
use std::io::Read;

#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    #[command(subcommand)]
    command: ModuleCommand,
}

#[derive(Debug, Subcommand)]
enum ModuleCommand {
    /// Write a new module, ready to build: in Rust, C, JavaScript or Python
    #[command(after_help = "Examples:\n  pliant module new name-site\n  pliant module new name-site --lang python")]
    New(create::NewArgs),
    /// Compile a module to a component, put it into its folder and print its path
    #[command(after_help = "Example:\n  pliant module build name-site")]
    Build(build::BuildArgs),
    /// Check a component offline: its size, its exports, what it imports
    #[command(after_help = "Example:\n  pliant module check name-site.wasm")]
    Check(build::CheckArgs),
    /// Run a module's examples without a broker
    #[command(
        after_help = "Examples:\n  pliant module test name-site/name-site.wasm\n  pliant module test new.wasm --replay samples.json --against old.wasm"
    )]
    Test(examples::TestArgs),
    /// Time a module's hooks without a broker
    #[command(
        after_help = "Example:\n  pliant module bench name-site.wasm --topic home/kitchen\n\nNever timed: access.authenticate, \
                      retain-policy.on-subscribe, events.on-events, timers.on-tick. What a module sees by filters of its own \
                      is timed if they match --topic."
    )]
    Bench(bench::BenchArgs),
    /// Take samples of what clients of a broker publish, to replay them offline
    #[command(after_help = "Example:\n  pliant module record 'home/#' --count 50 > samples.json")]
    Record(examples::RecordArgs),
    /// Make a key to sign components with
    #[command(after_help = "Example:\n  pliant module keygen release.key >> signers")]
    Keygen(sign::KeygenArgs),
    /// Print the signature of a component
    #[command(after_help = "Example:\n  pliant module sign name-site.wasm --key release.key")]
    Sign(sign::SignArgs),
    #[command(flatten)]
    Remote(remote::RemoteCommand),
}

/// A remote command with its broker.
#[derive(Debug, Args)]
struct Remote<T: Args> {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    what: T,
}

pub(crate) fn run(args: &ModuleArgs) -> Outcome {
    match &args.command {
        ModuleCommand::New(args) => create::run(args),
        ModuleCommand::Build(args) => build::run(args),
        ModuleCommand::Check(args) => build::check(args),
        ModuleCommand::Test(args) => examples::test(args),
        ModuleCommand::Bench(args) => bench::run(args),
        ModuleCommand::Record(args) => examples::record(args),
        ModuleCommand::Keygen(args) => sign::keygen(args),
        ModuleCommand::Sign(args) => sign::sign(args),
        ModuleCommand::Remote(command) => remote::run(command),
    }
}

/// A JSON document: itself, of a file, or of standard input.
fn document(given: &str) -> Result<String, Failure> {
    let text = if given.trim_start().starts_with(['{', '[', '"']) {
        given.to_owned()
    } else if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Failure::failed)?;
        text
    } else {
        let failed = |error| format!("cannot read {given}: {error}; a document that is given as it is begins with {{");
        std::fs::read_to_string(given).map_err(|error| Failure::Failed(failed(error)))?
    };
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
    parsed.map(|_| text).map_err(|error| Failure::Failed(format!("the configuration is no JSON document: {error}")))
}
