//! The log: `tracing` to standard error.

use super::{Failure, Outcome};
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// What to log: off, error, warn, info, debug, trace, or by part, as in info,host::net=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// Log lines for people, or one JSON document a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Starts logging. Once a process; a second call changes nothing.
pub(crate) fn start(args: &LogArgs) -> Outcome {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|error| Failure::Usage(format!("--log {}: {error}", args.log)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match args.log_format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.or(Ok(()))
}
