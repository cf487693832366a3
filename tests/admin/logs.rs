//! Logs of modules, followed as server-sent events.

use crate::harness::*;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// What a follower is told, by and by.
struct Followed {
    stream: BufReader<TcpStream>,
    /// The head of the answer, in small letters.
    head: String,
}

/// One event: its type, its id, and its data.
#[derive(Debug, Default, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Json,
}

impl Followed {
    /// HTTP/1.0, so that there are no chunks between the lines.
    fn open(admin: &Admin, what: &str, headers: &[&str]) -> Self {
        let mut stream = TcpStream::connect(admin.address).unwrap();
        let accept = ["Accept: text/event-stream"];
        let accept = accept.iter().filter(|_| !headers.iter().any(|header| header.starts_with("Accept:")));
        let headers: String = headers.iter().chain(accept).map(|header| format!("{header}\r\n")).collect();
        let (host, token) = (admin.address, &admin.token);
        let head =
            format!("GET /api/v1/modules/m/logs{what} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}");
        stream.write_all(format!("{head}\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut followed = Self { stream: BufReader::new(stream), head: String::new() };
        while let Some(line) = followed.line().filter(|line| !line.is_empty()) {
            followed.head += &format!("{}\n", line.to_lowercase());
        }
        assert!(followed.head.contains(" 200 "), "{}", followed.head);
        followed
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.stream.read_line(&mut line).unwrap();
        (bytes > 0).then(|| line.trim_end().to_owned())
    }

    /// None: the broker has ended the stream.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some(("event", kind)) => event.kind = kind.trim().to_owned(),
                Some(("id", id)) => event.id = id.trim().to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                Some(_) => panic!("nothing has come for so long that the broker says it is alive: {line}"),
                None if event != Event::default() => return Some(event),
                None => {}
            }
        }
    }

    /// The line of the next event.
    fn said(&mut self) -> Option<String> {
        self.next().map(|event| event.data["line"].as_str().expect("a line").to_owned())
    }
}

/// A module that logs a line for each message.
fn deploy(admin: &Admin) {
    admin.deploy("/api/v1/modules/m", &guests::component("remembers")).expect(200);
}

fn publish(admin: &Admin, times: u32) {
    (0..times).for_each(|_| drop(admin.post("/api/v1/publish", &json!({ "topic": "a" })).expect(200)));
}

/// A token that opens the API no more opens nothing that it has opened before.
#[test]
fn who_follows_a_log_is_told_no_more_when_its_token_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let (file, reads) = (folder.path().join("c.toml"), folder.path().join("reads"));
    let token = "fedcba9876543210";
    std::fs::write(&reads, token).unwrap();
    std::fs::write(&file, format!("[admin]\nread_token_file = \"{}\"\n", reads.display())).unwrap();
    let Some(broker) = Broker::start_from(&file) else { return };
    let admin = broker.admin();
    deploy(&admin);
    let mut withdrawn = Followed::open(&Admin { token: token.to_owned(), ..admin.clone() }, "", &[]);
    let mut other = Followed::open(&admin, "", &[]);
    publish(&admin, 1);
    assert_eq!((withdrawn.said().as_deref(), other.said().as_deref()), (Some("seen 1"), Some("seen 1")));
    std::fs::write(&file, "").unwrap();
    admin.post("/api/v1/reload", &json!({})).expect(200);
    publish(&admin, 1);
    assert_eq!((withdrawn.said().as_deref(), other.said().as_deref()), (None, Some("seen 2")));
}

/// HTML, server-sent events: who comes back says what was seen last.
#[test]
fn who_follows_a_log_again_goes_on_where_it_was() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    deploy(&admin);
    publish(&admin, 5);
    for (what, headers, first) in [
        ("", &[][..], "1"),
        ("", &["Last-Event-ID: 3"], "4"),
        ("?after=4", &[], "5"),
        ("?after=1", &["Last-Event-ID: 4"], "5"),
        // Of a module of that name that is gone: this one counts anew.
        ("", &["Last-Event-ID: 99"], "1"),
    ] {
        let event = Followed::open(&admin, what, headers).next().unwrap();
        assert_eq!((event.id.as_str(), event.kind.as_str()), (first, ""), "{what} {headers:?}");
    }
    let stream = "Accept: text/event-stream";
    admin.send("GET", "/api/v1/modules/m/logs?after=junk", &[stream], b"").problem(400);
    admin.send("GET", "/api/v1/modules/m/logs", &[stream, "Last-Event-ID: junk"], b"").problem(400);
}

#[test]
fn lines_that_are_not_kept_any_more_when_a_follower_comes_to_them_are_told_as_missed() {
    let Some(broker) = Broker::start_with(|config| config.wasm.log_lines_kept = 3) else { return };
    let admin = broker.admin();
    deploy(&admin);
    publish(&admin, 10);
    let mut followed = Followed::open(&admin, "", &["Last-Event-ID: 2"]);
    let missed = followed.next().unwrap();
    assert_eq!((missed.kind.as_str(), missed.data), ("missed", json!({ "lines": 5 })));
    let rest: Vec<_> = (0..3).map(|_| followed.next().unwrap().id).collect();
    assert_eq!(rest, ["8", "9", "10"]);
    // Whoever has seen nothing yet misses nothing.
    assert_eq!(Followed::open(&admin, "", &[]).next().unwrap().id, "8");
}

/// RFC 9110, 12.4.2 and 12.5.1: 0 is not acceptable, names of types are without case, and the greater weight is preferred.
#[test]
fn a_log_is_followed_by_who_wants_events() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    deploy(&admin);
    for (accept, kind) in [
        ("text/event-stream", "text/event-stream"),
        ("TEXT/Event-Stream; Q=0.5", "text/event-stream"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.2, application/json;q=0.3", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream-not", "application/json"),
        ("*/*", "application/json"),
    ] {
        let answered = Followed::open(&admin, "", &[&format!("Accept: {accept}")]).head;
        assert!(answered.contains(&format!("content-type: {kind}")), "{accept}: {answered}");
    }
}
