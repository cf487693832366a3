//! The configuration as written: every source becomes a list of keys with values and origins, lists addressed by name.

use super::problem::{Origin, Problem};
use serde_json::{Map, Value as Json};
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The lists whose entries are addressed by their name.
pub(super) const LISTS: [&str; 3] = ["listener", "module", "bridge"];

/// Prefix of the environment variables that are settings.
const PREFIX: &str = "PLIANT__";

/// Deepest nesting of tables in a file.
const DEPTH_MAX: usize = 16;

/// A value as its source had it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// From a file: typed.
    Typed(Json),
    /// From the environment or a flag: text, to be read as its setting wants it.
    Text(String),
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The key, a segment each: `["listener", "mqtt", "bind"]`.
    pub path: Vec<String>,
    pub value: Value,
    pub origin: Origin,
}

/// What a source says, and what is wrong with the rest of it.
pub(super) type Said = (Vec<Given>, Vec<Problem>);

/// Reads a file's text.
pub(super) fn from_file(path: &Path, text: &str) -> Said {
    let mut reader = FileReader { path: path.into(), text, given: Vec::new(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => reader.table(table.get_ref(), &mut Vec::new()),
        Err(error) => {
            let origin = reader.origin(error.span().map_or(0, |span| span.start));
            let message = error.message().replace('\n', ", ");
            reader.problems.push(Problem { origin: Some(origin), message });
        }
    }
    (reader.given, reader.problems)
}

/// Reads those variables that begin with `PLIANT__`; two underscores stand between the segments of a key.
pub(super) fn from_environment(variables: &[(String, String)]) -> Vec<Given> {
    let mut given: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?.to_lowercase().split("__").map(str::to_owned).collect();
            Some(Given { path, value: Value::Text(value.clone()), origin: Origin::Environment(name.clone()) })
        })
        .collect();
    given.sort_by(|a, b| a.path.cmp(&b.path));
    given
}

/// Reads the `key.path=value` of `--set` flags.
pub(super) fn from_flags(flags: &[String]) -> Said {
    let mut given = Vec::new();
    let mut problems = Vec::new();
    for flag in flags {
        match flag.split_once('=') {
            Some((key, value)) if !key.is_empty() => given.push(Given {
                path: segments(key.trim()),
                value: Value::Text(value.to_owned()),
                origin: Origin::Flag(format!("--set {key}")),
            }),
            _ => problems.push(Problem {
                origin: Some(Origin::Unreadable(format!("--set {flag}"))),
                message: "expected key.path=value".to_owned(),
            }),
        }
    }
    (given, problems)
}

/// The segments of a key; in quotes one may have dots, as in a file: `module."my.name".order`.
fn segments(key: &str) -> Vec<String> {
    let (mut segments, mut quoted) = (vec![String::new()], false);
    for c in key.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => segments.push(String::new()),
            c => segments.last_mut().iter_mut().for_each(|segment| segment.push(c)),
        }
    }
    segments
}

/// A table that a flag or a variable gives as one text, `{ key = "value" }` or JSON, key by key; none: the text is no table.
pub(super) fn nested(given: &Given) -> Option<Result<Vec<Given>, String>> {
    let Value::Text(text) = &given.value else { return None };
    text.trim_start().starts_with('{').then(|| {
        let mut found = Vec::new();
        spread(&given.path, table(text)?, &given.origin, &mut found);
        Ok(found)
    })
}

/// A list that a flag or a variable gives as one text in brackets, in TOML or JSON; none: the text is no such list.
pub(super) fn array(text: &str) -> Option<Vec<Json>> {
    if let Ok(Json::Array(entries)) = serde_json::from_str(text) {
        return Some(entries);
    }
    let line = format!("list = {text}");
    let parsed = DeTable::parse(&line).ok()?;
    let only = parsed.get_ref().iter().next().filter(|_| parsed.get_ref().len() == 1)?;
    match typed(only.1.get_ref(), 0) {
        Ok(Json::Array(entries)) => Some(entries),
        _ => None,
    }
}

fn table(text: &str) -> Result<Map<String, Json>, String> {
    if let Ok(Json::Object(table)) = serde_json::from_str(text) {
        return Ok(table);
    }
    let wrong = |why: &str| format!("expected a table, as in {{ key = \"value\" }}: {}", why.replace('\n', ", "));
    let line = format!("table = {text}");
    let parsed = DeTable::parse(&line).map_err(|error| wrong(error.message()))?;
    let only = parsed.get_ref().iter().next().filter(|_| parsed.get_ref().len() == 1);
    match typed(only.ok_or_else(|| wrong("something stands behind it"))?.1.get_ref(), 0)? {
        Json::Object(table) => Ok(table),
        _ => Err(wrong("this is none")),
    }
}

fn spread(path: &[String], table: Map<String, Json>, origin: &Origin, found: &mut Vec<Given>) {
    for (key, value) in table {
        let path = [path, &[key]].concat();
        match value {
            Json::Object(inner) if !is_whole(&path) => spread(&path, inner, origin, found),
            value => found.push(Given { path, value: Value::Typed(value), origin: origin.clone() }),
        }
    }
}

struct FileReader<'a> {
    path: Arc<Path>,
    text: &'a str,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl FileReader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        Origin::File(self.path.clone(), memchr::memchr_iter(b'\n', before).count() + 1)
    }

    fn problem(&mut self, offset: usize, message: impl Into<String>) {
        let origin = Some(self.origin(offset));
        self.problems.push(Problem { origin, message: message.into() });
    }

    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        if path.len() > DEPTH_MAX {
            return self.problem(0, format!("{} is nested too deeply", path.join(".")));
        }
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            path.push(key.get_ref().clone().into_owned());
            self.entry(key.span().start, value, path);
            path.pop();
        }
    }

    fn entry(&mut self, offset: usize, value: &Spanned<DeValue<'_>>, path: &mut Vec<String>) {
        match value.get_ref() {
            DeValue::Array(entries) if path.len() == 1 && LISTS.contains(&path[0].as_str()) => {
                for entry in entries {
                    self.list_entry(entry, path);
                }
            }
            DeValue::Table(table) if !is_whole(path) => self.table(table, path),
            other => match typed(other, 0) {
                Ok(value) => {
                    let origin = self.origin(offset);
                    self.given.push(Given { path: path.clone(), value: Value::Typed(value), origin });
                }
                Err(message) => self.problem(offset, format!("{}: {message}", path.join("."))),
            },
        }
    }

    fn list_entry(&mut self, entry: &Spanned<DeValue<'_>>, path: &mut Vec<String>) {
        let offset = entry.span().start;
        let DeValue::Table(table) = entry.get_ref() else {
            return self.problem(offset, format!("an entry of {} must be a table", path[0]));
        };
        let name = table.iter().find(|(key, _)| key.get_ref() == "name").map(|(_, value)| value.get_ref());
        let Some(DeValue::String(name)) = name else {
            return self.problem(offset, format!("each [[{}]] needs a name", path[0]));
        };
        path.push(name.clone().into_owned());
        let origin = self.origin(offset);
        let twice = self.given.iter().any(|given| given.path == [path.as_slice(), &["name".to_owned()]].concat());
        if twice {
            self.problems
                .push(Problem { origin: Some(origin), message: format!("a second {} of that name", path.join(".")) });
        } else {
            self.table(table, path);
        }
        path.pop();
    }
}

/// Whether the value under this key is one document and no table of keys.
fn is_whole(path: &[String]) -> bool {
    path.len() == 3 && path[0] == "module" && path[2] == "config"
}

fn typed(value: &DeValue<'_>, depth: usize) -> Result<Json, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".to_owned());
    }
    Ok(match value {
        DeValue::String(text) => Json::String(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| format!("{number} is out of range"))?
            .into(),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_err(|_| format!("{number} is no number"))?.into(),
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Datetime(time) => Json::String(time.to_string()),
        DeValue::Array(values) => {
            Json::Array(values.iter().map(|value| typed(value.get_ref(), depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Json::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().clone().into_owned(), typed(value.get_ref(), depth + 1)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}
