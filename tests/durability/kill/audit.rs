//! What readers have to have got, held against what publishers sent and mortals left.

use super::mortal::Due;
use std::collections::{BTreeMap, BTreeSet};

/// What was sent to one topic by its one publisher: 0, 1, 2 and so on. All of it was acknowledged in the end.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Where to.
    pub topic: String,
    /// How many.
    pub count: u32,
    /// With which promise.
    pub qos: u8,
}

/// What one reader, or several that share, have got.
pub struct Got<'a> {
    /// Who.
    pub who: &'a str,
    /// By topic, in the order in which it came. Those who share are asked for no order.
    pub numbers: Vec<&'a BTreeMap<String, Vec<u32>>>,
    /// At most this.
    pub qos: u8,
}

impl Got<'_> {
    fn of(&self, topic: &str) -> Vec<u32> {
        self.numbers.iter().filter_map(|numbers| numbers.get(topic)).flatten().copied().collect()
    }
}

/// Faults of those that were to get all of this, and nothing else.
pub fn of(got: &Got<'_>, sent: &[Sent]) -> Vec<String> {
    let mut faults = Vec::new();
    for Sent { topic, count, qos } in sent {
        let numbers = got.of(topic);
        if got.numbers.len() == 1 {
            faults.extend(in_order(&numbers).map(|number| format!("{topic}/{number} out of order")));
        }
        let exactly = (*qos).min(got.qos) == 2;
        faults.extend(complete(&numbers, *count, exactly).map(|fault| format!("{topic}{fault}")));
    }
    faults.extend(phantoms(got, sent));
    faults.into_iter().map(|fault| format!("{}: {fault}", got.who)).collect()
}

/// Faults of whoever reads the wills.
pub fn of_wills<'a>(
    got: &BTreeMap<String, Vec<u32>>,
    mortals: impl IntoIterator<Item = (&'a str, &'a [Due])>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (topic, wills) in mortals {
        let mut times: BTreeMap<u32, u32> = BTreeMap::new();
        for number in got.get(topic).into_iter().flatten() {
            *times.entry(*number).or_default() += 1;
        }
        for (number, due) in wills.iter().enumerate() {
            let came = times.remove(&(number as u32)).unwrap_or(0);
            let is_right = match due {
                Due::Once => came == 1,
                Due::Perhaps => came <= 1,
                Due::Never => came == 0,
            };
            if !is_right {
                faults.push(format!("will {number} of {topic}, due {due:?}, came {came} times"));
            }
        }
        faults.extend(times.keys().map(|number| format!("will {number} of {topic} is nobody's")));
    }
    faults
}

/// Numbers whose first coming was after a higher one's.
fn in_order(got: &[u32]) -> impl Iterator<Item = u32> {
    let mut seen = BTreeSet::new();
    let mut late = Vec::new();
    let mut highest = None;
    for number in got {
        if seen.insert(*number) {
            if highest.is_some_and(|highest| *number < highest) {
                late.push(*number);
            }
            highest = highest.max(Some(*number));
        }
    }
    late.into_iter()
}

/// Numbers that are missing or, where each is to come exactly once, came more often.
fn complete(got: &[u32], sent: u32, exactly: bool) -> impl Iterator<Item = String> {
    let mut times = vec![0_u32; sent as usize];
    for number in got {
        if let Some(times) = times.get_mut(*number as usize) {
            *times += 1;
        }
    }
    times.into_iter().enumerate().filter_map(move |(number, times)| match times {
        0 => Some(format!("/{number} is lost")),
        1 => None,
        times if exactly => Some(format!("/{number} came {times} times")),
        _ => None,
    })
}

/// What nobody has sent.
fn phantoms(got: &Got<'_>, sent: &[Sent]) -> Vec<String> {
    let sent: BTreeMap<&str, u32> = sent.iter().map(|sent| (sent.topic.as_str(), sent.count)).collect();
    let mut faults = Vec::new();
    for (topic, numbers) in got.numbers.iter().copied().flatten() {
        let sent = sent.get(topic.as_str()).copied().unwrap_or(0);
        let unsent = numbers.iter().filter(|number| **number >= sent);
        faults.extend(unsent.map(|number| format!("{topic}/{number} was never sent")));
    }
    faults
}
