//! Long queues: a part of them is read at start, the rest when it is asked for.

use super::*;
use crate::dialogue::Notes;
use std::sync::mpsc;

const MANY: u64 = 5_000;

fn long_queues(mailboxes: u64) -> Disk {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit((1..=mailboxes).map(mailbox));
    for id in 1..=MANY {
        let logged = Change::Logged(id, message("t", &id.to_string()));
        store.submit([logged].into_iter().chain((1..=mailboxes).map(|mailbox| queued(mailbox, id, id))));
    }
    store.submit([Change::QueuedFailed(1, MANY, 3, Some(Notes::new(b"why".into())))]);
    assert!(store.close());
    disk
}

fn page(store: &Store, mailbox: MailboxId, after: u64) -> Page {
    let (answer, answers) = mpsc::channel();
    store.read_queue(mailbox, (after, MANY), 512, Box::new(move |page| answer.send(page).unwrap()));
    answers.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_long_queue_is_read_page_by_page() {
    let disk = long_queues(1);
    let (store, loaded) = open(&disk);
    let first = &loaded.mailboxes[0];
    let read = first.queue.len() as u64;
    assert_eq!(first.rest, Some(Rest { after: read, to: MANY, entries: (MANY - read) as usize }));
    let (mut after, mut numbers) = (read, Vec::new());
    while after < MANY {
        let page = page(&store, 1, after);
        after = page.to;
        for entry in page.entries {
            assert_eq!(entry.message.payload(), entry.entry.number.to_string().as_bytes());
            let is_last = entry.entry.number == MANY;
            assert_eq!(entry.failures, if is_last { 3 } else { 0 });
            assert_eq!(entry.notes.as_deref(), is_last.then_some(&b"why"[..]));
            assert!(entry.message.drop_log_use());
            numbers.push(entry.entry.number);
        }
    }
    assert!(numbers.into_iter().eq(read + 1..=MANY));
}

#[test]
fn entries_of_one_log_row_share_the_message_whenever_they_are_read() {
    let disk = long_queues(2);
    let (store, loaded) = open(&disk);
    let after = loaded.mailboxes[0].queue.len() as u64;
    let (one, two) = (page(&store, 1, after), page(&store, 2, after));
    for (one, two) in one.entries.iter().zip(&two.entries) {
        assert!(one.message.is(&two.message));
        assert!(!one.message.drop_log_use() && two.message.drop_log_use());
    }
}

#[test]
fn a_damaged_message_is_left_out_of_its_page() {
    let disk = long_queues(1);
    assert!(disk.flip(b"4999") > 0);
    let (store, loaded) = open(&disk);
    assert_eq!(loaded.damaged, 0, "nobody has looked at it yet");
    let (mut after, mut numbers) = (loaded.mailboxes[0].queue.len() as u64, Vec::new());
    while after < MANY {
        let page = page(&store, 1, after);
        after = page.to;
        numbers.extend(page.entries.iter().map(|entry| entry.entry.number));
    }
    assert!(!numbers.contains(&4999) && numbers.contains(&5000));
}

/// What receivers wrote on entries takes room, too.
#[test]
fn what_is_written_on_entries_counts_among_what_is_read_at_start() {
    let disk = Disk::default();
    let (store, _) = open(&disk);
    store.submit([mailbox(1)]);
    let notes = Notes::new(vec![7; 65_536]);
    for id in 1..=200 {
        let logged = Change::Logged(id, message("t", "m"));
        store.submit([logged, queued(1, id, id), Change::QueuedFailed(1, id, 0, Some(notes.clone()))]);
    }
    assert!(store.close());
    let (store, loaded) = open(&disk);
    let first = &loaded.mailboxes[0];
    assert!((60..80).contains(&first.queue.len()), "{}", first.queue.len());
    assert!(first.queue.iter().all(|entry| entry.notes.as_deref() == Some(&notes[..]) && entry.failures == 0));
    assert!(store.close());
}

/// As earlier versions wrote them, which knew no notes.
#[test]
fn a_row_of_failures_without_notes_is_a_number() {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    row::seal(tables::Table::Failures, b"k", &300_u32, &mut old);
    row::seal(tables::Table::Failures, b"k", &row::FailedRow { failures: 300, notes: b"" }, &mut new);
    assert_eq!(old, new);
    let read: row::FailedRow<'_> = row::unseal(tables::Table::Failures, b"k", &old).unwrap();
    assert!(read.failures == 300 && read.notes().is_none());
}
