//! The list of scenarios for durability, hostile input and overload names rows that exist, or says why there is none.

use crate::house::root;
use std::collections::BTreeSet;
use std::fs;

/// The ids of the list: decisions, durability, hostile input, overload.
fn ids() -> BTreeSet<String> {
    let some =
        |letter: &str, count: u32| (1..=count).map(move |number| format!("{letter}{number}")).collect::<Vec<_>>();
    [some("D", 14), some("G", 10), some("X", 10), some("O", 8)].concat().into_iter().collect()
}

/// Whether a file has this row.
fn exists(row: &str) -> bool {
    let Some((file, name)) = row.split_once("::") else { return root().join(row).exists() };
    let source = fs::read_to_string(root().join(file)).unwrap_or_default();
    let head_of = |test: &str| test.split('{').next().unwrap_or_default().contains(&format!("fn {name}("));
    source.split("#[test]").skip(1).any(head_of)
}

#[test]
fn every_scenario_has_a_row_or_a_reason() {
    let text = fs::read_to_string(root().join("tests/durability/scenarios.txt")).expect("the list");
    let (mut seen, mut faults) = (BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [id, what, evidence, less] = columns[..] else { panic!("four columns, not: {line}") };
        assert!(!what.is_empty() && (!evidence.is_empty() || !less.is_empty()), "{id} says too little");
        if !seen.insert(id.to_owned()) {
            faults.push(format!("{id} stands twice"));
        }
        let rows = evidence.split(',').map(str::trim).filter(|row| !row.is_empty());
        faults.extend(rows.filter(|row| !exists(row)).map(|row| format!("{id}: there is no {row}")));
    }
    faults.extend(ids().difference(&seen).map(|id| format!("{id} is missing")));
    faults.extend(seen.difference(&ids()).map(|id| format!("{id} is no scenario")));
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
