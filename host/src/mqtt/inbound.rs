//! Packets of a connected client, and what each asks of the hall.

use super::connection::{Action, Inbound, Peer};
use super::limits::Limits;
use super::packet::connect::{self, Connect};
use super::packet::subscribe::{self, Filters};
use super::packet::writer::variable_len;
use super::packet::{Version, acknowledgement, auth, control, disconnect, kind, publish};
use super::violation::Violation;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Attach, Detach, Exchange, Publish, Request, Settlement, Subscribe};
use crate::message::Guarantee;

/// Reads one packet whose first byte was checked. `body` is what follows its fixed header.
#[inline]
pub(super) fn read<'b>(inbound: &'b mut Inbound, first: u8, body: &'b [u8]) -> Result<Action<'b>, Violation> {
    if first >> 4 == kind::PUBLISH {
        return publish(inbound, first, body).map(Action::Request);
    }
    let user_max = inbound.limits.user_properties_max;
    let version = inbound.version;
    let request = match first >> 4 {
        packet @ kind::PUBACK..=kind::PUBCOMP => {
            let (handle, reason) = acknowledgement::read(packet, body, version, user_max)?;
            match packet {
                kind::PUBACK => Request::Settle(handle, Settlement::Acknowledged),
                kind::PUBREC if reason >= 0x80 => Request::Settle(handle, Settlement::Refused),
                kind::PUBREC => Request::Received(handle),
                kind::PUBCOMP => Request::Settle(handle, Settlement::Completed),
                _ => {
                    inbound.quota.release(handle);
                    Request::Release(handle)
                }
            }
        }
        kind::SUBSCRIBE => match subscribe::read(body, version, &inbound.limits)? {
            Filters::Taken(subscribe) => {
                may_answer(inbound, subscribe.filters.len())?;
                Request::Subscribe(if inbound.is_bridge { for_bridge(subscribe) } else { subscribe })
            }
            Filters::TooMany(handle, count) => return refuse(inbound, kind::SUBACK, handle, count),
        },
        kind::UNSUBSCRIBE => match subscribe::read_unsubscribe(body, version, &inbound.limits)? {
            Filters::Taken(unsubscribe) => {
                may_answer(inbound, unsubscribe.filters.len())?;
                Request::Unsubscribe(unsubscribe)
            }
            Filters::TooMany(handle, count) => return refuse(inbound, kind::UNSUBACK, handle, count),
        },
        kind::PINGREQ if body.is_empty() => return Ok(Action::Pong),
        kind::PINGREQ => return Err(Violation::TrailingBytes),
        kind::DISCONNECT => Request::Detach(detach(inbound, body)?),
        kind::AUTH => {
            // Without a method agreed on in CONNECT there is nothing to go on with (MQTT-4.12.0-7).
            let Some(authentication) = &mut inbound.authentication else {
                auth::read(body, user_max)?;
                return Err(Violation::NoAuthentication);
            };
            Request::Authenticate(authentication.read(body, user_max)?)
        }
        _ => return Err(Violation::ReservedType),
    };
    Ok(Action::Request(request))
}

/// What a bridge of a version without these options counts on: nothing of its own comes back, and retain flags stay.
fn for_bridge(mut subscribe: Subscribe) -> Subscribe {
    for filter in &mut subscribe.filters {
        // The members of a share are others.
        filter.options.no_local = filter.share.is_none();
        filter.options.retain_as_published = true;
    }
    subscribe
}

#[inline(always)]
fn publish<'b>(inbound: &'b mut Inbound, first: u8, body: &'b [u8]) -> Result<Request<'b>, Violation> {
    let limits = &*inbound.limits;
    let known = inbound.known_topic.get_or_insert_default();
    let read = publish::read(first, body, inbound.version, limits.user_properties_max, |name| known.check(name))?;
    let name = match read.properties.alias {
        None => read.topic,
        Some(alias) => {
            let aliases = inbound.aliases.get_or_insert_default();
            aliases.resolve(alias, read.topic, limits.topic_alias_maximum, limits.topic_alias_bytes_max)?
        }
    };
    if connect::is_too_deep(name, &limits.topic) {
        return Err(Violation::TopicTooDeep);
    }
    match read.guarantee {
        Guarantee::AtMostOnce => {}
        Guarantee::AtLeastOnce => inbound.quota.take()?,
        Guarantee::ExactlyOnce => {
            inbound.quota.take_exactly_once(read.handle, read.duplicate, name, read.payload)?;
        }
    }
    Ok(Request::Publish(Publish {
        name,
        guarantee: read.guarantee,
        retain: read.retain,
        handle: read.handle,
        expiry_seconds: read.properties.expiry_seconds,
        properties: read.properties.rest,
        payload: read.payload,
    }))
}

/// Whether the client takes an answer with so many codes. Nothing is done whose answer it would not hear [MQTT-3.1.2-24].
fn may_answer(inbound: &Inbound, codes: usize) -> Result<(), Violation> {
    // Identifier and no properties.
    let length = 3 + codes;
    let fits = 1 + variable_len(length) + length <= inbound.client_bytes_max as usize;
    if fits { Ok(()) } else { Err(Violation::AnswerTooLarge) }
}

/// More filters than the broker takes at once: each is refused (T05), if the version has words for it.
fn refuse(inbound: &Inbound, packet: u8, handle: u16, count: usize) -> Result<Action<'static>, Violation> {
    let reason = match (packet, inbound.version) {
        (kind::SUBACK, Version::V5) => 0x97,
        (kind::SUBACK, Version::V311) => 0x80,
        (kind::UNSUBACK, Version::V5) => 0x83,
        _ => return Err(Violation::TooManyFilters),
    };
    let mut out = Vec::new();
    control::refuse_filters(packet, inbound.version, handle, reason, count, &mut out);
    let fits = out.len() <= inbound.client_bytes_max as usize;
    if fits { Ok(Action::Reply(out)) } else { Err(Violation::TooManyFilters) }
}

fn detach(inbound: &Inbound, body: &[u8]) -> Result<Detach, Violation> {
    let said = disconnect::read(body, inbound.version, inbound.limits.user_properties_max)?;
    if inbound.is_brief && said.session_expiry.is_some_and(|seconds| seconds != 0) {
        return Err(Violation::SessionExpiryRaised);
    }
    let expiry_max = inbound.limits.session_expiry_seconds_max;
    Ok(Detach {
        departure: if said.reason == 0 { Departure::Clean } else { Departure::OnRequest },
        expiry_seconds: said.session_expiry.map(|seconds| seconds.min(expiry_max)),
    })
}

/// What CONNECT asks of the hall. `client.scope.identity` is for whoever checks the credentials.
pub(super) fn attach(
    connect: Connect<'_>,
    peer: Peer,
    (version, is_bridge): (Version, bool),
    expiry_seconds: u32,
    limits: &Limits,
) -> Attach {
    Attach {
        client: Client {
            id: connect.client_id.into(),
            container: None,
            scope: Scope { listener: peer.listener, protocol: Protocol::Mqtt, identity: None }.into(),
            peer: peer.address,
        },
        clean: connect.clean,
        expiry_seconds: expiry_seconds.min(limits.session_expiry_seconds_max),
        window: connect.properties.receive_maximum.min(limits.deliveries_in_flight_max).max(1),
        per_subscription: version == Version::V5 && limits.copy_per_subscription,
        knows_options: version == Version::V5 || is_bridge,
        will: connect.will,
        credentials: connect.credentials,
        exchange: connect.properties.authentication_method.map(|method| Exchange {
            mechanism: method.into(),
            initial: connect.properties.authentication_data.map(Into::into),
        }),
        proof: None,
    }
}
