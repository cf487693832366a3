//! Requests to servers outside, for `authenticate` and `on_tick`, to hosts that the operator granted (`http_hosts` in the
//! broker's configuration). Needs the crate's feature `http`.
//!
//! The client that wants to come in, or the next tick, waits for the answer; nobody else does. One call may wait three
//! seconds for all its requests and make four of them, unless the broker is configured otherwise. A request to anybody
//! else, or in any other hook, is [`HttpError::Denied`]. Redirects are not followed: the answer is the redirect.
//!
//! ```
//! use pliant_guest::http::{self, HttpError};
//!
//! fn is_known(user: &str) -> Result<bool, HttpError> {
//!     let answer = http::get(&format!("http://auth.example/users/{user}"))?;
//!     Ok(answer.status == 200)
//! }
//!
//! # let host = pliant_guest::testing::Host::fresh();
//! host.answer_http("http://auth.example/users/ann", 200, "welcome");
//! assert_eq!(is_known("ann"), Ok(true));
//! assert_eq!(is_known("bob"), Err(HttpError::Denied));
//! ```

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Such as `GET`; in upper case.
    pub method: String,
    /// `http://` or `https://`, a host, and so on.
    pub url: String,
    /// Names and values. Length and host are the broker's to say.
    pub headers: Vec<(String, String)>,
    /// At most 64 KiB, unless the broker is configured otherwise.
    pub body: Vec<u8>,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Such as 200. Any status is an answer.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// All of it: at most 256 KiB, unless the broker is configured otherwise.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The operator did not grant the host, or the hook may not wait.
    Denied,
    /// The URL is none.
    BadUrl,
    /// It took too long.
    TimedOut,
    /// The request or the answer is larger than the broker allows.
    TooLarge,
    /// Anything else, for people.
    Failed(String),
}

impl core::fmt::Display for HttpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Denied => "the request is not allowed",
            Self::BadUrl => "not a URL",
            Self::TimedOut => "no answer in time",
            Self::TooLarge => "too large",
            Self::Failed(why) => why,
        })
    }
}

/// Asks for what is there.
///
/// # Errors
/// There is no answer.
pub fn get(url: &str) -> Result<Response, HttpError> {
    Request::new("GET", url).send()
}

/// Sends something, and waits for the answer.
///
/// # Errors
/// There is no answer.
pub fn post(url: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Response, HttpError> {
    let request = Request::new("POST", url).header("content-type", content_type);
    Request { body: body.into(), ..request }.send()
}

impl Request {
    /// Without header and body.
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.to_string(), url: url.to_string(), headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// There is none.
    pub fn send(self) -> Result<Response, HttpError> {
        #[cfg(target_family = "wasm")]
        return wasm::send(&self);
        #[cfg(not(target_family = "wasm"))]
        return crate::testing::stand_in(|host| host.http.get(&self.url).cloned().ok_or(HttpError::Denied));
    }
}

impl Response {
    /// The body, if it is text.
    pub fn text(&self) -> Option<&str> {
        core::str::from_utf8(&self.body).ok()
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{HttpError, Request, Response};
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
    use wasip2::io::streams::StreamError;

    /// Bytes that one write takes.
    const WRITE_BYTES_MAX: usize = 4_096;
    /// Bytes that are asked for at a time.
    const READ_BYTES: u64 = 16_384;

    pub(super) fn send(request: &Request) -> Result<Response, HttpError> {
        let (scheme, rest) = match request.url.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => {
                // What else is wrong with a URL the broker says.
                crate::log::warn("no request: the URL begins with neither http:// nor https://");
                return Err(HttpError::BadUrl);
            }
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        let fields = Fields::from_list(&headers).map_err(|error| HttpError::Failed(format!("{error:?}")))?;
        let outgoing = OutgoingRequest::new(fields);
        let method = match request.method.as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "HEAD" => Method::Head,
            "PATCH" => Method::Patch,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.to_string()),
        };
        let bad = |()| HttpError::BadUrl;
        outgoing.set_method(&method).map_err(|()| HttpError::Failed("not a method".to_string()))?;
        outgoing.set_scheme(Some(&scheme)).map_err(bad)?;
        outgoing.set_authority(Some(authority)).map_err(bad)?;
        outgoing.set_path_with_query(Some(path)).map_err(bad)?;
        let body = outgoing.body().map_err(bad)?;
        let future = outgoing_handler::handle(outgoing, None).map_err(failed)?;
        if !request.body.is_empty() {
            let stream = body.write().map_err(bad)?;
            for chunk in request.body.chunks(WRITE_BYTES_MAX) {
                stream.blocking_write_and_flush(chunk).map_err(|_| HttpError::TooLarge)?;
            }
        }
        OutgoingBody::finish(body, None).map_err(failed)?;
        future.subscribe().block();
        let answer = future.get().and_then(Result::ok).ok_or(HttpError::TimedOut)?.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().entries());
        let incoming = answer.consume().map_err(bad)?;
        let stream = incoming.stream().map_err(bad)?;
        let mut body = Vec::new();
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(StreamError::Closed) => return Ok(Response { status, headers, body }),
                Err(StreamError::LastOperationFailed(_)) => {
                    return Err(HttpError::Failed("the answer breaks off".to_string()));
                }
            }
        }
    }

    fn failed(code: ErrorCode) -> HttpError {
        match code {
            ErrorCode::HttpRequestDenied => HttpError::Denied,
            ErrorCode::HttpRequestUriInvalid => HttpError::BadUrl,
            ErrorCode::HttpResponseTimeout | ErrorCode::ConnectionTimeout => HttpError::TimedOut,
            ErrorCode::HttpResponseBodySize(_) | ErrorCode::HttpRequestBodySize(_) => HttpError::TooLarge,
            ErrorCode::InternalError(Some(why)) => HttpError::Failed(why),
            ErrorCode::ConnectionRefused => HttpError::Failed("connection refused".to_string()),
            ErrorCode::DestinationNotFound => HttpError::Failed("there is no such host".to_string()),
            ErrorCode::TlsProtocolError => {
                HttpError::Failed("its certificate is not trusted, or it speaks no TLS".to_string())
            }
            other => HttpError::Failed(format!("no answer: {other:?}")),
        }
    }
}
