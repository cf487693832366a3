//! From the operator's JSON document to a module's own type, with errors that say where.

use alloc::{format, string::String};
use core::fmt::{Display, Write as _};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::types::Refusal;

/// The configuration of a module that has none. Any key is refused.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads a JSON document into `T`. An empty one stands for `{}`.
///
/// # Errors
/// Says which entry and field is wrong, and for an unknown field which ones there are:
/// `configuration: rules, entry 2, from: invalid type: integer 3, expected a string`.
/// Entries count from 1.
pub fn parse<T: DeserializeOwned>(document: &str) -> Result<T, Refusal> {
    let document = if document.trim().is_empty() { "{}" } else { document };
    let mut json = serde_json::Deserializer::from_str(document);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = place(error.path());
        wrong(&place, error.into_inner())
    })?;
    json.end().map_err(|error| wrong("", error))?;
    Ok(value)
}

/// The refusal for an entry of a list, in the same words as [`parse`]: `index` counts from 0
/// as in Rust, and from 1 in what the operator reads. An empty `field` blames the whole entry.
pub fn entry(list: &str, index: usize, field: &str, why: impl Display) -> Refusal {
    let mut place = format!("{list}, entry {}", index + 1);
    if !field.is_empty() {
        place.push_str(", ");
        place.push_str(field);
    }
    wrong(&place, why)
}

/// The refusal for one field of the document, in the same words as [`parse`].
pub fn field(name: &str, why: impl Display) -> Refusal {
    wrong(name, why)
}

fn wrong(place: &str, why: impl Display) -> Refusal {
    let colon = if place.is_empty() { "" } else { ": " };
    format!("configuration: {place}{colon}{why}").into()
}

/// `rules[1].from` in words: `rules, entry 2, from`.
fn place(path: &Path) -> String {
    let mut words = String::new();
    for segment in path {
        if !words.is_empty() {
            words.push_str(", ");
        }
        match segment {
            Segment::Seq { index } => {
                write!(words, "entry {}", index + 1).expect("a string takes all");
            }
            Segment::Map { key } => words.push_str(key),
            Segment::Enum { variant } => words.push_str(variant),
            Segment::Unknown => words.push('?'),
        }
    }
    words
}
