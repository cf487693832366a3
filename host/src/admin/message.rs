//! A message as a caller of the admin API writes it, for publishing and for explaining.

use super::error::Problem;
use crate::broker::Occasion;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Handle, Publish};
use crate::message::{Guarantee, Properties};
use crate::topic::{self, Filter, Topic};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// Bytes of a property (MQTT 5.0, 1.5.4 and 1.5.6).
const PROPERTY_BYTES_MAX: usize = 65_535;
/// User properties of one message, and the bytes of their names and values together: as the broker takes them of an MQTT client
/// unless it is told otherwise (`mqtt.user_properties_max`), and as modules have room for.
const USER_PROPERTIES_MAX: usize = 1_000;
const USER_BYTES_MAX: usize = 512 << 10;

/// One message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageDocument {
    topic: String,
    /// The payload as text; this, the next or none.
    payload: Option<String>,
    /// The payload as base64.
    payload_base64: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    expiry_seconds: Option<u32>,
    #[serde(default)]
    properties: PropertiesDocument,
    /// On whose behalf; only `explain` takes it.
    pub(super) client: Option<ClientDocument>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PropertiesDocument {
    content_type: Option<String>,
    payload_is_text: Option<bool>,
    response_topic: Option<String>,
    correlation_data: Option<String>,
    correlation_data_base64: Option<String>,
    #[serde(default)]
    user: Vec<(String, String)>,
}

/// On whose behalf a message is explained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientDocument {
    #[serde(default)]
    id: String,
    identity: Option<String>,
    #[serde(default = "mqtt")]
    protocol: String,
    /// One that the broker has; `mqtt` if left out.
    listener: Option<String>,
}

fn mqtt() -> String {
    "mqtt".to_owned()
}

/// An event that is explained instead of a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventDocument {
    /// `connected`, `disconnected`, `subscribed`, `unsubscribed` or `timer`.
    event: String,
    /// Of `subscribed` and `unsubscribed`: the filter, in the broker's words.
    filter: Option<String>,
    /// Of `disconnected`; `farewell` if left out.
    departure: Option<String>,
    pub(super) client: Option<ClientDocument>,
}

/// The ways in which a client goes, as the contract names them.
const DEPARTURES: [(&str, Departure); 8] = [
    ("farewell", Departure::Clean),
    ("connection-lost", Departure::ConnectionLost),
    ("keep-alive-expired", Departure::KeepAliveExpired),
    ("protocol-violation", Departure::ProtocolViolation),
    ("on-request", Departure::OnRequest),
    ("taken-over", Departure::TakenOver),
    ("closed-by-broker", Departure::ClosedByBroker),
    ("broker-down", Departure::BrokerDown),
];

impl EventDocument {
    /// Checks what is written.
    pub(super) fn read(&self, topics: &topic::Limits) -> Result<Occasion, Problem> {
        let is_about_filters = matches!(self.event.as_str(), "subscribed" | "unsubscribed");
        if self.filter.is_some() && !is_about_filters {
            return Err(Problem::bad_request("filter is of subscribed and unsubscribed only"));
        }
        if self.departure.is_some() && self.event != "disconnected" {
            return Err(Problem::bad_request("departure is of disconnected only"));
        }
        let filter = || {
            let text = self.filter.as_deref().ok_or_else(|| Problem::bad_request("filter is needed"))?;
            Filter::new(text, topics).map_err(|error| Problem::bad_request(format!("filter: {error}")))
        };
        match self.event.as_str() {
            "connected" => Ok(Occasion::Connected),
            "disconnected" => {
                let said = self.departure.as_deref().unwrap_or("farewell");
                let known = DEPARTURES.iter().find(|(name, _)| *name == said);
                let names = || DEPARTURES.map(|(name, _)| name).join(", ");
                let known = known.ok_or_else(|| Problem::bad_request(format!("departure is one of {}", names())))?;
                Ok(Occasion::Disconnected(known.1))
            }
            "subscribed" => Ok(Occasion::Subscribed(filter()?)),
            "unsubscribed" => Ok(Occasion::Unsubscribed(filter()?)),
            "timer" => Ok(Occasion::Timer),
            _ => Err(Problem::bad_request(
                "event is connected, disconnected, subscribed, unsubscribed or timer; what is lost follows from a message",
            )),
        }
    }
}

/// A checked message that owns what a [`Publish`] borrows.
pub(super) struct OwnedPublish {
    name: String,
    payload: Vec<u8>,
    guarantee: Guarantee,
    retain: bool,
    expiry_seconds: Option<u32>,
    properties: Option<Box<Properties>>,
}

impl MessageDocument {
    /// Checks what is written. The topic itself is checked where it is mapped.
    pub(super) fn read(self, topics: &topic::Limits) -> Result<OwnedPublish, Problem> {
        let payload = either(self.payload, self.payload_base64, "payload")?.unwrap_or_default();
        let guarantee = Guarantee::from_level(self.qos).ok_or_else(|| Problem::bad_request("qos is 0, 1 or 2"))?;
        let written = self.properties;
        let correlation = either(written.correlation_data, written.correlation_data_base64, "correlation_data")?;
        written.content_type.as_deref().map_or(Ok(()), |text| check_text("content_type", text))?;
        check_user(&written.user)?;
        if let Some(name) = &written.response_topic {
            Topic::new(name, topics).map_err(|error| Problem::refused(format!("response_topic: {error}")))?;
        }
        check_size("correlation_data", correlation.as_ref().map_or(0, Vec::len))?;
        let properties = Properties {
            content_type: written.content_type.map(Into::into),
            payload_is_text: written.payload_is_text,
            response_topic: written.response_topic.map(Into::into),
            correlation_data: correlation.map(Into::into),
            user: written.user.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        };
        Ok(OwnedPublish {
            name: self.topic,
            payload,
            guarantee,
            retain: self.retain,
            expiry_seconds: self.expiry_seconds,
            properties: (!properties.is_empty()).then(|| Box::new(properties)),
        })
    }
}

impl ClientDocument {
    /// As the broker knows clients.
    pub(super) fn read(self, is_listener: impl Fn(&str) -> bool) -> Result<Client, Problem> {
        if let Some(unknown) = self.listener.as_deref().filter(|name| !is_listener(name)) {
            return Err(Problem::refused(format!("the broker has no listener {unknown:?}")));
        }
        let protocol = match self.protocol.as_str() {
            "mqtt" => Protocol::Mqtt,
            "amqp" => Protocol::Amqp,
            "http" => Protocol::Http,
            _ => return Err(Problem::bad_request("the client's protocol is mqtt, amqp or http")),
        };
        let scope = Scope {
            listener: self.listener.unwrap_or_else(mqtt).into(),
            protocol,
            identity: self.identity.map(Into::into),
        }
        .into();
        Ok(Client { id: self.id.into(), container: None, scope, peer: "".into() })
    }
}

impl OwnedPublish {
    /// As the hall takes it.
    pub(super) fn request(&self) -> Publish<'_> {
        const HANDLE: Handle = 1;
        Publish {
            name: &self.name,
            guarantee: self.guarantee,
            retain: self.retain,
            handle: if self.guarantee == Guarantee::AtMostOnce { 0 } else { HANDLE },
            expiry_seconds: self.expiry_seconds,
            properties: self.properties.clone(),
            payload: &self.payload,
        }
    }
}

/// The listener by which the API itself comes.
pub(super) const ADMIN: &str = "admin";

/// The client as which the API itself acts.
pub(super) fn admin_client() -> Client {
    let scope = Scope { listener: ADMIN.into(), protocol: Protocol::Http, identity: Some("admin".into()) }.into();
    Client { id: "admin".into(), container: None, scope, peer: "".into() }
}

/// Whether a text can be sent to clients of MQTT 5.0 (1.5.4).
fn check_text(field: &str, text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::refused(format!("{field}: a text must not contain U+0000")));
    }
    check_size(field, text.len())
}

/// Whether these are user properties of one message.
fn check_user(user: &[(String, String)]) -> Result<(), Problem> {
    if user.len() > USER_PROPERTIES_MAX {
        let count = user.len();
        return Err(Problem::refused(format!("user: {count} properties; {USER_PROPERTIES_MAX} are allowed")));
    }
    let bytes: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > USER_BYTES_MAX {
        return Err(Problem::refused(format!("user: {bytes} bytes together; {USER_BYTES_MAX} are allowed")));
    }
    user.iter().try_for_each(|(name, value)| check_text("user", name).and_then(|()| check_text("user", value)))
}

fn check_size(field: &str, bytes: usize) -> Result<(), Problem> {
    if bytes > PROPERTY_BYTES_MAX {
        return Err(Problem::refused(format!("{field}: {bytes} bytes; {PROPERTY_BYTES_MAX} are allowed")));
    }
    Ok(())
}

/// Text or base64, not both.
fn either(text: Option<String>, base64: Option<String>, name: &str) -> Result<Option<Vec<u8>>, Problem> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(Problem::bad_request(format!("give {name} or {name}_base64, not both"))),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => {
            let decoded = BASE64_STANDARD.decode(base64);
            decoded.map(Some).map_err(|error| Problem::bad_request(format!("{name}_base64: {error}")))
        }
        (None, None) => Ok(None),
    }
}

/// A payload as an answer shows it: `payload` where it is UTF-8 text, `payload_base64` otherwise.
pub(super) fn shown_payload(payload: &[u8]) -> (&'static str, String) {
    match simdutf8::basic::from_utf8(payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_base64", BASE64_STANDARD.encode(payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<OwnedPublish, String> {
        let document: MessageDocument = serde_json::from_str(document).map_err(|error| error.to_string())?;
        document.read(&topic::Limits::default()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn messages_are_read() {
        for (document, payload, level) in [
            (r#"{"topic":"a"}"#, &b""[..], 0),
            (r#"{"topic":"a","payload":"ü","qos":1}"#, "ü".as_bytes(), 1),
            (r#"{"topic":"a","payload_base64":"AP8=","qos":2}"#, &[0, 255], 2),
        ] {
            let publish = read(document).unwrap();
            assert_eq!(
                (publish.request().payload, publish.request().guarantee.level()),
                (payload, level),
                "{document}"
            );
        }
        let said =
            read(r#"{"topic":"a","properties":{"user":[["x","1"],["x","2"]],"correlation_data_base64":"AA=="}}"#);
        let properties = said.unwrap().properties.unwrap();
        assert_eq!(properties.user.len(), 2);
        assert_eq!(properties.correlation_data.as_deref(), Some(&[0][..]));
    }

    #[test]
    fn user_properties_are_as_many_as_a_packet_has() {
        let said = |count: usize, bytes: usize| {
            let user = vec![("n".to_owned(), "x".repeat(bytes - 1)); count];
            read(&serde_json::json!({ "topic": "a", "properties": { "user": user } }).to_string()).map(|_| ())
        };
        assert_eq!((said(1_000, 1), said(1_000, 524), said(8, 65_536)), (Ok(()), Ok(()), Ok(())));
        for (count, bytes, reason) in [
            (1_001, 1, "user: 1001 properties; 1000 are allowed"),
            (1_000, 525, "user: 525000 bytes together; 524288 are allowed"),
            (9, 65_000, "user: 585000 bytes together; 524288 are allowed"),
        ] {
            let error = said(count, bytes).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (document, reason) in [
            (r#"{"payload":"x"}"#, "missing field `topic`"),
            (r#"{"topic":"a","topik":1}"#, "unknown field `topik`"),
            (r#"{"topic":"a","qos":3}"#, "qos is 0, 1 or 2"),
            (r#"{"topic":"a","qos":-1}"#, "invalid value"),
            (r#"{"topic":"a","payload_base64":"?"}"#, "payload_base64: "),
            (r#"{"topic":"a","payload":"","payload_base64":""}"#, "not both"),
        ] {
            let error = read(document).err().expect(document);
            assert!(error.contains(reason), "{document}: {error}");
        }
    }
}
