//! WASI 0.2 with nothing in it: no files, environment, arguments or sockets; standard output and error become lines in
//! the module's log; whoever waits is told at once that there is nothing to wait for. Only `wasi:http` is there, for hooks
//! that may wait and hosts that are granted (see `http/`).
//!
//! A guest's standard library imports far more than it uses, so each import is answered from its own type: nothing,
//! none, an empty list, "not supported". Only what a runtime needs to start has an answer of its own. The ready-made
//! implementation is not used because its blocking calls enter an async runtime, which panics on a thread that is one
//! already, and because a guest that waits inside the host is out of reach of its deadline.

use super::super::instance::Cell;
use super::http::streams::{InputStream, OutputStream, Pollable, READY, TIMER};
use super::http::{self, own_number, streams};
use super::log::LogLevel;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut, bail};

/// Every other resource. There is never one.
struct Nothing;

/// Bytes of one request for random bytes.
const CHUNK_BYTES_MAX: usize = 4096;

pub(in super::super) fn is_wasi(name: &str) -> bool {
    name.starts_with("wasi:")
}

/// Whether this is the interface that makes requests.
pub(in super::super) fn is_http(name: &str) -> bool {
    name.starts_with("wasi:http/outgoing-handler@")
}

/// Offers what this component imports of WASI.
pub(in super::super) fn add_to_linker(
    linker: &mut Linker<Cell>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, import) in component.component_type().imports(engine).filter(|(name, _)| is_wasi(name)) {
        let ComponentItem::ComponentInstance(instance) = &import.ty else {
            bail!("`{name}` is not an interface");
        };
        let interface = name["wasi:".len()..].split('@').next().unwrap_or_default();
        let mut offered = linker.instance(name)?;
        for (name, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => add_function(&mut offered, interface, name)?,
                ComponentItem::Resource(_) => add_resource(&mut offered, name)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn add_resource(offered: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<()> {
    let known = streams::resource(name).or_else(|| http::resource(name));
    let ty = known.unwrap_or_else(ResourceType::host::<Nothing>);
    offered.resource(name, ty, |mut store, number| {
        let cell = store.data_mut();
        cell.handles = cell.handles.saturating_sub(1);
        cell.desk.forget(number);
        Ok(())
    })
}

fn add_function(offered: &mut LinkerInstance<'_, Cell>, interface: &str, name: &str) -> wasmtime::Result<()> {
    if let Some(function) = streams::function(interface, name).or_else(|| http::function(interface, name)) {
        return offered.func_new(name, move |mut store, _, params, results| {
            store.data_mut().spend()?;
            let answer = function(&mut store, params)?;
            if let (Some(result), Some(answer)) = (results.first_mut(), answer) {
                *result = answer;
            }
            Ok(())
        });
    }
    let answer = Answer::to(interface, name);
    offered.func_new(name, move |mut store, ty, params, results| {
        store.data_mut().spend()?;
        if let Some(result) = results.first_mut() {
            let ty = ty.results().next();
            *result = answer.give(&mut store, params, ty)?;
        } else if let Answer::Exit = answer {
            bail!("the module called exit");
        }
        params.iter().try_for_each(|param| release(&mut store, param))
    })
}

/// Handles that came in have to be given up, each once.
fn release(store: &mut StoreContextMut<'_, Cell>, value: &Val) -> wasmtime::Result<()> {
    match value {
        Val::Resource(handle) => handle.resource_drop(store.as_context_mut()),
        Val::List(values) => values.iter().try_for_each(|value| release(store, value)),
        Val::Option(Some(value)) => release(store, value),
        _ => Ok(()),
    }
}

/// What a function of WASI answers.
#[derive(Clone, Copy)]
enum Answer {
    Exit,
    Stdin,
    Output(u32),
    Subscribe(u32),
    Nanoseconds,
    Resolution,
    Wall,
    WallResolution,
    RandomBytes,
    RandomNumber,
    RandomPair,
    Empty,
}

impl Answer {
    fn to(interface: &str, function: &str) -> Self {
        let method = function.split_once('.').map_or(function, |(_, method)| method);
        match (interface, method) {
            ("cli/exit", _) => Self::Exit,
            ("cli/stdin", "get-stdin") => Self::Stdin,
            ("cli/stdout", "get-stdout") => Self::Output(0),
            ("cli/stderr", "get-stderr") => Self::Output(1),
            (_, "subscribe") => Self::Subscribe(READY),
            (_, "subscribe-instant" | "subscribe-duration") => Self::Subscribe(TIMER),
            ("clocks/monotonic-clock", "now") => Self::Nanoseconds,
            ("clocks/monotonic-clock", "resolution") => Self::Resolution,
            ("clocks/wall-clock", "now") => Self::Wall,
            ("clocks/wall-clock", "resolution") => Self::WallResolution,
            ("random/random" | "random/insecure", "get-random-bytes" | "get-insecure-random-bytes") => {
                Self::RandomBytes
            }
            ("random/random" | "random/insecure", _) => Self::RandomNumber,
            ("random/insecure-seed", _) => Self::RandomPair,
            _ => Self::Empty,
        }
    }

    fn give(self, store: &mut StoreContextMut<'_, Cell>, params: &[Val], ty: Option<Type>) -> wasmtime::Result<Val> {
        let milliseconds = || (store.data().services.clock)().0;
        Ok(match self {
            Self::Exit => bail!("the module called exit"),
            Self::Stdin => own_number::<InputStream>(store, 0)?,
            Self::Output(number) => own_number::<OutputStream>(store, number)?,
            Self::Subscribe(number) => own_number::<Pollable>(store, number)?,
            Self::Nanoseconds => Val::U64(milliseconds().wrapping_mul(1_000_000)),
            Self::Resolution => Val::U64(1_000_000),
            Self::Wall => wall(milliseconds()),
            Self::WallResolution => wall(1),
            Self::RandomBytes => random_bytes(store, params)?,
            Self::RandomNumber => Val::U64(random(store)),
            Self::RandomPair => Val::Tuple(vec![Val::U64(random(store)), Val::U64(random(store))]),
            Self::Empty => match ty.as_ref().and_then(empty) {
                Some(value) => value,
                None => bail!("not offered to modules"),
            },
        })
    }
}

/// Bytes for standard output (0) or standard error (1): a line is told when it ends, or is as long as one may be.
pub(super) fn write_lines(cell: &mut Cell, number: usize, bytes: impl Iterator<Item = u8>) {
    let level = if number == 0 { LogLevel::Info } else { LogLevel::Warn };
    let bytes_max = cell.services.limits.log_line_bytes_max;
    let mut line = std::mem::take(&mut cell.lines[number]);
    for byte in bytes {
        if byte == b'\n' || line.len() >= bytes_max {
            let text = String::from_utf8_lossy(&line).into_owned();
            cell.write_line(level, &text);
            line.clear();
        }
        if byte != b'\n' {
            line.push(byte);
        }
    }
    cell.lines[number] = line;
}

fn wall(milliseconds: u64) -> Val {
    let nanoseconds = u32::try_from(milliseconds % 1_000 * 1_000_000).unwrap_or(0);
    Val::Record(vec![("seconds".into(), Val::U64(milliseconds / 1_000)), ("nanoseconds".into(), Val::U32(nanoseconds))])
}

fn random_bytes(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<Val> {
    let count = if let Some(Val::U64(count)) = params.first() { *count } else { 0 };
    let count = usize::try_from(count).ok().filter(|count| *count <= CHUNK_BYTES_MAX);
    let Some(count) = count else { bail!("more random bytes than a module may ask for at once") };
    Ok(Val::List((0..count).map(|_| Val::U8(random(store) as u8)).collect()))
}

/// The next number of a simple sequence (splitmix64).
fn random(store: &mut StoreContextMut<'_, Cell>) -> u64 {
    let state = &mut store.data_mut().random;
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The emptiest value of a type; none where there is none, as for a handle.
fn empty(ty: &Type) -> Option<Val> {
    Some(match ty {
        Type::Bool => Val::Bool(false),
        Type::U8 => Val::U8(0),
        Type::U16 => Val::U16(0),
        Type::U32 => Val::U32(0),
        Type::U64 => Val::U64(0),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Result(result) => Val::Result(Err(match result.err() {
            Some(error) => Some(Box::new(refusal(&error)?)),
            None => None,
        })),
        Type::Tuple(tuple) => Val::Tuple(tuple.types().map(|ty| empty(&ty)).collect::<Option<_>>()?),
        Type::Record(record) => {
            let fields = record.fields().map(|field| Some((field.name.to_owned(), empty(&field.ty)?)));
            Val::Record(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The error that says that there is no such thing here.
fn refusal(ty: &Type) -> Option<Val> {
    const WORDS: [&str; 5] = ["not-supported", "unsupported", "access-denied", "closed", "no-entry"];
    match ty {
        Type::Enum(names) => {
            let known = WORDS.iter().find(|word| names.names().any(|name| name == **word)).copied();
            known.or_else(|| names.names().next()).map(|name| Val::Enum(name.to_owned()))
        }
        Type::Variant(cases) => {
            let mut plain = cases.cases().filter(|case| case.ty.is_none()).map(|case| case.name.to_owned());
            let first = plain.next()?;
            let known = WORDS.iter().find(|word| cases.cases().any(|case| case.name == **word && case.ty.is_none()));
            Some(Val::Variant(known.map_or(first, |word| (*word).to_owned()), None))
        }
        other => empty(other),
    }
}
