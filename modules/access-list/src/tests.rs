//! Rows: who may do what, and what is said of a wrong configuration.

use pliant_guest::testing;

use super::*;
use Action::{Publish, Receive, Subscribe};

fn module(document: &str) -> AccessList {
    testing::configure(document).expect("a good configuration").0
}

fn client(id: &str, identity: Option<&str>) -> Client {
    Client { identity: identity.map(Into::into), ..testing::client(id) }
}

const RULES: &str = r##"{
    "groups": { "staff": ["ann", "bob"] },
    "rules": [
        { "allow": ["publish", "subscribe"], "groups": ["staff"], "topics": ["home/#"] },
        { "deny": ["publish", "receive"], "users": ["bob"], "topics": ["home/alarm/#"] },
        { "allow": ["publish", "subscribe"], "users": ["*"], "topics": ["users/%u/#", "devices/%c/+", "100%%/%u-%c"] },
        { "allow": ["subscribe"], "anonymous": true, "topics": ["news/+", "$SYS/#"] },
        { "allow": ["subscribe"], "clients": ["screen"], "topics": ["#"] },
        { "deny": ["subscribe"], "topics": ["#"], "listener": "closed" }
    ]
}"##;

#[test]
fn rules_decide_and_what_they_do_not_name_is_denied() {
    let module = module(RULES);
    let (ann, bob) = (client("c1", Some("ann")), client("c2", Some("bob")));
    let (cleo, nobody) = (client("c3", Some("cleo")), client("c4", None));
    let (screen, closed) = (client("screen", None), Client { listener: "closed".into(), ..ann.clone() });
    for (client, action, topic, expected) in [
        (&ann, Publish, "home/kitchen", true),
        (&ann, Publish, "home", true),
        (&ann, Publish, "homes", false),
        (&ann, Subscribe, "home/#", true),
        (&ann, Subscribe, "home/+/x", true),
        (&ann, Subscribe, "+/kitchen", false),
        (&ann, Subscribe, "#", false),
        (&ann, Receive, "home/alarm/1", true),
        (&bob, Publish, "home/kitchen", true),
        (&bob, Publish, "home/alarm/1", false),
        (&bob, Subscribe, "home/#", true),
        (&bob, Receive, "home/kitchen", true),
        (&bob, Receive, "home/alarm/1", false),
        (&cleo, Publish, "home/kitchen", false),
        (&cleo, Publish, "users/cleo/x", true),
        (&cleo, Publish, "users/ann/x", false),
        (&cleo, Subscribe, "users/+/x", false),
        (&cleo, Subscribe, "devices/c3/+", true),
        (&cleo, Subscribe, "devices/c3/#", false),
        (&cleo, Publish, "100%/cleo-c3", true),
        (&cleo, Publish, "news/1", false),
        (&nobody, Subscribe, "news/1", true),
        (&nobody, Subscribe, "news/+", true),
        (&nobody, Receive, "news/1", true),
        (&nobody, Publish, "news/1", false),
        (&nobody, Subscribe, "$SYS/broker", true),
        (&nobody, Publish, "users//x", false),
        (&screen, Subscribe, "#", true),
        (&screen, Receive, "$SYS/broker", true),
        (&screen, Publish, "home/kitchen", false),
        (&closed, Subscribe, "home/#", false),
        (&closed, Receive, "home/kitchen", false),
        (&closed, Receive, "$SYS/broker", false),
        (&closed, Publish, "home/kitchen", true),
    ] {
        let shown = format!("{:?} {action:?} {topic}", client.identity);
        assert_eq!(module.authorize(client, action, topic), Some(expected), "{shown}");
    }
}

/// S07: names are taken literally.
#[test]
fn a_name_that_looks_like_a_filter_gains_nothing() {
    let module = module(RULES);
    for name in ["#", "+", "a/b", "x-]", "%u", "ann/#", "$SYS"] {
        let client = client(name, Some(name));
        for topic in ["users/ann/x", "devices/c1/x", "users/a/b/x", "users/x", "devices/x"] {
            assert_eq!(module.authorize(&client, Publish, topic), Some(false), "{name} {topic}");
        }
        for filter in ["users/+/x", "users/#", "users/+/#", "devices/+/x", "devices/+/+", "devices/#", "#"] {
            assert_eq!(module.authorize(&client, Subscribe, filter), Some(false), "{name} {filter}");
        }
    }
    let odd = client("c", Some("x-]"));
    assert_eq!(module.authorize(&odd, Publish, "users/x-]/1"), Some(true));
}

/// S08, S09
#[test]
fn without_rules_or_names_everything_is_denied() {
    let nothing = module("{}");
    let patterns = module(r##"{"rules": [{"allow": ["publish", "subscribe"], "topics": ["u/%u/#", "%u", "c/%c"]}]}"##);
    for client in [client("", None), client("c", Some(""))] {
        for topic in ["u", "u/", "u//x", "", "c/"] {
            for action in [Publish, Subscribe, Receive] {
                assert_eq!(nothing.authorize(&client, action, topic), Some(false), "{topic}");
                assert_eq!(patterns.authorize(&client, action, topic), Some(false), "{topic}");
            }
        }
    }
}

#[test]
fn the_default_may_be_another_one() {
    for (document, expected) in [
        (r##"{"default": "allow"}"##, Some(true)),
        (r##"{"default": "ask"}"##, None),
        (r##"{"default": "deny"}"##, Some(false)),
        (r##"{"default": "allow", "rules": [{"deny": ["publish"], "topics": ["#"]}]}"##, Some(false)),
    ] {
        assert_eq!(module(document).authorize(&client("c", None), Publish, "a"), expected, "{document}");
    }
}

#[test]
fn what_is_the_operators_own_is_denied_only_by_name() {
    let own = |protocol| Client { protocol, ..client("m", None) };
    for (document, protocol, expected) in [
        ("{}", Protocol::Http, None),
        ("{}", Protocol::Module, None),
        (r##"{"rules": [{"deny": ["publish"], "topics": ["#"]}]}"##, Protocol::Http, None),
        (r##"{"rules": [{"deny": ["publish"], "topics": ["#"], "protocol": "http"}]}"##, Protocol::Http, Some(false)),
        (r##"{"rules": [{"deny": ["publish"], "topics": ["#"], "protocol": "http"}]}"##, Protocol::Module, None),
        ("{}", Protocol::Amqp, Some(false)),
    ] {
        assert_eq!(module(document).authorize(&own(protocol), Publish, "a"), expected, "{document} {protocol:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (document, expected) in [
        (r##"{"rules": [{"topics": ["a"]}]}"##, "rules, entry 1: give either `allow` or `deny`"),
        (
            r##"{"rules": [{"allow": ["publish"], "deny": ["publish"], "topics": ["a"]}]}"##,
            "rules, entry 1: give either",
        ),
        (r##"{"rules": [{"allow": [], "topics": ["a"]}]}"##, "rules, entry 1, allow: it names nothing"),
        (r##"{"rules": [{"allow": ["publish"], "topics": []}]}"##, "rules, entry 1, topics: it names no topic"),
        (
            r##"{"rules": [{"allow": ["publish"], "topics": ["a/#/b"]}]}"##,
            "rules, entry 1, topics: `a/#/b` is no filter",
        ),
        (
            r##"{"rules": [{"deny": ["subscribe"], "topics": ["$share/#"]}]}"##,
            "rules, entry 1, topics: `$share/#`: a shared subscription is asked about by its filter",
        ),
        (
            r##"{"rules": [{"allow": ["publish"], "topics": ["a/%x"]}]}"##,
            "rules, entry 1, topics: in `%x`, `%` is followed",
        ),
        (
            r##"{"rules": [{"allow": ["publish"], "topics": ["a"], "groups": ["g"]}]}"##,
            "rules, entry 1, groups: there is no group `g`",
        ),
        (
            r##"{"rules": [{"allow": ["publish"], "topics": ["a"], "protocol": "ftp"}]}"##,
            "rules, entry 1, protocol: `ftp`",
        ),
        (
            r##"{"rules": [{"allow": ["read"], "topics": ["a"]}]}"##,
            "rules, entry 1, allow, entry 1: unknown variant `read`",
        ),
        (
            r##"{"rules": [{"allow": ["publish"], "topics": ["a"], "user": "ann"}]}"##,
            "rules, entry 1, user: unknown field `user`",
        ),
        (r##"{"default": "maybe"}"##, "default: unknown variant `maybe`"),
    ] {
        let refusal = testing::configure::<AccessList>(document).expect_err(document);
        assert!(refusal.reason.starts_with(&format!("configuration: {expected}")), "{}", refusal.reason);
    }
}
