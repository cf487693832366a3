//! WebSocket on the broker's side (RFC 6455): the HTTP request that opens it, checked against what the listener allows;
//! then frames (`frames.rs`). No extension is ever agreed on, so that nothing inflates.

use super::frames::Frames;
use super::session::Fault;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::{HeaderValue, header};

/// Longest HTTP request that is taken, in bytes.
const REQUEST_BYTES_MAX: usize = 8192;

/// What a listener asks of those that open a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketRules {
    /// The path of the request.
    pub path: String,
    /// Pages whose scripts may connect. Those of this machine always may.
    pub origins: Vec<PageOrigin>,
    /// Most bytes of one message.
    pub message_bytes_max: usize,
    /// MQTT may be spoken.
    pub mqtt: bool,
    /// AMQP may be spoken.
    pub amqp: bool,
}

/// Where a page comes from, as browsers write it (RFC 6454, 6.2): `https://host`, or `https://host:port` where the port is not
/// that of the scheme; `*`: from anywhere. In small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrigin(Box<str>);

impl FromStr for PageOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_lowercase();
        // Of pages that are nowhere, such as files.
        if matches!(text.as_str(), "*" | "null" | "file://") {
            return Ok(Self(text.into()));
        }
        let (scheme, authority) = text.split_once("://").ok_or("it has no scheme")?;
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(in_scheme) {
            return Err("its scheme is none");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, Some(port.parse::<u16>().map_err(|_| "its port is none")?))
            }
            _ => (authority, None),
        };
        let is_ip_6 = || host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(is_ip_6);
        let in_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') || !byte.is_ascii();
        if host.is_empty() || !(host.bytes().all(in_host) || is_ip_6()) {
            return Err("a host and perhaps a port follow its scheme, and nothing else, not even a /");
        }
        let usual = match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        Ok(Self(match port.filter(|port| Some(*port) != usual) {
            Some(port) => format!("{scheme}://{host}:{port}").into(),
            None => format!("{scheme}://{host}").into(),
        }))
    }
}

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_ip_6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A subprotocol that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `mqtt` or `mqttv3.1`.
    Mqtt,
    /// `amqp`.
    Amqp,
}

/// One connection's part.
pub struct WebSocket {
    rules: Arc<WebSocketRules>,
    phase: Phase,
}

enum Phase {
    /// The request, as far as it was read.
    Opening(Vec<u8>),
    Open(Subprotocol, Frames),
    /// The request was refused, or the goodbye was said.
    Over,
}

/// Status, its reason phrase, and why.
type Refusal = (u16, &'static str, &'static str);

impl WebSocket {
    /// One that has not been asked for yet.
    pub fn new(rules: Arc<WebSocketRules>) -> Self {
        Self { rules, phase: Phase::Opening(Vec::new()) }
    }

    /// Whether the request is still to come.
    pub fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening(_))
    }

    /// What was agreed on.
    pub fn subprotocol(&self) -> Option<Subprotocol> {
        match self.phase {
            Phase::Open(subprotocol, _) => Some(subprotocol),
            _ => None,
        }
    }

    /// Takes bytes off the wire.
    pub(super) fn receive(&mut self, wire: &[u8], plain: &mut Vec<u8>, reply: &mut Vec<u8>) -> Result<(), Fault> {
        let frames = match &mut self.phase {
            Phase::Over => return Ok(()),
            Phase::Open(_, frames) => return frames.receive(wire, plain, reply),
            Phase::Opening(request) => {
                // A request ends at its first empty line; all that is looked at is what is new and three bytes before.
                let from = request.len().saturating_sub(3);
                let room = REQUEST_BYTES_MAX.saturating_sub(request.len());
                request.extend_from_slice(&wire[..wire.len().min(room)]);
                let Some(end) = request[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
                    if request.len() < REQUEST_BYTES_MAX {
                        return Ok(());
                    }
                    return self.refuse((431, "Request Header Fields Too Large", "the request is too long"), reply);
                };
                let end = from + end + 4;
                let frames = wire.len() - room.min(wire.len()) + (request.len() - end);
                // What follows is looked at by nobody who reads requests: one that begins with empty lines is none.
                request.truncate(end);
                &wire[wire.len() - frames..]
            }
        };
        match self.open(reply) {
            Ok(subprotocol) => {
                let mut open = Frames::new(self.rules.message_bytes_max);
                let received = open.receive(frames, plain, reply);
                self.phase = Phase::Open(subprotocol, open);
                received
            }
            Err(refusal) => self.refuse(refusal, reply),
        }
    }

    /// Answers a request that is whole.
    fn open(&self, reply: &mut Vec<u8>) -> Result<Subprotocol, Refusal> {
        let Phase::Opening(bytes) = &self.phase else { return Err(BAD) };
        let Ok(Some((_, request))) = Request::try_parse(bytes) else { return Err(BAD) };
        self.admits(&request)?;
        let (name, subprotocol) = self.subprotocol_of(&request)?;
        if request.headers().get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version != "13") {
            return Err((426, "Upgrade Required", "only version 13 of WebSocket is spoken here"));
        }
        let mut response = create_response(&request).map_err(|_| BAD)?;
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        write_response(reply, &response).map_err(|_| BAD)?;
        Ok(subprotocol)
    }

    fn admits(&self, request: &Request) -> Result<(), Refusal> {
        if request.uri().path() != self.rules.path {
            return Err((404, "Not Found", "there is no WebSocket at this path"));
        }
        if request.headers().get_all(header::HOST).iter().count() != 1 {
            return Err((400, "Bad Request", "a request names one host (RFC 6455, 4.2.1)"));
        }
        let origins: Vec<_> = request.headers().get_all(header::ORIGIN).iter().collect();
        let allowed = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| self.rules.allow(origin));
        match origins.iter().all(|origin| allowed(origin)) {
            true => Ok(()),
            false => Err((403, "Forbidden", "pages of this origin may not connect")),
        }
    }

    /// The first that the client names and the listener speaks. One is needed (MQTT-6.0.0-3). `mqttv3.1`, which clients of MQTT
    /// 3.1 name, is chosen only where `mqtt` is not there (MQTT-6.0.0-4).
    fn subprotocol_of(&self, request: &Request) -> Result<(&'static str, Subprotocol), Refusal> {
        let named = || {
            let named = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
            named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
        };
        let found = named().find_map(|name| match name {
            "mqtt" | "mqttv3.1" if self.rules.mqtt => Some(Subprotocol::Mqtt),
            "amqp" if self.rules.amqp => Some(Subprotocol::Amqp),
            _ => None,
        });
        match found {
            Some(Subprotocol::Amqp) => Ok(("amqp", Subprotocol::Amqp)),
            Some(Subprotocol::Mqtt) if named().any(|name| name == "mqtt") => Ok(("mqtt", Subprotocol::Mqtt)),
            Some(Subprotocol::Mqtt) => Ok(("mqttv3.1", Subprotocol::Mqtt)),
            None => Err((400, "Bad Request", "Sec-WebSocket-Protocol names nothing that is spoken here")),
        }
    }

    fn refuse(&mut self, (status, phrase, why): Refusal, reply: &mut Vec<u8>) -> Result<(), Fault> {
        self.phase = Phase::Over;
        let length = why.len() + 1;
        let head = format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Sec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n{why}\n"
        );
        reply.extend_from_slice(head.as_bytes());
        Err(Fault::Upgrade(status, why))
    }

    /// Frames what the protocol says. Before the opening and after the goodbye nothing can be said.
    pub(super) fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        if let Phase::Open(_, frames) = &mut self.phase {
            frames.wrap(plain, wire);
        }
    }

    /// Says goodbye, once.
    pub(super) fn close(&mut self, wire: &mut Vec<u8>) {
        if let Phase::Open(_, frames) = &mut self.phase {
            frames.close(wire);
        }
        self.phase = Phase::Over;
    }
}

const BAD: Refusal = (400, "Bad Request", "this is no request for a WebSocket");

impl WebSocketRules {
    /// Whether scripts of a page of this origin may connect. Browsers send it; other clients send none.
    fn allow(&self, origin: &str) -> bool {
        let origin_is = |known: &PageOrigin| origin.parse::<PageOrigin>().is_ok_and(|origin| origin == *known);
        self.origins.iter().any(|known| &*known.0 == "*" || origin_is(known)) || is_local(origin)
    }
}

/// A page that this machine served, by a name that nobody else can give it.
fn is_local(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(origins: &[&str]) -> Arc<WebSocketRules> {
        let origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
        Arc::new(WebSocketRules { path: "/mqtt".into(), origins, message_bytes_max: 1000, mqtt: true, amqp: false })
    }

    fn request(line: &str, more: &str) -> Vec<u8> {
        let fixed = "Host: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        format!("{line}\r\n{fixed}\r\n{more}\r\n").into_bytes()
    }

    const GOOD: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n";
    const GET: &str = "GET /mqtt HTTP/1.1";

    /// Status of the answer, all of it, and what came through.
    fn open(rules: Arc<WebSocketRules>, pieces: &[&[u8]]) -> (u16, String, Vec<u8>) {
        let (mut web, mut plain, mut reply) = (WebSocket::new(rules), Vec::new(), Vec::new());
        // Its fault is in the answer.
        let _ = pieces.iter().try_for_each(|piece| web.receive(piece, &mut plain, &mut reply));
        let reply = String::from_utf8(reply).unwrap();
        (reply.get(9..12).map_or(0, |status| status.parse().unwrap()), reply, plain)
    }

    #[test]
    fn a_request_is_answered_however_it_is_cut_and_what_follows_comes_through() {
        let wire = [request(GET, GOOD), b"\x82\x82\0\0\0\0\xC0\0".to_vec()].concat();
        for cut in 0..wire.len() {
            let (status, reply, plain) = open(rules(&[]), &[&wire[..cut], &wire[cut..]]);
            assert_eq!((status, plain.as_slice()), (101, &b"\xC0\0"[..]), "cut at {cut}");
            let reply = reply.to_lowercase();
            assert!(reply.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{reply}");
            assert!(reply.contains("sec-websocket-protocol: mqtt\r\n"), "{reply}");
            assert!(!reply.contains("extensions"), "no extension is agreed on: {reply}");
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        let with = |more: &str| request(GET, &format!("{GOOD}{more}\r\n"));
        let without_host = String::from_utf8(request(GET, GOOD)).unwrap().replace("Host: h\r\n", "").into_bytes();
        let long = [b"GET /mqtt HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 9000]].concat();
        for (wire, status) in [
            (request("GET /mqtt?x=1 HTTP/1.1", GOOD), 101),
            (request("GET /other HTTP/1.1", GOOD), 404),
            (request("POST /mqtt HTTP/1.1", GOOD), 400),
            (request("GET /mqtt HTTP/1.0", GOOD), 400),
            (request(GET, "Sec-WebSocket-Version: 13\r\n"), 400),
            (request(GET, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, amqp\r\n"), 400),
            (request(GET, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, mqttv3.1\r\n"), 101),
            (request(GET, "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: mqtt\r\n"), 426),
            (request(GET, "Sec-WebSocket-Protocol: mqtt\r\n"), 400),
            (b"GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400),
            (b"\x10\x10\x00\x04MQTT\r\n\r\n".to_vec(), 400),
            ([b"\r\n\r\n".to_vec(), request(GET, GOOD)].concat(), 400),
            (with("Sec-WebSocket-Extensions: permessage-deflate"), 101),
            (with("Host: another"), 400),
            (without_host, 400),
            (long, 431),
        ] {
            let said = String::from_utf8_lossy(&wire).into_owned();
            assert_eq!(open(rules(&[]), &[&wire]).0, status, "{said}");
        }
    }

    #[test]
    fn only_listed_pages_and_those_of_this_machine_may_connect() {
        for (origins, origin, status) in [
            (&[][..], "http://localhost:3000", 101),
            (&[], "http://127.0.0.1", 101),
            (&[], "http://[::1]:80", 101),
            (&[], "https://evil.example", 403),
            (&[], "http://localhost.evil.example", 403),
            (&[], "http://localhost@evil.example", 403),
            (&[], "null", 403),
            (&["https://app.example"], "https://app.example", 101),
            (&["https://app.example"], "http://app.example", 403),
            (&["https://app.example"], "https://app.example.evil.example", 403),
            (&["*"], "https://any.example", 101),
            (&["https://App.example:443"], "https://app.example", 101),
            (&["https://app.example"], "https://app.example:443", 101),
            (&["https://app.example:8443"], "https://app.example", 403),
            (&["http://app.example:443"], "http://app.example", 403),
            (&["https://[2001:db8::1]:443"], "https://[2001:db8::1]", 101),
            (&["app://page"], "app://page", 101),
        ] {
            let wire = request(GET, &format!("{GOOD}Origin: {origin}\r\n"));
            assert_eq!(open(rules(origins), &[&wire]).0, status, "{origins:?} {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_of_a_page_is_refused() {
        for text in [
            "",
            "nonsense",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example:x",
            "https://a.example:70000",
            "https://user@a.example",
            "https://a.example,https://b.example",
            "[\"https://a.example\"",
            "https://*.example",
            "https://[::1",
        ] {
            assert!(text.parse::<PageOrigin>().is_err(), "{text}");
        }
    }
}
