//! An AMQP client that writes frames by hand and keeps what comes: links by name, deliveries by link.

use super::value::Value;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// A message to be sent.
#[derive(Debug, Clone, Default)]
pub struct Post {
    pub durable: Option<bool>,
    pub annotations: Vec<(&'static str, Vec<u8>)>,
    pub message_id: Option<Vec<u8>>,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    /// With its descriptor.
    pub body: Vec<u8>,
}

impl Post {
    /// A publication of these bytes.
    pub fn of(payload: &[u8]) -> Self {
        Self { body: raw::message(payload), ..Self::default() }
    }

    /// A request.
    pub fn about(subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..Self::default() }
    }

    /// A will of QoS and retain flag.
    pub fn will(topic: &str, payload: &[u8], qos: u8, retain: bool) -> Self {
        Self { subject: Some("will".to_owned()), to: Some(topic.to_owned()), ..Self::of(payload).qos(qos) }
            .retain(retain)
    }

    pub fn qos(mut self, qos: u8) -> Self {
        self.annotations.push(("x-opt-mqtt-qos", raw::ubyte(qos)));
        self
    }

    pub fn retain(mut self, retain: bool) -> Self {
        self.annotations.push(("x-opt-retain-message", if retain { raw::TRUE } else { raw::FALSE }.to_vec()));
        self
    }

    pub fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.annotations.push((name, value));
        self
    }

    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = Some(durable);
        self
    }

    pub fn to(mut self, to: &str) -> Self {
        self.to = Some(to.to_owned());
        self
    }

    pub fn id(mut self, id: u64) -> Self {
        self.message_id = Some(raw::ulong(id));
        self
    }

    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    pub fn reply_to(mut self, to: &str) -> Self {
        self.reply_to = Some(to.to_owned());
        self
    }

    pub fn correlation(mut self, address: &str) -> Self {
        self.correlation_id = Some(address.to_owned());
        self
    }

    /// A body of one value.
    pub fn value(mut self, value: &[u8]) -> Self {
        self.body = raw::described(0x77, value);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let text = |text: &Option<String>| text.as_deref().map_or(raw::NULL.to_vec(), raw::string);
        let mut out = Vec::new();
        if let Some(durable) = self.durable {
            out.extend(raw::performative(0x70, &[if durable { raw::TRUE } else { raw::FALSE }]));
        }
        if !self.annotations.is_empty() {
            let items: Vec<Vec<u8>> =
                self.annotations.iter().flat_map(|(name, value)| [raw::symbol(name), value.clone()]).collect();
            let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
            out.extend(raw::described(0x72, &raw::map(&items)));
        }
        let id = self.message_id.clone().unwrap_or(raw::NULL.to_vec());
        let fields =
            [&id, raw::NULL, &text(&self.to), &text(&self.subject), &text(&self.reply_to), &text(&self.correlation_id)];
        out.extend(raw::performative(0x73, &fields));
        out.extend(&self.body);
        out
    }
}

/// A message that came.
#[derive(Debug, Clone)]
pub struct Got {
    pub link: String,
    pub id: u32,
    pub tag: Vec<u8>,
    pub settled: bool,
    pub resume: bool,
    pub header: Value,
    pub delivery_annotations: Value,
    pub annotations: Value,
    pub properties: Value,
    /// Of a Data section, or none.
    pub payload: Vec<u8>,
    /// Of an amqp-value section.
    pub value: Value,
}

impl Got {
    pub fn to(&self) -> &str {
        self.properties.field(2).text().unwrap_or_default()
    }

    pub fn subject(&self) -> &str {
        self.properties.field(3).text().unwrap_or_default()
    }

    pub fn message_id(&self) -> &Value {
        self.properties.field(0)
    }

    pub fn qos(&self) -> Option<i128> {
        self.annotations.get("x-opt-mqtt-qos").and_then(Value::number)
    }

    pub fn retain(&self) -> bool {
        self.annotations.get("x-opt-retain-message").is_some_and(Value::is_true)
    }

    pub fn delivery_count(&self) -> i128 {
        self.header.field(4).number().unwrap_or(0)
    }

    fn new(link: String, transfer: &Value, mut payload: &[u8]) -> Self {
        let Value::Bytes(tag) = transfer.field(2).clone() else { panic!("a tag: {transfer:?}") };
        let mut got = Self {
            link,
            id: transfer.field(1).number().expect("a delivery-id") as u32,
            tag,
            settled: transfer.field(4).is_true(),
            resume: transfer.field(8).is_true(),
            header: Value::Null,
            delivery_annotations: Value::Null,
            annotations: Value::Null,
            properties: Value::Null,
            payload: Vec::new(),
            value: Value::Null,
        };
        while !payload.is_empty() {
            let Value::Described(code, content) = Value::take(&mut payload) else { panic!("a section") };
            match (code, *content) {
                (0x70, header) => got.header = header,
                (0x71, annotations) => got.delivery_annotations = annotations,
                (0x72, annotations) => got.annotations = annotations,
                (0x73, properties) => got.properties = properties,
                (0x75, Value::Bytes(bytes)) => got.payload.extend(bytes),
                (0x77, value) => got.value = value,
                _ => {}
            }
        }
        got
    }
}

/// What the broker says of something that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Accepted {
        settled: bool,
    },
    Rejected(String),
    /// The link went down instead.
    Detached(String),
}

pub const ACCEPTED: Said = Said::Accepted { settled: true };

/// An answer to an attach.
#[derive(Debug, Clone)]
pub struct Attached {
    /// What the broker remembers: tags, and whether it has an outcome for them.
    pub unsettled: Vec<(Vec<u8>, bool)>,
}

pub struct Client {
    pub peer: Peer,
    /// Of the broker's Open.
    pub open_properties: Value,
    handles: HashMap<String, u32>,
    /// The broker's handles.
    names: HashMap<u32, String>,
    next_handle: u32,
    next_delivery: u32,
    /// By delivery; true: one of the client's.
    said: HashMap<(bool, u32), Said>,
    inbox: VecDeque<Got>,
    detached: HashMap<String, String>,
    answers: HashMap<String, Attached>,
    closed: bool,
}

/// What an attach asks for beside its name and address.
#[derive(Debug, Clone, Default)]
pub struct Link {
    pub settles: (u8, u8),
    /// Encoded: the unsettled map.
    pub unsettled: Option<Vec<u8>>,
    /// Encoded: link properties.
    pub properties: Option<Vec<u8>>,
    /// A desired capability.
    pub desires: Option<&'static str>,
}

impl Client {
    pub fn connect(address: SocketAddr, container: &str) -> Self {
        let mut peer = Peer::connect(address);
        peer.send(raw::AMQP);
        Self::begin(peer, container)
    }

    /// The same with a name and a password.
    pub fn connect_as(address: SocketAddr, container: &str, user: &str, password: &str) -> Self {
        let mut peer = Peer::connect(address);
        let response = [&[0][..], user.as_bytes(), &[0], password.as_bytes()].concat();
        let init = raw::performative(0x41, &[&raw::symbol("PLAIN"), &raw::binary(&response)]);
        peer.send(&[raw::SASL, &raw::sasl_frame(&init)].concat());
        peer.await_header();
        peer.expect(0x40);
        let outcome = peer.expect(0x44);
        assert_eq!(Value::take(&mut &outcome[..]).field(0).number(), Some(0), "{user} comes in");
        peer.send(raw::AMQP);
        Self::begin(peer, container)
    }

    fn begin(mut peer: Peer, container: &str) -> Self {
        peer.send(&[raw::open(container), raw::begin(0)].concat());
        peer.await_header();
        let open = Value::take(&mut &peer.expect(0x10)[..]);
        peer.expect(0x11);
        Self {
            open_properties: open.field(9).clone(),
            peer,
            handles: HashMap::new(),
            names: HashMap::new(),
            next_handle: 0,
            next_delivery: 0,
            said: HashMap::new(),
            inbox: VecDeque::new(),
            detached: HashMap::new(),
            answers: HashMap::new(),
            closed: false,
        }
    }

    /// An attach as bytes; the link is known from then on.
    pub fn attach_bytes(&mut self, name: &str, address: &str, sends: bool, link: &Link) -> Vec<u8> {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(name.to_owned(), handle);
        let terminus = |code, address| raw::performative(code, &[&raw::string(address)]);
        let (source, target) = match sends {
            true => (terminus(0x28, "here"), terminus(0x29, address)),
            false => (terminus(0x28, address), terminus(0x29, "here")),
        };
        let null = || raw::NULL.to_vec();
        let desires = link.desires.map_or(null(), raw::symbol);
        let fields: [&[u8]; 14] = [
            &raw::string(name),
            &raw::uint(handle),
            if sends { raw::FALSE } else { raw::TRUE },
            &raw::ubyte(link.settles.0),
            &raw::ubyte(link.settles.1),
            &source,
            &target,
            &link.unsettled.clone().unwrap_or(null()),
            raw::FALSE,
            &if sends { raw::uint(0) } else { null() },
            raw::NULL,
            raw::NULL,
            &desires,
            &link.properties.clone().unwrap_or(null()),
        ];
        raw::frame(0, &raw::performative(0x12, &fields))
    }

    pub fn flow_bytes(&self, name: &str, credit: u32) -> Vec<u8> {
        raw::flow(0, 2048, Some((self.handles[name], 0, credit, false, false)))
    }

    /// Attaches; none: it was refused, and why.
    pub fn attach(&mut self, name: &str, address: &str, sends: bool, link: &Link) -> Result<Attached, String> {
        let bytes = self.attach_bytes(name, address, sends, link);
        self.answers.remove(name);
        self.detached.remove(name);
        self.peer.send(&bytes);
        while !self.answers.contains_key(name) {
            self.read();
        }
        if self.answers[name].unsettled.first().is_some_and(|(tag, _)| tag == b"refused") {
            while !self.detached.contains_key(name) {
                self.read();
            }
            return Err(self.detached[name].clone());
        }
        Ok(self.answers[name].clone())
    }

    /// A link to send on, settled as EnMasse's design has it.
    pub fn sender(&mut self, name: &str, address: &str) {
        self.attach(name, address, true, &Link::default()).expect("a link");
    }

    /// A link to receive from, with this much credit.
    pub fn receiver(&mut self, name: &str, address: &str, credit: u32) {
        self.attach(name, address, false, &Link::default()).expect("a link");
        let flow = self.flow_bytes(name, credit);
        self.peer.send(&flow);
    }

    /// A transfer as bytes, and its delivery-id.
    pub fn transfer_bytes(&mut self, name: &str, tag: &[u8], settled: bool, message: &[u8]) -> (u32, Vec<u8>) {
        let id = self.next_delivery;
        self.next_delivery += 1;
        (id, raw::transfer(self.handles[name], Some(id), Some(tag), settled, false, message))
    }

    /// A delivery-id that was not used.
    pub fn new_delivery(&mut self) -> u32 {
        self.next_delivery += 1;
        self.next_delivery - 1
    }

    /// Sends the first half of a message, and never the rest.
    pub fn send_half(&mut self, name: &str, tag: &[u8], post: &Post) {
        let bytes = post.bytes();
        let id = self.next_delivery;
        self.next_delivery += 1;
        self.peer.send(&raw::transfer(self.handles[name], Some(id), Some(tag), false, true, &bytes[..bytes.len() / 2]));
    }

    /// Sends and waits for what the broker says.
    pub fn send(&mut self, name: &str, post: &Post) -> Said {
        self.send_bytes(name, &post.bytes())
    }

    /// The same with an encoded message.
    pub fn send_bytes(&mut self, name: &str, message: &[u8]) -> Said {
        let tag = self.next_delivery.to_be_bytes();
        let (id, bytes) = self.transfer_bytes(name, &tag, false, message);
        self.peer.send(&bytes);
        self.outcome(name, id)
    }

    /// What the broker says of a delivery.
    pub fn outcome(&mut self, name: &str, id: u32) -> Said {
        loop {
            if let Some(said) = self.said.remove(&(true, id)) {
                return said;
            }
            if let Some(why) = self.detached.get(name) {
                return Said::Detached(why.clone());
            }
            self.read();
        }
    }

    /// The next message on a link.
    pub fn receive(&mut self, name: &str) -> Got {
        loop {
            if let Some(at) = self.inbox.iter().position(|got| got.link == name) {
                return self.inbox.remove(at).expect("it was just found");
            }
            self.read();
        }
    }

    /// The next message on any link.
    pub fn any(&mut self) -> Got {
        while self.inbox.is_empty() {
            self.read();
        }
        self.inbox.pop_front().expect("it is there")
    }

    /// The next message on a link, which is accepted and settled.
    pub fn take(&mut self, name: &str) -> Got {
        let got = self.receive(name);
        self.settle(&got);
        got
    }

    pub fn settle(&mut self, got: &Got) {
        if !got.settled {
            self.peer.send(&raw::disposition(true, got.id, got.id, true, raw::ACCEPTED));
        }
    }

    /// Accepts without settling, and waits for the broker to settle.
    pub fn settle_second(&mut self, got: &Got) {
        self.accept(got);
        while self.said.remove(&(false, got.id)).is_none() {
            self.read();
        }
    }

    /// Accepts without settling.
    pub fn accept(&mut self, got: &Got) {
        self.peer.send(&raw::disposition(true, got.id, got.id, false, raw::ACCEPTED));
    }

    /// What came so far, after a round to the broker and back on a node of the row's own.
    pub fn settled_inbox(&mut self) -> usize {
        let node = crate::harness::unique("echo");
        if !self.handles.contains_key("echo-out") {
            self.receiver("echo-in", &node, 10);
            self.sender("echo-out", &node);
        }
        for _ in 0..2 {
            assert_eq!(self.send("echo-out", &Post::of(b"echo")), ACCEPTED);
            self.take("echo-in");
        }
        self.inbox.len()
    }

    /// Nothing more must come.
    pub fn expect_nothing(&mut self) {
        let waiting = self.settled_inbox();
        assert_eq!(waiting, 0, "{:?}", self.inbox);
    }

    pub fn detach(&mut self, name: &str, closed: bool, condition: Option<&str>) {
        let error = condition.map_or(raw::NULL.to_vec(), |name| raw::performative(0x1D, &[&raw::symbol(name)]));
        let handle = self.handles[name];
        let fields: [&[u8]; 3] = [&raw::uint(handle), if closed { raw::TRUE } else { raw::FALSE }, &error];
        self.peer.send(&raw::frame(0, &raw::performative(0x16, &fields)));
        while !self.detached.contains_key(name) {
            self.read();
        }
        self.detached.remove(name);
    }

    /// Waits for the broker to take a link down; why.
    pub fn expect_detach(&mut self, name: &str) -> String {
        loop {
            if let Some(why) = self.detached.remove(name) {
                return why;
            }
            self.read();
        }
    }

    /// Waits for the broker to hang up.
    pub fn expect_end(mut self) {
        while !self.closed {
            self.step();
        }
    }

    /// Cuts the socket without a word.
    pub fn cut(self) {}

    /// Says goodbye.
    pub fn close(mut self) {
        self.peer.send(&raw::close());
        self.expect_end();
    }

    fn read(&mut self) {
        self.step();
        assert!(!self.closed, "the broker hung up");
    }

    fn step(&mut self) {
        let Some(body) = self.peer.frame() else {
            self.closed = true;
            return;
        };
        let mut rest = &body[..];
        let said = Value::take(&mut rest);
        let number = |at: usize| said.field(at).number().map(|number| number as u32);
        match said.descriptor() {
            0x12 => self.attached(&said),
            0x14 => {
                let name = self.names[&number(0).expect("a handle")].clone();
                self.inbox.push_back(Got::new(name, &said, rest));
            }
            0x15 => {
                let (first, last) = (number(1).expect("first"), number(2).or(number(1)).expect("last"));
                let state = said.field(4);
                let what = match state.descriptor() {
                    0x25 => Said::Rejected(state.field(0).field(0).text().unwrap_or_default().to_owned()),
                    _ => Said::Accepted { settled: said.field(3).is_true() },
                };
                let mine = said.field(0).is_true();
                (first..=last).for_each(|id| drop(self.said.insert((mine, id), what.clone())));
            }
            0x16 => {
                let name = self.names.remove(&number(0).expect("a handle")).unwrap_or_default();
                let why = said.field(2).field(0).text().unwrap_or_default().to_owned();
                self.detached.insert(name, why);
            }
            0x17 => panic!("the broker ended the session: {said:?}"),
            _ => {}
        }
    }

    fn attached(&mut self, said: &Value) {
        let name = said.field(0).text().expect("a name").to_owned();
        self.names.insert(said.field(1).number().expect("a handle") as u32, name.clone());
        let is_receiver = said.field(2).is_true();
        // The broker receives: a refused link has no target; it sends: no source.
        let terminus = said.field(if is_receiver { 6 } else { 5 });
        let mut unsettled = Vec::new();
        if let Value::Map(pairs) = said.field(7) {
            for (tag, state) in pairs {
                if let Value::Bytes(tag) = tag {
                    unsettled.push((tag.clone(), *state != Value::Null));
                }
            }
        }
        if *terminus == Value::Null {
            unsettled = vec![(b"refused".to_vec(), false)];
        }
        self.answers.insert(name, Attached { unsettled });
    }
}
