//! `pliant serve`: run the broker until it is told to stop.

use super::{ConfigArgs, Failure, Outcome, log};
use crate::config::ConfigError;
use clap::Args;
use tokio::signal::unix::{self, SignalKind};

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    log: log::LogArgs,
}

/// What the system may ask of a running broker.
enum Signal {
    Stop,
    Reload,
}

pub(crate) fn run(args: &ServeArgs) -> Outcome {
    log::start(&args.log)?;
    let sources = args.config.sources();
    let (mut config, origins) = sources.load_with_origins().map_err(|error| Failure::config(&error))?;
    let wrong = crate::server::unreadable(&config, &origins);
    if !wrong.is_empty() {
        return Err(Failure::failed(ConfigError(wrong)));
    }
    config.program = std::env::current_exe().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    // From here on a signal is noted, also one that comes while the broker starts.
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(Failure::failed)?;
    let running = crate::server::start_from(config, sources).map_err(Failure::failed)?;
    loop {
        match runtime.block_on(signals.next()) {
            Signal::Stop => break,
            Signal::Reload => reload(&running),
        }
    }
    tracing::info!("stopping");
    match running.stop() {
        true => Ok(()),
        false => Err(Failure::Failed("the disk did not take everything; see the log".to_owned())),
    }
}

fn reload(running: &crate::server::Running) {
    match running.reload() {
        Ok(reloaded) => tracing::info!(
            applied = reloaded.applied.join(","),
            restart_needed = reloaded.restart_needed.join(","),
            waiting = reloaded.waiting.join("; "),
            canaries_ended = reloaded.canaries_ended.join("; "),
            failed = reloaded.failed.join("; "),
            "read the configuration again"
        ),
        Err(error) => tracing::error!("the configuration is not taken over: {}", error.replace('\n', "; ")),
    }
}

struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    /// Its default would end the process where a file may not grow: as a failed write it is dealt with.
    _file_size: unix::Signal,
}

/// SIGXFSZ on all systems that have it.
const FILE_SIZE: i32 = 25;

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
            _file_size: unix::signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
