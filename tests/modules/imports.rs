//! What a module may call, and what it finds when it looks for more.

use super::rig::{Rig, limits, message, property};
use OnFailure::Refuse;
use host::wasm::{Figure, Limits, LogLevel, OnFailure};
use std::sync::Arc;

#[test]
fn every_import_answers() {
    let mut rig = Rig::new();
    rig.modules.set_retained(Arc::new(|topic| (topic == "last").then(|| message("last", b"value"))));
    rig.deploy("m", "remembers", 1, OnFailure::Refuse, "{}");
    let verdict = rig.route("one", b"");
    for (name, expected) in [
        ("publisher", "c1"),
        ("seen", "1"),
        ("first", "Some(true) Some(false) true"),
        ("first-topic", "one"),
        ("brief", "false"),
        ("now", "1000000"),
        ("last", "value"),
    ] {
        assert_eq!(property(&verdict, name).as_deref(), Some(expected), "{name}");
    }
    rig.pass_milliseconds(999);
    let verdict = rig.route("second", b"");
    assert_eq!(property(&verdict, "brief").as_deref(), Some("true"));
    assert_eq!(property(&verdict, "first-topic").as_deref(), Some("one"));
    rig.pass_milliseconds(1_000);
    assert_eq!(property(&rig.route("third", b""), "brief").as_deref(), Some("false"));
    let lines = rig.modules.logs("m").unwrap();
    assert_eq!((lines.len(), lines[2].level, &*lines[2].line), (3, LogLevel::Warn, "seen 3"));
    let module: Arc<str> = "m".into();
    let expected =
        vec![(module.clone(), "seen".into(), Figure::Count(3)), (module, "topic_bytes".into(), Figure::Gauge(5.0))];
    assert_eq!(rig.modules.figures(), expected);
}

#[test]
fn state_has_a_quota_and_belongs_to_one_module() {
    let mut rig = Rig::with(Limits { state_bytes_max: 10_500, ..limits() });
    rig.deploy("m", "remembers", 1, OnFailure::Refuse, "{}");
    assert_eq!(property(&rig.route("fill", b""), "filled").as_deref(), Some("10"));
    assert!(rig.modules.show("m").unwrap().state_bytes <= 10_500);
    rig.modules.remove("m").unwrap();
    rig.deploy("other", "remembers", 1, OnFailure::Refuse, "{}");
    assert_eq!(property(&rig.route("a", b""), "seen").as_deref(), Some("1"));
}

#[test]
fn wasi_is_there_and_empty_and_nobody_sleeps() {
    let mut rig = Rig::new();
    rig.deploy("m", "looks-around", 1, OnFailure::Refuse, "{}");
    for _ in 0..100 {
        let verdict = rig.route("a", b"abc");
        for (name, expected) in [
            ("arguments", "0"),
            ("environment", "0"),
            ("file", "false"),
            ("folder", "false"),
            ("socket", "false"),
            ("slept", "false"),
            ("time", "1000000"),
            ("map", "1"),
        ] {
            assert_eq!(property(&verdict, name).as_deref(), Some(expected), "{name} {:?}", rig.modules.logs("m"));
        }
    }
    let lines = rig.modules.logs("m").unwrap();
    let last: Vec<_> = lines[lines.len() - 2..].iter().map(|line| (line.level, &*line.line)).collect();
    assert_eq!(last, [(LogLevel::Info, "half a line of 3 bytes"), (LogLevel::Warn, "something is wrong")]);
    assert_eq!(rig.routed("exit"), "refuse Unavailable");
}

/// They would take the places of those of the next version, and show what is long over.
#[test]
fn figures_go_with_the_version_that_wrote_them() {
    let mut rig = Rig::new();
    rig.deploy("m", "remembers", 1, Refuse, "{}");
    rig.route("t", b"");
    let names = |rig: &Rig| rig.modules.figures().into_iter().map(|(_, name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&rig), ["seen", "topic_bytes"]);
    rig.deploy("m", "echoes-version", 1, Refuse, r#"{"version": "two"}"#);
    assert_eq!(names(&rig), [""; 0]);
    rig.modules.rollback("m", None).unwrap();
    rig.route("t", b"");
    let seen = rig.modules.figures().into_iter().find(|(_, name, _)| &**name == "seen").map(|(.., figure)| figure);
    assert_eq!(seen, Some(host::wasm::Figure::Count(2)), "it counts on");
}
