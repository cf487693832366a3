//! What the admin API does with components, good and bad.

use crate::doors::rig::until;
use crate::harness::{Broker, V5, connect, data_dir, guests};
use host::wasm::{key_pair, sign};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn a_component_is_live_once_it_is_answered_for() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("#", 1);
    let config = |version: &str| format!("/api/v1/modules/stamp?order=5&config=%7B%22version%22:%22{version}%22%7D");
    let first = admin.deploy(&config("one"), &guests::component("echoes-version")).expect(200).json();
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "one")]);
    let second = admin.deploy(&config("two"), &guests::component("echoes-version")).expect(200).json();
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "two")]);
    assert_eq!((&first["version"], &second["version"]), (&1.into(), &2.into()));
    assert_eq!(first["digest"], second["digest"]);
    assert!(second["generation"].as_u64() > first["generation"].as_u64());
    let info = admin.get("/api/v1/modules/stamp").expect(200).json();
    assert_eq!((&info["version"], &info["order"], &info["state"]), (&2.into(), &5.into(), &"active".into()));
    assert!(info["calls"].as_u64().is_some_and(|calls| calls >= 1), "{info}");

    let back = admin.post("/api/v1/modules/stamp/rollback", &json!({})).expect(200).json();
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "one")], "{back}");
    // What was put aside is still counted.
    let metrics = admin.get("/metrics").expect(200);
    let versions = admin.get("/api/v1/modules/stamp/versions").expect(200).json();
    for (number, calls) in [(1, 2), (2, 1)] {
        let of = format!("{{module=\"stamp\",version=\"{number}\",hook=\"routing.on-publish\"}}");
        for line in [format!("pliant_module_calls_total{of} {calls}"), format!("pliant_module_failures_total{of} 0")] {
            assert!(metrics.text().lines().any(|said| said == line), "{line}");
        }
        let version = &versions["items"][number - 1];
        assert_eq!((&version["calls"], &version["failures"]), (&calls.into(), &0.into()), "{version}");
        assert_eq!(version["figures"][0]["hook"], "routing.on-publish");
    }
    admin.delete("/api/v1/modules/stamp").expect(200);
    client.say("a", "x", 1);
    assert!(client.take().properties.user().is_empty());
    admin.get("/api/v1/modules/stamp").problem(404);
}

/// A configuration has little room in the head of a request, and all of its own in a form beside the component.
#[test]
fn a_large_configuration_comes_with_its_component() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let component = guests::component("echoes-version");
    let config = format!("{{\"version\": {}\"1\"}}", " ".repeat(900_000));
    // As curl -F component=@m.wasm -F config=@m.json writes it.
    let form = |parts: &[(&str, &[u8])]| {
        let mut body = Vec::new();
        for (name, content) in parts {
            let head = format!(
                "--------b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"m\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        [&body[..], b"--------b--\r\n"].concat()
    };
    let deploy = |query: &str, parts: &[(&str, &[u8])]| {
        let kind = "Content-Type: multipart/form-data; boundary=------b";
        admin.send("PUT", &format!("/api/v1/modules/large{query}"), &[kind], &form(parts))
    };
    let both: [(&str, &[u8]); 2] = [("component", &component), ("config", config.as_bytes())];
    deploy("", &both).expect(200);
    assert_eq!(admin.get("/api/v1/modules/large/config").expect(200).text(), config);
    deploy("", &[both[1], both[0]]).expect(200);
    // Without one, that of the version before.
    deploy("", &[both[0]]).expect(200);
    assert_eq!(admin.get("/api/v1/modules/large/config").expect(200).text(), config);
    let too_large = format!("{{\"version\": {}\"1\"}}", " ".repeat(1 << 20));
    assert!(deploy("", &[both[0], ("config", too_large.as_bytes())]).problem(413).contains("wasm.config_bytes_max"));
    deploy("?config=%7B%7D", &both).problem(400);
    deploy("", &[both[0], ("config", b"nojson")]).problem(400);
    deploy("", &[both[1]]).problem(400);
    deploy("", &[both[0], ("other", b"x")]).problem(400);
    assert_eq!(admin.get("/api/v1/modules/large").expect(200).json()["version"], 3);
}

/// Whatever the module would make of it, as where it is configured without a component.
#[test]
fn a_configuration_that_is_no_json_is_a_bad_request() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for config in ["nojson", "%7B", ""] {
        let path = format!("/api/v1/modules/m?config={config}");
        let reason = admin.deploy(&path, &guests::component("echoes-version")).problem(400);
        assert!(reason.contains("config"), "{config}: {reason}");
    }
    admin.get("/api/v1/modules/m").problem(404);
}

/// Bad input: wrong world, traps in `configure`, wrong configuration, wrong digest. The reason is told and nothing changes.
#[test]
fn a_component_that_cannot_run_changes_nothing() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let good = guests::component("echoes-version");
    admin.deploy("/api/v1/modules/m?config=%7B%22version%22:%221%22%7D", &good).expect(200);
    let before = admin.get("/api/v1/modules/m").expect(200).json();
    for (query, component) in [
        ("", guests::component("traps-in-configure")),
        ("", guests::component("lies-about-its-world")),
        ("?config=%7B%7D", good.clone()),
        ("?config=%7B%22version%22:7%7D", good.clone()),
        ("?digest=sha256:0000&config=%7B%22version%22:%222%22%7D", good.clone()),
        ("", good[..good.len() / 2].to_vec()),
    ] {
        let reason = admin.deploy(&format!("/api/v1/modules/m{query}"), &component).problem(422);
        assert!(!reason.is_empty());
        let after = admin.get("/api/v1/modules/m").expect(200).json();
        assert_eq!(
            (&before["version"], &before["digest"], &before["config"]),
            (&after["version"], &after["digest"], &after["config"])
        );
    }
}

#[test]
fn a_component_over_the_bound_is_refused() {
    let Some(broker) = Broker::start_with(|config| config.wasm.component_bytes_max = 1 << 20) else { return };
    let component = vec![0; (1 << 20) + 1];
    let answer = broker.admin().deploy("/api/v1/modules/m?config=%7B%22version%22:%221%22%7D", &component);
    assert!(matches!(answer.status, 413 | 422), "{}", answer.status);
    broker.admin().get("/api/v1/modules/m").problem(404);
}

#[test]
fn deployments_outlive_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let component = guests::component("echoes-version");
    for version in ["one", "two"] {
        let path = format!("/api/v1/modules/stamp?config=%7B%22version%22:%22{version}%22%7D");
        broker.admin().deploy(&path, &component).expect(200);
    }
    let broker = broker.restart();
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a", 1);
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "two")]);
    broker.admin().post("/api/v1/modules/stamp/rollback", &json!({})).expect(200);
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "one")]);
}

/// A load balancer is to send nobody to where nothing passes.
#[test]
fn a_broker_without_a_module_that_it_may_not_go_on_without_is_not_ready() {
    let Some(mut broker) = Broker::start() else { return };
    let component = guests::component("echoes-version");
    for (policy, ready) in [("refuse", 503), ("bypass", 200)] {
        let admin = broker.admin();
        // Configured once, now: at the next start it traps.
        let config = "%7B%22version%22:%22one%22,%22last_start%22:1%7D";
        admin.deploy(&format!("/api/v1/modules/m?on_failure={policy}&config={config}"), &component).expect(200);
        admin.get("/readyz").expect(200);
        broker = broker.restart();
        let admin = broker.admin();
        assert_eq!(admin.get("/api/v1/modules/m").expect(200).json()["state"], "broken");
        admin.get("/readyz").expect(ready);
        admin.post("/api/v1/modules/m/disable", &json!({})).expect(200);
        admin.get("/readyz").expect(200);
        admin.delete("/api/v1/modules/m").expect(200);
    }
}

/// As far from nothing as the configuration may put it.
#[test]
fn an_order_has_the_bounds_of_the_configuration() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for (order, status) in
        [("1000001", 422), ("-1000001", 422), ("-2147483648", 422), ("1000000", 200), ("-1000000", 200)]
    {
        let deployed = admin.deploy(&format!("/api/v1/modules/m?order={order}"), &guests::component("router"));
        assert_eq!(deployed.status, status, "{order}: {}", deployed.text());
    }
}

/// One message sees every module of a hook in their order.
#[test]
fn modules_are_asked_in_their_order() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let component = guests::component("echoes-version");
    for (name, order) in [("b", 2), ("a", 3), ("c", 1)] {
        let path = format!("/api/v1/modules/{name}?order={order}&config=%7B%22version%22:%22{name}%22%7D");
        admin.deploy(&path, &component).expect(200);
    }
    let mut client = connect(V5).at(broker.address()).open();
    client.subscribe("a", 1);
    client.say("a", "x", 1);
    assert_eq!(client.take().properties.user(), [("version", "c"), ("version", "b"), ("version", "a")]);
    let explained = admin.post("/api/v1/explain", &json!({ "topic": "a" })).expect(200).json();
    let routing =
        explained["decisions"].as_array().unwrap().iter().filter(|d| d["hook"].as_str().unwrap().contains("routing"));
    let asked: Vec<_> = routing.map(|decision| decision["module"].as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, ["c", "b", "a"]);
}

/// An operator who requires signatures gets nothing that his keys did not sign.
#[test]
fn a_broker_that_requires_signatures_takes_nothing_else() {
    let folder = data_dir();
    let (secret, public) = key_pair([3; 32]);
    let keys = folder.path().join("signers");
    std::fs::write(&keys, public).unwrap();
    let adjust = move |config: &mut host::config::Config| {
        config.signing.keys_file = keys.clone();
        config.signing.required = true;
    };
    let Some(broker) = Broker::start_with(adjust) else { return };
    let admin = broker.admin();
    let component = guests::component("router");
    let deploy = |query: String| admin.deploy(&format!("/api/v1/modules/m?config=%7B%7D{query}"), &component);
    let by = |secret: &str, bytes: &[u8]| {
        let signature = sign(secret, bytes).unwrap();
        format!("&signature={}", signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
    };
    let (other, _) = key_pair([4; 32]);
    for wrong in [String::new(), "&signature=x".into(), by(&other, &component), by(&secret, b"another")] {
        let reason = deploy(wrong).problem(422);
        assert!(reason.contains("sign"), "{reason}");
        admin.get("/api/v1/modules/m").problem(404);
    }
    deploy(by(&secret, &component)).expect(200);
    assert_eq!(admin.get("/api/v1/modules/m").expect(200).json()["state"], "active");
}

/// What `pliant module record` takes is what `pliant module test --replay` reads: publications of clients that match, as they
/// came, until there are enough.
#[test]
fn samples_of_what_clients_publish_are_recorded() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let recorder = std::thread::spawn({
        let admin = broker.admin();
        move || admin.post("/api/v1/record?filter=wanted/%23&count=2&seconds=50", &json!({})).expect(200).json()
    });
    let mut client = connect(V5).at(broker.address()).id("recorded").open();
    // When the recording has begun is not told: said until it is over.
    let mut said = 0;
    while !recorder.is_finished() {
        client.say("other/a", "no", 1);
        client.say("wanted/a", "yes", 1);
        said += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let samples = recorder.join().unwrap();
    let samples = samples["example"].as_array().expect("examples");
    assert_eq!(samples.len(), 2, "after {said}: {samples:?}");
    // Each when it came.
    let clocks: Vec<_> = samples.iter().map(|sample| sample["clock"].as_u64().expect("a time")).collect();
    assert!(clocks[0] + 5 <= clocks[1], "{clocks:?}");
    for sample in samples {
        assert_eq!(sample["client"]["id"], "recorded");
        let message = &sample["message"];
        assert_eq!((&message["topic"], &message["payload"]), (&"wanted/a".into(), &"yes".into()), "{sample}");
    }
    admin.post("/api/v1/record?filter=a/%23/b", &json!({})).problem(400);
    admin.post("/api/v1/record?count=0", &json!({})).problem(400);
}

/// Deployments wait for each other, as each takes a processor and memory to compile. What puts an end to trouble does not wait
/// for them.
#[test]
fn a_rollback_does_not_wait_behind_deployments() {
    let Some(broker) = Broker::start_with(|config| config.wasm.configure_milliseconds_max = 20_000) else { return };
    let admin = broker.admin();
    let version = |version: &str| format!("/api/v1/modules/m?config=%7B%22version%22:%22{version}%22%7D");
    for number in ["one", "two"] {
        admin.deploy(&version(number), &guests::component("echoes-version")).expect(200);
    }
    let slow = |mode: &str| format!("/api/v1/modules/slow?config=%7B%22mode%22:%22configure-{mode}%22%7D");
    admin.deploy(&slow("counts"), &guests::component("hostile")).expect(200);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let deploys = |path: String, guest: &'static str| {
            scope.spawn({
                let (admin, answered) = (broker.admin(), &answered);
                move || {
                    drop(admin.deploy(&path, &guests::component(guest)));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        // It is configured for a while.
        let waiting = deploys(slow("waits"), "hostile");
        until("it is being configured", || admin.get("/api/v1/modules/slow/logs").expect(200).text().contains("waits"));
        let behind = deploys("/api/v1/modules/behind".to_owned(), "router");
        let back = admin.post("/api/v1/modules/m/rollback", &json!({})).expect(200).json();
        assert_eq!((&back["version"], answered.load(Ordering::SeqCst)), (&1.into(), 0));
        until("it has been configured", || {
            admin.put("/api/v1/modules/slow/config", &json!({ "mode": "calm" })).expect(200);
            waiting.is_finished()
        });
        behind.join().expect("it has its turn then");
    });
    assert_eq!(admin.get("/api/v1/modules/behind").expect(200).json()["version"], 1);
}
