//! `wasi:io`: standard output, bodies of requests and answers, and whoever waits for them. Nothing else takes time: what is
//! not an answer from outside is ready at once.

use super::super::super::instance::Cell;
use super::super::wasi;
use super::Function;
use super::desk::{Future, Thing};
use super::reply::await_reply;
use super::values::{desk, error, lent, list, ok, own_number, word};
use wasmtime::component::{ResourceType, Val};
use wasmtime::{StoreContextMut, bail};

/// `wasi:io/streams.input-stream`: 0 is standard input, which is empty.
pub(in super::super) struct InputStream;
/// `wasi:io/streams.output-stream`: 0 is standard output, 1 standard error.
pub(in super::super) struct OutputStream;
/// `wasi:io/poll.pollable`: see [`READY`] and [`TIMER`].
pub(in super::super) struct Pollable;
/// `wasi:io/error.error`. There is never one.
pub(super) struct IoError;

/// A pollable that is always ready.
pub(in super::super) const READY: u32 = 0;
/// One that waits for a time: ready at once, but not before an answer that is waited for beside it.
pub(in super::super) const TIMER: u32 = 1;

/// Bytes that one call writes.
const WRITE_BYTES_MAX: usize = 4_096;
/// Bytes that one call reads.
const READ_BYTES_MAX: usize = 16_384;

type Answer = wasmtime::Result<Option<Val>>;

/// The type of a resource of `wasi:io`, by whatever interface it is used; none: it is another one.
pub(in super::super) fn resource(name: &str) -> Option<ResourceType> {
    Some(match name {
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "error" | "io-error" => ResourceType::host::<IoError>(),
        _ => return None,
    })
}

/// The functions of `wasi:io` with an answer of their own.
pub(in super::super) fn function(interface: &str, name: &str) -> Option<Function> {
    Some(match (interface, name) {
        ("io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => read,
        ("io/streams", "[method]input-stream.skip" | "[method]input-stream.blocking-skip") => skip,
        ("io/streams", "[method]output-stream.check-write") => check_write,
        ("io/streams", "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush") => write,
        ("io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => flush,
        ("io/streams", "[method]input-stream.subscribe") => read_ready,
        ("io/streams", "[method]output-stream.subscribe") => write_ready,
        ("io/poll", "[method]pollable.ready") => ready,
        ("io/poll", "[method]pollable.block") => block,
        ("io/poll", "poll") => poll,
        _ => return None,
    })
}

/// The next bytes of an answer's body, at most so many; none: there are no more.
fn next<'a>(store: &'a mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<Option<&'a [u8]>> {
    let number = lent::<InputStream>(store, params.first())?;
    let Some(Val::U64(wanted)) = params.get(1) else { bail!("no length") };
    let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
    let Some(Thing::Source(bytes, at)) = desk(store).get(number) else { return Ok(None) };
    if *at == bytes.len() {
        return Ok(None);
    }
    let from = *at;
    *at = from.saturating_add(wanted).min(bytes.len());
    Ok(Some(&bytes[from..*at]))
}

fn closed() -> Option<Val> {
    error(Some(word("closed")))
}

fn read(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    Ok(next(store, params)?.map_or_else(closed, |bytes| ok(Some(list(bytes)))))
}

fn skip(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    Ok(next(store, params)?.map_or_else(closed, |bytes| ok(Some(Val::U64(bytes.len() as u64)))))
}

fn check_write(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<OutputStream>(store, params.first())?;
    Ok(ok(Some(Val::U64(WRITE_BYTES_MAX as u64))))
}

fn flush(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<OutputStream>(store, params.first())?;
    Ok(ok(None))
}

fn write(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<OutputStream>(store, params.first())?;
    let Some(Val::List(values)) = params.get(1) else { bail!("not a write") };
    let bytes = values.iter().map(|value| if let Val::U8(byte) = value { *byte } else { b'?' });
    if number < 2 {
        // More than `check-write` allows is a trap (wasi:io), and each line costs something.
        if values.len() > WRITE_BYTES_MAX {
            bail!("more bytes than a stream takes at once");
        }
        wasi::write_lines(store.data_mut(), number as usize, bytes);
        return Ok(ok(None));
    }
    let bytes_max = store.data().services.limits.http_request_bytes_max;
    let Some(Thing::Sink(body)) = desk(store).get(number) else { bail!("no stream") };
    let body = *body;
    match desk(store).get(body) {
        Some(Thing::Bytes(body)) if body.len() + values.len() <= bytes_max => {
            body.extend(bytes);
            Ok(ok(None))
        }
        // Too much, or the request is on its way.
        _ => Ok(closed()),
    }
}

fn read_ready(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<InputStream>(store, params.first())?;
    own_number::<Pollable>(store, READY).map(Some)
}

fn write_ready(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<OutputStream>(store, params.first())?;
    own_number::<Pollable>(store, READY).map(Some)
}

/// Of trailers, which are there when the body is.
pub(super) fn ready_at_once(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<super::TrailersHandle>(store, params.first())?;
    own_number::<Pollable>(store, READY).map(Some)
}

/// The answer that is still waited for behind a pollable.
fn unsent(store: &mut StoreContextMut<'_, Cell>, pollable: u32) -> Option<u32> {
    let Some(Thing::Waits(future)) = desk(store).get(pollable) else { return None };
    let future = *future;
    matches!(desk(store).get(future), Some(Thing::Future(Future::Unsent(..)))).then_some(future)
}

fn wait(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<()> {
    let pollable = lent::<Pollable>(store, params.first())?;
    if let Some(future) = unsent(store, pollable) {
        await_reply(store, future);
    }
    Ok(())
}

fn ready(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    wait(store, params)?;
    Ok(Some(Val::Bool(true)))
}

fn block(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    wait(store, params)?;
    Ok(None)
}

/// Waits for the first answer, if nothing else is ready.
fn poll(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Some(Val::List(values)) = params.first() else { bail!("no list") };
    let pollables =
        values.iter().map(|value| lent::<Pollable>(store, Some(value))).collect::<wasmtime::Result<Vec<u32>>>()?;
    let waiting: Vec<Option<u32>> = pollables.iter().map(|pollable| unsent(store, *pollable)).collect();
    let is_ready = |pollable: u32, waiting: Option<u32>| pollable != TIMER && waiting.is_none();
    let first = waiting.iter().flatten().next().copied();
    let mut awaited = None;
    if let Some(first) = first
        && !pollables.iter().zip(&waiting).any(|(pollable, waiting)| is_ready(*pollable, *waiting))
    {
        await_reply(store, first);
        awaited = Some(first);
    }
    let all = first.is_none();
    let ready = (0u32..).zip(pollables.iter().zip(&waiting)).filter(|(_, (pollable, waiting))| {
        all || is_ready(**pollable, **waiting) || (awaited.is_some() && **waiting == awaited)
    });
    Ok(Some(Val::List(ready.map(|(at, _)| Val::U32(at)).collect())))
}
