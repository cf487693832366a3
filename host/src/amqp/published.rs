//! Messages as the client of a session gets them (EnMasse's AMQP_PUBLISH and AMQP_PUBREL): with its topic, QoS and retain flag
//! beside what its publisher said, whatever protocol that was.

use super::codec::write;
use super::limits::Limits;
use super::sections::{Header, Id, Properties, Sections, header, properties};

/// What the broker says of a message.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The topic in the client's words (`to`).
    pub topic: &'a str,
    /// QoS, 0 to 2.
    pub level: u8,
    /// The retain flag to show.
    pub retain: bool,
    /// Message-id of a message that has none of its own; a QoS 2 message is released by it.
    pub number: u64,
    /// Subscription identifiers.
    pub identifiers: &'a [u32],
    /// Header but for `durable`, which follows from the QoS.
    pub header: Header,
}

const QOS: &str = "x-opt-mqtt-qos";
const RETAIN: &str = "x-opt-retain-message";
/// Subscription identifiers (MQTT 5.0, 3.3.2.3.8): a uint, or a list of them.
const IDENTIFIERS: &str = "x-opt-mqtt-subscription-id";

impl Published<'_> {
    /// Writes the sections around a message that was kept from its annotations on. What of it follows as it is; none: it is no
    /// message.
    pub fn write<'k>(&self, kept: &'k [u8], limits: &Limits, out: &mut Vec<u8>) -> Option<&'k [u8]> {
        let scanned = Sections::scan(kept, limits).ok()?;
        header(&Header { durable: self.level > 0, ..self.header }, out);
        if !self.identifiers.is_empty() {
            write::descriptor(0x71, out);
            write::map(out, |out| {
                write::symbol(IDENTIFIERS, out);
                match self.identifiers {
                    [one] => write::uint(*one, out),
                    many => list(many, out),
                }
                1
            });
        }
        write::descriptor(0x72, out);
        write::map(out, |out| {
            let mut count = 2;
            write::symbol(QOS, out);
            write::ubyte(self.level, out);
            write::symbol(RETAIN, out);
            write::boolean(self.retain, out);
            let own = ["x-opt-mqtt-qos", "x-opt-retain-message", "x-opt-qos", "x-opt-retain"];
            let others = scanned.message_annotations();
            for (key, value) in others.filter(|(key, _)| !key.as_symbol().is_some_and(|name| own.contains(&name))) {
                out.extend_from_slice(key.raw);
                out.extend_from_slice(value.raw);
                count += 1;
            }
            count
        });
        let said = scanned.properties();
        let message_id = said.message_id.or((self.level > 0).then_some(Id::Ulong(self.number)));
        if (said.to, said.message_id) == (Some(self.topic), message_id) {
            Some(scanned.behind_annotations())
        } else {
            properties(&Properties { to: Some(self.topic), message_id, ..said }, out);
            Some(scanned.behind_properties())
        }
    }
}

/// `identifiers` as a list of uints.
fn list(identifiers: &[u32], out: &mut Vec<u8>) {
    // A list has no more than 255 elements in this form.
    let some = &identifiers[..identifiers.len().min(255)];
    write::list(out, |out| {
        some.iter().for_each(|one| write::uint(*one, out));
        some.len() as u8
    });
}

/// An AMQP_PUBREL for the message of this id, without header.
pub fn release(id: Id<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    properties(&Properties { message_id: Some(id), subject: Some("pubrel"), ..Default::default() }, &mut out);
    write::descriptor(0x77, &mut out);
    write::null(&mut out);
    out
}

/// Whether an AMQP_PUBREL of this id is for a message that was delivered under this number.
pub fn is_release(id: Id<'_>, number: u64, kept: &[u8], limits: &Limits) -> bool {
    let Ok(scanned) = Sections::scan(kept, limits) else { return false };
    match scanned.properties().message_id {
        Some(own) => own == id,
        None => id == Id::Ulong(number),
    }
}
