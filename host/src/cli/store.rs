//! `pliant store`: look after a data directory while no broker uses it.

use super::progress::Progress;
use super::{Failure, Outcome, output};
use crate::store::{self, Limits};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "PLIANT__DATA_DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read every row and verify every checksum
    #[command(after_help = "Example:\n  pliant store check --data-dir /var/lib/pliant")]
    Check,
    /// Write all that is in it to standard output, one JSON document a line
    #[command(after_help = "Example:\n  pliant store export --data-dir /var/lib/pliant > store.jsonl")]
    Export,
    /// Give unused space back to the file system
    #[command(after_help = "Example:\n  pliant store compact --data-dir /var/lib/pliant")]
    Compact,
}

pub(crate) fn run(args: &StoreArgs) -> Outcome {
    match args.command {
        StoreCommand::Check => check(args),
        StoreCommand::Export => super::store_export::export(&args.data_dir),
        StoreCommand::Compact => compact(args),
    }
}

fn check(args: &StoreArgs) -> Outcome {
    let progress = Progress::start("reading the store");
    let checked = store::check(&args.data_dir, &Limits::default()).map_err(Failure::failed)?;
    drop(progress);
    let (loaded, intact) = (&checked.loaded, checked.intact && checked.loaded.damaged == 0);
    if args.json {
        output::json(&serde_json::json!({
            "intact": intact,
            "damaged_rows": loaded.damaged,
            "retained_messages": loaded.retained.len(),
            "mailboxes": loaded.mailboxes.len(),
            "wills": loaded.wills.len(),
            "modules": loaded.modules.len(),
        }))?;
    } else {
        output::line(&format!(
            "{} retained messages, {} mailboxes, {} wills, {} modules, {} damaged rows",
            loaded.retained.len(),
            loaded.mailboxes.len(),
            loaded.wills.len(),
            loaded.modules.len(),
            loaded.damaged
        ))?;
    }
    if intact { Ok(()) } else { Err(Failure::Failed(format!("the store in {} is damaged", args.data_dir.display()))) }
}

fn compact(args: &StoreArgs) -> Outcome {
    let progress = Progress::start("compacting the store");
    let (before, after) = store::compact(&args.data_dir, &Limits::default()).map_err(Failure::failed)?;
    drop(progress);
    match args.json {
        true => output::json(&serde_json::json!({ "bytes_before": before, "bytes_after": after })),
        false => output::line(&format!("{before} bytes before, {after} bytes now")),
    }
}
