//! Links, credit, transfers and dispositions in both directions.

use super::raw::*;
use super::rig::{Rig, Said};
use crate::amqp::{
    Action, AmqpError, AttachReply, Direction, Limits, Outcome, ReceiverSettles, SenderSettles, Sink, State, Tag,
    Undelivered, error,
};
use fe2o3_amqp_types::messaging::{DeliveryState, TargetArchetype};
use fe2o3_amqp_types::performatives::{Disposition, Performative};

fn dispositions(rig: &mut Rig) -> Vec<Disposition> {
    let all = rig.performatives().into_iter();
    all.filter_map(|p| if let Performative::Disposition(d) = p { Some(d) } else { None }).collect()
}

#[test]
fn a_sender_gets_its_attach_back_and_credit() {
    let mut rig = Rig::begun();
    let attach = rig.attach(&attach_sender("link", 5, (0, 1)));
    assert_eq!((&*attach.name, attach.direction), ("link", Direction::Incoming));
    assert_eq!(attach.sender_settles, SenderSettles::Unsettled);
    assert_eq!(attach.receiver_settles, ReceiverSettles::Second);
    let Some(Sink::Target(target)) = &attach.sink else { panic!() };
    assert_eq!(target.address.as_deref(), Some("a/b"));
    rig.machine.attach(attach.link, AttachReply::agree(&attach), &mut rig.out);
    let said = rig.performatives();
    let Performative::Attach(reply) = &said[0] else { panic!("{said:?}") };
    assert_eq!((reply.name.as_str(), reply.handle.0), ("link", 0));
    assert!(matches!(reply.target.as_deref(), Some(TargetArchetype::Target(_))));
    let Performative::Flow(flow) = &said[1] else { panic!("{said:?}") };
    assert_eq!(
        (flow.handle.clone().map(|h| h.0), flow.link_credit, flow.delivery_count),
        (Some(0), Some(512), Some(0))
    );
}

#[test]
fn a_transfer_is_handed_on_with_its_bytes_and_settled() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let Action::Transfer(transfer) = rig.one(&transfer(0, Some(0), Some(b"t1"), false, false, &message(b"hi"))) else {
        panic!()
    };
    assert_eq!((transfer.delivery, transfer.settled), (0, false));
    assert_eq!((&transfer.tag[..], &*transfer.bytes), (&b"t1"[..], &message(b"hi")[..]));
    rig.said();
    rig.machine.settle(link, 0, &State::ACCEPTED, true, &mut rig.out);
    assert!(rig.out.is_empty(), "held back to the end of the batch");
    rig.machine.flush(&mut rig.out);
    let said = dispositions(&mut rig);
    assert_eq!((said[0].first, said[0].last, said[0].settled), (0, None, true));
    assert!(matches!(said[0].state, Some(DeliveryState::Accepted(_))));
    // A second time means nothing.
    rig.machine.settle(link, 0, &State::ACCEPTED, true, &mut rig.out);
    rig.machine.flush(&mut rig.out);
    assert!(rig.out.is_empty());
}

#[test]
fn equal_outcomes_are_told_together() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let bytes: Vec<u8> =
        (0..10).flat_map(|id| transfer(0, Some(id), Some(&[id as u8]), false, false, &message(b"m"))).collect();
    assert_eq!(rig.feed(&bytes).unwrap().len(), 10);
    rig.said();
    for id in 0..10 {
        let state = if id == 4 { State::rejected(error(AmqpError::NotAllowed, "no")) } else { State::ACCEPTED };
        rig.machine.settle(link, id, &state, true, &mut rig.out);
    }
    rig.machine.flush(&mut rig.out);
    let said = dispositions(&mut rig);
    let ranges: Vec<_> = said.iter().map(|d| (d.first, d.last)).collect();
    assert_eq!(ranges, [(0, Some(3)), (4, None), (5, Some(9))]);
    assert!(matches!(said[1].state, Some(DeliveryState::Rejected(_))));
}

#[test]
fn credit_follows_what_is_settled() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), Some(4));
    let next = |id: u32| transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &message(b"m"));
    rig.feed(&[next(0), next(1), next(2)].concat()).unwrap();
    rig.said();
    rig.machine.flush(&mut rig.out);
    assert!(rig.performatives().is_empty(), "nothing is settled yet");
    rig.machine.settle(link, 0, &State::ACCEPTED, true, &mut rig.out);
    rig.machine.settle(link, 1, &State::ACCEPTED, true, &mut rig.out);
    rig.machine.flush(&mut rig.out);
    let said = rig.performatives();
    let Some(Performative::Flow(flow)) = said.last() else { panic!("{said:?}") };
    assert_eq!((flow.delivery_count, flow.link_credit), (Some(3), Some(3)));
}

#[test]
fn settled_transfers_use_up_credit_and_window_and_get_both_back() {
    let mut rig = Rig::begun_with(Limits { session_window: 8, ..Limits::default() });
    rig.attached(&attach_sender("s", 0, (1, 0)), Some(10));
    for id in 0..100u32 {
        let action = rig.one(&transfer(0, Some(id), Some(b"x"), true, false, &message(b"m")));
        assert!(matches!(action, Action::Transfer(transfer) if transfer.settled));
    }
    let flows = rig.performatives().len();
    assert!((20..60).contains(&flows), "{flows}");
}

#[test]
fn a_message_in_many_frames_is_joined() {
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let whole = message(&[7; 1000]);
    let parts: Vec<&[u8]> = whole.chunks(300).collect();
    assert!(rig.feed(&transfer(0, Some(9), Some(b"t"), false, true, parts[0])).unwrap().is_empty());
    assert!(rig.feed(&transfer(0, None, None, false, true, parts[1])).unwrap().is_empty());
    assert!(rig.feed(&transfer(0, Some(9), Some(b"t"), false, true, parts[2])).unwrap().is_empty());
    let Action::Transfer(transfer) = rig.one(&transfer(0, None, None, false, false, parts[3])) else { panic!() };
    assert_eq!((transfer.delivery, &*transfer.bytes), (9, &whole[..]));
}

/// 2.6.12: its sender may settle it at any time, and waits for no answer then.
#[test]
fn a_message_may_be_settled_before_it_is_whole() {
    let mut rig = Rig::begun();
    for handle in [0, 1, 2] {
        rig.attached(&attach_sender(&format!("s{handle}"), handle, (0, 0)), Some(10));
        let id = 9 + handle;
        assert!(rig.feed(&transfer(handle, Some(id), Some(b"t"), false, true, b"x")).unwrap().is_empty());
    }
    assert!(rig.feed(&disposition(false, 8, 8, true, NULL)).unwrap().is_empty());
    assert!(rig.feed(&disposition(false, 10, 11, true, NULL)).unwrap().is_empty());
    assert!(rig.feed(&disposition(false, 9, 9, false, NULL)).unwrap().is_empty());
    rig.said();
    for handle in [0, 1, 2] {
        let Action::Transfer(whole) = rig.one(&transfer(handle, None, None, false, false, b"y")) else { panic!() };
        assert_eq!((whole.settled, &*whole.bytes), (handle > 0, &b"xy"[..]), "{handle}");
    }
}

/// 2.8.7: up to 32 octets, and no fewest. Qpid JMS sends what is settled beforehand under a tag of no bytes.
#[test]
fn a_delivery_tag_may_have_no_bytes() {
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("s", 0, (2, 1)), None);
    for (id, is_settled) in [(0, true), (1, false)] {
        let sent = transfer(0, Some(id), Some(b""), is_settled, false, &message(b"m"));
        let Action::Transfer(came) = rig.one(&sent) else { panic!("{id}") };
        assert_eq!((&came.tag[..], came.settled), (&b""[..], is_settled));
    }
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    rig.feed(&transfer(0, Some(0), Some(b"t"), false, true, b"half")).unwrap();
    assert!(rig.feed(&aborted(0)).unwrap().is_empty());
    let Action::Transfer(whole) = rig.one(&transfer(0, Some(1), Some(b"u"), false, false, &message(b"m"))) else {
        panic!()
    };
    assert_eq!(&*whole.bytes, message(b"m"));
}

#[test]
fn a_delivery_that_is_resumed_and_aborted_is_settled() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 1)), None);
    let fields: [&[u8]; 10] = [&uint(0), &uint(4), &binary(b"old"), &uint(0), NULL, FALSE, NULL, NULL, TRUE, TRUE];
    let Action::Forgotten(gone) = rig.one(&frame(0, &performative(0x14, &fields))) else { panic!() };
    assert_eq!((gone[0].link, gone[0].delivery, &gone[0].tag[..]), (link, 4, &b"old"[..]));
    let Action::Transfer(next) = rig.one(&transfer(0, Some(5), Some(b"new"), false, false, b"")) else { panic!() };
    assert!(!next.resume);
}

/// 2.7.5: frames of several links come in turns. A delivery that ends behind one that began later is answered, too.
#[test]
fn deliveries_that_overlap_are_answered_each() {
    let mut rig = Rig::begun();
    let links = [0, 1].map(|handle| rig.attached(&attach_sender(&format!("s{handle}"), handle, (0, 1)), None));
    rig.feed(&transfer(0, Some(0), Some(b"a"), false, true, &message(b"long")[..3])).unwrap();
    rig.one(&transfer(1, Some(1), Some(b"b"), false, false, &message(b"m")));
    rig.one(&transfer(0, None, None, false, false, &message(b"long")[3..]));
    rig.said();
    rig.machine.settle(links[1], 1, &State::ACCEPTED, false, &mut rig.out);
    rig.machine.settle(links[0], 0, &State::ACCEPTED, false, &mut rig.out);
    rig.machine.flush(&mut rig.out);
    let said: Vec<u32> = dispositions(&mut rig).iter().map(|disposition| disposition.first).collect();
    assert_eq!(said, [1, 0]);
    let Action::Forgotten(gone) = rig.one(&disposition(false, 0, 1, true, ACCEPTED)) else { panic!() };
    let tags: Vec<&[u8]> = gone.iter().map(|gone| gone.tag.as_slice()).collect();
    assert_eq!(tags, [b"a", b"b"]);
}

#[test]
fn a_receiver_that_settles_second_forgets_when_the_sender_has() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 1)), None);
    rig.feed(&transfer(0, Some(0), Some(b"tag"), false, false, &message(b"m"))).unwrap();
    rig.said();
    rig.machine.settle(link, 0, &State::ACCEPTED, false, &mut rig.out);
    rig.machine.flush(&mut rig.out);
    assert!(!dispositions(&mut rig)[0].settled);
    let Action::Forgotten(gone) = rig.one(&disposition(false, 0, 0, true, ACCEPTED)) else { panic!() };
    assert_eq!((gone[0].link, gone[0].delivery, &gone[0].tag[..]), (link, 0, &b"tag"[..]));
    assert!(dispositions(&mut rig)[0].settled);
}

#[test]
fn deliveries_go_as_far_as_credit() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 3, (2, 0)), None);
    assert_eq!(rig.deliver(link, 1, false, b"x"), Err(Undelivered::NoRoom));
    rig.said();
    let action = rig.one(&flow(0, 100, Some((3, 0, 2, false, false))));
    assert!(matches!(action, Action::Flow(flow) if flow.link == Some(link) && flow.credit == 2 && !flow.drain));
    assert_eq!(rig.machine.room(link), 2);
    assert_eq!(rig.deliver(link, 11, false, &message(b"one")), Ok(0));
    assert_eq!(rig.deliver(link, 12, true, &message(b"two")), Ok(1));
    assert_eq!(rig.deliver(link, 13, false, b"three"), Err(Undelivered::NoRoom));
    let said = rig.said();
    let Said::Amqp(0, Performative::Transfer(first), payload) = &said[0] else { panic!("{said:?}") };
    assert_eq!((first.handle.0, first.delivery_id, first.settled, first.more), (0, Some(0), Some(false), false));
    assert_eq!(payload, &message(b"one"));
    let Said::Amqp(0, Performative::Transfer(second), _) = &said[1] else { panic!("{said:?}") };
    assert_eq!(second.settled, Some(true));
}

#[test]
fn outcomes_come_back_with_the_hall_s_token() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 100, false, false)))).unwrap();
    for token in 100..105 {
        rig.deliver(link, token, false, b"m").unwrap();
    }
    let Action::Outcomes(all) = rig.one(&disposition(true, 1, 3, true, ACCEPTED)) else { panic!() };
    let seen: Vec<_> = all.iter().map(|s| (s.token, s.delivery, s.settled)).collect();
    assert_eq!(seen, [(101, 1, true), (102, 2, true), (103, 3, true)]);
    assert_eq!(all[0].state.as_deref(), Some(&State::ACCEPTED));
    // Again, and over all: only what is left.
    let released = described(0x26, &list(&[]));
    let Action::Outcomes(rest) = rig.one(&disposition(true, 0, 4, true, &released)) else { panic!() };
    assert_eq!(rest.iter().map(|s| s.token).collect::<Vec<_>>(), [100, 104]);
    assert_eq!(rest[0].state.as_deref(), Some(&State::RELEASED));
    assert!(rig.feed(&disposition(true, 0, 4, true, ACCEPTED)).unwrap().is_empty());
}

#[test]
fn modified_says_how() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 100, false, false)))).unwrap();
    rig.deliver(link, 1, false, b"m").unwrap();
    let modified = performative(0x27, &[TRUE, FALSE, &map(&[&symbol("x-opt-why"), &string("tired")])]);
    let Action::Outcomes(all) = rig.one(&disposition(true, 0, 0, true, &modified)) else { panic!() };
    let Some(State::Ended(Outcome::Modified(modified))) = all[0].state.as_deref() else { panic!("{all:?}") };
    assert!(modified.delivery_failed && !modified.undeliverable_here);
    assert_eq!(modified.annotations.as_deref(), Some(&map(&[&symbol("x-opt-why"), &string("tired")])[..]));
}

#[test]
fn a_delivery_that_waits_for_the_sender_is_settled_by_it() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 1)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 100, false, false)))).unwrap();
    let id = rig.deliver(link, 1, false, b"m").unwrap();
    let Action::Outcomes(all) = rig.one(&disposition(true, id, id, false, ACCEPTED)) else { panic!() };
    assert!(!all[0].settled && all[0].state.as_ref().unwrap().is_final());
    rig.said();
    rig.machine.settle_outgoing(link, id, Some(&State::ACCEPTED), &mut rig.out);
    let said = dispositions(&mut rig);
    assert!(said[0].settled && said[0].role == fe2o3_amqp_types::definitions::Role::Sender);
    assert!(rig.feed(&disposition(true, id, id, true, ACCEPTED)).unwrap().is_empty());
}

/// 3.4.1: that is no outcome, and may be said as often as a client likes.
#[test]
fn that_a_part_has_come_changes_nothing() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 100, false, false)))).unwrap();
    let id = rig.deliver(link, 1, false, b"m").unwrap();
    let received = performative(0x23, &[&uint(0), &[0x80, 0, 0, 0, 0, 0, 0, 0, 1]]);
    assert!(rig.feed(&disposition(true, id, id, false, &received)).unwrap().is_empty());
    assert!(matches!(rig.one(&disposition(true, id, id, true, ACCEPTED)), Action::Outcomes(_)));
}

#[test]
fn a_client_that_drains_hears_when_nothing_is_left() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (2, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, true, false)))).unwrap();
    rig.deliver(link, 1, true, b"m").unwrap();
    rig.said();
    assert!(rig.machine.drains(link));
    rig.machine.drained(link, 0, &mut rig.out);
    let said = rig.performatives();
    let Performative::Flow(flow) = &said[0] else { panic!("{said:?}") };
    assert_eq!((flow.delivery_count, flow.link_credit, flow.drain), (Some(10), Some(0), true));
    rig.machine.drained(link, 0, &mut rig.out);
    assert!(rig.out.is_empty() && rig.machine.room(link) == 0);
}

#[test]
fn a_drain_that_uses_all_credit_up_is_answered_with_the_last_delivery() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (2, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 1, true, false)))).unwrap();
    rig.said();
    rig.deliver(link, 1, true, b"m").unwrap();
    let said = rig.performatives();
    assert!(matches!(&said[1], Performative::Flow(flow) if flow.drain && flow.link_credit == Some(0)), "{said:?}");
    assert!(!rig.machine.drains(link));
    // And one without any credit at once.
    asks(&mut rig, &flow(1, 100, Some((0, 1, 0, true, false))), 3);
    let said = rig.performatives();
    assert!(
        matches!(&said[..], [Performative::Flow(flow)] if flow.drain && flow.delivery_count == Some(1) && flow.available == Some(3)),
        "{said:?}"
    );
}

#[test]
fn credit_that_crosses_a_delivery_counts_it() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (2, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, false, false)))).unwrap();
    for token in 1..=4 {
        rig.deliver(link, token, true, b"m").unwrap();
    }
    // The client has seen two of them.
    rig.feed(&flow(2, 100, Some((0, 2, 10, false, false)))).unwrap();
    assert_eq!(rig.machine.room(link), 8);
}

#[test]
fn echo_is_answered_once() {
    let mut rig = Rig::begun();
    rig.attached(&attach_receiver("r", 0, (2, 0)), None);
    rig.said();
    asks(&mut rig, &flow(0, 100, Some((0, 0, 1, false, true))), 7);
    let said = rig.performatives();
    let [Performative::Flow(flow)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((flow.echo, flow.link_credit, flow.available), (false, Some(1), Some(7)));
}

/// 2.7.4: a client may ask before it has heard that the link is up.
#[test]
fn who_asks_before_the_link_is_up_is_answered_behind_its_attach() {
    let mut rig = Rig::begun();
    let attach = rig.attach(&attach_receiver("r", 0, (2, 0)));
    asks(&mut rig, &flow(0, 100, Some((0, 0, 0, true, false))), 7);
    assert!(rig.out.is_empty());
    rig.machine.attach(attach.link, AttachReply::agree(&attach), &mut rig.out);
    let said = rig.performatives();
    let [Performative::Attach(_), Performative::Flow(flow)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((flow.drain, flow.available), (true, Some(7)));
}

/// The client asks for a flow, and is answered with what the hall knows.
fn asks(rig: &mut Rig, bytes: &[u8], available: u32) {
    let Action::Flow(crate::amqp::Flow { link: Some(link), asks: true, .. }) = rig.one(bytes) else { panic!() };
    rig.machine.answer_flow(link, available, &mut rig.out);
}

/// 2.6.7: what a client may send is taken, on however many links of a session.
#[test]
fn all_credit_of_all_links_of_a_session_may_be_used_at_once() {
    for unsettled_max in [4096, 16_384] {
        let mut rig = Rig::begun_with(Limits { unsettled_max, ..Limits::default() });
        let mut id = 0u32;
        let mut before = u32::MAX;
        for handle in 0..1024 {
            rig.attached(&attach_sender(&handle.to_string(), handle, (0, 1)), None);
            let said = rig.performatives();
            let credit = said.iter().find_map(|said| match said {
                Performative::Flow(flow) => flow.link_credit,
                _ => None,
            });
            let credit = credit.unwrap_or_default();
            assert!((1..=before).contains(&credit), "link {handle} has a credit of {credit}");
            before = credit;
            for _ in 0..credit {
                rig.feed(&transfer(handle, Some(id), Some(&id.to_be_bytes()), false, false, b"m")).unwrap();
                id += 1;
            }
        }
        assert!(id <= unsettled_max && id > unsettled_max / 2, "{id}");
    }
}

/// Its client has credit, and no reason to say anything more.
#[test]
fn a_session_with_all_that_it_takes_unsettled_goes_on_once_some_is_settled() {
    let mut rig = Rig::begun_with(Limits { unsettled_max: 2, ..Limits::default() });
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, false, false)))).unwrap();
    let first = rig.deliver(link, 1, false, b"m").unwrap();
    rig.deliver(link, 2, false, b"m").unwrap();
    assert!(rig.machine.room(link) == 0 && !rig.machine.has_room_again());
    rig.feed(&disposition(true, first, first, true, ACCEPTED)).unwrap();
    assert!(rig.machine.has_room_again() && rig.machine.room(link) == 1);
    assert!(!rig.machine.has_room_again(), "it is said once");
}

/// 2.6.7: also where the window holds the last delivery up.
#[test]
fn a_client_that_drains_hears_so_behind_a_long_message() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&flow(0, 2, Some((0, 0, 1, true, false)))).unwrap();
    rig.said();
    rig.deliver(link, 1, false, &message(&vec![9; 300_000])).unwrap();
    assert!(rig.performatives().iter().all(|said| matches!(said, Performative::Transfer(_))));
    rig.feed(&flow(2, 100, None)).unwrap();
    let said = rig.performatives();
    assert!(
        matches!(said.last(), Some(Performative::Flow(flow)) if flow.drain && flow.link_credit == Some(0)),
        "{said:?}"
    );
}

#[test]
fn a_long_message_goes_on_when_the_window_moves() {
    let mut rig = Rig::begun();
    let open_window = |next, window| flow(next, window, Some((0, 0, 10, false, false)));
    let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
    rig.feed(&open_window(0, 2)).unwrap();
    rig.said();
    let long = message(&vec![9; 500_000]);
    rig.deliver(link, 1, false, &long).unwrap();
    assert_eq!(rig.machine.room(link), 0);
    let mut got = Vec::new();
    let mut frames = 0;
    let mut next = 2;
    loop {
        let mut over = false;
        for said in rig.said() {
            let Said::Amqp(_, Performative::Transfer(transfer), payload) = said else { continue };
            frames += 1;
            got.extend(payload);
            over = !transfer.more;
        }
        if over {
            break;
        }
        assert_eq!(frames % 2, 0);
        rig.feed(&open_window(next, 2)).unwrap();
        next += 2;
    }
    assert_eq!(got, long);
    assert_eq!(frames, 4);
}

#[test]
fn a_message_longer_than_the_client_takes_stays() {
    let mut rig = Rig::begun();
    let fields: [&[u8]; 11] =
        [&string("r"), &uint(0), TRUE, NULL, NULL, &source("a"), &target("b"), NULL, NULL, NULL, &ulong(100)];
    let link = rig.attached(&frame(0, &performative(0x12, &fields)), None);
    rig.feed(&flow(0, 100, Some((0, 0, 10, false, false)))).unwrap();
    assert_eq!(rig.deliver(link, 1, false, &[0; 101]), Err(Undelivered::TooLarge));
    assert_eq!(rig.machine.room(link), 10);
}

#[test]
fn detach_is_answered_by_the_hall_and_closed_is_kept() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    rig.said();
    let Action::Detach(detach) = rig.one(&detach(0, true)) else { panic!() };
    assert!(detach.link == link && detach.closed && !detach.by_machine);
    rig.machine.detach(link, false, None, &mut rig.out);
    let said = rig.performatives();
    assert!(matches!(&said[..], [Performative::Detach(detach)] if detach.closed));
    rig.machine.detach(link, true, None, &mut rig.out);
    assert!(rig.out.is_empty());
    // Handle and name are free again.
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
}

#[test]
fn a_link_of_the_same_name_steals() {
    let mut rig = Rig::begun();
    let old = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    // The other direction is another link.
    assert_eq!(rig.attach(&attach_receiver("s", 1, (0, 0))).stolen, None);
    rig.said();
    let new = rig.attach(&attach_sender("s", 2, (0, 0)));
    assert_eq!(new.stolen, Some(old));
    assert_eq!(rig.condition(), "amqp:link:stolen");
    // What was under way on the old one is not heard.
    assert!(rig.feed(&transfer(0, Some(0), Some(b"t"), false, false, b"m")).unwrap().is_empty());
    assert!(rig.feed(&detach(0, true)).unwrap().is_empty());
}

#[test]
fn a_refused_link_comes_up_empty_and_goes() {
    let mut rig = Rig::begun();
    let attach = rig.attach(&attach_receiver("r", 0, (0, 0)));
    rig.machine.refuse(attach.link, error(AmqpError::NotFound, "no such node"), &mut rig.out);
    let said = rig.performatives();
    assert!(matches!(&said[0], Performative::Attach(reply) if reply.source.is_none()), "{said:?}");
    assert!(matches!(&said[1], Performative::Detach(detach) if detach.closed && detach.error.is_some()), "{said:?}");
    assert!(rig.feed(&detach(0, true)).unwrap().is_empty());
}

/// 2.6.3: one link too many costs nobody else anything, but for a client that never detaches what was refused.
#[test]
fn a_link_too_many_is_refused_and_the_others_stay() {
    let mut rig = Rig::begun_with(Limits { links_max: 4, ..Limits::default() });
    let links: Vec<_> = (0..4).map(|at| rig.attached(&attach_sender(&format!("s{at}"), at, (0, 0)), Some(1))).collect();
    rig.said();
    for _ in 0..3 {
        assert!(rig.feed(&attach_receiver("one more", 9, (0, 0))).unwrap().is_empty(), "the hall hears nothing of it");
        assert_eq!(rig.condition(), "amqp:resource-limit-exceeded");
        assert!(rig.feed(&detach(9, true)).unwrap().is_empty());
    }
    // A name that is taken is not taken away by what is refused.
    assert!(rig.feed(&attach_sender("s0", 9, (0, 0))).unwrap().is_empty());
    let said = rig.performatives();
    assert!(matches!(&said[..], [Performative::Attach(_), Performative::Detach(_)]), "{said:?}");
    let Action::Transfer(came) = rig.one(&transfer(0, Some(0), Some(b"t"), true, false, b"m")) else { panic!() };
    assert_eq!(came.link, links[0]);
    assert!(matches!(rig.one(&attach_receiver("another", 10, (0, 0))), Action::Ended { .. }));
    assert_eq!(rig.condition(), "amqp:resource-limit-exceeded");
}

/// 2.6.3, 3.5: termini and states are open to what others add; who uses it is refused the link, and nothing but it.
#[test]
fn a_terminus_that_is_not_known_is_refused_and_harms_nothing_else() {
    let mode = performative(0x28, &[&string("a"), NULL, NULL, NULL, NULL, NULL, &symbol("foo")]);
    let outcome = described(0x99, &list(&[]));
    let default = performative(0x28, &[&string("a"), NULL, NULL, NULL, NULL, NULL, NULL, NULL, &outcome]);
    let state = map(&[&binary(b"t"), &outcome]);
    let attach = |handle: u32, source: &[u8], target: &[u8], unsettled: &[u8], is_receiver: &[u8]| {
        let name = string(&format!("l{handle}"));
        let fields: [&[u8]; 10] =
            [&name, &uint(handle), is_receiver, NULL, NULL, source, target, unsettled, FALSE, &uint(0)];
        frame(0, &performative(0x12, &fields))
    };
    let (plain, other) = (target("a"), described(0x98, &list(&[])));
    let mut rig = Rig::begun();
    let all = [
        attach(0, &mode, &plain, NULL, TRUE),
        attach(1, &default, &plain, NULL, TRUE),
        attach(2, &other, &plain, NULL, TRUE),
        attach(3, &source("a"), &other, NULL, FALSE),
        attach(4, &source("a"), &plain, &state, TRUE),
    ];
    for bytes in all {
        assert!(rig.feed(&bytes).unwrap().is_empty(), "the hall hears nothing of it");
        let said = rig.performatives();
        let [Performative::Attach(reply), Performative::Detach(detach)] = &said[..] else { panic!("{said:?}") };
        let sends = reply.role == fe2o3_amqp_types::definitions::Role::Sender;
        assert!(if sends { reply.source.is_none() } else { reply.target.is_none() }, "{reply:?}");
        let error = detach.error.as_ref().unwrap();
        assert!(detach.closed && crate::amqp::condition::name(&error.condition) == "amqp:not-implemented", "{error:?}");
    }
    rig.attached(&attach_receiver("known", 9, (0, 0)), None);
    // What is no value at all, or an attach without a name, is no matter of termini.
    let nameless = frame(0, &performative(0x12, &[NULL, &uint(10), TRUE, NULL, NULL, &mode]));
    assert_eq!(rig.fault(&nameless), "amqp:invalid-field");
}

#[test]
fn unsettled_maps_pass_both_ways_and_are_cut_where_they_are_too_long() {
    let mut rig = Rig::with(Limits::default(), super::rig::profile());
    let small = frame(0, &performative(0x10, &[&string("c"), NULL, &uint(512)]));
    rig.feed(&[AMQP, &small, &begin(0)].concat()).unwrap();
    rig.said();
    let unsettled = map(&[&binary(b"t1"), ACCEPTED, &binary(b"t2"), NULL]);
    let fields: [&[u8]; 10] =
        [&string("s"), &uint(0), FALSE, NULL, NULL, &source("a"), &target("b"), &unsettled, NULL, &uint(0)];
    let attach = rig.attach(&frame(0, &performative(0x12, &fields)));
    let told = attach.unsettled.as_ref().unwrap();
    assert_eq!(told[..], [(Tag::from_slice(b"t1"), Some(State::ACCEPTED)), (Tag::from_slice(b"t2"), None)]);
    let own = (0..100u32).map(|n| (Tag::from_slice(&n.to_be_bytes()), Some(State::ACCEPTED))).collect();
    let reply = AttachReply { unsettled: Some(own), ..AttachReply::agree(&attach) };
    rig.machine.attach(attach.link, reply, &mut rig.out);
    assert!(u32::from_be_bytes(rig.out[..4].try_into().unwrap()) <= 512);
    let said = rig.performatives();
    let Performative::Attach(reply) = &said[0] else { panic!("{said:?}") };
    assert!(reply.incomplete_unsettled && !reply.unsettled.as_ref().unwrap().is_empty());
}

/// 2.7.3: as receiver the broker said that its map is not complete. What is new would be taken for something that it has.
#[test]
fn a_sender_that_was_told_an_incomplete_map_may_only_resume() {
    let mut rig = Rig::with(Limits::default(), super::rig::profile());
    let open = frame(0, &performative(0x10, &[&string("c"), NULL, &uint(512)]));
    rig.feed(&[AMQP, &open, &begin(0)].concat()).unwrap();
    let attach = rig.attach(&attach_sender("s", 0, (0, 1)));
    let unsettled = (0..100u32).map(|n| (Tag::from_slice(&n.to_be_bytes()), Some(State::ACCEPTED))).collect();
    rig.machine.attach(
        attach.link,
        AttachReply { unsettled: Some(unsettled), ..AttachReply::agree(&attach) },
        &mut rig.out,
    );
    rig.said();
    let Action::Detach(gone) = rig.one(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m"))) else {
        panic!()
    };
    assert!(gone.by_machine && gone.closed);
    assert_eq!(rig.condition(), "amqp:not-allowed");
}

#[test]
fn a_coordinator_hears_of_transactions() {
    let mut rig = Rig::begun();
    let coordinator = performative(0x30, &[&symbol("amqp:local-transactions")]);
    let fields: [&[u8]; 10] =
        [&string("t"), &uint(0), FALSE, NULL, NULL, &source("a"), &coordinator, NULL, NULL, &uint(0)];
    let attach = rig.attach(&frame(0, &performative(0x12, &fields)));
    assert!(matches!(&attach.sink, Some(Sink::Coordinator(capabilities)) if capabilities.len() == 1));
    rig.machine.attach(attach.link, AttachReply::agree(&attach), &mut rig.out);
    assert!(matches!(&rig.performatives()[0], Performative::Attach(attach)
        if matches!(attach.target.as_deref(), Some(TargetArchetype::Coordinator(_)))));
    let declare = described(0x77, &performative(0x31, &[]));
    let action = rig.one(&transfer(0, Some(0), Some(b"d"), false, false, &declare));
    assert!(matches!(action, Action::Declare { link, delivery: 0, is_global: false } if link == attach.link));
    rig.machine.settle(attach.link, 0, &State::Declared(Tag::from_slice(b"txn")), true, &mut rig.out);
    assert!(matches!(&dispositions(&mut rig)[0].state, Some(DeliveryState::Declared(d)) if &d.txn_id[..] == b"txn"));
    let discharge = described(0x77, &performative(0x32, &[&binary(b"txn"), TRUE]));
    let action = rig.one(&transfer(0, Some(1), Some(b"e"), false, false, &discharge));
    assert!(matches!(action, Action::Discharge { txn, fail: true, .. } if txn[..] == b"txn"[..]));
}

#[test]
fn a_transfer_may_belong_to_a_transaction() {
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let state = performative(0x34, &[&binary(b"txn")]);
    let fields: [&[u8]; 8] = [&uint(0), &uint(0), &binary(b"t"), NULL, FALSE, FALSE, NULL, &state];
    let bytes = frame(0, &[performative(0x14, &fields), message(b"m")].concat());
    let Action::Transfer(transfer) = rig.one(&bytes) else { panic!() };
    let expected = State::Transactional { txn: Tag::from_slice(b"txn"), outcome: None };
    assert_eq!(transfer.state.as_deref(), Some(&expected));
}

#[test]
fn the_end_of_a_session_takes_its_links() {
    let mut rig = Rig::begun();
    let one = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let two = rig.attached(&attach_receiver("r", 1, (0, 0)), None);
    let Action::Ended { links, error: None, .. } = rig.one(&end(0)) else { panic!() };
    assert_eq!(links, [one, two]);
    rig.said();
    rig.machine.settle(one, 0, &State::ACCEPTED, true, &mut rig.out);
    assert_eq!(rig.machine.room(two), 0);
    assert!(rig.out.is_empty());
}
