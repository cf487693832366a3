//! From bytes to something that instances can be made of: checked, compiled, its exports known and linked beforehand.
//! All that a hostile component can cost at this point is in [`compile`], which is tried in another process first (see
//! [`super::compiler`]).

use super::bindings::exports::pliant::broker as hooks;
use super::engine::Engine;
use super::error::DeployError;
use super::examples::{self, Example};
use super::imports::wasi;
use super::instance::{Cell, Exports};
use super::limits::Limits;
use std::fmt::Write as _;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// A component that is ready for instances, with the place of each of its exports.
pub(super) struct Compiled {
    pre: InstancePre<Cell>,
    indices: Indices,
    /// The interfaces among our own that it exports, without `lifecycle`, in the order of [`HOOKS`].
    pub(super) hooks: Vec<&'static str>,
    /// It asks for servers outside.
    pub(super) wants_http: bool,
    /// What its instances are asked before they are handed out: the first of the examples that it carries.
    pub(super) warm_ups: Vec<Example>,
}

struct Indices {
    lifecycle: hooks::lifecycle::GuestIndices,
    topic_mapping: Option<hooks::topic_mapping::GuestIndices>,
    routing: Option<hooks::routing::GuestIndices>,
    retain_policy: Option<hooks::retain_policy::GuestIndices>,
    will_handling: Option<hooks::will_handling::GuestIndices>,
    access: Option<hooks::access::GuestIndices>,
    delivery: Option<hooks::delivery::GuestIndices>,
    events: Option<hooks::events::GuestIndices>,
    event_interest: Option<hooks::event_interest::GuestIndices>,
    translation: Option<hooks::translation::GuestIndices>,
    timers: Option<hooks::timers::GuestIndices>,
}

/// The interfaces that a module may export.
pub(super) const HOOKS: [&str; 9] = [
    "topic-mapping",
    "routing",
    "retain-policy",
    "will-handling",
    "access",
    "delivery",
    "events",
    "translation",
    "timers",
];

/// The interfaces of ours that a module may import.
const IMPORTS: [&str; 6] = ["types", "log", "state", "metrics", "clock", "retained"];

/// Examples that are kept to warm instances up.
const WARM_UPS_MAX: usize = 16;

const PACKAGE: &str = "pliant:broker/";

/// The version of the contract that this broker runs.
pub const CONTRACT: &str = "0.1.1";

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in sha2::Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The hooks that bytes which may not compile any more claim to have.
pub(super) fn claims(bytes: &[u8]) -> Vec<&'static str> {
    let is_there = |hook: &&str| memchr::memmem::find(bytes, format!("pliant:broker/{hook}@").as_bytes()).is_some();
    HOOKS.iter().copied().filter(is_there).collect()
}

/// Checks and compiles. Takes time and memory in proportion to the bytes, which are bounded first.
pub(super) fn compile(engine: &Engine, limits: &Limits, bytes: &[u8]) -> Result<Compiled, DeployError> {
    check_head(limits, bytes)?;
    let component =
        Component::from_binary(&engine.wasmtime, bytes).map_err(|error| DeployError::Invalid(format!("{error:#}")))?;
    let ty = component.component_type();
    let names = ty.imports(&engine.wasmtime).chain(ty.exports(&engine.wasmtime)).map(|(name, _)| name);
    let newer = contract(names)?;
    for (name, _) in ty.imports(&engine.wasmtime) {
        let known = interface(name).is_some_and(|name| IMPORTS.contains(&name)) || wasi::is_wasi(name);
        if !known {
            return Err(newer.unwrap_or_else(|| DeployError::UnknownImport(name.to_owned())));
        }
    }
    let exported: Vec<&str> = ty.exports(&engine.wasmtime).filter_map(|(name, _)| interface(name)).collect();
    if !exported.contains(&"lifecycle") {
        return Err(DeployError::NoLifecycle);
    }
    let wrong = |error: wasmtime::Error| newer.clone().unwrap_or_else(|| DeployError::WrongWorld(format!("{error:#}")));
    let mut linker = engine.linker.clone();
    wasi::add_to_linker(&mut linker, &engine.wasmtime, &component).map_err(wrong)?;
    let pre = linker.instantiate_pre(&component).map_err(wrong)?;
    let indices = Indices::new(&pre, &exported).map_err(wrong)?;
    let hooks = HOOKS.iter().copied().filter(|hook| exported.contains(hook)).collect();
    let wants_http = ty.imports(&engine.wasmtime).any(|(name, _)| wasi::is_http(name));
    // Wrong ones are told of when they are run.
    let mut warm_ups = examples::find(bytes).ok().flatten().unwrap_or_default().examples;
    warm_ups.truncate(WARM_UPS_MAX);
    Ok(Compiled { pre, indices, hooks, wants_http, warm_ups })
}

/// What is looked at before a child is started: size, the first bytes, and the frame of sections.
///
/// # Errors
/// Why this cannot be a component.
pub fn check_head(limits: &Limits, bytes: &[u8]) -> Result<(), DeployError> {
    if bytes.len() > limits.component_bytes_max {
        return Err(DeployError::TooBig { bytes: bytes.len(), limit: limits.component_bytes_max });
    }
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(DeployError::CoreModule),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => sections(bytes).try_for_each(|section| section.map(drop)),
        _ => Err(DeployError::NotWasm),
    }
}

/// The sections of a component: number and content. After a fault there is nothing more.
pub(super) fn sections(component: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), DeployError>> {
    let mut rest = component.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (id, after) = rest.split_first()?;
        let found = length(after).and_then(|(length, after)| after.split_at_checked(length));
        match found {
            Some((content, after)) => {
                rest = after;
                Some(Ok((*id, content)))
            }
            None => {
                rest = &[];
                Some(Err(DeployError::Invalid("a section goes past the end".to_owned())))
            }
        }
    })
}

/// A length of at most 32 bits (LEB128) and what comes after it.
pub(super) fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(length).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

/// Whether a component that imports and exports these is for this broker's contract: those with the same first number
/// that is not 0 fit each other (as Cargo has it). One that is for a newer version may still ask for nothing that is new; why not,
/// if it does.
fn contract<'a>(names: impl Iterator<Item = &'a str>) -> Result<Option<DeployError>, DeployError> {
    let numbers = |version: &str| -> Option<(u64, u64, u64)> {
        let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    };
    let versions = names.filter_map(|name| name.strip_prefix(PACKAGE)?.split_once('@').map(|(_, version)| version));
    let Some((built, version)) = versions.filter_map(|version| Some((numbers(version)?, version))).max() else {
        return Ok(None);
    };
    let runs = numbers(CONTRACT).unwrap_or_default();
    let other = |built: String, runs: String| DeployError::Contract { built, runs };
    match built.0 == runs.0 && (runs.0 > 0 || built.1 == runs.1) {
        true => Ok((built > runs).then(|| other(version.to_owned(), CONTRACT.to_owned()))),
        false => Err(other(format!("{}.{}", built.0, built.1), format!("{}.{}", runs.0, runs.1))),
    }
}

/// `pliant:broker/NAME@0.1.1` without what stands around the name.
fn interface(name: &str) -> Option<&str> {
    name.strip_prefix(PACKAGE)?.split('@').next()
}

impl Indices {
    fn new(pre: &InstancePre<Cell>, exported: &[&str]) -> wasmtime::Result<Self> {
        macro_rules! find {
            ($name:literal, $hook:ident) => {
                if exported.contains(&$name) { Some(hooks::$hook::GuestIndices::new(pre)?) } else { None }
            };
        }
        Ok(Self {
            lifecycle: hooks::lifecycle::GuestIndices::new(pre)?,
            topic_mapping: find!("topic-mapping", topic_mapping),
            routing: find!("routing", routing),
            retain_policy: find!("retain-policy", retain_policy),
            will_handling: find!("will-handling", will_handling),
            access: find!("access", access),
            delivery: find!("delivery", delivery),
            events: find!("events", events),
            event_interest: find!("event-interest", event_interest),
            translation: find!("translation", translation),
            timers: find!("timers", timers),
        })
    }
}

impl Compiled {
    /// Makes an instance and resolves its exports, so that calls look nothing up by name.
    pub(super) fn instantiate(&self, store: &mut Store<Cell>) -> wasmtime::Result<Exports> {
        let instance = self.pre.instantiate(&mut *store)?;
        macro_rules! load {
            ($hook:ident) => {
                match &self.indices.$hook {
                    Some(indices) => Some(indices.load(&mut *store, &instance)?),
                    None => None,
                }
            };
        }
        Ok(Exports {
            topic_mapping: load!(topic_mapping),
            routing: load!(routing),
            retain_policy: load!(retain_policy),
            will_handling: load!(will_handling),
            access: load!(access),
            delivery: load!(delivery),
            events: load!(events),
            event_interest: load!(event_interest),
            translation: load!(translation),
            timers: load!(timers),
            lifecycle: self.indices.lifecycle.load(&mut *store, &instance)?,
        })
    }
}
