//! What requests carry: bounded bodies, JSON documents, queries and pages of lists, with errors that are problems.

use super::error::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The greatest body that a route takes; what declares more is refused before any of it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyMax(pub usize);

/// The whole body. Reading stops with 413 where the bound of the route is passed.
pub(super) struct Raw(pub Bytes);

/// Refuses a head that is larger than so many bytes.
pub(super) async fn bounded_head(State(most): State<usize>, request: Request, next: Next) -> Response {
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    let uri = request.uri();
    let bytes = lines.sum::<usize>() + uri.path().len() + uri.query().map_or(0, str::len);
    if bytes <= most {
        return next.run(request).await;
    }
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Problem::new(too_large, format!("the head of the request has more than {most} bytes")).into_response()
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than is taken here");
        let declared =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let most = request.extensions().get::<BodyMax>().map_or(usize::MAX, |most| most.0);
        if declared.is_some_and(|length: usize| length > most) {
            return Err(too_large());
        }
        let read = Bytes::from_request(request, state).await;
        read.map(Self).map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
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
        // Fields in an array, without their names, are nothing that anybody wrote on purpose.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::bad_request("the body is not the JSON expected: an object is, not an array"));
        }
        parse(&bytes).map(Self)
    }
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

/// A body that is JSON of any kind.
pub(super) struct AnyJson(pub serde_json::Value);

impl<S: Send + Sync> FromRequest<S> for AnyJson {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse(&Raw::from_request(request, state).await?.0).map(Self)
    }
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

/// `?limit=` and `?after=` of a list.
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
}

/// One page of a list: `{"items": […], "next": key}`; without `next` it is the last one.
pub(super) fn page<T: Serialize>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Response {
    // One more than was asked for was looked up, to know whether anything follows.
    let next = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(key)
    });
    json(&serde_json::json!({ "items": items, "next": next.flatten() }))
}

/// A JSON answer.
pub(super) fn json(document: &impl Serialize) -> Response {
    axum::Json(document).into_response()
}
