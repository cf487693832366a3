//! Rows for mailboxes and links that end while somebody is about to use them, and for shares whose members go or are full.

use super::*;
use crate::broker::transact::Retired;
use crate::client::Departure;
use crate::dialogue::{Detach, Event, Request, Subscription, Unsubscribe};

const LEAST: Guarantee = Guarantee::AtLeastOnce;

fn post(name: &'static str) -> PublishBare<'static> {
    PublishBare {
        name,
        guarantee: LEAST,
        retain: false,
        expiry_milliseconds: None,
        bare: Bare { handover: LEAST, blank: false, durable: true, priority: 4 },
        origin: 5,
        encoded: b"m",
    }
}

impl Hall {
    fn transact_all(&mut self, posts: Vec<PublishBare<'_>>, retired: Vec<Retired<'_>>) -> Result<u64, Refusal> {
        let mut link = Link::of(Arc::new(Probe::default()), Arc::new(client("p")));
        self.broker.transact(&mut self.worker, &mut link, self.now, posts, retired, &[])
    }

    /// A member of a share that is away.
    fn away(&mut self, id: &str) {
        let (mut member, _) = self.attach(id, false, 600, 10);
        self.subscribe(&mut member, "$share/g/t", LEAST);
        self.lose(&mut member);
    }
}

/// What a transaction was accepted with is there, beyond a bound if need be: its messages were looked at one by one.
#[test]
fn all_messages_of_a_transaction_reach_a_share_with_room_for_one() {
    let mut hall = hall(Limits { queue_messages_max: 1, ..Limits::default() });
    hall.away("one");
    hall.transact_all(vec![post("t"), post("t"), post("t")], Vec::new()).unwrap();
    assert_eq!(hall.broker.client("one").unwrap().queued, 3);
}

/// 4.4.2, 4.4.3: a crash leaves all of a transaction or none of it, so that nobody has had a message of one that never was.
#[test]
fn messages_of_a_transaction_leave_when_all_of_it_is_on_disk() {
    let mut hall = hall(Limits::default());
    hall.send(QUEUE, LEAST, "alone");
    let after = hall.transact_all(vec![post(QUEUE), post(QUEUE)], Vec::new()).unwrap();
    hall.send(QUEUE, LEAST, "behind");
    let queue = hall.broker.directory.queue(QUEUE).unwrap();
    let waits: Vec<u64> = queue.lock().queue.iter().map(|queued| queued.after).collect();
    assert_eq!(waits, [0, after, after, 0]);
    hall.commit();
    let one = hall.at_queue(false);
    assert_eq!(hall.consume(&one, 9).len(), 4);
}

#[test]
fn what_has_expired_in_the_queues_of_a_share_keeps_nobody_out() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Limits::default() });
    hall.away("one");
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut send = |hall: &mut Hall, handle| {
        let publish = Publish {
            name: "t",
            guarantee: LEAST,
            retain: false,
            handle,
            expiry_seconds: Some(1),
            properties: None,
            payload: b"m",
        };
        let answer = hall.ask(&mut publisher, Request::Publish(publish));
        hall.commit();
        matches!(answer, Answer::Say(_, Event::Published { outcome: Ok(_), .. }))
    };
    assert_eq!([1, 2, 3].map(|handle| send(&mut hall, handle)), [true, true, false]);
    hall.now = hall.now.plus_milliseconds(1_500);
    assert!(send(&mut hall, 4));
}

/// MQTT-3.3.2-5: also of a session.
#[test]
fn what_has_expired_behind_what_lasts_keeps_nobody_out() {
    let mut hall = hall(Limits { queue_messages_max: 100, ..Limits::default() });
    hall.away("one");
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let mut send = |hall: &mut Hall, handle: u16, expiry_seconds| {
        let publish = Publish {
            name: "t",
            guarantee: LEAST,
            retain: false,
            handle,
            expiry_seconds,
            properties: None,
            payload: b"m",
        };
        let answer = hall.ask(&mut publisher, Request::Publish(publish));
        hall.commit();
        matches!(answer, Answer::Say(_, Event::Published { outcome: Ok(_), .. }))
    };
    for handle in 1..=100 {
        assert!(send(&mut hall, handle, (handle % 10 != 1).then_some(1)));
    }
    assert!(!send(&mut hall, 101, None));
    hall.now = hall.now.plus_milliseconds(2_500);
    assert!(send(&mut hall, 102, None));
    assert_eq!(
        (hall.broker.client("one").unwrap().queued, hall.broker.metrics().messages_expired_total.get()),
        (11, 90)
    );
}

/// Of a long queue only the first part is in memory.
#[test]
fn what_has_expired_in_the_store_keeps_nobody_out_for_long() {
    let mut hall = hall(Limits { queue_resident_max: 16, queue_messages_max: 100, ..Limits::default() });
    declared(&mut hall, QueueRecord { expiry_milliseconds: Some(1_000), ..QueueRecord::default() });
    for _ in 0..100 {
        hall.fill(1);
        hall.commit();
    }
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    assert!(mailbox.lock().gap.is_some());
    hall.now = hall.now.plus_milliseconds(2_000);
    for _ in 0..1_000_000 {
        hall.send(QUEUE, LEAST, "new");
        hall.commit();
        let state = mailbox.lock();
        let is_first = |first: &Queued| first.message.payload() == b"new" && first.number <= state.gap_begins_after();
        if state.queue.front().is_some_and(is_first) {
            return;
        }
    }
    panic!("what has expired is still there: {}", mailbox.depth());
}

/// Whoever was chosen a moment ago may be gone: another one gets it.
#[test]
fn a_share_passes_over_members_that_have_ended() {
    let mut hall = hall(Limits::default());
    hall.away("one");
    hall.away("two");
    let mailbox = hall.broker.directory.get("one").unwrap();
    // As it is while it ends, before its subscriptions are taken back.
    mailbox.lock().gone = true;
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    for handle in 1..=4 {
        hall.publish(&mut publisher, "t", LEAST, handle, b"m");
    }
    assert_eq!(hall.broker.client("two").unwrap().queued, 4);
}

#[test]
fn a_subscription_does_not_outlive_the_mailbox_that_it_came_too_late_for() {
    let mut hall = hall(Limits::default());
    let (mut late, _) = hall.attach("late", false, 600, 10);
    hall.subscribe(&mut late, "other", LEAST);
    let mailbox = hall.broker.directory.get("late").unwrap();
    let subscription = mailbox.lock().subscriptions.values().next().unwrap().clone();
    hall.broker.end_session(&mut hall.worker, hall.now, "late");
    for share in [None, Some("g".into())] {
        let subscription = Subscription { share, ..subscription.clone() };
        assert!(!hall.broker.put_subscription(&mailbox, "key".into(), subscription));
    }
    let route = hall.broker.route_of(&mut hall.worker, &Topic::new("other", &Default::default()).unwrap());
    assert!(route.targets.is_empty());
}

/// 3.5.3: what clients have fetched ahead comes again, however often they close.
#[test]
fn what_no_application_saw_does_not_become_a_dead_letter() {
    let mut hall = hall(Limits::default());
    drop(hall.at_queue(false));
    hall.fill(1);
    let failed = Disposal::Modified { failed: true, elsewhere: false, notes: None };
    for round in 0..100 {
        let one = hall.at_queue(false);
        let got = hall.consume(&one, 1);
        assert_eq!((texts(&got), got[0].failures), (vec!["0".into()], round));
        let at = one.link.attachment().unwrap().clone();
        hall.broker.dispose_unseen(&mut hall.worker, hall.now, &at, &[got[0].number], &failed);
        hall.part(one, Parting::Closed);
    }
}

/// 4.4.2: the discharge settles what is retired, whether its link is there or not.
#[test]
fn what_is_retired_of_a_subscription_that_is_gone_does_not_stop_a_discharge() {
    let mut hall = hall(Limits::default());
    let one = hall.consumer(subscription(0), 1, None);
    hall.send("a/b", LEAST, "0");
    let number = hall.consume(&one, 9)[0].number;
    let attachment = one.link.attachment().unwrap().clone();
    hall.broker.part_but(&mut hall.worker, hall.now, &one.link, Parting::Closed, &[number]);
    let disposal = Disposal::Accepted;
    let retired = vec![Retired { attachment: &attachment, number, disposal: &disposal }];
    hall.transact_all(vec![post(QUEUE)], retired).unwrap();
    assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), 1);
}

/// AMQP 1.0, 2.7.6: what a receiver had when it was detached is its to settle until the link comes back, wherever that is.
#[test]
fn who_was_detached_settles_nothing_once_somebody_has_come_back_to_the_subscription() {
    // Whether somebody came back, and is there still; in a transaction or by itself.
    for (comes_back, stays, in_transaction) in [
        (false, false, false),
        (false, false, true),
        (true, false, false),
        (true, false, true),
        (true, true, false),
        (true, true, true),
    ] {
        let mut hall = hall(Limits::default());
        let one = hall.consumer(subscription(600), 1, None);
        hall.send("a/b", LEAST, "m");
        let number = hall.consume(&one, 9)[0].number;
        let first = one.link.attachment().unwrap().clone();
        hall.part(one, Parting::Kept(600));
        let mut other = comes_back.then(|| hall.consumer(subscription(600), 2, None));
        if let Some(other) = &other {
            assert_eq!(hall.consume(other, 9)[0].number, number);
            hall.dispose(other, number, Disposal::Released);
        }
        other.take_if(|_| !stays).into_iter().for_each(|other| hall.part(other, Parting::Kept(600)));
        let disposal = Disposal::Accepted;
        if in_transaction {
            let retired = vec![Retired { attachment: &first, number, disposal: &disposal }];
            assert_eq!(hall.transact_all(Vec::new(), retired).is_err(), comes_back);
        } else {
            hall.broker.dispose_waiting(&mut hall.worker, hall.now, &first, &[(number, disposal)]);
        }
        assert_eq!(first.mailbox.depth(), usize::from(comes_back), "{comes_back} {stays} {in_transaction}");
    }
}

#[test]
fn the_end_of_a_shared_subscription_takes_nothing_from_the_one_beside_it() {
    let mut hall = hall(Limits::default());
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    let (guarantee, payload, properties) = (LEAST, &b"v"[..], None);
    let publish =
        Publish { name: "a/b", guarantee, retain: true, handle: 1, expiry_seconds: None, properties, payload };
    hall.ask(&mut publisher, Request::Publish(publish));
    let (mut one, _) = hall.attach("one", true, 0, 10);
    hall.subscribe(&mut one, "$share/g/a/#", Guarantee::AtMostOnce);
    hall.subscribe(&mut one, "a/#", Guarantee::AtMostOnce);
    let filters = vec![("a/#".into(), Some("g".into()))];
    hall.ask(&mut one, Request::Unsubscribe(Unsubscribe { handle: 2, filters }));
    hall.broker.refill(&mut hall.worker, &one.link, hall.now);
    assert_eq!(hall.take(&one).len(), 1);
}

/// Modules' answers find the copies by these.
#[test]
fn what_a_restart_brings_back_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = hall_in(directory.path());
    let (mut one, _) = before.attach("one", false, 600, 10);
    before.subscribe(&mut one, "t", Guarantee::ExactlyOnce);
    let (mut publisher, _) = before.attach("p", true, 0, 10);
    for handle in 1..=3 {
        before.publish(&mut publisher, "t", Guarantee::ExactlyOnce, handle, b"m");
    }
    before.commit();
    let last = before.take(&one).pop().unwrap().0;
    before.ask(&mut one, Request::Received(last));
    before.commit();
    let detach = Detach { departure: Departure::ConnectionLost, expiry_seconds: None };
    before.ask(&mut one, Request::Detach(detach));
    before.commit();
    assert!(before.broker.store.close());
    let after = hall_in(directory.path());
    let mailbox = after.broker.directory.get("one").unwrap();
    let state = mailbox.lock();
    let waiting = state.window.iter().map(|flight| &flight.queued).chain(&state.queue);
    let mut arrivals: Vec<u64> = waiting.map(|queued| queued.arrival).collect();
    arrivals.sort_unstable();
    arrivals.dedup();
    assert_eq!(arrivals.len(), 3, "{arrivals:?}");
}
