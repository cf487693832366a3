//! Rows for queues of which a part is left to the store while receivers pick from the middle.

use super::*;
use std::sync::atomic::AtomicBool;

/// Of which this many stay in memory: more than would have the rest read ahead.
const FEW: usize = 272;

fn few() -> Hall {
    hall(Limits { queue_resident_max: FEW, ..Default::default() })
}

fn wants(hall: &mut Hall, test: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Consumer {
    let predicate = Predicate { test: Arc::new(move |message: &Message, _| test(message)), words: (*b"x").into() };
    hall.consumer(Source::Queue { address: QUEUE.into(), browses: false, link: "".into() }, 77, Some(predicate))
}

/// Only what is on disk may be left there.
fn one_more(hall: &mut Hall, text: &str) {
    assert!(matches!(hall.send(QUEUE, Guarantee::AtLeastOnce, text), Taken::Yes(..)));
    hall.commit();
}

/// Everything that a new receiver is handed of this many, waiting for pages.
fn rest(hall: &mut Hall, expected: usize) -> Vec<String> {
    let all = hall.at_queue(false);
    let mut got = Vec::new();
    for _ in 0..1_000_000 {
        got.append(&mut texts(&hall.consume(&all, usize::MAX)));
        if got.len() >= expected {
            break;
        }
        std::thread::yield_now();
    }
    got
}

/// What a receiver holds is in nobody else's hands, wherever in the queue it stood.
#[test]
fn what_a_receiver_holds_is_not_left_to_the_store_with_its_neighbours() {
    let mut hall = few();
    drop(hall.at_queue(false));
    let picks = wants(&mut hall, |message| message.payload() == b"wanted");
    for _ in 0..2 * FEW - 2 {
        one_more(&mut hall, "other");
        assert!(hall.consume(&picks, 9).is_empty());
    }
    one_more(&mut hall, "wanted");
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    let somebodys = mailbox.lock().queue.back().unwrap().message.clone();
    one_more(&mut hall, "other");
    assert!(mailbox.lock().gap.is_some(), "what is before it is left to the store");
    let held = hall.consume(&picks, 1);
    assert_eq!(texts(&held), ["wanted"]);
    drop(somebodys);
    for _ in 0..4 * FEW {
        one_more(&mut hall, "other");
    }
    let others = rest(&mut hall, 6 * FEW - 1);
    assert!(!others.contains(&"wanted".to_owned()), "it is somebody's");
    assert_eq!(others.len(), 6 * FEW - 1);
    hall.dispose(&picks, held[0].number, Disposal::Released);
    assert_eq!(texts(&hall.consume(&picks, 9)), ["wanted"]);
}

/// Its end may be news to the store while others of its thread are not done.
#[test]
fn what_was_taken_from_the_middle_does_not_come_back_with_its_neighbours() {
    let mut hall = few();
    drop(hall.at_queue(false));
    let picks = wants(&mut hall, |message| message.payload() == b"wanted");
    for _ in 0..FEW + 4 {
        one_more(&mut hall, "other");
    }
    one_more(&mut hall, "wanted");
    let held = hall.consume(&picks, 1);
    assert_eq!(texts(&held), ["wanted"]);
    let at = picks.link.attachment().unwrap().clone();
    hall.broker.dispose(&mut hall.worker, hall.now, &at, &[held[0].number], &Disposal::Accepted, false);
    // Another thread goes on.
    let other = Worker::new(&hall.broker);
    let mut first = std::mem::replace(&mut hall.worker, other);
    for _ in 0..4 * FEW {
        one_more(&mut hall, "other");
    }
    assert!(hall.broker.directory.queue(QUEUE).unwrap().lock().gap.is_some());
    let others = rest(&mut hall, 5 * FEW + 4);
    assert!(!others.contains(&"wanted".to_owned()), "it was accepted");
    assert_eq!(others.len(), 5 * FEW + 4);
    first.flush(&hall.broker, hall.now);
}

/// Whoever takes without answering tells the store a moment later.
#[test]
fn nothing_is_left_to_the_store_before_it_knows_what_was_taken() {
    let mut hall = few();
    drop(hall.at_queue(false));
    let picks = wants(&mut hall, |message| message.payload() == b"wanted");
    for _ in 0..FEW + 4 {
        one_more(&mut hall, "other");
    }
    one_more(&mut hall, "wanted");
    let at = picks.link.attachment().unwrap().clone();
    let mut taken = 0;
    let drained = at.mailbox.acquire(at.number, hall.broker.terms(hall.now), true, &mut |_| {
        taken += 1;
        Take::More
    });
    assert_eq!(taken, 1);
    for _ in 0..4 * FEW {
        one_more(&mut hall, "other");
    }
    assert!(at.mailbox.lock().gap.is_none());
    hall.broker.drained(&at.mailbox, drained, false);
    for _ in 0..16 {
        one_more(&mut hall, "other");
    }
    assert!(at.mailbox.lock().gap.is_some());
}

/// A form is made under no lock: it may be there a moment after a receiver found that it is not.
#[test]
fn a_receiver_gets_only_what_it_wants_while_forms_are_made() {
    const MANY: usize = 3_000;
    let mut hall = hall(Limits::default());
    drop(hall.at_queue(false));
    let picks = wants(&mut hall, |_| false);
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    let topic = Topic::new(QUEUE, &Default::default()).unwrap();
    let guarantee = Guarantee::AtMostOnce;
    let envelope = Envelope { topic, guarantee, retain: false, expires: None, properties: None, hops: 0 };
    let waiting: Vec<Message> = (0..MANY).map(|_| Message::new(envelope.clone(), 0, b"m")).collect();
    for (number, message) in waiting.iter().enumerate() {
        let queued = Queued { number: number as u64 + 1, ..Queued::new(message.clone()) };
        mailbox.count(&queued, true);
        mailbox.lock().queue.push_back(queued);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for message in &waiting {
                let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 };
                message.set_crossed(Some(Message::bare(message.envelope().clone(), bare, 0, b"m")));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            assert_eq!(texts(&hall.consume(&picks, 9)), [""; 0]);
        }
    });
    assert_eq!(mailbox.depth(), MANY);
}
