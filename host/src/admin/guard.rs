//! Who may call: a right token, from a page of this machine or from no page at all. There is a token that may do everything
//! and, if the operator wants it, one that may only look.
//!
//! The checks of `Host` and `Origin` keep a web page that somebody visits from reaching the API through a name that
//! points to this machine (DNS rebinding), and from sending requests across sites.

use super::error::Problem;
use super::token::{Admitted, May, Tokens};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the guard knows.
pub(super) struct Guard {
    tokens: Tokens,
    wrong: Mutex<Wrong>,
}

/// Wrong tokens of the minute.
struct Wrong {
    most: u32,
    count: u32,
    since: Instant,
}

impl Wrong {
    /// Counts one; whether there were too many already.
    fn is_too_much(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(60) {
            (self.count, self.since) = (0, now);
        }
        self.count = self.count.saturating_add(1);
        self.count > self.most
    }
}

/// Lets a request pass or answers it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    match guard.admits(request.method(), request.headers(), request.uri()) {
        Ok(admitted) => {
            // For what goes on for longer than its token may.
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    /// For tokens, and so many others in a minute.
    pub(super) fn new(tokens: Tokens, wrong_per_minute: u32) -> Self {
        Self { tokens, wrong: Mutex::new(Wrong { most: wrong_per_minute, count: 0, since: Instant::now() }) }
    }

    fn admits(&self, method: &Method, headers: &HeaderMap, uri: &Uri) -> Result<Admitted, Problem> {
        let forbidden = |what: &str| Problem::new(StatusCode::FORBIDDEN, what);
        let host = uri.authority().map(|a| a.as_str()).or_else(|| text(headers, &header::HOST));
        if !host.is_some_and(Self::is_ours) {
            return Err(forbidden(
                "the Host header names no address of this machine; the admin API is reached by localhost, or by an address",
            ));
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = text(headers, &header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
            if !origin.is_some_and(Self::is_ours) {
                return Err(forbidden("requests from other sites are refused"));
            }
        }
        let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
        if matches!(site, Some("cross-site" | "same-site")) {
            return Err(forbidden("requests from other sites are refused"));
        }
        let given = text(headers, &header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(given) = given.map(str::as_bytes) else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer …"));
        };
        match self.tokens.allow(given) {
            Some(May::Everything) => Ok(self.tokens.admit(given)),
            Some(May::Look) if method.is_safe() => Ok(self.tokens.admit(given)),
            Some(May::Look) => Err(forbidden("this token may only look")),
            None if self.wrong.lock().is_too_much(Instant::now()) => {
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; try again in a minute"))
            }
            None => Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is not right")),
        }
    }

    /// Whether `host`, with or without a port, is this machine by a name that nobody else can give it.
    fn is_ours(host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const READS: &str = "fedcba9876543210";

    fn status(rows: &[(&'static str, &str)]) -> u16 {
        asked(Method::GET, rows)
    }

    fn asked(method: Method, rows: &[(&'static str, &str)]) -> u16 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, TOKEN).unwrap();
        let token = Token::load(&path).unwrap();
        std::fs::write(&path, READS).unwrap();
        let reader = Some(Token::load(&path).unwrap());
        let guard = Guard::new(Tokens::new(token, reader), 60);
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.insert(*name, value.parse().unwrap());
        }
        match guard.admits(&method, &headers, &"/api/v1/clients".parse().unwrap()) {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn the_token_decides() {
        for (authorization, expected) in [
            (format!("Bearer {TOKEN}"), 200),
            (format!("bearer  {TOKEN}"), 200),
            (format!("Basic {TOKEN}"), 401),
            (TOKEN.to_owned(), 401),
            ("Bearer".to_owned(), 401),
            ("Bearer wrong".to_owned(), 401),
        ] {
            let rows = [("host", "localhost"), ("authorization", authorization.as_str())];
            assert_eq!(status(&rows), expected, "{authorization}");
        }
        assert_eq!(status(&[("host", "localhost")]), 401);
    }

    #[test]
    fn who_may_only_look_changes_nothing() {
        for (method, expected) in [
            (Method::GET, 200),
            (Method::HEAD, 200),
            (Method::POST, 403),
            (Method::PUT, 403),
            (Method::DELETE, 403),
            (Method::PATCH, 403),
        ] {
            for (token, expected) in [(READS, expected), (TOKEN, 200)] {
                let rows = [("host", "localhost"), ("authorization", &format!("Bearer {token}"))];
                assert_eq!(asked(method.clone(), &rows), expected, "{method}");
            }
        }
    }

    #[test]
    fn wrong_tokens_are_looked_at_so_often_a_minute() {
        let start = Instant::now();
        let mut wrong = Wrong { most: 2, count: 0, since: start };
        let later = start + Duration::from_secs(60);
        let said: Vec<_> = [start, start, start, start, later, later, later].map(|now| wrong.is_too_much(now)).into();
        assert_eq!(said, [false, false, true, true, false, false, true]);
    }

    #[test]
    fn other_hosts_and_sites_are_refused_whatever_the_token() {
        let bearer = format!("Bearer {TOKEN}");
        for (name, value, expected) in [
            ("host", "127.0.0.1:9880", 200),
            ("host", "[::1]:9880", 200),
            ("host", "[::1]", 200),
            ("host", "LOCALHOST", 200),
            ("host", "evil.example", 403),
            ("host", "localhost.evil.example", 403),
            ("host", "10.1.2.4", 403),
            ("host", "", 403),
            ("origin", "http://localhost:9880", 200),
            ("origin", "http://evil.example", 403),
            ("origin", "https://localhost", 403),
            ("origin", "null", 403),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
        ] {
            let rows = [("host", "localhost"), ("authorization", bearer.as_str()), (name, value)];
            assert_eq!(status(&rows), expected, "{name}: {value}");
        }
        assert_eq!(status(&[("authorization", bearer.as_str())]), 403, "no Host at all");
    }
}
