//! Who may call, and what is said to those who may not.

use crate::harness::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const GUARDED: &[(&str, &str)] = &[
    ("GET", "/metrics"),
    ("GET", "/api/v1/modules"),
    ("GET", "/api/v1/modules/topic-rules"),
    ("PUT", "/api/v1/modules/x"),
    ("DELETE", "/api/v1/modules/topic-rules"),
    ("GET", "/api/v1/modules/topic-rules/versions"),
    ("PUT", "/api/v1/modules/topic-rules/config"),
    ("POST", "/api/v1/modules/topic-rules/rollback"),
    ("POST", "/api/v1/modules/topic-rules/confirm"),
    ("GET", "/api/v1/modules/topic-rules/logs"),
    ("POST", "/api/v1/explain"),
    ("POST", "/api/v1/publish"),
    ("GET", "/api/v1/clients"),
    ("GET", "/api/v1/clients/x"),
    ("DELETE", "/api/v1/clients/x"),
    ("GET", "/api/v1/queues"),
    ("GET", "/api/v1/subscriptions"),
    ("GET", "/api/v1/retained"),
    ("DELETE", "/api/v1/retained/x"),
    ("POST", "/api/v1/reload"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/nowhere"),
];

/// H02
#[test]
fn every_endpoint_wants_the_token() {
    let Some(admin) = admin() else { return };
    let mut wrong = admin.token.clone();
    wrong.replace_range(..1, if wrong.starts_with('a') { "b" } else { "a" });
    for token in ["", "admin", &wrong] {
        let stranger = Admin { token: token.to_owned(), ..admin.clone() };
        for (method, path) in GUARDED {
            let answer = stranger.send(method, path, &[], b"{}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{method} {path}: {}", answer.head);
            answer.problem(401);
            let asked = stranger.send(method, &format!("{path}?token={}", admin.token), &[], b"{}");
            assert_eq!(asked.status, 401, "{method} {path} takes a token in its query");
        }
    }
}

/// H09
#[test]
fn health_is_open_and_tells_nothing_else() {
    let Some(admin) = admin() else { return };
    let stranger = Admin { token: String::new(), ..admin };
    for path in ["/healthz", "/readyz"] {
        let answer = stranger.get(path).expect(200);
        assert!(answer.body.len() < 20 && !answer.text().contains(env!("CARGO_PKG_VERSION")), "{}", answer.text());
        assert!(!answer.head.contains("server:"), "{}", answer.head);
    }
}

/// H04
#[test]
fn requests_by_way_of_another_name_or_site_are_refused() {
    let Some(admin) = admin() else { return };
    for header in ["Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        admin.send("GET", "/api/v1/modules", &[header], b"").problem(403);
    }
}

/// RFC 9112, 3.2: 400 to a request without a Host header, with two, or with what is no host in it; also where nobody has to
/// say who it is.
#[test]
fn a_request_without_one_host_is_a_bad_one() {
    let Some(admin) = admin() else { return };
    let ours = format!("Host: {}\r\n", admin.address);
    let both = format!("{ours}{ours}");
    for path in ["/healthz", "/api/v1/modules", "/metrics"] {
        for (version, hosts, status) in [
            ("1.1", "", 400),
            ("1.1", both.as_str(), 400),
            ("1.1", "Host: a b\r\n", 400),
            ("1.1", "Host: a/b\r\n", 400),
            ("1.0", both.as_str(), 400),
            ("1.1", ours.as_str(), 200),
        ] {
            let mut stream = TcpStream::connect(admin.address).unwrap();
            let head = format!(
                "GET {path} HTTP/{version}\r\n{hosts}Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
                admin.token
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains(&format!(" {status} ")), "{path} {hosts:?}: {answer}");
            assert!(status == 200 || answer.contains("application/problem+json"), "{path} {hosts:?}: {answer}");
        }
    }
}

#[test]
fn what_is_not_there_is_a_problem_document() {
    let Some(admin) = admin() else { return };
    admin.get("/api/v1/nowhere").problem(404);
    admin.get("/api/v1/clients/%ff").problem(400);
    admin.send("PATCH", "/api/v1/modules", &[], b"").problem(405);
    admin.send("POST", "/healthz", &[], b"").problem(405);
    admin.get("/api/v1/clients?limit=many").problem(400);
    admin.get("/api/v1/clients?unknown=1").problem(400);
}

/// Whoever asks for a canary is not to get everybody.
#[test]
fn what_a_query_says_is_not_ignored() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for (method, path) in GUARDED.iter().filter(|(_, path)| path.starts_with("/api/")).chain(&[
        ("GET", "/api/v1/modules/topic-rules/config"),
        ("POST", "/api/v1/modules/topic-rules/enable"),
        ("POST", "/api/v1/modules/topic-rules/disable"),
        ("GET", "/api/v1/bridges"),
        ("GET", "/api/v1/drain"),
        ("PUT", "/api/v1/drain"),
        ("DELETE", "/api/v1/drain"),
        ("GET", "/api/v1/retained/x"),
        ("POST", "/api/v1/record"),
    ]) {
        let reason = admin.send(method, &format!("{path}?wish=5"), &[], b"{}").problem(400);
        assert!(reason.contains("wish"), "{method} {path}: {reason}");
    }
    let reason = admin.send("PUT", "/api/v1/modules/topic-rules/config?canary=5", &[], b"{}").problem(400);
    assert!(reason.contains("canary"), "{reason}");
    assert_eq!(admin.get("/api/v1/modules/topic-rules").expect(200).json()["version"], 0);
}

/// Who is refused before the body is read may bring all of it, and finds the answer.
#[test]
fn an_early_answer_outlives_the_body() {
    let reader = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(reader.path(), "0123456789abcdefghij").unwrap();
    let path = reader.path().to_owned();
    let Some(broker) = Broker::start_with(move |config| config.admin.read_token_file = path.clone()) else { return };
    let admin = broker.admin();
    let body = vec![b'x'; 8 << 20];
    for (token, target, more, status) in [
        ("wrong", "/api/v1/modules/x".to_owned(), "", 401),
        ("0123456789abcdefghij", "/api/v1/modules/x".to_owned(), "", 403),
        (&admin.token, "/api/v1/modules/x/config".to_owned(), "", 413),
        (&admin.token, "/api/v1/modules/x?order=many".to_owned(), "", 400),
        (&admin.token, format!("/api/v1/modules/x?config={}", "x".repeat(20_000)), "", 431),
        (&admin.token, "/api/v1/nowhere".to_owned(), "", 404),
        (&admin.token, "/api/v1/modules/x".to_owned(), "Origin: http://evil.example\r\n", 403),
    ] {
        let mut stream = TcpStream::connect(admin.address).unwrap();
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap_or_else(|error| panic!("{status}: {error}"));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{status}: {error}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
}

/// H01
#[test]
fn a_body_over_the_bound_is_cut_off() {
    let Some(admin) = admin() else { return };
    let long = vec![b' '; (1 << 20) + 1];
    admin.send("POST", "/api/v1/publish", &["Content-Type: application/json"], &long).problem(413);
}

/// H01: what a caller declares is enough, the rest need not come.
#[test]
fn a_body_that_is_declared_too_large_is_refused_before_it_comes() {
    let Some(admin) = admin() else { return };
    for path in ["/api/v1/publish", "/api/v1/modules/topic-rules", "/api/v1/modules/topic-rules/config"] {
        let method = if path.ends_with("publish") { "POST" } else { "PUT" };
        let mut stream = TcpStream::connect(admin.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: 20000000000\r\nExpect: 100-continue\r\n\r\n",
            admin.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
}

/// More components are on their way than there are connections, each with the right token and without an end: those past
/// `admin.uploads_max` are told to come back, and everything small goes on. So it is with other bodies.
#[test]
fn slow_uploads_leave_room_for_everything_else() {
    const SLOW: usize = 140;
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut open = Vec::new();
    for (request, room) in [("PUT /api/v1/modules/x", 8), ("POST /api/v1/publish", 64)] {
        let (sender, answers) = std::sync::mpsc::channel();
        for _ in 0..SLOW {
            let mut stream = TcpStream::connect(admin.address).unwrap();
            let head = format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 500000\r\n\r\n{{",
                admin.token
            );
            stream.write_all(head.as_bytes()).unwrap();
            open.push(stream.try_clone().unwrap());
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut answer = [0; 4096];
                let length = stream.read(&mut answer).unwrap_or(0);
                drop(sender.send(String::from_utf8_lossy(&answer[..length]).to_lowercase()));
            });
        }
        for number in 0..SLOW - room {
            let answer = answers.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("answer {number}"));
            assert!(answer.starts_with("http/1.1 503 "), "{answer}");
            assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
            assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        }
        for path in ["/healthz", "/readyz", "/api/v1/clients"] {
            admin.get(path).expect(200);
        }
        let document = serde_json::json!({ "topic": "a", "payload": "x" });
        admin.post("/api/v1/publish", &document).expect(200);
        admin.send("PUT", "/api/v1/modules/x", &[], b"no component").problem(422);
        assert!(answers.try_recv().is_err(), "the others are still heard");
    }
    let metrics = admin.get("/metrics").expect(200);
    assert!(metrics.text().contains("pliant_admin_bodies_refused_total 208"), "{}", metrics.text());
    for stream in open {
        drop(stream.shutdown(std::net::Shutdown::Both));
    }
}

/// H01: also where nobody has to say who it is.
#[test]
fn a_head_over_the_bound_is_refused() {
    let Some(admin) = admin() else { return };
    let stranger = Admin { token: String::new(), ..admin };
    for (bytes, path) in [(200_000, "/healthz"), (17_000, "/readyz"), (17_000, "/metrics")] {
        stranger.send("GET", path, &[&format!("X-Long: {}", "x".repeat(bytes))], b"").problem(431);
    }
    stranger.send("GET", &format!("/healthz?{}", "x".repeat(17_000)), &[], b"").problem(431);
    stranger.send("GET", "/healthz", &[&format!("X-Long: {}", "x".repeat(15_000))], b"").expect(200);
}

/// H02: a token of those who may look, and nothing else.
#[test]
fn who_may_only_look_sees_everything_and_changes_nothing() {
    let folder = data_dir();
    let path = folder.path().join("readers.token");
    std::fs::write(&path, "0123456789abcdef-reads\n").unwrap();
    let Some(broker) = Broker::start_with(move |config| config.admin.read_token_file = path.clone()) else { return };
    let reader = Admin { token: "0123456789abcdef-reads".to_owned(), ..broker.admin() };
    for (method, path) in GUARDED {
        let answer = reader.send(method, path, &["Content-Type: application/json"], b"{}");
        match *method {
            "GET" => assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status),
            _ => assert!(answer.problem(403).contains("only look"), "{method} {path}"),
        }
    }
    broker.admin().get("/api/v1/modules/topic-rules").expect(200);
}

/// The token is made at the first start, readable by its owner alone, and stays.
#[test]
fn the_token_lies_in_the_data_directory() {
    let Some(broker) = Broker::start() else { return };
    let path = broker.data().join("admin.token");
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.trim(), broker.admin().token);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = broker.admin().token;
    assert_eq!(broker.restart().admin().token, before);
}
