//! Clients that take little: nothing longer than their max-frame-size goes out, and nothing above their channel-max (2.7.1).

use super::raw::*;
use super::rig::{Rig, profile};
use crate::amqp::{AmqpError, AttachReply, Limits, LinkId, State, error};
use fe2o3_amqp_types::performatives::Performative;

/// A client that takes the shortest frames that there are, with a session on channel 0.
fn small() -> Rig {
    let mut rig = Rig::with(Limits::default(), profile());
    let open = frame(0, &performative(0x10, &[&string("c"), NULL, &uint(512)]));
    rig.feed(&[AMQP, &open, &begin(0)].concat()).unwrap();
    rig.out.drain(..8);
    fits(&rig);
    rig.said();
    rig
}

/// No frame that was said is longer than 512 bytes.
fn fits(rig: &Rig) {
    let mut rest = &rig.out[..];
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        assert!(size <= 512, "a frame of {size} bytes: {:02x?}", &rest[8..16]);
        rest = &rest[size..];
    }
}

fn attach_to(name: &str, is_receiver: bool, source: &[u8], target: &[u8]) -> Vec<u8> {
    let role = if is_receiver { TRUE } else { FALSE };
    let fields: [&[u8]; 10] = [&string(name), &uint(0), role, NULL, NULL, source, target, NULL, FALSE, &uint(0)];
    frame(0, &performative(0x12, &fields))
}

#[test]
fn an_attach_whose_answer_is_too_long_is_refused_in_frames_that_fit() {
    let long = "x".repeat(600);
    let filter = map(&[&symbol("f"), &described(0x99, &string(&long))]);
    let filtered = performative(0x28, &[&string("a"), NULL, NULL, NULL, NULL, NULL, NULL, &filter]);
    let rows: [(&str, bool, &[u8], &[u8]); 4] = [
        ("a long source", true, &source(&long), &target("t")),
        ("a long filter", true, &filtered, &target("t")),
        ("a long target of its own", true, &source("a"), &target(&long)),
        ("a long target", false, &source("s"), &target(&long)),
    ];
    for (row, is_receiver, source, target) in rows {
        let mut rig = small();
        let attach = rig.attach(&attach_to("link", is_receiver, source, target));
        let reply = AttachReply::agree(&attach);
        assert!(!rig.machine.fits(attach.link, &reply), "{row}");
        let why = error(AmqpError::FrameSizeTooSmall, "why ".repeat(500));
        rig.machine.refuse(attach.link, why, &mut rig.out);
        fits(&rig);
        let said = rig.performatives();
        let [Performative::Attach(_), Performative::Detach(detach)] = &said[..] else { panic!("{row}: {said:?}") };
        assert!(detach.closed, "{row}");
        let attach = {
            rig.feed(&detach_closed()).unwrap();
            rig.attach(&attach_to("link", is_receiver, &super::raw::source("a"), &super::raw::target("b")))
        };
        assert!(rig.machine.fits(attach.link, &AttachReply::agree(&attach)), "{row}");
    }
}

fn detach_closed() -> Vec<u8> {
    detach(0, true)
}

#[test]
fn an_unsettled_map_is_cut_and_an_attach_that_fits_without_it_fits() {
    let mut rig = small();
    let attach = rig.attach(&attach_sender("s", 0, (0, 1)));
    let unsettled = (0..4000u32).map(|n| (n.to_be_bytes()[..].into(), Some(State::ACCEPTED))).collect();
    let reply = AttachReply { unsettled: Some(unsettled), ..AttachReply::agree(&attach) };
    assert!(rig.machine.fits(attach.link, &reply));
    rig.machine.attach(attach.link, reply, &mut rig.out);
    fits(&rig);
    assert!(matches!(&rig.performatives()[0], Performative::Attach(reply) if reply.incomplete_unsettled));
}

/// An answer bears the name: the session ends in which it cannot be given.
#[test]
fn a_link_name_that_no_answer_has_room_for_ends_the_session() {
    let mut rig = small();
    let longest = "n".repeat(512 - 128);
    let attach = rig.attach(&attach_to(&longest, true, &source("a"), &target("t")));
    rig.machine.refuse(attach.link, error(AmqpError::NotFound, "x".repeat(1000)), &mut rig.out);
    fits(&rig);
    rig.said();
    rig.feed(&attach_to(&"n".repeat(512 - 127), false, &source("a"), &target("t"))).unwrap();
    fits(&rig);
    assert_eq!(rig.condition(), "amqp:frame-size-too-small");
}

#[test]
fn a_message_comes_in_as_many_frames_as_it_takes() {
    let mut rig = small();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, false, false)))).unwrap();
    rig.said();
    let whole: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
    rig.deliver(link, 1, false, &whole).unwrap();
    fits(&rig);
    let mut got = Vec::new();
    for said in rig.said() {
        let super::rig::Said::Amqp(0, Performative::Transfer(_), payload) = said else { panic!("{said:?}") };
        got.extend(payload);
    }
    assert!(got == whole);
}

#[test]
fn long_descriptions_are_cut() {
    let long = || error(AmqpError::NotAllowed, "é".repeat(2000));
    let sends = |rig: &mut Rig| -> LinkId {
        let link = rig.attached(&attach_sender("s", 0, (0, 1)), None);
        rig.feed(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m"))).unwrap();
        link
    };
    let mut rig = small();
    let link = sends(&mut rig);
    rig.machine.settle(link, 0, &State::rejected(long()), false, &mut rig.out);
    fits(&rig);
    // The client's own word, which is longer than what it takes itself, comes back without it.
    let why = performative(0x1D, &[&symbol("amqp:not-allowed"), &string(&"x".repeat(3000))]);
    rig.feed(&disposition(false, 0, 0, true, &performative(0x25, &[&why]))).unwrap();
    fits(&rig);
    let said = rig.performatives();
    assert!(matches!(said.last(), Some(Performative::Disposition(last)) if last.settled && last.state.is_none()));
    rig.machine.detach(link, true, Some(long()), &mut rig.out);
    fits(&rig);
    let mut rig = small();
    let link = sends(&mut rig);
    rig.machine.end(link, long(), &mut rig.out);
    rig.machine.close(Some(long()), &mut rig.out);
    fits(&rig);
    assert_eq!(rig.condition(), "amqp:not-allowed");
}

/// What fits is said in full.
#[test]
fn a_description_that_fits_is_not_cut() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    rig.feed(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m"))).unwrap();
    rig.said();
    rig.machine.settle(link, 0, &State::rejected(error(AmqpError::NotAllowed, "x".repeat(2000))), true, &mut rig.out);
    assert!(rig.out.len() > 2000);
}

/// 2.7.1: the highest channel that can be used; the broker's own are never above the client's.
#[test]
fn a_client_with_channel_max_0_has_one_session_at_a_time() {
    let mut rig = Rig::with(Limits::default(), profile());
    let open = frame(0, &performative(0x10, &[&string("c"), NULL, NULL, &[0x60, 0, 0]]));
    rig.feed(&[AMQP, &open, &begin(3)].concat()).unwrap();
    for channel in [3, 0] {
        let said = rig.said();
        let Some(super::rig::Said::Amqp(0, Performative::Begin(begun), _)) = said.last() else { panic!("{said:?}") };
        assert_eq!(begun.remote_channel, Some(channel));
        // Where the one before has ended there is room.
        rig.feed(&[end(channel), begin(0)].concat()).unwrap();
    }
    assert_eq!(rig.fault(&begin(1)), "amqp:not-allowed");
    assert_eq!(rig.condition(), "amqp:not-allowed");
}
