//! Leaves wills with the will service and goes, in order or not, again and again.

use super::super::mortal::Due;
use super::super::{Actor, Dice, Site};
use super::*;

/// See the head of this file.
pub struct Mortal {
    /// Where its wills are published: 0, 1, 2 and so on.
    pub topic: String,
    /// What has to become of each.
    pub wills: Vec<Due>,
    id: String,
    dice: Dice,
    faults: Vec<String>,
}

impl Mortal {
    /// One of several.
    pub fn new(number: u32, dice: Dice) -> Self {
        Self {
            topic: format!("wills/amqp-{number}"),
            wills: Vec::new(),
            id: format!("amqp-mortal-{number}"),
            dice,
            faults: Vec::new(),
        }
    }

    /// Sends to the service; whether it was taken.
    fn tell(&mut self, wire: &mut Wire, message: &[u8]) -> Option<()> {
        let id = wire.sent;
        wire.send(&raw::transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, message));
        wire.sent += 1;
        loop {
            let frame = wire.frame(PATIENCE).ok()?;
            match frame.code {
                DISPOSITION if frame.is_accepted() => return Some(()),
                FLOW => {}
                _ => {
                    self.faults.push(format!("{}: {frame:?}", self.id));
                    return None;
                }
            }
        }
    }

    /// Leaves one more will; its number.
    fn leave(&mut self, wire: &mut Wire) -> Option<usize> {
        let number = self.wills.len();
        let will = message(&self.topic, Some("will"), 2, &number.to_string());
        self.wills.push(Due::Perhaps);
        self.tell(wire, &will)?;
        self.wills[number] = Due::Once;
        Some(number)
    }

    fn life(&mut self, site: &Site) -> Option<()> {
        let mut wire = Wire::open(site.amqp, &self.id)?;
        let link = Link {
            name: &self.id.clone(),
            receives: false,
            second: false,
            address: "$mqtt.lwtservice",
            stays: false,
            unsettled: Vec::new(),
        };
        wire.attach(&link)?;
        let mut last = self.leave(&mut wire)?;
        if self.dice.once_in(3) {
            // Another one takes its place.
            self.wills[last] = Due::Perhaps;
            let next = self.leave(&mut wire)?;
            self.wills[last] = Due::Never;
            last = next;
        }
        match self.dice.below(5) {
            0 => {
                // It stays until the broker goes.
                while !matches!(wire.frame(Duration::from_millis(50)), Err(End::Closed)) && !site.is_ending() {}
            }
            1 => {
                self.wills[last] = Due::Perhaps;
                let clear =
                    raw::described(0x73, &raw::list(&[raw::NULL, raw::NULL, raw::NULL, &raw::string("will-clear")]));
                self.tell(&mut wire, &[clear, raw::message(b"")].concat())?;
                self.wills[last] = Due::Never;
            }
            2 => {
                self.wills[last] = Due::Perhaps;
                wire.send(&raw::detach(0, true));
                while wire.frame(PATIENCE).ok()?.code != DETACH {}
                wire.send(&raw::close());
                while wire.frame(PATIENCE).is_ok() {}
            }
            _ => std::thread::sleep(Duration::from_millis(self.dice.below(20))),
        }
        Some(())
    }
}

impl Actor for Mortal {
    fn act(&mut self, site: &Site) {
        while !site.is_ending() && self.life(site).is_some() {}
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}
