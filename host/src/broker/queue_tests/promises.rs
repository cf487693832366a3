//! Rows for what is kept for a receiver that came back.

use super::*;

#[test]
fn what_a_consumer_was_told_to_get_again_nobody_else_gets_while_it_is_there() {
    let mut hall = hall(Limits::default());
    let (one, two) = (hall.at_queue(false), hall.at_queue(false));
    hall.fill(3);
    let number = hall.consume(&one, 1)[0].number;
    hall.part(one, Parting::Kept(0));
    let one = hall.at_queue(false);
    assert_eq!(hall.broker.still_waiting(one.link.attachment().unwrap(), &[number]), [number]);
    assert_eq!(hall.broker.still_waiting(two.link.attachment().unwrap(), &[number]), [0; 0]);
    assert_eq!(texts(&hall.consume(&two, 9)), ["1", "2"]);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0"]);
    hall.part(one, Parting::Kept(0));
    let one = hall.at_queue(false);
    assert_eq!(hall.broker.still_waiting(one.link.attachment().unwrap(), &[number]), [number]);
    hall.part(one, Parting::Kept(0));
    assert_eq!(texts(&hall.consume(&two, 9)), ["0"]);
}

/// 3.5.8: who comes back with another filter keeps nothing from others that it does not want itself.
#[test]
fn a_consumer_is_promised_only_what_it_still_wants() {
    let mut hall = hall(Limits::default());
    let one = hall.at_queue(false);
    hall.fill(2);
    let numbers: Vec<u64> = hall.consume(&one, 9).iter().map(|got| got.number).collect();
    hall.part(one, Parting::Kept(0));
    let test = Arc::new(|message: &crate::message::Message, _| message.payload() != b"1");
    let predicate = Predicate { words: Arc::from(*b"not 1"), test };
    let source = Source::Queue { address: QUEUE.into(), browses: false, link: "".into() };
    let (one, two) = (hall.consumer(source, 1, Some(predicate)), hall.at_queue(false));
    assert_eq!(hall.broker.still_waiting(one.link.attachment().unwrap(), &numbers), numbers[..1]);
    assert_eq!(texts(&hall.consume(&two, 9)), ["1"]);
    assert_eq!(texts(&hall.consume(&one, 9)), ["0"]);
}

/// Who finds that the entry cannot go yet, or only looks at it, changes nothing for anybody.
#[test]
fn what_was_only_looked_at_stays_promised() {
    let mut hall = hall(Limits::default());
    let (one, two, looks) = (hall.at_queue(false), hall.at_queue(false), hall.at_queue(true));
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    let topic = Topic::new(QUEUE, &Default::default()).unwrap();
    let guarantee = Guarantee::AtMostOnce;
    let envelope = Envelope { topic, guarantee, retain: false, expires: None, properties: None, hops: 0 };
    let message = Message::new(envelope, 0, b"0");
    let queued = Queued { number: 1, ..Queued::new(message.clone()) };
    mailbox.count(&queued, true);
    mailbox.lock().queue.push_back(queued);
    assert_eq!(hall.broker.still_waiting(one.link.attachment().unwrap(), &[1]), [1]);
    assert_eq!(texts(&hall.consume(&one, 9)), [""; 0], "its form is not made yet");
    let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 };
    message.set_crossed(Some(Message::bare(message.envelope().clone(), bare, 0, b"0")));
    assert_eq!(hall.consume(&two, 9).len(), 0);
    assert_eq!(hall.consume(&looks, 9).len(), 1);
    assert_eq!(hall.consume(&two, 9).len(), 0);
    assert_eq!(hall.consume(&one, 9).len(), 1);
}
