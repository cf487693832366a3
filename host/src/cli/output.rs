//! Standard output that may be closed by its reader.

use super::{Failure, Outcome};
use std::io::{ErrorKind, Write};

/// Writes one line.
pub(crate) fn line(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    bytes_to(&mut out, &[text.as_bytes(), b"\n"].concat())
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
    bytes_to(&mut std::io::stdout().lock(), bytes)
}

/// Writes a JSON document on one line.
pub(crate) fn json(document: &impl serde::Serialize) -> Outcome {
    line(&serde_json::to_string(document).map_err(Failure::failed)?)
}

/// Writes rows under a heading, each column as wide as it needs.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Outcome {
    let heading = heading.map(str::to_owned);
    let width = |n: usize| rows.iter().chain([&heading]).map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in [&heading].into_iter().chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn bytes_to(out: &mut impl Write, bytes: &[u8]) -> Outcome {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}
