//! Windows, credit and ids at their ends (2.5.6, 2.6.7, 2.8.8), and frames that cross.

use super::raw::*;
use super::rig::{Rig, Said};
use crate::amqp::{Action, Outgoing, State, Undelivered};
use crate::message::{Envelope, Guarantee, Message};
use crate::topic::Topic;
use fe2o3_amqp_types::performatives::Performative;

/// A session of a client that begins with this transfer-id, and takes so many frames.
fn begun_at(next_outgoing_id: u32, incoming_window: u32) -> Rig {
    let mut rig = Rig::new();
    let begin = performative(0x11, &[NULL, &uint(next_outgoing_id), &uint(incoming_window), &uint(2048)]);
    rig.feed(&[AMQP, &open("client"), &frame(0, &begin)].concat()).unwrap();
    rig.said();
    rig
}

#[test]
fn transfer_ids_and_delivery_ids_of_the_client_wrap_around() {
    let mut rig = begun_at(u32::MAX - 1, 100);
    let link = rig.attached(&attach_sender("s", 0, (0, 1)), None);
    rig.said();
    for id in [u32::MAX - 1, u32::MAX, 0, 1] {
        let Action::Transfer(came) = rig.one(&transfer(0, Some(id), Some(b"t"), false, false, &message(b"m"))) else {
            panic!()
        };
        assert_eq!(came.delivery, id);
    }
    for id in [u32::MAX - 1, u32::MAX, 0, 1] {
        rig.machine.settle(link, id, &State::ACCEPTED, false, &mut rig.out);
    }
    rig.machine.flush(&mut rig.out);
    let said = rig.performatives();
    let [Performative::Disposition(all)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((all.first, all.last), (u32::MAX - 1, Some(1)));
    // The client asks how far the broker is.
    rig.feed(&frame(
        0,
        &performative(0x13, &[&uint(0), &uint(9), &uint(2), &uint(9), NULL, NULL, NULL, NULL, NULL, TRUE]),
    ))
    .unwrap();
    let said = rig.performatives();
    let [Performative::Flow(flow)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(flow.next_incoming_id, Some(2));
    // It settles them, across the end, with ids that were never there.
    let Action::Forgotten(gone) = rig.one(&disposition(false, u32::MAX - 20, 1, true, ACCEPTED)) else { panic!() };
    assert_eq!(gone.iter().map(|one| one.delivery).collect::<Vec<_>>(), [u32::MAX - 1, u32::MAX, 0, 1]);
    // Once more means nothing.
    assert!(rig.feed(&disposition(false, u32::MAX - 20, 1, true, ACCEPTED)).unwrap().is_empty());
}

/// 2.5.6: what the client says of its next transfer counts. Its window is counted in frames, whatever it says.
#[test]
fn a_flow_says_where_the_next_transfer_of_the_client_stands() {
    let mut rig = begun_at(5, 100);
    rig.attached(&attach_sender("s", 0, (0, 1)), Some(100));
    rig.said();
    let mut delivery = 0;
    for (said, begins_at) in [(5_u32, 5), (105, 105), (0, 0), (u32::MAX, u32::MAX), (1 << 31, 1 << 31)] {
        for sent in 0..3 {
            let asks =
                [&uint(0)[..], &uint(9), &uint(said.wrapping_add(sent)), &uint(9), NULL, NULL, NULL, NULL, NULL, TRUE];
            rig.feed(&frame(0, &performative(0x13, &asks))).unwrap();
            let flows = rig.performatives();
            let [Performative::Flow(flow)] = &flows[..] else { panic!("{flows:?}") };
            assert_eq!(flow.next_incoming_id, Some(u32::wrapping_add(begins_at, sent)), "{said}");
            assert_eq!(flow.incoming_window, 2048);
            rig.feed(&transfer(0, Some(delivery), Some(b"t"), true, false, &message(b"m"))).unwrap();
            delivery += 1;
            rig.said();
        }
    }
}

#[test]
fn nothing_is_sent_into_a_window_of_0_and_all_goes_on_when_it_opens() {
    let mut rig = begun_at(0, 0);
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 0, Some((0, 0, 5, false, false)))).unwrap();
    assert_eq!(rig.machine.room(link), 0);
    assert_eq!(rig.deliver(link, 1, false, b"m"), Err(Undelivered::NoRoom));
    rig.said();
    let Action::Flow(opened) = rig.one(&flow(0, 1, None)) else { panic!() };
    assert!(opened.opens && rig.machine.room(link) == 1);
    rig.deliver(link, 1, false, b"m").unwrap();
    assert_eq!(rig.machine.room(link), 0);
    // It takes none of it back by saying so late: the transfer that it has not seen counts.
    rig.feed(&flow(0, 1, None)).unwrap();
    assert_eq!(rig.machine.room(link), 0);
    rig.feed(&flow(1, 1, None)).unwrap();
    assert_eq!(rig.machine.room(link), 1);
}

/// What was written has to leave first, and other sessions have their turn: it waits in the message that all receivers share.
#[test]
fn a_long_message_is_written_in_parts() {
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(|number| number.to_be_bytes()).collect();
    let topic = Topic::new("a", &Default::default()).unwrap();
    let (guarantee, retain, hops) = (Guarantee::AtMostOnce, false, 0);
    let envelope = Envelope { topic, guarantee, retain, expires: None, properties: None, hops };
    let shared = Message::new(envelope, 0, &long);
    // The window is moved on by so many frames at a time; 0: it is wide from the beginning.
    for (window, head) in [(0, 7), (0, 300_000), (1, 7), (3, 300_000)] {
        let mut rig = begun_at(0, if window == 0 { 2000 } else { window });
        let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
        rig.feed(&flow(0, if window == 0 { 2000 } else { window }, Some((0, 0, 5, false, false)))).unwrap();
        rig.said();
        let parts = [&long[..head], &long[head..]];
        let outgoing = Outgoing {
            token: 1,
            tag: b"t",
            format: 0,
            settled: true,
            resume: false,
            state: None,
            parts: &parts,
            shared: Some(&shared),
        };
        rig.machine.deliver(link, &outgoing, &mut rig.out).unwrap();
        let (mut got, mut frames) = (Vec::new(), 0);
        loop {
            assert!(rig.out.len() < 400_000, "too much at once");
            let mut is_over = false;
            for said in rig.said() {
                let Said::Amqp(_, Performative::Transfer(transfer), payload) = said else { continue };
                got.extend(payload);
                (frames, is_over) = (frames + 1, !transfer.more);
            }
            if is_over {
                break;
            }
            assert_eq!(rig.machine.room(link), 0);
            match window {
                0 => rig.machine.go_on(1, &mut rig.out),
                _ => drop(rig.feed(&flow(frames, window, None)).unwrap()),
            }
        }
        assert!(got == long, "window {window}, head {head}: {} bytes", got.len());
        assert!(rig.machine.has_room_again() || window > 0);
    }
}

/// 2.6.7: credit may be lowered at any time; what has crossed it counts.
#[test]
fn credit_is_raised_and_lowered() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    let said = |rig: &mut Rig, count: u32, credit: u32| {
        rig.feed(&flow(count, 100, Some((0, count, credit, false, false)))).unwrap();
        rig.machine.room(link)
    };
    assert_eq!(said(&mut rig, 0, 10), 10);
    rig.deliver(link, 1, false, b"m").unwrap();
    rig.deliver(link, 2, false, b"m").unwrap();
    assert_eq!(said(&mut rig, 0, 1), 0, "it has had more already");
    assert_eq!(said(&mut rig, 1, 3), 2);
    assert_eq!(said(&mut rig, 2, 0), 0);
    assert_eq!(said(&mut rig, 2, 4), 4);
}

/// 2.7.6: what a range covers may have been settled, or be unknown; it ends at what was sent.
#[test]
fn a_disposition_may_cover_what_is_settled_already() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, false, false)))).unwrap();
    for token in 0..5 {
        rig.deliver(link, token, token == 2, b"m").unwrap();
    }
    rig.said();
    let settled = |action: Action<'_>| match action {
        Action::Outcomes(outcomes) => outcomes.iter().map(|one| one.token).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(settled(rig.one(&disposition(true, 1, 1, true, ACCEPTED))), [1]);
    assert_eq!(settled(rig.one(&disposition(true, u32::MAX - 3, 3, true, ACCEPTED))), [0, 3]);
    assert!(rig.feed(&disposition(true, 0, 3, true, ACCEPTED)).unwrap().is_empty());
    assert_eq!(settled(rig.one(&disposition(true, 0, 4, true, ACCEPTED))), [4]);
}

/// 2.6.1: a name belongs to a direction.
#[test]
fn a_name_may_be_used_in_both_directions_at_once() {
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("both", 0, (0, 0)), None);
    let other = rig.attach(&attach_receiver("both", 1, (0, 0)));
    assert!(other.stolen.is_none());
    assert!(!rig.performatives().iter().any(|said| matches!(said, Performative::Detach(_))));
}

/// 2.4.5: an empty frame says nothing of what is under way.
#[test]
fn empty_frames_come_between_the_parts_of_messages_on_two_links() {
    let mut rig = Rig::begun();
    for handle in [0, 1] {
        rig.attached(&attach_sender(&format!("s{handle}"), handle, (0, 0)), None);
    }
    let (empty, whole) = (frame(0, &[]), message(b"abcdef"));
    let (head, tail) = whole.split_at(5);
    let part = |handle, id, more, part| transfer(handle, id, id.map(|_| &b"t"[..]), false, more, part);
    let bytes = [
        part(0, Some(0), true, head),
        empty.clone(),
        part(1, Some(1), true, head),
        part(0, None, true, b""),
        empty.clone(),
        aborted(1),
        part(1, Some(2), true, head),
        part(0, None, false, tail),
        empty,
        part(1, None, false, tail),
    ];
    let came: Vec<(u32, Vec<u8>)> = rig
        .feed(&bytes.concat())
        .unwrap()
        .into_iter()
        .map(|action| match action {
            Action::Transfer(transfer) => (transfer.delivery, transfer.bytes.into_owned()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(came, [(0, whole.clone()), (2, whole)]);
    assert_eq!(rig.machine.partial_bytes(), 0);
}

/// 2.4.6: nothing follows a close, whatever was under way.
#[test]
fn a_close_in_the_middle_of_a_message_is_the_last_word() {
    let mut rig = begun_at(0, 1);
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    let open = frame(0, &performative(0x13, &[&uint(0), &uint(1), &uint(0), &uint(9), &uint(0), &uint(0), &uint(9)]));
    rig.feed(&open).unwrap();
    rig.deliver(link, 1, false, &vec![0; 300_000]).unwrap();
    rig.said();
    assert!(matches!(rig.feed(&close()).unwrap()[..], [Action::Closed { .. }]));
    let said = rig.said();
    assert!(matches!(said[..], [Said::Amqp(0, Performative::Close(_), _)]), "{said:?}");
    rig.feed(&[flow(9, 100, None), begin(1)].concat()).unwrap();
    assert_eq!((rig.deliver(link, 2, false, b"m"), rig.out.len()), (Err(Undelivered::NoRoom), 0));
}

/// 2.7.4, 2.7.7: what names no link ends the session; what crosses the broker's detach does not.
#[test]
fn frames_for_a_link_that_is_not_there() {
    for bytes in
        [flow(0, 9, Some((7, 0, 1, false, true))), detach(7, true), transfer(7, Some(0), Some(b"t"), true, false, b"")]
    {
        let mut rig = Rig::begun();
        rig.feed(&bytes).unwrap();
        assert_eq!(rig.condition(), "amqp:session:unattached-handle");
    }
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    rig.machine.detach(link, true, None, &mut rig.out);
    rig.said();
    let late = transfer(0, Some(0), Some(b"t"), false, false, &message(b"m"));
    assert!(rig.feed(&[late, flow(0, 9, Some((0, 0, 1, false, true))), detach(0, true)].concat()).unwrap().is_empty());
    assert!(rig.performatives().is_empty());
}
