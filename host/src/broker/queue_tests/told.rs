//! Rows for what receivers that come back say of entries that only the store has.

use super::*;

/// More than is read at a start.
const MANY: usize = 5_000;

/// A hall in which the last of that many entries are in the store only, and their numbers.
fn restarted(directory: &std::path::Path, fill: impl Fn(&mut Hall)) -> Hall {
    let mut hall = hall_in(directory);
    fill(&mut hall);
    hall.commit();
    assert!(hall.broker.store.close());
    hall_in(directory)
}

/// Takes and accepts everything, waiting for pages where nothing is there: what was taken, with its failures.
fn drain(hall: &mut Hall, consumer: &Consumer, expected: usize) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    while all.len() < expected {
        hall.broker.tick(&mut hall.worker, hall.now);
        let got = hall.consume(consumer, 100);
        if got.is_empty() {
            std::thread::yield_now();
        }
        for one in got {
            all.push((String::from_utf8(one.message.payload().to_vec()).unwrap(), one.failures));
            hall.dispose(consumer, one.number, Disposal::Accepted);
        }
    }
    // The store's thread says that there is something to carry out after it has handed over the page.
    let mailbox = consumer.link.attachment().unwrap().mailbox.clone();
    while !mailbox.lock().consuming.told.is_empty() {
        hall.broker.tick(&mut hall.worker, hall.now);
        std::thread::yield_now();
    }
    all
}

/// AMQP 1.0, 2.6.13: what a receiver that comes back says of an entry is carried out, also where only the store has that entry.
#[test]
fn an_outcome_of_an_entry_that_is_in_the_store_does_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = restarted(directory.path(), |hall| {
        drop(hall.at_queue(false));
        hall.fill(MANY);
    });
    let one = hall.at_queue(false);
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    let first = mailbox.lock().queue.front().unwrap().number;
    let number = |text: u64| first + text;
    assert!(mailbox.lock().is_in_gap(number(4_500)));
    let modified = |failed, elsewhere| Disposal::Modified { failed, elsewhere, notes: None };
    let said = [
        (number(4_500), Disposal::Rejected),
        (number(4_600), modified(true, false)),
        (number(4_700), Disposal::Accepted),
        (number(4_800), modified(false, true)),
    ];
    hall.broker.dispose_waiting(&mut hall.worker, hall.now, one.link.attachment().unwrap(), &said);
    let all = drain(&mut hall, &one, MANY - 3);
    assert!(!all.iter().any(|(text, _)| ["4500", "4700", "4800"].contains(&text.as_str())));
    let failed: Vec<_> = all.iter().filter(|(_, failures)| *failures > 0).collect();
    assert_eq!(failed, [&("4600".to_owned(), 1)]);
    let other = hall.at_queue(false);
    assert_eq!(texts(&hall.consume(&other, 9)), ["4800"], "it goes elsewhere");
    let letters = dead_letters(&mut hall);
    assert_eq!(texts(&hall.consume(&letters, 9)), ["4500"]);
    assert_eq!(mailbox.depth(), 0);
}

/// Its page may have been read a moment before.
#[test]
fn what_is_accepted_while_its_page_is_on_its_way_does_not_come_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = restarted(directory.path(), |hall| {
        drop(hall.at_queue(false));
        hall.fill(MANY);
    });
    let one = hall.at_queue(false);
    let mailbox = hall.broker.directory.queue(QUEUE).unwrap();
    let first = mailbox.lock().queue.front().unwrap().number;
    let range = mailbox.lock().next_page(true).unwrap();
    let (read, page) = std::sync::mpsc::channel();
    let then = move |page| read.send(page).unwrap();
    hall.broker.store.read_queue(mailbox.id, range, super::super::gap::PAGE, Box::new(then));
    let page = page.recv().unwrap();
    let said = [(range.0 + 9, Disposal::Accepted)];
    hall.broker.dispose_waiting(&mut hall.worker, hall.now, one.link.attachment().unwrap(), &said);
    mailbox.take_page(page);
    hall.broker.carry_out_told(&mut hall.worker, hall.now, mailbox.id);
    let all = drain(&mut hall, &one, MANY - 1);
    assert!(!all.iter().any(|(text, _)| *text == (range.0 + 9 - first).to_string()));
    assert_eq!(mailbox.depth(), 0);
}

/// The same of a subscription, which has no dead letters: what is rejected is gone, and stays so.
#[test]
fn what_is_rejected_of_a_subscription_is_gone_where_only_the_store_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut hall = restarted(directory.path(), |hall| {
        let one = hall.consumer(subscription(u32::MAX), 1, None);
        hall.part(one, Parting::Kept(u32::MAX));
        (0..MANY).for_each(|n| drop(hall.send("a/b", Guarantee::AtLeastOnce, &n.to_string())));
    });
    let one = hall.consumer(subscription(u32::MAX), 1, None);
    let mailbox = one.link.attachment().unwrap().mailbox.clone();
    let first = mailbox.lock().queue.front().unwrap().number;
    assert!(mailbox.lock().is_in_gap(first + 4_500));
    let said = [(first + 4_500, Disposal::Rejected)];
    hall.broker.dispose_waiting(&mut hall.worker, hall.now, one.link.attachment().unwrap(), &said);
    let all = drain(&mut hall, &one, MANY - 1);
    assert!(!all.iter().any(|(text, _)| text == "4500"));
    assert_eq!((mailbox.depth(), hall.consume(&one, 9).len()), (0, 0));
    hall.commit();
    assert!(hall.broker.store.close());
    let checked = crate::store::check(directory.path(), &Default::default()).unwrap();
    assert_eq!((checked.loaded.damaged, checked.messages), (0, 0));
}
