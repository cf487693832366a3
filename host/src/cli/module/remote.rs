//! The verbs of the admin API on modules, against a running broker.

use super::{Remote, document};
use crate::cli::admin::{AdminArgs, Api, Body, escape};
use crate::cli::{Failure, Outcome, output, plain};
use crate::wasm::ORDER_MAX;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum RemoteCommand {
    /// Put a component to work; what ran before stays if it fails
    #[command(
        after_help = "Examples:\n  pliant module deploy name-site.wasm\n  pliant module deploy name-site target/name_site.wasm --order 20 --on-failure bypass"
    )]
    Deploy(Remote<DeployArgs>),
    /// List all modules
    #[command(after_help = "Example:\n  pliant module list --json")]
    List(Remote<ShowAllArgs>),
    /// Show one module and its versions
    #[command(after_help = "Example:\n  pliant module show topic-rules")]
    Show(Remote<NameArgs>),
    /// Show a module's configuration, or give it another
    #[command(
        after_help = "Examples:\n  pliant module config topic-rules\n  pliant module config topic-rules rules.json\n  pliant module config topic-rules '{\"rules\": []}'"
    )]
    Config(Remote<ConfigureArgs>),
    /// Switch a module on again
    #[command(after_help = "Example:\n  pliant module enable topic-rules")]
    Enable(Remote<NameArgs>),
    /// Switch a module off; its versions stay
    #[command(after_help = "Example:\n  pliant module disable topic-rules")]
    Disable(Remote<NameArgs>),
    /// Go back to an earlier version
    #[command(
        after_help = "Examples:\n  pliant module rollback name-site\n  pliant module rollback name-site --to 3\n  pliant module rollback name-site --canary"
    )]
    Rollback(Remote<RollbackArgs>),
    /// Have more or fewer clients follow a canary; those who do stay with it
    #[command(after_help = "Example:\n  pliant module canary name-site --percent 50")]
    Canary(Remote<CanaryArgs>),
    /// End a canary: every client follows it
    #[command(after_help = "Example:\n  pliant module confirm name-site")]
    Confirm(Remote<NameArgs>),
    /// Take a module out
    #[command(after_help = "Example:\n  pliant module remove name-site")]
    Remove(Remote<NameArgs>),
    /// Show what a module has logged
    #[command(after_help = "Example:\n  pliant module logs name-site --follow")]
    Logs(Remote<LogsArgs>),
    /// Tell for one message which module decides what; nothing is published
    #[command(after_help = "Example:\n  pliant module explain home/kitchen 21.5 --retain --client sensor-1")]
    Explain(Remote<ExplainArgs>),
}

#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The module's name (otherwise that of the file) and the component
    #[arg(value_names = ["NAME", "FILE"], num_args = 1..=2, required = true)]
    what: Vec<String>,
    /// Place in the chain: modules of a hook are asked by ascending order
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = order())]
    order: Option<i32>,
    /// What happens to a message on which the module fails
    #[arg(long, value_name = "POLICY", value_parser = ["refuse", "bypass", "discard"])]
    on_failure: Option<String>,
    /// Configuration: a file with a JSON document, or the document itself
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// Let so many of a hundred clients follow the new version until it is confirmed or rolled back
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    canary: Option<u8>,
    /// Store nothing where all of this is so already; otherwise it is a version of its own
    #[arg(long, conflicts_with = "canary")]
    if_changed: bool,
    /// Sign the component with this secret key
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    key: Option<std::path::PathBuf>,
    /// The component's signature, as `pliant module sign` printed it
    #[arg(long, value_name = "BASE64")]
    signature: Option<String>,
    /// Deploy only a component with this digest
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<String>,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowAllArgs {
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The module's name
    name: String,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConfigureArgs {
    /// The module's name
    name: String,
    /// The new configuration: a file with a JSON document, `-` for standard input, or the document itself
    #[arg(value_name = "FILE|JSON")]
    config: Option<String>,
    /// Store nothing where it is so already; otherwise it is a version of its own
    #[arg(long, requires = "config")]
    if_changed: bool,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The module's name
    name: String,
    /// The version to go back to; otherwise a canary is ended, or, where there is none, the module goes back to what was active before
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    /// The version that has to be active, or a canary's to end it: whoever asks twice goes back once
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// End a canary, and nothing else
    #[arg(long, conflicts_with = "to")]
    canary: bool,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CanaryArgs {
    /// The module's name
    name: String,
    /// So many of a hundred clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: u8,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The module's name
    name: String,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Topic in the client's words; with --event subscribed or unsubscribed the filter
    #[arg(required_unless_present = "event", default_value = "", hide_default_value = true)]
    topic: String,
    /// Instead of a message, what modules would make of this, about the client
    #[arg(long, value_parser = ["connected", "disconnected", "subscribed", "unsubscribed", "timer"])]
    event: Option<String>,
    /// The payload
    #[arg(default_value = "", conflicts_with = "event")]
    payload: String,
    /// Quality of service
    #[arg(long, short, default_value_t = 0, conflicts_with = "event", value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// As a message to be retained
    #[arg(long, short, conflicts_with = "event")]
    retain: bool,
    /// Client id of its publisher
    #[arg(long, value_name = "ID", default_value = "")]
    client: String,
    /// Authenticated name of its publisher
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Listener by which it comes in
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    #[arg(long, help = JSON_HELP)]
    json: bool,
}

const JSON_HELP: &str = "Print JSON";

pub(super) fn run(command: &RemoteCommand) -> Outcome {
    match command {
        RemoteCommand::Deploy(Remote { admin, what }) => deploy(admin, what),
        RemoteCommand::List(Remote { admin, what }) => list(&admin.connect()?, what.json),
        RemoteCommand::Show(Remote { admin, what }) => show(&admin.connect()?, what),
        RemoteCommand::Config(Remote { admin, what }) => configure(admin, what),
        RemoteCommand::Enable(Remote { admin, what }) => switch(&admin.connect()?, what, "enable", "is asked again"),
        RemoteCommand::Disable(Remote { admin, what }) => switch(&admin.connect()?, what, "disable", "is switched off"),
        RemoteCommand::Confirm(Remote { admin, what }) => switch(&admin.connect()?, what, "confirm", "is confirmed"),
        RemoteCommand::Rollback(Remote { admin, what }) => rollback(&admin.connect()?, what),
        RemoteCommand::Canary(Remote { admin, what }) => widen(&admin.connect()?, what),
        RemoteCommand::Remove(Remote { admin, what }) => remove(&admin.connect()?, what),
        RemoteCommand::Logs(Remote { admin, what }) => logs(&admin.connect()?, what),
        RemoteCommand::Explain(Remote { admin, what }) => explain(&admin.connect()?, what),
    }
}

fn deploy(admin: &AdminArgs, args: &DeployArgs) -> Outcome {
    let (name, file) = match args.what.as_slice() {
        [file] => (name_of(Path::new(file))?, file),
        [name, file, ..] => (name.clone(), file),
        [] => return Err(Failure::Usage("a component is needed".to_owned())),
    };
    let bytes = component(Path::new(file))?;
    let mut query = Vec::new();
    let mut ask =
        |key: &str, value: Option<String>| query.extend(value.map(|value| format!("{key}={}", escape(&value))));
    ask("order", args.order.map(|order| order.to_string()));
    ask("on_failure", args.on_failure.clone());
    ask("digest", args.digest.clone());
    ask("canary", args.canary.map(|percent| percent.to_string()));
    ask("if_changed", args.if_changed.then(|| "true".to_owned()));
    let signed = args.key.as_deref().map(|key| super::sign::signature(key, &bytes)).transpose()?;
    ask("signature", signed.or_else(|| args.signature.clone()));
    let path = format!("/api/v1/modules/{}?{}", escape(&name), query.join("&"));
    // In the query there is no room for much.
    let form = args.config.as_deref().map(document).transpose()?.map(|config| super::form::of(&bytes, &config));
    let body = match &form {
        Some(form) => Body { kind: &form.kind, bytes: &form.bytes },
        None => Body { kind: "application/wasm", bytes: &bytes },
    };
    let answer = admin.connect()?.call("PUT", &path, Some(body)).map_err(|failure| match failure {
        Failure::Failed(why) if args.config.is_none() && why.contains("refuses its configuration") => {
            Failure::Failed(format!("{why} (give it one with --config)"))
        }
        failure => failure,
    })?;
    match (args.canary, answer["canary"].as_u64()) {
        (Some(percent), Some(tried)) if !args.json => output::line(&format!(
            "{name} is on trial: version {tried} for {percent} of 100 clients, version {} for the others; confirm it, or roll \
             it back{}{}",
            text(&answer["version"]),
            canary_ended(&answer),
            hooks_gone(&answer)
        )),
        _ => said(&answer, &format!("{name} is live"), args.json),
    }
}

/// The bytes of a component.
fn component(file: &Path) -> Result<Vec<u8>, Failure> {
    let shown = file.display();
    if file.is_dir() {
        let text =
            format!("{shown} is a folder; `pliant module build {shown}` makes a component of it, and prints where");
        return Err(Failure::Usage(text));
    }
    std::fs::read(file).map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))
}

fn list(api: &Api, json: bool) -> Outcome {
    let modules = all(api, "/api/v1/modules")?;
    if json {
        return output::json(&modules);
    }
    let rows: Vec<_> = modules
        .iter()
        .map(|m| {
            let hooks = m["hooks"].as_array().map(|hooks| hooks.iter().map(hook_name).collect::<Vec<_>>().join(","));
            let hooks = hooks.unwrap_or_default();
            [
                text(&m["name"]),
                text(&m["version"]),
                text(&m["state"]),
                text(&m["order"]),
                hooks,
                text(&m["calls"]),
                text(&m["failures"]),
                slowest(&m["figures"], "p50_microseconds"),
                slowest(&m["figures"], "p99_microseconds"),
                m["canary"].as_object().map_or_else(
                    || "-".to_owned(),
                    |canary| format!("{} for {} %", text(&canary["version"]), text(&canary["percent"])),
                ),
            ]
        })
        .collect();
    output::table(["NAME", "VERSION", "STATE", "ORDER", "HOOKS", "CALLS", "FAILURES", "P50", "P99", "CANARY"], &rows)
}

/// Time of the slowest of a module's functions.
fn slowest(figures: &Json, quantile: &str) -> String {
    let figures = figures.as_array().map(Vec::as_slice).unwrap_or_default();
    let times = figures.iter().filter_map(|figure| figure[quantile].as_f64());
    times.reduce(f64::max).map_or_else(|| "-".to_owned(), |time| format!("{time:.1} us"))
}

fn show(api: &Api, args: &NameArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}", escape(&args.name));
    let mut module = api.get(&path)?;
    module["versions"] = Json::Array(all(api, &format!("{path}/versions"))?);
    if args.json {
        return output::json(&module);
    }
    output::pretty(&module)
}

fn configure(admin: &AdminArgs, args: &ConfigureArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}", escape(&args.name));
    match &args.config {
        None => output::document_as(&admin.connect()?.text(&format!("{path}/config"))?),
        Some(config) => {
            let config = document(config)?;
            let body = Body { kind: "application/json", bytes: config.as_bytes() };
            let query = if args.if_changed { "?if_changed=true" } else { "" };
            let answer = admin.connect()?.call("PUT", &format!("{path}/config{query}"), Some(body))?;
            said(&answer, &format!("{} is configured", args.name), args.json)
        }
    }
}

fn rollback(api: &Api, args: &RollbackArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}", escape(&args.name));
    let from = args.from.map(|from| format!("from={from}")).unwrap_or_default();
    let back = match args.to {
        Some(to) => format!("to={to}&{from}"),
        None if args.canary => format!("canary=true&{from}"),
        None if args.from.is_some() => from,
        // What is seen now is what is gone back from: whatever others do meanwhile, it is one step.
        None => match api.get(&path)? {
            module if module["canary"].is_object() => "canary=true".to_owned(),
            module => module["version"].as_u64().map(|version| format!("from={version}")).unwrap_or_default(),
        },
    };
    let answer = api.call("POST", &format!("{path}/rollback?{back}"), None)?;
    // A number may be that of a newer version.
    let done = match args.to {
        _ if answer["off_as_configured"] == true => "is off, as the configuration says",
        Some(_) => "was switched",
        None if !answer["canary_ended"].is_null() => "is what it was before the trial",
        None => "went back",
    };
    said(&answer, &format!("{} {done}", args.name), args.json)
}

fn widen(api: &Api, args: &CanaryArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}/canary?percent={}", escape(&args.name), args.percent);
    let answer = api.call("POST", &path, None)?;
    if args.json {
        return output::json(&answer);
    }
    let (tried, others) = (text(&answer["canary"]), text(&answer["version"]));
    output::line(&format!(
        "{}: version {tried} for {} of 100 clients, version {others} for the others",
        args.name, args.percent
    ))
}

fn switch(api: &Api, args: &NameArgs, verb: &str, done: &str) -> Outcome {
    let answer = api.call("POST", &format!("/api/v1/modules/{}/{verb}", escape(&args.name)), None)?;
    said(&answer, &format!("{} {done}", args.name), args.json)
}

fn remove(api: &Api, args: &NameArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}", escape(&args.name));
    let answer = api.call("DELETE", &path, None)?;
    let done = match api.get(&path).is_ok() {
        true => "is switched off: it came with the broker or its configuration",
        false => "is taken out",
    };
    said(&answer, &format!("{} {done}", args.name), args.json)
}

fn logs(api: &Api, args: &LogsArgs) -> Outcome {
    let path = format!("/api/v1/modules/{}/logs", escape(&args.name));
    let print = |line: &Json| match args.json {
        true => output::json(line),
        false => {
            let time = output::time(line["time_milliseconds"].as_u64().unwrap_or_default());
            output::line(&format!("{time} {:5} {}", text(&line["level"]), text(&line["line"])))
        }
    };
    if args.follow {
        return api.events(&path, |kind, data| {
            let told: Json = serde_json::from_str(data).map_err(Failure::failed)?;
            match kind {
                "" => return print(&told),
                "missed" => eprintln!("pliant: {} lines went before they could be told", text(&told["lines"])),
                _ => {}
            }
            Ok(())
        });
    }
    all(api, &path)?.iter().try_for_each(print)
}

fn explain(api: &Api, args: &ExplainArgs) -> Outcome {
    let mut client = json!({ "id": args.client, "identity": args.identity });
    if let Some(listener) = &args.listener {
        client["listener"] = listener.as_str().into();
    }
    let message = json!({
        "topic": args.topic, "payload": args.payload, "qos": args.qos, "retain": args.retain,
        "client": client,
    });
    let event = args.event.as_ref().map(|event| {
        let filter = (!args.topic.is_empty()).then_some(&args.topic);
        json!({ "event": event, "filter": filter, "client": message["client"] })
    });
    let bytes = event.unwrap_or(message).to_string();
    let body = Body { kind: "application/json", bytes: bytes.as_bytes() };
    let answer = api.call("POST", "/api/v1/explain", Some(body))?;
    if args.json {
        return output::json(&answer);
    }
    let row = |d: &Json, about: &str| {
        let time = format!("{:.1} us", d["microseconds"].as_f64().unwrap_or_default());
        let answer = if about.is_empty() { text(&d["answer"]) } else { format!("{about}: {}", text(&d["answer"])) };
        [text(&d["hook"]), text(&d["module"]), text(&d["version"]), answer, time]
    };
    let list = |of: &Json| of.as_array().cloned().unwrap_or_default();
    let mut rows: Vec<_> = list(&answer["decisions"]).iter().map(|d| row(d, "")).collect();
    for copy in list(&answer["deliveries"]) {
        rows.extend(list(&copy["decisions"]).iter().map(|d| row(d, &text(&copy["client"]))));
    }
    rows.extend(list(&answer["translation"]).iter().map(|d| row(d, "")));
    rows.extend(list(&answer["events"]).iter().map(|d| row(d, "lost")));
    output::table(["HOOK", "MODULE", "VERSION", "DECISION", "TIME"], &rows)?;
    for key in ["topic", "outcome", "retained", "subscribers", "wishes"] {
        if !answer[key].is_null() {
            output::line(&format!("{key}: {}", text(&answer[key])))?;
        }
    }
    Ok(())
}

/// All pages of a list.
fn all(api: &Api, path: &str) -> Result<Vec<Json>, Failure> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let mut page = api.get(&format!("{path}?limit=1000{after}"))?;
        if let Some(found) = page["items"].as_array_mut() {
            items.append(found);
        }
        match &page["next"] {
            Json::Null => return Ok(items),
            next => after = format!("&after={}", escape(&text(next))),
        }
    }
}

/// What a change came to: for people a sentence, version and digest.
fn said(answer: &Json, sentence: &str, json: bool) -> Outcome {
    if json {
        return output::json(answer);
    }
    let now = match answer["version"].is_null() {
        true => sentence.to_owned(),
        false => format!("{sentence}: version {}, {}", text(&answer["version"]), text(&answer["digest"])),
    };
    let (on, ended) = (switched_on(answer), canary_ended(answer));
    output::line(&format!("{now}{on}{ended}{}{}", hooks_gone(answer), remarks(answer)))
}

/// A module that was off before the change, as the end of a sentence.
fn switched_on(answer: &Json) -> &'static str {
    if answer["switched_on"] == true { "; it was off, and is on now" } else { "" }
}

/// What was passed over, and that nothing was done, as the end of a sentence.
fn remarks(answer: &Json) -> String {
    let unchanged = if answer["unchanged"] == true { "; it was so already" } else { "" };
    let skipped = match &answer["skipped"] {
        Json::Null => String::new(),
        skipped => format!("; passed over: version {}", text(skipped)),
    };
    format!("{unchanged}{skipped}")
}

/// What the version before serves and this one does not, as the end of a sentence.
fn hooks_gone(answer: &Json) -> String {
    match &answer["hooks_gone"] {
        Json::Null => String::new(),
        hooks => format!("; it does not serve {}, as the version before it does", text(hooks)),
    }
}

/// A canary that the change has ended, as the end of a sentence.
fn canary_ended(answer: &Json) -> String {
    let ended = answer["canary_ended"].as_u64();
    ended.map(|version| format!("; the canary, version {version}, is over")).unwrap_or_default()
}

/// What may be said with `--order`.
fn order() -> clap::builder::RangedI64ValueParser<i32> {
    clap::value_parser!(i32).range(-i64::from(ORDER_MAX)..=i64::from(ORDER_MAX))
}

/// A module's name by its file: `target/name_site.wasm` is `name-site`.
fn name_of(file: &Path) -> Result<String, Failure> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).map(|stem| stem.replace('_', "-"));
    stem.ok_or_else(|| Failure::Usage(format!("{} gives the module no name; write NAME FILE", file.display())))
}

fn hook_name(hook: &Json) -> String {
    text(if hook.is_object() { &hook["name"] } else { hook })
}

/// A value as a cell of a table.
fn text(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => plain::word(text),
        Json::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
