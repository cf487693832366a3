//! The bounds under which a module is tried offline: those of a broker with the same settings.

use crate::cli::Failure;
use crate::config::Sources;
use crate::wasm;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// The configuration file of the broker that the module is meant for, for its bounds on modules
    #[arg(long, value_name = "FILE")]
    broker_config: Option<PathBuf>,
    /// One of its settings, as in wasm.memory_bytes_max=67108864; may be given more than once
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

impl LimitArgs {
    /// Of the file, the environment and the flags, as for `pliant serve`.
    pub(super) fn limits(&self) -> Result<wasm::Limits, Failure> {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let sources = Sources { file: self.broker_config.clone(), environment, flags: self.set.clone() };
        Ok(sources.load().map_err(Failure::failed)?.wasm)
    }
}
