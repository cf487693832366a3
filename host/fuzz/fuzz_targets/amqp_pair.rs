//! Two peers with a machine each: what one of them sends in whatever frames, the other is sent, while it says whatever it
//! likes. All that the machines write is frames, and what a receiver gets is what was sent.

#![no_main]

use fuzz::amqp::{Action, AttachReply, Connection, Limits, LinkId, Outgoing, Profile, State, Step};
use fuzz::message::Time;
use fuzz::{frames, raw};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

struct Peer {
    machine: Connection,
    out: Vec<u8>,
    receivers: Vec<LinkId>,
    messages: Vec<Vec<u8>>,
    over: bool,
}

impl Peer {
    fn new(receives: bool) -> Self {
        let profile = Profile {
            container_id: "broker".into(),
            mechanisms: Vec::new(),
            sasl_required: false,
            tls_offered: false,
            offered_capabilities: Vec::new(),
            properties: Default::default(),
        };
        let machine = Connection::new(Arc::new(Limits::default()), Arc::new(profile), Time(0));
        let mut peer = Self { machine, out: Vec::new(), receivers: Vec::new(), messages: Vec::new(), over: false };
        let attach = match receives {
            true => [raw::attach_receiver("r", 0, (0, 1)), raw::flow(0, 3, Some((0, 0, 5, false, false)))].concat(),
            false => raw::attach_sender("s", 0, (0, 1)),
        };
        peer.feed(&[raw::AMQP, &raw::open("c"), &raw::begin(0), &attach].concat());
        peer
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !self.over && !bytes.is_empty() {
            match self.machine.receive(Time(1), bytes, &mut self.out) {
                Ok(Step::NeedMore { .. } | Step::Wait) => return,
                Err(_) => self.over = true,
                Ok(Step::Frame { length, action }) => {
                    bytes = &bytes[length..];
                    if let Some(action) = action {
                        self.act(action);
                    }
                }
            }
        }
    }

    fn act(&mut self, action: Action<'_>) {
        match action {
            Action::Open(_) => self.machine.open(Time(1), &mut self.out),
            Action::Attach(attach) => {
                if attach.direction == fuzz::amqp::Direction::Outgoing {
                    self.receivers.push(attach.link);
                }
                self.machine.attach(attach.link, AttachReply::agree(&attach), &mut self.out);
            }
            Action::Transfer(transfer) => {
                self.messages.push(transfer.bytes.to_vec());
                if !transfer.settled {
                    let settled = self.messages.len() % 2 == 0;
                    self.machine.settle(transfer.link, transfer.delivery, &State::ACCEPTED, settled, &mut self.out);
                }
            }
            Action::Outcomes(all) => {
                for one in all.iter().filter(|one| !one.settled) {
                    self.machine.settle_outgoing(one.link, one.delivery, None, &mut self.out);
                }
            }
            Action::Detach(detach) if !detach.by_machine => {
                self.machine.detach(detach.link, detach.closed, None, &mut self.out);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, message: &[u8], number: u64) -> bool {
        let tag = number.to_be_bytes();
        let (head, rest) = message.split_at(message.len() / 2);
        let parts = [head, rest];
        let outgoing = Outgoing {
            token: number,
            tag: &tag,
            format: 0,
            settled: number % 3 == 0,
            resume: false,
            state: None,
            parts: &parts,
            shared: None,
        };
        let receivers = self.receivers.clone();
        receivers.iter().any(|link| {
            let room = self.machine.room(*link);
            let sent = self.machine.deliver(*link, &outgoing, &mut self.out).is_ok();
            assert!(!sent || room > 0, "more than there was room for");
            sent
        })
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((split, rest)) = input.split_first() else { return };
    let (first, second) = rest.split_at(rest.len().min(usize::from(*split) * 4));
    let (mut sender, mut receiver) = (Peer::new(false), Peer::new(true));
    sender.feed(first);
    let messages = std::mem::take(&mut sender.messages);
    let mut sent = Vec::new();
    for (number, message) in (1u64..).zip(&messages) {
        if receiver.deliver(message, number) {
            sent.extend_from_slice(message);
        }
    }
    receiver.machine.flush(&mut receiver.out);
    // Nothing was said yet by which a delivery could be cut short but the window of three frames.
    let payload = frames::amqp(&receiver.out);
    assert!(sent.starts_with(&payload) || sent.is_empty(), "what comes out is not what went in");
    receiver.out.clear();
    for piece in second.chunks(64) {
        receiver.feed(piece);
        receiver.deliver(b"more", 99);
        receiver.machine.flush(&mut receiver.out);
    }
    frames::amqp(&receiver.out);
    sender.machine.flush(&mut sender.out);
    frames::amqp(&sender.out);
});
