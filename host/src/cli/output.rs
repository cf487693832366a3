//! Standard output that may be closed by its reader.

use super::{Failure, Outcome, plain};
use std::io::{ErrorKind, Write};

/// Writes one line, or several.
pub(crate) fn line(text: &str) -> Outcome {
    bytes(format!("{}\n", plain::lines(text)).as_bytes())
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
    bytes_to(&mut std::io::stdout().lock(), bytes)
}

/// Writes a JSON document on one line.
pub(crate) fn json(document: &impl serde::Serialize) -> Outcome {
    document_as(&serde_json::to_string(document).map_err(Failure::failed)?)
}

/// Writes a JSON document as people read it.
pub(crate) fn pretty(document: &impl serde::Serialize) -> Outcome {
    document_as(&serde_json::to_string_pretty(document).map_err(Failure::failed)?)
}

/// Writes a JSON document as it was written.
pub(crate) fn document_as(written: &str) -> Outcome {
    bytes(format!("{}\n", plain::json(written)).as_bytes())
}

/// Writes rows under a heading, each column as wide as it needs.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Outcome {
    let heading = heading.map(str::to_owned);
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| plain::word(cell))).collect();
    let width = |n: usize| rows.iter().chain([&heading]).map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in [&heading].into_iter().chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A time of the broker as people read it, in UTC: `2026-01-31T12:00:00.000Z`.
pub(crate) fn time(milliseconds: u64) -> String {
    let at = i64::try_from(milliseconds).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| format!("{milliseconds} ms"), |at| format!("{at:.3}"))
}

fn bytes_to(out: &mut impl Write, bytes: &[u8]) -> Outcome {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_218_800_186, "2026-11-20T23:53:20.186Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(milliseconds), expected);
        }
    }
}
