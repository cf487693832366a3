//! `pliant module keygen` and `pliant module sign`: keys of the operator, and components signed with them.

use crate::cli::{Failure, Outcome, output};
use clap::Args;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// Where the secret key is written, readable for its owner only
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The component
    file: PathBuf,
    /// The secret key, as `pliant module keygen` made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Writes a secret key and prints the line for the broker's file of keys.
pub(super) fn keygen(args: &KeygenArgs) -> Outcome {
    let (secret, public) = crate::wasm::key_pair(rand::random());
    let failed = |error| Failure::Failed(format!("cannot write {}: {error}", args.file.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file).map_err(failed)?;
    writeln!(file, "{secret}").map_err(failed)?;
    output::line(&public).inspect_err(|_| {
        // Without the public key nobody can use it.
        let _ = std::fs::remove_file(&args.file);
    })
}

/// Prints a signature.
pub(super) fn sign(args: &SignArgs) -> Outcome {
    output::line(&signature(&args.key, &read(&args.file)?)?)
}

/// A component's signature by the key in a file.
pub(super) fn signature(key: &Path, component: &[u8]) -> Result<String, Failure> {
    let secret = read(key)?;
    let signature = crate::wasm::sign(&String::from_utf8_lossy(&secret), component);
    signature.ok_or_else(|| Failure::Failed(format!("{} holds no secret key", key.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
}
