//! Guests that say what nobody may say, and modules that change while they are at work: on a running broker.

use crate::harness::{Admin, Broker, Packet, Publish, V5, Will, connect, guests};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

fn deploy(admin: &Admin, name: &str, guest: &str, more: &str, config: &Json) {
    let config: String = config.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/modules/{name}?on_failure=bypass{more}&config={config}");
    admin.deploy(&path, &guests::component(guest)).expect(200);
}

fn figure(admin: &Admin, name: &str) -> f64 {
    let metrics = admin.get("/metrics").expect(200);
    let line = metrics.text().lines().find(|line| line.starts_with(&format!("pliant_{name} "))).expect(name).to_owned();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// Wishes of module `m` that came to nothing for this reason.
fn unmet(admin: &Admin, reason: &str) -> f64 {
    figure(admin, &format!("module_wishes_refused_total{{module=\"m\",reason=\"{reason}\"}}"))
}

/// The value of a sample, if the line is one, as the text format of Prometheus has it; else what is wrong with it.
fn sample(line: &str) -> Result<f64, String> {
    let name_ends = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).ok_or("no value")?;
    let (name, mut rest) = line.split_at(name_ends);
    if !name.starts_with("pliant_") {
        return Err(format!("{name:?} is no name of ours"));
    }
    if let Some(labels) = rest.strip_prefix('{') {
        let (mut quoted, mut escaped, mut end) = (false, false, None);
        for (at, c) in labels.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '}' if !quoted => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        rest = &labels[end.ok_or("labels without an end")? + 1..];
    }
    match rest.strip_prefix(' ').ok_or("no blank before the value")? {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            number.parse().map_err(|_| format!("{number:?} is no number"))
        }
        other => Err(format!("{other:?} is no value")),
    }
}

#[test]
fn the_metrics_can_be_read_whatever_a_module_calls_its_figures() {
    // Mebibytes go back and forth: the time of a call is no matter here.
    let Some(broker) = Broker::start_with(|config| config.wasm.call_milliseconds_max = 10_000) else { return };
    let admin = broker.admin();
    deploy(&admin, "m", "sprawls", "", &json!({ "mode": "names" }));
    connect(V5).at(broker.address()).open().say("bad", "x", 1);
    let metrics = admin.get("/metrics").expect(200);
    let mut seen = BTreeSet::new();
    for line in metrics.text().split('\n').filter(|line| !line.is_empty()) {
        if line.starts_with("# HELP pliant_") || line.starts_with("# TYPE pliant_") {
            continue;
        }
        sample(line).unwrap_or_else(|why| panic!("{why}: {line:?}"));
        let name = line.rsplit_once(' ').expect("a value").0;
        assert!(seen.insert(name.to_owned()), "twice: {name}");
    }
    for (name, value) in
        [("no_number", "NaN"), ("much", "+Inf"), ("little", "-Inf"), ("digits", "1.7976931348623157e308")]
    {
        let line = format!("pliant_module_own{{module=\"m\",name=\"{name}\"}} {value}");
        assert!(metrics.text().contains(&line), "{line}");
    }
    let counted = "pliant_module_over_quota_total{module=\"m\",service=\"metrics\"} 26";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert!(admin.get("/api/v1/modules/m/logs").expect(200).text().contains(r"a\\r\\nERROR forged"));
}

/// From each hook that publishes: below `$SYS`, to what looks like a share, and to what is no topic.
#[test]
fn what_only_the_broker_says_is_said_by_no_hook() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let mut watcher = connect(V5).at(at).open();
    for filter in ["$SYS/forged", "$CONTROL/x", "wild/#", "alive"] {
        watcher.subscribe(filter, 1);
    }
    for topic in ["$SYS/forged", "$share/g/t", "$CONTROL/x", "wild/#", "wild/+/x", ""] {
        for mode in ["wishes", "registers", "maps"] {
            deploy(&admin, "m", "sprawls", "", &json!({ "mode": mode, "topic": topic, "tick_milliseconds": 10 }));
            let mut client = connect(V5).at(at).open();
            client.publish(&Publish::new("bad", "x", 1));
            // Its will comes when it is gone, or is refused when it is left.
            let will = Will::new("bad/will", "gone").qos(1);
            let mut owner = connect(V5).at(at).will(will).sent();
            if matches!(owner.try_receive(), Ok(Packet::Connack(answer)) if answer.code == 0) {
                owner.cut();
            }
            client.say("good", "x", 1);
            if mode == "wishes" && topic == "$SYS/forged" {
                assert!(unmet(&admin, "reserved") > 0.0, "{topic}");
            }
            admin.delete("/api/v1/modules/m").expect(200);
        }
    }
    connect(V5).at(at).open().say("alive", "x", 1);
    watcher.expect("alive", "x", 1);
    watcher.expect_nothing();
    let retained = admin.get("/api/v1/retained").expect(200);
    assert!(!retained.text().contains("forged") && !retained.text().contains("$share"), "{}", retained.text());
}

/// A wish for a queue is a publication into it like any other: bounded, and by the module's rights.
#[test]
fn a_wish_for_a_queue_goes_the_way_of_every_publication() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let rules = json!({ "rules": [
        { "allow": ["publish", "subscribe", "receive"], "topics": ["#"] },
        { "deny": ["publish"], "protocol": "module", "topics": ["/queues/#"] },
    ] });
    admin.put("/api/v1/modules/access-list/config", &rules).expect(200);
    deploy(&admin, "m", "sprawls", "", &json!({ "mode": "wishes", "topic": "/queues/x" }));
    connect(V5).at(at).open().say("bad", "x", 1);
    assert!(unmet(&admin, "denied") > 0.0, "no rule lets it");
}

/// A tick runs, again and again, when its module goes: what it writes then is nowhere, now and after a restart.
#[test]
fn a_module_that_goes_while_it_ticks_leaves_nothing_behind() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let writes = json!({ "mode": "writes-on-ticks", "tick_milliseconds": 10 });
    for _ in 0..10 {
        deploy(&admin, "m", "sprawls", "", &writes);
        while admin.get("/api/v1/modules/m").expect(200).json()["state_bytes"] == 0 {
            std::thread::yield_now();
        }
        admin.delete("/api/v1/modules/m").expect(200);
        connect(V5).at(at).open().say("good", "x", 1);
    }
    let state = |admin: &Admin| admin.get("/api/v1/modules/m").expect(200).json()["state_bytes"].clone();
    deploy(&admin, "m", "sprawls", "", &json!({ "mode": "fine" }));
    assert_eq!(state(&admin), 0);
    let broker = broker.restart();
    assert_eq!(state(&broker.admin()), 0);
}

/// Two modules are changed by two callers while messages flow: each message sees one version of each, and what the last answer of
/// each caller said is what holds, after a restart too.
#[test]
fn two_modules_are_activated_at_the_same_time() {
    const CHANGES: u32 = 20;
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    let names = ["one", "two"];
    for name in names {
        deploy(&admin, name, "echoes-version", "", &json!({ "version": format!("{name} 0") }));
    }
    let changing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let change = |name: &'static str| {
            let admin = &admin;
            move || {
                for number in 1..=CHANGES {
                    let config = json!({ "version": format!("{name} {number}") });
                    admin.put(&format!("/api/v1/modules/{name}/config"), &config).expect(200);
                    if number % 5 == 0 {
                        admin.post(&format!("/api/v1/modules/{name}/rollback"), &json!({})).expect(200);
                    }
                }
            }
        };
        let callers = names.map(|name| scope.spawn(change(name)));
        let messages = scope.spawn(|| {
            let mut client = connect(V5).at(at).open();
            client.subscribe("t", 1);
            let mut count = 0;
            while changing.load(Ordering::Relaxed) || count < 10 {
                client.say("t", "x", 1);
                let got = client.take();
                let versions: Vec<&str> = got.properties.user().into_iter().map(|(_, value)| value).collect();
                assert_eq!(versions.len(), 2, "{versions:?}");
                assert!(versions[0].starts_with("one ") && versions[1].starts_with("two "), "{versions:?}");
                count += 1;
            }
        });
        for caller in callers {
            caller.join().expect("each change is made");
        }
        changing.store(false, Ordering::Relaxed);
        messages.join().expect("each message passes both");
    });
    // The last change was taken back.
    let holds = |admin: &Admin| {
        for name in names {
            let info = admin.get(&format!("/api/v1/modules/{name}")).expect(200).json();
            assert_eq!(info["config"]["version"], format!("{name} {}", CHANGES - 1), "{info}");
        }
    };
    holds(&admin);
    holds(&broker.restart().admin());
}

/// Confirmed and taken back by two callers at once: one of them wins, and no message is lost or sees both.
#[test]
fn a_canary_is_taken_back_while_messages_flow_and_somebody_else_confirms_it() {
    let Some(broker) = Broker::start() else { return };
    let (admin, at) = (broker.admin(), broker.address());
    for _ in 0..5 {
        deploy(&admin, "m", "echoes-version", "", &json!({ "version": "old" }));
        deploy(&admin, "m", "echoes-version", "&canary=50", &json!({ "version": "new" }));
        let over = AtomicBool::new(false);
        let post = |what: &str| admin.post(&format!("/api/v1/modules/m/{what}"), &json!({})).status;
        let (back, confirmed) = std::thread::scope(|scope| {
            let traffic: Vec<_> = (0..4)
                .map(|number| {
                    let over = &over;
                    scope.spawn(move || {
                        let id = format!("client-{number}");
                        let mut client = connect(V5).at(at).id(&id).open();
                        client.subscribe(&id, 1);
                        let mut count = 0;
                        while !over.load(Ordering::Relaxed) || count < 10 {
                            client.say(&id, "x", 1);
                            let got = client.take();
                            let seen: Vec<&str> = got.properties.user().into_iter().map(|(_, value)| value).collect();
                            assert!(seen == ["old"] || seen == ["new"], "{seen:?}");
                            count += 1;
                        }
                    })
                })
                .collect();
            let back = scope.spawn(|| post("rollback"));
            let confirmed = scope.spawn(|| post("confirm"));
            let said = (back.join().expect("an answer"), confirmed.join().expect("an answer"));
            over.store(true, Ordering::Relaxed);
            traffic.into_iter().for_each(|one| one.join().expect("each message passes"));
            said
        });
        // A rollback after the confirmation goes one version back; a confirmation after the rollback finds nothing.
        assert!(back == 200 && (confirmed == 200 || (400..500).contains(&confirmed)), "{back} {confirmed}");
        let info = admin.get("/api/v1/modules/m").expect(200).json();
        assert!(info["canary"].is_null(), "{info}");
        assert_eq!(info["config"]["version"], "old", "{info}");
        admin.delete("/api/v1/modules/m").expect(200);
    }
}
