//! Links that both sides have detached, and deliveries of theirs that are live (2.7.6).

use super::raw::*;
use super::rig::Rig;
use crate::amqp::{Action, Limits, LinkId, State};

/// A link of this name on a handle, with so many deliveries that are not settled, which both sides have detached.
fn detached(rig: &mut Rig, name: &str, handle: u32, deliveries: u64) -> LinkId {
    let link = rig.attached(&attach_receiver(name, handle, (0, 0)), None);
    rig.feed(&flow(0, 1000, Some((handle, 0, 100, false, false)))).unwrap();
    for token in 0..deliveries {
        rig.deliver(link, token, false, b"m").unwrap();
    }
    let Action::Detach(gone) = rig.one(&detach(handle, false)) else { panic!() };
    assert_eq!((gone.link, gone.closed), (link, false));
    rig.machine.detach(link, false, None, &mut rig.out);
    link
}

fn settled(rig: &mut Rig, first: u32, last: u32) -> Vec<(LinkId, u64)> {
    match rig.feed(&disposition(true, first, last, true, ACCEPTED)).unwrap().pop() {
        Some(Action::Outcomes(all)) => all.iter().map(|one| (one.link, one.token)).collect(),
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_detached_link_is_there_until_its_last_delivery_is_settled() {
    let mut rig = Rig::begun();
    let link = detached(&mut rig, "r", 0, 3);
    assert_eq!(rig.machine.outstanding(link), [0, 1, 2]);
    assert_eq!(settled(&mut rig, 0, 1), [(link, 0), (link, 1)]);
    assert!(rig.machine.is_there(link));
    rig.machine.settle_outgoing(link, 2, Some(&State::ACCEPTED), &mut rig.out);
    assert!(!rig.machine.is_there(link));
    assert_eq!(settled(&mut rig, 0, 2), []);
}

#[test]
fn a_link_that_is_attached_again_has_nothing_of_its_former_life() {
    for answered in [true, false] {
        let mut rig = Rig::begun();
        let former = if answered {
            detached(&mut rig, "r", 0, 2)
        } else {
            let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
            rig.feed(&flow(0, 1000, Some((0, 0, 100, false, false)))).unwrap();
            rig.deliver(link, 0, false, b"m").unwrap();
            rig.feed(&detach(0, false)).unwrap();
            link
        };
        let attach = rig.attach(&attach_receiver("r", 1, (0, 0)));
        assert_eq!(attach.stolen, Some(former));
        rig.machine.detach(former, false, None, &mut rig.out);
        assert!(!rig.machine.is_there(former), "answered: {answered}");
        assert_eq!(settled(&mut rig, 0, 0), []);
    }
}

#[test]
fn links_that_nobody_speaks_of_any_more_hold_nothing_up() {
    let mut rig = Rig::begun_with(Limits { links_max: 8, unsettled_max: 8, ..Limits::default() });
    let all: Vec<LinkId> = ["a", "b", "c"].iter().map(|name| detached(&mut rig, name, 0, 1)).collect();
    assert_eq!(all.iter().map(|link| rig.machine.is_there(*link)).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(settled(&mut rig, 0, 2), [(all[0], 0), (all[1], 0)]);
    // More than half of what a session may have unsettled.
    let link = detached(&mut rig, "d", 0, 5);
    assert!(!rig.machine.is_there(link));
    assert_eq!(settled(&mut rig, 3, 7), []);
    // They end with their session, and do not count as links.
    let link = detached(&mut rig, "e", 0, 1);
    for handle in 0..8 {
        rig.attached(&attach_sender(&handle.to_string(), handle, (0, 0)), None);
    }
    let Action::Ended { links, .. } = rig.one(&end(0)) else { panic!() };
    assert!(links.contains(&link) && links.len() == 9, "{links:?}");
}

/// A state that decides nothing changes nothing, over however many deliveries it is said.
#[test]
fn a_state_that_decides_nothing_is_not_heard() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (0, 1)), None);
    rig.feed(&flow(0, 1000, Some((0, 0, 100, false, false)))).unwrap();
    for token in 0..3 {
        rig.deliver(link, token, false, b"m").unwrap();
    }
    let received = performative(0x23, &[&uint(0), &ulong(0)]);
    assert!(rig.feed(&disposition(true, 0, 2, false, &received)).unwrap().is_empty());
    assert_eq!(settled(&mut rig, 0, 2).len(), 3);
}
