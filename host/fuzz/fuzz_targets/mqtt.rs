//! Any bytes at an MQTT connection: nothing panics, what is read does not depend on how the bytes were cut, and whatever
//! is answered is well-formed.
//!
//! The first byte says how the connection begins and where the bytes are cut.

#![no_main]

use fuzz::dialogue::{Attached, Event, Request, Routed};
use fuzz::frames;
use fuzz::message::{Guarantee, Refusal, RefusalKind, Time};
use fuzz::mqtt::{Action, Inbound, Limits, Outbound, Step};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const CONNECTS: [&[u8]; 4] = [
    b"",
    b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a",
    b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a",
    b"\x10\x11\0\x04MQTT\x05\x02\0\x3C\x03\x22\0\x09\0\x01a",
];

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else { return };
    let begin = CONNECTS[usize::from(how & 3)];
    let whole = run(begin, bytes, usize::MAX);
    let cut = run(begin, bytes, usize::from(how >> 2) + 1);
    assert_eq!(whole, cut, "it matters how the bytes are cut");
});

/// Everything that is heard and said, with the bytes coming in pieces of this size.
fn run(begin: &[u8], bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let limits = Arc::new(Limits { packet_bytes_max: 4096, connect_bytes_max: 1024, ..Limits::default() });
    let mut inbound = Inbound::new(limits, "l".into(), "p".into(), Time(0));
    let mut outbound = None;
    let (mut heard, mut said, mut held) = (Vec::new(), Vec::new(), begin.to_vec());
    let mut rest = bytes;
    loop {
        loop {
            let (length, request) = match inbound.receive(Time(1), &held) {
                Ok(Step::NeedMore { length }) => {
                    assert!(length.is_none_or(|length| length > held.len() && length <= 4096));
                    break;
                }
                Ok(Step::Packet { length, action }) => {
                    assert!(length >= 2 && length <= held.len());
                    heard.push(format!("{action:?}"));
                    let event = match &action {
                        Action::Request(request) => answer(request),
                        Action::Pong => None,
                        Action::Reply(bytes) => {
                            frames::mqtt(bytes);
                            None
                        }
                    };
                    (length, event)
                }
                Err(violation) => {
                    heard.push(format!("{violation:?}"));
                    let mut outbound = outbound.unwrap_or_else(|| inbound.outbound());
                    outbound.violation(&violation, &mut said);
                    frames::mqtt(&said);
                    return (heard, said);
                }
            };
            held.drain(..length);
            if outbound.is_none() {
                outbound = Some(inbound.outbound());
            }
            if let (Some(event), Some(outbound)) = (request, &mut outbound) {
                inbound.answered(&event);
                let _ = Outbound::event(outbound, &event, &mut said);
            }
        }
        if rest.is_empty() {
            frames::mqtt(&said);
            return (heard, said);
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        held.extend_from_slice(now);
        rest = later;
    }
}

/// What a hall might answer: yes, and now and then no.
fn answer(request: &Request<'_>) -> Option<Event> {
    let refusal = || Refusal::new(RefusalKind::QuotaExceeded, "no");
    Some(match request {
        Request::Attach(attach) => Event::Attached(Attached {
            client: Arc::new(attach.client.clone()),
            resumed: !attach.clean,
            assigned: attach.client.id.is_empty(),
            expiry_seconds: attach.expiry_seconds,
            proof: None,
        }),
        Request::Publish(publish) if publish.guarantee != Guarantee::AtMostOnce => Event::Published {
            handle: publish.handle,
            guarantee: publish.guarantee,
            outcome: if publish.payload.len() % 5 == 4 { Err(refusal()) } else { Ok(Routed::NoSubscriber) },
        },
        Request::Release(handle) => Event::Released(*handle, handle % 2 == 0),
        Request::Received(handle) => Event::Release(*handle, handle % 2 == 0),
        Request::Subscribe(subscribe) => {
            let one = |(at, _): (usize, _)| if at % 3 == 2 { Err(refusal()) } else { Ok(Guarantee::AtLeastOnce) };
            Event::Subscribed {
                handle: subscribe.handle,
                granted: subscribe.filters.iter().enumerate().map(one).collect(),
            }
        }
        Request::Unsubscribe(unsubscribe) => Event::Unsubscribed {
            handle: unsubscribe.handle,
            removed: unsubscribe.filters.iter().enumerate().map(|(at, _)| Ok(at % 2 == 0)).collect(),
        },
        _ => return None,
    })
}
