//! Any bytes at an AMQP connection: nothing panics, and what is read does not depend on how the bytes were cut.

#![no_main]

use fuzz::amqp::{Action, AttachReply, Connection, Limits, Outcome, Profile, SaslOutcome, State, Step};
use fuzz::message::Time;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else { return };
    let whole = run(*how, bytes, usize::MAX);
    let cut = run(*how, bytes, usize::from(how >> 2) + 1);
    assert_eq!(whole, cut, "it matters how the bytes are cut");
});

fn run(how: u8, bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let profile = Profile {
        container_id: "broker".into(),
        mechanisms: if how & 1 == 0 { vec!["PLAIN".into(), "ANONYMOUS".into()] } else { Vec::new() },
        sasl_required: false,
        tls_offered: false,
        offered_capabilities: Vec::new(),
        properties: Default::default(),
    };
    let mut machine = Connection::new(Arc::new(Limits::default()), Arc::new(profile), Time(0));
    let (mut heard, mut out, mut held, mut rest) = (Vec::new(), Vec::new(), Vec::new(), bytes);
    loop {
        while let Some(length) = step(&mut machine, &held, &mut heard, &mut out) {
            held.drain(..length);
        }
        if rest.is_empty() || heard.last().is_some_and(|last| last.starts_with("Fault")) {
            machine.flush(&mut out);
            return (heard, out);
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        held.extend_from_slice(now);
        rest = later;
    }
}

/// One frame, with the answer of a hall that agrees to everything; how long it was.
fn step(machine: &mut Connection, held: &[u8], heard: &mut Vec<String>, out: &mut Vec<u8>) -> Option<usize> {
    let (length, action) = match machine.receive(Time(1), held, out) {
        Ok(Step::NeedMore { .. } | Step::Wait) => return None,
        Ok(Step::Frame { length, action }) => (length, action),
        Err(fault) => {
            heard.push(format!("Fault {fault:?}"));
            return None;
        }
    };
    // What comes after the last word is swallowed as it comes.
    if held.is_empty() {
        return None;
    }
    assert!(length <= held.len());
    heard.extend(action.as_ref().map(|action| format!("{action:?}")));
    match action {
        Some(Action::Authenticate(_) | Action::SaslResponse(_)) => machine.sasl_outcome(SaslOutcome::Ok, None, out),
        Some(Action::Open(_)) => machine.open(Time(1), out),
        Some(Action::Attach(attach)) => machine.attach(attach.link, AttachReply::agree(&attach), out),
        Some(Action::Transfer(transfer)) if !transfer.settled => {
            machine.settle(transfer.link, transfer.delivery, &State::Ended(Outcome::Accepted), true, out);
        }
        _ => {}
    }
    Some(length)
}
