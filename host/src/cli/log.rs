//! The log: `tracing` to standard error.

use super::{Failure, Outcome};
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// What to log: off, error, warn, info, debug, trace, or by part, as in info,host::net=debug; with warn and info libraries
    /// tell their errors only
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
    let failed = |why: String| Failure::Usage(format!("--log {}: {why}", args.log));
    let filter = filter(&args.log).map_err(failed)?;
    let filter = EnvFilter::try_new(filter).map_err(|error| failed(error.to_string()))?;
    // A span that is asked for leaves a line when it ends, with the time that it took: calls of modules are the only ones.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::CLOSE).with_writer(std::io::stderr);
    let started = match args.log_format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.or(Ok(()))
}

/// The same for the broker and its modules, while libraries tell their errors only: of what strangers send them they may say
/// thousands of lines a second.
fn filter(wanted: &str) -> Result<String, String> {
    let quiet = |part: &str| match part.trim().to_ascii_lowercase().as_str() {
        level @ ("warn" | "info") => Ok(format!("error,host={level},module={level}")),
        "" | "off" | "error" | "debug" | "trace" => Ok(part.to_owned()),
        // A part of the program by itself would be taken for all of it, and a level with a mistake in it for such a part.
        other if other.chars().all(char::is_alphanumeric) => Err(format!("{other} is no level")),
        _ => Ok(part.to_owned()),
    };
    Ok(wanted.split(',').map(quiet).collect::<Result<Vec<_>, _>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_asked() {
        for (wanted, meant) in [
            ("info", "error,host=info,module=info"),
            ("Warn", "error,host=warn,module=warn"),
            ("info,host::net=debug", "error,host=info,module=info,host::net=debug"),
            ("rustls=info", "rustls=info"),
            ("debug", "debug"),
            ("off", "off"),
        ] {
            assert_eq!(filter(wanted).as_deref(), Ok(meant));
            assert!(EnvFilter::try_new(meant).is_ok());
        }
        assert_eq!(filter("warn,inof"), Err("inof is no level".to_owned()));
    }
}
