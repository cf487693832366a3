//! Endpoints about modules: the bundled ones, and what is refused.

use crate::harness::*;
use serde_json::json;

#[test]
fn the_bundled_modules_run_in_the_default_set_up() {
    let Some(admin) = admin() else { return };
    let listed = admin.get("/api/v1/modules").expect(200).json();
    for (name, hook) in
        [("retain-rules", "retain-policy"), ("topic-rules", "topic-mapping"), ("will-rules", "will-handling")]
    {
        let module = listed["items"].as_array().unwrap().iter().find(|module| module["name"] == name);
        let module = module.unwrap_or_else(|| panic!("{name} in {listed}"));
        assert_eq!(module["state"], "active");
        assert!(module["hooks"].as_array().unwrap().contains(&hook.into()), "{module}");
        assert!(module["digest"].as_str().unwrap().starts_with("sha256:"));
        assert_eq!(admin.get(&format!("/api/v1/modules/{name}")).expect(200).json()["name"], name);
    }
}

/// However many names there are, and whatever is subscribed to meanwhile.
#[test]
fn a_mapping_is_asked_about_a_name_once() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    for round in 0..3 {
        for name in 0..300 {
            client.publish(&Publish::new(&format!("names/{name}"), "x", 1));
        }
        client.subscribe(&format!("other/{round}"), 0);
        admin.post("/api/v1/publish", &json!({ "topic": "over/http", "payload": "x" })).expect(200);
    }
    let calls = admin.get("/api/v1/modules/topic-rules").expect(200).json()["calls"].as_u64().unwrap();
    assert_eq!(calls, 300 + 3 + 1);
}

#[test]
fn a_configuration_is_a_version_of_its_own_and_can_be_rolled_back() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let path = "/api/v1/modules/topic-rules";
    let rules = |to: &str| json!({ "rules": [{ "from": "in/{rest...}", "to": format!("{to}/{{rest...}}") }] });
    let mapped = || admin.post("/api/v1/explain", &json!({ "topic": "in/a" })).expect(200).json()["topic"].clone();
    assert_eq!(mapped(), "in/a");
    let first = admin.put(&format!("{path}/config"), &rules("one")).expect(200).json();
    assert_eq!(mapped(), "one/a");
    let second = admin.put(&format!("{path}/config"), &rules("two")).expect(200).json();
    assert_eq!(mapped(), "two/a");
    assert!(second["generation"].as_u64() > first["generation"].as_u64());
    let versions = admin.get(&format!("{path}/versions")).expect(200).json();
    assert!(versions["items"].as_array().unwrap().len() >= 3, "{versions}");
    admin.post(&format!("{path}/rollback?to={}", first["version"]), &json!({})).expect(200);
    assert_eq!(mapped(), "one/a");
    admin.post(&format!("{path}/rollback?to=9999"), &json!({})).problem(404);
    assert_eq!(mapped(), "one/a");
    // In the body it means the same, and what means nothing is not ignored.
    admin.post(&format!("{path}/rollback"), &json!({ "to": second["version"] })).expect(200);
    assert_eq!(mapped(), "two/a");
    admin.post(&format!("{path}/rollback"), &json!({ "to": 9999 })).problem(404);
    admin.post(&format!("{path}/rollback"), &json!({ "version": 1 })).problem(400);
    admin.post(&format!("{path}/rollback?to={}", first["version"]), &json!({ "to": second["version"] })).problem(400);
    admin.send("POST", &format!("{path}/rollback"), &[], b"one").problem(400);
    assert_eq!(mapped(), "two/a");
}

/// Numbers that no double has, blanks and the order of keys.
#[test]
fn a_configuration_is_kept_as_it_was_written() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let path = "/api/v1/modules/m";
    let config = |mark: u32| format!("{{ \"version\" : \"one\",\n \"mark\":[12345678901234567890123, 1.10, {mark}] }}");
    let escaped: String = config(1).bytes().map(|byte| format!("%{byte:02X}")).collect();
    admin.deploy(&format!("{path}?config={escaped}"), &guests::component("built-for-0-1-0")).expect(200);
    assert_eq!(admin.get(&format!("{path}/config")).expect(200).text(), config(1));
    admin.send("PUT", &format!("{path}/config"), &[], config(2).as_bytes()).expect(200);
    assert_eq!(admin.get(&format!("{path}/config")).expect(200).text(), config(2));
}

#[test]
fn what_is_too_large_names_its_bound() {
    let adjust = |config: &mut host::config::Config| config.wasm.component_bytes_max = 400_000;
    let Some(broker) = Broker::start_with(adjust) else { return };
    let admin = broker.admin();
    for bytes in [400_001, 2_000_000] {
        let reason = admin.deploy("/api/v1/modules/bad", &vec![0; bytes]).problem(413);
        assert!(reason.contains("wasm.component_bytes_max"), "{bytes}: {reason}");
    }
    let config = serde_json::json!({ "rules": "x".repeat(2 << 20) });
    let reason = admin.put("/api/v1/modules/topic-rules/config", &config).problem(413);
    assert!(reason.contains("wasm.config_bytes_max") || reason.contains("admin.body_bytes_max"), "{reason}");
}

/// A canary is a version of its own whatever is active, so that asking for both means nothing.
#[test]
fn a_canary_that_is_only_to_be_where_something_has_changed_is_refused() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let echo = guests::component("echoes-version");
    let path = "/api/v1/modules/m?config=%7B%22version%22:%221%22%7D";
    admin.deploy(path, &echo).expect(200);
    let why = admin.deploy(&format!("{path}&canary=10&if_changed=true"), &echo).problem(400);
    assert!(why.contains("if_changed"), "{why}");
    assert_eq!(admin.get("/api/v1/modules/m").expect(200).json()["canary"], json!(null));
    admin.deploy(&format!("{path}&canary=10&if_changed=false"), &echo).expect(200);
}

#[test]
fn a_configuration_that_the_module_does_not_take_changes_nothing() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let before = admin.get("/api/v1/modules/topic-rules").expect(200).json();
    let reason = admin.put("/api/v1/modules/topic-rules/config", &json!({ "rulez": [] })).problem(422);
    assert!(reason.contains("rulez"), "{reason}");
    admin.send("PUT", "/api/v1/modules/topic-rules/config", &[], b"{").problem(400);
    assert_eq!(admin.get("/api/v1/modules/topic-rules").expect(200).json(), before);
}

/// Point "bad input" of the list of modules: not Wasm, not a component.
#[test]
fn what_is_no_component_is_refused_with_its_reason() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let before = admin.get("/api/v1/modules").expect(200).json();
    let core_module = hex("00 61 73 6D 01 00 00 00");
    let empty_component = hex("00 61 73 6D 0D 00 01 00");
    for bytes in [&b""[..], b"not wasm", &core_module, &empty_component, &[0; 100_000]] {
        let reason = admin.deploy("/api/v1/modules/bad", bytes).problem(422);
        assert!(!reason.is_empty());
    }
    assert_eq!(admin.get("/api/v1/modules").expect(200).json(), before);
    admin.get("/api/v1/modules/bad").problem(404);
}

/// H03
#[test]
fn a_name_that_is_none_is_refused() {
    let Some(admin) = admin() else { return };
    let long = "x".repeat(10_240);
    for name in ["..%2F..%2Fx", "UPPER", "a%20b", "%C3%BC", "a.b%00", long.as_str()] {
        let answer = admin.deploy(&format!("/api/v1/modules/{name}"), b"\0asm");
        assert!(matches!(answer.status, 422 | 404 | 414), "{name}: {}", answer.status);
    }
}

#[test]
fn what_does_not_exist_is_not_found() {
    let Some(admin) = admin() else { return };
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/versions"),
        ("GET", "/logs"),
        ("PUT", "/config"),
        ("POST", "/rollback"),
        ("POST", "/confirm"),
    ] {
        let answer = admin.send(method, &format!("/api/v1/modules/nobody{path}"), &[], b"{}");
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
}

#[test]
fn a_bundled_module_can_be_switched_off_and_on_again() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let path = "/api/v1/modules/topic-rules";
    let rules = json!({ "rules": [{ "from": "in/{rest...}", "to": "out/{rest...}" }] });
    admin.put(&format!("{path}/config"), &rules).expect(200);
    admin.delete(path).expect(200);
    assert_eq!(admin.get(path).expect(200).json()["state"], "off");
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("in/#", 1);
    client.say("in/a", "unmapped", 1);
    client.expect("in/a", "unmapped", 1);
    admin.post(&format!("{path}/enable"), &json!({})).expect(200);
    assert_eq!(admin.get(path).expect(200).json()["state"], "active");
    let explained = admin.post("/api/v1/explain", &json!({ "topic": "in/a" })).expect(200).json();
    assert_eq!(explained["topic"], "out/a");
}

#[test]
fn logs_of_a_module_are_shown() {
    let Some(admin) = admin() else { return };
    admin.get("/api/v1/modules/topic-rules/logs").expect(200).json();
}

/// RFC 9110, 13.1.1 and 13.1.2: of two operators the one who comes second hears it.
#[test]
fn who_changes_a_module_that_is_another_by_now_is_refused() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let (path, echo) = ("/api/v1/modules/m", guests::component("echoes-version"));
    let deploy = |header: &str, version: &str| {
        admin.send("PUT", &format!("{path}?config=%7B%22version%22:%22{version}%22%7D"), &[header], &echo)
    };
    let tag = |answer: Answer| {
        let line = answer.head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned));
        line.unwrap_or_else(|| panic!("no ETag: {}", answer.head))
    };
    let first = tag(deploy("If-None-Match: *", "1").expect(200));
    assert_eq!(tag(admin.get(path).expect(200)), first);
    deploy("If-None-Match: *", "2").problem(412);
    let second = tag(deploy(&format!("If-Match: \"x\", {first}"), "2").expect(200));
    let late = format!("If-Match: {first}");
    let config = br#"{"version": "3"}"#;
    for (method, what) in [
        ("PUT", "/config"),
        ("POST", "/rollback"),
        ("POST", "/rollback?to=1"),
        ("POST", "/confirm"),
        ("POST", "/canary?percent=5"),
        ("POST", "/enable"),
        ("POST", "/disable"),
        ("DELETE", ""),
    ] {
        let body = if method == "PUT" { &config[..] } else { b"" };
        let why = admin.send(method, &format!("{path}{what}"), &[&late], body).problem(412);
        assert!(why.contains("version 2 is active"), "{what}: {why}");
    }
    admin.send("POST", &format!("{path}/disable"), &["If-Match: m"], b"").problem(400);
    admin.send("POST", &format!("{path}/rollback"), &[&format!("If-Match: {second}")], b"").expect(200);
    // 13.1.2: compared weakly; 5.6.1.2: empty elements do not count; 8.8.3: a comma may stand in a tag.
    let now = tag(admin.get(path).expect(200));
    for unlike in [format!("W/{now}"), format!(", ,\"x\",{now},"), format!("\"x,y\", {now}")] {
        admin.send("POST", &format!("{path}/disable"), &[&format!("If-None-Match: {unlike}")], b"").problem(412);
    }
    admin.send("POST", &format!("{path}/disable"), &[&format!("If-Match: W/{now}")], b"").problem(412);
    // Without a header: by the version that is gone back from.
    admin.send("POST", &format!("{path}/rollback?from=2"), &[], b"").problem(409);
    admin.send("POST", &format!("{path}/rollback?to=1&canary=true"), &[], b"").problem(400);
    admin.send("POST", &format!("{path}/rollback?canary=true"), &[], b"").problem(422);
}

/// RFC 9110, 13.1.1, 13.1.2 and 13.2.2.
#[test]
fn who_has_seen_a_module_hears_whether_it_is_as_it_was() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let path = "/api/v1/modules/topic-rules";
    let shown = admin.get(path).expect(200);
    let tag = shown.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    let get = |header: String| admin.send("GET", path, &[&header], b"");
    for same in
        [format!("If-None-Match: {tag}"), format!("If-None-Match: \"x\", W/{tag}"), "If-None-Match: *".to_owned()]
    {
        let answer = get(same).expect(304);
        assert!(answer.body.is_empty() && answer.head.contains(&format!("etag: {tag}")), "{}", answer.head);
    }
    get("If-None-Match: \"x\"".to_owned()).expect(200);
    get(format!("If-Match: {tag}")).expect(200);
    get("If-Match: \"x\"".to_owned()).problem(412);
    admin.send("GET", "/api/v1/modules/none", &["If-Match: \"x\""], b"").problem(404);
    admin.put(&format!("{path}/config"), &json!({ "rules": [{ "from": "a", "to": "b" }] })).expect(200);
    get(format!("If-None-Match: {tag}")).expect(200);
}
