//! `pliant check`: is the configuration right, and do the modules it names work?

use super::{ConfigArgs, Failure, Outcome, output};
use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print every setting with its value as one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CheckArgs) -> Outcome {
    let config = args.config.sources().load().map_err(Failure::failed)?;
    let effective = crate::config::effective(&config);
    if args.json {
        return output::json(&effective.into_iter().collect::<serde_json::Map<_, _>>());
    }
    output::line(&format!("the configuration is right: {} settings", effective.len()))
}
