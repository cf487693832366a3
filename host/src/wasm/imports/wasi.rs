//! WASI 0.2 with nothing in it: no files, environment, arguments or sockets; standard output and error become lines in
//! the module's log; whoever waits is told at once that there is nothing to wait for.
//!
//! A guest's standard library imports far more than it uses, so each import is answered from its own type: nothing,
//! none, an empty list, "not supported". Only what a runtime needs to start has an answer of its own. The ready-made
//! implementation is not used because its blocking calls enter an async runtime, which panics on a thread that is one
//! already, and because a guest that waits inside the host is out of reach of its deadline.

use super::super::instance::Cell;
use super::log::LogLevel;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut, bail};

/// `wasi:io/streams.input-stream`.
struct InputStream;
/// `wasi:io/streams.output-stream`: 0 is standard output, 1 standard error.
struct OutputStream;
/// `wasi:io/poll.pollable`: always ready.
struct Pollable;
/// Every other resource. There is never one.
struct Nothing;

/// Bytes of one write, and of one request for random bytes.
const CHUNK_BYTES_MAX: usize = 4096;

pub(in super::super) fn is_wasi(name: &str) -> bool {
    name.starts_with("wasi:")
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
    let ty = match name {
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "pollable" => ResourceType::host::<Pollable>(),
        _ => ResourceType::host::<Nothing>(),
    };
    offered.resource(name, ty, |mut store, _| {
        let cell = store.data_mut();
        cell.handles = cell.handles.saturating_sub(1);
        Ok(())
    })
}

fn add_function(offered: &mut LinkerInstance<'_, Cell>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let answer = Answer::to(interface, name);
    offered.func_new(name, move |mut store, ty, params, results| {
        store.data_mut().spend()?;
        if let Some(result) = results.first_mut() {
            let ty = ty.results().next();
            *result = answer.give(&mut store, params, ty)?;
        } else if let Answer::Exit = answer {
            bail!("the module called exit");
        }
        // Looking at the stream's number took that handle.
        let taken = usize::from(matches!(answer, Answer::Write));
        params.iter().skip(taken).try_for_each(|param| release(&mut store, param))
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
    CheckWrite,
    Write,
    Flush,
    Subscribe,
    Ready,
    AllReady,
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
            ("io/streams", "check-write") => Self::CheckWrite,
            ("io/streams", "write" | "blocking-write-and-flush") => Self::Write,
            ("io/streams", "flush" | "blocking-flush") => Self::Flush,
            (_, "subscribe" | "subscribe-instant" | "subscribe-duration") => Self::Subscribe,
            ("io/poll", "ready") => Self::Ready,
            ("io/poll", "poll") => Self::AllReady,
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
            Self::Stdin => own::<InputStream>(store, 0)?,
            Self::Output(number) => own::<OutputStream>(store, number)?,
            Self::Subscribe => own::<Pollable>(store, 0)?,
            Self::CheckWrite => Val::Result(Ok(Some(Box::new(Val::U64(CHUNK_BYTES_MAX as u64))))),
            Self::Write => write(store, params)?,
            Self::Flush => Val::Result(Ok(None)),
            Self::Ready => Val::Bool(true),
            Self::AllReady => all_ready(params),
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

fn own<T: 'static>(store: &mut StoreContextMut<'_, Cell>, number: u32) -> wasmtime::Result<Val> {
    let cell = store.data_mut();
    if cell.handles >= cell.services.limits.handles_max {
        bail!("more handles than a module may hold");
    }
    cell.handles += 1;
    Ok(Val::Resource(Resource::<T>::new_own(number).try_into_resource_any(store)?))
}

fn write(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<Val> {
    let [Val::Resource(handle), Val::List(values)] = params else { bail!("not a write") };
    let stream = handle.try_into_resource::<OutputStream>(store.as_context_mut())?;
    let number = (stream.rep() & 1) as usize;
    let bytes = values.iter().map(|value| if let Val::U8(byte) = value { *byte } else { b'?' });
    let cell = store.data_mut();
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
    Ok(Val::Result(Ok(None)))
}

fn all_ready(params: &[Val]) -> Val {
    let count = if let Some(Val::List(pollables)) = params.first() { pollables.len() } else { 0 };
    Val::List((0u32..).take(count).map(Val::U32).collect())
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
