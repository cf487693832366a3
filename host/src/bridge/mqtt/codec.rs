//! Packets of both versions of MQTT behind one face.

use super::super::VIA;
use super::super::settings::MqttVersion;
use super::answers;
use crate::message::{Guarantee, Message, Properties, Time};
use crate::topic::is_forbidden;
use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use rumqttc::{mqttbytes as v4bytes, v5::mqttbytes as v5bytes};
use std::fmt::{Debug, Display};

/// The packets of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    pub version: MqttVersion,
    /// Greatest packet that is taken, in bytes.
    pub bytes_max: u32,
}

/// What a bridge says when it comes.
pub struct Hello<'a> {
    pub client_id: &'a str,
    pub login: Option<(String, String)>,
    pub keep_alive: u16,
    pub window: u16,
}

/// What a bridge subscribes to over there.
pub struct Wanted {
    pub filter: String,
    pub guarantee: Guarantee,
    /// Its retained messages come with each subscription, not only with the first.
    pub always: bool,
}

/// A message on its way out.
pub struct Out<'a> {
    pub topic: String,
    pub guarantee: Guarantee,
    pub retain: bool,
    pub duplicate: bool,
    pub handle: u16,
    pub message: &'a Message,
    pub now: Time,
    /// This broker, to be put behind those that the message came from.
    pub node: &'a str,
}

/// What came.
#[derive(Debug)]
pub enum Packet {
    Connack {
        session_present: bool,
        refusal: Option<String>,
        bounds: Bounds,
    },
    Publish(Box<In>),
    Puback(u16, Verdict),
    Pubrec(u16, Verdict),
    Pubrel(u16),
    Pubcomp(u16),
    /// Reasons of those that were refused.
    Suback(Vec<Option<String>>),
    Pingresp,
    Disconnect {
        reason: String,
        /// A packet was wrong in a way that it will be again.
        for_good: bool,
    },
    /// Nothing that a bridge has to act on.
    Other,
}

/// What the other broker can take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub window: u16,
    pub bytes_max: u32,
    pub guarantee_max: Guarantee,
    pub retain: bool,
    pub keep_alive: Option<u16>,
}

impl Default for Bounds {
    fn default() -> Self {
        let (window, bytes_max) = (u16::MAX, u32::MAX);
        Self { window, bytes_max, guarantee_max: Guarantee::ExactlyOnce, retain: true, keep_alive: None }
    }
}

/// A message that came in.
#[derive(Debug)]
pub struct In {
    pub topic: String,
    pub guarantee: Guarantee,
    pub retain: bool,
    pub handle: u16,
    pub expiry_seconds: Option<u32>,
    pub properties: Option<Box<Properties>>,
    pub payload: Bytes,
}

/// What the other broker says of a message.
#[derive(Debug)]
pub enum Verdict {
    /// It has it.
    Taken,
    /// It does not take it now.
    NotNow(String),
    /// It will never take it.
    Never(String),
}

impl Codec {
    /// The next whole packet, taken off the front.
    pub fn read(self, from: &mut BytesMut) -> Result<Option<Packet>, String> {
        match self.version {
            MqttVersion::V5 => match answers::read(from, self.bytes_max)? {
                Some(answer) => Ok(Some(answer)),
                None => self.read_5(from),
            },
            MqttVersion::V311 => match v4::Packet::read(from, self.bytes_max as usize) {
                Ok(packet) => packet_4(packet).map(Some),
                Err(v4bytes::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(unreadable(&error)),
            },
        }
    }

    fn read_5(self, from: &mut BytesMut) -> Result<Option<Packet>, String> {
        match v5::Packet::read(from, Some(self.bytes_max)) {
            Ok(packet) => packet_5(packet).map(Some),
            Err(v5bytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }

    pub fn connect(self, hello: Hello<'_>, out: &mut BytesMut) -> Result<(), String> {
        let Hello { client_id, login, keep_alive, window } = hello;
        match self.version {
            MqttVersion::V5 => {
                let properties = v5::ConnectProperties {
                    session_expiry_interval: Some(u32::MAX),
                    receive_maximum: Some(window),
                    max_packet_size: Some(self.bytes_max),
                    ..v5::ConnectProperties::new()
                };
                let connect = v5::Connect {
                    keep_alive,
                    client_id: client_id.to_owned(),
                    clean_start: false,
                    properties: Some(properties),
                };
                let login = login.map(|(username, password)| v5::Login { username, password });
                self.put_5(&v5::Packet::Connect(connect, None, login), out)
            }
            MqttVersion::V311 => {
                let mut connect = v4::Connect::new(client_id);
                (connect.keep_alive, connect.clean_session) = (keep_alive, false);
                connect.login = login.map(|(username, password)| v4::Login { username, password });
                self.put_4(&v4::Packet::Connect(connect), out)
            }
        }
    }

    pub fn subscribe(self, handle: u16, wanted: &[Wanted], out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => {
                let filters = wanted.iter().map(|wanted| {
                    let mut filter = v5::Filter::new(wanted.filter.clone(), qos_5(wanted.guarantee));
                    (filter.nolocal, filter.preserve_retain) = (true, true);
                    if !wanted.always {
                        filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                    }
                    filter
                });
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = handle;
                self.put_5(&v5::Packet::Subscribe(subscribe), out)
            }
            MqttVersion::V311 => {
                let filters = wanted
                    .iter()
                    .map(|wanted| v4::SubscribeFilter::new(wanted.filter.clone(), qos_4(wanted.guarantee)));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = handle;
                self.put_4(&v4::Packet::Subscribe(subscribe), out)
            }
        }
    }

    pub fn publish(self, sent: Out<'_>, out: &mut BytesMut) -> Result<(), String> {
        let payload = Bytes::copy_from_slice(sent.message.payload());
        match self.version {
            MqttVersion::V5 => {
                let publish = v5::Publish {
                    dup: sent.duplicate,
                    qos: qos_5(sent.guarantee),
                    retain: sent.retain,
                    pkid: sent.handle,
                    payload,
                    properties: Some(properties_5(&sent)),
                    topic: sent.topic.into_bytes().into(),
                };
                self.put_5(&v5::Packet::Publish(publish), out)
            }
            MqttVersion::V311 => {
                let mut publish = v4::Publish::from_bytes(sent.topic, qos_4(sent.guarantee), payload);
                (publish.dup, publish.retain, publish.pkid) = (sent.duplicate, sent.retain, sent.handle);
                self.put_4(&v4::Packet::Publish(publish), out)
            }
        }
    }

    pub fn puback(self, handle: u16, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => self.put_5(&v5::Packet::PubAck(v5::PubAck::new(handle, None)), out),
            MqttVersion::V311 => self.put_4(&v4::Packet::PubAck(v4::PubAck::new(handle)), out),
        }
    }

    pub fn pubrec(self, handle: u16, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => self.put_5(&v5::Packet::PubRec(v5::PubRec::new(handle, None)), out),
            MqttVersion::V311 => self.put_4(&v4::Packet::PubRec(v4::PubRec::new(handle)), out),
        }
    }

    pub fn pubrel(self, handle: u16, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => self.put_5(&v5::Packet::PubRel(v5::PubRel::new(handle, None)), out),
            MqttVersion::V311 => self.put_4(&v4::Packet::PubRel(v4::PubRel::new(handle)), out),
        }
    }

    pub fn pubcomp(self, handle: u16, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => self.put_5(&v5::Packet::PubComp(v5::PubComp::new(handle, None)), out),
            MqttVersion::V311 => self.put_4(&v4::Packet::PubComp(v4::PubComp::new(handle)), out),
        }
    }

    pub fn ping(self, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => self.put_5(&v5::Packet::PingReq(v5::PingReq), out),
            MqttVersion::V311 => self.put_4(&v4::Packet::PingReq, out),
        }
    }

    pub fn disconnect(self, out: &mut BytesMut) -> Result<(), String> {
        match self.version {
            MqttVersion::V5 => {
                let normal = v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection);
                self.put_5(&v5::Packet::Disconnect(normal), out)
            }
            MqttVersion::V311 => self.put_4(&v4::Packet::Disconnect, out),
        }
    }

    fn put_5(self, packet: &v5::Packet, out: &mut BytesMut) -> Result<(), String> {
        packet.write(out, None).map(|_| ()).map_err(|error| error.to_string())
    }

    fn put_4(self, packet: &v4::Packet, out: &mut BytesMut) -> Result<(), String> {
        packet.write(out, usize::MAX).map(|_| ()).map_err(|error| error.to_string())
    }
}

fn packet_5(packet: v5::Packet) -> Result<Packet, String> {
    Ok(match packet {
        v5::Packet::ConnAck(answer) => {
            let refused = answer.code != v5::ConnectReturnCode::Success;
            let said = answer.properties.as_ref();
            let reason =
                said.and_then(|said| said.reason_string.clone()).map_or(String::new(), |text| format!(": {text}"));
            let bounds = said.map_or_else(Bounds::default, |said| Bounds {
                window: said.receive_max.unwrap_or(u16::MAX),
                bytes_max: said.max_packet_size.unwrap_or(u32::MAX),
                guarantee_max: said.max_qos.and_then(Guarantee::from_level).unwrap_or(Guarantee::ExactlyOnce),
                retain: said.retain_available != Some(0),
                keep_alive: said.server_keep_alive,
            });
            let refusal = refused.then(|| format!("it refuses the connection: {}{reason}", plain(&answer.code)));
            Packet::Connack { session_present: answer.session_present, refusal, bounds }
        }
        v5::Packet::Publish(publish) => Packet::Publish(Box::new(message_5(publish)?)),
        v5::Packet::PubRel(rel) => Packet::Pubrel(rel.pkid),
        v5::Packet::Disconnect(farewell) => {
            let reason = farewell.properties.and_then(|said| said.reason_string);
            let reason = reason.map_or(String::new(), |text| format!(": {text}"));
            Packet::Disconnect {
                reason: format!("{}{reason}", plain(&farewell.reason_code)),
                for_good: is_for_good(&farewell.reason_code),
            }
        }
        v5::Packet::PingResp(_) => Packet::Pingresp,
        _ => Packet::Other,
    })
}

fn packet_4(packet: v4::Packet) -> Result<Packet, String> {
    Ok(match packet {
        v4::Packet::ConnAck(answer) => {
            let refused = answer.code != v4::ConnectReturnCode::Success;
            let refusal = refused.then(|| format!("it refuses the connection: {}", plain(&answer.code)));
            Packet::Connack { session_present: answer.session_present, refusal, bounds: Bounds::default() }
        }
        v4::Packet::Publish(publish) => Packet::Publish(Box::new(In {
            guarantee: level(publish.qos as u8)?,
            retain: publish.retain,
            handle: publish.pkid,
            expiry_seconds: None,
            properties: None,
            payload: publish.payload,
            topic: publish.topic,
        })),
        v4::Packet::PubAck(ack) => Packet::Puback(ack.pkid, Verdict::Taken),
        v4::Packet::PubRec(rec) => Packet::Pubrec(rec.pkid, Verdict::Taken),
        v4::Packet::PubRel(rel) => Packet::Pubrel(rel.pkid),
        v4::Packet::PubComp(comp) => Packet::Pubcomp(comp.pkid),
        v4::Packet::SubAck(answer) => Packet::Suback(
            (answer.return_codes.iter())
                .map(|code| (*code == v4::SubscribeReasonCode::Failure).then(|| "it says only that it does".to_owned()))
                .collect(),
        ),
        _ => Packet::Other,
    })
}

fn unreadable(error: &dyn Display) -> String {
    format!("it sent a packet that cannot be read: {error}")
}

/// The library's name of a reason code, in words.
fn plain(code: &impl Debug) -> String {
    let mut words = String::new();
    for letter in format!("{code:?}").replace("QoS", "Qos").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn message_5(publish: v5::Publish) -> Result<In, String> {
    let topic = String::from_utf8(publish.topic.to_vec()).map_err(|_| "a topic that is no UTF-8".to_owned())?;
    let said = publish.properties.unwrap_or_default();
    let properties = Properties {
        content_type: said.content_type.map(String::into_boxed_str),
        payload_is_text: said.payload_format_indicator.map(|format| format == 1),
        response_topic: said.response_topic.map(String::into_boxed_str),
        correlation_data: said.correlation_data.map(|data| data.as_ref().into()),
        user: said.user_properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
    };
    Ok(In {
        topic,
        guarantee: level(publish.qos as u8)?,
        retain: publish.retain,
        handle: publish.pkid,
        expiry_seconds: said.message_expiry_interval,
        properties: (!properties.is_empty()).then(|| Box::new(properties)),
        payload: publish.payload,
    })
}

fn properties_5(sent: &Out<'_>) -> v5::PublishProperties {
    let mut properties = v5::PublishProperties {
        message_expiry_interval: sent.message.expiry_seconds(sent.now),
        ..v5::PublishProperties::default()
    };
    if let Some(said) = &sent.message.envelope().properties {
        // What cannot be said in MQTT is left out, as it is for clients: the other broker would end the connection each time.
        let is_text = |text: &str| text.len() <= usize::from(u16::MAX) && !text.contains(is_forbidden);
        let text = |text: &Option<Box<str>>| text.as_deref().filter(|text| is_text(text)).map(str::to_owned);
        properties.content_type = text(&said.content_type);
        properties.payload_format_indicator = said.payload_is_text.map(u8::from);
        properties.response_topic = text(&said.response_topic);
        let data = said.correlation_data.as_deref().filter(|data| data.len() <= usize::from(u16::MAX));
        properties.correlation_data = data.map(Bytes::copy_from_slice);
        let user = said.user.iter().filter(|(name, value)| is_text(name) && is_text(value));
        properties.user_properties = user.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    }
    properties.user_properties.push((VIA.to_owned(), sent.node.to_owned()));
    properties
}

fn level(qos: u8) -> Result<Guarantee, String> {
    Guarantee::from_level(qos).ok_or_else(|| format!("QoS {qos}"))
}

fn qos_5(guarantee: Guarantee) -> v5bytes::QoS {
    match guarantee {
        Guarantee::AtMostOnce => v5bytes::QoS::AtMostOnce,
        Guarantee::AtLeastOnce => v5bytes::QoS::AtLeastOnce,
        Guarantee::ExactlyOnce => v5bytes::QoS::ExactlyOnce,
    }
}

fn qos_4(guarantee: Guarantee) -> v4bytes::QoS {
    match guarantee {
        Guarantee::AtMostOnce => v4bytes::QoS::AtMostOnce,
        Guarantee::AtLeastOnce => v4bytes::QoS::AtLeastOnce,
        Guarantee::ExactlyOnce => v4bytes::QoS::ExactlyOnce,
    }
}

/// Whether a packet that ends a connection with this ends the next one too. Rights may be given and quotas may be raised.
fn is_for_good(code: &v5::DisconnectReasonCode) -> bool {
    use v5::DisconnectReasonCode as Code;
    matches!(
        code,
        Code::MalformedPacket
            | Code::ProtocolError
            | Code::TopicNameInvalid
            | Code::PacketTooLarge
            | Code::PayloadFormatInvalid
            | Code::RetainNotSupported
            | Code::QoSNotSupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_in_words() {
        assert_eq!(plain(&v5::ConnectReturnCode::BadUserNamePassword), "bad user name password");
        assert_eq!(plain(&v5::DisconnectReasonCode::QoSNotSupported), "qos not supported");
    }

    /// The other broker would end the connection, and get the message again on the next one.
    #[test]
    fn what_mqtt_cannot_say_is_left_out() {
        let said = Properties {
            content_type: Some("a\nb".into()),
            response_topic: Some("answers".into()),
            user: vec![("a".into(), "b\u{1}".into()), ("c".into(), "d".into())].into_iter().collect(),
            ..Properties::default()
        };
        let envelope = crate::message::Envelope {
            topic: crate::topic::Topic::new("t", &Default::default()).unwrap(),
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expires: None,
            properties: Some(Box::new(said)),
            hops: 0,
        };
        let message = Message::new(envelope, 0, b"m");
        let sent = Out {
            topic: "t".to_owned(),
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            duplicate: false,
            handle: 1,
            message: &message,
            now: Time(0),
            node: "here",
        };
        let properties = properties_5(&sent);
        assert_eq!((properties.content_type, properties.response_topic.as_deref()), (None, Some("answers")));
        let user: Vec<_> = properties.user_properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(user, [("c", "d"), (VIA, "here")]);
    }
}
