//! What modules may decide, and how several of them follow each other.

use super::rig::{Rig, client, envelope, limits, message, property, scope};
use OnFailure::{Bypass, Refuse};
use host::client::Departure;
use host::message::{Envelope, Message, Properties, RefusalKind, Time, Will};
use host::topic::Limits as TopicLimits;
use host::wasm::{Action, Chain, Credentials, Guests, Limits, OnFailure, Outcome, Replay, RetainAsk, Retention};

#[test]
fn without_modules_everything_stays_as_it_is() {
    let mut rig = Rig::new();
    for chain in [Chain::empty(), rig.chain()] {
        assert_eq!(chain.publish_topic(&mut rig.guests, &scope(), "a"), Ok(None));
        assert_eq!(chain.subscribe_filter(&mut rig.guests, &scope(), "a/#"), Ok(None));
        assert_eq!(chain.deliver_name(&mut rig.guests, &scope(), "a"), None);
        assert!(!chain.wants_routing("a") && !chain.wants_replay() && !chain.wants_mapping() && !chain.wants_access());
        assert_eq!(chain.wants_retain("a", true), RetainAsk::Never);
    }
    assert_eq!(rig.routed("a"), "pass a");
}

#[test]
fn names_are_mapped_in_order_and_shown_in_reverse() {
    let mut rig = Rig::new();
    rig.deploy("second", "renames", 2, Refuse, r#"{"prefix": "b/"}"#);
    rig.deploy("first", "renames", 1, Refuse, r#"{"prefix": "a/"}"#);
    let chain = rig.chain();
    let guests = &mut rig.guests;
    assert_eq!(chain.publish_topic(guests, &scope(), "x"), Ok(Some("b/a/x".to_owned())));
    assert_eq!(chain.subscribe_filter(guests, &scope(), "+/x/#"), Ok(Some("b/a/+/x/#".to_owned())));
    assert_eq!(chain.deliver_name(guests, &scope(), "b/a/x"), Some("x".to_owned()));
    assert_eq!(chain.deliver_name(guests, &scope(), "other"), None);
    assert_eq!(chain.publish_topic(guests, &scope(), "who"), Ok(Some("b/mqtt/ann".to_owned())));
    let refusal = chain.publish_topic(guests, &scope(), "forbidden").unwrap_err();
    assert_eq!((refusal.kind, &*refusal.reason), (RefusalKind::TopicInvalid, "forbidden"));
}

#[test]
fn names_that_are_no_topics_are_the_modules_fault() {
    for (policy, expected) in [(Refuse, Err(RefusalKind::Unavailable)), (Bypass, Ok(None))] {
        let mut rig = Rig::new();
        rig.deploy("names", "renames", 1, policy, r#"{"prefix": "a/"}"#);
        let chain = rig.chain();
        let too_long = Err(RefusalKind::TopicInvalid);
        for (failures, name, expected) in [(1, "wild", &expected), (1, "long", &too_long), (2, "forever", &expected)] {
            let answer = chain.publish_topic(&mut rig.guests, &scope(), name);
            assert_eq!(&answer.map_err(|refusal| refusal.kind), expected, "{name}");
            assert_eq!(rig.guests.failures(), failures, "{name}");
        }
        assert_eq!(chain.publish_topic(&mut rig.guests, &scope(), "x"), Ok(Some("a/x".to_owned())));
    }
}

#[test]
fn a_routing_module_has_the_last_word_on_a_message() {
    for (config, expected) in [
        (r#"{}"#, "pass t"),
        (r#"{"verdict": "readdress", "topic": "u"}"#, "pass u"),
        (r#"{"verdict": "replace", "topic": "v", "payload": "new"}"#, "pass v"),
        (r#"{"verdict": "discard"}"#, "discard"),
        (r#"{"verdict": "refuse", "payload": "why"}"#, "refuse QuotaExceeded"),
        (r#"{"verdict": "readdress", "topic": "a/#"}"#, "refuse Unavailable"),
        (r#"{"verdict": "replace", "topic": ""}"#, "refuse Unavailable"),
        (r#"{"filters": ["other/+"], "verdict": "discard"}"#, "pass t"),
        (r#"{"filters": ["other/+", "t/#"], "verdict": "discard"}"#, "discard"),
    ] {
        let mut rig = Rig::new();
        rig.deploy("r", "router", 1, Refuse, config);
        assert_eq!(rig.routed("t"), expected, "{config}");
    }
}

#[test]
fn what_passes_unchanged_is_the_same_message_and_a_new_envelope_keeps_the_payload() {
    let mut rig = Rig::new();
    rig.deploy("r", "router", 1, Refuse, r#"{"verdict": "readdress", "topic": "u"}"#);
    let properties = Properties {
        content_type: Some("text/plain".into()),
        payload_is_text: Some(false),
        response_topic: Some("re".into()),
        correlation_data: Some(b"\x00\x01".as_slice().into()),
        user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
    };
    let sent =
        Envelope { expires: Some(Time(1_000_000 + 2_500)), properties: Some(properties.into()), ..envelope("t") };
    let chain = rig.chain();
    let verdict = chain.route(&mut rig.guests, &client(), Message::new(sent.clone(), 7, b"payload"));
    let Outcome::Pass(message) = verdict.outcome else { panic!("{verdict:?}") };
    assert_eq!(message.envelope(), &Envelope { topic: envelope("u").topic, ..sent });
    assert_eq!((message.payload(), message.publisher()), (&b"payload"[..], 7));
}

#[test]
fn modules_see_what_the_former_made_of_a_message_and_payloads_can_be_read_in_part() {
    let mut rig = Rig::new();
    rig.deploy("a", "router", 1, Refuse, r#"{"verdict": "replace", "topic": "u", "payload": "héllo"}"#);
    rig.deploy("b", "router", 2, Refuse, r#"{"verdict": "measure", "filters": ["u"]}"#);
    let verdict = rig.route("t", b"");
    assert_eq!(property(&verdict, "bytes").as_deref(), Some("6"));
    rig.modules.remove("a").unwrap();
    rig.modules.configure("b", r#"{"verdict": "first-bytes"}"#).unwrap();
    assert_eq!(property(&rig.route("t", b"abcdef"), "bytes").as_deref(), Some("bc"));
    assert_eq!(property(&rig.route("t", b"a"), "bytes").as_deref(), Some(""));
}

#[test]
fn wishes_are_one_hop_older_and_end_at_the_hop_limit() {
    let mut rig = Rig::with(Limits { hops_max: 2, ..limits() });
    rig.deploy("r", "router", 1, Refuse, r#"{"topic": "wish", "payload": "w", "also": 2}"#);
    let mut message = message("t", b"");
    for (hops, refused) in [(1, 0), (2, 0)] {
        let verdict = rig.chain().route(&mut rig.guests, &client(), message);
        let seen: Vec<_> = verdict
            .wishes
            .iter()
            .map(|w| (w.message.envelope().hops, w.message.payload(), w.message.publisher()))
            .collect();
        assert_eq!(seen, [(hops, &b"w"[..], 0), (hops, &b"w"[..], 0)]);
        assert_eq!(rig.past_the_hop_limit(), refused);
        message = verdict.wishes[0].message.clone();
    }
    let verdict = rig.chain().route(&mut rig.guests, &client(), message);
    assert!(verdict.wishes.is_empty() && matches!(verdict.outcome, Outcome::Pass(_)));
    assert_eq!(rig.past_the_hop_limit(), 2);
}

#[test]
fn wishes_go_with_a_discarded_message_and_not_with_a_refused_one() {
    for (verdict, wishes) in [("discard", 1), ("refuse", 0)] {
        let mut rig = Rig::new();
        let config = format!(r#"{{"verdict": "{verdict}", "topic": "wish", "also": 1}}"#);
        rig.deploy("r", "router", 1, Refuse, &config);
        assert_eq!(rig.route("t", b"").wishes.len(), wishes, "{verdict}");
    }
}

#[test]
fn more_or_larger_wishes_than_allowed_are_a_failure() {
    let limits = Limits { wishes_max: 3, wish_bytes_max: 100, ..limits() };
    for (config, expected) in [
        (r#"{"topic": "w", "also": 3}"#, "pass t"),
        (r#"{"topic": "w", "also": 4}"#, "refuse Unavailable"),
        (r#"{"topic": "w", "also": 100000}"#, "refuse Unavailable"),
        (r#"{"topic": "w", "also": 3, "payload": "01234567890123456789012345678901234567890"}"#, "refuse Unavailable"),
    ] {
        let mut rig = Rig::with(limits);
        rig.deploy("r", "router", 1, Refuse, config);
        assert_eq!(rig.routed("t"), expected, "{config}");
    }
}

#[test]
fn the_first_retain_policy_with_an_opinion_decides() {
    let mut rig = Rig::new();
    rig.deploy("a", "answers", 1, Refuse, r#"{"by_topic": true}"#);
    let chain = rig.chain();
    assert_eq!(chain.wants_retain("t", false), RetainAsk::Never);
    assert_eq!(chain.wants_retain("t", true), RetainAsk::PerTopic);
    for (config, asked, expected) in [
        (r#"{"retention": "store"}"#, RetainAsk::Each, Ok(Retention::Store(None))),
        (r#"{"retention": "store-60", "by_topic": true}"#, RetainAsk::PerTopic, Ok(Retention::Store(Some(60)))),
        (r#"{"retention": "leave", "unflagged": []}"#, RetainAsk::Each, Ok(Retention::Leave)),
        (r#"{"retention": "delete"}"#, RetainAsk::Each, Ok(Retention::Delete)),
        (r#"{"retention": "refuse"}"#, RetainAsk::Each, Err(RefusalKind::NotAuthorized)),
        (r#"{}"#, RetainAsk::Each, Ok(Retention::AsFlagged)),
    ] {
        rig.deploy("b", "answers", 2, Refuse, config);
        let chain = rig.chain();
        assert_eq!(chain.wants_retain("t", true), asked, "{config}");
        let flagged = Message::new(Envelope { retain: true, ..envelope("t") }, 0, b"x");
        let answer = chain.retain(&mut rig.guests, &client(), &flagged).map_err(|refusal| refusal.kind);
        assert_eq!(answer, expected, "{config}");
    }
}

#[test]
fn unflagged_messages_are_shown_where_the_manifest_asks_for_them() {
    let mut rig = Rig::new();
    rig.deploy("a", "answers", 1, Refuse, r#"{"retention": "store", "unflagged": ["keep/#"]}"#);
    let chain = rig.chain();
    for (topic, asked, expected) in
        [("keep/a", RetainAsk::Each, Retention::Store(None)), ("a", RetainAsk::Never, Retention::AsFlagged)]
    {
        assert_eq!(chain.wants_retain(topic, false), asked);
        assert_eq!(chain.retain(&mut rig.guests, &client(), &message(topic, b"")), Ok(expected));
    }
}

#[test]
fn the_first_policy_that_says_less_than_all_decides_what_is_replayed() {
    let mut rig = Rig::new();
    rig.deploy("a", "answers", 1, Refuse, "{}");
    for (config, expected) in
        [("{}", Replay::All), (r#"{"newest": 3}"#, Replay::Newest(3)), (r#"{"newest": 0}"#, Replay::None)]
    {
        rig.deploy("b", "answers", 2, Refuse, config);
        let chain = rig.chain();
        assert!(chain.wants_replay());
        assert_eq!(chain.replay(&mut rig.guests, &client(), "a/#", 9), expected);
    }
}

#[test]
fn wills_pass_through_the_modules_when_left_and_when_due() {
    let mut rig = Rig::new();
    rig.deploy("a", "answers", 1, Refuse, r#"{"beside": ["gone/a"]}"#);
    rig.deploy("b", "answers", 2, Refuse, "{}");
    let chain = rig.chain();
    let will = Will { message: message("w", b"bye"), delay_seconds: 5 };
    let kept = chain.will_registered(&mut rig.guests, &client(), will).unwrap().unwrap();
    assert_eq!((kept.delay_seconds, kept.message.topic().as_str(), kept.message.payload()), (7, "w", &b"bye"[..]));
    let due = chain.will_due(&mut rig.guests, &client(), kept, Departure::KeepAliveExpired);
    let due: Vec<_> = due.iter().map(|m| (m.topic().as_str().to_owned(), m.payload().to_vec())).collect();
    assert_eq!(due, [("w".into(), b"bye".to_vec()), ("gone/a".into(), b"c1 Departure::KeepAliveExpired".to_vec())]);
}

#[test]
fn what_is_published_beside_a_will_under_too_deep_a_topic_comes_to_nothing() {
    let mut rig = Rig::with(Limits { topics: TopicLimits { levels_max: 2, ..TopicLimits::default() }, ..limits() });
    rig.deploy("a", "answers", 1, Refuse, r#"{"beside": ["gone/a/b", "gone/a"]}"#);
    let will = Will { message: message("w", b"bye"), delay_seconds: 0 };
    let due = rig.chain().will_due(&mut rig.guests, &client(), will, Departure::Clean);
    assert_eq!(due.iter().map(|message| message.topic().as_str()).collect::<Vec<_>>(), ["w", "gone/a"]);
    assert!(rig.modules.unmet_wishes().iter().any(|(_, reason, count)| (*reason, *count) == ("topic", 1)));
}

#[test]
fn a_will_can_be_dropped_or_refused() {
    for (config, expected) in [(r#"{"will": "none"}"#, Ok(false)), (r#"{"will": "refuse"}"#, Err("no".to_owned()))] {
        let mut rig = Rig::new();
        rig.deploy("a", "answers", 1, Refuse, config);
        let will = Will { message: message("w", b""), delay_seconds: 0 };
        let answer = rig.chain().will_registered(&mut rig.guests, &client(), will);
        assert_eq!(answer.map(|will| will.is_some()).map_err(|refusal| refusal.reason), expected);
    }
}

#[test]
fn access_is_decided_by_the_first_opinion_and_a_failure_is_a_no() {
    let mut rig = Rig::new();
    rig.deploy("g", "guards", 1, Bypass, "{}");
    let (chain, who) = (rig.chain(), client());
    let guests: &mut Guests = &mut rig.guests;
    for (username, password, expected) in [
        (None, None, Ok(None)),
        (Some("ann"), Some(&b"nna"[..]), Ok(Some("ann".to_owned()))),
        (Some("ann"), Some(&b"ann"[..]), Err(RefusalKind::NotAuthorized)),
        (Some("ann"), None, Err(RefusalKind::NotAuthorized)),
        (Some(""), Some(&b""[..]), Err(RefusalKind::Unavailable)),
    ] {
        let credentials = Credentials { client: &who, username, password, certificate_subject: None };
        assert_eq!(chain.authenticate(guests, credentials).map_err(|refusal| refusal.kind), expected, "{username:?}");
    }
    for (action, topic, expected) in [
        (Action::Publish, "open/a", Some(true)),
        (Action::Publish, "a", Some(false)),
        (Action::Subscribe, "a", None),
        (Action::Receive, "trap", Some(false)),
    ] {
        assert_eq!(chain.authorize(guests, &who, action, topic), expected, "{action:?} {topic}");
    }
}

#[test]
fn a_trace_tells_each_decision_with_module_version_and_time() {
    let mut rig = Rig::new();
    rig.deploy("names", "renames", 1, Refuse, r#"{"prefix": "a/"}"#);
    rig.deploy("router", "router", 1, Refuse, r#"{"verdict": "readdress", "topic": "u", "also": 1}"#);
    rig.guests.trace = Some(Vec::new());
    let chain = rig.chain();
    chain.publish_topic(&mut rig.guests, &scope(), "t").unwrap();
    chain.publish_topic(&mut rig.guests, &scope(), "wild").unwrap_err();
    rig.route("t", b"abc");
    let trace = rig.guests.trace.take().unwrap();
    let told: Vec<_> = trace.iter().map(|d| (d.hook, &*d.module, d.version, d.answer.as_str())).collect();
    let wild = "failed: bad answer: \"a/#\": a topic name must not contain the wildcards + and #";
    let on = "pass on \"u\" with 3 bytes, and 1 more to publish";
    let expected = [
        ("topic-mapping.publish-topic", "names", 1, "\"a/t\""),
        ("topic-mapping.publish-topic", "names", 1, wild),
        ("routing.on-publish", "router", 1, on),
    ];
    assert_eq!(told, expected);
    assert!(trace.iter().all(|decision| decision.generation == 3 && decision.microseconds > 0.0));
}
