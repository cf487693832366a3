//! Publishes numbers to one address and resumes its link with what is not settled.

use super::super::{Actor, Dice, Site};
use super::*;
use std::collections::VecDeque;

/// Messages under way at the same time.
const WINDOW: usize = 20;

/// See the head of this file.
pub struct Publisher {
    /// What stands in its messages as where to, and how many it has sent: 0, 1, 2 and so on.
    pub sent: (String, u32),
    /// Its link settles second: each message is taken once.
    pub second: bool,
    /// Messages acknowledged.
    pub acknowledged: u64,
    container: String,
    address: String,
    flights: VecDeque<Flight>,
    dice: Dice,
    faults: Vec<String>,
}

struct Flight {
    number: u32,
    /// In the present session.
    delivery: Option<u32>,
    /// The broker has it, and may not know that this is known.
    is_accepted: bool,
}

/// A connection with the link's credit.
struct Open {
    wire: Wire,
    may_send: u32,
}

impl Publisher {
    /// One of several.
    pub fn new(number: u32, address: &str, to: &str, second: bool, dice: Dice) -> Self {
        Self {
            sent: (to.to_owned(), 0),
            address: address.to_owned(),
            second,
            acknowledged: 0,
            container: format!("amqp-publisher-{number}"),
            flights: VecDeque::new(),
            dice,
            faults: Vec::new(),
        }
    }

    fn open(&mut self, site: &Site) -> Option<Open> {
        let mut wire = Wire::open(site.amqp, &self.container)?;
        let tag = |flight: &Flight| (flight.number.to_be_bytes().to_vec(), flight.is_accepted);
        let link = Link {
            name: "out",
            receives: false,
            second: self.second,
            address: &self.address,
            stays: false,
            unsettled: self.flights.iter().map(tag).collect(),
        };
        let attach = wire.attach(&link)?;
        let known = told(&attach);
        for flight in &mut self.flights {
            flight.delivery = None;
            let is_known = known.contains(&flight.number.to_be_bytes().to_vec());
            if is_known && !self.second {
                self.faults
                    .push(format!("{}: {} is remembered on a link that settles first", self.container, flight.number));
            }
            self.acknowledged += u64::from(is_known && !flight.is_accepted);
            // What was accepted and is not known any more is settled on both sides.
            flight.is_accepted |= is_known;
        }
        self.flights.retain(|flight| !flight.is_accepted || known.contains(&flight.number.to_be_bytes().to_vec()));
        Some(Open { wire, may_send: 0 })
    }

    /// Sends what has not been sent in this session, oldest first, and something new.
    fn send(&mut self, open: &mut Open, ending: bool) {
        loop {
            if open.wire.sent >= open.may_send || !open.wire.has_room() {
                return;
            }
            let next = self.flights.iter().position(|flight| flight.delivery.is_none());
            let at = match next {
                Some(at) => at,
                None if self.flights.len() < WINDOW && !ending => {
                    self.flights.push_back(Flight { number: self.sent.1, delivery: None, is_accepted: false });
                    self.sent.1 += 1;
                    self.flights.len() - 1
                }
                None => return,
            };
            let flight = &mut self.flights[at];
            let delivery = open.wire.sent;
            let payload = message(&self.sent.0, None, if self.second { 2 } else { 1 }, &flight.number.to_string());
            let (tag, is_over) = (flight.number.to_be_bytes(), flight.is_accepted);
            let aborts = is_over && self.dice.once_in(2);
            let fields: [&[u8]; 10] = [
                &raw::uint(0),
                &raw::uint(delivery),
                &raw::binary(&tag),
                &raw::uint(0),
                if is_over { raw::TRUE } else { raw::FALSE },
                raw::FALSE,
                raw::NULL,
                if is_over { raw::ACCEPTED } else { raw::NULL },
                // What the broker does not know is sent as if for the first time: a resumed one it would ignore (2.7.5).
                if is_over { raw::TRUE } else { raw::FALSE },
                if aborts { raw::TRUE } else { raw::FALSE },
            ];
            let head = raw::performative(TRANSFER, &fields);
            let body = if aborts { head } else { [head, payload].concat() };
            open.wire.send(&raw::frame(0, &body));
            open.wire.sent += 1;
            if is_over {
                self.flights.remove(at);
            } else {
                flight.delivery = Some(delivery);
            }
        }
    }

    /// The broker says what became of messages.
    fn hear(&mut self, open: &mut Open, frame: &Frame) {
        if !frame.is_accepted() {
            return self.faults.push(format!("{}: {frame:?}", self.container));
        }
        let settled = frame.field(3).is_true();
        for delivery in frame.range() {
            let Some(at) = self.flights.iter().position(|flight| flight.delivery == Some(delivery)) else { continue };
            self.acknowledged += u64::from(!self.flights[at].is_accepted);
            self.flights[at].is_accepted = true;
            if settled == self.second {
                self.faults.push(format!("{}: settled in the wrong order: {frame:?}", self.container));
            }
            if self.second && self.dice.once_in(16) {
                // It is settled later, or when the link is resumed.
                continue;
            }
            if self.second {
                open.wire.send(&raw::disposition(false, delivery, delivery, true, raw::ACCEPTED));
            }
            self.flights.remove(at);
        }
    }

    /// Settles what was left.
    fn settle(&mut self, open: &mut Open) {
        self.flights.retain(|flight| match flight.delivery {
            Some(delivery) if flight.is_accepted => {
                open.wire.send(&raw::disposition(false, delivery, delivery, true, raw::ACCEPTED));
                false
            }
            _ => true,
        });
    }

    /// One connection; true: it was cut from this side, and another one follows.
    fn connection(&mut self, site: &Site) -> bool {
        let Some(mut open) = self.open(site) else { return false };
        loop {
            self.send(&mut open, site.is_ending());
            if site.is_ending() || self.flights.len() == WINDOW && self.flights.iter().all(|flight| flight.is_accepted)
            {
                self.settle(&mut open);
            }
            if site.is_ending() && self.flights.is_empty() {
                open.wire.send(&[raw::detach(0, true), raw::close()].concat());
                while open.wire.frame(PATIENCE).is_ok() {}
                return false;
            }
            if !site.is_ending() && self.dice.once_in(100) {
                return true;
            }
            match open.wire.frame(PATIENCE) {
                Ok(frame) => match frame.code {
                    FLOW if frame.field(4) != &Value::Null => {
                        let credit = frame.field(6).number().unwrap_or(0);
                        open.may_send = frame.field(5).number().unwrap_or(0) + credit;
                    }
                    FLOW => {}
                    DISPOSITION => self.hear(&mut open, &frame),
                    _ => {
                        self.faults.push(format!("{}: {frame:?}", self.container));
                        return false;
                    }
                },
                Err(End::Closed) => return false,
                Err(End::Silence) => {
                    let count = self.flights.len();
                    self.faults.push(format!("{}: {count} without an answer", self.container));
                    return false;
                }
            }
        }
    }
}

impl Actor for Publisher {
    fn act(&mut self, site: &Site) {
        while self.connection(site) {}
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
