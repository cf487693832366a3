//! The lines of a result file, and what is made of several rounds of them.

use serde::Deserialize;

/// One run, as far as summaries need it; a line has more.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    pub scenario: String,
    pub broker: String,
    /// Why there is no result.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    received: u64,
    #[serde(default)]
    expected: u64,
    #[serde(default)]
    sent_per_second: f64,
    #[serde(default)]
    received_per_second: f64,
    #[serde(default)]
    latency_microseconds: Latency,
    #[serde(default)]
    broker_cpu_microseconds_per_message: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

/// All rounds of one scenario with one broker.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    pub scenario: String,
    pub broker: String,
    /// Medians: microseconds of the broker's CPU for each message, messages a second, microseconds of latency.
    pub cpu: Option<f64>,
    pub rate: Option<f64>,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    /// Copies that did not arrive, in all rounds.
    pub lost: u64,
    /// Rounds without a result.
    pub failed: usize,
}

/// Reads a result file; an error says in which line it is.
pub(super) fn read(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row =
        |(at, line): (usize, &str)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1));
    lines.map(row).collect()
}

/// Scenarios, and in each its brokers, in the order in which they came first.
pub(super) fn summaries(rows: &[Row]) -> Vec<Summary> {
    let scenarios = unique(rows.iter().map(|row| row.scenario.as_str()));
    let brokers = unique(rows.iter().map(|row| row.broker.as_str()));
    let pairs = scenarios.iter().flat_map(|scenario| brokers.iter().map(move |broker| (*scenario, *broker)));
    pairs.filter_map(|(scenario, broker)| summary(rows, scenario, broker)).collect()
}

fn summary(rows: &[Row], scenario: &str, broker: &str) -> Option<Summary> {
    let all: Vec<&Row> = rows.iter().filter(|row| row.scenario == scenario && row.broker == broker).collect();
    let good: Vec<&Row> = all.iter().filter(|row| row.error.is_none()).copied().collect();
    let of = |figure: fn(&Row) -> Option<f64>| median(good.iter().filter_map(|row| figure(row)).collect());
    (!all.is_empty()).then(|| Summary {
        scenario: scenario.to_owned(),
        broker: broker.to_owned(),
        cpu: of(|row| row.broker_cpu_microseconds_per_message),
        rate: of(|row| Some(if row.expected > 0 { row.received_per_second } else { row.sent_per_second })),
        p50: of(|row| Some(row.latency_microseconds.p50)),
        p99: of(|row| Some(row.latency_microseconds.p99)),
        lost: good.iter().map(|row| row.expected.saturating_sub(row.received)).sum(),
        failed: all.len() - good.len(),
    })
}

/// Each once, in the order in which it comes first.
pub(super) fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}

/// The middle one, or what lies in the middle of two.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(f64::midpoint(figures[middle - 1], figures[middle])),
        _ => Some(figures[middle]),
    }
}

/// Three digits, for people.
pub(super) fn figure(value: f64) -> String {
    match value {
        small if small < 9.995 => format!("{small:.2}"),
        middle if middle < 99.95 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_medians_and_failures_are_counted() {
        let line = |broker: &str, cpu: f64, received: u64| {
            format!(
                "{{\"scenario\":\"s\",\"broker\":\"{broker}\",\"received\":{received},\"expected\":10,\"received_per_second\":5.0,\
                 \"latency_microseconds\":{{\"p50\":1,\"p99\":2}},\"broker_cpu_microseconds_per_message\":{cpu},\"more\":[]}}\n"
            )
        };
        let failed = "{\"scenario\":\"s\",\"broker\":\"b\",\"round\":3,\"error\":\"gone\"}\n\n";
        let text = line("b", 9.0, 10) + &line("a", 4.0, 10) + &line("b", 1.0, 7) + &line("b", 2.0, 10) + failed;
        let found = summaries(&read(&text).expect("lines that are read"));
        let told: Vec<_> = found.iter().map(|one| (one.broker.as_str(), one.cpu, one.lost, one.failed)).collect();
        assert_eq!(told, [("b", Some(2.0), 3, 1), ("a", Some(4.0), 0, 0)]);
        assert_eq!((found[0].rate, found[0].p99), (Some(5.0), Some(2.0)));
    }

    #[test]
    fn a_line_that_is_no_result_is_named() {
        for (text, at) in [("x", "line 1:"), ("\n{\"scenario\":\"s\"}", "line 2:"), ("[]", "line 1:")] {
            assert!(read(text).is_err_and(|error| error.starts_with(at)), "{text}");
        }
        assert_eq!(summaries(&[]), []);
    }

    #[test]
    fn medians_lie_in_the_middle() {
        for (figures, expected) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![4.0, 1.0], Some(2.5)), (vec![9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(figures), expected);
        }
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, expected) in [(0.123, "0.12"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")] {
            assert_eq!(figure(value), expected);
        }
    }
}
