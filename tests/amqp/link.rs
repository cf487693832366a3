//! Frames of links by hand, as rows about termini need them, and what the broker sends for them.

use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use std::net::SocketAddr;

/// What an attach of the client says, beside name and handle.
#[derive(Default)]
pub struct Terms<'a> {
    /// Whole source or target (with its descriptor); none: null.
    pub node: Option<Vec<u8>>,
    pub settles: (u8, u8),
    /// A map (with its constructor).
    pub unsettled: Option<Vec<u8>>,
    /// That map does not have all.
    pub is_incomplete: bool,
    /// Capabilities that are desired.
    pub desired: &'a [&'a str],
    /// Longest message that it takes; 0: any.
    pub bytes_max: u64,
}

pub fn symbols(all: &[&str]) -> Vec<u8> {
    match all {
        [] => NULL.to_vec(),
        [one] => symbol(one),
        all => {
            let items: Vec<u8> = all
                .iter()
                .flat_map(|text| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat())
                .collect();
            let count = (all.len() as u32).to_be_bytes();
            [&[0xF0][..], &(items.len() as u32 + 5).to_be_bytes(), &count, &[0xB3], &items].concat()
        }
    }
}

/// A source: address, expiry-policy, default outcome, capabilities.
pub fn source_with(
    address: &str,
    durable: u32,
    policy: &str,
    outcome: Option<&[u8]>,
    capabilities: &[&str],
) -> Vec<u8> {
    let fields: [&[u8]; 11] = [
        &string(address),
        &uint(durable),
        &symbol(policy),
        &uint(0),
        FALSE,
        NULL,
        NULL,
        NULL,
        outcome.unwrap_or(NULL),
        NULL,
        &symbols(capabilities),
    ];
    performative(0x28, &fields)
}

/// The client receives (`is_receiver`) or sends.
pub fn attach(name: &str, handle: u32, is_receiver: bool, terms: &Terms<'_>) -> Vec<u8> {
    let node = terms.node.clone().unwrap_or_else(|| NULL.to_vec());
    let own = if is_receiver { performative(0x29, &[&string("here")]) } else { performative(0x28, &[&string("here")]) };
    let (source, target) = if is_receiver { (node, own) } else { (own, node) };
    let unsettled = terms.unsettled.clone().unwrap_or_else(|| NULL.to_vec());
    let fields: [&[u8]; 13] = [
        &string(name),
        &uint(handle),
        if is_receiver { TRUE } else { FALSE },
        &ubyte(terms.settles.0),
        &ubyte(terms.settles.1),
        &source,
        &target,
        &unsettled,
        if terms.is_incomplete { TRUE } else { FALSE },
        if is_receiver { NULL } else { &[0x43] },
        &[&[0x80][..], &terms.bytes_max.to_be_bytes()].concat(),
        NULL,
        &symbols(terms.desired),
    ];
    frame(0, &performative(0x12, &fields))
}

/// A transfer of the client's that is resumed: settled or not, with a state or without.
pub fn resumed(
    handle: u32,
    id: u32,
    tag: &[u8],
    settled: bool,
    state: &[u8],
    aborted: bool,
    payload: &[u8],
) -> Vec<u8> {
    let flag = |flag: bool| if flag { TRUE } else { FALSE };
    let fields: [&[u8]; 10] =
        [&uint(handle), &uint(id), &binary(tag), &uint(0), flag(settled), FALSE, NULL, state, TRUE, flag(aborted)];
    frame(0, &[&performative(0x14, &fields)[..], payload].concat())
}

/// A delivery that came.
#[derive(Debug)]
pub struct Delivery {
    pub id: u32,
    pub tag: Vec<u8>,
    pub settled: bool,
    pub state: Value,
    pub resume: bool,
    pub sections: Vec<Value>,
}

impl Delivery {
    /// A section by its number; null if it is left out.
    pub fn section(&self, code: i128) -> Value {
        self.sections.iter().find(|section| section.code() == code).cloned().unwrap_or(Value::Null)
    }

    /// The body, as text.
    pub fn text(&self) -> String {
        match self.section(0x75) {
            Value::Described(_, data) => String::from_utf8(data.bytes().to_vec()).expect("text"),
            other => panic!("no data: {other:?}"),
        }
    }
}

impl Peer {
    /// A connection of this container with a session on channel 0.
    pub fn of(address: SocketAddr, container: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.send(&[AMQP, &open(container), &begin(0)].concat());
        peer.await_header();
        peer.expect(0x10);
        peer.expect(0x11);
        peer
    }

    /// Attaches; what the broker answered.
    pub fn link(&mut self, name: &str, handle: u32, is_receiver: bool, terms: &Terms<'_>) -> Value {
        self.send(&attach(name, handle, is_receiver, terms));
        Value::read(&self.find(0x12)).0
    }

    /// Attaches as a receiver with credit for 100.
    pub fn receiver(&mut self, name: &str, handle: u32, terms: &Terms<'_>) -> Value {
        let answer = self.link(name, handle, true, terms);
        self.send(&flow(0, 2048, Some((handle, 0, 100, false, false))));
        answer
    }

    /// Attaches as a sender, and waits for credit.
    pub fn sender(&mut self, name: &str, handle: u32, terms: &Terms<'_>) -> Value {
        let answer = self.link(name, handle, false, terms);
        self.find(0x13);
        answer
    }

    /// The next delivery, in however many frames.
    pub fn delivery(&mut self) -> Delivery {
        let body = self.find(0x14);
        let (transfer, payload) = Value::read(&body);
        let (mut payload, mut goes_on) = (payload.to_vec(), *transfer.field(5) == Value::Bool(true));
        while goes_on {
            let body = self.find(0x14);
            let (head, part) = Value::read(&body);
            payload.extend_from_slice(part);
            goes_on = *head.field(5) == Value::Bool(true);
        }
        Delivery {
            id: u32::try_from(transfer.field(1).number()).expect("a delivery-id"),
            tag: transfer.field(2).bytes().to_vec(),
            settled: *transfer.field(4) == Value::Bool(true),
            state: transfer.field(7).clone(),
            resume: *transfer.field(8) == Value::Bool(true),
            sections: Value::sections(&payload),
        }
    }

    /// The next disposition.
    pub fn disposition(&mut self) -> Value {
        Value::read(&self.find(0x15)).0
    }

    /// Whether nothing is left on a link whose client asks for it by draining: no delivery comes before the answer.
    pub fn is_drained(&mut self, handle: u32, seen: u32) -> bool {
        self.send(&flow(0, 2048, Some((handle, seen, 100, true, false))));
        loop {
            let body = self.frame().expect("the broker hung up");
            match body[2] {
                0x14 => return false,
                0x13 if *Value::read(&body).0.field(4) != Value::Null => return true,
                _ => {}
            }
        }
    }

    /// The next detach or end, in which there is this condition.
    pub fn refusal(&mut self) -> String {
        let body = self.find(0x16);
        Value::read(&body).0.field(2).field(0).text().to_owned()
    }
}
