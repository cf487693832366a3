//! Rows for consumers, queues and messages that are kept as their publisher encoded them.

use super::queued::Queued;
use super::tests::{Hall, Probe, hall, hall_in};
use super::*;
use crate::client::{Client, Protocol};
use crate::dialogue::{
    Consignment, Disposal, Notes, Predicate, Publish, RetainHandling, Routed, SubscribeFilter, SubscribeOptions,
};
use crate::message::{Bare, Envelope, FormMissing, Guarantee, Message, Refusal, RefusalKind};
use crate::store::QueueRecord;
use crate::topic::Topic;
use std::sync::atomic::Ordering;

mod ends;
mod left;
mod promises;
mod returning;
mod several;
mod simulation;
mod told;

const QUEUE: &str = "/queues/q";

pub(super) struct Consumer {
    pub link: Link,
    probe: Arc<Probe>,
}

fn client(id: &str) -> Client {
    Client { id: id.into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() }
}

impl Hall {
    fn consumer(&mut self, source: Source, origin: u64, predicate: Option<Predicate>) -> Consumer {
        let probe = Arc::new(Probe::default());
        let receive = Receive { client: client("c"), origin, source, predicate };
        let received = self
            .broker
            .receive(&mut self.worker, self.now, probe.clone(), receive)
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        self.worker.flush(&self.broker, self.now);
        Consumer { link: received.link, probe }
    }

    pub(super) fn at_queue(&mut self, browses: bool) -> Consumer {
        self.consumer(Source::Queue { address: QUEUE.into(), browses, link: "".into() }, 77, None)
    }

    fn send(&mut self, name: &str, handover: Guarantee, text: &str) -> Taken {
        self.send_under(name, handover, text, None)
    }

    fn send_under(&mut self, name: &str, handover: Guarantee, text: &str, tag: Option<(&str, &[u8])>) -> Taken {
        let probe = Arc::new(Probe::default());
        let mut link = Link::of(probe, Arc::new(client("p")));
        let publish = PublishBare {
            name,
            guarantee: Guarantee::AtMostOnce,
            retain: false,
            expiry_milliseconds: None,
            bare: Bare { handover, blank: false, durable: false, priority: 4 },
            origin: 5,
            encoded: text.as_bytes(),
        };
        let slot = match tag.map(|(link, tag)| self.broker.admit(link, tag, 5)) {
            None => None,
            Some(Admission::New(slot)) => Some(slot),
            Some(Admission::Full(refusal)) => return Taken::No(refusal),
            Some(other) => panic!("{other:?}"),
        };
        let taken = self.broker.publish_bare(&mut self.worker, &mut link, self.now, publish, slot);
        self.worker.flush(&self.broker, self.now);
        taken
    }

    pub(super) fn fill(&mut self, count: usize) {
        for n in 0..count {
            assert!(
                matches!(self.send(QUEUE, Guarantee::AtLeastOnce, &n.to_string()), Taken::Yes(after, _) if after > 0)
            );
        }
    }

    pub(super) fn consume(&self, consumer: &Consumer, most: usize) -> Vec<Consignment> {
        let mut got = Vec::new();
        self.broker.consume(consumer.link.attachment().unwrap(), self.now, false, &mut |consignment| {
            got.push(consignment);
            if got.len() < most { Take::More } else { Take::Enough }
        });
        got
    }

    fn dispose(&mut self, consumer: &Consumer, number: u64, how: Disposal) {
        let at = consumer.link.attachment().unwrap();
        self.broker.dispose(&mut self.worker, self.now, at, &[number], &how, true);
        self.worker.flush(&self.broker, self.now);
    }

    fn part(&mut self, consumer: Consumer, how: Parting) {
        self.broker.part(&mut self.worker, self.now, &consumer.link, how);
        self.worker.flush(&self.broker, self.now);
    }
}

pub(super) fn texts(got: &[Consignment]) -> Vec<String> {
    got.iter().map(|one| String::from_utf8(one.message.payload().to_vec()).unwrap()).collect()
}

#[test]
fn a_queue_keeps_what_came_before_its_first_consumer_and_shares_by_credit() {
    let mut hall = hall(Limits::default());
    drop(hall.at_queue(false));
    hall.fill(10);
    let (one, two) = (hall.at_queue(false), hall.at_queue(false));
    assert_eq!(texts(&hall.consume(&one, 4)), ["0", "1", "2", "3"]);
    assert_eq!(texts(&hall.consume(&two, 4)), ["4", "5", "6", "7"]);
}

/// By either protocol, also after somebody deleted it under a sender.
#[test]
fn whoever_publishes_to_an_address_of_a_queue_makes_the_queue() {
    let mut hall = hall(Limits::default());
    hall.fill(1);
    assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), 1);
    let (mut publisher, _) = hall.attach("p", true, 0, 10);
    hall.publish(&mut publisher, "/queues/other", Guarantee::AtLeastOnce, 1, b"m");
    assert_eq!(hall.broker.directory.queue("/queues/other").unwrap().depth(), 1);
    hall.publish(&mut publisher, "/queues/", Guarantee::AtLeastOnce, 2, b"m");
    assert!(hall.broker.directory.queue("/queues/").is_none(), "a queue has a name");
}

/// HTTP and bridges. Where no more queues are made, the message is refused.
#[test]
fn whoever_publishes_without_a_connection_makes_the_queue_too() {
    let mut hall = hall(Limits { queues_max: 1, ..Default::default() });
    let over_http = |hall: &mut Hall, name: &str| {
        let publish = Publish {
            name,
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            handle: 1,
            expiry_seconds: None,
            properties: None,
            payload: b"m",
        };
        hall.broker.publish_as(&mut hall.worker, hall.now, &client("admin"), publish)
    };
    let (after, routed) = over_http(&mut hall, "/queues/http").unwrap();
    assert!(after > 0 && routed == Routed::Matched);
    assert_eq!(hall.broker.directory.queue("/queues/http").unwrap().depth(), 1);
    assert_eq!(over_http(&mut hall, "/queues/third").unwrap_err().kind, RefusalKind::QuotaExceeded);
}

#[test]
fn an_at_most_once_publication_waits_in_a_queue_too() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.part(one, Parting::Closed);
    assert!(matches!(hall.send(QUEUE, Guarantee::AtMostOnce, "x"), Taken::Yes(..)));
    let two = hall.at_queue(false);
    assert_eq!(texts(&hall.consume(&two, 9)), ["x"]);
}

#[test]
fn what_is_given_back_comes_again_at_its_place_and_counts_only_if_it_failed() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.fill(3);
    let got = hall.consume(&one, 2);
    hall.dispose(&one, got[0].number, Disposal::Released);
    let got = hall.consume(&one, 1);
    assert_eq!((texts(&got), got[0].failures, got[0].duplicate), (vec!["0".into()], 0, true));
    let failed = Disposal::Modified { failed: true, elsewhere: false, notes: None };
    hall.dispose(&one, got[0].number, failed);
    let got = hall.consume(&one, 9);
    assert_eq!(texts(&got), ["0", "2"]);
    assert_eq!((got[0].failures, got[1].failures), (1, 0));
}

/// A condition may ask how often it failed (AMQP 1.0, 3.2.1).
#[test]
fn a_consumer_may_want_only_what_failed_before() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.fill(2);
    let predicate = Predicate { words: Arc::from(*b"failed"), test: Arc::new(|_: &Message, failures| failures > 0) };
    let source = Source::Queue { address: QUEUE.into(), browses: false, link: "".into() };
    let two = hall.consumer(source, 2, Some(predicate));
    let got = hall.consume(&one, 1);
    assert_eq!(hall.consume(&two, 9).len(), 0);
    hall.dispose(&one, got[0].number, Disposal::Modified { failed: true, elsewhere: false, notes: None });
    assert_eq!(texts(&hall.consume(&two, 9)), ["0"]);
}

#[test]
fn an_entry_that_failed_too_often_goes_to_the_dead_letters_and_so_does_a_rejected_one() {
    let mut hall = hall(Limits { queue_failures_max: 2, ..Default::default() });
    let one = hall.at_queue(false);
    hall.fill(2);
    let got = hall.consume(&one, 9);
    hall.dispose(&one, got[1].number, Disposal::Rejected);
    for _ in 0..2 {
        hall.dispose(&one, got[0].number, Disposal::Modified { failed: true, elsewhere: false, notes: None });
        hall.consume(&one, 9);
    }
    assert_eq!(hall.consume(&one, 9).len(), 0);
    let dead = hall.consumer(
        Source::Queue { address: "/queues/dead-letters".into(), browses: false, link: "".into() },
        1,
        None,
    );
    assert_eq!(texts(&hall.consume(&dead, 9)), ["1", "0"]);
}

pub(super) fn dead_letters(hall: &mut Hall) -> Consumer {
    let address = "/queues/dead-letters".into();
    hall.consumer(Source::Queue { address, browses: false, link: "".into() }, 1, None)
}

/// Nothing acknowledged is lost: what has no room among the dead letters counts in its own queue until it has.
#[test]
fn a_dead_letter_waits_in_its_queue_until_there_is_room_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let one_only = QueueRecord { messages_max: Some(1), ..QueueRecord::default() };
    let dead = "/queues/dead-letters";
    declared_at(&mut hall, dead, one_only);
    declared(&mut hall, QueueRecord { messages_max: Some(4), ..QueueRecord::default() });
    let one = hall.at_queue(false);
    hall.fill(4);
    let got = hall.consume(&one, 4);
    got.iter().take(3).for_each(|entry| hall.dispose(&one, entry.number, Disposal::Rejected));
    assert_eq!(hall.consume(&one, 9).len(), 0, "a consumer does not get again what it has rejected");
    assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), 2);
    hall.dispose(&one, got[3].number, Disposal::Released);
    hall.send(QUEUE, Guarantee::AtLeastOnce, "last");
    assert!(matches!(hall.send(QUEUE, Guarantee::AtLeastOnce, "x"), Taken::Parked), "they count as what waits");
    let letters = dead_letters(&mut hall);
    for expected in ["0", "1"] {
        let got = hall.consume(&letters, 9);
        assert_eq!(texts(&got), [expected]);
        hall.dispose(&letters, got[0].number, Disposal::Accepted);
        hall.broker.tick(&mut hall.worker, hall.now);
        assert_eq!(hall.consume(&letters, 9).len(), 0, "it is not tried all the time");
        hall.now = hall.now.plus_seconds(1);
        hall.broker.tick(&mut hall.worker, hall.now);
    }
    assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), 2);
    // One that waits when the broker ends is an entry like others after it.
    let got = hall.consume(&one, 1);
    hall.dispose(&one, got[0].number, Disposal::Rejected);
    assert_eq!(hall.consume(&one, 9).len(), 1);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    let (one, letters) = (hall.at_queue(false), dead_letters(&mut hall));
    assert_eq!(texts(&hall.consume(&one, 9)), ["3", "last"]);
    assert_eq!(texts(&hall.consume(&letters, 9)), ["2"]);
}

/// With its queue it goes, and what the store has of it.
#[test]
fn a_dead_letter_that_waits_goes_with_its_queue() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let full = QueueRecord { messages_max: Some(0), ..QueueRecord::default() };
    declared_at(&mut hall, "/queues/dead-letters", full);
    let one = hall.at_queue(false);
    hall.fill(2);
    let got = hall.consume(&one, 9);
    got.iter().for_each(|entry| hall.dispose(&one, entry.number, Disposal::Rejected));
    assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), 2);
    hall.broker.delete_queue(&mut hall.worker, hall.now, &manager(), QUEUE).unwrap();
    hall.now = hall.now.plus_seconds(1);
    hall.broker.tick(&mut hall.worker, hall.now);
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.mailboxes.len(), checked.messages), (1, 0));
}

#[test]
fn an_entry_for_elsewhere_goes_to_another_consumer_only() {
    let mut hall = hall(Limits::default());
    let (one, two) = (hall.at_queue(false), hall.at_queue(false));
    hall.fill(2);
    let got = hall.consume(&one, 1);
    hall.dispose(&one, got[0].number, Disposal::Modified { failed: false, elsewhere: true, notes: None });
    assert_eq!(texts(&hall.consume(&one, 9)), ["1"]);
    assert_eq!(texts(&hall.consume(&two, 9)), ["0"]);
}

#[test]
fn what_a_lost_consumer_had_comes_again_in_order_and_counts_as_failed() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.fill(4);
    let got = hall.consume(&one, 3);
    hall.dispose(&one, got[1].number, Disposal::Accepted);
    hall.part(one, Parting::Lost(0));
    let two = hall.at_queue(false);
    let got = hall.consume(&two, 9);
    assert_eq!(texts(&got), ["0", "2", "3"]);
    assert_eq!(got.iter().map(|one| one.failures).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn browsing_takes_nothing_away() {
    let mut hall = hall(Limits::default());
    let (one, browser) = (hall.at_queue(false), hall.at_queue(true));
    hall.fill(3);
    assert_eq!(texts(&hall.consume(&browser, 9)), ["0", "1", "2"]);
    assert_eq!(hall.consume(&browser, 9).len(), 0);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0", "1", "2"]);
}

#[test]
fn a_consumer_of_a_queue_takes_only_what_its_condition_holds_for() {
    let mut hall = hall(Limits::default());
    let test = Arc::new(|message: &crate::message::Message, _| message.payload() != b"1");
    let predicate = Predicate { words: Arc::from(*b"not 1"), test };
    let source = Source::Queue { address: QUEUE.into(), browses: false, link: "".into() };
    let (one, two) = (hall.consumer(source, 1, Some(predicate)), hall.at_queue(false));
    hall.fill(3);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0", "2"]);
    assert_eq!(texts(&hall.consume(&two, 9)), ["1"]);
}

fn subscription(expiry_seconds: u32) -> Source {
    let options = SubscribeOptions {
        guarantee: Guarantee::ExactlyOnce,
        no_local: true,
        retain_handling: RetainHandling::Always,
        ..Default::default()
    };
    let filter = Some(SubscribeFilter { name: "a/+".into(), share: None, options });
    Source::Subscription { filter, expiry_seconds, clean: false, shared: false }
}

#[test]
fn a_subscription_without_no_receiver_keeps_for_as_long_as_it_was_asked_to() {
    let mut hall = hall(Limits::default());
    let one = hall.consumer(subscription(60), 1, None);
    hall.send("a/b", Guarantee::AtLeastOnce, "0");
    let got = hall.consume(&one, 9);
    assert_eq!(texts(&got), ["0"]);
    hall.part(one, Parting::Kept(60));
    hall.send("a/b", Guarantee::AtLeastOnce, "1");
    let one = hall.consumer(subscription(60), 1, None);
    assert_eq!(hall.broker.still_waiting(one.link.attachment().unwrap(), &[got[0].number, 99]), [got[0].number]);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0", "1"]);
    hall.part(one, Parting::Closed);
    hall.send("a/b", Guarantee::AtLeastOnce, "2");
    let one = hall.consumer(subscription(0), 1, None);
    assert_eq!(hall.consume(&one, 9).len(), 0);
}

#[test]
fn a_receiver_that_comes_under_the_same_name_takes_over() {
    let mut hall = hall(Limits::default());
    let one = hall.consumer(subscription(60), 1, None);
    hall.send("a/b", Guarantee::AtLeastOnce, "0");
    hall.consume(&one, 9);
    let two = hall.consumer(subscription(60), 1, None);
    assert_eq!(*one.probe.closed.lock(), Some(Closed::TakenOver));
    assert_eq!(hall.consume(&one, 9).len(), 0);
    assert_eq!(texts(&hall.consume(&two, 9)), ["0"]);
    assert_eq!(*two.probe.closed.lock(), None);
}

#[test]
fn what_a_connection_publishes_itself_is_left_out_if_it_says_so() {
    let mut hall = hall(Limits::default());
    let (own, other) = (hall.consumer(subscription(0), 5, None), 6);
    hall.send("a/b", Guarantee::AtLeastOnce, "0");
    assert_eq!(hall.consume(&own, 9).len(), 0);
    hall.part(own, Parting::Closed);
    let own = hall.consumer(subscription(0), other, None);
    hall.send("a/b", Guarantee::AtLeastOnce, "0");
    assert_eq!(hall.consume(&own, 9).len(), 1);
}

#[test]
fn a_full_queue_refuses_a_publisher_if_nobody_is_there() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Default::default() });
    let one = hall.at_queue(false);
    hall.part(one, Parting::Closed);
    hall.fill(2);
    assert!(matches!(hall.send(QUEUE, Guarantee::AtLeastOnce, "x"), Taken::No(_)));
    // One that was promised nothing is dropped.
    assert!(matches!(hall.send(QUEUE, Guarantee::AtMostOnce, "x"), Taken::Yes(..)));
    let one = hall.at_queue(false);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0", "1"]);
}

#[test]
fn a_queue_that_is_removed_tells_its_consumers_and_is_empty_when_it_comes_again() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.fill(2);
    assert!(hall.broker.delete_queue(&mut hall.worker, hall.now, &manager(), QUEUE).unwrap().is_some());
    assert!(one.probe.closed.lock().is_some());
    let one = hall.at_queue(false);
    assert_eq!(hall.consume(&one, 9).len(), 0);
}

#[test]
fn tags_of_a_link_are_bounded_and_there_is_room_again_once_one_is_forgotten() {
    let mut hall = hall(Limits { unreleased_max: 2, ..Default::default() });
    let send = |hall: &mut Hall, tag: &[u8]| hall.send_under(QUEUE, Guarantee::ExactlyOnce, "x", Some(("link", tag)));
    hall.broker.own_tags("link", 5);
    assert!(matches!(send(&mut hall, b"1"), Taken::Yes(..)));
    assert!(matches!(send(&mut hall, b"2"), Taken::Yes(..)));
    assert!(matches!(send(&mut hall, b"3"), Taken::No(refusal) if refusal.kind == RefusalKind::QuotaExceeded));
    hall.broker.forget_tag("link", b"1");
    assert!(matches!(send(&mut hall, b"3"), Taken::Yes(..)));
}

/// However many links there are.
#[test]
fn tags_of_all_links_are_bounded_together() {
    let mut hall = hall(Limits { mailboxes_max: 2, ..Default::default() });
    let send = |hall: &mut Hall, link: &str, tag: &[u8]| {
        hall.broker.own_tags(link, 5);
        hall.send_under(QUEUE, Guarantee::ExactlyOnce, "x", Some((link, tag)))
    };
    assert!(matches!(send(&mut hall, "one", b"1"), Taken::Yes(..)));
    assert!(matches!(send(&mut hall, "one", b"2"), Taken::Yes(..)));
    assert!(matches!(send(&mut hall, "other", b"1"), Taken::No(refusal) if refusal.kind == RefusalKind::QuotaExceeded));
    hall.broker.forget_tag("one", b"1");
    hall.broker.forget_tag("one", b"1");
    assert!(matches!(send(&mut hall, "other", b"1"), Taken::Yes(..)));
    assert!(matches!(send(&mut hall, "one", b"3"), Taken::No(_)));
    assert!(hall.broker.forget_tags("one"));
    assert!(matches!(send(&mut hall, "one", b"3"), Taken::Yes(..)));
}

/// What is known of a link whose client never comes back keeps nobody out for ever, not over a restart either.
#[test]
fn tags_of_a_link_that_nobody_comes_back_to_are_forgotten_after_their_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = hall_in(directory.path());
    let day = 86_400;
    for link in ["gone", "closed", "back"] {
        hall.broker.own_tags(link, 5);
        let taken = hall.send_under(QUEUE, Guarantee::ExactlyOnce, "x", Some((link, b"1")));
        assert!(matches!(taken, Taken::Yes(..)));
        hall.broker.disown_tags(hall.now, link, 5);
    }
    assert!(hall.broker.forget_tags("closed") && !hall.broker.forget_tags("closed"));
    hall.now = hall.now.plus_seconds(6 * day);
    hall.broker.own_tags("back", 6);
    hall.broker.disown_tags(hall.now, "back", 6);
    hall.now = hall.now.plus_seconds(day);
    hall.broker.tick(&mut hall.worker, hall.now);
    let known = |hall: &Hall| ["gone", "closed", "back"].map(|link| hall.broker.tags(link).len());
    assert_eq!(known(&hall), [0, 0, 1]);
    hall.commit();
    assert!(hall.broker.store.close());
    let mut hall = hall_in(directory.path());
    assert_eq!(known(&hall), [0, 0, 1]);
    hall.now = hall.now.plus_seconds(7 * day);
    hall.broker.tick(&mut hall.worker, hall.now);
    assert_eq!(known(&hall), [0; 3]);
}

/// 2.6.13: a connection that takes a link over hears of what the former one was publishing at that moment.
#[test]
fn a_link_is_taken_over_before_a_publication_or_after_it() {
    let mut hall = hall(Limits::default());
    hall.broker.own_tags("link", 1);
    let Admission::New(slot) = hall.broker.admit("link", b"tag", 1) else { panic!("it is not admitted") };
    let Hall { broker, worker, .. } = &mut hall;
    broker.begin_tagged(worker, Some(&slot));
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| {
            broker.own_tags("link", 2);
            broker.tags("link")
        });
        while broker.waiting_for_tags() == 0 && !taker.is_finished() {
            std::thread::yield_now();
        }
        broker.end_tagged(worker, slot, true);
        assert_eq!(taker.join().unwrap(), [Box::from(&b"tag"[..])]);
    });
    assert!(matches!(broker.admit("link", b"next", 1), Admission::Stolen));
    assert!(matches!(broker.admit("link", b"tag", 2), Admission::Known(_)));
    assert!(matches!(broker.admit("link", b"next", 2), Admission::New(_)));
}

/// What a receiver that settles second remembers of one message must never mean another one: a crash takes numbers back, and
/// an empty queue has none to go on from.
#[test]
fn numbers_of_entries_are_never_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Vec::new();
    for round in 0..3 {
        let mut hall = super::tests::hall_in(directory.path());
        let one = hall.at_queue(false);
        // It says that it is done with everything that it ever got.
        let done: Vec<_> = numbers.iter().map(|number| (*number, Disposal::Accepted)).collect();
        let at = one.link.attachment().unwrap();
        hall.broker.dispose_waiting(&mut hall.worker, hall.now, at, &done);
        hall.send(QUEUE, Guarantee::ExactlyOnce, &round.to_string());
        hall.commit();
        let done: Vec<_> = numbers.iter().map(|number| (*number, Disposal::Accepted)).collect();
        let at = one.link.attachment().unwrap();
        hall.broker.dispose_waiting(&mut hall.worker, hall.now, at, &done);
        let got = hall.consume(&one, 9);
        assert_eq!(texts(&got), [round.to_string()]);
        assert!(!numbers.contains(&got[0].number), "{numbers:?} {}", got[0].number);
        numbers.push(got[0].number);
        hall.dispose(&one, got[0].number, Disposal::Accepted);
        // A queue that is deleted and made again begins behind the old one.
        let client = client("c");
        hall.broker.delete_queue(&mut hall.worker, hall.now, &client, QUEUE).unwrap();
        let one = hall.at_queue(false);
        hall.send(QUEUE, Guarantee::ExactlyOnce, "again");
        hall.commit();
        let got = hall.consume(&one, 9);
        assert!(!numbers.contains(&got[0].number), "{numbers:?} {}", got[0].number);
        numbers.push(got[0].number);
        hall.dispose(&one, got[0].number, Disposal::Accepted);
        hall.commit();
        assert!(hall.broker.store.close());
    }
}

/// Who sees to queues.
fn manager() -> Arc<Client> {
    Arc::new(Client { id: "manager".into(), container: None, scope: nobody("amqp", Protocol::Amqp), peer: "".into() })
}

fn declared(hall: &mut Hall, record: QueueRecord) {
    declared_at(hall, QUEUE, record);
}

fn declared_at(hall: &mut Hall, address: &str, record: QueueRecord) {
    let change = |_: Option<&QueueRecord>| Ok::<_, Refusal>(record);
    hall.broker.change_queue(&mut hall.worker, hall.now, &manager(), address, change).unwrap();
}

#[test]
fn what_waits_longer_than_its_queue_allows_is_given_up_and_keeps_nobody_out() {
    let mut hall = hall(Limits::default());
    declared(
        &mut hall,
        QueueRecord { expiry_milliseconds: Some(1000), messages_max: Some(2), ..QueueRecord::default() },
    );
    hall.fill(2);
    assert!(matches!(hall.send(QUEUE, Guarantee::AtLeastOnce, "x"), Taken::No(_)));
    hall.now = hall.now.plus_milliseconds(1001);
    hall.fill(1);
    let one = hall.at_queue(false);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0"]);
    assert_eq!(hall.broker.metrics().messages_expired_total.get(), 2);
    hall.fill(1);
    hall.now = hall.now.plus_milliseconds(1001);
    assert_eq!(hall.consume(&one, 9).len(), 0);
}

#[test]
fn a_queue_has_a_bound_in_bytes_of_its_own() {
    let mut hall = hall(Limits::default());
    declared(&mut hall, QueueRecord { bytes_max: Some(1), ..QueueRecord::default() });
    hall.fill(1);
    assert!(matches!(hall.send(QUEUE, Guarantee::AtLeastOnce, "x"), Taken::No(_)));
}

#[test]
fn queues_are_bounded_and_there_is_room_again_once_one_is_removed() {
    let mut hall = hall(Limits { queues_max: 1, ..Default::default() });
    hall.fill(0);
    drop(hall.at_queue(false));
    let other = Topic::new("/queues/other", &Default::default()).unwrap();
    assert!(hall.broker.queue(hall.now, &other).is_err());
    hall.broker.delete_queue(&mut hall.worker, hall.now, &manager(), QUEUE).unwrap();
    assert!(hall.broker.queue(hall.now, &other).is_ok());
}

#[test]
fn a_publisher_that_waited_goes_on_when_a_receiver_that_settles_at_once_has_made_room() {
    let mut hall = hall(Limits { queue_messages_max: 2, ..Default::default() });
    let one = hall.at_queue(false);
    hall.fill(2);
    let waiting = Arc::new(Probe::default());
    let mut link = Link::of(waiting.clone(), Arc::new(client("p")));
    let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 };
    let publish = PublishBare {
        name: QUEUE,
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        expiry_milliseconds: None,
        bare,
        origin: 5,
        encoded: b"x",
    };
    let taken = hall.broker.publish_bare(&mut hall.worker, &mut link, hall.now, publish, None);
    assert!(matches!(taken, Taken::Parked));
    let at = one.link.attachment().unwrap();
    hall.broker.consume(at, hall.now, true, &mut |_| Take::More);
    assert!(waiting.wakes.load(Ordering::Relaxed) > 0, "nobody told the publisher");
    assert!(matches!(hall.broker.resume_bare(&mut hall.worker, &mut link, hall.now, None), Taken::Yes(..)));
}

#[test]
fn notes_of_receivers_gather_up_to_a_bound() {
    let mut hall = hall(Limits { notes_bytes_max: 4, ..Default::default() });
    let one = hall.at_queue(false);
    hall.fill(1);
    for (note, kept) in [("ab", "ab"), ("cd", "abcd"), ("ef", "ef"), ("ghijk", "ef")] {
        let number = hall.consume(&one, 1)[0].number;
        let notes = Some(Notes::new(note.into()));
        hall.dispose(&one, number, Disposal::Modified { failed: false, elsewhere: false, notes });
        let got = hall.consume(&one, 1);
        assert_eq!(got[0].notes.as_deref(), Some(kept.as_bytes()));
        hall.dispose(&one, got[0].number, Disposal::Released);
    }
}

/// MQTT-4.4.0-1, for what came by AMQP: the form of MQTT lives in memory only.
#[test]
fn what_came_back_from_the_store_is_formed_before_it_is_sent_again() {
    let mut hall = hall(Limits::default());
    let (subscriber, _) = hall.attach("s", false, 100, 10);
    let bare = |text: &[u8]| {
        let envelope = Envelope {
            topic: Topic::new("a", &Default::default()).unwrap(),
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expires: None,
            properties: None,
            hops: 0,
        };
        let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: true, priority: 4 };
        Message::bare(envelope, bare, 0, text)
    };
    let (formless, formed) = (bare(b"sections"), bare(b"sections"));
    formed.set_crossed(Some(Message::new(formed.envelope().clone(), 0, b"m")));
    let entry = |number, message| {
        (Queued { number, guarantee: Guarantee::AtLeastOnce, stored: true, ..Queued::new(message) }, None, false)
    };
    // The last one of them was received: all before it were sent.
    let received = Queued { number: 3, guarantee: Guarantee::ExactlyOnce, ..Queued::new(bare(b"sections")) };
    let restored = vec![entry(1, formless.clone()), entry(2, formed), (received, None, true)];
    subscriber.link.attachment().unwrap().mailbox.restore(restored);
    // No module translates here, so that one of them has no form; in no case does it leave as it is kept.
    assert_eq!(hall.take(&subscriber), []);
    hall.broker.refill(&mut hall.worker, &subscriber.link, hall.now);
    let taken = hall.take(&subscriber);
    assert_eq!(taken, [(2, "m".to_owned(), true), (3, "release".to_owned(), false)]);
    assert_eq!(formless.in_form(false).unwrap_err(), FormMissing::Impossible);
    assert_eq!(hall.broker.client("s").unwrap().in_flight, 2);
}

/// A session that is received from is that of an MQTT client, never the mailbox of another receiver.
#[test]
fn a_receiver_does_not_take_the_place_of_another_as_a_session() {
    let mut hall = hall(Limits::default());
    for (id, taken) in [("$amqp/c/link", false), ("device", true)] {
        let receive = Receive { client: client(id), origin: 1, source: Source::Session, predicate: None };
        let probe = Arc::new(Probe::default());
        assert_eq!(hall.broker.receive(&mut hall.worker, hall.now, probe, receive).is_ok(), taken, "{id}");
    }
}

/// Invariant 5: what is sent by a way that somebody worked out before the queue was there would be accepted, and lost.
#[test]
fn who_finds_a_queue_that_was_made_meanwhile_sends_by_a_way_that_leads_there() {
    let mut hall = hall(Limits::default());
    let (broker, scope) = (hall.broker.clone(), nobody("amqp", Protocol::Amqp));
    let before = broker.route(&mut hall.worker, &scope, QUEUE).unwrap();
    let topic = before.topic.clone();
    let (queue, _) = broker.queue(hall.now, &topic).unwrap();
    assert!(!before.leads_to(&queue));
    let after = broker.queue_on_first_use(&mut hall.worker, hall.now, before).unwrap();
    assert!(after.leads_to(&queue));
}

#[test]
fn what_is_bound_to_a_queue_while_it_goes_goes_with_it() {
    let hall = hall(Limits::default());
    let (broker, now) = (&hall.broker, hall.now);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut worker = broker.worker();
            for n in 0..500 {
                let change = |before: Option<&QueueRecord>| {
                    let mut record = before.cloned().unwrap_or_default();
                    record.bindings.push(format!("f/{n}").into());
                    Ok::<_, Refusal>(record)
                };
                broker.change_queue(&mut worker, now, &manager(), QUEUE, change).unwrap();
            }
        });
        threads.spawn(|| {
            let mut worker = broker.worker();
            for _ in 0..500 {
                broker.delete_queue(&mut worker, now, &manager(), QUEUE).unwrap();
            }
        });
    });
    broker.delete_queue(&mut broker.worker(), now, &manager(), QUEUE).unwrap();
    assert!(broker.trie.read().is_empty(), "somebody is bound who is not there");
    assert_eq!((broker.metrics.subscriptions.get(), broker.queues(0).count()), (0, 0));
}

/// They are held against each message that is published: that ends its publisher's turn.
#[test]
fn conditions_of_subscriptions_count_as_work() {
    let mut hall = hall(Limits::default());
    let test = Arc::new(|_: &Message, _| false);
    let predicate = Predicate { words: vec![b' '; 1 << 20].into(), test };
    let _one = hall.consumer(subscription(0), 1, Some(predicate));
    let before = hall.worker.work();
    hall.send("a/b", Guarantee::AtLeastOnce, &"0".repeat(100));
    assert!(hall.worker.work() - before > 10_000);
}

/// Invariant 3: others come to the queue, and to the thread, while somebody looks for the few entries that it wants.
#[test]
fn a_condition_is_held_against_a_long_queue_in_parts() {
    let mut hall = hall(Limits::default());
    let tests = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counts, last) = (tests.clone(), "x".repeat(999) + "!");
    let wanted = last.clone();
    let test = Arc::new(move |message: &Message, _| {
        counts.fetch_add(1, Ordering::Relaxed);
        message.payload() == wanted.as_bytes()
    });
    drop(hall.at_queue(false));
    for _ in 0..40 {
        hall.send(QUEUE, Guarantee::AtLeastOnce, &"x".repeat(1000));
    }
    hall.send(QUEUE, Guarantee::AtLeastOnce, &last);
    hall.commit();
    for browses in [true, false] {
        let predicate = Predicate { words: vec![0; 4096].into(), test: test.clone() };
        let source = Source::Queue { address: QUEUE.into(), browses, link: "".into() };
        let one = hall.consumer(source, 1, Some(predicate));
        for part in 1.. {
            let (before, wakes) = (tests.load(Ordering::Relaxed), one.probe.wakes.load(Ordering::Relaxed));
            let got = hall.consume(&one, 9);
            let looks = tests.load(Ordering::Relaxed) - before;
            assert!((1..=5).contains(&looks), "{looks} in one go");
            if texts(&got) == [last.as_str()] {
                assert!(part > 8, "{part}");
                break;
            }
            assert_eq!((got.len(), one.probe.wakes.load(Ordering::Relaxed)), (0, wakes + 1), "it comes again");
        }
        hall.part(one, Parting::Closed);
    }
}

/// 3.5.6: the time begins when what a subscription lasts as long as has ended, and not when its link did.
#[test]
fn a_subscription_that_is_held_stays_until_it_is_let_go_and_its_time_is_over() {
    for seconds in [0, 10] {
        let mut hall = hall(Limits::default());
        let source = |seconds| {
            let options = SubscribeOptions { guarantee: Guarantee::AtLeastOnce, ..Default::default() };
            let filter = Some(SubscribeFilter { name: "a".into(), share: None, options });
            Source::Subscription { filter, expiry_seconds: seconds, clean: false, shared: false }
        };
        let (first, second) = (hall.consumer(source(seconds), 1, None), hall.consumer(source(seconds), 1, None));
        hall.part(second, Parting::Held(seconds));
        let one = hall.consumer(source(seconds), 1, None);
        let link = one.link.attachment.clone();
        hall.part(one, Parting::Held(seconds));
        hall.now = hall.now.plus_seconds(100_000);
        hall.broker.tick(&mut hall.worker, hall.now);
        hall.send("a", Guarantee::AtLeastOnce, "kept");
        // The first one has lost its place, and has no say any more.
        hall.broker.let_go(&mut hall.worker, hall.now, first.link.attachment().unwrap(), seconds);
        let mailbox = hall.broker.directory.get("c").expect("it is there");
        assert_eq!(mailbox.depth(), 1);
        let mut held = first.link;
        held.attachment = link;
        hall.broker.let_go(&mut hall.worker, hall.now, held.attachment().unwrap(), seconds);
        assert_eq!(hall.broker.directory.get("c").is_some(), seconds > 0);
        hall.now = hall.now.plus_seconds(seconds + 1);
        hall.broker.tick(&mut hall.worker, hall.now);
        assert!(hall.broker.directory.get("c").is_none());
    }
}

/// The publications of a transaction are counted together.
#[test]
fn a_transaction_that_a_queue_has_no_room_for_is_refused_whole() {
    let mut hall = hall(Limits::default());
    declared(&mut hall, QueueRecord { messages_max: Some(3), ..QueueRecord::default() });
    for (count, waits) in [(4, 0), (3, 3), (1, 3)] {
        let mut link = Link::of(Arc::new(Probe::default()), Arc::new(client("p")));
        let publish = || PublishBare {
            name: QUEUE,
            guarantee: Guarantee::AtMostOnce,
            retain: false,
            expiry_milliseconds: None,
            bare: Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 },
            origin: 5,
            encoded: b"m",
        };
        let all = (0..count).map(|_| publish()).collect();
        let done = hall.broker.transact(&mut hall.worker, &mut link, hall.now, all, Vec::new(), &[]);
        assert_eq!(done.is_ok(), count == waits, "{count}");
        assert_eq!(hall.broker.directory.queue(QUEUE).unwrap().depth(), waits);
    }
}

/// What a receiver of a session wants of it is over when its client comes by MQTT.
#[test]
fn a_client_that_takes_a_session_over_from_a_receiver_gets_all_of_it() {
    let mut hall = hall(Limits::default());
    let test = Arc::new(|_: &crate::message::Message, _| false);
    let _one = hall.consumer(Source::Session, 1, Some(Predicate { words: Arc::from(*b"none"), test }));
    let mailbox = hall.broker.directory.get("c").unwrap();
    assert!(mailbox.predicate().is_some());
    let (_peer, resumed) = hall.attach("c", false, 60, 10);
    assert!(resumed && mailbox.predicate().is_none());
    assert!(mailbox.keep_condition().is_none(), "the store has heard of it");
}
