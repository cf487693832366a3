//! Publishes numbers to its topics at QoS 1 or 2 and sends again what was not answered, as its session demands.

use super::{Actor, Dice, Site};
use crate::harness::*;
use std::collections::VecDeque;

/// Messages under way at the same time.
const WINDOW: usize = 20;

/// See the head of this file.
pub struct Publisher {
    /// Its client id.
    pub id: String,
    /// Of all its messages.
    pub qos: u8,
    /// Where it publishes, and how many messages it has sent there: 0, 1, 2 and so on.
    pub topics: Vec<(String, u32)>,
    /// Messages acknowledged before some kill or the end.
    pub acknowledged: u64,
    flights: VecDeque<Flight>,
    last_id: u16,
    version: Version,
    is_known: bool,
    dice: Dice,
    faults: Vec<String>,
}

struct Flight {
    id: u16,
    topic: usize,
    number: u32,
    /// Its PUBREC has come.
    is_received: bool,
}

impl Publisher {
    /// One with two topics.
    pub fn new(number: u32, qos: u8, version: Version, dice: Dice) -> Self {
        Self {
            id: format!("publisher-{number}"),
            qos,
            topics: (0..2).map(|topic| (format!("load/{qos}/{number}/{topic}"), 0)).collect(),
            acknowledged: 0,
            flights: VecDeque::new(),
            last_id: 0,
            version,
            is_known: false,
            dice,
            faults: Vec::new(),
        }
    }

    fn open(&mut self, site: &Site) -> Option<Client> {
        let mut client = connect(self.version).at(site.at).id(&self.id).kept().try_open()?;
        if self.is_known && !client.connack.present {
            self.faults.push(format!("{}: its session is lost", self.id));
            self.flights.clear();
        }
        self.is_known = true;
        for flight in &self.flights {
            match flight.is_received {
                true => client.try_send(&writer::ack(self.version, 0x62, flight.id, 0)),
                false => client.try_send_publish(&self.message(flight).duplicate()),
            }
        }
        Some(client)
    }

    fn message(&self, flight: &Flight) -> Publish {
        Publish::new(&self.topics[flight.topic].0, flight.number.to_string(), self.qos).id(flight.id)
    }

    fn send_next(&mut self, client: &mut Client) {
        let topic = self.dice.below(self.topics.len() as u64) as usize;
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.flights.iter().all(|flight| flight.id != self.last_id) {
                break;
            }
        }
        let flight = Flight { id: self.last_id, topic, number: self.topics[topic].1, is_received: false };
        self.topics[topic].1 += 1;
        client.try_send_publish(&self.message(&flight));
        self.flights.push_back(flight);
    }

    fn hear(&mut self, client: &mut Client, packet: &Packet) {
        let (Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack)) = packet else {
            return self.faults.push(format!("{}: {packet:?}", self.id));
        };
        let Some(at) = self.flights.iter().position(|flight| flight.id == ack.id) else {
            return self.faults.push(format!("{}: {packet:?} for nothing under way", self.id));
        };
        // A PUBREL that was sent again is answered with 0x92 where the first one had arrived (MQTT 5.0, table 3-8).
        if ack.code >= 0x80 && !(matches!(packet, Packet::Pubcomp(_)) && ack.code == 0x92) {
            self.faults.push(format!("{}: {packet:?}", self.id));
        }
        if let Packet::Pubrec(_) = packet {
            self.flights[at].is_received = true;
            self.acknowledged += 1;
            return client.try_send(&writer::ack(self.version, 0x62, ack.id, 0));
        }
        self.acknowledged += u64::from(self.qos == 1);
        self.flights.remove(at);
    }
}

impl Actor for Publisher {
    fn act(&mut self, site: &Site) {
        let Some(mut client) = self.open(site) else { return };
        loop {
            while self.flights.len() < WINDOW && !site.is_ending() {
                self.send_next(&mut client);
            }
            if self.flights.is_empty() {
                return client.disconnect();
            }
            match client.try_receive() {
                Ok(packet) => self.hear(&mut client, &packet),
                Err(End::Closed) => return,
                Err(End::Silence) => {
                    return self.faults.push(format!("{}: {} without an answer", self.id, self.flights.len()));
                }
            }
        }
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
