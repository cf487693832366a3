//! What differs between a decision and what was expected of it.

use serde_json::Value as Json;

/// One line for each place where `expected` says something that `actual` does not: fields that `expected` leaves out are
/// not looked at, lists are compared item by item.
pub fn differences(expected: &Json, actual: &Json) -> Vec<String> {
    let mut found = Vec::new();
    compare("", expected, actual, &mut found);
    found
}

fn compare(place: &str, expected: &Json, actual: &Json, found: &mut Vec<String>) {
    match (expected, actual) {
        (Json::Object(expected), Json::Object(actual)) => {
            for (key, value) in expected {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                compare(&place, value, actual.get(key).unwrap_or(&Json::Null), found);
            }
        }
        (Json::Array(expected), Json::Array(actual)) if expected.len() == actual.len() => {
            for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{place}[{at}]"), expected, actual, found);
            }
        }
        (expected, actual) if expected == actual => {}
        (expected, actual) => {
            let place = if place.is_empty() { "decision" } else { place };
            found.push(format!("{place}: expected {expected}, got {actual}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_expected_is_looked_at() {
        let actual = json!({ "pass": { "topic": "a", "qos": 1 }, "also": [{ "topic": "b" }, { "topic": "c" }] });
        for (expected, found) in [
            (json!({}), vec![]),
            (json!({ "pass": { "topic": "a" } }), vec![]),
            (json!({ "also": [{}, { "topic": "c" }] }), vec![]),
            (json!({ "pass": { "topic": "x" } }), vec![r#"pass.topic: expected "x", got "a""#]),
            (json!({ "also": [{}] }), vec![r#"also: expected [{}], got [{"topic":"b"},{"topic":"c"}]"#]),
            (json!({ "also": [{}, { "topic": 7 }] }), vec![r#"also[1].topic: expected 7, got "c""#]),
            (json!({ "refuse": {} }), vec!["refuse: expected {}, got null"]),
            (json!("discard"), vec![]),
        ] {
            let differences = differences(&expected, &actual);
            if expected != json!("discard") {
                assert_eq!(differences, found, "{expected}");
            } else {
                assert!(differences[0].starts_with(r#"decision: expected "discard", got {"#));
            }
        }
    }
}
