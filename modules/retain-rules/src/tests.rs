//! Rows: what the rules decide, and what they say of a wrong configuration.

use pliant_guest::testing;

use super::*;

fn module(rules: &str) -> (RetainRules, Manifest) {
    testing::configure(&format!(r#"{{"rules": [{rules}]}}"#)).expect("a good configuration")
}

fn decide(rules: &str, topic: &str, retain: bool, payload: &[u8]) -> Retention {
    let envelope = Envelope { retain, ..Envelope::new(topic) };
    module(rules).0.on_publish(&testing::client("c"), &envelope, &Payload::from(payload))
}

#[test]
fn without_rules_a_message_is_kept_as_flagged_and_the_answer_may_be_remembered() {
    let (module, manifest) = testing::configure::<RetainRules>("{}").expect("needs no configuration");
    for retain in [false, true] {
        let envelope = Envelope { retain, ..Envelope::new("a") };
        let answer = module.on_publish(&testing::client("c"), &envelope, &Payload::from(b""));
        assert_eq!(answer, Retention::AsFlagged);
    }
    assert_eq!(module.on_subscribe(&testing::client("c"), "#", 3), Replay::All);
    assert!(manifest.retain_by_topic);
    assert_eq!(manifest.unflagged_retain, None);
}

#[test]
fn each_kind_of_rule_decides() {
    let always = r#"{"filter": "s/#", "keep": "always"}"#;
    let never = r#"{"filter": "s/#", "keep": "never"}"#;
    let expire = r#"{"filter": "s/#", "expire_after": 60}"#;
    let both = r#"{"filter": "s/#", "keep": "always", "expire_after": 60}"#;
    for (rules, topic, retain, expected) in [
        (always, "s/1", false, Retention::Store(None)),
        (always, "s/1", true, Retention::Store(None)),
        (always, "t/1", false, Retention::AsFlagged),
        (never, "s/1", true, Retention::Leave),
        (never, "t/1", true, Retention::AsFlagged),
        (expire, "s/1", true, Retention::Store(Some(60))),
        (expire, "s/1", false, Retention::AsFlagged),
        (both, "s/1", false, Retention::Store(Some(60))),
    ] {
        assert_eq!(decide(rules, topic, retain, b"x"), expected, "{rules} {topic} {retain}");
    }
}

#[test]
fn the_first_rule_that_matches_decides_alone() {
    let rules = r#"{"filter": "s/1", "keep": "never"}, {"filter": "s/#", "keep": "always"}"#;
    assert_eq!(decide(rules, "s/1", true, b"x"), Retention::Leave);
    assert_eq!(decide(rules, "s/2", false, b"x"), Retention::Store(None));
}

#[test]
fn only_what_would_be_kept_is_refused_for_its_size() {
    let rule = r#"{"filter": "s/#", "refuse_over": 4}"#;
    assert_eq!(decide(rule, "s/1", true, b"1234"), Retention::AsFlagged);
    assert_eq!(decide(rule, "s/1", false, b"12345"), Retention::AsFlagged);
    let Retention::Refuse(refusal) = decide(rule, "s/1", true, b"12345") else { panic!("must be refused") };
    assert_eq!(refusal.kind, RefusalKind::QuotaExceeded);
    assert_eq!(refusal.reason, "5 bytes, and what is kept for `s/#` has at most 4");
}

#[test]
fn the_manifest_asks_for_no_more_than_the_rules_need() {
    for (rules, unflagged, by_topic) in [
        (r#"{"filter": "a", "keep": "never"}"#, None, true),
        (r#"{"filter": "a", "refuse_over": 1}"#, None, false),
        (r#"{"filter": "a", "keep": "always"}, {"filter": "b/#", "keep": "always"}"#, Some(vec!["a", "b/#"]), true),
    ] {
        let (_, manifest) = module(rules);
        assert_eq!(manifest.unflagged_retain, unflagged.map(Interest::filters), "{rules}");
        assert_eq!(manifest.retain_by_topic, by_topic, "{rules}");
        assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_subscription_within_a_rule_is_sent_no_more_than_it_says() {
    let rules =
        r#"{"filter": "log/quiet/#", "replay": 0}, {"filter": "log/#", "replay": 2}, {"filter": "s", "keep": "never"}"#;
    let (module, _) = module(rules);
    for (filter, expected) in [
        ("log/quiet/a", Replay::None),
        ("log/quiet/#", Replay::None),
        ("log/+", Replay::Newest(2)),
        ("log/#", Replay::Newest(2)),
        ("#", Replay::All),
        ("s", Replay::All),
    ] {
        assert_eq!(module.on_subscribe(&testing::client("c"), filter, 5), expected, "{filter}");
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_entry_and_field() {
    for (rules, expected) in [
        (r#"{"keep": "never"}"#, "rules, entry 1: missing field `filter`"),
        (r#"{"filter": "a/#/b", "keep": "never"}"#, "rules, entry 1, filter: `a/#/b` is no topic filter: "),
        (r#"{"filter": "a", "keep": "never"}, {"filter": "b"}"#, "rules, entry 2: it decides nothing"),
        (r#"{"filter": "a", "keep": "newer"}"#, "rules, entry 1, keep: unknown variant `newer`, expected one of"),
        (r#"{"filter": "a", "replay": -1}"#, "rules, entry 1, replay: invalid value: integer `-1`, expected u32"),
        (
            r#"{"filter": "a", "expires": 1}"#,
            "rules, entry 1, expires: unknown field `expires`, expected one of `filter`",
        ),
        (r#"{"filter": "a", "expire_after": 0}"#, "rules, entry 1, expire_after: 0 seconds keep nothing"),
        (r#"{"filter": "a", "keep": "never", "expire_after": 1}"#, "rules, entry 1, expire_after: nothing is kept"),
        (r#"{"filter": "a", "keep": "never", "refuse_over": 1}"#, "rules, entry 1, refuse_over: nothing is kept"),
    ] {
        let document = format!(r#"{{"rules": [{rules}]}}"#);
        let refusal = testing::configure::<RetainRules>(&document).expect_err("a wrong configuration");
        assert!(refusal.reason.starts_with(&format!("configuration: {expected}")), "{rules}: {}", refusal.reason);
    }
}
