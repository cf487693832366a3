//! Rows: names, filters and topics through rules and mount points.

use pliant_guest::testing;

use super::*;

const HOME: &str = r#"{"rules": [{"from": "home/{room}/{rest...}", "to": "site/1/{room}/{rest...}"}]}"#;

fn module(document: &str) -> TopicRules {
    testing::configure(document).expect("a good configuration").0
}

fn anonymous() -> Scope {
    testing::scope(None)
}

fn amqp() -> Scope {
    Scope { protocol: Protocol::Amqp, listener: "amqp".into(), ..anonymous() }
}

/// The filter, or the beginning of the reason.
fn subscribe(module: &TopicRules, scope: &Scope, filter: &str) -> String {
    module.subscribe_filter(scope, filter).unwrap_or_else(|refusal| refusal.reason)
}

fn publish(module: &TopicRules, scope: &Scope, name: &str) -> String {
    module.publish_topic(scope, name).unwrap_or_else(|refusal| refusal.reason)
}

#[test]
fn without_rules_every_name_is_its_topic() {
    let module = module("{}");
    for name in ["a", "a/b/c", "/", "$SYS/x", "home/kitchen/t", "/queues/q"] {
        assert_eq!(publish(&module, &anonymous(), name), name);
        assert_eq!(module.deliver_name(&anonymous(), name), name);
    }
    for filter in ["#", "+/a/#", "$SYS/#", "a"] {
        assert_eq!(subscribe(&module, &anonymous(), filter), filter);
    }
}

#[test]
fn names_go_forward_and_topics_come_back() {
    let module = module(HOME);
    for (name, topic) in [
        ("home/kitchen/t", "site/1/kitchen/t"),
        ("home/kitchen/a/b/c", "site/1/kitchen/a/b/c"),
        ("home/kitchen", "site/1/kitchen"),
        ("home//t", "site/1//t"),
        ("home/kitchen/", "site/1/kitchen/"),
        ("home", "home"),
        ("house/kitchen/t", "house/kitchen/t"),
    ] {
        assert_eq!(publish(&module, &anonymous(), name), topic);
        assert_eq!(module.deliver_name(&anonymous(), topic), name);
    }
}

#[test]
fn filters_go_forward_where_one_filter_does_it() {
    let module = module(HOME);
    for (filter, expected) in [
        ("home/kitchen/t", "site/1/kitchen/t"),
        ("home/+/t", "site/1/+/t"),
        ("home/+/#", "site/1/+/#"),
        ("home/kitchen/#", "site/1/kitchen/#"),
        ("home/kitchen/+/x", "site/1/kitchen/+/x"),
        ("home/+", "site/1/+"),
        ("home/#", "site/1/+/#"),
        ("home", "home"),
        ("other/#", "other/#"),
        ("site/1/#", "site/1/#"),
        // All names and all topics of the rule are in it.
        ("#", "#"),
        ("+/+/#", "+/+/#"),
    ] {
        assert_eq!(subscribe(&module, &anonymous(), filter), expected);
    }
}

#[test]
fn a_filter_with_more_than_one_meaning_is_refused() {
    let two = r#"{"rules": [
        {"from": "home/attic/{rest...}", "to": "site/9/{rest...}"},
        {"from": "home/{room}/{rest...}", "to": "site/1/{room}/{rest...}"},
        {"from": "yard", "to": "site/yard"},
        {"from": "yard/{tree}/{rest...}", "to": "trees/{tree}/{rest...}"}
    ]}"#;
    let module = module(two);
    for (filter, expected) in [
        ("home/attic/#", "site/9/#"),
        ("home/kitchen/#", "site/1/kitchen/#"),
        ("home/+/t", "`home/+/t` matches names of rule 1 (`home/attic/{rest...}`) and names of no rule or another one"),
        ("home/#", "`home/#` matches names of rule 1 (`home/attic/{rest...}`) and"),
        ("+/kitchen/t", "`+/kitchen/t` matches names of rule 2 (`home/{room}/{rest...}`) and"),
        ("yard/#", "`yard/#` matches names of rule 3 (`yard`) and"),
        ("yard/oak/#", "trees/oak/#"),
    ] {
        let answer = subscribe(&module, &anonymous(), filter);
        assert!(answer.starts_with(expected), "{filter}: {answer}");
    }
    let late = r#"{"rules": [
        {"from": "yard/{tree}/{rest...}", "to": "trees/{tree}/{rest...}"},
        {"from": "yard", "to": "site/yard"}
    ]}"#;
    let answer = subscribe(&self::module(late), &anonymous(), "yard/#");
    assert!(answer.starts_with("`yard/#` matches names of rule 2 (`yard`) and names of rule 1"), "{answer}");
}

#[test]
fn the_first_rule_that_fits_counts_both_ways() {
    let module = module(
        r#"{"rules": [
            {"from": "home/attic/{rest...}", "to": "site/9/{rest...}"},
            {"from": "home/{room}/{rest...}", "to": "site/1/{room}/{rest...}"}
        ]}"#,
    );
    assert_eq!(publish(&module, &anonymous(), "home/attic/t"), "site/9/t");
    assert_eq!(module.deliver_name(&anonymous(), "site/9/t"), "home/attic/t");
    assert_eq!(module.deliver_name(&anonymous(), "site/1/hall/t"), "home/hall/t");
    // No name leads to this topic, so it is shown as it is.
    assert_eq!(module.deliver_name(&anonymous(), "site/1/attic/t"), "site/1/attic/t");
}

#[test]
fn names_in_braces_may_change_places() {
    let module = module(r#"{"rules": [{"from": "{kind}/of/{id}", "to": "things/{id}/{kind}"}]}"#);
    assert_eq!(publish(&module, &anonymous(), "state/of/7"), "things/7/state");
    assert_eq!(subscribe(&module, &anonymous(), "+/of/7"), "things/7/+");
    assert_eq!(module.deliver_name(&anonymous(), "things/7/state"), "state/of/7");
}

#[test]
fn topics_of_the_broker_are_kept_apart() {
    let module = module(
        r#"{"rules": [{"from": "in/{rest...}", "to": "{rest...}"}, {"from": "about/{rest...}", "to": "$SYS/{rest...}"}]}"#,
    );
    for (name, expected) in [
        ("in/a/b", "a/b"),
        ("in/$SYS/x", "`in/$SYS/x` stands for `$SYS/x`, which will not do: topics that begin with `$` are"),
        ("in", "`in` stands for ``, which will not do: it is empty"),
        ("about/x", "$SYS/x"),
        ("$SYS/x", "$SYS/x"),
    ] {
        let answer = publish(&module, &anonymous(), name);
        assert!(answer.starts_with(expected), "{name}: {answer}");
    }
    assert!(subscribe(&module, &anonymous(), "in/$SYS/#").contains("will not do"));
    assert_eq!(module.deliver_name(&anonymous(), "$SYS/x"), "about/x");
}

#[test]
fn rules_hold_for_the_listener_protocol_and_user_they_name() {
    let module = module(
        r#"{"rules": [
            {"from": "x/{a}", "to": "l/{a}", "listener": "tls"},
            {"from": "x/{a}", "to": "p/{a}", "protocol": "amqp"},
            {"from": "x/{a}", "to": "u/{a}", "user": "ann"}
        ]}"#,
    );
    let tls = Scope { listener: "tls".into(), ..anonymous() };
    for (scope, topic) in [
        (tls, "l/1"),
        (amqp(), "p/1"),
        (testing::scope(Some("ann")), "u/1"),
        (testing::scope(Some("bob")), "x/1"),
        (anonymous(), "x/1"),
    ] {
        assert_eq!(publish(&module, &scope, "x/1"), topic);
        assert_eq!(module.deliver_name(&scope, topic), "x/1");
    }
}

#[test]
fn mount_points_are_put_before_and_taken_off() {
    let module = module(r#"{"mount": "tenant/{user}/"}"#);
    let ann = testing::scope(Some("ann"));
    assert_eq!(publish(&module, &ann, "a/b"), "tenant/ann/a/b");
    assert_eq!(subscribe(&module, &ann, "#"), "tenant/ann/#");
    assert_eq!(subscribe(&module, &ann, "$SYS/#"), "tenant/ann/$SYS/#");
    assert_eq!(module.deliver_name(&ann, "tenant/ann/a/b"), "a/b");
    assert_eq!(module.deliver_name(&ann, "tenant/bob/a/b"), "tenant/bob/a/b");
}

#[test]
fn a_mount_point_refuses_who_does_not_fit() {
    let module = module(r#"{"mount": "tenant/{user}/"}"#);
    for (user, expected) in [
        (None, "topics here belong to a user, and this client has no user name"),
        (Some("+"), "the user name `+` cannot stand in a topic"),
        (Some("#"), "the user name `#` cannot stand in a topic"),
        (Some("a/b"), "the user name `a/b` cannot stand in a topic"),
        (Some(""), "the user name `` cannot stand in a topic"),
    ] {
        let scope = testing::scope(user);
        for answer in [module.publish_topic(&scope, "x"), module.subscribe_filter(&scope, "x")] {
            assert_eq!(answer, Err(Refusal::not_authorized(expected)), "{user:?}");
        }
    }
    let bare = self::module(r#"{"mount": "{user}/"}"#);
    assert!(bare.publish_topic(&testing::scope(Some("$SYS")), "x").is_err());
}

#[test]
fn rules_work_within_the_mount_point() {
    let module = module(
        r#"{"rules": [{"from": "home/{rest...}", "to": "site/{rest...}"}],
            "mounts": [{"prefix": "open/{listener}/{protocol}/", "listener": "mqtt"}], "mount": "else/"}"#,
    );
    assert_eq!(publish(&module, &anonymous(), "home/t"), "open/mqtt/mqtt/site/t");
    assert_eq!(subscribe(&module, &anonymous(), "home/#"), "open/mqtt/mqtt/site/#");
    assert_eq!(module.deliver_name(&anonymous(), "open/mqtt/mqtt/site/t"), "home/t");
    assert_eq!(publish(&module, &amqp(), "t"), "else/t");
}

#[test]
fn amqp_addresses_pass_for_amqp_alone() {
    let home = module(r#"{"rules": [{"from": "{rest...}", "to": "all/{rest...}"}]}"#);
    for address in ["/queues/orders", "/exchanges/amq.topic/a.b", "/exchanges/amq.fanout"] {
        assert_eq!(publish(&home, &amqp(), address), address);
        assert_eq!(subscribe(&home, &amqp(), address), address);
        assert_eq!(home.deliver_name(&amqp(), address), address);
        assert_eq!(publish(&home, &anonymous(), address), format!("all/{address}"));
    }
    assert_eq!(publish(&home, &amqp(), "/queues/"), "the address `/queues/` lacks a name; its form is /queues/NAME");
    let mounted = module(r#"{"mount": "t/"}"#);
    assert_eq!(
        publish(&mounted, &amqp(), "/queues/q"),
        "the address `/queues/q` lies outside of the mount point of this client"
    );
}

#[test]
fn what_is_no_topic_is_refused() {
    let module = module(r#"{"mount": "tenant/"}"#);
    let long = "x".repeat(65_530);
    for name in ["a/+", "#", "a\0b", long.as_str()] {
        assert_eq!(module.publish_topic(&anonymous(), name).unwrap_err().kind, RefusalKind::TopicInvalid);
    }
    for filter in ["a#", "", long.as_str()] {
        assert_eq!(module.subscribe_filter(&anonymous(), filter).unwrap_err().kind, RefusalKind::TopicInvalid);
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_entry_and_field() {
    for (document, expected) in [
        (r#"{"rules": [{"from": "a"}]}"#, "rules, entry 1: missing field `to`"),
        (r#"{"rules": [{"from": "a", "to": 7}]}"#, "rules, entry 1, to: invalid type: integer `7`, expected a string"),
        (r#"{"rules": [{"form": "a"}]}"#, "rules, entry 1, form: unknown field `form`, expected one of `from`, `to`"),
        (r#"{"rules": [{"from": "", "to": "a"}]}"#, "rules, entry 1, from: it is empty"),
        (r#"{"rules": [{"from": "a/+", "to": "a"}]}"#, "rules, entry 1, from: in `a/+`, `+` holds a wildcard"),
        (r#"{"rules": [{"from": "a", "to": "b{x}"}]}"#, "rules, entry 1, to: in `b{x}`, `b{x}` mixes braces and text"),
        (r#"{"rules": [{"from": "{r...}/a", "to": "a"}]}"#, "rules, entry 1, from: in `{r...}/a`, `...` is allowed"),
        (r#"{"rules": [{"from": "{x}/{x}", "to": "a"}]}"#, "rules, entry 1, from: in `{x}/{x}`, a name in braces"),
        (r#"{"rules": [{"from": "{}", "to": "a"}]}"#, "rules, entry 1, from: in `{}`, `{}` needs a name"),
        (r#"{"rules": [{"from": "a/{x}", "to": "b"}]}"#, "rules, entry 1, to: `{x}` of `from` is missing"),
        (r#"{"rules": [{"from": "a/{x}", "to": "b/{x...}"}]}"#, "rules, entry 1, to: `{x}` of `from` is missing"),
        (r#"{"rules": [{"from": "a", "to": "b/{x}"}]}"#, "rules, entry 1, to: `{x}` does not stand in `from`"),
        (
            r#"{"rules": [{"from": "a/{x}", "to": "z/{x}"}, {"from": "b/{x}", "to": "z/{x}"}]}"#,
            "rules, entry 2, to: it may lead to the same topic as entry 1",
        ),
        (
            r#"{"rules": [{"from": "a", "to": "b", "protocol": "mqt"}]}"#,
            "rules, entry 1, protocol: `mqt` is no protocol",
        ),
        (r#"{"mount": "tenant"}"#, "mount: `tenant` must end with `/`"),
        (r#"{"mount": "tenant/+/"}"#, "mount: `tenant/+/` must not hold `+`"),
        (r#"{"mount": "tenant/{usr}/"}"#, "mount: `{usr}` in `tenant/{usr}/` is not known here"),
        (r#"{"mounts": [{"prefix": "a/"}, {"prefix": "b"}]}"#, "mounts, entry 2, prefix: `b` must end with `/`"),
    ] {
        let refusal = testing::configure::<TopicRules>(document).expect_err("a wrong configuration");
        assert!(refusal.reason.starts_with(&format!("configuration: {expected}")), "{document}: {}", refusal.reason);
    }
}

#[test]
fn rules_for_different_clients_may_share_a_topic() {
    module(
        r#"{"rules": [
            {"from": "a/{x}", "to": "z/{x}", "listener": "one"},
            {"from": "b/{x}", "to": "z/{x}", "listener": "two"}
        ]}"#,
    );
}
