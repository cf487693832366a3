//! Rows: which queues get what, and configurations that are none.

use super::*;
use pliant_guest::testing;

const CONFIG: &str = r##"{"exchanges": [
    {"name": "d", "type": "direct", "bindings": [{"queue": "one", "key": "k"}, {"queue": "/other/two", "key": "k"}]},
    {"name": "t", "type": "topic", "bindings": [
        {"queue": "errors", "key": "#.error.*"}, {"queue": "errors", "key": "a.#"}, {"queue": "any", "key": "#"}]},
    {"name": "f", "type": "fanout", "bindings": [{"queue": "one"}]},
    {"name": "h", "type": "headers", "unroutable": "refuse", "bindings": [
        {"queue": "both", "headers": {"format": "pdf", "pages": 2, "big": true}},
        {"queue": "any", "match": "any", "headers": {"format": "pdf", "draft": null}}]},
    {"name": "a/b", "type": "direct", "bindings": [{"queue": "x", "key": "ü/1"}]}
]}"##;

/// The topics under which a message goes on, or why it does not.
fn routed(topic: &str, properties: &[(&str, &str)]) -> Vec<String> {
    let (module, _) = testing::configure::<Exchanges>(CONFIG).unwrap();
    let mut envelope = Envelope::new(topic);
    for (name, value) in properties {
        envelope = envelope.property(*name, *value);
    }
    let decision = module.on_publish(&testing::client("c"), envelope.clone(), &Payload::from("m"));
    let also = decision.also.into_iter().map(|message| {
        assert_eq!(
            (message.envelope.user_properties, &message.payload[..]),
            (envelope.user_properties.clone(), &b"m"[..])
        );
        message.envelope.topic
    });
    let also: Vec<String> = also.collect();
    match decision.verdict {
        Verdict::Keep => vec![topic.to_owned()],
        Verdict::Readdress(envelope) => [vec![envelope.topic], also].concat(),
        Verdict::Refuse(refusal) => vec![refusal.reason],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_direct_exchange_wants_the_key() {
    assert_eq!(routed("/exchanges/d/k", &[]), ["/other/two", "/queues/one"]);
    assert_eq!(routed("/exchanges/d/K", &[]), ["/exchanges/d/K"]);
    assert_eq!(routed("/exchanges/d", &[]), ["/exchanges/d"]);
    assert_eq!(routed("/exchanges/a%2Fb/%C3%BC%2f1", &[]), ["/queues/x"]);
}

#[test]
fn a_topic_exchange_takes_words_with_wildcards_anywhere_and_each_queue_once() {
    for (key, errors) in [
        ("error.x", true),
        ("b.c.error.x", true),
        ("a.error.x", true),
        ("a", true),
        ("b.error", false),
        ("error.x.y", false),
        ("", false),
    ] {
        let expected = if errors { vec!["/queues/any", "/queues/errors"] } else { vec!["/queues/any"] };
        assert_eq!(routed(&format!("/exchanges/t/{key}"), &[]), expected, "{key}");
    }
}

#[test]
fn patterns_have_one_meaning_each() {
    for (pattern, key, expected) in [
        ("*", "", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("#", "", true),
        ("#.#", "a", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.x.y.b", true),
        ("a.#.b", "a.x.y", false),
        ("#.*", "", false),
        ("#.a.#.a.#", "b.a.b.a", true),
        ("a..b", "a..b", true),
    ] {
        assert_eq!(key::fits(pattern, key), expected, "{pattern} {key}");
    }
    let (pattern, key) = (["#", "a"].repeat(32).join("."), "a.".repeat(30_000));
    assert!(!key::fits(&pattern, &key));
}

#[test]
fn a_headers_exchange_wants_all_or_any() {
    let full = [("format", "pdf"), ("pages", "2"), ("big", "true"), ("more", "x")];
    assert_eq!(routed("/exchanges/h/", &full), ["/queues/any", "/queues/both"]);
    assert_eq!(routed("/exchanges/h", &full[..2]), ["/queues/any"]);
    assert_eq!(routed("/exchanges/h", &[("draft", "whatever")]), ["/queues/any"]);
    assert_eq!(routed("/exchanges/h", &[("format", "html")]), ["no binding of exchange h fits"]);
}

#[test]
fn what_is_no_exchange_is_refused() {
    assert_eq!(routed("/exchanges/nobody/k", &[]), ["there is no exchange nobody"]);
    assert!(routed("/exchanges/d/%zz", &[])[0].contains("percent"));
    let (none, _) = testing::configure::<Exchanges>("{}").unwrap();
    let kept = none.on_publish(&testing::client("c"), Envelope::new("/exchanges/nobody/k"), &Payload::from(""));
    assert_eq!(kept, Decision::keep());
}

/// As AMQP 0-9-1 has it: what a longer one costs at each binding with `#` took more time than a call has.
#[test]
fn a_key_has_up_to_255_bytes() {
    let any = ["/queues/any"];
    assert_eq!(routed(&format!("/exchanges/t/{}", ".".repeat(255)), &[]), any);
    assert_eq!(routed(&format!("/exchanges/t/{}x", "%C3%BC".repeat(127)), &[]), any);
    for exchange in ["d", "t", "f", "h"] {
        let topic = format!("/exchanges/{exchange}/{}", ".".repeat(65_000));
        assert_eq!(routed(&topic, &[]), ["a routing key of 65000 bytes; up to 255 are allowed"]);
    }
    assert_eq!(
        routed(&format!("/exchanges/t/{}", "\u{fc}".repeat(128)), &[])[0],
        "a routing key of 256 bytes; up to 255 are allowed"
    );
    let (module, _) = testing::configure::<Exchanges>(CONFIG).unwrap();
    let envelope = Envelope::new(format!("/exchanges/t/{}", "x".repeat(256)));
    let decision = module.on_publish(&testing::client("c"), envelope, &Payload::from("m"));
    let Verdict::Refuse(refusal) = decision.verdict else { panic!("{decision:?}") };
    assert_eq!(refusal.kind, RefusalKind::TopicInvalid);
}

/// An exchange of so many queues that all get a message.
fn wide(kind: &str, queues: usize) -> String {
    let key = if kind == "topic" { r##", "key": "#""## } else { "" };
    let bindings: Vec<_> = (0..queues).map(|queue| format!(r#"{{"queue": "q{queue}"{key}}}"#)).collect();
    format!(r#"{{"exchanges": [{{"name": "w", "type": "{kind}", "bindings": [{}]}}]}}"#, bindings.join(","))
}

/// More than a broker takes of one call would be a failure of the module, and after five of them it would be out of work.
#[test]
fn more_than_a_call_may_return_is_refused() {
    for (kind, queues, bytes, refused) in [
        ("fanout", 65, 10, false),
        ("topic", 65, 10, false),
        ("topic", 66, 10, true),
        ("fanout", 1, 10 << 20, false),
        ("fanout", 2, 2_000_000, false),
        ("fanout", 2, 2 << 20, true),
        ("fanout", 3, 1_100_000, true),
        ("fanout", 65, 30_000, false),
        ("fanout", 65, 32_768, true),
    ] {
        let (module, _) = testing::configure::<Exchanges>(&wide(kind, queues)).unwrap();
        let envelope = Envelope::new("/exchanges/w/k").property("a", "b");
        let decision = module.on_publish(&testing::client("c"), envelope, &Payload::from(&vec![0; bytes][..]));
        let case = format!("{queues} queues of type {kind}, {bytes} bytes");
        match decision.verdict {
            Verdict::Readdress(_) if !refused => assert_eq!(decision.also.len(), queues - 1, "{case}"),
            Verdict::Refuse(refusal) if refused => {
                assert_eq!(refusal.kind, RefusalKind::QuotaExceeded, "{case}");
                assert!(refusal.reason.contains("exchange w"), "{case}: {}", refusal.reason);
                assert!(decision.also.is_empty());
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    let refusal = testing::configure::<Exchanges>(&wide("fanout", 66)).unwrap_err();
    assert!(refusal.reason.contains("bindings: "), "{}", refusal.reason);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    for (exchange, expected) in [
        (r#"{"name": "", "type": "direct"}"#, "exchanges, entry 1, name: it is empty"),
        (r#"{"name": "x", "type": "other"}"#, "unknown variant `other`"),
        (r#"{"name": "x", "type": "direct", "bindings": [{"queue": "q"}]}"#, "bindings, entry 1: `key` is missing"),
        (r#"{"name": "x", "type": "fanout", "bindings": [{"queue": "q", "key": "k"}]}"#, "`key` is for exchanges"),
        (r#"{"name": "x", "type": "topic", "bindings": [{"queue": "q", "key": "k", "match": "any"}]}"#, "`match`"),
        (r#"{"name": "x", "type": "fanout", "bindings": [{"queue": ""}]}"#, "`queue` is not the name of one"),
        (r#"{"name": "x", "type": "fanout"}, {"name": "x", "type": "fanout"}"#, "another exchange has this name"),
    ] {
        let refusal = testing::configure::<Exchanges>(&format!(r#"{{"exchanges": [{exchange}]}}"#)).unwrap_err();
        assert!(refusal.reason.contains(expected), "{}", refusal.reason);
    }
}
