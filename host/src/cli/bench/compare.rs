//! `pliant bench compare`: the same scenarios against several running brokers, in interleaved rounds.

use super::LOOK;
use super::cases::{CASES, Case};
use super::play::{PlayArgs, play};
use super::report::Report;
use super::results::{self, Row, Summary, figure};
use super::scenario::seconds;
use crate::cli::{Failure, Outcome, output};
use clap::{Args, Parser};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a broker may take to start.
const STARTING: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Args)]
pub(super) struct CompareArgs {
    /// A running broker, by name; with the id of its process on this machine its CPU time is measured (Linux). The first is
    /// what the others are compared with
    #[arg(long = "broker", value_name = "NAME=URL[#PID]", required_unless_present = "list", value_parser = broker)]
    brokers: Vec<Broker>,
    /// Only these, with commas between; what a name begins with stands for all that begin so
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Rounds; the result is the median
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// What is measured of each scenario that goes by time
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// How long each of these goes before that
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Append each run to a file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the scenarios, each as the command that plays it alone, and do nothing
    #[arg(long)]
    list: bool,
}

/// One of those that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Broker {
    name: String,
    url: String,
    pid: Option<u32>,
}

fn broker(text: &str) -> Result<Broker, String> {
    let (name, rest) = text.split_once('=').ok_or("expected NAME=URL or NAME=URL#PID")?;
    let (url, pid) = match rest.rsplit_once('#') {
        Some((url, pid)) => (url, Some(pid.parse().map_err(|_| format!("{pid} is no process id"))?)),
        None => (rest, None),
    };
    if name.is_empty() || !url.starts_with("mqtt://") {
        return Err("expected NAME=mqtt://HOST:PORT or NAME=mqtt://HOST:PORT#PID".to_owned());
    }
    Ok(Broker { name: name.to_owned(), url: url.to_owned(), pid })
}

/// What is played as if it had been typed.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    play: PlayArgs,
}

/// A line of the result file.
#[derive(Serialize)]
struct Written<'a> {
    scenario: &'a str,
    broker: &'a str,
    round: u32,
    #[serde(flatten)]
    report: Option<&'a Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) fn run(args: &CompareArgs) -> Outcome {
    let cases = chosen(&args.scenarios)?;
    if args.list {
        return cases.iter().try_for_each(|case| output::line(&command(case, args).join(" ")));
    }
    let names = results::unique(args.brokers.iter().map(|broker| broker.name.as_str()));
    if names.len() < args.brokers.len() {
        return Err(Failure::Usage("--broker: two have the same name".to_owned()));
    }
    let out = args.out.as_ref().map(|path| {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
    });
    let mut out = out.transpose()?;
    args.brokers.iter().try_for_each(wait_for)?;
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        for case in &cases {
            for turn in 0..args.brokers.len() {
                // Each is first as often as the others.
                let broker = &args.brokers[(turn + round as usize - 1) % args.brokers.len()];
                rows.push(one(args, case, broker, round, out.as_mut())?);
            }
        }
    }
    print(args, &results::summaries(&rows))?;
    match rows.iter().filter(|row| row.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} runs failed", rows.len()))),
    }
}

/// What is typed to play a case alone.
fn command(case: &Case, args: &CompareArgs) -> Vec<String> {
    let mut words: Vec<String> =
        ["pliant", "bench"].into_iter().chain(case.arguments.split(' ')).map(str::to_owned).collect();
    if case.is_timed {
        let time = |time: Duration| time.as_secs_f64().to_string();
        words.extend(["--seconds".to_owned(), time(args.seconds), "--warm-up".to_owned(), time(args.warm_up)]);
    }
    words
}

/// Waits until a broker that has just been started takes a client.
fn wait_for(broker: &Broker) -> Outcome {
    let begun = Instant::now();
    let words = ["bench", "connections", "--publishers", "1"].map(str::to_owned).into_iter();
    let line = Line::try_parse_from(words.chain(target(broker))).map_err(Failure::failed)?;
    loop {
        match play(&line.play) {
            Err(Failure::Failed(_)) if begun.elapsed() < STARTING => sleep(LOOK),
            other => return other.map(drop),
        }
    }
}

/// What says which broker is meant.
fn target(broker: &Broker) -> impl Iterator<Item = String> {
    let process = broker.pid.into_iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    ["--url".to_owned(), broker.url.clone()].into_iter().chain(process)
}

/// One run; a run that fails is a row, too.
fn one(args: &CompareArgs, case: &Case, broker: &Broker, round: u32, out: Option<&mut File>) -> Result<Row, Failure> {
    let mut words = command(case, args).split_off(1);
    words.extend(target(broker));
    let line = Line::try_parse_from(words).map_err(Failure::failed)?;
    let played = play(&line.play);
    let error = match &played {
        Ok(_) => None,
        // It cannot be asked for at all.
        Err(Failure::Usage(reason)) => return Err(Failure::Usage(reason.clone())),
        Err(Failure::Failed(reason)) => Some(reason.as_str()),
        Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
    };
    let report = played.as_ref().ok();
    let written = Written { scenario: case.name, broker: &broker.name, round, report, error };
    let json = serde_json::to_string(&written).map_err(Failure::failed)?;
    if let Some(out) = out {
        out.write_all(format!("{json}\n").as_bytes()).map_err(Failure::failed)?;
    }
    let cost = report.and_then(Report::cpu).map(|cpu| format!("{} us of CPU each", figure(cpu)));
    let told = error.map(str::to_owned).or(cost).unwrap_or_else(|| "done".to_owned());
    eprintln!("round {round} of {}: {}, {}: {told}", args.rounds, case.name, broker.name);
    serde_json::from_str(&json).map_err(Failure::failed)
}

/// The cases that are asked for, in their own order.
fn chosen(names: &[String]) -> Result<Vec<Case>, Failure> {
    let is_asked = |case: &Case, name: &String| case.name.starts_with(name.as_str());
    if let Some(name) = names.iter().find(|name| !CASES.iter().any(|case| is_asked(case, name))) {
        return Err(Failure::Usage(format!(
            "--scenarios {name}: none begins so; pliant bench compare --list names them"
        )));
    }
    let all = CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| is_asked(case, name)));
    Ok(all.copied().collect())
}

fn print(args: &CompareArgs, summaries: &[Summary]) -> Outcome {
    let first = args.brokers.first().map_or("", |broker| broker.name.as_str());
    let or_none = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    let row = |one: &Summary| {
        let base = summaries.iter().find(|base| base.scenario == one.scenario && base.broker == first);
        let ratio = base.and_then(|base| base.cpu).zip(one.cpu).map(|(base, cpu)| cpu / base);
        let lost = if one.failed > 0 { format!("{}, {} failed", one.lost, one.failed) } else { one.lost.to_string() };
        let rate = one.rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        [
            one.scenario.clone(),
            one.broker.clone(),
            or_none(one.cpu),
            or_none(ratio),
            rate,
            or_none(one.p50),
            or_none(one.p99),
            lost,
        ]
    };
    let rows: Vec<_> = summaries.iter().map(row).collect();
    let ratio = format!("of {first}");
    output::table(["SCENARIO", "BROKER", "CPU US EACH", &ratio, "EACH SECOND", "P50 US", "P99 US", "LOST"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Compare {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn every_case_is_a_command_that_is_understood() {
        let Compare { args } = Compare::try_parse_from(["compare", "--list"]).expect("it needs nothing else");
        for case in CASES {
            let words = command(case, &args).split_off(1);
            assert!(Line::try_parse_from(&words).is_ok(), "{words:?}");
            let same = CASES.iter().filter(|other| other.name == case.name).count();
            assert_eq!(same, 1, "{}", case.name);
        }
    }

    #[test]
    fn brokers_have_a_name_a_url_and_perhaps_a_process() {
        let named = |url: &str, pid| Broker { name: "a".to_owned(), url: url.to_owned(), pid };
        assert_eq!(broker("a=mqtt://h:1"), Ok(named("mqtt://h:1", None)));
        assert_eq!(broker("a=mqtt://h:1#17"), Ok(named("mqtt://h:1", Some(17))));
        for wrong in ["", "a", "=mqtt://h", "a=h:1", "a=mqtt://h#x", "a=mqtt://h#", "a=amqp://h"] {
            assert!(broker(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scenarios_are_chosen_by_how_they_begin() {
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            chosen(&asked).map(|cases| cases.len()).ok()
        };
        assert_eq!(names(&[]), Some(CASES.len()));
        assert_eq!(names(&["routing", "routing-1k"]), Some(3));
        assert_eq!(names(&["routing", "nothing"]), None);
    }
}
