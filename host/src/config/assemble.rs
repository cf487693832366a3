//! From the sources to a checked configuration: file, then environment, then flags; what comes later wins.

use super::meant::{Bind, ClientCertificate, Config, Listener, Module, ProtocolName, Transport};
use super::problem::{ConfigError, Origin, Problem};
use super::settings::{BRIDGE, GLOBAL, LISTENER, MODULE, Setting};
use super::written::{self, Given};
use crate::bridge;
use crate::broker::{BRIDGES, is_address_of_queue};
use crate::identity::Anonymous;
use crate::topic::{self, Topic};
use crate::wasm;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Greatest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Longest name of a listener or a bridge.
const NAME_LENGTH_MAX: usize = 64;

/// Where a configuration is read from. Kept, so that it can be read again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables of the environment, all of them; those that begin with `PLIANT__` count.
    pub environment: Vec<(String, String)>,
    /// `key.path=value`, in the order of the command line.
    pub flags: Vec<String>,
}

/// Where each key was last written, for problems that only show when all is read.
#[derive(Debug, Clone, Default)]
pub struct Origins(HashMap<String, Origin>);

impl Sources {
    /// Reads all sources and checks what they say.
    ///
    /// # Errors
    /// All problems that were found, each with its place.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_with_origins().map(|(config, _)| config)
    }

    /// The same, with the places of all keys for whoever finds more that is wrong.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn load_with_origins(&self) -> Result<(Config, Origins), ConfigError> {
        let mut assembly = Assembly::default();
        if let Some(path) = &self.file {
            let said = read(path).map(|text| written::from_file(path, &text));
            assembly.layer(said.unwrap_or_else(|problem| (Vec::new(), vec![problem])));
        }
        assembly.layer((written::from_environment(&self.environment), Vec::new()));
        assembly.layer(written::from_flags(&self.flags));
        assembly.finish()
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let failed = |reason: String| Problem {
        origin: None,
        message: format!("cannot read configuration file {}: {reason}", path.display()),
    };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

#[derive(Default)]
struct Assembly {
    config: Config,
    origins: Origins,
    problems: Vec<Problem>,
    /// Keys, or the entries that they belong to, of which something wrong was said.
    wrong: Vec<String>,
}

impl Assembly {
    fn layer(&mut self, (given, problems): written::Said) {
        self.problems.extend(problems);
        given.iter().for_each(|given| self.apply(given));
    }

    fn apply(&mut self, given: &Given) {
        let path: Vec<&str> = given.path.iter().map(String::as_str).collect();
        let outcome = match path.as_slice() {
            ["listener", name, key @ ..] => {
                match entry(&mut self.config.listeners, name, given, plain_name, |l| &l.name, Listener::named) {
                    Ok(listener) => {
                        listener.implied = false;
                        set(LISTENER, listener, &key.join("."), given)
                    }
                    Err(message) => return self.misnamed(&path, given, message),
                }
            }
            ["module", name, key @ ..] => {
                match entry(&mut self.config.modules, name, given, module_name, |m| &m.name, Module::named) {
                    Ok(module) => {
                        let key = key.join(".");
                        module.says_more |= !matches!(&*key, "" | "name" | "http_hosts");
                        set(MODULE, module, &key, given)
                    }
                    Err(message) => return self.misnamed(&path, given, message),
                }
            }
            ["bridge", name, key @ ..] => {
                match entry(&mut self.config.bridges, name, given, plain_name, |b| &b.name, bridge::Settings::named) {
                    Ok(bridge) => set(BRIDGE, bridge, &key.join("."), given),
                    Err(message) => return self.misnamed(&path, given, message),
                }
            }
            _ => set(GLOBAL, &mut self.config, &path.join("."), given),
        };
        let key = path.join(".");
        let message = match outcome {
            Some(Ok(())) => {
                self.origins.0.insert(key, given.origin.clone());
                return;
            }
            Some(Err(message)) => format!("{key}: {message}"),
            None => match written::nested(given) {
                Some(Ok(table)) => return table.iter().for_each(|given| self.apply(given)),
                Some(Err(message)) => format!("{key}: {message}"),
                None => unknown(&path),
            },
        };
        self.wrong.push(section(&path));
        self.problems.push(Problem { origin: Some(given.origin.clone()), message });
    }

    /// Says once of an entry that its name is none, not for each of its keys.
    fn misnamed(&mut self, path: &[&str], given: &Given, message: String) {
        let section = section(path);
        if self.wrong.contains(&section) {
            return;
        }
        self.problems
            .push(Problem { origin: Some(given.origin.clone()), message: format!("{section}.name: {message}") });
        self.wrong.push(section);
    }

    fn finish(mut self) -> Result<(Config, Origins), ConfigError> {
        self.config.listeners.sort_by(|a, b| a.name.cmp(&b.name));
        self.config.modules.sort_by(|a, b| a.name.cmp(&b.name));
        self.config.bridges.sort_by(|a, b| a.name.cmp(&b.name));
        let mut found = Vec::new();
        for (n, listener) in self.config.listeners.iter().enumerate().filter(|(_, listener)| listener.enabled) {
            let others = &self.config.listeners[..n];
            if let Some((key, message)) = listener_problem(listener, &self.config) {
                found.push((format!("listener.{}.{key}", listener.name), message));
            } else if let Some((other, message)) = clash(listener, others, &self.config) {
                // What is a default stands nowhere.
                let own = format!("listener.{}.bind", listener.name);
                found.push((if self.origins.has(&own) { own } else { other }, message));
            }
        }
        for bridge in self.config.bridges.iter().filter(|bridge| bridge.enabled) {
            if let Some((key, message)) = bridge.problem(&self.config.topic) {
                found.push((format!("bridge.{}.{key}", bridge.name), message));
            }
        }
        if self.config.data_dir.as_os_str().is_empty() {
            found.push(("data_dir".to_owned(), "data_dir: expected a path; . is the working directory".to_owned()));
        }
        let of_admin = self.config.admin.problems(|key| self.origins.has(key));
        found.extend(of_admin.into_iter().map(|(key, message)| (key.to_owned(), message)));
        let dead_letters = &self.config.broker.dead_letters;
        if !dead_letters.is_empty() && !is_address(dead_letters, &self.config.topic) {
            let message =
                format!("broker.dead_letters: {dead_letters} is no topic name and no queue's address, as /queues/NAME");
            found.push(("broker.dead_letters".to_owned(), message));
        }
        let bundled = Config::default().modules;
        for module in &self.config.modules {
            if module.only_grants() {
                continue;
            }
            if module.path.as_os_str().is_empty() && !bundled.iter().any(|b| b.name == module.name) {
                let names: Vec<_> = bundled.iter().map(|b| b.name.as_str()).collect();
                let nearest = nearest(&module.name, names.iter().copied()).unwrap_or_default();
                let deployed = match module.http_hosts.0.is_empty() {
                    true => "",
                    false => "; what is said here of a module that is deployed by hand is http_hosts and nothing else",
                };
                found.push((
                    format!("module.{}.path", module.name),
                    format!(
                        "module {} has no path, and no bundled module has that name; the nearest is {nearest}{deployed}",
                        module.name
                    ),
                ));
            }
        }
        // What follows from something wrong that was said would only confuse.
        let follows = |key: &str| self.wrong.iter().any(|wrong| belongs(key, wrong));
        for (key, message) in found.into_iter().filter(|(key, _)| !follows(key)) {
            let origin = self.origins.near(&key);
            self.problems.push(Problem { origin, message });
        }
        if let Some((key, message)) = self.config.auth.problem() {
            let problem = Problem { origin: self.origins.near(key), message: format!("{key}: {message}") };
            self.problems.push(problem);
        }
        let topic = self.config.topic;
        (self.config.mqtt.topic, self.config.broker.topic, self.config.wasm.topics) = (topic, topic, topic);
        if self.problems.is_empty() { Ok((self.config, self.origins)) } else { Err(ConfigError(self.problems)) }
    }
}

impl Origins {
    /// Whether anybody has written this key, or one below it: otherwise it has its default.
    pub fn has(&self, key: &str) -> bool {
        self.0.keys().any(|written| belongs(written, key))
    }

    /// Where the key was written, or else anything of its section, or of the entry that it belongs to; none where all of that is
    /// the default.
    pub fn near(&self, key: &str) -> Option<Origin> {
        let sections = key.rmatch_indices('.').map(|(at, _)| &key[..=at]);
        // Not all entries of a list.
        let mut sections = sections.take_while(|section| !written::LISTS.contains(&section.trim_end_matches('.')));
        let of_section =
            |section: &str| self.0.iter().filter(|(k, _)| k.starts_with(section)).min_by_key(|(k, _)| k.as_str());
        let (_, origin) = self.0.get_key_value(key).or_else(|| sections.find_map(of_section))?;
        Some(origin.clone())
    }
}

/// The entry of a list that a key belongs to, or else the key itself.
fn section(path: &[&str]) -> String {
    let entry = path.first().is_some_and(|list| written::LISTS.contains(list));
    path[..if entry { path.len().min(2) } else { path.len() }].join(".")
}

/// Whether a key is this one, or below it.
fn belongs(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether messages can be sent there.
fn is_address(name: &str, limits: &topic::Limits) -> bool {
    Topic::new(name, limits).is_ok() && (!name.starts_with("/queues/") || is_address_of_queue(name))
}

/// What is wrong with a listener as a whole, and under which key.
fn listener_problem(listener: &Listener, config: &Config) -> Option<(&'static str, String)> {
    let name = &listener.name;
    let (tls, transport) = (&listener.tls, listener.transport);
    if name == BRIDGES {
        return Some((
            "bind",
            format!("listener {name}: this name is that of the broker's own bridges; take another one"),
        ));
    }
    if listener.bind == Bind::Unset {
        return Some(("bind", format!("listener {name} needs bind, an address and a port")));
    }
    if matches!(listener.bind, Bind::Path(_)) != (transport == Transport::Unix) {
        return Some(("bind", format!("listener {name} binds a path if its transport is unix, else address:port")));
    }
    let given = |path: &std::path::Path| !path.as_os_str().is_empty();
    if given(&tls.certificate) != given(&tls.key) || (transport.needs_certificate() && !given(&tls.certificate)) {
        return Some(("tls.certificate", format!("listener {name} needs tls.certificate and tls.key, two PEM files")));
    }
    if given(&tls.client_ca) != (tls.client_certificate != ClientCertificate::None) {
        let message =
            "needs tls.client_ca, and tls.client_certificate = optional or required, to check clients' certificates";
        return Some(("tls.client_ca", format!("listener {name} {message}")));
    }
    if given(&tls.client_crl) && !given(&tls.client_ca) {
        let message =
            format!("listener {name} has a list of revoked certificates, and no tls.client_ca to have signed any");
        return Some(("tls.client_crl", message));
    }
    if tls.client_certificate != ClientCertificate::None && !given(&tls.certificate) {
        let message = "asks for clients' certificates, which come in TLS only, and has no tls.certificate of its own";
        return Some(("tls.certificate", format!("listener {name} {message}")));
    }
    if given(&tls.certificate) && !transport.needs_certificate() {
        let secure = if transport.is_web() { "wss" } else { "tls" };
        let message = format!(
            "listener {name} has a certificate, and its transport is {transport}; say transport = \"{secure}\""
        );
        // AMQP has a layer of TLS of its own, which clients may ask for.
        if transport != Transport::Tcp || listener.protocol == ProtocolName::Mqtt {
            return Some(("transport", message));
        }
        if tls.client_certificate == ClientCertificate::Required {
            return Some(("transport", format!("{message}, since TLS is only on offer there")));
        }
    }
    if transport == Transport::Quic && listener.protocol != ProtocolName::Mqtt {
        return Some(("protocol", format!("listener {name} is for QUIC, which carries mqtt and nothing else")));
    }
    if transport == Transport::Quic && !listener.proxy_protocol.0.is_empty() {
        let message = format!("listener {name} is for QUIC, whose packets have no room for a PROXY header");
        return Some(("proxy_protocol", message));
    }
    if transport.is_web() && !listener.path.starts_with('/') {
        return Some(("path", format!("listener {name} needs a path that begins with /")));
    }
    // Where nobody is known the broker would stand open, or let nobody in; a module of the operator's may be a gatekeeper.
    let asks = config.auth.knows_somebody()
        || (tls.client_certificate == ClientCertificate::Required && given(&tls.certificate))
        || config.modules.iter().any(|module| module.enabled && !module.path.as_os_str().is_empty());
    if !listener.bind.is_loopback() && listener.allow_anonymous.0 != Anonymous::Always && !asks {
        let message = format!(
            "listener {name} binds {}, which other machines reach, and nothing would ask them who they are; \
             bind a loopback address, name auth.password_file, {}or say allow_anonymous = true in its section",
            listener.bind,
            match tls.client_certificate {
                ClientCertificate::Optional => "say client_certificate = \"required\" in its tls, ",
                _ => "",
            }
        );
        return Some(("bind", message));
    }
    None
}

/// Who has the address of a listener already, as a key, and what to say of it.
fn clash(listener: &Listener, others: &[Listener], config: &Config) -> Option<(String, String)> {
    // UDP has ports of its own.
    let is_udp = |listener: &Listener| listener.transport == Transport::Quic;
    let name = &listener.name;
    let same = others
        .iter()
        .filter(|other| other.enabled && is_udp(other) == is_udp(listener))
        .find(|other| other.bind.meets(&listener.bind));
    let (key, other, bind) = match same {
        Some(other) => (format!("listener.{}.bind", other.name), format!("listener {}", other.name), &other.bind),
        None if config.admin.bind.meets(&listener.bind) && !is_udp(listener) => {
            ("admin.bind".to_owned(), "the admin API".to_owned(), &config.admin.bind)
        }
        None => return None,
    };
    let how = if *bind == listener.bind { format!("like {other}") } else { format!("and {other} {bind}: one port") };
    Some((key, format!("listener {name} binds {} {how}", listener.bind)))
}

/// Sets one key; none if it does not exist.
fn set<T>(settings: &[Setting<T>], to: &mut T, key: &str, given: &Given) -> Option<Result<(), String>> {
    // An entry's own name was already used to find it.
    if key == "name" && given.path.len() == 3 && matches!(given.origin, Origin::File(..)) {
        return Some(Ok(()));
    }
    settings.iter().find(|setting| setting.key == key).map(|setting| (setting.set)(to, &given.value))
}

/// What a listener or a bridge may be called.
fn plain_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(fits) {
        true => Ok(()),
        false => Err(format!("a name is 1 to {NAME_LENGTH_MAX} letters, digits, - and _")),
    }
}

/// What a module may be called: what can be deployed can be named in the configuration.
fn module_name(name: &str) -> Result<(), String> {
    if wasm::is_name(name) { Ok(()) } else { Err(format!("a name of a module is {}", wasm::NAME_RULE)) }
}

/// The entry of a list by its name, made if it is not there. The environment cannot write every name, so there `_` stands
/// for `-` and `.` too, and letters for both cases.
fn entry<'a, T>(
    list: &'a mut Vec<T>,
    name: &str,
    given: &Given,
    check: fn(&str) -> Result<(), String>,
    name_of: fn(&T) -> &String,
    make: fn(&str) -> T,
) -> Result<&'a mut T, String> {
    let loose = matches!(given.origin, Origin::Environment(_));
    let same = |known: &str| {
        known == name || (loose && known.to_lowercase().replace(['-', '.'], "_") == name.replace('-', "_"))
    };
    let at = match list.iter().position(|entry| same(name_of(entry))) {
        Some(at) => at,
        None => {
            check(name)?;
            list.push(make(name));
            list.len() - 1
        }
    };
    Ok(&mut list[at])
}

fn unknown(path: &[&str]) -> String {
    let key = path.join(".");
    let nearest = match path {
        [list @ ("listener" | "module" | "bridge"), name, rest @ ..] => {
            let keys: Vec<_> = match *list {
                "listener" => LISTENER.iter().map(|setting| setting.key).collect(),
                "bridge" => BRIDGE.iter().map(|setting| setting.key).collect(),
                _ => MODULE.iter().map(|setting| setting.key).collect(),
            };
            nearest(&rest.join("."), keys.into_iter()).map(|key| format!("{list}.{name}.{key}"))
        }
        _ if GLOBAL.iter().any(|setting| belongs(setting.key, &key)) => {
            return format!("{key} is a section: name one of its keys");
        }
        _ => nearest(&key, GLOBAL.iter().map(|setting| setting.key).chain(written::LISTS)).map(str::to_owned),
    };
    format!("unknown key {key}; the nearest is {}", nearest.unwrap_or_default())
}

/// The word that looks most like `word`, by the whole and by the last segment.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |key: &str| {
        let whole = strsim::normalized_damerau_levenshtein(word, key);
        whole.max(0.9 * strsim::normalized_damerau_levenshtein(&last(word), &last(key)))
    };
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}
