//! The log of a broker: `tracing` to standard error, by the thread of `log_lines`.

use super::log_lines::Lines;
use super::{Failure, plain};
use crate::metrics::Metrics;
use clap::{Args, ValueEnum};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// What to log: off, error, warn, info, debug, trace, or by part, as in info,host::net=debug; with warn, info and debug
    /// libraries tell their errors only
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

/// Longest wait at the end for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the log of this process, once it is started.
static LINES: OnceLock<Lines> = OnceLock::new();

/// A log that is kept. What was logged is written when it is dropped, if that can be done within two seconds.
pub(crate) struct Log(&'static Lines);

impl Log {
    /// Counts lines that are lost there.
    pub(crate) fn count_in(&self, metrics: &Arc<Metrics>) {
        self.0.count_in(metrics.clone());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish(PATIENCE);
    }
}

/// Says why a command failed, whether or not there is anybody to hear it.
pub(crate) fn last_words(reason: &str) {
    let reason = format!("pliant: {}\n", plain::lines(reason));
    match LINES.get() {
        Some(lines) => {
            lines.say(reason.as_bytes());
            lines.finish(PATIENCE);
        }
        None => drop(io::stderr().write_all(reason.as_bytes())),
    }
}

/// Starts logging. Once a process; a second call changes nothing.
pub(crate) fn start(args: &LogArgs) -> Result<Log, Failure> {
    let failed = |why: String| Failure::Usage(format!("--log {}: {why}", args.log));
    let filter = filter(&args.log).map_err(failed)?;
    let filter = EnvFilter::try_new(filter).map_err(|error| failed(error.to_string()))?;
    // A descriptor of its own: a write that waits holds nothing that a panic, or anything else, wants to write with.
    let out = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Box::new(io::sink()) as Box<_>, writer);
    let told = match args.log_format {
        Format::Text => told_in_text,
        Format::Json => told_in_json,
    };
    let started =
        Lines::start(out, told).map_err(|error| Failure::Failed(format!("no thread for the log: {error}")))?;
    let lines = LINES.get_or_init(|| started);
    // A span that is asked for leaves a line when it ends, with the time that it took: calls of modules are the only ones.
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .log_internal_errors(false)
        .with_writer(move || lines);
    // It fails where somebody logs already, which is as good.
    let _ = match args.log_format {
        Format::Text => events.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => events.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        if crate::store::looks_into_a_store() {
            return;
        }
        let thread = std::thread::current();
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}\n") } else { String::new() };
        lines.say(format!("\nthread '{}' {panic}\n{trace}", thread.name().unwrap_or("unnamed")).as_bytes());
    }));
    Ok(Log(lines))
}

fn writer(descriptor: std::os::fd::OwnedFd) -> Box<dyn Write + Send> {
    Box::new(File::from(descriptor))
}

const LOST: &str = "lines of the log were lost: it was not read, or could not be written";

fn told_in_text(lost: u64) -> String {
    format!("{:.6}  WARN host::cli::log: {LOST} lines={lost}\n", jiff::Timestamp::now())
}

fn told_in_json(lost: u64) -> String {
    let timestamp = format!("{:.6}", jiff::Timestamp::now());
    let line = serde_json::json!({
        "timestamp": timestamp, "level": "WARN", "message": LOST, "lines": lost, "target": "host::cli::log",
    });
    format!("{line}\n")
}

/// The same for the broker and its modules, while libraries tell their errors only: of what strangers send them they may say
/// thousands of lines a second.
fn filter(wanted: &str) -> Result<String, String> {
    let quiet = |part: &str| match part.trim().to_ascii_lowercase().as_str() {
        level @ ("warn" | "info" | "debug") => Ok(format!("error,host={level},module={level}")),
        "" | "off" | "error" | "trace" => Ok(part.to_owned()),
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
            ("debug", "error,host=debug,module=debug"),
            ("debug,wasmtime=debug", "error,host=debug,module=debug,wasmtime=debug"),
            ("trace", "trace"),
            ("off", "off"),
        ] {
            assert_eq!(filter(wanted).as_deref(), Ok(meant));
            assert!(EnvFilter::try_new(meant).is_ok());
        }
        assert_eq!(filter("warn,inof"), Err("inof is no level".to_owned()));
    }
}
