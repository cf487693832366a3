//! Rows for what goes back to a queue.

use super::*;

fn in_order(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// AMQP 1.0, 3.4.4: what is released waits at its place, whoever else gives back what stood around it.
#[test]
fn what_several_give_back_stands_in_its_old_order() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut hall = hall(Limits::default());
        let consumers = [hall.at_queue(false), hall.at_queue(false)];
        hall.fill(40);
        let mut got = [Vec::new(), Vec::new()];
        for round in 0..12 {
            let who = round % 2;
            got[who].extend(hall.consume(&consumers[who], 1 + round % 3).iter().map(|one| one.number));
        }
        for who in [first, second] {
            got[who].reverse();
            let at = consumers[who].link.attachment().unwrap();
            hall.broker.dispose(&mut hall.worker, hall.now, at, &got[who], &Disposal::Released, true);
            hall.worker.flush(&hall.broker, hall.now);
        }
        let depth = hall.broker.directory.queue(QUEUE).unwrap().depth();
        let three = hall.at_queue(false);
        assert_eq!((depth, texts(&hall.consume(&three, 99))), (40, in_order(40)));
    }
}

#[test]
fn what_receivers_that_go_had_stands_in_its_old_order() {
    let mut hall = hall(Limits::default());
    let [one, two] = [hall.at_queue(false), hall.at_queue(false)];
    hall.fill(30);
    for round in 0..10 {
        hall.consume(if round % 2 == 0 { &one } else { &two }, 2);
    }
    hall.part(two, Parting::Lost(0));
    hall.part(one, Parting::Closed);
    let three = hall.at_queue(false);
    assert_eq!(texts(&hall.consume(&three, 99)), in_order(30));
}
