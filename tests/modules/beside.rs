//! The hooks beside the way of a message: copies, events, timers, translation.

use super::rig::{Rig, client, envelope, limits, message};
use OnFailure::{Bypass, Discard, Refuse};
use host::client::Departure;
use host::message::{Envelope, Guarantee, Message, RefusalKind, Time};
use host::sections::{Body, Sections, Value};
use host::topic::Limits as TopicLimits;
use host::wasm::{EventKinds, Happening, Leaves, Limits, Loss, OnFailure, Pulses};
use std::sync::Arc;

fn rig(policy: OnFailure, config: &str) -> Rig {
    let rig = Rig::new();
    rig.deploy("beside", "beside", 1, policy, config);
    rig
}

#[test]
fn a_copy_is_passed_changed_or_kept_back_for_one_subscriber() {
    let mut rig = rig(Refuse, r#"{"filters": ["seen/#"]}"#);
    let chain = rig.chain();
    assert!(chain.wants_delivery("seen/x") && !chain.wants_delivery("other"));
    assert_eq!(chain.delivery_generation(), rig.modules.delivery_generation());
    let mut leave = |id: &str, payload: &[u8]| {
        let subscriber = host::client::Client { id: id.into(), ..client() };
        chain.leaves(&mut rig.guests, &subscriber, &message("seen/x", payload), Guarantee::ExactlyOnce, true)
    };
    assert!(matches!(leave("ann", b"as it is"), Leaves::AsItIs));
    assert!(matches!(leave("blind", b"x"), Leaves::Not));
    let Leaves::Instead(changed) = leave("ann", b"x") else { panic!("it is changed") };
    assert_eq!(changed.payload(), b"x for ann at 2");
    let expected = envelope("seen/x");
    assert_eq!((changed.envelope(), changed.publisher()), (&expected, 7), "topic, guarantee and flag stay");
}

#[test]
fn a_failure_keeps_a_copy_back_for_later_discards_it_or_lets_it_pass() {
    for (policy, expected) in [(Refuse, "NotNow"), (Discard, "Not"), (Bypass, "AsItIs")] {
        let mut rig = rig(policy, "{}");
        let chain = rig.chain();
        let leaves = chain.leaves(&mut rig.guests, &client(), &message("a", b"trap"), Guarantee::AtMostOnce, false);
        assert_eq!(format!("{leaves:?}"), expected, "{policy:?}");
    }
}

#[test]
fn every_module_is_told_every_event_and_publishes_in_its_own_name() {
    let mut rig = rig(Refuse, "{}");
    rig.deploy("another", "beside", 2, Refuse, "{}");
    let chain = rig.chain();
    assert_eq!(chain.wants_events(), EventKinds::ALL);
    let client = Arc::new(client());
    let filter = host::topic::Filter::new("a/+", &host::topic::Limits::default()).unwrap();
    let old = Message::new(Envelope { hops: 3, ..envelope("lost/x") }, 0, b"");
    let happened = [
        Happening::Connected(client.clone()),
        Happening::Subscribed(client.clone(), filter.clone()),
        Happening::Unsubscribed(client.clone(), filter),
        Happening::Disconnected(client, Departure::KeepAliveExpired),
        Happening::Lost(old, Loss::QueueFull),
    ];
    let wishes = chain.tell(&mut rig.guests, &happened);
    let told: Vec<_> = wishes[..5].iter().map(|wish| String::from_utf8_lossy(wish.message.payload())).collect();
    assert_eq!(told, ["c1", "c1 a/+", "c1 a/+", "c1 keep-alive-expired", "lost/x Loss::QueueFull"]);
    assert!(wishes.iter().all(|wish| wish.message.envelope().hops == 4));
    let names: Vec<_> = wishes.iter().map(|wish| &**wish.module()).collect();
    assert_eq!(names, [["beside"; 5], ["another"; 5]].concat());
}

#[test]
fn a_chain_of_losses_ends_at_the_hop_limit() {
    let mut rig = rig(Refuse, "{}");
    let chain = rig.chain();
    let last = Message::new(Envelope { hops: limits().hops_max, ..envelope("lost") }, 0, b"");
    assert!(chain.tell(&mut rig.guests, &[Happening::Lost(last, Loss::Unroutable)]).is_empty());
    assert_eq!(rig.past_the_hop_limit(), 1);
}

/// Its clients choose how long their ids are, and its module makes topics of them.
#[test]
fn a_wish_past_the_operators_bounds_of_topics_comes_to_nothing_and_the_others_come_true() {
    let topics = TopicLimits { bytes_max: 10, ..TopicLimits::default() };
    let mut rig = Rig::with(Limits { topics, ..limits() });
    rig.deploy("beside", "beside", 1, Refuse, r#"{"filters": ["lost/#"]}"#);
    let unmet = |rig: &Rig| {
        let unmet = rig.modules.unmet_wishes();
        unmet.iter().filter(|(_, reason, _)| *reason == "topic").map(|(.., count)| count).sum::<u64>()
    };
    let lost = || Happening::Lost(message("lost/x", b""), Loss::Expired);
    for count in 1..=10 {
        let happened = [Happening::Connected(Arc::new(client())), lost()];
        let wishes = rig.chain().tell(&mut rig.guests, &happened);
        let topics: Vec<_> = wishes.iter().map(|wish| wish.message.topic().as_str()).collect();
        assert_eq!((topics, unmet(&rig)), (vec!["told/lost"], count));
    }
    assert_eq!(rig.modules.chain().generation(), 2, "nothing was taken out of the way");
    let topics = TopicLimits { levels_max: 1, ..TopicLimits::default() };
    let mut rig = Rig::with(Limits { topics, ..limits() });
    rig.deploy("beside", "beside", 1, Refuse, r#"{"tick_milliseconds": 1000}"#);
    let mut pulses = Pulses::default();
    for (now, count) in [(0, 0), (1_000, 1)] {
        assert!(rig.chain().tick(&mut rig.guests, &mut pulses, Time(now)).0.is_empty());
        assert_eq!(unmet(&rig), count);
    }
}

#[test]
fn a_response_topic_past_the_operators_bounds_is_left_out() {
    let topics = TopicLimits { levels_max: 2, ..TopicLimits::default() };
    let mut rig = Rig::with(Limits { topics, ..limits() });
    rig.deploy("beside", "beside", 1, Refuse, "{}");
    for (reply_to, expected) in [("a/b", Some("a/b")), ("a/b/c", None), (&*"a".repeat(70_000), None)] {
        let sections = Sections { reply_to: Some(reply_to.to_owned()), ..Sections::default() };
        let (envelope, _) = rig.chain().from_amqp(&mut rig.guests, "b", &sections).unwrap().expect("it translates");
        let response = envelope.properties.and_then(|properties| properties.response_topic);
        assert_eq!(response.as_deref(), expected);
    }
    let sections = Sections { reply_to: Some("a/#".to_owned()), ..Sections::default() };
    assert!(rig.chain().from_amqp(&mut rig.guests, "b", &sections).is_err(), "that is no topic");
}

#[test]
fn ticks_come_when_they_are_due_and_missed_ones_are_left_out() {
    let mut rig = rig(Refuse, r#"{"tick_milliseconds": 1000}"#);
    rig.deploy("hasty", "beside", 2, Refuse, r#"{"tick_milliseconds": 1}"#);
    let chain = rig.chain();
    let mut pulses = Pulses::default();
    let mut ticks = |now: u64| {
        let (wishes, next) = chain.tick(&mut rig.guests, &mut pulses, Time(now));
        (wishes.iter().map(|wish| wish.module().to_string()).collect::<Vec<_>>(), next.map(|at| at.0))
    };
    assert_eq!(ticks(0), (vec![], Some(Limits::default().tick_milliseconds_min)));
    assert_eq!(ticks(9).0, Vec::<String>::new());
    assert_eq!(ticks(10), (vec!["hasty".to_owned()], Some(20)));
    assert_eq!(ticks(5_000), (vec!["beside".to_owned(), "hasty".to_owned()], Some(5_010)));
    assert_eq!(ticks(5_010).0, ["hasty"]);
}

/// A tool that says the same configuration each second is not to keep a timer from ever ticking.
#[test]
fn a_timer_goes_on_over_versions_and_configurations() {
    let mut rig = rig(Refuse, r#"{"tick_milliseconds": 1000}"#);
    let mut pulses = Pulses::default();
    let mut ticks = |rig: &mut Rig, now: u64| {
        let (wishes, next) = rig.chain().tick(&mut rig.guests, &mut pulses, Time(now));
        (wishes.len(), next.map(|at| at.0))
    };
    let every = |rig: &Rig, milliseconds: u64| {
        rig.modules.configure("beside", &format!(r#"{{"tick_milliseconds": {milliseconds}}}"#)).unwrap();
    };
    assert_eq!(ticks(&mut rig, 0), (0, Some(1_000)));
    for now in [600, 900] {
        every(&rig, 1_000);
        assert_eq!(ticks(&mut rig, now), (0, Some(1_000)));
    }
    every(&rig, 1_000);
    assert_eq!(ticks(&mut rig, 1_100), (1, Some(2_100)));
    // Another pulse counts from the last tick, and one that is over comes at once.
    every(&rig, 3_000);
    assert_eq!(ticks(&mut rig, 1_200), (0, Some(4_100)));
    every(&rig, 500);
    assert_eq!(ticks(&mut rig, 1_300), (0, Some(1_600)));
    every(&rig, 100);
    assert_eq!(ticks(&mut rig, 1_400), (1, Some(1_500)));
    // Switched off and on it begins anew.
    rig.modules.set_enabled("beside", false).unwrap();
    assert_eq!(ticks(&mut rig, 1_450), (0, None));
    rig.modules.set_enabled("beside", true).unwrap();
    assert_eq!(ticks(&mut rig, 9_000), (0, Some(9_100)));
}

#[test]
fn messages_cross_to_amqp_and_back() {
    let mut rig = rig(Refuse, "{}");
    let chain = rig.chain();
    assert!(chain.wants_translation());
    let form = chain.to_amqp(&mut rig.guests, "shown/as", &message("a", b"xy")).unwrap().expect("a module translates");
    assert_eq!((form.head.to.as_deref(), form.head.durable, form.body), (Some("shown/as"), true, None));
    assert_eq!(form.head.message_id, Some(Value::Uuid([7; 16])));
    let refused = chain.to_amqp(&mut rig.guests, "a", &message("a", b"")).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::PayloadInvalid);
    let wrong = chain.to_amqp(&mut rig.guests, "a", &message("a", b"1")).unwrap_err();
    assert_eq!((wrong.kind, rig.guests.failures()), (RefusalKind::Unavailable, 1), "a UUID of 3 bytes");
    for (body, payload) in [
        (Body::Data(b"data".to_vec()), "data"),
        (Body::Value(Value::Int(-5)), "AmqpValue::Int(-5)"),
        (Body::Sequence(vec![b"a".to_vec(), b"b".to_vec()]), "ab"),
    ] {
        let application_properties = vec![("unit".to_owned(), Value::Symbol("C".to_owned()))];
        let sections = Sections { body, application_properties, ..Sections::default() };
        let (envelope, bytes) = chain.from_amqp(&mut rig.guests, "b", &sections).unwrap().expect("a module translates");
        assert_eq!((envelope.topic.as_str(), bytes), ("b", payload.as_bytes().to_vec()));
        assert_eq!(envelope.properties.unwrap().user, [("unit".into(), "AmqpValue::Symbol(\"C\")".into())]);
    }
}
