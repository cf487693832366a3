//! `wasi:http`: requests to servers outside, for hooks that may wait (`access.authenticate`, `timers`), to hosts that the
//! operator granted. Everywhere else a request fails as denied, which the guest sees.
//!
//! A request is sent when the guest waits for its answer, and then carried to its end, the whole answer included: whatever
//! is read afterwards is there. What the guest waits is not its deadline's, but has a bound of its own.
//!
//! | File | Job |
//! |---|---|
//! | `desk` | what the handles of an instance stand for |
//! | `fields` | header fields |
//! | `request` | a request is written |
//! | `reply` | it is sent, waited for, and its answer read |
//! | `streams` | bodies, and whoever waits: `wasi:io` |
//! | `values` | values of the component model, and errors |

pub(in super::super) mod desk;
mod fields;
mod reply;
mod request;
pub(super) mod streams;
mod values;

pub(super) use values::own_number;

use super::super::instance::Cell;
use wasmtime::StoreContextMut;
use wasmtime::component::{ResourceType, Val};

/// What a function does: its arguments, and its result if it has one.
pub(super) type Function = fn(&mut StoreContextMut<'_, Cell>, &[Val]) -> wasmtime::Result<Option<Val>>;

/// Handles of each kind are types of their own, so that none is taken for another.
pub(super) struct FieldsHandle;
pub(super) struct RequestHandle;
pub(super) struct OptionsHandle;
pub(super) struct OutgoingBodyHandle;
pub(super) struct FutureHandle;
pub(super) struct ResponseHandle;
pub(super) struct IncomingBodyHandle;
pub(super) struct TrailersHandle;

/// The type of a resource of `wasi:http/types`; none: there is never one.
pub(super) fn resource(name: &str) -> Option<ResourceType> {
    Some(match name {
        "fields" | "headers" | "trailers" => ResourceType::host::<FieldsHandle>(),
        "outgoing-request" => ResourceType::host::<RequestHandle>(),
        "request-options" => ResourceType::host::<OptionsHandle>(),
        "outgoing-body" => ResourceType::host::<OutgoingBodyHandle>(),
        "future-incoming-response" => ResourceType::host::<FutureHandle>(),
        "incoming-response" => ResourceType::host::<ResponseHandle>(),
        "incoming-body" => ResourceType::host::<IncomingBodyHandle>(),
        "future-trailers" => ResourceType::host::<TrailersHandle>(),
        _ => return None,
    })
}

/// The functions that make a request; none: it has no answer of its own here.
pub(super) fn function(interface: &str, name: &str) -> Option<Function> {
    if interface == "http/outgoing-handler" {
        return (name == "handle").then_some(request::handle as Function);
    }
    if interface != "http/types" {
        return None;
    }
    Some(match name {
        "[constructor]fields" => fields::new,
        "[static]fields.from-list" => fields::from_list,
        "[method]fields.get" => fields::get,
        "[method]fields.has" => fields::has,
        "[method]fields.set" => fields::set,
        "[method]fields.delete" => fields::delete,
        "[method]fields.append" => fields::append,
        "[method]fields.entries" => fields::entries,
        "[method]fields.clone" => fields::clone,
        "[constructor]outgoing-request" => request::new,
        "[method]outgoing-request.body" => request::body,
        "[method]outgoing-request.method" => request::method,
        "[method]outgoing-request.set-method" => request::set_method,
        "[method]outgoing-request.path-with-query" => request::path,
        "[method]outgoing-request.set-path-with-query" => request::set_path,
        "[method]outgoing-request.scheme" => request::scheme,
        "[method]outgoing-request.set-scheme" => request::set_scheme,
        "[method]outgoing-request.authority" => request::authority,
        "[method]outgoing-request.set-authority" => request::set_authority,
        "[method]outgoing-request.headers" => request::headers,
        "[constructor]request-options" => request::new_options,
        "[method]request-options.connect-timeout" => |store, params| request::timeout(store, params, 0),
        "[method]request-options.first-byte-timeout" => |store, params| request::timeout(store, params, 1),
        "[method]request-options.between-bytes-timeout" => |store, params| request::timeout(store, params, 2),
        "[method]request-options.set-connect-timeout" => |store, params| request::set_timeout(store, params, 0),
        "[method]request-options.set-first-byte-timeout" => |store, params| request::set_timeout(store, params, 1),
        "[method]request-options.set-between-bytes-timeout" => |store, params| request::set_timeout(store, params, 2),
        "[method]outgoing-body.write" => request::write,
        "[static]outgoing-body.finish" => request::finish,
        "[method]future-incoming-response.subscribe" => reply::subscribe,
        "[method]future-incoming-response.get" => reply::get,
        "[method]incoming-response.status" => reply::status,
        "[method]incoming-response.headers" => reply::headers,
        "[method]incoming-response.consume" => reply::consume,
        "[method]incoming-body.stream" => reply::stream,
        "[static]incoming-body.finish" => reply::finish,
        "[method]future-trailers.subscribe" => streams::ready_at_once,
        "[method]future-trailers.get" => reply::trailers,
        "http-error-code" => reply::no_code,
        _ => return None,
    })
}
