//! Rows for several connections that come with one client id at the same moment: each was accepted, so each but the last one has
//! its will published once [MQTT-3.1.2-8], or not at all where the session goes on in time [MQTT-3.1.3-9].

use super::tests::{Hall, Peer, hall};
use super::will_tests::{attach_for, come_by, go};
use super::*;
use crate::client::Protocol;
use crate::dialogue::Closed;
use crate::message::Guarantee;
use parking_lot::Mutex;

type Errand = Box<dyn FnOnce() + Send>;

/// A connection that has something done in the moment in which it is thrown out.
struct Meddler(Mutex<Option<Errand>>);

impl Outlet for Meddler {
    fn flush(&self, _now: Time) {}
    fn wake(&self) {}
    fn close(&self, _why: Closed) {
        let errand = self.0.lock().take();
        if let Some(errand) = errand {
            errand();
        }
    }
}

fn asked(payload: &str, delay_seconds: u32, clean: bool) -> Request<'static> {
    let Request::Attach(mut attach) = attach_for("wills", payload, delay_seconds) else { unreachable!() };
    attach.clean = clean;
    Request::Attach(attach)
}

fn watched() -> (Hall, Peer) {
    let mut hall = hall(Limits::default());
    let (mut watcher, _) = hall.attach("watcher", true, 0, 1000);
    hall.subscribe(&mut watcher, "wills", Guarantee::AtLeastOnce);
    (hall, watcher)
}

fn published(hall: &Hall, watcher: &Peer) -> Vec<String> {
    hall.commit();
    let mut came = Vec::new();
    loop {
        let count = came.len();
        came.extend(hall.take(watcher).into_iter().map(|(_, text, _)| text));
        if came.len() == count {
            came.sort();
            return came;
        }
    }
}

/// [MQTT-3.1.2-8], [MQTT-3.1.4-3]: another one comes between the end of the first and the arrival of the last.
#[test]
fn one_that_comes_in_the_middle_of_a_take_over_has_its_will_published() {
    for (delay_seconds, clean, expected) in [
        (0, false, &["between", "first"][..]),
        (60, false, &[]),
        // Whoever begins anew is in before the first one is out, so that the one between takes its place.
        (0, true, &["first", "last"]),
        (60, true, &["first"]),
    ] {
        let (mut hall, watcher) = watched();
        let broker = hall.broker.clone();
        let now = hall.now;
        let errand: Errand = Box::new(move || {
            come_by(&broker, &mut broker.worker(), now, asked("between", delay_seconds, false));
        });
        let meddler = Arc::new(Meddler(Mutex::new(Some(errand))));
        let mut first = Link::new(meddler, nobody("mqtt", Protocol::Mqtt));
        let come = asked("first", delay_seconds, false);
        let answer = hall.broker.handle(&mut hall.worker, &mut first, now, come);
        assert!(matches!(answer, Answer::Say(_, Event::Attached(_))), "{answer:?}");
        let (_last, _) = come_by(&hall.broker, &mut hall.worker, now, asked("last", delay_seconds, clean));
        assert_eq!(published(&hall, &watcher), expected, "{delay_seconds} {clean}");
        let session = hall.broker.directory.get("owner").unwrap();
        assert!(session.is_attached() && hall.broker.wills.is_kept(session.id));
        // The watcher and the last one.
        assert_eq!(hall.broker.metrics.clients.get(), 2, "{delay_seconds} {clean}");
    }
}

/// [MQTT-3.1.2-8]: the one between waits for the will of the first, and has not left its own, when it is thrown out itself.
#[test]
fn one_that_is_thrown_out_before_its_will_is_kept_has_it_published() {
    for (delay_seconds, clean, expected) in [
        (0, false, &["between", "first"][..]),
        (60, false, &["first"]),
        (0, true, &["between", "first"]),
        // The session ends with the clean start, and with it the delay.
        (60, true, &["between", "first"]),
    ] {
        let (mut hall, watcher) = watched();
        let (first, _) = come_by(&hall.broker, &mut hall.worker, hall.now, asked("first", 0, false));
        let mailbox = first.attachment().unwrap().mailbox.clone();
        let staged = go(&mut hall, &first);
        let come = |request: Request<'static>| {
            let (broker, now) = (hall.broker.clone(), hall.now);
            std::thread::spawn(move || drop(come_by(&broker, &mut broker.worker(), now, request)))
        };
        let between = come(asked("between", delay_seconds, false));
        while !mailbox.is_attached() {
            std::thread::yield_now();
        }
        let number = mailbox.lock().attachment;
        let last = come(asked("last", delay_seconds, clean));
        // It is out, and the last one is in: the other's will is on its way until then.
        while mailbox.lock().attachment == number || !(clean || mailbox.is_attached()) {
            std::thread::yield_now();
        }
        hall.broker.clone().commit(&mut hall.worker, staged);
        between.join().unwrap();
        last.join().unwrap();
        assert_eq!(published(&hall, &watcher), expected, "{delay_seconds} {clean}");
        let session = hall.broker.directory.get("owner").unwrap();
        assert!(session.is_attached() && hall.broker.wills.is_kept(session.id));
        assert_eq!(hall.broker.metrics.clients.get(), 2, "{delay_seconds} {clean}");
    }
}

/// [MQTT-3.1.2-8], [MQTT-3.1.4-3]
#[test]
fn of_many_that_come_at_once_each_but_the_last_has_its_will_published_once() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 50;
    let (hall, watcher) = watched();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (broker, now) = (hall.broker.clone(), hall.now);
            std::thread::spawn(move || {
                let mut worker = broker.worker();
                for round in 0..ROUNDS {
                    // Now and then one begins anew.
                    let request = asked(&format!("{thread} {round}"), 0, (thread + round) % 5 == 0);
                    drop(come_by(&broker, &mut worker, now, request));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut came = published(&hall, &watcher);
    let count = came.len();
    came.dedup();
    assert_eq!((came.len(), count), (THREADS * ROUNDS - 1, THREADS * ROUNDS - 1));
    assert_eq!(hall.broker.metrics.clients.get(), 2);
}
