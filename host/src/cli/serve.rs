//! `pliant serve`: run the broker until it is told to stop.

use super::{ConfigArgs, Failure, Outcome, log};
use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    log: log::LogArgs,
}

pub(crate) fn run(args: &ServeArgs) -> Outcome {
    log::start(&args.log)?;
    let _config = args.config.sources().load().map_err(Failure::failed)?;
    Ok(())
}
