//! Commands against a running broker.

use super::pliant;
use crate::harness::*;
use serde_json::Value as Json;
use std::time::{Duration, Instant};

/// Every retained message of a topic arrives, whatever its quality of service and its bytes.
#[test]
fn what_pub_sends_sub_prints() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    std::fs::write(folder.path().join("bytes"), [0, 255, 10]).unwrap();
    for (topic, publish, subscribe, expected) in [
        ("text", &["21.5", "--qos", "0"][..], &[][..], "21.5\n"),
        ("verbose", &["x", "--qos", "1"], &["--verbose"], "verbose x\n"),
        (
            "bytes",
            &["--file", "bytes", "--qos", "2"],
            &["--json"],
            "{\"payload_base64\":\"AP8K\",\"qos\":2,\"retain\":true,\"topic\":\"bytes\"}\n",
        ),
        ("input", &["--file", "-"], &[], "from input\n"),
        (
            "said",
            &["x", "--content-type", "t/s", "--property", "a=b=c"],
            &["--json"],
            "{\"payload\":\"x\",\"properties\":{\"content_type\":\"t/s\",\"user\":[[\"a\",\"b=c\"]]},\"qos\":1,\"retain\":true,\"topic\":\"said\"}\n",
        ),
    ] {
        let arguments = [&["pub", topic, "--retain", "--url", &url], publish].concat();
        pliant(folder.path(), &arguments, b"from input").expect(0, "");
        let arguments = [&["sub", topic, "--count", "1", "--timeout", "20", "--url", &url], subscribe].concat();
        let ended = pliant(folder.path(), &arguments, b"");
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), expected), "{topic}: {}", ended.talk);
    }
}

#[test]
fn lines_are_messages_and_each_is_acknowledged() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("lines", 2);
    let ended =
        pliant(folder.path(), &["pub", "lines", "--lines", "--qos", "2", "--json", "--url", &url], b"one\n\nthree");
    ended.expect(0, "\"sent\":3");
    for line in ["one", "", "three"] {
        subscriber.expect("lines", line, 2);
    }
    let ended = pliant(folder.path(), &["pub", "nobody", "x", "--json", "--url", &url], b"");
    ended.expect(0, "\"no_subscriber\":1");
}

/// More than the client has under way at a time (512), at each quality of service and over both protocols.
#[test]
fn pub_sends_more_than_it_has_under_way() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..1300).map(|number| format!("{number}\n")).collect();
    let urls = [format!("mqtt://{}", broker.address()), format!("amqp://{}", broker.at("amqp"))];
    for (url, qos) in urls.iter().flat_map(|url| ["0", "1", "2"].map(|qos| (url, qos))) {
        let mut subscriber = connect(V5).at(broker.address()).open();
        subscriber.subscribe("many", 2);
        let arguments = ["pub", "many", "--lines", "--qos", qos, "--json", "--url", url, "--timeout", "60"];
        pliant(folder.path(), &arguments, lines.as_bytes()).expect(0, "\"sent\":1300");
        for number in 0..1300 {
            assert_eq!(subscriber.take().text(), number.to_string(), "{url} {qos}");
        }
    }
}

#[test]
fn bench_counts_every_copy_and_misses_none() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    for (qos, more) in [("0", ""), ("1", "--shared"), ("2", "")] {
        let mut arguments = vec!["bench", "--url", &url, "--qos", qos, "--messages", "500", "--json"];
        arguments.extend(["--publishers", "2", "--subscribers", "2", "--topics", "3"]);
        arguments.extend(Some(more).filter(|more| !more.is_empty()));
        let ended = pliant(folder.path(), &arguments, b"");
        ended.expect(0, "");
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let copies = if more.is_empty() { 2000 } else { 1000 };
        assert_eq!(report["sent"], 1000, "{report}");
        assert_eq!((&report["received"], &report["expected"]), (&copies.into(), &copies.into()), "{report}");
        assert_eq!(report["out_of_order"], 0, "{report}");
    }
}

#[test]
fn bench_plays_each_scenario_without_a_loss_and_leaves_nothing_behind() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    for (scenario, messages, sent, received) in [
        ("p2p", "20", 60, 60),
        ("fan-in", "20", 60, 60),
        ("fan-out", "20", 60, 300),
        ("routing", "20", 60, 60),
        ("shared", "20", 60, 60),
        ("durable", "20", 60, 60),
        ("modules", "20", 60, 60),
        ("retained", "20", 60, 60),
        ("offline", "20", 60, 60),
        ("connections", "1", 3, 3),
        ("storm", "1", 3, 3),
    ] {
        let mut arguments = vec!["bench", scenario, "--url", &url, "--messages", messages, "--json"];
        arguments.extend(["--publishers", "3"]);
        if scenario == "fan-out" {
            arguments.extend(["--subscribers", "5"]);
        }
        let ended = pliant(folder.path(), &arguments, b"");
        ended.expect(0, "");
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(report["sent"], sent, "{scenario}: {report}");
        assert_eq!((&report["received"], &report["expected"]), (&received.into(), &received.into()), "{scenario}");
        assert_eq!(report["out_of_order"], 0, "{scenario}: {report}");
    }
    // Connections are dropped, and the broker may not have seen the last of them go.
    for left in ["retained", "clients", "subscriptions"] {
        let path = format!("/api/v1/{left}");
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = broker.admin().get(&path).expect(200).json();
            if answer["items"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            assert!(Instant::now() < until, "{left}: {answer}");
        }
    }
}

/// By time and by number, with what it costs the broker; the result file is what the chart is drawn from.
#[test]
fn bench_compares_brokers_and_draws_what_they_cost() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    // The broker runs in this process.
    let named = |name: &str| format!("{name}=mqtt://{}#{}", broker.address(), std::process::id());
    let (first, second) = (named("first"), named("second"));
    let compare = |seconds: &str| {
        let (file, scenarios) = (format!("{seconds}.jsonl"), "p2p-q0-1x64,shared-q1");
        let brokers = ["bench", "compare", "--broker", &first, "--broker", &second, "--out", &file];
        let course = ["--scenarios", scenarios, "--rounds", "1", "--seconds", seconds, "--warm-up", "0"];
        pliant(folder.path(), &[&brokers[..], &course].concat(), b"").expect(0, "of first");
        let written = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        let runs: Vec<Json> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // A machine that is busy with other rows may bring nothing in so short a time.
        let is_measured = |run: &Json| run["received_per_second"].as_f64() > Some(0.0);
        runs.iter().all(is_measured).then_some((file, runs))
    };
    let (file, runs) = ["0.2", "1", "5"].into_iter().find_map(compare).expect("something comes within five seconds");
    let told: Vec<_> = runs.iter().map(|run| (run["scenario"].as_str(), run["broker"].as_str())).collect();
    let expected =
        ["p2p-q0-1x64", "shared-q1-8"].map(|name| [(Some(name), Some("first")), (Some(name), Some("second"))]);
    assert_eq!(told, expected.concat());
    for run in &runs {
        assert!(run["received"].as_u64() > Some(0) && run["received"] == run["expected"], "{run}");
        assert!(run["broker_cpu_microseconds_per_message"].as_f64() > Some(0.0), "{run}");
        assert!(run["broker_rss_bytes"].as_u64() > Some(1 << 20), "{run}");
    }
    pliant(folder.path(), &["bench", "chart", &file, "--out", "c.svg"], b"").expect(0, "");
    let chart = std::fs::read_to_string(folder.path().join("c.svg")).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("shared-q1-8") && chart.contains("second"), "{chart}");
    pliant(folder.path(), &["bench", "chart", "c.svg"], b"").expect(1, "c.svg: line 1:");
    let url = format!("mqtt://{}", broker.address());
    pliant(folder.path(), &["bench", "--url", &url, "--pid", "4294967295"], b"").expect(1, "/proc/4294967295/");
    pliant(folder.path(), &["bench", "retained", "--seconds", "1"], b"").expect(2, "are counted");
}

#[test]
fn sub_that_waits_in_vain_fails() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    let arguments = ["sub", "nothing", "--count", "1", "--timeout", "1", "--url", &url];
    pliant(folder.path(), &arguments, b"").expect(1, "0 of 1 messages");
}

/// What was read and not printed is not acknowledged: a later run finds it, and so it does with a release of the run before.
#[test]
fn sub_acknowledges_what_it_has_printed_and_nothing_else() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    for (filter, qos) in [("all/#", "1"), ("all/#", "2"), ("$share/one/all/#", "1"), ("$share/two/all/#", "2")] {
        let id = unique("keeper");
        let kept = ["sub", filter, "--qos", qos, "--id", &id, "--session-expiry", "3600", "--url", &url];
        let run = |more: &[&str]| {
            let ended = pliant(folder.path(), &[&kept[..], more].concat(), b"");
            ended.expect(0, "");
            assert_eq!(ended.talk, "", "{filter} {qos}");
            ended.out
        };
        assert_eq!(run(&["--timeout", "1"]), "");
        let publish = ["pub", "all/x", "--lines", "--qos", qos, "--url", &url];
        pliant(folder.path(), &publish, b"1\n2\n3\n4\n5\n6\n").expect(0, "");
        // Under the same name, and not there to take anything.
        let beside = ["pub", "beside", "x", "--id", &id, "--session-expiry", "3600", "--url", &url];
        pliant(folder.path(), &beside, b"").expect(0, "");
        for (count, expected) in [("2", "1\n2\n"), ("1", "3\n"), ("3", "4\n5\n6\n")] {
            assert_eq!(run(&["--count", count, "--timeout", "20"]), expected, "{filter} {qos}");
        }
        assert_eq!(run(&["--timeout", "1"]), "", "{filter} {qos}");
    }
}

/// The command line finds the admin API and its token in the data directory.
#[test]
fn modules_are_managed_by_data_directory_alone() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = broker.data().display().to_string();
    let module = |arguments: &[&str]| {
        let arguments = [&["module"], arguments, &["--data-dir", &data]].concat();
        pliant(folder.path(), &arguments, b"{\"rules\":[{\"from\":\"in/{r...}\",\"to\":\"out/{r...}\"}]}")
    };
    std::fs::write(folder.path().join("text.wasm"), "no component").unwrap();
    for (arguments, code, says) in [
        (&["list"][..], 0, "topic-rules"),
        (&["show", "topic-rules"], 0, "\"versions\""),
        (&["show", "none"], 1, "there is no module"),
        (&["deploy", "text.wasm"], 1, "not WebAssembly"),
        (&["deploy", "none.wasm"], 1, "cannot read none.wasm"),
        (&["check", "text.wasm"], 1, "not WebAssembly"),
        (&["config", "topic-rules", "-"], 0, "version 1"),
        (&["config", "topic-rules"], 0, "out/{r...}"),
        (&["config", "topic-rules", "{\"x\":1}"], 1, "refuses its configuration"),
        (&["config", "topic-rules", "{"], 1, "no JSON document"),
        (&["explain", "in/x"], 0, "topic: out/x"),
        (&["rollback", "topic-rules", "--canary"], 1, "no canary of `topic-rules` is on trial"),
        (&["rollback", "topic-rules"], 0, "version 0"),
        (&["explain", "in/x"], 0, "topic: in/x"),
        (&["rollback", "topic-rules", "--to", "7"], 1, "no version 7"),
        (&["disable", "topic-rules"], 0, "switched off"),
        (&["enable", "topic-rules"], 0, "asked again"),
        (&["logs", "topic-rules"], 0, ""),
        (&["remove", "none"], 1, "there is no module"),
    ] {
        // Checking is offline and has no data directory.
        match arguments[0] {
            "check" => pliant(folder.path(), &["module", "check", "text.wasm"], b"").expect(code, says),
            _ => module(arguments).expect(code, says),
        }
    }
    let list: Json = serde_json::from_str(&module(&["list", "--json"]).out).expect("JSON");
    assert!(list.as_array().is_some_and(|list| list.len() >= 3), "{list}");
}

/// Whoever ends a canary by something else hears it.
#[test]
fn a_canary_that_is_over_is_said() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = broker.data().display().to_string();
    std::fs::write(folder.path().join("m.wasm"), guests::component("echoes-version")).unwrap();
    let module =
        |arguments: &[&str]| pliant(folder.path(), &[&["module"], arguments, &["--data-dir", &data]].concat(), b"");
    let (one, two) = (r#"{"version": "1"}"#, r#"{"version": "2"}"#);
    module(&["deploy", "m.wasm", "--config", one]).expect(0, "m is live: version 1");
    let canary = ["deploy", "m.wasm", "--canary", "10"];
    for (arguments, says) in [
        (&canary[..], "m is on trial: version 2 for 10 of 100 clients"),
        (&canary, "the canary, version 2, is over"),
        (&["config", "m", two], "m is configured: version 4"),
        (&canary, "m is on trial: version 5"),
        (&["deploy", "m.wasm"], "the canary, version 5, is over"),
        (&canary, "m is on trial: version 7"),
        (&["disable", "m"], "m is switched off; the canary, version 7, is over"),
        (&["enable", "m"], "m is asked again: version 6"),
        (&canary, "m is on trial: version 8"),
        (&["config", "m", one, "--json"], "\"canary_ended\":8"),
        (&canary, "m is on trial: version 10"),
        (&["rollback", "m", "--canary"], "the canary, version 10, is over"),
        (&["config", "m", one, "--if-changed"], "m is configured: version 9, "),
        (&canary, "m is on trial: version 11"),
        (&["canary", "m", "--percent", "50"], "m: version 11 for 50 of 100 clients, version 9 for the others"),
        (&["confirm", "m"], "m is confirmed: version 11"),
    ] {
        let ended = module(arguments);
        ended.expect(0, says);
        assert!(arguments[0] != "confirm" || !ended.out.contains("is over"), "{}", ended.out);
    }
    module(&["confirm", "m"]).expect(1, "no canary of `m` is on trial");
    // What is no trial any more is none to end, and the active version stays.
    module(&["rollback", "m", "--canary"]).expect(1, "no canary of `m` is on trial");
    module(&["deploy", "m.wasm", "--if-changed"]).expect(0, "; it was so already");
    std::fs::write(folder.path().join("g.wasm"), guests::component("guards")).unwrap();
    let guards = ["deploy", "m", "g.wasm", "--config", "{}"];
    module(&[&guards[..], &["--canary", "10"]].concat())
        .expect(0, "; it does not serve routing, as the version before it does");
    module(&["rollback", "m", "--canary"]).expect(0, "the canary, version 12, is over");
    module(&guards).expect(0, "; it does not serve routing, as the version before it does");
    module(&["rollback", "m"]).expect(0, "m went back: version 11");
    module(&["rollback", "m", "--from", "9"]).expect(1, "version 11 is active");
    module(&["rollback", "m", "--from", "11"]).expect(0, "m went back: version 9");
}

/// `access-list` without rules denies everything, so that back to what the configuration says must be off.
#[test]
fn a_module_that_the_configuration_has_off_is_off_after_a_rollback() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = broker.data().display().to_string();
    let module =
        |arguments: &[&str]| pliant(folder.path(), &[&["module"], arguments, &["--data-dir", &data]].concat(), b"");
    let publish = |broker: &Broker| {
        let url = format!("mqtt://{}", broker.address());
        pliant(folder.path(), &["pub", "a", "x", "--qos", "1", "--url", &url], b"")
    };
    for _ in 0..2 {
        let rules = r#"{"rules": [{"allow": ["subscribe"], "topics": ["news/#"]}]}"#;
        module(&["config", "access-list", rules]).expect(0, "access-list is configured");
        publish(&broker).expect(1, "");
        // It opens what the rules have closed: not without being named.
        module(&["rollback", "access-list"])
            .expect(1, "was off, as the broker's configuration says: say `to=0` (--to 0) if that is meant");
        publish(&broker).expect(1, "");
        module(&["rollback", "access-list", "--to", "0"]).expect(0, "access-list is off, as the configuration says");
        publish(&broker).expect(0, "");
        module(&["rollback", "access-list", "--to", "1"]).expect(0, "access-list was switched: version 1");
        publish(&broker).expect(1, "");
        module(&["rollback", "access-list", "--to", "0", "--json"]).expect(0, r#""off_as_configured":true"#);
    }
    publish(&broker.restart()).expect(0, "");
}

/// A head of a request has no room for it.
#[test]
fn a_component_is_deployed_with_a_large_configuration() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.wasm"), guests::component("echoes-version")).unwrap();
    let config = format!("{{\"version\": {}\"1\"}}", " ".repeat(500_000));
    std::fs::write(folder.path().join("m.json"), &config).unwrap();
    let data = broker.data().display().to_string();
    let deployed =
        pliant(folder.path(), &["module", "deploy", "m.wasm", "--config", "m.json", "--data-dir", &data], b"");
    deployed.expect(0, "m is live: version 1");
    assert_eq!(broker.admin().get("/api/v1/modules/m/config").expect(200).text(), config);
}

/// Also where the broker does not want to see the component.
#[test]
fn why_a_component_is_not_taken_is_said() {
    let Some(broker) = Broker::start_with(|config| config.wasm.component_bytes_max = 1 << 20) else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("big.wasm"), vec![0; 80 << 20]).unwrap();
    std::fs::write(folder.path().join("wrong"), "0123456789abcdefghij").unwrap();
    let data = broker.data().display().to_string();
    let deploy = |more: &[&str]| {
        let arguments = [&["module", "deploy", "big.wasm", "--data-dir", &data], more].concat();
        pliant(folder.path(), &arguments, b"")
    };
    deploy(&[]).expect(1, "a component has at most 1048576 bytes (wasm.component_bytes_max)");
    deploy(&["--token-file", "wrong"]).expect(1, "does not take the token: the token is not right");
}

#[test]
fn a_stopped_broker_leaves_a_sound_store() {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = broker.data().display().to_string();
    let url = format!("mqtt://{}", broker.address());
    pliant(folder.path(), &["pub", "kept", "x", "--retain", "--url", &url], b"").expect(0, "");
    pliant(folder.path(), &["store", "check", "--data-dir", &data], b"").expect(1, "in use by another process");
    let mut process = Process::start().expect("rows run against brokers of their own");
    let url = format!("mqtt://{}", process.address());
    pliant(folder.path(), &["pub", "kept", "x", "--retain", "--url", &url], b"").expect(0, "");
    process.kill();
    let data = process.data().display().to_string();
    pliant(folder.path(), &["store", "check", "--data-dir", &data], b"").expect(0, "1 retained messages");
    pliant(folder.path(), &["store", "compact", "--data-dir", &data], b"").expect(0, "bytes");
}
