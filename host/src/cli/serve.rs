//! `pliant serve`: run the broker until it is told to stop.

use super::{ConfigArgs, Failure, Outcome, log};
use crate::config::{Config, ConfigError, Sources};
use crate::server::{self, Attempt, Running};
use clap::Args;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// What the thread that starts the broker gets, as the first thread of a process has: modules are compiled on it.
const STACK_BYTES: usize = 8 << 20;

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
    let log = log::start(&args.log)?;
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
    let Some((running, mut waiting)) = start(&runtime, &mut signals, config, sources)? else {
        tracing::info!("stopped before it had started; nobody was let in");
        return Ok(());
    };
    log.count_in(running.broker().metrics());
    loop {
        match waiting.take().unwrap_or_else(|| runtime.block_on(signals.next())) {
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

/// Starts the broker on a thread of its own, so that a signal ends that at whatever point it is; with the broker what still has
/// to be done as a signal asked for it. None: it was told to stop before it let anybody in.
fn start(
    runtime: &Runtime,
    signals: &mut Signals,
    config: Config,
    sources: Sources,
) -> Result<Option<(Running, Option<Signal>)>, Failure> {
    let attempt = Arc::new(Attempt::default());
    let (tell, mut started) = oneshot::channel();
    let watched = attempt.clone();
    // Nobody hears it any more who has given it up.
    let start = move || drop(tell.send(server::start_watched(config, sources, &watched)));
    let thread = thread::Builder::new().name("start".into()).stack_size(STACK_BYTES).spawn(start);
    let thread = thread.map_err(Failure::failed)?;
    let mut waiting = None;
    let ended = runtime.block_on(async {
        loop {
            tokio::select! {
                ended = &mut started => break Some(ended),
                signal = signals.next() => match signal {
                    Signal::Stop if attempt.give_up() => break None,
                    Signal::Reload if matches!(waiting, Some(Signal::Stop)) => {}
                    signal => waiting = Some(signal),
                },
            }
        }
    });
    let Some(ended) = ended else { return Ok(None) };
    // A store that it has opened in vain is closed before the process ends.
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    match ended {
        Ok(started) => started.map(|running| Some((running, waiting))).map_err(Failure::failed),
        Err(_) => Err(Failure::Failed("the start ended without a result".to_owned())),
    }
}

fn reload(running: &Running) {
    // What came of it is in the log.
    drop(running.reload());
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
