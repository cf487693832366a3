//! Messages between the form in which the hall keeps them and the wire: header, annotations and `to` are written anew, and
//! everything else stays as its publisher encoded it.

use super::super::mapping::Way;
use super::super::thread::Plan;
use crate::amqp::sections::{self, Body, Header, Properties, RawValue, Sections};
use crate::amqp::{Fields, Limits, Symbol, TOPIC_ANNOTATION, Value, annotated, notes};
use crate::broker::VIA_ANNOTATION;
use crate::dialogue::Consignment;
use crate::message::{Guarantee, Time};

/// Stands for a broker that does not say who it is.
const SOMEBODY: &str = "*";
const RETAIN: [&str; 2] = ["x-opt-retain-message", "x-opt-retain"];
const QOS: [&str; 2] = ["x-opt-mqtt-qos", "x-opt-qos"];

/// A message that came in.
pub struct Came<'m> {
    sections: Sections<'m>,
    /// The brokers that it came through.
    pub via: Vec<String>,
}

/// What the hall has to know of a message that came in.
pub struct Known {
    pub bytes: Vec<u8>,
    pub guarantee: Guarantee,
    pub retain: bool,
    pub blank: bool,
    pub header: Header,
    /// When it is worthless (3.2.4).
    pub until: Option<Time>,
}

/// Doors may have been told to take more than they take without being told: as much as they can be told.
fn widest() -> Limits {
    Limits { depth_max: 1000, elements_max: 10_000_000, sections_max: 1_000_000, ..Limits::default() }
}

/// The message as it leaves; none: it may go no further.
///
/// # Errors
/// It cannot be read.
pub fn outgoing(
    plan: &Plan,
    way: &Way,
    peer: Option<&str>,
    consignment: &Consignment,
    now: Time,
) -> Result<Option<Vec<u8>>, String> {
    let kept = &consignment.message;
    let limits = widest();
    let scanned = Sections::scan(kept.payload(), &limits).map_err(|error| error.description.unwrap_or_default())?;
    let via = via(&scanned);
    let goes_back = |node: &String| **node == *plan.node || peer == Some(node);
    if via.iter().any(goes_back) || via.len() >= plan.settings.hops_max as usize {
        return Ok(None);
    }
    let bare = kept.as_bare();
    let durable = bare.is_some_and(|bare| bare.durable);
    // What MQTT's subscribers behind the other broker go by: never more than this route, or the one before it, has carried.
    let allowed = kept.envelope().guarantee.level().min(way.route.qos);
    let level = (level(&scanned).unwrap_or(durable.into()) != allowed).then_some(allowed);
    // What lives longer than this can say does so by its absolute-expiry-time.
    let left = kept.envelope().expires.and_then(|at| u32::try_from(at.since(now)).ok());
    let header =
        Header { durable, priority: bare.map_or(4, |bare| bare.priority), ttl_milliseconds: left, ..Header::default() };
    let flag = consignment.retain || scanned.message_annotation(RETAIN[0]).is_some();
    let flag = flag.then_some((RETAIN[0], consignment.retain));
    let noted = mark(&via, &plan.node, level);
    let written = annotated(kept.payload(), flag, &noted, &limits);
    let (annotations, behind) = written.ok_or("its annotations cannot be written")?;
    let mut out = Vec::with_capacity(kept.payload().len() + annotations.len() + 64);
    sections::header(&header, &mut out);
    out.extend_from_slice(&annotations);
    if !way.route.remote.is_empty() {
        out.extend_from_slice(behind);
        return Ok(Some(out));
    }
    let name = consignment.name.as_deref().unwrap_or(kept.topic().as_str());
    let Some(to) = way.outward(name) else { return Ok(None) };
    let said = scanned.properties();
    if said.to == Some(to.as_str()) {
        out.extend_from_slice(behind);
    } else {
        sections::properties(&Properties { to: Some(&to), ..said }, &mut out);
        out.extend_from_slice(scanned.behind_properties());
    }
    Ok(Some(out))
}

impl<'m> Came<'m> {
    /// Reads what came.
    ///
    /// # Errors
    /// It is no message, or one beyond the bounds of this broker's own doors.
    pub fn read(bytes: &'m [u8]) -> Result<Self, String> {
        let sections =
            Sections::scan(bytes, &Limits::default()).map_err(|error| error.description.unwrap_or_default())?;
        let via = via(&sections);
        Ok(Self { sections, via })
    }

    /// Where to, in its own words.
    pub fn to(&self) -> Option<&'m str> {
        self.sections.properties().to
    }

    /// The topic that a broker of ours says it is of.
    pub fn topic(&self) -> Option<&'m str> {
        let mut told = self.sections.delivery_annotations();
        told.find(|(key, _)| key.as_symbol() == Some(TOPIC_ANNOTATION)).and_then(|(_, topic)| topic.as_str())
    }

    /// As the hall takes it, marked with the broker that it left; none: that does not say who it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn known(&self, left: Option<&str>) -> Result<Known, String> {
        let sections = &self.sections;
        let said = |name: &&str| sections.message_annotation(name);
        let header = sections.header();
        let by_durable = if header.durable { Guarantee::AtLeastOnce } else { Guarantee::AtMostOnce };
        let noted = mark(&self.via, left.unwrap_or(SOMEBODY), None);
        let written = annotated(sections.kept(), None, &noted, &Limits::default());
        let (mut bytes, behind) = written.ok_or("its annotations cannot be written")?;
        bytes.extend_from_slice(behind);
        // With the mark it may go beyond what it was within.
        Sections::scan(&bytes, &Limits::default()).map_err(|error| error.description.unwrap_or_default())?;
        Ok(Known {
            guarantee: level(sections).and_then(Guarantee::from_level).unwrap_or(by_durable),
            retain: RETAIN.iter().find_map(said).and_then(|value| value.as_bool()).unwrap_or(false),
            blank: is_blank(sections),
            bytes,
            header,
            until: sections
                .properties()
                .absolute_expiry_time
                .filter(|at| *at > 0)
                .and_then(|at| u64::try_from(at).ok())
                .map(Time),
        })
    }
}

/// Whether there is nothing in the body: as a topic's last value it would be none.
fn is_blank(sections: &Sections<'_>) -> bool {
    let is_empty = |value: RawValue<'_>| value.as_binary().is_some_and(<[u8]>::is_empty) || value.as_str() == Some("");
    match sections.body() {
        Body::Nothing => true,
        Body::Data(bytes) => bytes.is_empty(),
        Body::DataMany(mut parts) => parts.all(is_empty),
        Body::Value(value) => value.is_null() || is_empty(value),
        Body::Sequence(_) => false,
    }
}

/// The QoS that a message says.
fn level(sections: &Sections<'_>) -> Option<u8> {
    let value = QOS.iter().find_map(|name| sections.message_annotation(name))?;
    let number = value.as_integer().or_else(|| value.as_str()?.trim().parse().ok())?;
    u8::try_from(number).ok()
}

/// The brokers that a message came through.
fn via(sections: &Sections<'_>) -> Vec<String> {
    let path = sections.message_annotation(VIA_ANNOTATION).and_then(|path| path.as_str());
    path.map_or_else(Vec::new, |path| path.split(' ').map(str::to_owned).collect())
}

/// The annotation with one broker more, encoded, and a QoS where it is to be another one.
fn mark(via: &[String], node: &str, level: Option<u8>) -> Vec<u8> {
    let is_known = node != SOMEBODY && via.iter().any(|known| known == node);
    let nodes = via.iter().map(String::as_str).chain((!is_known).then_some(node));
    let path = nodes.collect::<Vec<_>>().join(" ");
    let level = level.map(|level| (Symbol::from(QOS[0]), Value::Ubyte(level)));
    let fields: Fields = [(Symbol::from(VIA_ANNOTATION), Value::String(path))].into_iter().chain(level).collect();
    notes(&fields).map_or_else(Vec::new, |notes| notes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_each_broker_that_does_not_say_who_it_is() {
        let mut message = vec![0x00, 0x53, 0x75, 0xA0, 1, b'x'];
        for (left, expected) in [(None, "*"), (Some("a"), "* a"), (Some("a"), "* a"), (None, "* a *")] {
            let known = Came::read(&message).unwrap().known(left).unwrap();
            message = known.bytes;
            let came = Came::read(&message).unwrap();
            assert_eq!(came.via.join(" "), expected);
            assert!(message.ends_with(&[0x00, 0x53, 0x75, 0xA0, 1, b'x']));
        }
    }
}
