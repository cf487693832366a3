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
    if !document.trim_start().starts_with('{') {
        // Which serde would take for a struct's fields in their order.
        return Err(wrong("", "the document must be a JSON object, `{ … }`"));
    }
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
        if !words.is_empty() && !matches!(segment, Segment::Unknown) {
            words.push_str(", ");
        }
        match segment {
            Segment::Seq { index } => {
                write!(words, "entry {}", index + 1).expect("a string takes all");
            }
            Segment::Map { key } => words.push_str(key),
            Segment::Enum { variant } => words.push_str(variant),
            // Where the parser did not get far enough to know.
            Segment::Unknown => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        rules: Vec<Rule>,
        limits: std::collections::BTreeMap<String, u8>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        from: String,
    }

    #[test]
    fn an_empty_document_stands_for_an_empty_object() {
        for document in ["", "  \n", "{}", "{ }"] {
            assert_eq!(parse(document), Ok(Config::default()), "{document:?}");
        }
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (document, expected) in [
            (r#"{"rules": [{"from": "a"}, {"from": 3}]}"#, "rules, entry 2, from: invalid type: integer `3`"),
            (r#"{"rules": [{"form": "a"}]}"#, "rules, entry 1, form: unknown field `form`, expected `from`"),
            (r#"{"rules": [{}]}"#, "rules, entry 1: missing field `from`"),
            (r#"{"limits": {"a": 300}}"#, "limits, a: invalid value: integer `300`, expected u8"),
            (r#"{"rule": []}"#, "rule: unknown field `rule`, expected `rules` or `limits`"),
            ("{} x", "trailing characters"),
            ("{", "EOF while parsing an object"),
            ("[]", "the document must be a JSON object"),
            ("null", "the document must be a JSON object"),
        ] {
            let refusal = parse::<Config>(document).unwrap_err();
            assert!(refusal.reason.starts_with(&format!("configuration: {expected}")), "{}", refusal.reason);
        }
    }

    #[test]
    fn a_module_tells_its_own_faults_in_the_same_words() {
        assert_eq!(entry("rules", 1, "from", "it is empty").reason, "configuration: rules, entry 2, from: it is empty");
        assert_eq!(
            entry("rules", 0, "", "it decides nothing").reason,
            "configuration: rules, entry 1: it decides nothing"
        );
        assert_eq!(field("mount", "it is empty").reason, "configuration: mount: it is empty");
    }

    #[test]
    fn a_module_without_configuration_takes_no_key() {
        assert!(parse::<NoConfig>("{}").is_ok());
        let refusal = parse::<NoConfig>(r#"{"a": 1}"#).unwrap_err();
        assert!(refusal.reason.starts_with("configuration: a: unknown field `a`"), "{}", refusal.reason);
    }
}
