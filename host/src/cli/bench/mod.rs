//! `pliant bench`: publishers and subscribers against a running broker, counted and timed, by MQTT or by AMQP 1.0; several
//! brokers beside each other, and a chart of that.

mod amqp;
mod arrivals;
mod cases;
mod chart;
mod compare;
mod connection;
mod copies;
mod course;
mod heard;
mod play;
mod process;
mod publisher;
mod report;
mod results;
mod scenario;
mod span;
mod subscriber;

use super::{Outcome, output};
use clap::{Args, Command, Subcommand};
use hdrhistogram::Histogram;
use play::PlayArgs;
use std::time::Duration;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    play: PlayArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum BenchCommand {
    /// Play a list of scenarios against several running brokers in turn
    #[command(
        after_help = "Examples:\n  pliant bench compare --list\n  pliant bench compare --broker mosquitto=mqtt://127.0.0.1:1884#4711 --broker pliant=mqtt://127.0.0.1:1883#4712 --out results.jsonl\n  pliant bench compare --broker here=mqtt://127.0.0.1:1883 --scenarios p2p,fan-out --rounds 1"
    )]
    Compare(compare::CompareArgs),
    /// Draw what `compare` has written
    #[command(after_help = "Example:\n  pliant bench chart results.jsonl --out chart.svg")]
    Chart(chart::ChartArgs),
}

/// The bench has clients of its own, which speak less than the others'.
pub(crate) fn with_own_help(command: Command) -> Command {
    command.mut_arg("url", |url| url.help("The broker: mqtt://, amqp:// or amqps://, a host, a port"))
}

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    match &args.command {
        Some(BenchCommand::Compare(args)) => compare::run(args),
        Some(BenchCommand::Chart(args)) => chart::run(args),
        None => {
            let report = play::play(&args.play)?;
            if args.play.json { output::json(&report) } else { report.print() }
        }
    }
}

/// Microseconds, up to an hour, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("these bounds are in order")
}
