//! A request is sent and waited for, and its answer read.

use super::super::super::instance::Cell;
use super::super::super::outside::{Failure, Reply};
use super::super::log::LogLevel;
use super::desk::{Future, Thing};
use super::streams::{InputStream, Pollable};
use super::values::{code, desk, error, given, lent, ok, own, some};
use super::{FieldsHandle, FutureHandle, IncomingBodyHandle, ResponseHandle, TrailersHandle};
use std::time::Instant;
use wasmtime::component::Val;
use wasmtime::{StoreContextMut, bail};

type Answer = wasmtime::Result<Option<Val>>;

/// Sends the request of a future, if it was not, and waits for its answer.
pub(super) fn await_reply(store: &mut StoreContextMut<'_, Cell>, number: u32) {
    let Some(Thing::Future(future)) = desk(store).get(number) else { return };
    let Future::Unsent(errand, body) = future else { return };
    let (mut errand, body) = (errand.clone(), *body);
    if let Some(Thing::Bytes(bytes)) = body.and_then(|body| desk(store).take(body)) {
        errand.body = bytes;
    }
    let server = server_of(&errand.url).to_owned();
    let cell = store.data_mut();
    errand.patience = errand.patience.min(cell.share.patience);
    let reply = match cell.share.requests.checked_sub(1) {
        Some(_) if errand.patience.is_zero() => Err(Failure::TimedOut),
        Some(left) if cell.services.may_send() => {
            cell.share.requests = left;
            let begun = Instant::now();
            let reply = cell.services.outside.send(*errand);
            cell.share.patience = cell.share.patience.saturating_sub(begun.elapsed());
            reply
        }
        _ => {
            cell.services.refusals.http.add(1);
            Err(Failure::TooMany)
        }
    };
    if let Err(failure) = &reply {
        cell.write_line(LogLevel::Warn, &format!("no answer from {server}: {failure}"));
    }
    let limits = &cell.services.limits;
    // What an instance holds is bounded, however many answers it keeps and does not read.
    let bytes_max = limits.http_reply_bytes_max.saturating_mul(2);
    let held = cell.desk.bytes();
    let reply = match reply {
        Ok(reply) if held.saturating_add(reply.body.len()) > bytes_max => Err(Failure::ReplyTooLarge(bytes_max)),
        reply => reply,
    };
    if let Some(Thing::Future(future)) = cell.desk.get(number) {
        *future = Future::Here(Box::new(reply));
    }
    // The wait was not the guest's: its deadline begins anew, and its bound is that of the wait and of its requests.
    cell.rested();
    store.set_epoch_deadline(1);
    store.data_mut().services.outside.waker.touch();
}

/// Scheme, host and port: what follows them is between the module and that server.
fn server_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    &url[..end]
}

pub(super) fn subscribe(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<FutureHandle>(store, params.first())?;
    own::<Pollable>(store, Thing::Waits(number)).map(Some)
}

pub(super) fn get(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<FutureHandle>(store, params.first())?;
    await_reply(store, number);
    let Some(Thing::Future(future)) = desk(store).get(number) else { bail!("no answer") };
    let once = match std::mem::replace(future, Future::Taken) {
        Future::Here(reply) => match *reply {
            Ok(Reply { status, fields, body }) => {
                ok(Some(own::<ResponseHandle>(store, Thing::Response { status, fields, body: Some(body) })?))
            }
            Err(failure) => error(Some(code(&failure))),
        },
        _ => return Ok(Some(some(error(None)))),
    };
    Ok(Some(some(ok(once))))
}

fn response<'a>(store: &'a mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<&'a mut Thing> {
    let number = lent::<ResponseHandle>(store, params.first())?;
    match desk(store).get(number) {
        Some(thing @ Thing::Response { .. }) => Ok(thing),
        _ => bail!("no answer"),
    }
}

pub(super) fn status(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::Response { status, .. } = response(store, params)? else { bail!("no answer") };
    Ok(Some(Val::U16(*status)))
}

pub(super) fn headers(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::Response { fields, .. } = response(store, params)? else { bail!("no answer") };
    let fields = fields.clone();
    own::<FieldsHandle>(store, Thing::Fields { fields, fixed: true }).map(Some)
}

pub(super) fn consume(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::Response { body, .. } = response(store, params)? else { bail!("no answer") };
    let Some(body) = body.take() else { return Ok(error(None)) };
    Ok(ok(Some(own::<IncomingBodyHandle>(store, Thing::IncomingBody(Some(body)))?)))
}

pub(super) fn stream(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<IncomingBodyHandle>(store, params.first())?;
    let Some(Thing::IncomingBody(body)) = desk(store).get(number) else { bail!("no body") };
    let Some(body) = body.take() else { return Ok(error(None)) };
    Ok(ok(Some(own::<InputStream>(store, Thing::Source(body, 0))?)))
}

pub(super) fn finish(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    given::<IncomingBodyHandle>(store, params.first())?;
    own::<TrailersHandle>(store, Thing::Trailers).map(Some)
}

/// There never are any.
pub(super) fn trailers(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<TrailersHandle>(store, params.first())?;
    Ok(Some(some(ok(ok(Some(some(None)))))))
}

/// Streams fail only where they end.
pub(super) fn no_code(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    lent::<super::streams::IoError>(store, params.first())?;
    Ok(Some(some(None)))
}
