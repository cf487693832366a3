//! `ETag`, `If-Match` and `If-None-Match` of modules (RFC 9110, 13.1): whoever changes one says what they take it to be, and whoever
//! looks at one, what they have seen.

use super::body::json;
use super::error::Problem;
use crate::wasm::{DeployError, Expected, ModuleInfo, Tags};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What the head of a request says of the module that it is about.
pub(super) struct Given(pub Expected);

impl<S: Send + Sync> FromRequestParts<S> for Given {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tags = |name| tags(&parts.headers, &name);
        Ok(Self(Expected { is: tags(header::IF_MATCH)?, is_not: tags(header::IF_NONE_MATCH)? }))
    }
}

impl Given {
    /// What is answered in place of a module that is looked at (13.2.2): it is another one, or nobody has changed it since.
    pub(super) fn instead_of(&self, module: &ModuleInfo) -> Result<Option<Response>, Problem> {
        let have = |tags: &Tags| tags.have(Some(&module.tag));
        if self.0.is.as_ref().is_some_and(|tags| !have(tags)) {
            return Err(DeployError::Changed { name: module.name.to_string(), active: module.version }.into());
        }
        let is_known = self.0.is_not.as_ref().is_some_and(have);
        Ok(is_known.then(|| with_tag(StatusCode::NOT_MODIFIED.into_response(), Some(&module.tag))))
    }
}

/// The tags of a header, over all its lines.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let wrong = || Problem::bad_request(format!("{name} holds * or entity tags in quotes, separated by commas"));
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    let lines = lines.map_err(|_| wrong())?;
    let items: Vec<&str> = lines.iter().flat_map(|line| elements(line)).collect();
    // 13.1.2: `If-None-Match` compares weakly, `If-Match` does not.
    let weakly = name == header::IF_NONE_MATCH;
    match items.as_slice() {
        [] if lines.is_empty() => Ok(None),
        [] => Err(wrong()),
        ["*"] => Ok(Some(Tags::Any)),
        items => {
            let tags = items.iter().map(|item| tag(item, weakly).ok_or_else(wrong));
            tags.collect::<Result<_, _>>().map(Tags::These).map(Some)
        }
    }
}

/// The elements of a list: a comma in quotes is part of a tag (8.8.3), and empty elements do not count (5.6.1.2).
fn elements(line: &str) -> Vec<&str> {
    let mut in_quotes = false;
    let is_between = |c: char| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    };
    line.split(is_between).map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// A weak tag is none of ours: where it counts, what stands in it is kept as it is, and equals nothing.
fn tag(item: &str, weakly: bool) -> Option<String> {
    let quoted = item.strip_prefix("W/").unwrap_or(item);
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let is_right = inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let is_kept = weakly || quoted.len() == item.len();
    is_right.then(|| if is_kept { inner.to_owned() } else { item.to_owned() })
}

/// A document with the tag of the module that it is about; none: the module is gone.
pub(super) fn tagged(document: &impl Serialize, tag: Option<&str>) -> Response {
    with_tag(json(document), tag)
}

/// Figures change without the tag: no cache is to answer by that on its own.
fn with_tag(mut response: Response, tag: Option<&str>) -> Response {
    let tag = tag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
            (&["\"a b\""], None),
            (&["\"a\" \"b\""], None),
            (&[",\"a\",, \"b\","], these(&["a", "b"])),
            (&["\"a,b\",\"c\""], these(&["a,b", "c"])),
            (&["", "\"a\""], these(&["a"])),
            (&[""], None),
            (&[","], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_MATCH, HeaderValue::from_static(line));
            }
            assert_eq!(tags(&headers, &header::IF_MATCH).ok(), expected, "{lines:?}");
        }
    }

    /// RFC 9110, 13.1.2 and 8.8.3.2
    #[test]
    fn if_none_match_compares_weakly() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"a\", \"b\""));
        let these = Some(Tags::These(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(tags(&headers, &header::IF_NONE_MATCH).ok(), Some(these));
    }
}
