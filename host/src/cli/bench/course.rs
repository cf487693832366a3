//! How a run goes: subscribers that are there while publishers publish, or that come later.

use super::heard::Heard;
use super::play::Run;
use super::report::Report;
use super::scenario::Timed;
use super::span::{Mark, Span};
use super::{LOOK, publisher, subscriber};
use crate::cli::Failure;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How long subscribers are waited for once nothing more comes.
const PATIENCE: Duration = Duration::from_secs(3);

/// Subscribers listen while publishers publish.
pub(super) fn live<S, P>(
    run: &Arc<Run>,
    subscriber: impl Fn(u32) -> Result<S, Failure>,
    publisher: impl Fn(u32) -> Result<P, Failure>,
) -> Result<Report, Failure>
where
    S: FnOnce() -> Result<Heard, Failure> + Send + 'static,
    P: FnOnce() -> Result<(), Failure> + Send + 'static,
{
    let subscribers = start("subscriber", run.plan.subscribers, subscriber)?;
    let publishers = (0..run.plan.publishers).map(publisher).collect::<Result<Vec<_>, _>>()?;
    let mark = Mark::new(run)?;
    let publishers = spawn("publisher", publishers)?;
    let span = run.plan.timed.map(|timed| during(run, timed)).transpose()?;
    let sent = publishers.into_iter().map(join).collect::<Result<Vec<_>, _>>();
    let published = run.micros() - mark.at;
    if sent.is_ok() {
        wait_for_copies(run);
    }
    let whole = mark.end(run)?;
    let heard = listened(run, subscribers)?;
    sent?;
    Ok(match span {
        Some(span) => Report::of_time(run, &span, heard),
        None => Report::new(run, &whole, published, heard),
    })
}

/// What passes in so much time; then publishers end.
fn during(run: &Run, timed: Timed) -> Result<Span, Failure> {
    sleep(timed.warm_up);
    run.is_measured.store(true, Ordering::Relaxed);
    let mark = Mark::new(run)?;
    sleep(timed.measured);
    let span = mark.end(run)?;
    run.is_measured.store(false, Ordering::Relaxed);
    run.enough.store(true, Ordering::Relaxed);
    Ok(span)
}

/// Publishers set values; then subscribers come and are sent all of them. The values are deleted in the end.
pub(super) fn retained(run: &Arc<Run>) -> Result<Report, Failure> {
    let (set, published) = publish(run)?;
    if run.plan.subscribers == 0 {
        publisher::forget(run)?;
        return Ok(Report::new(run, &set, published, Vec::new()));
    }
    let mark = Mark::new(run)?;
    let subscribers = start("subscriber", run.plan.subscribers, |number| subscriber::open(run, number))?;
    let report = come(run, &mark, published, subscribers)?;
    publisher::forget(run)?;
    Ok(report)
}

/// Subscribers leave sessions behind, publishers publish, and the subscribers come back for what has been kept for them.
pub(super) fn offline(run: &Arc<Run>) -> Result<Report, Failure> {
    for number in 0..run.plan.subscribers {
        subscriber::leave(run, number)?;
    }
    let (_, published) = publish(run)?;
    let mark = Mark::new(run)?;
    let subscribers = start("subscriber", run.plan.subscribers, |number| subscriber::resume(run, number))?;
    come(run, &mark, published, subscribers)
}

/// Publishes all there is; how many microseconds it took, besides.
fn publish(run: &Arc<Run>) -> Result<(Span, u64), Failure> {
    let mark = Mark::new(run)?;
    let publishers = start("publisher", run.plan.publishers, |number| publisher::open(run, number))?;
    publishers.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    Ok((mark.end(run)?, run.micros() - mark.at))
}

/// Waits for subscribers that came when all had been published.
fn come(
    run: &Run,
    mark: &Mark,
    published: u64,
    subscribers: Vec<JoinHandle<Result<Heard, Failure>>>,
) -> Result<Report, Failure> {
    wait_for_copies(run);
    let span = mark.end(run)?;
    let heard = listened(run, subscribers)?;
    Ok(Report::new(run, &span, published, heard))
}

/// Stops subscribers.
fn listened(run: &Run, subscribers: Vec<JoinHandle<Result<Heard, Failure>>>) -> Result<Vec<Heard>, Failure> {
    run.stop.store(true, Ordering::Relaxed);
    subscribers.into_iter().map(join).collect()
}

/// Makes so many connections, then lets each run on a thread of its own.
fn start<T: Send + 'static, W: FnOnce() -> Result<T, Failure> + Send + 'static>(
    name: &str,
    many: u32,
    open: impl Fn(u32) -> Result<W, Failure>,
) -> Result<Vec<JoinHandle<Result<T, Failure>>>, Failure> {
    let work = (0..many).map(open).collect::<Result<Vec<_>, _>>()?;
    spawn(name, work)
}

/// Lets each run on a thread of its own.
fn spawn<T: Send + 'static, W: FnOnce() -> Result<T, Failure> + Send + 'static>(
    name: &str,
    work: Vec<W>,
) -> Result<Vec<JoinHandle<Result<T, Failure>>>, Failure> {
    let spawn = |work| std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Failure::failed);
    work.into_iter().map(spawn).collect()
}

fn join<T>(thread: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::Failed("a thread of the bench panicked".to_owned())))
}

/// Until all copies are there, or none came for a while.
fn wait_for_copies(run: &Run) {
    let expected = run.plan.expected(run.sent.load(Ordering::Relaxed));
    let (mut seen, mut since) = (0, Instant::now());
    while seen < expected && since.elapsed() < PATIENCE {
        sleep(LOOK);
        let now = run.received.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}
