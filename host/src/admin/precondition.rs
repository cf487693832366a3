//! `ETag`, `If-Match` and `If-None-Match` of modules (RFC 9110, 13.1): whoever changes one says what they take it to be.

use super::body::json;
use super::error::Problem;
use crate::wasm::{Expected, Tags};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

/// What the head of a request says of the module that it changes.
pub(super) struct Given(pub Expected);

impl<S: Send + Sync> FromRequestParts<S> for Given {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tags = |name| tags(&parts.headers, &name);
        Ok(Self(Expected { is: tags(header::IF_MATCH)?, is_not: tags(header::IF_NONE_MATCH)? }))
    }
}

/// The tags of a header, over all its lines.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let wrong = || Problem::bad_request(format!("{name} holds * or entity tags in quotes, separated by commas"));
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    let items = lines.map_err(|_| wrong())?;
    let items: Vec<&str> = items.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    match items.as_slice() {
        [] => Ok(None),
        ["*"] => Ok(Some(Tags::Any)),
        items => {
            items.iter().map(|item| tag(item).ok_or_else(wrong)).collect::<Result<_, _>>().map(Tags::These).map(Some)
        }
    }
}

/// A weak tag is none of ours: what stands in it is kept, and equals nothing.
fn tag(item: &str) -> Option<String> {
    let quoted = item.strip_prefix("W/").unwrap_or(item);
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let is_weak = quoted.len() < item.len();
    (!inner.contains('"')).then(|| if is_weak { item.to_owned() } else { inner.to_owned() })
}

/// A document with the tag of the module that it is about; none: the module is gone.
pub(super) fn tagged(document: &impl Serialize, tag: Option<&str>) -> Response {
    let mut response = json(document);
    let tag = tag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110, 13.1.1: a list of tags, or an asterisk.
    #[test]
    fn tags_are_read_as_they_are_written() {
        let these = |tags: &[&str]| Some(Some(Tags::These(tags.iter().map(ToString::to_string).collect())));
        for (lines, expected) in [
            (&[][..], Some(None)),
            (&["*"], Some(Some(Tags::Any))),
            (&["\"a\""], these(&["a"])),
            (&["\"a\" , \"b\"", "\"c\""], these(&["a", "b", "c"])),
            (&["W/\"a\""], these(&["W/\"a\""])),
            (&["a"], None),
            (&["\"a"], None),
            (&["\"a\",*"], None),
            (&[""], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_MATCH, HeaderValue::from_static(line));
            }
            assert_eq!(tags(&headers, &header::IF_MATCH).ok(), expected, "{lines:?}");
        }
    }
}
