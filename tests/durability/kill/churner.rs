//! Subscribes and unsubscribes, and finds out after each restart what it is subscribed to.

use super::{Actor, Dice, Site};
use crate::harness::*;

const FILTERS: usize = 8;

/// See the head of this file.
pub struct Churner {
    id: String,
    /// Whether it is subscribed to each; none: nobody can know what the broker had heard.
    is_subscribed: [Option<bool>; FILTERS],
    is_known: bool,
    dice: Dice,
    faults: Vec<String>,
}

impl Churner {
    /// One of several.
    pub fn new(number: u32, dice: Dice) -> Self {
        let is_subscribed = [Some(false); FILTERS];
        Self { id: format!("churner-{number}"), is_subscribed, is_known: false, dice, faults: Vec::new() }
    }

    fn topic(&self, filter: usize) -> String {
        format!("churn/{}/{filter}", self.id)
    }

    /// Publishes to each filter: what comes back comes before the acknowledgement.
    fn look(&mut self, client: &mut Client) -> Option<()> {
        for filter in 0..FILTERS {
            let message = Publish::new(&self.topic(filter), "probe", 1).id(1 + filter as u16);
            client.try_send_publish(&message);
            let mut has_come = false;
            loop {
                match client.try_receive().ok()? {
                    Packet::Publish(message) => {
                        client.try_send(&writer::ack(V5, 0x40, message.id, 0));
                        has_come |= message.topic == self.topic(filter) && !message.duplicate;
                    }
                    Packet::Puback(_) => break,
                    other => self.faults.push(format!("{}: {other:?}", self.id)),
                }
            }
            if self.is_subscribed[filter].is_some_and(|subscribed| subscribed != has_come) {
                let what = if has_come { "came back" } else { "is lost" };
                self.faults.push(format!("{}: subscription {filter} {what}", self.id));
            }
            self.is_subscribed[filter] = Some(has_come);
        }
        Some(())
    }

    fn change(&mut self, client: &mut Client, id: u16) -> Option<()> {
        let filter = self.dice.below(FILTERS as u64) as usize;
        let subscribe = self.dice.once_in(2);
        self.is_subscribed[filter] = None;
        let topic = self.topic(filter);
        client.try_send(&match subscribe {
            true => writer::subscribe(V5, id, &Properties::default(), &[Subscription::new(&topic, 1)]),
            false => writer::unsubscribe(V5, id, &[&topic]),
        });
        match client.try_receive().ok()? {
            Packet::Suback(granted) | Packet::Unsuback(granted) if granted.id == id && granted.codes[0] < 0x80 => {
                self.is_subscribed[filter] = Some(subscribe);
            }
            other => self.faults.push(format!("{}: {other:?}", self.id)),
        }
        Some(())
    }

    fn try_act(&mut self, site: &Site) -> Option<()> {
        let mut client = connect(V5).at(site.at).id(&self.id).kept().try_open()?;
        if self.is_known && !client.connack.present {
            self.faults.push(format!("{}: its session is lost", self.id));
        }
        self.is_known = true;
        self.look(&mut client)?;
        let mut id = 100;
        while !site.is_ending() {
            id = id % 60_000 + 1;
            self.change(&mut client, id)?;
        }
        Some(())
    }
}

impl Actor for Churner {
    fn act(&mut self, site: &Site) {
        let _ended = self.try_act(site);
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
