//! The command line: one file a subcommand. Results go to standard output, talk to standard error.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

mod admin;
mod amqp;
mod bench;
mod bridge;
mod check;
mod compile;
mod connect;
mod log;
mod log_lines;
mod module;
mod mqtt;
mod output;
mod plain;
mod progress;
mod publish;
mod quic;
mod serve;
mod store;
mod store_export;
mod subscribe;
mod trial;
mod trust;
mod tunnel;
mod user;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command ends without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done. Exit code 1.
    Failed(String),
    /// It was asked for in a way that makes no sense. Exit code 2.
    Usage(String),
    /// Nobody reads the output any more. Exit code 0, and nothing is said.
    OutputClosed,
}

impl Failure {
    pub(crate) fn failed(reason: impl ToString) -> Self {
        Self::Failed(reason.to_string())
    }

    /// A configuration that is wrong: wrong usage where flags cannot even be read.
    pub(crate) fn config(error: &crate::config::ConfigError) -> Self {
        if error.is_usage() { Self::Usage(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

/// What a command ends with.
pub(crate) type Outcome = Result<(), Failure>;

/// A message broker that people can bend: MQTT and AMQP 1.0, with every decision open to WebAssembly modules.
#[derive(Debug, Parser)]
#[command(
    name = "pliant",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  pliant\n  pliant serve --config pliant.toml --set listener.mqtt.bind=127.0.0.1:2883\n  pliant sub 'home/#'\n  pliant pub home/kitchen 21.5"
)]
struct Cli {
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker (what `pliant` does without a command)
    #[command(after_help = "Example:\n  pliant serve --config pliant.toml --data-dir /var/lib/pliant --log info")]
    Serve(serve::ServeArgs),
    /// Check the configuration and every module it names; start nothing
    #[command(after_help = "Example:\n  pliant check --config pliant.toml --set store.durability=relaxed")]
    Check(check::CheckArgs),
    /// Write, build and check a module; deploy and watch it on a running broker
    #[command(after_help = "Examples:\n  pliant module new name-site\n  pliant module deploy name-site.wasm")]
    Module(module::ModuleArgs),
    /// Publish messages
    #[command(
        after_help = "Examples:\n  pliant pub home/kitchen 21.5 --retain\n  sensors | pliant pub home/log --lines --qos 0\n  pliant pub home/photo --file photo.jpg --property room=kitchen\n  pliant pub /queues/orders 17 --url amqp://127.0.0.1:5672"
    )]
    Pub(publish::PublishArgs),
    /// Subscribe and print what arrives
    #[command(
        after_help = "Examples:\n  pliant sub 'home/#' --verbose\n  pliant sub home/kitchen --count 1 --timeout 5 --json\n  pliant sub /queues/orders --url amqps://broker.example --ca-file ca.pem --user ann --password-file password"
    )]
    Sub(subscribe::SubscribeArgs),
    /// Load a running broker and measure it, or several beside each other
    #[command(
        after_help = "Examples:\n  pliant bench\n  pliant bench fan-out --qos 0 --size 64\n  pliant bench durable --publishers 20\n  pliant bench --publishers 10 --subscribers 10 --shared --qos 1 --json\n  pliant bench --rate 5000 --messages 50000 --size 64\n  pliant bench p2p --url amqp://127.0.0.1:5672\n  pliant bench p2p --url amqp://127.0.0.1:5672 --node /queues/bench-{}\n  pliant bench p2p --qos 0 --await-copies --seconds 5 --pid $(pidof pliant)\n  pliant bench compare --broker mosquitto=mqtt://127.0.0.1:1884#4711 --broker pliant=mqtt://127.0.0.1:1883#4712"
    )]
    Bench(bench::BenchArgs),
    /// Bridges of a running broker
    #[command(after_help = "Example:\n  pliant bridge list --data-dir data")]
    Bridge(bridge::BridgeArgs),
    /// Check or compact the data directory of a broker that does not run
    #[command(after_help = "Example:\n  pliant store check --data-dir data")]
    Store(store::StoreArgs),
    /// Add, remove and list the users of a password file
    #[command(
        after_help = "Examples:\n  pliant user --file users add ann\n  printf %s \"$PASSWORD\" | pliant user --file users add meter-7\n  pliant user --file users list\n  pliant user --file users remove ann\n\nThe broker reads the file with auth.password_file = \"users\", and again on SIGHUP or POST /api/v1/reload."
    )]
    User(user::UserArgs),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the broker keeps its data; the same as --set data_dir=DIR
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One setting, as in store.durability=relaxed; may be given more than once
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// The sources that these flags name, with the environment of this process.
    pub(crate) fn sources(&self) -> crate::config::Sources {
        let mut flags = self.set.clone();
        if let Some(dir) = &self.data_dir {
            flags.push(format!("data_dir={}", dir.display()));
        }
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        crate::config::Sources { file: self.config.clone(), environment, flags }
    }
}

#[cfg(test)]
mod tests;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // No command of the others, which would be proposed to who mistypes one.
    if std::env::args_os().nth(1).is_some_and(|first| first == crate::wasm::COMPILE_SUBCOMMAND) {
        return code(compile::run(&compile::CompileArgs::parse_from(std::env::args_os().skip(1))));
    }
    let command = Cli::command().mut_subcommand("bench", bench::with_own_help);
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Module(args)) => module::run(&args),
        Some(Command::Pub(args)) => publish::run(&args),
        Some(Command::Sub(args)) => subscribe::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Bridge(args)) => bridge::run(&args),
        Some(Command::Store(args)) => store::run(&args),
        Some(Command::User(args)) => user::run(&args),
    };
    code(outcome)
}

/// Says why a command has failed, if it has.
fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Failed(reason)) => {
            log::last_words(&reason);
            ExitCode::from(1)
        }
        Err(Failure::Usage(reason)) => {
            log::last_words(&reason);
            ExitCode::from(2)
        }
    }
}
