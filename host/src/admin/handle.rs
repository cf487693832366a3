//! What stands for a name that is too long for the head of a request: its beginning, U+0001 and a digest of the whole.

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The longest name, in bytes, that stands for itself: escaped it is three times as long.
const LONG: usize = 1024;

/// Bytes of the beginning, at most.
const BEGINNING: usize = 128;

/// In no name of MQTT (`topic::is_forbidden`); one of AMQP that has it does not stand for itself either.
const MARK: char = '\u{1}';

/// Names that are looked at in one go.
const PAGE: usize = 100;

/// What stands for a name in requests: most stand for themselves.
pub(super) fn handle(name: &str) -> Cow<'_, str> {
    if name.len() <= LONG && !name.contains(MARK) {
        return name.into();
    }
    let digest = Sha256::digest(name);
    let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let beginning = name[..name.floor_char_boundary(BEGINNING)].split(MARK).next().unwrap_or_default();
    format!("{beginning}{MARK}{digest}").into()
}

/// Tells it in the entry of a list, where it is not the name.
pub(super) fn tell(name: &str, entry: &mut Map<String, Json>) {
    if let Cow::Owned(handle) = handle(name) {
        entry.insert("handle".to_owned(), handle.into());
    }
}

/// The name that was meant, of those that `names_after` has in their order; none: there is none of that handle.
pub(super) fn named(given: &str, names_after: impl Fn(&str, usize) -> Vec<String>) -> Option<String> {
    let Some((beginning, _)) = given.split_once(MARK) else { return Some(given.to_owned()) };
    let mut after = beginning.to_owned();
    loop {
        let names = names_after(&after, PAGE);
        after = names.last()?.clone();
        if let Some(found) = names.iter().find(|name| handle(name) == given) {
            return Some(found.clone());
        }
        if !after.starts_with(beginning) {
            return None;
        }
    }
}

/// The key after which a page begins. Where what the handle stood for has gone, those that begin alike come again.
pub(super) fn key_after(given: &str, names_after: impl Fn(&str, usize) -> Vec<String>) -> String {
    let beginning = || given.split(MARK).next().unwrap_or_default().to_owned();
    named(given, names_after).unwrap_or_else(beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_found_by_their_handles() {
        let long = |rest: &str| "ü".repeat(1000) + rest;
        let mut all: Vec<String> = (0..250).map(|n| long(&format!("{n:03}"))).collect();
        let marked = "a\u{1}0123456789abcdef0123456789abcdef".to_owned();
        all.splice(0..0, ["a".to_owned(), marked, "b".repeat(1024)]);
        all.push("ý".to_owned());
        let names_after = |after: &str, most: usize| {
            all.iter().filter(|name| name.as_str() > after).take(most).cloned().collect::<Vec<_>>()
        };
        for name in &all {
            assert!(handle(name).len() <= LONG, "{name}");
            assert_eq!(named(&handle(name), names_after).as_ref(), Some(name));
        }
        let gone = handle(&long("gone")).into_owned();
        assert_eq!(named(&gone, names_after), None);
        assert_eq!(key_after(&gone, names_after), "ü".repeat(64));
    }
}
