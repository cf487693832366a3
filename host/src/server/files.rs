//! Files that the configuration names, read before anything starts: what cannot be used is said in one line each.
//!
//! Components of modules are left out: they are more than read (`cli/check.rs`).

use super::secrets::{signers, token_path};
use super::start::tls_files;
use crate::admin::Token;
use crate::config::{Bind, Config, Listener, Origins, Problem};
use crate::identity;
use std::io;
use std::path::Path;

/// What is wrong with them, each with the place of its key.
pub fn unreadable(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |key: &str, reason: String| {
        found.push(Problem { origin: origins.near(key), message: format!("{key}: {reason}") });
    };
    for (key, reason) in identity::problems(&config.auth.settings(&config.listeners)) {
        say(key, reason);
    }
    if let Err(error) = token(&config.admin.token_file) {
        say("admin.token_file", format!("{}: {error}", config.admin.token_file.display()));
    }
    let read_token = &config.admin.read_token_file;
    if !read_token.as_os_str().is_empty() {
        match (Token::load(read_token), Token::load(&token_path(&config.data_dir, &config.admin))) {
            (Err(error), _) => say("admin.read_token_file", format!("{}: {error}", read_token.display())),
            // By whatever names: it is the token that counts.
            (Ok(reader), Ok(own)) if reader.is(own.secret().as_bytes()) => {
                let message = "it holds the token that may do everything; name a file with another one";
                say("admin.read_token_file", format!("{}: {message}", read_token.display()));
            }
            _ => {}
        }
    }
    if let Err(reason) = signers(&config.signing) {
        say("signing.keys_file", reason);
    }
    let http = &config.http_ca_file;
    if !http.as_os_str().is_empty()
        && let Err(reason) = crate::bridge::verifier(Some(http))
    {
        say("wasm.http_ca_file", reason);
    }
    for listener in config.listeners.iter().filter(|listener| listener.enabled) {
        if let Bind::Path(path) = &listener.bind
            && let Err(error) = directory_of(path)
        {
            say(&format!("listener.{}.bind", listener.name), format!("{}: its directory: {error}", path.display()));
        }
        for error in tls_files(listener).iter().flat_map(|files| files.problems()) {
            let key = format!("listener.{}.{}", listener.name, error.setting);
            say(&key, format!("{}: {}", error.path.display(), error.reason));
        }
    }
    for bridge in config.bridges.iter().filter(|bridge| bridge.enabled) {
        for (key, reason) in bridge.unreadable() {
            say(&format!("bridge.{}.{key}", bridge.name), reason);
        }
    }
    found
}

/// What can be used, and will hardly do what it is for.
pub fn doubtful(config: &Config) -> Vec<String> {
    let now = crate::net::Clock::start().now();
    let of_one = |listener: &Listener| Some((listener.name.clone(), tls_files(listener)?.out_of_time(now)?));
    let listeners = config.listeners.iter().filter(|listener| listener.enabled);
    listeners.filter_map(of_one).map(|(name, why)| format!("listener.{name}.{why}")).collect()
}

/// One that is not there yet is made at the start, in a directory that has to be there.
fn token(path: &Path) -> io::Result<()> {
    match path.as_os_str().is_empty() {
        true => Ok(()),
        false if path.exists() => Token::look(path),
        false => directory_of(path),
    }
}

/// Whether there is a directory to make a file in.
fn directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.map_or(Ok(()), |directory| std::fs::read_dir(directory).map(drop))
}
