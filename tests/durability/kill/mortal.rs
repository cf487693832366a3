//! Comes with a will and goes, in order or not, again and again.

use super::{Actor, Dice, Site};
use crate::harness::*;
use std::time::Duration;

/// How often a will has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Once.
    Once,
    /// Once or not at all: nobody can know what the broker had heard.
    Perhaps,
    /// Not at all.
    Never,
}

/// See the head of this file.
pub struct Mortal {
    /// Where its wills are published: 0, 1, 2 and so on.
    pub topic: String,
    /// What has to become of each.
    pub wills: Vec<Due>,
    id: String,
    /// Its session is kept.
    is_kept: bool,
    dice: Dice,
}

impl Mortal {
    /// One of several.
    pub fn new(number: u32, dice: Dice) -> Self {
        Self {
            topic: format!("wills/{number}"),
            wills: Vec::new(),
            id: format!("mortal-{number}"),
            is_kept: number.is_multiple_of(2),
            dice,
        }
    }
}

impl Actor for Mortal {
    fn act(&mut self, site: &Site) {
        let mut last_was_clean = false;
        while !site.is_ending() {
            let will = Will::new(&self.topic, self.wills.len().to_string()).qos(2);
            self.wills.push(Due::Perhaps);
            let now = self.wills.len() - 1;
            let connecting = connect(V5).at(site.at).id(&self.id).will(will);
            let connecting = if self.is_kept { connecting.kept() } else { connecting };
            let Some(mut client) = connecting.try_open() else { return };
            if last_was_clean {
                // The store keeps an order, and it had this CONNECT.
                self.wills[now - 1] = Due::Never;
            }
            self.wills[now] = Due::Once;
            last_was_clean = false;
            match self.dice.below(4) {
                0 => drop(client.try_receive()),
                1 => {
                    self.wills[now] = Due::Perhaps;
                    last_was_clean = true;
                    client.disconnect();
                }
                _ => {
                    std::thread::sleep(Duration::from_millis(self.dice.below(20)));
                    client.cut();
                }
            }
        }
    }

    fn faults(&mut self) -> Vec<String> {
        Vec::new()
    }
}
