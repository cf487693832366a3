//! Compiles a component in a process of its own first, so that one made to exhaust the compiler costs a child its life and
//! the broker nothing. What the child could compile within its bounds, it leaves with the machine code that is kept; where
//! none is, the broker compiles it again, as the compiler does the same each time.

use super::component;
use super::engine::Engine;
use super::error::DeployError;
use super::limits::Limits;
use super::machine_code::MachineCode;
use super::priority;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The hidden subcommand that the child is started with.
pub const SUBCOMMAND: &str = "compile-component";

/// Bytes of the child's words that are read.
const WORDS_BYTES_MAX: u64 = 4_096;

/// The child stops itself after so many seconds of a processor. It is given as many times that by the clock, as it may have to
/// wait for one.
const WAITS_FOR_A_PROCESSOR: u32 = 6;

/// What a process gets that has no memory, and one that has had its time (POSIX; the numbers are Linux's).
const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

/// How often the child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Compiles, and keeps the machine code where there is a place for it: what the child does, under whatever bounds its process
/// has.
///
/// # Errors
/// Why the component cannot be deployed.
pub fn try_to_compile(limits: &Limits, keep: Option<MachineCode>, bytes: &[u8]) -> Result<(), DeployError> {
    priority::stand_back(priority::Back::ALittle);
    let engine = Engine::for_compiling(limits, keep).map_err(|error| DeployError::Invalid(format!("{error:#}")))?;
    component::compile(&engine, limits, bytes).map(drop)
}

/// Lets a child try.
pub(super) fn in_child(
    program: &Path,
    limits: &Limits,
    keep: Option<&MachineCode>,
    bytes: &[u8],
) -> Result<(), DeployError> {
    // What costs nothing to refuse is refused here.
    component::check_head(limits, bytes)?;
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND);
    command.args(["--memory-bytes", &limits.compile_memory_bytes_max.to_string()]);
    command.args(["--seconds", &limits.compile_seconds_max.to_string()]);
    command.args(["--component-bytes", &limits.component_bytes_max.to_string()]);
    if let Some(keep) = keep {
        command.arg("--machine-code-dir").arg(keep.root());
        command.args(["--machine-code-bytes", &keep.bytes_max().to_string()]);
    }
    // The allocator would claim its first GiB at once, and the child is not to have that much.
    command.env_clear().env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| DeployError::NoCompiler(error.to_string()))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let patience = Duration::from_secs(limits.compile_seconds_max) * WAITS_FOR_A_PROCESSOR;
    let (ended, words) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that dies before it has read everything is told of below.
            let _ = input.map(|mut input| input.write_all(bytes));
        });
        let reading = scope.spawn(move || {
            let mut words = Vec::new();
            // Likewise.
            let _ = output.map(|output| output.take(WORDS_BYTES_MAX).read_to_end(&mut words));
            words
        });
        let ended = wait(&mut child, patience);
        (ended, reading.join().unwrap_or_default())
    });
    let Some(status) = ended else { return Err(DeployError::WaitsTooLong(patience.as_secs())) };
    match status.code() {
        Some(0) => Ok(()),
        Some(1) if !words.is_empty() => Err(DeployError::Refused(String::from_utf8_lossy(&words).into_owned())),
        _ => Err(too_much(limits, status)),
    }
}

/// Which bound a child ran into that could say nothing.
fn too_much(limits: &Limits, status: ExitStatus) -> DeployError {
    match status.signal() {
        Some(SIGXCPU) => DeployError::CompilesTooLong(limits.compile_seconds_max),
        // What cannot have memory aborts.
        Some(SIGABRT) => DeployError::CompilesTooBig(limits.compile_memory_bytes_max >> 20),
        _ => DeployError::CompilerDied(status.to_string()),
    }
}

/// Waits for the child, and kills it when its time is over.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Err(_) => break,
        }
    }
    // It may have ended by itself just now.
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The low bits of a raw status are the signal.
    #[test]
    fn a_child_that_is_ended_names_the_bound_and_its_setting() {
        let limits = Limits::default();
        for (signal, says) in [
            (SIGXCPU, &["60 s of a processor", "wasm.compile_seconds_max"][..]),
            (SIGABRT, &["512 MiB", "wasm.compile_memory_bytes_max"]),
            (9, &["signal: 9", "wasm.compile_memory_bytes_max", "wasm.compile_seconds_max"]),
        ] {
            let error = too_much(&limits, ExitStatus::from_raw(signal)).to_string();
            assert!(says.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
