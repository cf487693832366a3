//! A small HTTP/1.1 client: one connection a request, the whole answer read.

use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The admin API of a broker, with its token.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it is.
    pub address: SocketAddr,
    /// What it wants to see; empty: nothing is shown.
    pub token: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, in small letters.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Admin {
    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// POST of a JSON document.
    pub fn post(&self, path: &str, document: &Json) -> Answer {
        self.send("POST", path, &["Content-Type: application/json"], document.to_string().as_bytes())
    }

    /// PUT of a JSON document.
    pub fn put(&self, path: &str, document: &Json) -> Answer {
        self.send("PUT", path, &["Content-Type: application/json"], document.to_string().as_bytes())
    }

    /// PUT of a component.
    pub fn deploy(&self, path: &str, component: &[u8]) -> Answer {
        self.send("PUT", path, &["Content-Type: application/wasm"], component)
    }

    /// Any request.
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).expect("an admin API that answers")
    }

    /// As [`Admin::send`]; none: nobody listens, or the broker went before it had answered.
    pub fn try_send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.address);
        }
        if !self.token.is_empty() {
            request += &format!("Authorization: Bearer {}\r\n", self.token);
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        stream.write_all(request.as_bytes()).ok()?;
        stream.write_all(b"\r\n").ok()?;
        // A server may refuse a large body by its length alone and close.
        drop(stream.write_all(body));
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        bytes.windows(4).any(|part| part == b"\r\n\r\n").then(|| Answer::read(&bytes))
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer of HTTP");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        let body = &bytes[end + 4..];
        let body = if head.contains("transfer-encoding: chunked") { joined(body) } else { body.to_vec() };
        Self { status, head, body }
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The status must be this one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    /// Must be a problem document of this status; its reason.
    pub fn problem(self, status: u16) -> String {
        let answer = self.expect(status);
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        let document = answer.json();
        assert_eq!(document["status"], status);
        document["detail"].as_str().expect("a reason").to_owned()
    }
}

/// A chunked body without its chunks.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = body.windows(2).position(|part| part == b"\r\n") {
        let size =
            usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).expect("a chunk's size");
        let chunk = &body[end + 2..];
        if size == 0 || chunk.len() < size + 2 {
            break;
        }
        all.extend_from_slice(&chunk[..size]);
        body = &chunk[size + 2..];
    }
    all
}
