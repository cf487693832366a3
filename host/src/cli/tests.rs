//! Rows for the command line: what is understood, what is wrong usage, and that help gives an example everywhere.

use super::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(std::iter::once("pliant").chain(line.split_whitespace())).map_err(|error| error.kind())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// Who mistypes a command is told those that are like it, hidden ones, too.
#[test]
fn no_command_is_hidden() {
    assert!(Cli::command().get_subcommands().all(|command| !command.is_hide_set()));
}

#[test]
fn what_the_guide_says_is_understood() {
    for line in [
        "",
        "--config c.toml --data-dir d --set a.b=c --set d.e=f --log debug --log-format json",
        "serve",
        "serve --config c.toml --set store.durability=relaxed",
        "check --json",
        "module new name-site --sdk ../guest-sdk",
        "module build",
        "module build name-site --debug",
        "module check a.wasm",
        "module deploy a.wasm",
        "module deploy a a.wasm --order -5 --on-failure bypass --config {}",
        "module list --json",
        "module list --admin http://127.0.0.1:1 --data-dir d --token-file t",
        "module show a",
        "module config a",
        "module config a -",
        "module rollback a --to 3 --from 5",
        "module rollback a --canary",
        "module canary a --percent 50",
        "module remove a",
        "module logs a --follow",
        "module explain a/b 1 --retain --client c",
        "pub a/b 1 --qos 2 --retain --property a=b --count 3",
        "pub a/b --lines",
        "pub a/b --file -",
        "sub a/b c/# --count 1 --timeout 5 --json",
        "bench",
        "bench p2p --seconds 2 --warm-up 0.5 --await-copies --pid 17 --name here",
        "bench compare --list",
        "bench compare --broker a=mqtt://h:1#17 --broker b=mqtt://h --scenarios p2p,routing --rounds 1 --out r.jsonl",
        "bench chart r.jsonl --out c.svg",
        "store check --data-dir d",
        "store compact",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "nonsense",
        "serve --nonsense",
        "--log-format xml",
        "module",
        "module show",
        "module deploy",
        "module deploy a b c",
        "module deploy a.wasm --on-failure ignore",
        "module rollback a --to x",
        "module rollback a --to 1 --canary",
        "module canary a --percent 0",
        "pub",
        "pub a/b 1 --qos 3",
        "pub a/b 1 --lines",
        "pub a/b --count 0",
        "sub",
        "sub a --json --verbose",
        "sub a --password-file p",
        "bench p2p --seconds 1 --messages 2",
        "bench p2p --warm-up 1 --seconds -1",
        "bench --pid 0",
        "bench compare",
        "bench compare --broker a",
        "bench --qos 1 compare --list",
        "bench chart",
    ] {
        let kind = parse(line).expect_err(line);
        assert!(!matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion), "{line}");
    }
}

#[test]
fn every_command_has_an_example() {
    fn walk(command: &clap::Command, path: &str) {
        let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help.contains("Example") && help.contains("pliant "), "{path} has no example");
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            walk(sub, &format!("{path} {}", sub.get_name()));
        }
    }
    walk(&Cli::command(), "pliant");
}
