//! The lists of normative statements, and of bad inputs, are whole and name only rows that exist.

use crate::house::root;
use std::collections::BTreeMap;
use std::fs;

/// How many statements each section of a specification has (appendix B), as `section: count`.
const V5: &str = "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:5 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 \
     3.3.1:13 3.3.2:20 3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 \
     3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 4.2:1 \
     4.3.1:1 4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 4.12.0:7 4.12.1:2 \
     4.13.1:1 4.13.2:1 6.0.0:4";
const V311: &str = "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 \
     3.3.5:2 3.6.1:1 3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 \
     4.3.2:2 4.3.3:2 4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4";

/// One line of a list.
struct Statement {
    id: String,
    section: String,
    evidence: String,
}

/// How many bad inputs there are of each kind: framing, UTF-8, topics, properties, QoS, sessions, transports, admin.
const BAD_INPUTS: &str = "F:25 U:7 T:19 P:19 Q:12 S:15 W:9 H:9";

fn list(name: &str) -> Vec<Statement> {
    let text = fs::read_to_string(root().join("tests/mqtt/statements").join(name)).expect("a list of statements");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [id, words, evidence] = columns[..] else { panic!("three columns, not: {line}") };
            assert!(!words.is_empty(), "{id} says nothing");
            let section = match id.strip_prefix("MQTT-") {
                Some(id) => id.rsplit_once('-').expect("MQTT-section-number").0,
                None => &id[..1],
            };
            Statement { id: id.to_owned(), section: section.to_owned(), evidence: evidence.to_owned() }
        })
        .collect()
}

#[test]
fn the_lists_are_whole() {
    for (name, sections, in_all) in
        [("v5.txt", V5, 251), ("v3_1_1.txt", V311, 137), ("bad_inputs.txt", BAD_INPUTS, 115)]
    {
        let list = list(name);
        let expected: BTreeMap<&str, usize> = sections
            .split_whitespace()
            .map(|entry| entry.split_once(':').expect("section:count"))
            .map(|(section, count)| (section, count.parse().expect("a count")))
            .collect();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for statement in &list {
            *found.entry(&statement.section).or_default() += 1;
            assert!(ids.insert(&statement.id), "{} stands twice in {name}", statement.id);
        }
        assert_eq!((found, list.len()), (expected, in_all), "{name}");
    }
}

#[test]
fn the_lists_name_rows_that_exist() {
    let mut faults = Vec::new();
    for name in ["v5.txt", "v3_1_1.txt", "bad_inputs.txt"] {
        for Statement { id, evidence, .. } in list(name) {
            let reason = evidence.strip_prefix("client:").or_else(|| evidence.strip_prefix("untested:"));
            match reason {
                Some(reason) if reason.trim().is_empty() => faults.push(format!("{name}, {id}: why?")),
                Some(_) => {}
                None => {
                    let missing = evidence.split(',').map(str::trim).filter(|row| !exists(row));
                    faults.extend(missing.map(|row| format!("{name}, {id}: there is no row {row}")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Whether a row is there: `mqtt::qos::name` in tests/mqtt/qos.rs, `host::mqtt::answers::name` in
/// host/src/mqtt/tests/answers.rs, `host::net::frames::name` in host/src/net/frames.rs, `host::broker::name` in
/// host/src/broker/tests.rs.
fn exists(row: &str) -> bool {
    let path: Vec<&str> = row.split("::").collect();
    let (files, name) = match path[..] {
        ["host", room, name] => (vec![format!("host/src/{room}/tests.rs")], name),
        ["host", room, folder, file, name] => (vec![format!("host/src/{room}/{folder}/{file}.rs")], name),
        ["host", room, file, name] => {
            (vec![format!("host/src/{room}/tests/{file}.rs"), format!("host/src/{room}/{file}.rs")], name)
        }
        [folder, file, name] => (vec![format!("tests/{folder}/{file}.rs")], name),
        [folder, inner, file, name] => (vec![format!("tests/{folder}/{inner}/{file}.rs")], name),
        _ => return false,
    };
    let head_of = |test: &str| test.split('{').next().unwrap_or_default().contains(&format!("fn {name}("));
    files.iter().any(|file| {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        source.split("#[test]").skip(1).any(head_of)
    })
}
