//! `pliant compile-component`: what a broker starts as a child to try a component on. Not for people.

use super::{Failure, Outcome, output};
use crate::wasm::{self, MachineCode};
use clap::Parser;
use rlimit::Resource;
use std::io::Read;
use std::path::PathBuf;

/// Where the child's address space ends, beyond the memory that it may fill: reservations cost nothing.
const ADDRESS_SPACE: u64 = 16 << 30;

#[derive(Debug, Clone, Parser)]
pub(crate) struct CompileArgs {
    /// Bytes of memory that compiling may take
    #[arg(long)]
    memory_bytes: u64,
    /// Seconds of processor time that it may take
    #[arg(long)]
    seconds: u64,
    /// Bytes of a component
    #[arg(long)]
    component_bytes: usize,
    /// Where machine code is kept
    #[arg(long, requires = "machine_code_bytes")]
    machine_code_dir: Option<PathBuf>,
    /// Bytes of it that may be kept
    #[arg(long, default_value_t = 0)]
    machine_code_bytes: u64,
}

/// Reads a component from standard input. Exit code 0: it can be compiled; 1: the reason is on standard output.
pub(crate) fn run(args: &CompileArgs) -> Outcome {
    let bounds = [
        (Resource::DATA, args.memory_bytes, args.memory_bytes),
        (Resource::AS, ADDRESS_SPACE, ADDRESS_SPACE),
        // The first one ends it by a signal that says why.
        (Resource::CPU, args.seconds.max(1), args.seconds.max(1) + 1),
        (Resource::CORE, 0, 0),
    ];
    for (resource, bound, last) in bounds {
        // A bound that the system does not know is left to the others and to the parent's patience.
        let _ = rlimit::setrlimit(resource, bound, last);
    }
    let limits = wasm::Limits { component_bytes_max: args.component_bytes, ..wasm::Limits::default() };
    let mut bytes = Vec::new();
    let most = args.component_bytes as u64 + 1;
    std::io::stdin().take(most).read_to_end(&mut bytes).map_err(Failure::failed)?;
    let keep = args.machine_code_dir.as_ref().and_then(|root| MachineCode::join(root, args.machine_code_bytes));
    match wasm::try_to_compile(&limits, keep, &bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            output::bytes(error.to_string().as_bytes())?;
            Err(Failure::Failed(error.to_string()))
        }
    }
}
