//! `pliant bench chart`: CPU a message by scenario, a bar for each broker, as SVG that reads well on light and dark pages.

use super::results::{self, Summary, figure};
use crate::cli::{Failure, Outcome, output};
use clap::Args;
use std::path::PathBuf;
use svg::node::element::{Description, Group, Line, Rectangle, Style, Text, Title};
use svg::{Document, Node};

#[derive(Debug, Clone, Args)]
pub(super) struct ChartArgs {
    /// What `pliant bench compare --out` has written
    #[arg(value_name = "RESULTS")]
    results: PathBuf,
    /// Where the chart goes; otherwise standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &ChartArgs) -> Outcome {
    let path = args.results.display();
    let failed = |reason: String| Failure::Failed(format!("{path}: {reason}"));
    let text = std::fs::read_to_string(&args.results).map_err(|error| failed(error.to_string()))?;
    let summaries = results::summaries(&results::read(&text).map_err(failed)?);
    let chart = draw(&summaries).ok_or_else(|| failed("no CPU times; give each --broker its #PID".to_owned()))?;
    match &args.out {
        Some(out) => std::fs::write(out, chart + "\n")
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", out.display()))),
        None => output::line(&chart),
    }
}

/// Colours that differ for everybody (Okabe and Ito); brokers beyond them begin anew.
const COLOURS: [&str; 6] = ["#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}\
    .quiet{fill:#59636e}.grid{stroke:#d1d9e0}@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}\
    .grid{stroke:#3d444d}}";

/// Measures in pixels: the picture, its names on the left, the room for figures on the right, what stands above, a bar.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 150.0;
const FIGURES: f64 = 60.0;
const HEAD: f64 = 86.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;

/// A logarithmic scale of whole decades.
struct Scale {
    /// Powers of ten.
    from: i32,
    to: i32,
}

impl Scale {
    /// What all figures lie on; none: there are none.
    fn new(figures: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let least = figures.clone().min_by(f64::total_cmp)?;
        let most = figures.max_by(f64::total_cmp)?;
        let from = least.log10().floor() as i32;
        Some(Self { from, to: (most.log10().ceil() as i32).max(from + 1) })
    }

    /// Pixels from the left.
    fn at(&self, figure: f64) -> f64 {
        let part = (figure.log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        ((NAMES + part.clamp(0.0, 1.0) * (WIDTH - NAMES - FIGURES)) * 10.0).round() / 10.0
    }
}

/// The chart; none: there is nothing to show.
fn draw(summaries: &[Summary]) -> Option<String> {
    let figures = || summaries.iter().filter_map(|one| one.cpu).filter(|cpu| *cpu > 0.0);
    let scale = Scale::new(figures())?;
    let shown = || summaries.iter().filter(|one| one.cpu.is_some_and(|cpu| cpu > 0.0));
    let scenarios = results::unique(shown().map(|one| one.scenario.as_str()));
    let brokers = results::unique(shown().map(|one| one.broker.as_str()));
    let group = BAR * brokers.len() as f64 + GAP;
    let height = HEAD + group * scenarios.len() as f64 + GAP;
    let mut chart = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("role", "img")
        .set("aria-labelledby", "title description")
        .add(Title::new("CPU that a broker needs for each message").set("id", "title"))
        .add(Description::new().set("id", "description").add(svg::node::Text::new(in_words(shown()))))
        .add(Style::new(STYLE))
        .add(text(8.0, 22.0, "CPU of the broker for each delivered message").set("class", "title"))
        .add(text(8.0, 40.0, "microseconds, median, shorter is better; logarithmic. connects, storm: a connection; retained-set: a value set").set("class", "quiet"))
        .add(legend(&brokers))
        .add(grid(&scale, height));
    for (at, scenario) in scenarios.iter().enumerate() {
        let top = HEAD + group * at as f64;
        let mut bars = Group::new();
        bars.append(text(NAMES - 8.0, top + (group - GAP) / 2.0 + 4.0, scenario).set("text-anchor", "end"));
        for one in shown().filter(|one| one.scenario == *scenario) {
            let row = brokers.iter().position(|broker| *broker == one.broker).unwrap_or_default();
            let (y, end) = (top + BAR * row as f64, scale.at(one.cpu.unwrap_or_default()));
            bars.append(bar(NAMES, y, (end - NAMES).max(1.0), row));
            bars.append(text(end + 4.0, y + BAR - 3.0, &told(one)));
        }
        chart.append(bars);
    }
    Some(chart.to_string())
}

fn bar(x: f64, y: f64, width: f64, broker: usize) -> Rectangle {
    let height = BAR - 2.0;
    Rectangle::new()
        .set("x", x)
        .set("y", y)
        .set("width", width)
        .set("height", height)
        .set("fill", COLOURS[broker % COLOURS.len()])
}

fn text(x: f64, y: f64, says: &str) -> Text {
    Text::new(says).set("x", x).set("y", y)
}

/// Which colour is whose.
fn legend(brokers: &[&str]) -> Group {
    let mut x = 8.0;
    brokers.iter().enumerate().fold(Group::new(), |legend, (at, broker)| {
        let legend = legend.add(bar(x, 51.0, 11.0, at)).add(text(x + 16.0, 61.0, broker));
        x += 40.0 + 7.0 * broker.chars().count() as f64;
        legend
    })
}

/// A line for each decade.
fn grid(scale: &Scale, height: f64) -> Group {
    (scale.from..=scale.to).fold(Group::new(), |grid, power| {
        let x = scale.at(10_f64.powi(power));
        let line =
            Line::new().set("x1", x).set("x2", x).set("y1", HEAD - 4.0).set("y2", height - GAP).set("class", "grid");
        let label =
            text(x, HEAD - 9.0, &10_f64.powi(power).to_string()).set("class", "quiet").set("text-anchor", "middle");
        grid.add(line).add(label)
    })
}

/// A figure, and whether copies were lost on the way to it.
fn told(one: &Summary) -> String {
    let cpu = figure(one.cpu.unwrap_or_default());
    if one.lost > 0 { format!("{cpu} (lost {})", one.lost) } else { cpu }
}

/// The same for who does not see it.
fn in_words<'a>(shown: impl Iterator<Item = &'a Summary>) -> String {
    let words = |one: &Summary| format!("{} with {}: {}", one.scenario, one.broker, told(one));
    format!("Microseconds. {}.", shown.map(words).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use svg::node::element::tag::Type;
    use svg::parser::Event;

    fn summary(scenario: &str, broker: &str, cpu: Option<f64>) -> Summary {
        let (scenario, broker) = (scenario.to_owned(), broker.to_owned());
        Summary { scenario, broker, cpu, rate: None, p50: None, p99: None, lost: 0, failed: 0 }
    }

    #[test]
    fn a_chart_is_well_formed_and_has_a_bar_for_each_figure() {
        let of = [
            summary("s1", "<b> & \"c\"", Some(5.88)),
            summary("s1", "d", Some(0.7)),
            Summary { lost: 3, ..summary("s2", "d", Some(120.0)) },
            summary("s3", "d", None),
        ];
        let chart = draw(&of).expect("there are figures");
        let (mut open, mut bars, mut texts) = (Vec::new(), 0, String::new());
        for event in svg::read(&chart).expect("it is read") {
            match event {
                Event::Tag(name, Type::Start, _) => open.push(name.to_owned()),
                Event::Tag(name, Type::End, _) => assert_eq!(open.pop().as_deref(), Some(name)),
                Event::Tag(name, Type::Empty, _) => bars += usize::from(name == "rect"),
                Event::Text(text) => texts += text,
                Event::Error(error) => panic!("{error}"),
                _ => {}
            }
        }
        // Three figures, and two brokers in the legend.
        assert_eq!((open.len(), bars), (0, 5), "{chart}");
        for says in ["&lt;b&gt; &amp;", "5.88", "0.70", "120 (lost 3)", "s1 with d: 0.70", "1000"] {
            assert!(texts.contains(says), "{says}: {texts}");
        }
        assert!(!texts.contains("s3"));
    }

    #[test]
    fn without_figures_there_is_no_chart() {
        for none in [&[][..], &[summary("s", "b", None)], &[summary("s", "b", Some(0.0))]] {
            assert_eq!(draw(none), None);
        }
    }

    #[test]
    fn the_scale_begins_and_ends_at_whole_decades() {
        for (figures, expected) in
            [(&[0.4, 30.0][..], (-1, 2)), (&[1.0], (0, 1)), (&[10.0, 100.0], (1, 2)), (&[7.0], (0, 1))]
        {
            let scale = Scale::new(figures.iter().copied()).expect("there are figures");
            assert_eq!((scale.from, scale.to), expected, "{figures:?}");
            assert!(figures.iter().all(|figure| (NAMES..=WIDTH - FIGURES).contains(&scale.at(*figure))));
        }
    }
}
