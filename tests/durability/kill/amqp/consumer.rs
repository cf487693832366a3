//! Receives from one node and writes down what comes. One that settles second remembers deliveries until the broker says
//! that they are over.

use super::super::{Actor, Dice, Site};
use super::*;
use std::collections::BTreeMap;

/// Deliveries that it takes without a further word.
const CREDIT: u32 = 50;
/// Silences in which nothing new comes at the end, until it gives up.
const ROUNDS_MAX: u32 = 200;

/// Where its messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A queue, which it may share.
    Queue(String),
    /// A subscription of its own, which stays.
    Subscription(String),
    /// The session of this client id, subscribed to by message.
    Session(String, String),
}

impl Node {
    fn address(&self) -> String {
        match self {
            Self::Queue(address) | Self::Subscription(address) => address.clone(),
            Self::Session(id, _) => format!("$mqtt.to.{id}.publish"),
        }
    }
}

/// See the head of this file.
pub struct Consumer {
    /// Its container id.
    pub id: String,
    /// Where from.
    pub node: Node,
    /// It settles second.
    pub second: bool,
    /// Numbers by topic, in the order in which they came; on a link that settles second each delivery once.
    pub got: BTreeMap<String, Vec<u32>>,
    /// It is there once in so many rounds.
    presence: u64,
    /// By their tag: what it is, and whether it was accepted here.
    unsettled: BTreeMap<Vec<u8>, (String, bool)>,
    /// On a link that settles second: under which tag each message came first.
    tags: BTreeMap<String, Vec<u8>>,
    dice: Dice,
    faults: Vec<String>,
}

/// A connection with its link.
struct Open {
    wire: Wire,
    /// Deliveries that came.
    count: u32,
    /// Tags of those that are not settled.
    tags: BTreeMap<u32, Vec<u8>>,
    /// Asked for all that there is; how much had come by then.
    drained_at: Option<u32>,
}

impl Consumer {
    /// One that is there in one of so many rounds.
    pub fn new(id: &str, node: Node, second: bool, presence: u64, dice: Dice) -> Self {
        Self {
            id: id.to_owned(),
            node,
            second,
            got: BTreeMap::new(),
            presence,
            unsettled: BTreeMap::new(),
            tags: BTreeMap::new(),
            dice,
            faults: Vec::new(),
        }
    }

    /// Makes its subscription before anything is published.
    pub fn set_up(&self, site: &Site) {
        let mut wire = Wire::open(site.amqp, &self.id).expect("a broker");
        match &self.node {
            Node::Session(_, filter) => {
                let link = Link {
                    name: "control",
                    receives: false,
                    second: false,
                    address: "$mqtt.subscriptionservice",
                    stays: false,
                    unsettled: Vec::new(),
                };
                wire.attach(&link).expect("the subscription service");
                let correlation = raw::string(&self.node.address());
                let properties: [&[u8]; 6] =
                    [raw::NULL, raw::NULL, raw::NULL, &raw::string("subscribe"), raw::NULL, &correlation];
                let filters = raw::map(&[&raw::string(filter), &raw::string("2")]);
                let request = [raw::described(0x73, &raw::list(&properties)), raw::described(0x77, &filters)].concat();
                wire.send(&raw::transfer(0, Some(0), Some(b"subscribe"), false, false, &request));
                while let Ok(frame) = wire.frame(PATIENCE) {
                    if frame.code == DISPOSITION {
                        assert!(frame.is_accepted(), "{frame:?}");
                        return;
                    }
                }
                panic!("no answer from the subscription service");
            }
            _ => drop(wire.attach(&self.link()).expect("its node")),
        }
    }

    fn link(&self) -> Link<'static> {
        Link {
            name: "in",
            receives: true,
            second: self.second,
            address: String::leak(self.node.address()),
            stays: matches!(self.node, Node::Subscription(_)),
            unsettled: self.unsettled.iter().map(|(tag, (_, accepted))| (tag.clone(), *accepted)).collect(),
        }
    }

    fn open(&mut self, site: &Site) -> Option<Open> {
        let mut wire = Wire::open(site.amqp, &self.id)?;
        let attach = wire.attach(&self.link())?;
        // What the broker does not know any more is over.
        let known = told(&attach);
        self.unsettled.retain(|tag, _| known.contains(tag));
        wire.credit(0, CREDIT, false);
        Some(Open { wire, count: 0, tags: BTreeMap::new(), drained_at: None })
    }

    fn take(&mut self, open: &mut Open, frame: &Frame) {
        let (Some(delivery), Some(tag)) = (frame.field(1).number(), frame.field(2).bytes()) else {
            return self.faults.push(format!("{}: {frame:?}", self.id));
        };
        let Some((topic, text)) = read(&frame.payload) else {
            return self.faults.push(format!("{}: no message: {frame:?}", self.id));
        };
        open.count += 1;
        if open.count.is_multiple_of(CREDIT / 2) && open.drained_at.is_none() {
            open.wire.credit(open.count, CREDIT, false);
        }
        let what = format!("{topic} {text}");
        let is_known = match self.unsettled.get(tag) {
            Some((known, _)) if *known == what => true,
            Some((known, _)) => {
                self.faults.push(format!("{}: {what} under the tag of {known}", self.id));
                true
            }
            None => false,
        };
        if !is_known && self.second && topic.split('/').nth(1) == Some("2") {
            // The same tag: what was over came again. Another one: it was taken twice.
            let first = self.tags.entry(what.clone()).or_insert_with(|| tag.to_vec());
            if *first != *tag {
                self.faults.push(format!("{}: {what} came under {first:02x?} and {tag:02x?}", self.id));
            }
        }
        if !is_known {
            self.got.entry(topic).or_default().push(text.parse().unwrap_or(u32::MAX));
        }
        if !self.second {
            return open.wire.send(&raw::disposition(true, delivery, delivery, true, raw::ACCEPTED));
        }
        // Some are left without an outcome until the link comes back.
        let accepts = open.drained_at.is_some() || !self.dice.once_in(32);
        self.unsettled.insert(tag.to_vec(), (what, accepts));
        open.tags.insert(delivery, tag.to_vec());
        if accepts {
            open.wire.send(&raw::disposition(true, delivery, delivery, false, raw::ACCEPTED));
        }
    }

    fn hear(&mut self, open: &mut Open, frame: &Frame) {
        for delivery in frame.range() {
            if let Some(tag) = open.tags.remove(&delivery) {
                if !frame.field(3).is_true() {
                    self.faults.push(format!("{}: {frame:?}", self.id));
                }
                self.unsettled.remove(&tag);
            }
        }
    }

    /// At the end: accepts what was left, and asks for all that there is.
    fn finish(&mut self, open: &mut Open) {
        for (delivery, tag) in &open.tags {
            if let Some((_, accepted)) = self.unsettled.get_mut(tag).filter(|(_, accepted)| !accepted) {
                *accepted = true;
                open.wire.send(&raw::disposition(true, *delivery, *delivery, false, raw::ACCEPTED));
            }
        }
        open.drained_at = Some(open.count);
        open.wire.credit(open.count, CREDIT, true);
    }

    /// One connection; true: it was cut from this side, and another one follows.
    fn connection(&mut self, site: &Site) -> bool {
        let Some(mut open) = self.open(site) else { return false };
        let (mut came, mut rounds) = (0, 0);
        loop {
            if !site.is_ending() && self.dice.once_in(500) {
                return true;
            }
            let frame = match open.wire.frame(Duration::from_millis(50)) {
                Ok(frame) => frame,
                Err(End::Closed) => return false,
                Err(End::Silence) => {
                    if site.is_ending() {
                        rounds = if came == open.count { rounds + 1 } else { 0 };
                        came = open.count;
                        if rounds > ROUNDS_MAX {
                            let left: Vec<_> = self.unsettled.values().take(5).collect();
                            self.faults.push(format!(
                                "{}: {} unsettled for ever, {} in this session: {left:?}",
                                self.id,
                                self.unsettled.len(),
                                open.tags.len()
                            ));
                            return false;
                        }
                        self.finish(&mut open);
                    }
                    continue;
                }
            };
            match frame.code {
                TRANSFER => self.take(&mut open, &frame),
                DISPOSITION => self.hear(&mut open, &frame),
                FLOW if frame.field(6).number() == Some(0) && open.drained_at.is_some() => {
                    if open.drained_at == Some(open.count) && self.unsettled.is_empty() {
                        open.wire.send(&[raw::detach(0, false), raw::close()].concat());
                        while open.wire.frame(PATIENCE).is_ok() {}
                        return false;
                    }
                    open.drained_at = None;
                    open.wire.credit(open.count, CREDIT, false);
                }
                FLOW => {}
                _ => {
                    self.faults.push(format!("{}: {frame:?}", self.id));
                    return false;
                }
            }
        }
    }
}

impl Actor for Consumer {
    fn act(&mut self, site: &Site) {
        if site.is_ending() || self.dice.once_in(self.presence) {
            while self.connection(site) {}
        }
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
