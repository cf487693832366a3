//! `pliant module test` and `pliant module record`: what a module decides, tried without a broker; samples taken from one.

use super::document;
use super::limits::LimitArgs;
use crate::cli::admin::AdminArgs;
use crate::cli::progress::Progress;
use crate::cli::trial::Trial;
use crate::cli::{Failure, Outcome, output};
use crate::wasm::{self, Example, ExampleRun, Examples};
use clap::Args;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The component
    file: PathBuf,
    /// Examples (TOML or JSON); otherwise examples.toml or examples.json beside the component, or those it carries
    examples: Option<PathBuf>,
    /// Configuration for examples that have none: a file with a JSON document, or the document itself
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// Samples, as `pliant module record` took them: show where this component and another decide differently about them
    /// (topic mapping, routing, retain policy, translation to AMQP)
    #[arg(long, value_name = "FILE", requires = "against", conflicts_with = "examples")]
    replay: Option<PathBuf>,
    /// The component to compare with
    #[arg(long, value_name = "FILE", requires = "replay")]
    against: Option<PathBuf>,
    /// Its configuration; otherwise that of --config
    #[arg(long, value_name = "FILE|JSON", requires = "against")]
    against_config: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print every decision, a JSON document a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Topics, in the broker's words
    #[arg(default_value = "#")]
    filter: String,
    /// End after so many messages
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// End after so many seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
}

/// What is asked about each sample. Samples are kept as modules see them, whatever they came by: there is nothing to ask
/// `translation.from-amqp` about.
const REPLAYED: [&str; 4] = ["topic-mapping.publish-topic", "routing.on-publish", "retain-policy.on-publish", TO_AMQP];
const TO_AMQP: &str = "translation.to-amqp";

pub(super) fn test(args: &TestArgs) -> Outcome {
    let config = args.config.as_deref().map(document).transpose()?.unwrap_or_else(|| "{}".to_owned());
    if let (Some(samples), Some(against)) = (&args.replay, &args.against) {
        return replay(args, against, samples, &config);
    }
    let component = bytes(&args.file)?;
    let examples = match &args.examples {
        Some(path) => read(path)?,
        None => found(&args.file, &component)?,
    };
    if examples.examples.is_empty() {
        return Err(Failure::Failed(
            "there is no example: write an [[example]], or take the empty file away".to_owned(),
        ));
    }
    let runs = run(args.limits.limits()?, &args.file, &component, &examples, &config)?;
    let failed = runs.iter().filter(|run| !run.differences.is_empty()).count();
    for run in &runs {
        if args.json {
            let (differences, microseconds) = (&run.differences, run.microseconds);
            output::json(&json!({
                "name": run.name, "decision": run.decision, "differences": differences, "microseconds": microseconds,
            }))?;
        } else {
            let word = if run.differences.is_empty() { "ok    " } else { "FAILED" };
            output::line(&format!("{word} {} ({:.1} us)", run.name, run.microseconds))?;
            run.differences.iter().try_for_each(|line| output::line(&format!("       {line}")))?;
            if !run.differences.is_empty() {
                reasons(&run.decision).iter().try_for_each(|line| output::line(&format!("       {line}")))?;
            }
        }
    }
    if failed > 0 {
        return Err(Failure::Failed(format!("{failed} of {} examples do not hold", runs.len())));
    }
    match runs.len() {
        1 => eprintln!("1 example holds"),
        count => eprintln!("{count} examples hold"),
    }
    Ok(())
}

/// What a decision says of how it came about: why the call failed, and what the module logged.
fn reasons(decision: &Json) -> Vec<String> {
    let failed = decision["failed"].as_str().map(|why| format!("the call failed: {why}"));
    let lines = decision["log"].as_array().into_iter().flatten().filter_map(Json::as_str);
    failed.into_iter().chain(lines.map(|line| format!("log: {line}"))).collect()
}

fn replay(args: &TestArgs, against: &Path, samples: &Path, config: &str) -> Outcome {
    let (file, limits) = (&args.file, args.limits.limits()?);
    let other = args.against_config.as_deref().map(document).transpose()?;
    let other = other.as_deref().unwrap_or(config);
    let samples = match read(samples)? {
        none if none.examples.is_empty() => return Err(failed(samples, "there is no sample in it")),
        samples => samples,
    };
    let asked = |sample: &Example| {
        REPLAYED.map(|hook| {
            let mut example = Example { hook: hook.to_owned(), ..sample.clone() };
            // The topic of a sample is in its publisher's words; receivers know the broker's.
            if let (TO_AMQP, Some(message)) = (hook, &sample.message) {
                example.topic.clone_from(&message.topic);
            }
            example
        })
    };
    let examples: Vec<Example> = samples.examples.iter().flat_map(asked).collect();
    let (mut differing, mut at, mut is_comparison) = (0, 0, false);
    // In parts, as a document has no more than so many.
    for part in examples.chunks(limits.examples_max.max(1)) {
        let document = Examples { config: samples.config.clone(), examples: part.to_vec() };
        let new = run(limits, file, &bytes(file)?, &document, config)?;
        let old = run(limits, against, &bytes(against)?, &document, other)?;
        for ((new, old), example) in new.iter().zip(&old).zip(part) {
            at += 1;
            is_comparison |= new.has_hook || old.has_hook;
            if new.decision == old.decision {
                continue;
            }
            differing += 1;
            let sample = (at - 1) / REPLAYED.len() + 1;
            if args.json {
                let what = json!({
                    "sample": sample, "topic": example.topic, "hook": example.hook,
                    "new": new.decision, "old": old.decision,
                });
                output::json(&what)?;
                continue;
            }
            output::line(&format!("sample {sample}, {}, {}:", example.topic, example.hook))?;
            output::line(&format!("  - {}", old.decision))?;
            output::line(&format!("  + {}", new.decision))?;
        }
    }
    if !is_comparison {
        let why = "neither component has a hook that is replayed (topic-mapping, routing, retain-policy, translation): examples try \
                   the others";
        return Err(Failure::Failed(why.to_owned()));
    }
    eprintln!("{differing} decisions differ over {} samples", samples.examples.len());
    Ok(())
}

fn run(
    limits: wasm::Limits,
    file: &Path,
    component: &[u8],
    examples: &Examples,
    config: &str,
) -> Result<Vec<ExampleRun>, Failure> {
    let progress = Progress::start("compiling");
    let trial = Trial::new(limits)?;
    let runs = trial.modules().run_examples(component, examples, config);
    drop(progress);
    runs.map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

/// Examples beside a component, or within it.
fn found(file: &Path, component: &[u8]) -> Result<Examples, Failure> {
    let folder = file.parent().unwrap_or(Path::new("."));
    if let Some(path) = beside(folder) {
        return read(&path);
    }
    let carried = wasm::find_examples(component).map_err(Failure::Failed)?;
    let none = || Failure::Failed(format!("{} carries no examples, and none lie beside it", file.display()));
    carried.ok_or_else(none)
}

/// The file of examples in a module's folder.
pub(super) fn beside(folder: &Path) -> Option<PathBuf> {
    ["examples.toml", "examples.json"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// Reads a file of examples.
pub(super) fn read(path: &Path) -> Result<Examples, Failure> {
    let text = String::from_utf8(bytes(path)?).map_err(|_| failed(path, "it is no text"))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).map_err(|error| failed(path, error));
    }
    serde_json::from_str(&text).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| failed(path, error))
}

pub(super) fn record(args: &RecordArgs) -> Outcome {
    let filter = crate::cli::admin::escape(&args.filter);
    let path = format!("/api/v1/record?filter={filter}&count={}&seconds={}", args.count, args.seconds);
    let samples = args.admin.connect()?.call("POST", &path, None)?;
    output::pretty(&samples)
}
