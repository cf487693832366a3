//! Rows for the house as a whole: the admin API over loopback, start-up errors, reload, a restart.

use super::{Running, StartError, start, start_from};
use crate::admin::Reloaded;
use crate::config::{Config, Sources};
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

fn sources(dir: &Path, flags: &[&str]) -> Sources {
    let own = ["listener.mqtt.bind=127.0.0.1:0", "listener.ws.bind=127.0.0.1:0", "admin.bind=127.0.0.1:0", "workers=1"]
        .map(str::to_owned);
    let data_dir = format!("data_dir={}", dir.display());
    let flags = own.into_iter().chain([data_dir]).chain(flags.iter().map(|flag| flag.to_string())).collect();
    Sources { flags, ..Sources::default() }
}

fn config(dir: &Path, flags: &[&str]) -> Config {
    sources(dir, flags).load().expect("the rows are right")
}

fn refused(config: Config) -> StartError {
    match start(config) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

/// A caller of one broker's admin API.
struct Caller<'a>(&'a Running);

struct Answer {
    status: u16,
    kind: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }
}

impl Caller<'_> {
    /// One request on a connection of its own. The answer may come, and the connection end, before all is sent.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.0.admin_address().expect("it runs")).expect("it listens");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).expect("it answers in UTF-8");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: no answer"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        Answer { status, kind: kind.to_owned(), text: text.to_owned() }
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.0.admin_token());
        self.send(method, path, &[("authorization", &bearer)], body)
    }

    fn get(&self, path: &str) -> Json {
        let answer = self.call("GET", path, b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    fn post(&self, path: &str, body: Json) -> Answer {
        self.call("POST", path, body.to_string().as_bytes())
    }
}

#[test]
fn only_health_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path(), &[])).unwrap();
    let caller = Caller(&running);
    for (path, expected) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 401),
        ("/api/v1/modules", 401),
        ("/api/v1/openapi.json", 401),
        ("/nonsense", 401),
        ("/api/v1/clients?token=x", 401),
    ] {
        let answer = caller.send("GET", path, &[], b"");
        assert_eq!(answer.status, expected, "{path}");
        if expected == 401 {
            assert_eq!(answer.kind, "application/problem+json", "{path}");
        }
    }
}

#[test]
fn endpoints_answer_and_problems_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path(), &["wasm.component_bytes_max=400000", "admin.body_bytes_max=2048"])).unwrap();
    let caller = Caller(&running);
    let long = vec![b' '; 4096];
    let bundled = caller.get("/api/v1/modules")["items"].clone();
    for (method, path, body, expected, says) in [
        ("GET", "/api/v1/modules?limit=1", &b""[..], 200, r#""next":"access-list""#),
        ("GET", "/api/v1/modules?limit=x", b"", 400, "invalid digit"),
        ("GET", "/api/v1/modules?limits=1", b"", 400, "unknown field"),
        ("GET", "/api/v1/modules/topic-rules", b"", 200, r#""config":{}"#),
        ("GET", "/api/v1/modules/none", b"", 404, "there is no module"),
        ("GET", "/api/v1/modules/topic-rules/versions", b"", 200, r#""active":true"#),
        ("GET", "/api/v1/modules/topic-rules/config", b"", 200, "{}"),
        ("PUT", "/api/v1/modules/own", b"nonsense", 422, "not WebAssembly"),
        ("PUT", "/api/v1/modules/own", b"\0asm\x01\0\0\0", 422, "core module"),
        ("PUT", "/api/v1/modules/..%2Fown", b"\0asm", 422, "no name for a module"),
        ("PUT", "/api/v1/modules/own?canary=5", b"\0asm", 422, "no version of"),
        ("PUT", "/api/v1/modules/own?nonsense=5", b"\0asm", 400, "unknown field"),
        ("PUT", "/api/v1/modules/own?on_failure=ignore", b"\0asm", 400, "unknown variant"),
        ("PUT", "/api/v1/modules/topic-rules/config", br#"{"nonsense":1}"#, 422, "refuses its configuration"),
        ("PUT", "/api/v1/modules/topic-rules/config", b"{", 400, "not the JSON"),
        ("PUT", "/api/v1/modules/topic-rules/config", &long, 413, "at most 2048 bytes (admin.body_bytes_max)"),
        ("POST", "/api/v1/modules/topic-rules/rollback", b"", 422, "no older version"),
        ("POST", "/api/v1/modules/topic-rules/rollback?to=9", b"", 404, "no version 9"),
        ("POST", "/api/v1/modules/topic-rules/confirm", b"", 422, "no canary"),
        ("DELETE", "/api/v1/modules/none", b"", 404, "there is no module"),
        ("GET", "/api/v1/clients", b"", 200, r#""items":[]"#),
        ("GET", "/api/v1/clients/a%2Fb", b"", 404, "no such client"),
        ("DELETE", "/api/v1/clients/x", b"", 404, "no client"),
        ("GET", "/api/v1/subscriptions", b"", 200, r#""items":[]"#),
        ("GET", "/api/v1/retained/none", b"", 404, "nothing is retained"),
        ("POST", "/api/v1/publish", br#"{"topic":"a/#"}"#, 422, "wildcard"),
        ("POST", "/api/v1/publish", br#"{"topic":"a","client":{}}"#, 400, "explain only"),
        ("POST", "/api/v1/reload", b"", 200, r#""applied":[]"#),
        ("GET", "/api/v1/nonsense", b"", 404, "openapi"),
        ("POST", "/api/v1/modules", b"", 405, "method"),
        ("GET", "/api/v1/openapi.json", b"", 200, "3.1.0"),
    ] {
        let answer = caller.call(method, path, body);
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        assert!(answer.text.contains(says), "{method} {path}: {}", answer.text);
        let kind = if expected == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(answer.kind, kind, "{method} {path}");
    }
    // Cut off while it comes in: the caller may not even get to hear why.
    let huge = vec![0; 2_000_000];
    let cut = caller.call("PUT", "/api/v1/modules/own", &huge);
    assert_eq!(cut.status, 413);
    assert!(cut.text.contains("400000 bytes (wasm.component_bytes_max)"), "{}", cut.text);
    let too_large = caller.call("PUT", "/api/v1/modules/own", &huge[..500_000]);
    assert_eq!(too_large.status, 413);
    assert_eq!(caller.get("/api/v1/modules")["items"], bundled);
}

#[test]
fn a_published_message_is_retained_explained_counted_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path(), &[])).unwrap();
    let caller = Caller(&running);
    for (topic, payload) in [("a/b", json!({"payload": "ü"})), ("/a", json!({"payload_base64": "/w=="}))] {
        let mut message = json!({ "topic": topic, "retain": true, "qos": 1, "properties": { "user": [["x", "y"]] } });
        message.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
        let answer = caller.post("/api/v1/publish", message);
        assert_eq!((answer.status, answer.json()), (200, json!({ "matched": false })), "{topic}");
    }
    let kept = caller.get("/api/v1/retained");
    assert_eq!(kept["items"][0]["topic"], "/a");
    assert_eq!(kept["items"][0]["payload_base64"], "/w==");
    assert_eq!(kept["items"][1]["payload"], "ü");
    let first = caller.get("/api/v1/retained?limit=1");
    assert_eq!((&first["items"][0]["topic"], &first["next"]), (&json!("/a"), &json!("/a")));
    assert_eq!(caller.get("/api/v1/retained?limit=1&after=%2Fa")["items"][0]["topic"], "a/b");
    let explained = caller.post("/api/v1/explain", json!({ "topic": "a/b", "client": { "id": "c" } })).json();
    assert_eq!(explained["topic"], "a/b");
    assert_eq!(explained["decisions"][0]["module"], "topic-rules");
    assert!(explained["decisions"][0]["microseconds"].as_f64().unwrap() > 0.0);
    for path in ["/api/v1/retained/a%2Fb", "/api/v1/retained//a"] {
        assert_eq!(caller.call("DELETE", path, b"").status, 204, "{path}");
        assert_eq!(caller.call("DELETE", path, b"").status, 404, "{path}");
    }
    let metrics = caller.call("GET", "/metrics", b"").text;
    for line in [
        "pliant_messages_received_total 2",
        "pliant_retained_messages 0",
        "pliant_store_healthy 1",
        "pliant_store_full 0",
        "hook=\"topic-mapping.publish-topic\"",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn modules_are_configured_rolled_back_switched_off_and_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rules = json!({ "rules": [{ "from": "home/{rest...}", "to": "site/{rest...}" }] });
    let topic = |caller: &Caller| caller.post("/api/v1/explain", json!({ "topic": "home/x" })).json()["topic"].clone();
    {
        let running = start(config(dir.path(), &[])).unwrap();
        let caller = Caller(&running);
        assert_eq!(topic(&caller), "home/x");
        let done = caller.call("PUT", "/api/v1/modules/topic-rules/config", rules.to_string().as_bytes());
        assert_eq!((done.status, &done.json()["version"]), (200, &json!(1)), "{}", done.text);
        assert_eq!(topic(&caller), "site/x");
        assert_eq!(caller.get("/api/v1/modules/topic-rules/config"), rules);
        for (verb, expected) in
            [("rollback?to=0", "home/x"), ("rollback?to=1", "site/x"), ("disable", "home/x"), ("enable", "site/x")]
        {
            let done = caller.post(&format!("/api/v1/modules/topic-rules/{verb}"), json!({}));
            assert_eq!(done.status, 200, "{verb}: {}", done.text);
            assert_eq!(topic(&caller), expected, "{verb}");
        }
        assert!(running.stop());
    }
    let running = start(config(dir.path(), &[])).unwrap();
    assert_eq!(topic(&Caller(&running)), "site/x");
}

#[test]
fn a_reload_takes_over_modules_and_says_what_needs_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "").unwrap();
    let sources = Sources { file: Some(file.clone()), ..sources(&dir.path().join("data"), &[]) };
    let running = start_from(sources.load().unwrap(), sources).unwrap();
    let caller = Caller(&running);
    let topic = || caller.post("/api/v1/explain", json!({ "topic": "home/x" })).json()["topic"].clone();
    let rules = "[module.topic-rules.config]\nrules = [{ from = \"home/{r...}\", to = \"site/{r...}\" }]\n";
    let applied = |key: &str| Reloaded { applied: vec![key.into()], ..Reloaded::default() };
    let restart = |key: &str| Reloaded { restart_needed: vec![key.into()], ..Reloaded::default() };
    for (text, expected, mapped) in [
        ("", Reloaded::default(), "home/x"),
        (rules, applied("module.topic-rules.config"), "site/x"),
        (rules, Reloaded::default(), "site/x"),
        ("", applied("module.topic-rules.config"), "home/x"),
        ("[net]\nconnections_max = 5", restart("net.connections_max"), "home/x"),
        ("[net]\nconnections_max = 5", restart("net.connections_max"), "home/x"),
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(running.reload().unwrap(), expected, "{text}");
        assert_eq!(topic(), mapped, "{text}");
    }
    std::fs::write(&file, "nonsense = 1").unwrap();
    let answer = caller.post("/api/v1/reload", json!({}));
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("c.toml:1: unknown key nonsense"), "{}", answer.text);
}

/// Half of a configuration is what nobody has written.
#[test]
fn a_reload_in_which_a_module_refuses_its_part_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    std::fs::write(&users, "").unwrap();
    let text = |to: &str, retain: &str, users: &str| {
        format!(
            "[auth]\npassword_file = \"{users}\"\n[module.topic-rules]\nconfig = {{ rules = [{{ from = \"home\", to = \
             \"{to}\" }}] }}\n[module.will-rules]\nconfig = {retain}\n"
        )
    };
    let reloading = Reloading::start(dir.path(), &text("a", "{}", ""));
    let caller = Caller(&reloading.running);
    let topic = || caller.post("/api/v1/explain", json!({ "topic": "home" })).json()["topic"].clone();
    std::fs::write(&reloading.file, text("b", "{ nonsense = 1 }", &users.display().to_string())).unwrap();
    let answer = caller.post("/api/v1/reload", json!({}));
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("module will-rules: it refuses its configuration"), "{}", answer.text);
    assert_eq!(topic(), "a");
    let applied = reloading.reload(&text("b", "{}", &users.display().to_string())).applied;
    assert_eq!((applied, topic()), (vec!["auth.password_file".into(), "module.topic-rules.config".into()], json!("b")));
    // What is not asked is not tried.
    let off = text("b", "{ nonsense = 1 }\nenabled = false", &users.display().to_string());
    assert_eq!(reloading.reload(&off).failed, [""; 0]);
}

/// Of what a module is made is settled at the start, whatever is in its file by now.
#[test]
fn a_reload_leaves_a_module_its_component_and_says_that_its_file_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.wasm");
    let put = |name: &str| {
        let (_, bytes) = super::BUNDLED.iter().find(|(bundled, _)| *bundled == name).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    let text = |order: u32| format!("[module.own]\npath = \"{}\"\norder = {order}\n", path.display());
    put("topic-rules");
    let reloading = Reloading::start(dir.path(), &text(1));
    let caller = Caller(&reloading.running);
    let shown = || caller.call("GET", "/api/v1/modules/own", b"").json();
    let digest = shown()["digest"].clone();
    let said = |order: u32| {
        let reloaded = reloading.reload(&text(order));
        (reloaded.applied, reloaded.restart_needed, reloaded.failed)
    };
    let (order, file) = (vec!["module.own.order".to_owned()], vec!["module.own.path".to_owned()]);
    assert_eq!(said(1), (vec![], vec![], vec![]));
    put("retain-rules");
    assert_eq!(said(1), (vec![], file.clone(), vec![]));
    assert_eq!(said(2), (order.clone(), file.clone(), vec![]));
    assert_eq!((&shown()["digest"], &shown()["hooks"]), (&digest, &json!(["topic-mapping"])));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(said(3), (order, file, vec![]));
    put("topic-rules");
    assert_eq!(said(3), (vec![], vec![], vec![]));
}

#[test]
fn what_a_body_says_twice_or_for_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let reloading = Reloading::start(dir.path(), "");
    let caller = Caller(&reloading.running);
    for (path, body, expected) in [
        ("explain", r#"{"topic": "a", "topic": "b"}"#, 400),
        ("explain", r#"{"event": "timer", "event": "timer"}"#, 400),
        ("explain", r#"{"topic": "a", "client": {"id": "a", "id": "b"}}"#, 400),
        ("explain", r#"["a"]"#, 400),
        ("explain", r#"{"topic": "a"}"#, 200),
        ("publish", r#"{"topic": "a", "topic": "b"}"#, 400),
        ("reload", "garbage", 400),
        ("reload", r#"{"dry_run": true}"#, 400),
        ("reload", "{}", 200),
        ("reload", "", 200),
        ("modules/topic-rules/enable", "garbage", 400),
        ("modules/topic-rules/disable", r#"{"x": 1}"#, 400),
        ("modules/topic-rules/confirm", "[]", 400),
        ("modules/topic-rules/enable", "", 200),
    ] {
        let answer = caller.call("POST", &format!("/api/v1/{path}"), body.as_bytes());
        assert_eq!(answer.status, expected, "{path} {body}: {}", answer.text);
    }
}

/// A broker with this file, and what a reload of another one says.
struct Reloading {
    running: Running,
    file: std::path::PathBuf,
}

impl Reloading {
    fn start(dir: &Path, text: &str) -> Self {
        let file = dir.join("c.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file.clone()), ..sources(&dir.join("data"), &[]) };
        Self { running: start_from(sources.load().unwrap(), sources).unwrap(), file }
    }

    /// Stopped, and started with what the file says then.
    fn again(self, text: &str) -> Self {
        assert!(self.running.stop());
        Self::start(self.file.parent().unwrap(), text)
    }

    fn reload(&self, text: &str) -> Reloaded {
        std::fs::write(&self.file, text).unwrap();
        self.running.reload().unwrap()
    }
}

#[test]
fn a_reload_says_what_waits_behind_what_was_done_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let text = |enabled: bool, to: &str| {
        format!(
            "[module.topic-rules]\nenabled = {enabled}\nconfig = {{ rules = [{{ from = \"home/{{r...}}\", to = \"{to}/{{r...}}\" }}] }}"
        )
    };
    let reloading = Reloading::start(dir.path(), &text(true, "a"));
    let caller = Caller(&reloading.running);
    let topic = || caller.post("/api/v1/explain", json!({ "topic": "home/x" })).json()["topic"].clone();
    let own = json!({ "rules": [{ "from": "home/{r...}", "to": "own/{r...}" }] }).to_string();
    caller.call("PUT", "/api/v1/modules/topic-rules/config", own.as_bytes());
    let enabled = "module.topic-rules.enabled";
    let config = "module.topic-rules.config: waits behind version 1, which was deployed and goes on; pliant module rollback \
                  topic-rules --to 0 ";
    let off =
        "module.topic-rules.enabled: waits behind version 1, which was deployed and goes on; pliant module disable";
    // As long as it waits, whether the file has changed or not.
    for (text, applied, waiting) in [
        (text(true, "a"), &[][..], config),
        (text(true, "b"), &[], config),
        (text(true, "b"), &[], config),
        (text(false, "b"), &[], off),
        (text(false, "b"), &[], off),
        (text(true, "b"), &[enabled], config),
        (text(true, "own"), &["module.topic-rules.config"], ""),
        (text(true, "b"), &[], config),
    ] {
        let reloaded = reloading.reload(&text);
        assert_eq!(reloaded.applied, applied, "{text}");
        assert_eq!(reloaded.waiting.len(), usize::from(!waiting.is_empty()), "{reloaded:?}");
        assert!(reloaded.waiting.iter().all(|waits| waits.starts_with(waiting)), "{reloaded:?}");
        assert_eq!(topic(), "own/x");
    }
    // What nobody has written is not missed.
    assert_eq!(reloading.reload("").waiting.len(), 1, "it was written, and goes");
    assert_eq!(reloading.reload("").waiting, [""; 0]);
    reloading.reload(&text(true, "b"));
    // Off by hand, too: there is more than one way on.
    assert_eq!(caller.post("/api/v1/modules/topic-rules/disable", json!({})).status, 200);
    for _ in 0..2 {
        let reloaded = reloading.reload(&text(true, "b"));
        let said = "waits as it was switched off by hand, and behind version 1, which was deployed; pliant module enable \
                    topic-rules switches that on, pliant module rollback topic-rules --to 0 puts to work";
        let settings: Vec<_> = reloaded.waiting.iter().filter_map(|waits| waits.split(": ").next()).collect();
        assert_eq!(settings, [enabled, "module.topic-rules.config"]);
        assert!(reloaded.waiting.iter().all(|waits| waits.contains(said)), "{reloaded:?}");
    }
    assert_eq!(caller.post("/api/v1/modules/topic-rules/rollback?to=0", json!({})).status, 200);
    assert_eq!(topic(), "b/x");
    // Off by hand: another configuration does not switch it on, the switch does.
    assert_eq!(caller.post("/api/v1/modules/topic-rules/disable", json!({})).status, 200);
    let reloaded = reloading.reload(&text(true, "c"));
    assert!(reloaded.waiting[0].contains("waits as it was switched off by hand; pliant module enable"), "{reloaded:?}");
    assert_eq!(reloading.reload(&text(true, "c")), reloaded, "it still does");
    assert_eq!(topic(), "home/x");
    let off = Reloaded { applied: vec!["module.topic-rules.enabled".into()], ..Reloaded::default() };
    assert_eq!(reloading.reload(&text(false, "c")), off);
    assert_eq!((reloading.reload(&text(true, "c")), topic()), (off.clone(), "c/x".into()));
    // And on by hand.
    assert_eq!(reloading.reload(&text(false, "c")), off);
    assert_eq!(caller.post("/api/v1/modules/topic-rules/enable", json!({})).status, 200);
    let waiting =
        ["module.topic-rules.enabled: waits as it was switched on by hand; pliant module disable topic-rules \
                    switches it off"];
    assert_eq!(reloading.reload(&text(false, "c")).waiting, waiting);
}

/// A key that was revoked signs nothing any more, and a token that was replaced opens nothing.
#[test]
fn a_reload_reads_signers_and_tokens_again_and_says_what_it_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (secret, public) = crate::wasm::key_pair([7; 32]);
    let (other, other_public) = crate::wasm::key_pair([8; 32]);
    std::fs::write(path("signers"), format!("{public}\n{other_public}\n")).unwrap();
    let text =
        |more: &str| format!("[signing]\nkeys_file = \"{}\"\nrequired = true\n{more}", path("signers").display());
    let reloading = Reloading::start(dir.path(), &text(""));
    let rules = super::BUNDLED.iter().find(|(name, _)| *name == "topic-rules").unwrap().1;
    let deploy = |secret: &str| {
        let signature: String =
            crate::wasm::sign(secret, rules).unwrap().bytes().map(|b| format!("%{b:02X}")).collect();
        Caller(&reloading.running).call("PUT", &format!("/api/v1/modules/m?signature={signature}"), rules).status
    };
    assert_eq!((deploy(&other), deploy(&secret), deploy(&other), deploy(&secret)), (200, 200, 200, 200));
    std::fs::write(path("signers"), &public).unwrap();
    assert_eq!(reloading.reload(&text("")), Reloaded::default());
    assert_eq!((deploy(&other), deploy(&secret)), (422, 200));
    // What was at hand, signed with it, is not put to work either.
    let back =
        |to: u64| Caller(&reloading.running).post(&format!("/api/v1/modules/m/rollback?to={to}"), json!({})).status;
    assert_eq!((back(2), back(3), back(4), back(1)), (200, 422, 200, 422));
    std::fs::write(path("signers"), "rsa x").unwrap();
    let failed = reloading.reload(&text("")).failed;
    assert!(failed.len() == 1 && failed[0].contains("line 1: expected `ed25519`"), "{failed:?}");
    assert_eq!(deploy(&secret), 200, "what held before holds");
    std::fs::write(path("signers"), &public).unwrap();
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        Caller(&reloading.running).send("GET", "/api/v1/modules", &[("authorization", &bearer)], b"").status
    };
    let (old, new, reads) = (reloading.running.admin_token(), "0123456789abcdef", "fedcba9876543210");
    let own = dir.path().join("data/admin.token");
    std::fs::write(&own, new).unwrap();
    std::fs::write(path("reads"), reads).unwrap();
    assert_eq!((status(&old), status(new)), (200, 401));
    let reader = text(&format!("[admin]\nread_token_file = \"{}\"\n", path("reads").display()));
    assert_eq!(reloading.reload(&reader).applied, ["admin.read_token_file", "admin.token_file"]);
    assert_eq!((status(&old), status(new), status(reads)), (401, 200, 200));
    std::fs::write(&own, "short").unwrap();
    assert!(reloading.reload(&reader).failed[0].contains("holds no token"));
    std::fs::write(&own, reads).unwrap();
    assert!(reloading.reload(&reader).failed[0].contains("it holds the token that may do everything"));
    assert_eq!((status(new), status(reads)), (200, 200));
    std::fs::write(&own, new).unwrap();
    assert_eq!(reloading.reload(&text("")).applied, ["admin.read_token_file"]);
    assert_eq!((status(new), status(reads)), (200, 401));
}

/// A full disk or an editor leaves an empty file: whoever has the token keeps it, and hears that the file is not right.
#[test]
fn a_reload_makes_no_token_in_place_of_another_one_and_says_that_one_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let reloading = Reloading::start(dir.path(), "");
    let own = dir.path().join("data/admin.token");
    let old = reloading.running.admin_token();
    std::fs::write(&own, "").unwrap();
    let reloaded = reloading.reload("");
    assert!(reloaded.failed.len() == 1 && reloaded.failed[0].contains("holds no token"), "{reloaded:?}");
    assert_eq!(std::fs::read(&own).unwrap(), b"");
    std::fs::remove_file(&own).unwrap();
    let reloaded = reloading.reload("");
    assert!(reloaded.failed.len() == 1 && reloaded.failed[0].contains("admin.token"), "{reloaded:?}");
    assert!(!own.exists());
    assert_eq!((reloading.running.admin_token(), reloaded.applied.len()), (old, 0));
    std::fs::write(&own, "0123456789abcdef").unwrap();
    assert_eq!(reloading.reload("").applied, ["admin.token_file"]);
    assert_eq!(reloading.reload(""), Reloaded::default());
    let (other, reads) = (dir.path().join("other"), dir.path().join("reads"));
    std::fs::write(&reads, "fedcba9876543210").unwrap();
    let text = format!("[admin]\ntoken_file = \"{}\"\nread_token_file = \"{}\"\n", other.display(), reads.display());
    let mut applied = reloading.reload(&text).applied;
    applied.sort();
    assert_eq!(applied, ["admin.read_token_file", "admin.token_file"]);
    assert!(other.exists(), "one that is named anew is made, as at a start");
    std::fs::write(&reads, "fedcba9876543211").unwrap();
    assert_eq!(reloading.reload(&text).applied, ["admin.read_token_file"]);
}

/// What is said last of a module holds, and a restart says nothing; the rows for all orders are among those of modules.
#[test]
fn a_module_that_the_file_switches_off_after_somebody_switched_it_on_stays_off() {
    let dir = tempfile::tempdir().unwrap();
    let text = |enabled: bool| {
        format!("[module.topic-rules]\nenabled = {enabled}\nconfig = {{ rules = [{{ from = \"home\", to = \"a\" }}] }}")
    };
    let mut reloading = Reloading::start(dir.path(), &text(true));
    let topic = |reloading: &Reloading| {
        Caller(&reloading.running).post("/api/v1/explain", json!({ "topic": "home" })).json()["topic"].clone()
    };
    for word in ["disable", "enable"] {
        let path = format!("/api/v1/modules/topic-rules/{word}");
        assert_eq!(Caller(&reloading.running).post(&path, json!({})).status, 200);
    }
    assert_eq!(topic(&reloading), "a");
    assert_eq!(reloading.reload(&text(false)).applied, ["module.topic-rules.enabled"]);
    for (enabled, expected) in [(false, "home"), (false, "home"), (true, "a"), (true, "a"), (false, "home")] {
        reloading = reloading.again(&text(enabled));
        assert_eq!(topic(&reloading), expected);
    }
}

#[test]
fn a_module_with_dots_in_its_name_is_reloaded_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let rules = super::BUNDLED.iter().find(|(name, _)| *name == "topic-rules").unwrap().1;
    std::fs::write(dir.path().join("rules.wasm"), rules).unwrap();
    let text = |to: &str, host: &str| {
        format!(
            "[[module]]\nname = \"my.rules\"\npath = \"{}\"\nconfig = {{ rules = [{{ from = \"home/{{r...}}\", to = \
             \"{to}/{{r...}}\" }}] }}\n\n[[module]]\nname = \"my\"\nhttp_hosts = [\"{host}\"]\n",
            dir.path().join("rules.wasm").display()
        )
    };
    let reloading = Reloading::start(dir.path(), &text("a", "a.example"));
    let applied = |key: &str| Reloaded { applied: vec![key.into()], ..Reloaded::default() };
    assert_eq!(reloading.reload(&text("b", "a.example")), applied("module.my.rules.config"));
    assert_eq!(reloading.reload(&text("b", "b.example")), applied("module.my.http_hosts"));
    let caller = Caller(&reloading.running);
    assert_eq!(caller.post("/api/v1/explain", json!({ "topic": "home/x" })).json()["topic"], "b/x");
}

/// A key is in one list: whom a module may speak to has changed at once, the rest goes with the next start.
#[test]
fn a_module_that_the_file_names_no_more_needs_a_restart_for_all_but_its_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let rules = super::BUNDLED.iter().find(|(name, _)| *name == "topic-rules").unwrap().1;
    std::fs::write(dir.path().join("rules.wasm"), rules).unwrap();
    let path = dir.path().join("rules.wasm").display().to_string();
    let text = format!("[[module]]\nname = \"mine\"\npath = \"{path}\"\nhttp_hosts = [\"a.example\"]\n");
    let reloading = Reloading::start(dir.path(), &text);
    let hosts = "module.mine.http_hosts".to_owned();
    for applied in [vec![hosts.clone()], Vec::new()] {
        let reloaded = reloading.reload("");
        assert_eq!(reloaded.applied, applied);
        assert!(!reloaded.restart_needed.contains(&hosts), "{reloaded:?}");
        assert!(reloaded.restart_needed.contains(&"module.mine.path".to_owned()), "{reloaded:?}");
    }
}

#[test]
fn a_reload_says_that_it_has_ended_a_canary() {
    let dir = tempfile::tempdir().unwrap();
    let text = |to: &str| format!("[module.topic-rules.config]\nrules = [{{ from = \"home\", to = \"{to}\" }}]\n");
    let reloading = Reloading::start(dir.path(), &text("a"));
    let rules = super::BUNDLED.iter().find(|(name, _)| *name == "topic-rules").unwrap().1;
    let tried = Caller(&reloading.running).call("PUT", "/api/v1/modules/topic-rules?canary=5", rules);
    assert_eq!(tried.json()["canary"], 1, "{}", tried.text);
    let reloaded = reloading.reload(&text("b"));
    assert_eq!(reloaded.canaries_ended, ["topic-rules: version 1"]);
    assert_eq!(reloaded.applied, ["module.topic-rules.config"]);
}

#[test]
fn what_keeps_a_broker_from_starting_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = dir.path().join("file");
    std::fs::write(&file, "no component").unwrap();
    let path = |name: &str| dir.path().join(name);
    for (data_dir, flag, expected) in [
        (path("a"), format!("listener.mqtt.bind=127.0.0.1:{port}"), "another program uses"),
        (path("a"), format!("admin.bind=127.0.0.1:{port}"), "another program uses"),
        (
            path("a"),
            format!("listener.u={{ bind = \"{}\", transport = \"unix\" }}", file.display()),
            "another program listens there, or it is a file and no socket",
        ),
        (path("file"), "workers=1".to_owned(), "data directory: cannot use"),
        (path("a"), format!("module.own.path={}", path("none").display()), "module own: cannot read"),
        (path("a"), format!("module.own.path={}", file.display()), "module own: not WebAssembly"),
        (
            path("a"),
            "module.topic-rules.config={\"x\":1}".to_owned(),
            "module topic-rules: it refuses its configuration",
        ),
        (path("a"), format!("admin.token_file={}", file.display()), "cannot use the admin token"),
    ] {
        let said = refused(config(&data_dir, &[&flag])).to_string();
        assert!(said.contains(expected) && said.lines().count() == 1, "{flag}: {said}");
    }
    let running = start(config(&path("b"), &[])).unwrap();
    let said = refused(config(&path("b"), &[])).to_string();
    assert!(said.contains("in use by another process"), "{said}");
    assert!(running.stop());
    // Who may only look could do everything, by whatever name.
    let reads = format!("admin.read_token_file={}", path("b/../b/admin.token").display());
    assert!(refused(config(&path("b"), &[&reads])).to_string().contains("it holds the token that may do everything"));
    assert!(start(config(&path("b"), &[])).is_ok(), "the lock goes with the broker");
}
