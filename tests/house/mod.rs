//! The house rules that a machine can check: who may import whom, who owns which crate, how long a function may be, and
//! that the architecture page lists the rooms that exist. Changing a table here is a visible act.

mod lexer;

use lexer::{Token, lex};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms it may use, from the ground up. A room uses itself, and nobody uses a room above.
const ROOMS: &[(&str, &[&str])] = &[
    // Ground: the words everybody uses.
    ("client", &[]),
    ("topic", &[]),
    ("metrics", &[]),
    ("rare", &[]),
    ("message", &["client", "topic", "metrics"]),
    ("sections", &[]),
    ("dialogue", &["client", "message", "topic"]),
    // Cellar: what survives a restart. Its changes carry subscriptions, which are dialogue.
    ("store", &["client", "dialogue", "message", "topic", "metrics"]),
    // Rooms: translate.
    ("identity", &["message", "metrics"]),
    ("mqtt", &["client", "dialogue", "message", "topic"]),
    ("amqp", &["client", "dialogue", "message", "sections", "topic"]),
    ("wasm", &["client", "message", "sections", "topic", "metrics", "store"]),
    // Hall: who gets which message.
    ("broker", &["client", "dialogue", "message", "sections", "topic", "metrics", "rare", "store", "wasm"]),
    // Doors: sockets, HTTP, clocks, tasks. Of the store `net` knows the word for how far the disk has got.
    (
        "net",
        &[
            "client", "dialogue", "message", "sections", "topic", "identity", "mqtt", "amqp", "broker", "metrics",
            "rare", "store",
        ],
    ),
    ("admin", &["client", "dialogue", "message", "topic", "broker", "wasm", "metrics", "store"]),
    ("bridge", &["client", "dialogue", "message", "sections", "topic", "metrics", "store", "amqp", "broker"]),
    // Roof: puts the house together.
    ("config", EVERYTHING),
    ("server", EVERYTHING),
    ("cli", EVERYTHING),
    ("main", EVERYTHING),
];

const EVERYTHING: &[&str] = &["*"];

/// An outside crate and the only rooms that may name it. A crate that is not listed may be used anywhere.
const OWNED: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("argon2", &["identity"]),
    ("hmac", &["identity"]),
    ("jsonwebtoken", &["identity"]),
    ("stringprep", &["identity"]),
    ("x509_parser", &["identity"]),
    ("mqttbytes", &["mqtt", "cli"]),
    ("fe2o3_amqp_types", &["amqp"]),
    ("serde_amqp", &["amqp", "bridge"]),
    ("fe2o3_amqp", &["bridge", "cli"]),
    ("rumqttc", &["bridge", "cli", "mqtt"]),
    ("backon", &["bridge"]),
    ("wasmtime", &["wasm"]),
    ("wasmtime_wasi", &["wasm"]),
    ("tokio", &["net", "admin", "bridge", "server", "cli", "main"]),
    ("socket2", &["net"]),
    ("quinn", &["net", "cli"]),
    ("rustls", &["net", "bridge", "server", "cli"]),
    ("tungstenite", &["net", "cli"]),
    ("ppp", &["net"]),
    ("rlimit", &["net", "cli"]),
    ("tokio_rustls", &["bridge", "cli"]),
    ("rustls_native_certs", &["bridge"]),
    ("ipnet", &["net", "config"]),
    ("axum", &["admin"]),
    ("toml", &["config", "cli"]),
    ("clap", &["cli", "main"]),
    ("indicatif", &["cli"]),
    ("ureq", &["server", "cli"]),
    ("tracing_subscriber", &["cli", "server", "main"]),
    ("mimalloc", &["main"]),
];

/// Words that a room must not say: clock, disk, network and randomness are arguments (invariants 1, 2 and 10).
const UNSAID: &[(&[&str], &[&str])] = &[
    (
        &["Instant", "SystemTime"],
        &["client", "topic", "message", "metrics", "dialogue", "identity", "mqtt", "amqp", "broker"],
    ),
    (&["TcpStream", "UdpSocket", "SocketAddr"], &["topic", "message", "metrics", "dialogue", "mqtt", "amqp", "broker"]),
    (
        &["async", "await"],
        &["topic", "message", "metrics", "dialogue", "store", "identity", "mqtt", "amqp", "wasm", "broker"],
    ),
];

/// The files that may say `unsafe`: what a component's memory and its single thread ask of the SDK, and nothing of the host.
const UNSAFE: &[&str] = &["guest-sdk/src/allocator.rs", "guest-sdk/src/instance.rs", "guest-sdk/src/no_std.rs"];

/// A function has fewer lines than this, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 100;

#[test]
fn rooms_import_only_from_floors_below() {
    let mut faults = Vec::new();
    for file in sources("host/src").iter().filter(|file| file.room != "lib") {
        let allowed = ROOMS.iter().find(|(room, _)| *room == file.room);
        let Some((_, allowed)) = allowed else {
            faults.push(format!("{}: room `{}` is not in the table of {}", file.path, file.room, file!()));
            continue;
        };
        for (line, room) in file.rooms_used() {
            if room != file.room && *allowed != EVERYTHING && !allowed.contains(&room.as_str()) {
                faults.push(format!("{}: `{}` may not use `{room}`", file.at(line), file.room));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn an_outside_crate_is_named_only_by_its_owner() {
    let mut faults = Vec::new();
    for file in sources("host/src") {
        for (line, name) in file.crates_named() {
            let owners = OWNED.iter().find(|(owned, _)| *owned == name).map_or(&[][..], |(_, owners)| owners);
            if !owners.is_empty() && !owners.contains(&file.room.as_str()) {
                faults.push(format!("{}: `{name}` belongs to {owners:?}", file.at(line)));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn rooms_that_take_time_and_bytes_as_arguments_reach_for_neither() {
    let mut faults = Vec::new();
    for file in sources("host/src") {
        for (words, rooms) in UNSAID {
            for token in file.tokens.iter().filter(|token| rooms.contains(&file.room.as_str()) && token.is_any(words)) {
                faults.push(format!("{}: `{}` has no place in `{}`", file.at(token.line), token.text, file.room));
            }
        }
    }
    assert_none(&faults);
}

/// G7: jumps of the wall clock cannot change what nobody looks at.
#[test]
fn the_wall_clock_is_read_once_at_the_start() {
    let is_clock = |file: &Source| file.path.ends_with("net/clock.rs");
    let mut faults = Vec::new();
    for file in sources("host/src").iter().filter(|file| !is_clock(file)) {
        for token in file.tokens.iter().filter(|token| token.text == "SystemTime") {
            faults.push(format!("{}: only net/clock.rs reads the wall clock", file.at(token.line)));
        }
    }
    assert_none(&faults);
    let clock = sources("host/src").into_iter().find(is_clock).expect("a clock");
    assert_eq!(clock.text.matches("SystemTime::now").count(), 1);
}

#[test]
fn every_function_is_shorter_than_a_hundred_lines() {
    let mut faults = Vec::new();
    for file in everything() {
        for (line, name, lines) in file.functions() {
            if lines >= FUNCTION_LINES {
                faults.push(format!("{}: `{name}` has {lines} lines", file.at(line)));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent = |file: &Source| !file.text.starts_with("//! ");
    let faults: Vec<String> = everything().iter().filter(|file| silent(file)).map(|file| file.at(1)).collect();
    assert_none(&faults);
}

#[test]
fn unsafe_code_is_written_where_it_has_to_be() {
    let mut faults = Vec::new();
    for file in everything().iter().filter(|file| !UNSAFE.contains(&file.path.as_str())) {
        for token in file.tokens.iter().filter(|token| token.text == "unsafe") {
            faults.push(file.at(token.line));
        }
    }
    assert_none(&faults);
}

#[test]
fn the_code_map_lists_the_rooms_that_exist_in_import_order() {
    let page = fs::read_to_string(root().join("host/ARCHITECTURE.md")).expect("host/ARCHITECTURE.md");
    let map = page.split("\n## Code map").nth(1).expect("a heading `## Code map`");
    let map = map.split("\n## ").next().expect("what stands before the next heading");
    let names = map.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: Vec<&str> = names.filter(|name| !name.ends_with('/')).collect();
    let exist: BTreeSet<String> =
        (sources("host/src").into_iter()).map(|file| file.room).filter(|room| room != "lib").collect();
    let ordered: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).filter(|room| exist.contains(*room)).collect();
    assert_eq!(listed, ordered);
}

#[test]
fn the_table_of_rooms_is_in_import_order() {
    for (at, (room, uses)) in ROOMS.iter().enumerate().filter(|(_, (_, uses))| *uses != EVERYTHING) {
        for used in *uses {
            assert!(
                ROOMS[..at].iter().any(|(below, _)| below == used),
                "`{room}` uses `{used}`, which is not below it"
            );
        }
    }
}

#[test]
fn the_checks_see_through_what_hides_a_path() {
    let source = |text: &str| Source::new("host/src/mqtt/packet.rs".to_owned(), text.to_owned());
    for (text, rooms) in [
        ("use crate::broker::Broker;", &["broker"][..]),
        ("use crate::{\n    net::{self, admin},\n    topic,\n};", &["net", "topic"]),
        ("fn f(x: &'a str) -> crate::store::Store { g('\"') }", &["store"]),
        ("use super::super::wasm;", &["wasm"]),
        ("use super::connection;", &[]),
        (
            "// crate::broker\n/* crate::net */ const A: &str = \"crate::admin\"; const B: &str = r#\"crate::cli\"#;",
            &[],
        ),
    ] {
        let found: Vec<String> = source(text).rooms_used().into_iter().map(|(_, room)| room).collect();
        assert_eq!(found, rooms, "{text}");
    }
    let named = source("use tokio;\nlet x: redb::Table = y.toml::<z>();").crates_named();
    assert!(named.contains(&(1, "tokio".to_owned())) && named.contains(&(2, "redb".to_owned())));
    let functions = source("trait T { fn a(); fn b(x: [u8; 2]) {\n}\n}").functions();
    assert_eq!(functions, [(1, "b".to_owned(), 2)]);
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository").to_path_buf()
}

/// One source file.
struct Source {
    /// From the top of the repository.
    path: String,
    /// The first part of the path below `host/src`.
    room: String,
    /// How many modules deep: 1 for `topic.rs` and `store/mod.rs`.
    depth: usize,
    text: String,
    tokens: Vec<Token>,
}

/// All Rust files of ours.
fn everything() -> Vec<Source> {
    ["host", "guest-sdk", "modules", "tests"].iter().flat_map(|folder| sources(folder)).collect()
}

/// The Rust files below a folder, sorted.
fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a source file that can be read");
        let path = path.strip_prefix(root()).expect("a file of the repository").to_string_lossy().replace('\\', "/");
        Self::new(path, text)
    }

    fn new(path: String, text: String) -> Self {
        let inner = path.strip_prefix("host/src/").unwrap_or(&path).trim_end_matches(".rs");
        let inner = inner.trim_end_matches("/mod");
        let room = inner.split('/').next().expect("a path has a first part").to_owned();
        Self { room, depth: inner.split('/').count(), tokens: lex(&text), path, text }
    }

    fn at(&self, line: usize) -> String {
        let shown = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        format!("{}:{line}: {shown}", self.path)
    }

    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    /// Rooms that are named by a path from the top of the crate, with the line.
    fn rooms_used(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            let after = match self.word(at) {
                "crate" if self.word(at + 1) == "::" => Some(at + 2),
                "super" if at < 2 || self.word(at - 2) != "super" => self.above_root(at),
                _ => None,
            };
            match after.map(|after| (after, self.word(after))) {
                Some((after, "{")) => self.group(after, &mut found),
                Some((after, name)) => found.push((self.tokens[after].line, name.to_owned())),
                None => {}
            }
        }
        let known = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
        found.retain(|(_, name)| known(name));
        found
    }

    /// Where a chain of `super::` ends, if it leads out of the room.
    fn above_root(&self, start: usize) -> Option<usize> {
        let steps = (0..).take_while(|step| self.word(start + 2 * step) == "super").count();
        (steps >= self.depth).then_some(start + 2 * steps)
    }

    /// The first name of each path in a braced group.
    fn group(&self, open: usize, found: &mut Vec<(usize, String)>) {
        let mut depth = 0;
        for at in open..self.tokens.len() {
            match self.word(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                name if depth == 1 && matches!(self.word(at - 1), "{" | ",") => {
                    found.push((self.tokens[at].line, name.to_owned()));
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Outside crates that are named, with the line: a name that begins a path.
    fn crates_named(&self) -> Vec<(usize, String)> {
        let begins = |at: usize| at == 0 || self.word(at - 1) != "::";
        let leads = |at: usize| self.word(at + 1) == "::" || (at > 0 && self.word(at - 1) == "use");
        (0..self.tokens.len())
            .filter(|&at| begins(at) && leads(at))
            .map(|at| (self.tokens[at].line, self.tokens[at].text.clone()))
            .collect()
    }

    /// Functions with a body: line, name, number of lines.
    fn functions(&self) -> Vec<(usize, String, usize)> {
        (0..self.tokens.len())
            .filter(|&at| self.word(at) == "fn" && self.word(at + 1) != "(")
            .filter_map(|at| {
                let first = self.tokens[at].line;
                let last = self.tokens[self.body_end(at)?].line;
                Some((first, self.word(at + 1).to_owned(), last - first + 1))
            })
            .collect()
    }

    fn body_end(&self, start: usize) -> Option<usize> {
        let (mut round, mut curly) = (0, 0);
        for at in start..self.tokens.len() {
            match self.word(at) {
                "(" | "[" => round += 1,
                ")" | "]" => round -= 1,
                ";" if round == 0 && curly == 0 => return None,
                "{" => curly += 1,
                "}" if curly == 1 && round == 0 => return Some(at),
                "}" => curly -= 1,
                _ => {}
            }
        }
        None
    }
}
