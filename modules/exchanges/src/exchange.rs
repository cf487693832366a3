//! One exchange: its bindings, and the queues that get a message.

use crate::key;
use alloc::collections::BTreeMap;
use pliant_guest::prelude::*;

/// Most queues of an exchange.
const QUEUES_MAX: usize = 256;
/// Most queues that get one message: itself, and as many copies as the broker takes of one call (`wasm.wishes_max`).
const RECEIVERS_MAX: usize = 65;
/// Bytes of those copies: what the broker takes (`wasm.wish_bytes_max`), less a little.
const COPIES_BYTES_MAX: u64 = (2 << 20) - (64 << 10);
/// What the broker counts for a user property beside its name and value.
const PROPERTY_BYTES: usize = 32;

/// As the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeConfig {
    pub name: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    bindings: Vec<BindingConfig>,
    #[serde(default)]
    unroutable: Unroutable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Direct,
    Topic,
    Fanout,
    Headers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unroutable {
    #[default]
    Keep,
    Refuse,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingConfig {
    queue: String,
    key: Option<String>,
    #[serde(rename = "match")]
    wants: Option<Wants>,
    headers: Option<BTreeMap<String, Option<Scalar>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wants {
    All,
    Any,
}

/// A value that is compared as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Its configuration checked.
#[derive(Debug)]
pub struct Exchange {
    pub name: String,
    /// What no binding fits is refused.
    pub refuses: bool,
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    queue: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Key(String),
    Pattern(String),
    Always,
    Headers { all: bool, wanted: Vec<(String, Option<String>)> },
}

impl Exchange {
    pub fn new(config: ExchangeConfig, index: usize) -> Result<Self, Refusal> {
        let wrong = |field: &str, why: &str| config::entry("exchanges", index, field, why);
        if config.name.is_empty() {
            return Err(wrong("name", "it is empty"));
        }
        let mut bindings = Vec::new();
        for (at, binding) in config.bindings.into_iter().enumerate() {
            let binding = Binding::new(binding, config.kind);
            let why = |why: &str| wrong(&format!("bindings, entry {}", at + 1), why);
            bindings.push(binding.map_err(why)?);
        }
        // What a queue is bound with stands together, so that it is found once.
        bindings.sort_by(|a: &Binding, b| a.queue.cmp(&b.queue));
        let queues = 1 + bindings.windows(2).filter(|pair| pair[0].queue != pair[1].queue).count();
        if queues > QUEUES_MAX {
            return Err(wrong("bindings", "an exchange has 256 queues at most"));
        }
        if config.kind == Kind::Fanout && queues > RECEIVERS_MAX {
            return Err(wrong("bindings", "65 queues at most get one message"));
        }
        Ok(Self { name: config.name, refuses: config.unroutable == Unroutable::Refuse, bindings })
    }

    /// The addresses of the queues that get a message, each once.
    pub fn queues(&self, key: &str, properties: &[(String, String)]) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for binding in &self.bindings {
            if found.last() != Some(&&*binding.queue) && binding.test.fits(key, properties) {
                found.push(&binding.queue);
            }
        }
        found
    }
}

/// Whether the broker takes such copies of a message to these queues. It would take more for a failure of this module.
pub fn may_return(name: &str, others: &[&str], envelope: &Envelope, payload: u64) -> Result<(), Refusal> {
    let refuse =
        |why: String| Err(Refusal { kind: RefusalKind::QuotaExceeded, reason: format!("exchange {name}: {why}") });
    let queues = others.len() + 1;
    if queues > RECEIVERS_MAX {
        return refuse(format!("{queues} queues would get the message, {RECEIVERS_MAX} may"));
    }
    let optional = [&envelope.content_type, &envelope.response_topic].into_iter().flatten().map(String::len);
    let user = envelope.user_properties.iter().map(|(name, value)| name.len() + value.len() + PROPERTY_BYTES);
    let data = envelope.correlation_data.as_ref().map_or(0, Vec::len);
    let each = payload + (optional.sum::<usize>() + user.sum::<usize>() + data) as u64;
    let topics: usize = others.iter().map(|queue| queue.len()).sum();
    if each * others.len() as u64 + topics as u64 > COPIES_BYTES_MAX {
        return refuse(format!(
            "{queues} queues would get {each} bytes each, and all but one may get {COPIES_BYTES_MAX} together"
        ));
    }
    Ok(())
}

impl Binding {
    fn new(config: BindingConfig, kind: Kind) -> Result<Self, &'static str> {
        let BindingConfig { queue, key, wants, headers } = config;
        if queue.is_empty() || queue.contains(['+', '#', '\0']) {
            return Err("`queue` is not the name of one");
        }
        if kind != Kind::Headers && (wants.is_some() || headers.is_some()) {
            return Err("`match` and `headers` are for exchanges of type headers");
        }
        if matches!(kind, Kind::Fanout | Kind::Headers) && key.is_some() {
            return Err("`key` is for exchanges of type direct and topic");
        }
        let test = match (kind, key) {
            (Kind::Direct, Some(key)) => Test::Key(key),
            (Kind::Topic, Some(key)) if key::words(&key).count() > key::WORDS_MAX => {
                return Err("`key` has more than 64 words");
            }
            (Kind::Topic, Some(key)) => Test::Pattern(key),
            (Kind::Direct | Kind::Topic, None) => return Err("`key` is missing"),
            (Kind::Fanout, _) => Test::Always,
            (Kind::Headers, _) => {
                let wanted = headers.unwrap_or_default().into_iter();
                let wanted = wanted.map(|(name, value)| (name, value.map(Scalar::text))).collect();
                Test::Headers { all: wants != Some(Wants::Any), wanted }
            }
        };
        let queue = if queue.starts_with('/') { queue } else { format!("/queues/{queue}") };
        Ok(Self { queue, test })
    }
}

impl Test {
    fn fits(&self, key: &str, properties: &[(String, String)]) -> bool {
        match self {
            Self::Always => true,
            Self::Key(own) => own == key,
            Self::Pattern(pattern) => key::fits(pattern, key),
            Self::Headers { all, wanted } => {
                let has = |(name, value): &(String, Option<String>)| {
                    let mut found = properties.iter().filter(|(other, _)| other == name);
                    found.any(|(_, other)| value.as_ref().is_none_or(|value| value == other))
                };
                if *all { wanted.iter().all(has) } else { wanted.iter().any(has) }
            }
        }
    }
}
