//! Values of the component model, taken apart and put together; handles; and the words for what went wrong.

use super::super::super::instance::Cell;
use super::super::super::outside::Failure;
use super::desk::{Desk, Thing};
use wasmtime::component::{Resource, Val};
use wasmtime::{AsContextMut, StoreContextMut, bail};

/// A new handle to a thing.
pub(super) fn own<T: 'static>(store: &mut StoreContextMut<'_, Cell>, thing: Thing) -> wasmtime::Result<Val> {
    let number = desk(store).put(thing);
    own_number::<T>(store, number)
}

/// A new handle with this number.
pub(in super::super) fn own_number<T: 'static>(
    store: &mut StoreContextMut<'_, Cell>,
    number: u32,
) -> wasmtime::Result<Val> {
    let cell = store.data_mut();
    if cell.handles >= cell.services.limits.handles_max {
        bail!("more handles than a module may hold");
    }
    cell.handles += 1;
    Ok(Val::Resource(Resource::<T>::new_own(number).try_into_resource_any(store)?))
}

pub(super) fn desk<'a>(store: &'a mut StoreContextMut<'_, Cell>) -> &'a mut Desk {
    &mut store.data_mut().desk
}

/// The number behind a handle that was lent.
pub(super) fn lent<T: 'static>(store: &mut StoreContextMut<'_, Cell>, value: Option<&Val>) -> wasmtime::Result<u32> {
    let Some(Val::Resource(handle)) = value else { bail!("a handle is missing") };
    Ok(handle.try_into_resource::<T>(store.as_context_mut())?.rep())
}

/// The thing behind a handle that was given away; the handle is gone.
pub(super) fn given<T: 'static>(store: &mut StoreContextMut<'_, Cell>, value: Option<&Val>) -> wasmtime::Result<Thing> {
    let Some(Val::Resource(handle)) = value else { bail!("a handle is missing") };
    let resource = handle.try_into_resource::<T>(store.as_context_mut())?;
    let thing = desk(store).take(resource.rep());
    resource.try_into_resource_any(store.as_context_mut())?.resource_drop(store.as_context_mut())?;
    match thing {
        Some(thing) => Ok(thing),
        None => bail!("the handle stands for nothing any more"),
    }
}

pub(super) fn text(value: Option<&Val>) -> wasmtime::Result<&str> {
    if let Some(Val::String(text)) = value { Ok(text) } else { bail!("a text is missing") }
}

/// A text that may be none.
pub(super) fn maybe_text(value: Option<&Val>) -> Option<&str> {
    if let Some(Val::Option(Some(text))) = value { text_of(text) } else { None }
}

fn text_of(value: &Val) -> Option<&str> {
    if let Val::String(text) = value { Some(text) } else { None }
}

pub(super) fn bytes(value: Option<&Val>) -> wasmtime::Result<Vec<u8>> {
    let Some(Val::List(values)) = value else { bail!("bytes are missing") };
    Ok(values.iter().map(|value| if let Val::U8(byte) = value { *byte } else { b'?' }).collect())
}

pub(super) fn list(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
}

pub(super) fn ok(value: Option<Val>) -> Option<Val> {
    Some(Val::Result(Ok(value.map(Box::new))))
}

pub(super) fn error(value: Option<Val>) -> Option<Val> {
    Some(Val::Result(Err(value.map(Box::new))))
}

pub(super) fn some(value: Option<Val>) -> Val {
    Val::Option(value.map(Box::new))
}

pub(super) fn word(word: &str) -> Val {
    Val::Variant(word.to_owned(), None)
}

/// As `wasi:http` says it.
pub(super) fn code(failure: &Failure) -> Val {
    let with = |word: &str, value: Option<Val>| Val::Variant(word.to_owned(), Some(Box::new(some(value))));
    let size = |bytes: usize| Some(Val::U64(bytes as u64));
    match failure {
        Failure::Denied => word("HTTP-request-denied"),
        Failure::BadRequest => word("HTTP-request-URI-invalid"),
        Failure::TooMany => word("connection-limit-reached"),
        Failure::RequestTooLarge(limit) => with("HTTP-request-body-size", size(*limit)),
        Failure::ReplyTooLarge(limit) => with("HTTP-response-body-size", size(*limit)),
        Failure::TimedOut => word("HTTP-response-timeout"),
        Failure::NoHost => word("destination-not-found"),
        Failure::Refused => word("connection-refused"),
        Failure::Tls => word("TLS-protocol-error"),
        Failure::Other(why) => with("internal-error", Some(Val::String(why.clone()))),
    }
}
