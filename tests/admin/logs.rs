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
