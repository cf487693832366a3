//! What readers have to have got, held against what publishers sent and mortals left.

use super::mortal::{Due, Mortal};
use super::publisher::Publisher;
use super::reader::Reader;
use std::collections::{BTreeMap, BTreeSet};

/// Faults of one reader that got everything in `load/#` alone. All publishers have ended, so all was acknowledged.
pub fn of_reader(reader: &Reader, publishers: &[Publisher]) -> Vec<String> {
    let mut faults = Vec::new();
    for (publisher, topic, sent) in topics(publishers) {
        let got = reader.got.get(topic).map_or(&[][..], Vec::as_slice);
        faults.extend(in_order(got).map(|number| format!("{topic}/{number} out of order")));
        faults.extend(complete(got, sent, publisher.qos.min(reader.qos) == 2).map(|fault| format!("{topic}{fault}")));
    }
    faults.extend(phantoms([reader], publishers));
    named(&reader.id, faults)
}

/// Faults of readers that share: together they got everything.
pub fn of_group(readers: &[&Reader], publishers: &[Publisher]) -> Vec<String> {
    let mut faults = Vec::new();
    for (publisher, topic, sent) in topics(publishers) {
        let got: Vec<u32> = readers.iter().filter_map(|reader| reader.got.get(topic)).flatten().copied().collect();
        let exactly = publisher.qos == 2 && readers.iter().all(|reader| reader.qos == 2);
        faults.extend(complete(&got, sent, exactly).map(|fault| format!("{topic}{fault}")));
    }
    faults.extend(phantoms(readers.iter().copied(), publishers));
    named(&readers[0].filter, faults)
}

/// Faults of whoever reads the wills.
pub fn of_wills(reader: &Reader, mortals: &[Mortal]) -> Vec<String> {
    let mut faults = Vec::new();
    for mortal in mortals {
        let mut times: BTreeMap<u32, u32> = BTreeMap::new();
        for number in reader.got.get(&mortal.topic).into_iter().flatten() {
            *times.entry(*number).or_default() += 1;
        }
        for (number, due) in mortal.wills.iter().enumerate() {
            let came = times.remove(&(number as u32)).unwrap_or(0);
            let is_right = match due {
                Due::Once => came == 1,
                Due::Perhaps => came <= 1,
                Due::Never => came == 0,
            };
            if !is_right {
                faults.push(format!("will {number} of {}, due {due:?}, came {came} times", mortal.topic));
            }
        }
        faults.extend(times.keys().map(|number| format!("will {number} of {} is nobody's", mortal.topic)));
    }
    faults
}

fn topics(publishers: &[Publisher]) -> impl Iterator<Item = (&Publisher, &str, u32)> {
    let topics = |publisher: &Publisher| publisher.topics.len();
    publishers.iter().flat_map(move |publisher| {
        (0..topics(publisher)).map(move |at| {
            let (topic, sent) = &publisher.topics[at];
            (publisher, topic.as_str(), *sent)
        })
    })
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
fn phantoms<'a>(readers: impl IntoIterator<Item = &'a Reader>, publishers: &[Publisher]) -> Vec<String> {
    let sent: BTreeMap<&str, u32> = topics(publishers).map(|(_, topic, sent)| (topic, sent)).collect();
    let mut faults = Vec::new();
    for (topic, numbers) in readers.into_iter().flat_map(|reader| &reader.got) {
        let sent = sent.get(topic.as_str()).copied().unwrap_or(0);
        let unsent = numbers.iter().filter(|number| **number >= sent);
        faults.extend(unsent.map(|number| format!("{topic}/{number} was never sent")));
    }
    faults
}

fn named(who: &str, faults: Vec<String>) -> Vec<String> {
    faults.into_iter().map(|fault| format!("{who}: {fault}")).collect()
}
