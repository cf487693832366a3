//! The text format in which Prometheus reads figures.

use std::fmt::Write;

/// Media type of the text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Builds the text.
#[derive(Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a figure: its name without the prefix, `counter`, `gauge` or `summary`, and what it says.
    pub(super) fn figure(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP pliant_{name} {}", help.replace('\\', r"\\").replace('\n', r"\n")));
        self.line(format_args!("# TYPE pliant_{name} {kind}"));
    }

    /// One value of a figure.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        if labels.is_empty() {
            return self.line(format_args!("pliant_{name} {value}"));
        }
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        self.line(format_args!("pliant_{name}{{{}}} {value}", labels.join(",")));
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes any text");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut text = Exposition::default();
        text.figure("clients", "gauge", "Attached clients.");
        text.sample("clients", &[], 3);
        text.sample("module_calls_total", &[("module", "a\"b\\c\n"), ("hook", "routing")], 7);
        let expected = "# HELP pliant_clients Attached clients.\n# TYPE pliant_clients gauge\npliant_clients 3\n\
                        pliant_module_calls_total{module=\"a\\\"b\\\\c\\n\",hook=\"routing\"} 7\n";
        assert_eq!(text.finish(), expected);
    }
}
