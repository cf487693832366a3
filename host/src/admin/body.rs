//! What requests carry: bounded bodies, JSON documents, queries and pages of lists, with errors that are problems.

use super::error::Problem;
use super::handle::{handle, key_after};
use crate::metrics::Metrics;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A body that is here so soon needs no room among those that are on their way: small requests go on whatever slow ones do.
const PROMPT: Duration = Duration::from_millis(200);

/// How bodies come to a route.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    /// The greatest one; what declares more is refused before any of it is read.
    bytes_max: usize,
    /// What follows from that, for callers.
    bound: Arc<str>,
    /// Room for so many that are on their way.
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub(super) fn new(bytes_max: usize, bound: &str, at_once: usize, metrics: Arc<Metrics>) -> Self {
        Self { bytes_max, bound: bound.into(), room: Arc::new(Semaphore::new(at_once)), metrics }
    }

    /// Room for a body that is slow, until that is dropped. Without room its connection is free again.
    fn begin(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.room.try_acquire().map_err(|_| {
            self.metrics.admin_bodies_refused_total.add(1);
            Problem::busy("as many bodies of requests are on their way as are allowed")
        })
    }
}

fn too_large(intake: Option<&Intake>) -> Problem {
    let bound = intake.map(|intake| format!(": {}", intake.bound)).unwrap_or_default();
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than is taken here{bound}"))
}

/// The whole body. Reading stops with 413 where the bound of the route is passed.
pub(super) struct Raw(pub Bytes);

/// Refuses a head that is larger than so many bytes, or that names no host, several, or what is none (RFC 9112, 3.2).
pub(super) async fn checked_head(State(most): State<usize>, request: Request, next: Next) -> Response {
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    let uri = request.uri();
    let bytes = lines.sum::<usize>() + uri.path().len() + uri.query().map_or(0, str::len);
    if bytes > most {
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Problem::new(too_large, format!("the head of the request has more than {most} bytes")).into_response();
    }
    let hosts: Vec<_> = request.headers().get_all(header::HOST).iter().collect();
    match check_hosts(request.version(), &hosts) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::bad_request(why).into_response(),
    }
}

/// An empty one is right: it stands for a target without a host.
fn check_hosts(version: Version, hosts: &[&HeaderValue]) -> Result<(), &'static str> {
    let is_one =
        |host: &HeaderValue| host.is_empty() || host.to_str().is_ok_and(|host| host.parse::<Authority>().is_ok());
    match hosts {
        [] if version == Version::HTTP_11 => Err("a request says in its Host header whom it is for"),
        [] => Ok(()),
        [host] if is_one(host) => Ok(()),
        [_] => Err("the Host header holds no host"),
        _ => Err("a request names one host"),
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let declared: Option<usize> =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let intake = request.extensions().get::<Intake>().cloned();
        if intake.as_ref().zip(declared).is_some_and(|(intake, length)| length > intake.bytes_max) {
            return Err(too_large(intake.as_ref()));
        }
        let mut reading = std::pin::pin!(Bytes::from_request(request, state));
        let read = match tokio::time::timeout(PROMPT, &mut reading).await {
            Ok(read) => read,
            Err(_) => {
                let _room = intake.as_ref().map(Intake::begin).transpose()?;
                reading.await
            }
        };
        read.map(Self).map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(intake.as_ref()),
            status => Problem::new(status, rejection.body_text()),
        })
    }
}

/// A body that is a JSON object.
pub(super) struct Document<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Document<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        object(&bytes).map(Self)
    }
}

/// A JSON object. A field that is there twice is an error, as long as `T` has it.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Fields in an array, without their names, are nothing that anybody wrote on purpose.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::bad_request("the body is not the JSON expected: an object is, not an array"));
    }
    parse(bytes)
}

/// A body that is a JSON object, or none: then what stands for an empty one.
pub(super) struct Perhaps<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Perhaps<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        match bytes.trim_ascii().first() {
            None => Ok(Self(T::default())),
            Some(b'{') => parse(&bytes).map(Self),
            Some(_) => Err(Problem::bad_request("the body is not the JSON expected: an object is")),
        }
    }
}

/// A body that is JSON of any kind, as it came: numbers may be larger or more exact than a document in memory has them.
pub(super) struct JsonText(pub String);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        json_text(bytes).map(Self)
    }
}

/// JSON of any kind, as it is.
pub(super) fn json_text(bytes: Bytes) -> Result<String, Problem> {
    parse::<serde_json::Value>(&bytes)?;
    String::from_utf8(bytes.into()).map_err(|error| Problem::bad_request(error.to_string()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not the JSON expected: {error}")))
}

/// The part of the path that names something.
pub(super) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// The query.
pub(super) struct Ask<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// No query: what would be ignored is refused.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// No body, or an empty object: what would be ignored is refused.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

/// `?limit=` and `?after=` of a list. A limit that is less or more than can be is taken as the nearest that can.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    limit: Option<usize>,
    after: Option<String>,
}

/// Entries on a page where nothing is asked for.
const PAGE_DEFAULT: usize = 100;

impl PageQuery {
    /// The most entries to show.
    pub(super) fn limit(&self, page_max: usize) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, page_max)
    }

    /// The key after which to begin.
    pub(super) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The same where keys are names that may be long: those of the list after another one, so many.
    pub(super) fn after_name(&self, names_after: impl Fn(&str, usize) -> Vec<String>) -> Option<String> {
        self.after().map(|given| key_after(given, names_after))
    }
}

/// One page of a list: `{"items": […], "next": key}`; without `next` it is the last one.
pub(super) fn page<T: Serialize>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Response {
    // One more than was asked for was looked up, to know whether anything follows.
    let next = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|last| handle(&key(last)).into_owned())
    });
    json(&serde_json::json!({ "items": items, "next": next.flatten() }))
}

/// A JSON answer.
pub(super) fn json(document: &impl Serialize) -> Response {
    axum::Json(document).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112, 3.2: exactly one Host header, with a host in it, in every request of HTTP/1.1.
    #[test]
    fn a_request_names_one_host() {
        for (version, hosts, right) in [
            (Version::HTTP_11, &[][..], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_11, &["localhost:9880"], true),
            (Version::HTTP_11, &["[::1]:9880"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_10, &["a b"], false),
            (Version::HTTP_11, &["localhost", "localhost"], false),
            (Version::HTTP_10, &["localhost", "evil.example"], false),
        ] {
            let values: Vec<HeaderValue> = hosts.iter().map(|host| HeaderValue::from_static(host)).collect();
            let checked = check_hosts(version, &values.iter().collect::<Vec<_>>());
            assert_eq!(checked.is_ok(), right, "{version:?} {hosts:?}: {checked:?}");
        }
    }
}
