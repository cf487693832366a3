//! Any bytes, in any order: the machine neither panics nor grows beyond its bounds, and what it says can be read.

use super::raw;
use super::rig::Rig;
use crate::amqp::sections::Sections;
use crate::amqp::{Action, AttachReply, Limits, State};
use proptest::prelude::*;

/// Frames of a client that half knows what it does.
fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let small = 0u32..4;
    let flag = any::<bool>();
    prop_oneof![
        (0u16..3).prop_map(raw::begin),
        (0u16..3).prop_map(raw::end),
        (small.clone(), "[a-c]", 0u8..3, 0u8..2).prop_map(|(h, name, s, r)| raw::attach_sender(&name, h, (s, r))),
        (small.clone(), "[a-c]", 0u8..3, 0u8..2).prop_map(|(h, name, s, r)| raw::attach_receiver(&name, h, (s, r))),
        (small.clone(), 0u32..40, flag, flag).prop_map(|(h, id, settled, more)| raw::transfer(
            h,
            Some(id),
            Some(&[1]),
            settled,
            more,
            b"x"
        )),
        (small.clone(), flag).prop_map(|(h, more)| raw::transfer(h, None, None, false, more, b"y")),
        small.clone().prop_map(raw::aborted),
        (0u32..9, 0u32..9, small.clone(), 0u32..9, flag, flag).prop_map(|(n, w, h, c, d, e)| raw::flow(
            n,
            w,
            Some((h, n, c, d, e))
        )),
        (flag, 0u32..9, 0u32..4, flag).prop_map(|(r, f, n, s)| raw::disposition(r, f, f + n, s, raw::ACCEPTED)),
        (small, flag).prop_map(|(h, closed)| raw::detach(h, closed)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| raw::frame(0, &body)),
    ]
}

/// Answers as a hall might.
fn answer(rig: &mut Rig, action: &Action<'_>) {
    match action {
        Action::Attach(attach) if attach.name.starts_with('c') => {
            rig.machine.refuse(attach.link, crate::amqp::error(crate::amqp::AmqpError::NotFound, ""), &mut rig.out);
        }
        Action::Attach(attach) => rig.machine.attach(attach.link, AttachReply::agree(attach), &mut rig.out),
        Action::Transfer(t) if !t.settled => {
            rig.machine.settle(t.link, t.delivery, &State::ACCEPTED, t.delivery % 2 == 0, &mut rig.out);
        }
        Action::Flow(flow) => {
            if let Some(link) = flow.link {
                if flow.asks {
                    rig.machine.answer_flow(link, flow.credit, &mut rig.out);
                }
                let _ = rig.deliver(link, 1, flow.credit % 2 == 0, &[0; 300_000]);
                rig.machine.drained(link, 0, &mut rig.out);
            }
        }
        Action::Outcomes(all) => {
            for settled in all {
                rig.machine.settle_outgoing(settled.link, settled.delivery, settled.state.as_deref(), &mut rig.out);
            }
        }
        Action::Detach(detach) => rig.machine.detach(detach.link, false, None, &mut rig.out),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frames(frames in prop::collection::vec(some_frame(), 0..60)) {
        let mut rig = Rig::begun();
        for frame in frames {
            let Ok(actions) = rig.feed(&frame) else { break };
            for action in &actions {
                answer(&mut rig, action);
            }
            rig.machine.flush(&mut rig.out);
        }
        rig.said();
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0usize..3) {
        let mut rig = Rig::new();
        let head = [&b""[..], raw::AMQP, raw::SASL][kind];
        let _ = rig.feed(&[head, &bytes[..]].concat());
        let _ = Sections::scan(&bytes, &Limits::default());
    }

    #[test]
    fn any_change_to_a_message(at in 0usize..200, byte in any::<u8>()) {
        let mut bytes = [
            raw::described(0x70, &raw::list(&[raw::TRUE, &raw::ubyte(9), &raw::uint(5000)])),
            raw::described(0x73, &raw::list(&[&raw::ulong(12), &raw::binary(b"me"), &raw::string("to")])),
            raw::described(0x74, &raw::map(&[&raw::string("colour"), &raw::string("red")])),
            raw::message(b"payload"),
        ].concat();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(found) = Sections::scan(&bytes, &Limits::default()) {
            let _ = (found.header(), found.properties(), found.data(), found.application_properties().count());
        }
    }
}
