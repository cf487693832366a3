//! Rows: what the rules make of wills, presence, and what is said of a wrong configuration.

use pliant_guest::testing::{self, Host};

use super::*;

fn module(document: &str) -> WillRules {
    testing::configure(document).expect("a good configuration").0
}

fn will(topic: &str) -> Will {
    Will::new(Message::new(topic, "gone"))
}

/// Topic and text of each message.
fn told(messages: &[Message]) -> Vec<(&str, &str)> {
    messages
        .iter()
        .map(|message| (message.envelope.topic.as_str(), std::str::from_utf8(&message.payload).expect("text")))
        .collect()
}

#[test]
fn without_rules_a_will_is_kept_and_published_as_it_is() {
    let module = module("{}");
    let client = testing::client("c");
    assert_eq!(module.on_register(&client, will("a")), Ok(Some(will("a"))));
    for how in [Departure::ConnectionLost, Departure::TakenOver, Departure::BrokerDown] {
        assert_eq!(module.on_departure(&client, will("a"), how), [will("a").message]);
    }
    assert_eq!(module.on_events(vec![Event::Connected(client)]), []);
}

#[test]
fn a_least_delay_lengthens_and_never_shortens() {
    let module = module(r#"{"rules": [{"filter": "status/#", "least_delay": 30}]}"#);
    for (topic, given, expected) in [("status/1", 0, 30), ("status/1", 60, 60), ("other", 5, 5)] {
        let will = Will { delay_seconds: given, ..will(topic) };
        let kept = module.on_register(&testing::client("c"), will).expect("no refusal").expect("a will");
        assert_eq!(kept.delay_seconds, expected, "{topic} {given}");
    }
}

#[test]
fn a_take_over_publishes_no_will_where_a_rule_says_so() {
    let module = module(
        r#"{"rules": [{"filter": "status/loud", "on_take_over": true}, {"filter": "status/#", "on_take_over": false}]}"#,
    );
    for (topic, how, published) in [
        ("status/1", Departure::TakenOver, 0),
        ("status/1", Departure::ConnectionLost, 1),
        ("status/loud", Departure::TakenOver, 1),
        ("other", Departure::TakenOver, 1),
    ] {
        assert_eq!(module.on_departure(&testing::client("c"), will(topic), how).len(), published, "{topic} {how:?}");
    }
}

#[test]
fn reason_and_time_stand_after_the_properties_of_the_client() {
    let host = Host::fresh();
    host.set_clock(1_767_225_599_001);
    let module = module(r##"{"rules": [{"filter": "#", "add_reason": true, "add_time": true}]}"##);
    let mut will = will("a");
    will.message = will.message.property("unit", "C");
    let published = module.on_departure(&testing::client("c"), will, Departure::KeepAliveExpired);
    let properties: Vec<(&str, &str)> =
        published[0].envelope.user_properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [("unit", "C"), ("will-reason", "keep-alive-expired"), ("will-time", "2025-12-31T23:59:59.001Z")];
    assert_eq!(properties, expected);
}

#[test]
fn presence_follows_a_will_and_skips_a_take_over() {
    let module = module(r#"{"presence": "presence/{client}"}"#);
    let client = testing::client("c1");
    let published = module.on_departure(&client, will("a"), Departure::ConnectionLost);
    assert_eq!(told(&published), [("a", "gone"), ("presence/c1", "offline")]);
    assert!(published[1].envelope.retain);
    assert_eq!(published[1].envelope.guarantee, Guarantee::AtLeastOnce);
    assert_eq!(told(&module.on_departure(&client, will("a"), Departure::TakenOver)), [("a", "gone")]);
}

#[test]
fn presence_follows_events() {
    let module = module(r#"{"presence": "presence/{user}/{client}"}"#);
    let client = |id: &str, user: Option<&str>| Client { identity: user.map(Into::into), ..testing::client(id) };
    let published = module.on_events(vec![
        Event::Connected(client("c1", Some("a/b"))),
        Event::Subscribed((client("c1", None), "x".into())),
        Event::Disconnected((client("100%/+#", None), Departure::Farewell)),
        Event::Disconnected((client("c1", None), Departure::TakenOver)),
    ]);
    let expected = [("presence/a%2Fb/c1", "online"), ("presence/anonymous/100%25%2F%2B%23", "offline")];
    assert_eq!(told(&published), expected);
    assert!(published.iter().all(|message| message.envelope.retain));
}

/// What the broker takes in no topic would be a failure of the module (MQTT 5.0, 1.5.4).
#[test]
fn an_id_with_what_no_topic_has_is_written_in_hexadecimal_digits() {
    let host = Host::fresh();
    let module = module(r#"{"presence": "presence/{client}"}"#);
    for (id, expected) in [
        ("a\0b", "a%00b"),
        ("a\tb\u{1f}", "a%09b%1F"),
        ("\u{7f}\u{80}\u{9f}", "%7F%C2%80%C2%9F"),
        ("\u{fdd0}\u{fffe}\u{10ffff}", "%EF%B7%90%EF%BF%BE%F4%8F%BF%BF"),
        (" ~\u{a0}\u{e9}\u{fffd}", " ~\u{a0}\u{e9}\u{fffd}"),
    ] {
        let published = module.on_events(vec![Event::Connected(testing::client(id))]);
        assert_eq!(told(&published), [(format!("presence/{expected}").as_str(), "online")], "{id:?}");
    }
    assert_eq!(host.log(), []);
}

#[test]
fn an_id_too_long_for_a_topic_is_logged() {
    let host = Host::fresh();
    let module = module(r#"{"presence": "presence/{client}"}"#);
    assert_eq!(module.on_events(vec![Event::Connected(testing::client(&"/".repeat(30_000)))]), []);
    assert!(host.log()[0].1.starts_with("no presence for client"));
}

#[test]
fn a_wrong_configuration_is_refused_with_entry_and_field() {
    for (document, expected) in [
        (r#"{"rules": [{"filter": "a"}]}"#, "rules, entry 1: it decides nothing"),
        (r#"{"rules": [{"filter": "a+", "add_time": true}]}"#, "rules, entry 1, filter: `a+` is no topic filter: "),
        (r#"{"rules": [{"filter": "a", "least_delay": "1s"}]}"#, "rules, entry 1, least_delay: invalid type: string"),
        (r#"{"rule": []}"#, "rule: unknown field `rule`, expected `rules` or `presence`"),
        (r#"{"presence": "p"}"#, "presence: `p` lacks `{client}`"),
        (r#"{"presence": "p/{id}"}"#, "presence: `{id}` in `p/{id}` is not known here, only `{client}`, `{user}`"),
        (r#"{"presence": "p/#"}"#, "presence: `p/#` is no topic: "),
        (r#"{"presence": ""}"#, "presence: `` is no topic: it is empty"),
    ] {
        let refusal = testing::configure::<WillRules>(document).expect_err("a wrong configuration");
        assert!(refusal.reason.starts_with(&format!("configuration: {expected}")), "{document}: {}", refusal.reason);
    }
}
