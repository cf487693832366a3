//! A machine and a client on a string.

use super::raw;
use crate::amqp::{
    Action, Attach, AttachReply, Connection, DeliveryId, Fault, Limits, LinkId, Outgoing, Profile, Step, Undelivered,
    condition,
};
use crate::message::Time;
use fe2o3_amqp_types::performatives::Performative;
use std::sync::Arc;

/// What the machine said.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few of them live in a row")]
pub enum Said {
    /// A protocol header: its id.
    Header(u8),
    /// A frame without a body.
    Empty,
    /// Channel, performative, and what follows it.
    Amqp(u16, Performative, Vec<u8>),
    /// A SASL frame: its number and all of its body.
    Sasl(u8, Vec<u8>),
}

pub struct Rig {
    pub machine: Connection,
    pub now: Time,
    pub out: Vec<u8>,
}

pub fn profile() -> Profile {
    Profile {
        container_id: "broker".into(),
        mechanisms: vec!["PLAIN".into(), "ANONYMOUS".into()],
        sasl_required: false,
        tls_offered: true,
        offered_capabilities: vec!["ANONYMOUS-RELAY".into()],
        properties: Default::default(),
    }
}

impl Rig {
    pub fn with(limits: Limits, profile: Profile) -> Self {
        let now = Time(1_000_000);
        Self { machine: Connection::new(Arc::new(limits), Arc::new(profile), now), now, out: Vec::new() }
    }

    pub fn new() -> Self {
        Self::with(Limits::default(), profile())
    }

    /// With a session on channel 0.
    pub fn begun_with(limits: Limits) -> Self {
        let mut rig = Self::with(limits, profile());
        let bytes = [raw::AMQP, &raw::open("client"), &raw::begin(0)].concat();
        rig.feed(&bytes).unwrap();
        rig.said();
        rig
    }

    pub fn begun() -> Self {
        Self::begun_with(Limits::default())
    }

    /// Works off all whole frames; open is answered at once. The other actions.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Action<'static>>, Fault> {
        let mut at = 0;
        let mut actions = Vec::new();
        while at < bytes.len() {
            match self.machine.receive(self.now, &bytes[at..], &mut self.out)? {
                Step::NeedMore { length } => {
                    assert!(length.is_none_or(|length| length > bytes.len() - at), "asked for what it had");
                    break;
                }
                Step::Wait => break,
                Step::Frame { length, action } => {
                    at += length;
                    match action {
                        Some(Action::Open(_)) => self.machine.open(self.now, &mut self.out),
                        Some(action) => actions.push(owned(action)),
                        None => {}
                    }
                }
            }
        }
        self.machine.flush(&mut self.out);
        Ok(actions)
    }

    /// One action, and no other.
    pub fn one(&mut self, bytes: &[u8]) -> Action<'static> {
        let mut actions = self.feed(bytes).unwrap();
        assert_eq!(actions.len(), 1, "{actions:?}");
        actions.remove(0)
    }

    pub fn attach(&mut self, bytes: &[u8]) -> Box<Attach> {
        match self.one(bytes) {
            Action::Attach(attach) => attach,
            other => panic!("{other:?}"),
        }
    }

    /// A link that was agreed to.
    pub fn attached(&mut self, bytes: &[u8], credit: Option<u32>) -> LinkId {
        let attach = self.attach(bytes);
        let reply = AttachReply { credit, ..AttachReply::agree(&attach) };
        self.machine.attach(attach.link, reply, &mut self.out);
        attach.link
    }

    pub fn deliver(
        &mut self,
        link: LinkId,
        token: u64,
        settled: bool,
        payload: &[u8],
    ) -> Result<DeliveryId, Undelivered> {
        let tag = token.to_be_bytes();
        let outgoing = Outgoing {
            token,
            tag: &tag,
            format: 0,
            settled,
            resume: false,
            state: None,
            parts: &[b"", payload],
            shared: None,
        };
        self.machine.deliver(link, &outgoing, &mut self.out)
    }

    /// The condition with which the connection ends.
    pub fn fault(&mut self, bytes: &[u8]) -> String {
        condition::name(&self.feed(bytes).unwrap_err().error.condition)
    }

    /// What the machine has said since the last time.
    pub fn said(&mut self) -> Vec<Said> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        let mut said = Vec::new();
        while !rest.is_empty() {
            if let Some(header) = rest.strip_prefix(b"AMQP") {
                said.push(Said::Header(header[0]));
                rest = &rest[8..];
                continue;
            }
            let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (frame, after) = rest.split_at(size);
            rest = after;
            said.push(read(frame));
        }
        said
    }

    /// Performatives that the machine has said since the last time.
    pub fn performatives(&mut self) -> Vec<Performative> {
        let said = self.said().into_iter();
        said.filter_map(|said| if let Said::Amqp(_, performative, _) = said { Some(performative) } else { None })
            .collect()
    }

    /// The condition in the last close, end or detach that was said.
    pub fn condition(&mut self) -> String {
        let error = self.performatives().into_iter().rev().find_map(|performative| match performative {
            Performative::Close(close) => close.error,
            Performative::End(end) => end.error,
            Performative::Detach(detach) => detach.error,
            _ => None,
        });
        error.map_or("none".to_owned(), |error| condition::name(&error.condition))
    }
}

fn read(frame: &[u8]) -> Said {
    let body = &frame[8..];
    if body.is_empty() {
        return Said::Empty;
    }
    assert_eq!(frame[4], 2);
    if frame[5] == 1 {
        return Said::Sasl(body[2], body.to_vec());
    }
    let channel = u16::from_be_bytes([frame[6], frame[7]]);
    let performative: Performative = serde_amqp::from_slice(body).unwrap();
    // Its list ends where the bytes of the message begin.
    let end = match body[3] {
        0x45 => 4,
        0xC0 => 5 + usize::from(body[4]),
        _ => 8 + u32::from_be_bytes(body[4..8].try_into().unwrap()) as usize,
    };
    Said::Amqp(channel, performative, body[end..].to_vec())
}

/// The same action without the bytes it was read from.
fn owned(action: Action<'_>) -> Action<'static> {
    match action {
        Action::Transfer(transfer) => {
            Action::Transfer(crate::amqp::Transfer { bytes: transfer.bytes.into_owned().into(), ..transfer })
        }
        Action::StartTls => Action::StartTls,
        Action::Authenticate(words) => Action::Authenticate(words),
        Action::SaslResponse(bytes) => Action::SaslResponse(bytes),
        Action::Open(opening) => Action::Open(opening),
        Action::Attach(attach) => Action::Attach(attach),
        Action::Declare { link, delivery, is_global } => Action::Declare { link, delivery, is_global },
        Action::Discharge { link, delivery, txn, fail } => Action::Discharge { link, delivery, txn, fail },
        Action::Outcomes(outcomes) => Action::Outcomes(outcomes),
        Action::Forgotten(forgotten) => Action::Forgotten(forgotten),
        Action::Flow(flow) => Action::Flow(flow),
        Action::Detach(detach) => Action::Detach(detach),
        Action::Ended { session, links, error } => Action::Ended { session, links, error },
        Action::Closed { error } => Action::Closed { error },
    }
}
