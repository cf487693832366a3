//! A component with its configuration in one body: `multipart/form-data` (RFC 7578), as `curl -F` writes it. In the head of a
//! request a configuration has little room.

use super::body::{Raw, json_text};
use super::error::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use memchr::memmem;

/// Longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What a deployment brings: a component as it is, or a form.
#[derive(Debug)]
pub(super) struct Brought {
    pub component: Bytes,
    pub config: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for Brought {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let boundary = boundary(request.headers())?;
        let Raw(body) = Raw::from_request(request, state).await?;
        match boundary {
            Some(boundary) => read(&boundary, &body),
            None => Ok(Self { component: body, config: None }),
        }
    }
}

/// What stands between the parts of a form; none: the body is none.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut words = kind.split(';').map(str::trim);
    if !words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Ok(None);
    }
    let given = words.find_map(|word| {
        let (name, value) = word.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    });
    let fits = given.filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()));
    fits.map(Some).ok_or_else(|| Problem::bad_request("multipart/form-data has a boundary of 1 to 70 characters"))
}

/// Both parts; the component is not copied.
fn read(boundary: &str, body: &Bytes) -> Result<Brought, Problem> {
    let wrong = |why: &str| Problem::bad_request(format!("the body is not the form expected: {why}"));
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first one has no line before it.
    let opening = delimiter.as_bytes()[2..].len();
    let mut rest = match body.starts_with(&delimiter.as_bytes()[2..]) {
        true => body.slice(opening..),
        false => return Err(wrong("it does not begin with its boundary")),
    };
    let (mut component, mut config) = (None, None);
    while !rest.starts_with(b"--") {
        let head = memmem::find(&rest, b"\r\n\r\n").ok_or_else(|| wrong("a part has no head"))?;
        let content = rest.slice(head + 4..);
        let end = finder.find(&content).ok_or_else(|| wrong("a part has no end"))?;
        let into = match name(&rest[..head]) {
            Some("component") => &mut component,
            Some("config") => &mut config,
            _ => return Err(wrong("its parts are component and config")),
        };
        if into.replace(content.slice(..end)).is_some() {
            return Err(wrong("a part is there twice"));
        }
        rest = content.slice(end + delimiter.len()..);
    }
    let component = component.ok_or_else(|| wrong("it has no component"))?;
    Ok(Brought { component, config: config.map(json_text).transpose()? })
}

/// What a part is called.
fn name(head: &[u8]) -> Option<&str> {
    let lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let said = lines.filter_map(|line| line.split_once(':'));
    let (_, words) = said.into_iter().find(|(field, _)| field.eq_ignore_ascii_case("content-disposition"))?;
    words.split(';').find_map(|word| Some(word.trim().strip_prefix("name=")?.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const CURL: &str = "--X\r\nContent-Disposition: form-data; name=\"component\"; filename=\"m.wasm\"\r\n\
                        Content-Type: application/wasm\r\n\r\n\0a\r\n--Y\r\n\r\n--X\r\n\
                        Content-Disposition: form-data; name=\"config\"\r\n\r\n{\"a\": 1}\r\n--X--\r\n";

    #[test]
    fn both_parts_are_found() {
        let brought = read("X", &Bytes::from_static(CURL.as_bytes())).unwrap();
        assert_eq!((&*brought.component, brought.config.as_deref()), (&b"\0a\r\n--Y\r\n"[..], Some("{\"a\": 1}")));
        let alone = CURL.split_once("--X\r\nContent-Disposition: form-data; name=\"config\"").unwrap().0;
        let brought = read("X", &Bytes::from(format!("{alone}--X--"))).unwrap();
        assert_eq!((brought.component.len(), brought.config), (9, None));
    }

    #[test]
    fn what_is_no_form_is_refused_wherever_it_ends() {
        for end in 0..CURL.len() - "--\r\n".len() {
            let cut = read("X", &Bytes::from_static(&CURL.as_bytes()[..end]));
            assert!(cut.is_err(), "{end}: {cut:?}");
        }
        for (from, to, why) in [
            ("name=\"config\"", "name=\"konfig\"", "its parts are component and config"),
            ("name=\"config\"", "name=\"component\"", "a part is there twice"),
            ("name=\"component\"", "name=\"config\"", "a part is there twice"),
            ("{\"a\": 1}", "{\"a\": 1", "not the JSON expected"),
            ("Content-Disposition", "Content-Position", "its parts are component and config"),
        ] {
            let error = read("X", &Bytes::from(CURL.replacen(from, to, if from.starts_with('C') { 1 } else { 9 })));
            assert!(format!("{error:?}").contains(why), "{from}: {error:?}");
        }
        let alone = CURL.split_once("--X\r\nContent-Disposition: form-data; name=\"config\"").unwrap().1;
        let error = read("X", &Bytes::from(format!("--X\r\nContent-Disposition: form-data; name=\"config\"{alone}")));
        assert!(format!("{error:?}").contains("it has no component"), "{error:?}");
    }

    #[test]
    fn a_form_names_its_boundary() {
        for (kind, expected) in [
            ("application/wasm", Ok(None)),
            ("multipart/form-data; boundary=X", Ok(Some("X"))),
            ("Multipart/Form-Data;charset=utf-8;Boundary=\"a b\"", Ok(Some("a b"))),
            ("multipart/form-data", Err(())),
            ("multipart/form-data; boundary=\"\"", Err(())),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            let found = boundary(&headers).map_err(|_| ());
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{kind}");
        }
    }
}
