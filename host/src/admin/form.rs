//! A component with its configuration in one body: `multipart/form-data` (RFC 7578), as `curl -F` writes it. In the head of a
//! request a configuration has little room.

use super::body::{Raw, json_text};
use super::error::Problem;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use multer::Multipart;

const FORM: &str = "multipart/form-data";

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
            Some(boundary) => read(boundary, body).await,
            None => Ok(Self { component: body, config: None }),
        }
    }
}

/// What stands between the parts of a form; none: the body is none.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.get(..FORM.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FORM)) {
        return Ok(None);
    }
    let boundary = multer::parse_boundary(kind).ok().filter(|boundary| !boundary.is_empty());
    boundary.map(Some).ok_or_else(|| Problem::bad_request("multipart/form-data needs a boundary"))
}

/// Both parts. The body is there already, within the bounds of all bodies.
async fn read(boundary: String, body: Bytes) -> Result<Brought, Problem> {
    let wrong = |why: String| Problem::bad_request(format!("the body is not the form expected: {why}"));
    let mut form = Multipart::new(Body::from(body).into_data_stream(), boundary);
    let (mut component, mut config) = (None, None);
    while let Some(part) = form.next_field().await.map_err(|error| wrong(error.to_string()))? {
        let into = match part.name() {
            Some("component") => &mut component,
            Some("config") => &mut config,
            _ => return Err(wrong("its parts are component and config".to_owned())),
        };
        let content = part.bytes().await.map_err(|error| wrong(error.to_string()))?;
        if into.replace(content).is_some() {
            return Err(wrong("a part is there twice".to_owned()));
        }
    }
    let component = component.ok_or_else(|| wrong("it has no component".to_owned()))?;
    Ok(Brought { component, config: config.map(json_text).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const CURL: &str = "--X\r\nContent-Disposition: form-data; name=\"component\"; filename=\"m.wasm\"\r\n\
                        Content-Type: application/wasm\r\n\r\n\0a\r\n--Y\r\n\r\n--X\r\n\
                        Content-Disposition: form-data; name=\"config\"\r\n\r\n{\"a\": 1}\r\n--X--\r\n";

    fn read_all(body: impl Into<Bytes>) -> Result<Brought, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read("X".to_owned(), body.into()))
    }

    #[test]
    fn both_parts_are_found() {
        let brought = read_all(CURL).unwrap();
        assert_eq!((&*brought.component, brought.config.as_deref()), (&b"\0a\r\n--Y\r\n"[..], Some("{\"a\": 1}")));
        let alone = CURL.split_once("--X\r\nContent-Disposition: form-data; name=\"config\"").unwrap().0;
        let brought = read_all(format!("{alone}--X--")).unwrap();
        assert_eq!((brought.component.len(), brought.config), (9, None));
    }

    #[test]
    fn what_is_no_form_is_refused_wherever_it_ends() {
        for end in 0..CURL.len() - "--\r\n".len() {
            let cut = read_all(&CURL.as_bytes()[..end]);
            assert!(cut.is_err(), "{end}: {cut:?}");
        }
        for (from, to, why) in [
            ("name=\"config\"", "name=\"konfig\"", "its parts are component and config"),
            ("name=\"config\"", "name=\"component\"", "a part is there twice"),
            ("name=\"component\"", "name=\"config\"", "a part is there twice"),
            ("{\"a\": 1}", "{\"a\": 1", "not the JSON expected"),
            ("Content-Disposition", "Content-Position", "its parts are component and config"),
        ] {
            let error = read_all(CURL.replacen(from, to, if from.starts_with('C') { 1 } else { 9 }));
            assert!(format!("{error:?}").contains(why), "{from}: {error:?}");
        }
        let alone = CURL.split_once("--X\r\nContent-Disposition: form-data; name=\"config\"").unwrap().1;
        let error = read_all(format!("--X\r\nContent-Disposition: form-data; name=\"config\"{alone}"));
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
