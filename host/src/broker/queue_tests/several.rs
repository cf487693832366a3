//! Rows for receivers that compete for a queue.

use super::*;
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// So many are written at once.
const BATCH: usize = 7;

/// A connection that takes what its credit allows.
struct Taker {
    broker: Arc<Broker>,
    at: OnceLock<Attachment>,
    credit: AtomicUsize,
    got: Mutex<Vec<usize>>,
    is_woken: AtomicBool,
    /// Happens when it is told to send.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Outlet for Taker {
    fn flush(&self, now: Time) {
        let meanwhile = self.meanwhile.lock().take();
        meanwhile.into_iter().for_each(|happens| happens());
        let Some(at) = self.at.get() else { return };
        let mut is_full = true;
        while std::mem::take(&mut is_full) && self.credit.load(Ordering::Relaxed) > 0 {
            let mut batch = 0;
            self.broker.consume(at, now, false, &mut |one| {
                self.got.lock().push(String::from_utf8(one.message.payload().to_vec()).unwrap().parse().unwrap());
                batch += 1;
                is_full = batch == BATCH;
                if self.credit.fetch_sub(1, Ordering::Relaxed) > 1 && !is_full { Take::More } else { Take::Enough }
            });
        }
    }

    fn wake(&self) {
        self.is_woken.store(true, Ordering::Relaxed);
    }

    fn close(&self, _: Closed) {}
}

/// Gives each of those that were woken a turn, until none is; how many turns that took.
fn take_turns(takers: &[(Arc<Taker>, Link)], now: Time) -> usize {
    let turns = || takers.iter().filter(|(taker, _)| taker.is_woken.swap(false, Ordering::Relaxed));
    let round = || turns().inspect(|(taker, _)| taker.flush(now)).count();
    std::iter::repeat_with(round).take_while(|turns| *turns > 0).sum()
}

/// What each has got, in its order.
fn counts(takers: &[(Arc<Taker>, Link)]) -> Vec<usize> {
    let got = takers.iter().map(|(taker, _)| taker.got.lock().clone());
    got.inspect(|one| assert!(one.is_sorted())).map(|one| one.len()).collect()
}

impl Hall {
    fn taker(&mut self, credit: usize) -> (Arc<Taker>, Link) {
        self.taker_of(credit, None)
    }

    fn taker_of(&mut self, credit: usize, predicate: Option<Predicate>) -> (Arc<Taker>, Link) {
        let (broker, credit) = (self.broker.clone(), AtomicUsize::new(credit));
        let (got, is_woken, meanwhile) = (Mutex::default(), AtomicBool::new(false), Mutex::default());
        let taker = Arc::new(Taker { broker, at: OnceLock::new(), credit, got, is_woken, meanwhile });
        let source = Source::Queue { address: QUEUE.into(), browses: false, link: "".into() };
        let receive = Receive { client: client("c"), origin: 77, source, predicate };
        let received = self.broker.receive(&mut self.worker, self.now, taker.clone(), receive);
        let received = received.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        self.worker.flush(&self.broker, self.now);
        let at = received.link.attachment().unwrap();
        assert!(taker.at.set(at.clone()).is_ok());
        // It has looked, and found nothing.
        self.broker.consume(at, self.now, false, &mut |_| Take::Enough);
        (taker, received.link)
    }

    fn publish_one(&mut self, text: &str) -> Taken {
        let mut link = Link::of(Arc::new(Probe::default()), Arc::new(client("p")));
        self.broker.publish_bare(&mut self.worker, &mut link, self.now, publication(text), None)
    }

    fn fill_all(&mut self, texts: Vec<String>, in_transaction: bool) {
        if in_transaction {
            let after = self.transacted(&texts);
            self.commit();
            return self.broker.committed(after);
        }
        texts.iter().for_each(|text| assert!(matches!(self.publish_one(text), Taken::Yes(..))));
        self.worker.flush(&self.broker, self.now);
    }

    fn transacted(&mut self, texts: &[String]) -> Sequence {
        let mut link = Link::of(Arc::new(Probe::default()), Arc::new(client("p")));
        let all = texts.iter().map(|text| publication(text)).collect();
        let after = self.broker.transact(&mut self.worker, &mut link, self.now, all, Vec::new(), &[]).unwrap();
        self.worker.flush(&self.broker, self.now);
        after
    }
}

fn publication(text: &str) -> PublishBare<'_> {
    PublishBare {
        name: QUEUE,
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        expiry_milliseconds: None,
        bare: Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 },
        origin: 5,
        encoded: text.as_bytes(),
    }
}

/// Each in its order.
#[test]
fn a_burst_is_shared_by_all_receivers_that_have_credit() {
    for (credits, count, expected) in [
        (&[1000, 1000][..], 400, &[200, 200][..]),
        (&[1000, 10], 400, &[390, 10]),
        (&[0, 1000], 400, &[0, 400]),
        (&[10, 10, 10], 400, &[10, 10, 10]),
        (&[1000, 0, 1000, 1000], 300, &[100, 0, 100, 100]),
        (&[1000, 1000], 2, &[1, 1]),
        (&[1000], 400, &[400]),
    ] {
        let mut hall = hall(Limits::default());
        let takers: Vec<_> = credits.iter().map(|credit| hall.taker(*credit)).collect();
        hall.fill_all((0..count).map(|number| number.to_string()).collect(), false);
        let got = counts(&takers);
        // What does not divide is somebody's.
        let is_near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(*expected) <= 2);
        assert!(is_near, "{credits:?}: {got:?}");
        assert_eq!(got.iter().sum::<usize>(), count.min(credits.iter().sum()));
    }
}

/// It waits for the disk, and whoever is woken then comes on its own.
#[test]
fn what_a_transaction_commits_is_shared_by_all_receivers_that_have_credit() {
    for (credits, count, expected) in [
        (&[1000, 1000][..], 200, &[100, 100][..]),
        (&[1000, 10], 200, &[190, 10]),
        (&[0, 1000, 1000], 240, &[0, 120, 120]),
        (&[1000, 1000], 2, &[1, 1]),
        (&[10, 10, 10], 200, &[10, 10, 10]),
        (&[1000], 200, &[200]),
    ] {
        let mut hall = hall(Limits::default());
        let takers: Vec<_> = credits.iter().map(|credit| hall.taker(*credit)).collect();
        let texts = (0..count).map(|number: usize| number.to_string()).collect();
        hall.fill_all(texts, true);
        let turns = take_turns(&takers, hall.now);
        assert!(turns <= 4 * takers.len() + count / 16, "{credits:?}: {turns} turns");
        let got = counts(&takers);
        let is_near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(*expected) <= 2);
        assert!(is_near, "{credits:?}: {got:?}");
        assert_eq!(got.iter().sum::<usize>(), count.min(credits.iter().sum()));
    }
}

/// Another thread has filled the queue too, before the third one came, and goes round those who were there.
#[test]
fn whoever_goes_round_receivers_of_before_leaves_none_that_came_since_with_a_part() {
    let mut hall = hall(Limits::default());
    let two = [hall.taker(5), hall.taker(5)];
    let before = two[0].1.attachment().unwrap().mailbox.lock().outlet.clone().unwrap();
    let third = [hall.taker(1000)];
    let now = hall.now;
    *two[0].0.meanwhile.lock() = Some(Box::new(move || before.flush(now)));
    hall.fill_all((0..400).map(|number| number.to_string()).collect(), false);
    assert_eq!((counts(&two), counts(&third)), (vec![5, 5], vec![390]));
}

#[test]
fn who_is_left_alone_while_a_burst_is_shared_out_gets_all_of_it() {
    let mut hall = hall(Limits::default());
    let (_goes, link) = hall.taker(1000);
    let stays = [hall.taker(1000)];
    let (broker, now) = (hall.broker.clone(), hall.now);
    *stays[0].0.meanwhile.lock() =
        Some(Box::new(move || broker.part(&mut broker.worker(), now, &link, Parting::Closed)));
    hall.fill_all((0..400).map(|number| number.to_string()).collect(), false);
    let mut got = std::mem::take(&mut *stays[0].0.got.lock());
    got.sort_unstable();
    assert!(got.into_iter().eq(0..400), "what the other one had, too");
}

/// What is for nobody, before the burst or within it, is no part of it. By whichever way they come.
#[test]
fn receivers_with_a_condition_share_what_they_want_and_not_what_waits() {
    // It waits for nobody, comes among the others, and is so many to one of them.
    for (waits, among, is_committed) in [(0, 0, false), (50, 0, false), (300, 0, false), (0, 1, false), (300, 2, true)]
    {
        let mut hall = hall(Limits::default());
        let test = Arc::new(|message: &Message, _: u32| !message.payload().starts_with(b"9"));
        let wanted = || Some(Predicate { words: Arc::from(*b"wanted"), test: test.clone() });
        let takers = [hall.taker_of(1000, wanted()), hall.taker_of(1000, wanted())];
        hall.fill_all(vec!["9".to_owned(); waits], false);
        let burst =
            (100..200).flat_map(|number: usize| [vec![number.to_string()], vec!["9".to_owned(); among]].concat());
        hall.fill_all(burst.collect(), is_committed);
        take_turns(&takers, hall.now);
        let got = counts(&takers);
        assert_eq!(got.iter().sum::<usize>(), 100);
        assert!(got.iter().all(|got| (40..=60).contains(got)), "{waits} {among}: {got:?}");
    }
}

/// Who only looks, or is detached, makes no room: the publisher need not wait.
#[test]
fn a_full_queue_is_waited_for_only_where_somebody_takes() {
    for (browses, rests, waits) in [(false, false, true), (true, false, false), (false, true, false)] {
        let mut hall = hall(Limits { queue_messages_max: 2, ..Limits::default() });
        let one = hall.at_queue(browses);
        if rests {
            hall.broker.rest(&mut hall.worker, one.link.attachment().unwrap());
        }
        hall.fill(2);
        let taken = hall.publish_one("x");
        assert_eq!(matches!(taken, Taken::Parked), waits, "{taken:?}");
        assert_eq!(matches!(taken, Taken::No(_)), !waits, "{taken:?}");
    }
}
