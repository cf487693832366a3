//! A request is written: what, to whom, with which body.

use super::super::super::instance::Cell;
use super::super::super::outside::{Errand, Failure, Wait};
use super::super::log::LogLevel;
use super::desk::{Future, Request, Thing};
use super::streams::OutputStream;
use super::values::{code, desk, error, given, lent, maybe_text, ok, own, some, word};
use super::{FieldsHandle, FutureHandle, OptionsHandle, OutgoingBodyHandle, RequestHandle};
use std::time::Duration;
use wasmtime::component::Val;
use wasmtime::{StoreContextMut, bail};

type Answer = wasmtime::Result<Option<Val>>;

/// Bytes of a path with its query, and of an authority.
const PATH_BYTES_MAX: usize = 8_192;

/// The methods with names of their own in `wasi:http`.
const METHODS: [&str; 9] = ["get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"];

fn request<'a>(store: &'a mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<&'a mut Request> {
    let number = lent::<RequestHandle>(store, params.first())?;
    match desk(store).get(number) {
        Some(Thing::Request(request)) => Ok(request),
        _ => bail!("no request"),
    }
}

fn set_if(fits: bool, set: impl FnOnce()) -> Answer {
    if fits {
        set();
    }
    Ok(if fits { ok(None) } else { error(None) })
}

pub(super) fn new(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::Fields { fields, .. } = given::<FieldsHandle>(store, params.first())? else { bail!("no fields") };
    let request = Request { method: "GET".into(), https: true, fields, ..Request::default() };
    own::<RequestHandle>(store, Thing::Request(Box::new(request))).map(Some)
}

pub(super) fn headers(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let fields = request(store, params)?.fields.clone();
    own::<FieldsHandle>(store, Thing::Fields { fields, fixed: true }).map(Some)
}

pub(super) fn method(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let method = &request(store, params)?.method;
    let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method));
    Ok(Some(match known {
        Some(known) => word(known),
        None => Val::Variant("other".into(), Some(Box::new(Val::String((**method).into())))),
    }))
}

pub(super) fn set_method(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let method = match params.get(1) {
        Some(Val::Variant(_, Some(other))) => {
            if let Val::String(other) = &**other {
                other.clone()
            } else {
                String::new()
            }
        }
        Some(Val::Variant(name, None)) => name.to_ascii_uppercase(),
        _ => bail!("no method"),
    };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // A tunnel would lead past the grants.
    let fits = (1..=32).contains(&method.len()) && method.bytes().all(token) && !method.eq_ignore_ascii_case("connect");
    let request = request(store, params)?;
    set_if(fits, || request.method = method.into())
}

pub(super) fn path(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let path = request(store, params)?.path.clone();
    Ok(Some(some(path.map(|path| Val::String(path.into())))))
}

pub(super) fn set_path(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let path = maybe_text(params.get(1));
    let request = request(store, params)?;
    set_if(path.is_none_or(|path| path.len() <= PATH_BYTES_MAX), || request.path = path.map(Into::into))
}

pub(super) fn authority(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let authority = request(store, params)?.authority.clone();
    Ok(Some(some(authority.map(|authority| Val::String(authority.into())))))
}

pub(super) fn set_authority(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let authority = maybe_text(params.get(1));
    let request = request(store, params)?;
    set_if(authority.is_none_or(|it| it.len() <= PATH_BYTES_MAX), || request.authority = authority.map(Into::into))
}

pub(super) fn scheme(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let request = request(store, params)?;
    let scheme = word(if request.https { "HTTPS" } else { "HTTP" });
    Ok(Some(some(request.scheme_said.then_some(scheme))))
}

pub(super) fn set_scheme(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let scheme = match params.get(1) {
        Some(Val::Option(None)) => Some((true, false)),
        Some(Val::Option(Some(scheme))) => match &**scheme {
            Val::Variant(name, None) if name == "HTTP" => Some((false, true)),
            Val::Variant(name, None) if name == "HTTPS" => Some((true, true)),
            _ => None,
        },
        _ => None,
    };
    let request = request(store, params)?;
    set_if(scheme.is_some(), || {
        if let Some(scheme) = scheme {
            (request.https, request.scheme_said) = scheme;
        }
    })
}

pub(super) fn body(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<RequestHandle>(store, params.first())?;
    let bytes = desk(store).put(Thing::Bytes(Vec::new()));
    match desk(store).get(number) {
        Some(Thing::Request(request)) if request.body.is_none() => request.body = Some(bytes),
        _ => {
            desk(store).forget(bytes);
            return Ok(error(None));
        }
    }
    Ok(ok(Some(own::<OutgoingBodyHandle>(store, Thing::OutgoingBody(bytes))?)))
}

pub(super) fn write(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let number = lent::<OutgoingBodyHandle>(store, params.first())?;
    let Some(Thing::OutgoingBody(bytes)) = desk(store).get(number) else { bail!("no body") };
    let bytes = *bytes;
    Ok(ok(Some(own::<OutputStream>(store, Thing::Sink(bytes))?)))
}

pub(super) fn finish(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::OutgoingBody(_) = given::<OutgoingBodyHandle>(store, params.first())? else { bail!("no body") };
    if let Some(Val::Option(Some(trailers))) = params.get(1) {
        given::<FieldsHandle>(store, Some(trailers))?;
    }
    Ok(ok(None))
}

pub(super) fn new_options(store: &mut StoreContextMut<'_, Cell>, _: &[Val]) -> Answer {
    own::<OptionsHandle>(store, Thing::Options([None; 3])).map(Some)
}

fn options<'a>(store: &'a mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<&'a mut [Option<u64>; 3]> {
    let number = lent::<OptionsHandle>(store, params.first())?;
    match desk(store).get(number) {
        Some(Thing::Options(options)) => Ok(options),
        _ => bail!("no options"),
    }
}

pub(super) fn timeout(store: &mut StoreContextMut<'_, Cell>, params: &[Val], which: usize) -> Answer {
    Ok(Some(some(options(store, params)?[which].map(Val::U64))))
}

pub(super) fn set_timeout(store: &mut StoreContextMut<'_, Cell>, params: &[Val], which: usize) -> Answer {
    let nanoseconds = match params.get(1) {
        Some(Val::Option(Some(value))) => {
            if let Val::U64(nanoseconds) = **value {
                Some(nanoseconds)
            } else {
                None
            }
        }
        _ => None,
    };
    options(store, params)?[which] = nanoseconds;
    Ok(ok(None))
}

/// The request is complete but for its body.
pub(super) fn handle(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Thing::Request(request) = given::<RequestHandle>(store, params.first())? else { bail!("no request") };
    let timeouts = match params.get(1) {
        Some(Val::Option(Some(options))) => match given::<OptionsHandle>(store, Some(options))? {
            Thing::Options(timeouts) => timeouts,
            _ => bail!("no options"),
        },
        _ => [None; 3],
    };
    match errand(store.data_mut(), &request, timeouts) {
        Ok(errand) => {
            let future = Future::Unsent(Box::new(errand), request.body);
            Ok(ok(Some(own::<FutureHandle>(store, Thing::Future(future))?)))
        }
        Err(failure) => {
            if let Some(bytes) = request.body {
                desk(store).forget(bytes);
            }
            Ok(error(Some(code(&failure))))
        }
    }
}

fn errand(cell: &mut Cell, request: &Request, timeouts: [Option<u64>; 3]) -> Result<Errand, Failure> {
    let authority = request.authority.as_deref().unwrap_or_default();
    let services = cell.services.clone();
    let granted = services.outside.permit(request.https, authority, request.path.as_deref().unwrap_or_default());
    let permitted = match cell.share.wait {
        Wait::Yes => granted.clone(),
        Wait::NotThisCall | Wait::NotThisHook => Err(Failure::Denied),
    };
    if permitted == Err(Failure::Denied) {
        services.outside.count_denied();
        let why = match cell.share.wait {
            Wait::NotThisHook => "this hook may not wait, only access.authenticate and timers may".to_owned(),
            // Without a grant nobody waits for the module at all: that is where to begin.
            _ if granted == Err(Failure::Denied) => {
                let module = &services.module;
                format!(r#"the host is not granted; add it to http_hosts of [[module]] name = "{module}""#)
            }
            _ => "this call may not wait".to_owned(),
        };
        cell.write_line(LogLevel::Warn, &format!("no request to {authority}: {why}"));
    }
    if permitted == Err(Failure::BadRequest) {
        // Without the authority and the path: a password may stand there.
        let why = "its URL has no host, or has user information, a fragment, a blank or something else that none has";
        cell.write_line(LogLevel::Warn, &format!("no request: {why}"));
    }
    let url = permitted?;
    // Connecting and the first byte come one after the other; what comes between the bytes has no bound of its own.
    let asked = timeouts[0].zip(timeouts[1]).map(|(connect, first)| connect.saturating_add(first));
    let asked = asked.or(timeouts[0]).or(timeouts[1]).map_or(Duration::MAX, Duration::from_nanos);
    Ok(Errand {
        method: request.method.clone(),
        url,
        fields: request.fields.clone(),
        body: Vec::new(),
        patience: asked,
        reply_bytes_max: services.limits.http_reply_bytes_max,
    })
}
