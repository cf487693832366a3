//! `pliant bridge`: how the bridges of a running broker stand.

use super::admin::AdminArgs;
use super::{Outcome, output, plain};
use clap::{Args, Subcommand};
use serde_json::Value as Json;

#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Each bridge with its state, what went through it and what waits
    #[command(after_help = "Example:\n  pliant bridge list --json")]
    List {
        /// Print the API's answer as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &BridgeArgs) -> Outcome {
    let Verb::List { json } = args.verb;
    let document = args.admin.connect()?.get("/api/v1/bridges")?;
    if json {
        return output::json(&document);
    }
    output::line(&format!(
        "{:<16} {:<11} {:>10} {:>10} {:>8} {:>8}  REMOTE",
        "NAME", "STATE", "SENT", "RECEIVED", "WAITING", "REFUSED"
    ))?;
    for bridge in document["items"].as_array().into_iter().flatten() {
        output::line(&row(bridge))?;
    }
    Ok(())
}

fn row(bridge: &Json) -> String {
    let text = |key: &str| plain::word(bridge[key].as_str().unwrap_or_default());
    let number = |key: &str| bridge[key].as_u64().unwrap_or_default();
    let mut row = format!(
        "{:<16} {:<11} {:>10} {:>10} {:>8} {:>8}  {}",
        text("name"),
        text("state"),
        number("sent"),
        number("received"),
        number("waiting"),
        number("refused"),
        text("remote")
    );
    if text("state") != "connected" && !text("last_error").is_empty() {
        row.push_str(&format!(" ({})", text("last_error")));
    }
    // A route that stands as its bridge does is not worth a line.
    for route in bridge["routes"].as_array().into_iter().flatten() {
        let text = |key: &str| plain::word(route[key].as_str().unwrap_or_default());
        if matches!(&*text("state"), "stuck" | "broken") {
            row.push_str(&format!("\n  {} is {}: {}", text("name"), text("state"), text("reason")));
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_broker_says_stays_on_its_line() {
        let reason = "bad\x1b[2J\r\nhead-office  connected\u{9b}1A";
        let routes = serde_json::json!([{ "name": "0", "state": "stuck", "reason": reason }]);
        let bridge = serde_json::json!({ "name": "b", "state": "connecting", "last_error": reason, "routes": routes });
        let shown = row(&bridge);
        assert_eq!(shown.lines().count(), 2, "{shown:?}");
        assert!(!shown.contains(['\x1b', '\r', '\u{9b}']), "{shown:?}");
    }
}
