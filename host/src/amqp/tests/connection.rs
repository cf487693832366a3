//! Protocol headers, SASL, open and close, and time.

use super::raw::*;
use super::rig::{Rig, Said, profile};
use crate::amqp::{Action, Limits, Profile, SaslOutcome, Step};
use fe2o3_amqp_types::performatives::Performative;
use std::sync::Arc;

#[test]
fn a_pipelined_opening_is_answered_in_order() {
    let mut rig = Rig::new();
    let bytes = [AMQP, &open("client"), &begin(7), &close()].concat();
    let actions = rig.feed(&bytes).unwrap();
    assert!(matches!(actions[..], [Action::Closed { error: None }]));
    let said = rig.said();
    assert!(matches!(said[0], Said::Header(0)));
    let Said::Amqp(0, Performative::Open(open), _) = &said[1] else { panic!("{said:?}") };
    assert_eq!((open.container_id.as_str(), open.max_frame_size.0, open.channel_max.0), ("broker", 131_072, 255));
    assert_eq!(open.idle_time_out, Some(60_000));
    let Said::Amqp(0, Performative::Begin(begin), _) = &said[2] else { panic!("{said:?}") };
    assert_eq!((begin.remote_channel, begin.handle_max.0), (Some(7), 1023));
    assert!(matches!(said[3], Said::Amqp(0, Performative::Close(_), _)));
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut rig = Rig::new();
    let bytes = [AMQP, &open("client"), &begin(0), &close()].concat();
    let mut held = Vec::new();
    for byte in bytes {
        held.push(byte);
        match rig.machine.receive(rig.now, &held, &mut rig.out).unwrap() {
            Step::Frame { length, action } => {
                assert_eq!(length, held.len());
                if let Some(Action::Open(_)) = action {
                    rig.machine.open(rig.now, &mut rig.out);
                }
                held.clear();
            }
            Step::NeedMore { length } => assert!(length.is_none_or(|length| length > held.len())),
            Step::Wait => panic!(),
        }
    }
    assert_eq!(rig.performatives().len(), 3);
}

fn plain(response: &[u8]) -> Vec<u8> {
    sasl_frame(&performative(0x41, &[&symbol("PLAIN"), &binary(response), &string("host")]))
}

#[test]
fn sasl_comes_before_amqp_and_only_once() {
    let mut rig = Rig::new();
    let bytes = [SASL, &plain(b"\0user\0secret"), AMQP, &open("client")].concat();
    let Step::Frame { length: 8, action: None } = rig.machine.receive(rig.now, &bytes, &mut rig.out).unwrap() else {
        panic!()
    };
    let Step::Frame { length, action: Some(Action::Authenticate(words)) } =
        rig.machine.receive(rig.now, &bytes[8..], &mut rig.out).unwrap()
    else {
        panic!()
    };
    assert_eq!((&*words.mechanism, words.hostname.as_deref()), ("PLAIN", Some("host")));
    assert_eq!(words.response.as_deref(), Some(&b"\0user\0secret"[..]));
    let rest = &bytes[8 + length..];
    assert!(matches!(rig.machine.receive(rig.now, rest, &mut rig.out), Ok(Step::Wait)));
    rig.machine.sasl_outcome(SaslOutcome::Ok, None, &mut rig.out);
    rig.feed(rest).unwrap();
    let said = rig.said();
    assert!(
        matches!(said[..4], [Said::Header(3), Said::Sasl(0x40, _), Said::Sasl(0x44, _), Said::Header(0)]),
        "{said:?}"
    );
    assert!(matches!(said[4], Said::Amqp(0, Performative::Open(_), _)));
}

#[test]
fn an_exchange_may_take_several_steps_but_not_any_number() {
    let mut rig = Rig::new();
    rig.feed(&[SASL, &plain(b"one")].concat()).unwrap();
    let response = sasl_frame(&performative(0x43, &[&binary(b"more")]));
    for _ in 1..8 {
        rig.machine.sasl_challenge(b"and?", &mut rig.out);
        assert!(matches!(rig.one(&response), Action::SaslResponse(bytes) if bytes == b"more"));
    }
    rig.machine.sasl_challenge(b"and?", &mut rig.out);
    assert_eq!(rig.fault(&response), "amqp:resource-limit-exceeded");
}

#[test]
fn a_client_that_was_not_believed_is_not_heard() {
    let mut rig = Rig::new();
    rig.feed(&[SASL, &plain(b"wrong")].concat()).unwrap();
    rig.machine.sasl_outcome(SaslOutcome::Auth, None, &mut rig.out);
    assert!(rig.feed(&[AMQP, &open("client"), &begin(0)].concat()).unwrap().is_empty());
    assert!(rig.performatives().is_empty());
}

#[test]
fn where_sasl_is_required_the_client_is_shown_its_header() {
    let mut rig = Rig::with(Limits::default(), Profile { sasl_required: true, ..profile() });
    rig.fault(AMQP);
    assert!(matches!(rig.said()[..], [Said::Header(3)]));
}

#[test]
fn tls_is_asked_for_by_its_header_and_offered_once() {
    let mut rig = Rig::new();
    assert!(matches!(rig.one(TLS), Action::StartTls));
    assert!(matches!(rig.machine.receive(rig.now, b"\x16\x03", &mut rig.out), Ok(Step::Wait)));
    rig.machine.tls_started(Arc::new(Profile { tls_offered: false, ..profile() }));
    rig.said();
    rig.fault(TLS);
    assert!(matches!(rig.said()[..], [Said::Header(0)]));
}

#[test]
fn the_client_hears_something_twice_in_its_idle_time() {
    let mut rig = Rig::new();
    let idle = frame(0, &performative(0x10, &[&string("c"), NULL, NULL, NULL, &uint(10_000)]));
    rig.feed(&[AMQP, &idle].concat()).unwrap();
    rig.said();
    let due = rig.machine.deadline().unwrap();
    assert_eq!(due.since(rig.now), 5_000);
    assert!(rig.machine.tick(due, &mut rig.out).unwrap().is_none());
    assert!(matches!(rig.said()[..], [Said::Empty]));
    assert_eq!(rig.machine.deadline().unwrap().since(due), 5_000);
}

/// 2.4.5: a client that the broker does not read, because it waits for room, cannot be blamed for silence.
#[test]
fn a_client_that_could_not_be_heard_is_not_given_up() {
    let mut rig = Rig::begun_with(Limits { idle_milliseconds_max: 1000, ..Limits::default() });
    let due = rig.machine.deadline().unwrap();
    rig.machine.excuse_silence(due);
    assert!(rig.machine.tick(due, &mut rig.out).is_ok());
    assert_eq!(rig.machine.deadline().unwrap().since(due), 1000);
    assert!(rig.machine.tick(due.plus_milliseconds(1000), &mut rig.out).is_err());
}

#[test]
fn a_silent_client_is_given_up() {
    let mut rig = Rig::begun();
    let due = rig.machine.deadline().unwrap();
    assert_eq!(due.since(rig.now), 120_000);
    assert!(rig.machine.tick(due, &mut rig.out).is_err());
    assert_eq!(rig.condition(), "amqp:resource-limit-exceeded");
}

#[test]
fn open_has_to_come_in_time() {
    for bytes in [&b""[..], AMQP, SASL] {
        let mut rig = Rig::new();
        rig.feed(bytes).unwrap();
        let due = rig.machine.deadline().unwrap();
        assert_eq!(due.since(rig.now), 10_000);
        assert!(rig.machine.tick(due, &mut rig.out).is_err());
        assert!(rig.machine.deadline().is_none());
    }
}

#[test]
fn a_thousand_sessions_one_after_the_other_leave_nothing() {
    let mut rig = Rig::begun();
    for _ in 0..1000 {
        let actions = rig.feed(&[begin(3), end(3)].concat()).unwrap();
        assert!(matches!(&actions[..], [Action::Ended { links, error: None, .. }] if links.is_empty()));
    }
    assert_eq!(rig.performatives().len(), 2000);
}
