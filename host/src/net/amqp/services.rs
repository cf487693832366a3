//! Wills and sessions by messages (the design of EnMasse): which address is which, and who gets a message to one of them.
//!
//! | Address | What a client does there |
//! |---|---|
//! | `$mqtt.lwtservice`, `$mqtt.willservice`, `$lwt` | sends its will (subject `will`) or `will-clear`; the name of the link is its client id |
//! | `$mqtt.subscriptionservice`, `$subctrl` | sends `list`, `close`, `subscribe`, `unsubscribe`, with `$mqtt.to.ID.publish` as correlation-id |
//! | `$mqtt.to.ID.control` | receives answers |
//! | `$mqtt.to.ID.publish`, `$mqtt.to.ID` | receives what its session gets |
//! | `$mqtt.ID.pubrel` | sends the release of QoS 2 messages, which then comes to it as a message |
//!
//! Names are claims: each is held against the identity of the connection, at attach and again with each message.

use super::address;
use super::door::Rope;
use super::management;
use super::publish::publication;
use super::side::Side;
use super::words;
use crate::amqp::sections::{Body, Id, Sections};
use crate::amqp::{self, AmqpError, Attach, Error, Symbol, Value, error};
use crate::broker::{Outlet, link_names};
use crate::client::{Client, Departure};
use crate::dialogue::WillRequest;
use crate::message::{Guarantee, Time};
use crate::store::Sequence;
use std::sync::Arc;

/// A service of the broker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// Keeps wills.
    Wills,
    /// Keeps sessions.
    Sessions,
    /// Queues and bindings.
    Management,
    /// Takes releases of QoS 2 messages, of the client of this id.
    Releases(Box<str>),
}

/// An address from which a client receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own<'a> {
    /// What its session gets.
    Publish(&'a str),
    /// Answers.
    Control(&'a str),
}

/// A will that a link stands for.
#[derive(Debug)]
pub(super) struct WillLink {
    /// Under which the hall keeps it.
    pub owner: u64,
    /// Whose it is: the name of the link.
    pub client: Arc<Client>,
    /// A detach without an error publishes it, since this client cannot say otherwise.
    pub second_mode: bool,
}

/// Link property of the will service: 2 for a client that cannot put an error into a detach, 1 for one that can. Without it the
/// setting `amqp.will_mode` holds.
const WILL_MODE: &str = "x-opt-mqtt-will-mode";

/// The service of an address, by its name in the design's text or by one of its older ones.
pub(super) fn service(address: &str) -> Option<Service> {
    match address {
        "$mqtt.lwtservice" | "$mqtt.willservice" | "$lwt" => Some(Service::Wills),
        "$mqtt.subscriptionservice" | "$subctrl" => Some(Service::Sessions),
        management::ADDRESS => Some(Service::Management),
        _ => {
            let id = address.strip_prefix("$mqtt.")?.strip_suffix(".pubrel").filter(|id| !id.is_empty())?;
            Some(Service::Releases(id.into()))
        }
    }
}

/// What a client receives at an address. The id is all between the fixed words, whatever is in it.
pub(super) fn own(address: &str) -> Option<Own<'_>> {
    let rest = address.strip_prefix("$mqtt.to.").filter(|rest| !rest.is_empty())?;
    let named = |end| rest.strip_suffix(end).filter(|id| !id.is_empty());
    Some(match (named(".publish"), named(".control")) {
        (Some(id), _) => Own::Publish(id),
        (_, Some(id)) => Own::Control(id),
        // One address for both, as the design had it at first.
        _ => Own::Publish(rest),
    })
}

impl Own<'_> {
    /// The client.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Publish(id) | Self::Control(id) => id,
        }
    }

    /// The mailbox behind the address.
    pub(super) fn mailbox(&self) -> Arc<str> {
        match self {
            Self::Publish(id) => (*id).into(),
            Self::Control(id) => link_names::answers(id).into(),
        }
    }
}

/// Properties of the broker's Open: what it is, and its services.
pub(super) fn advertised() -> amqp::Fields {
    let said = [
        ("product", "Pliant"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("x-opt-mqtt-will-service", "$mqtt.lwtservice"),
        ("x-opt-mqtt-subscription-service", "$mqtt.subscriptionservice"),
    ];
    said.into_iter().map(|(name, value)| (Symbol::from(name), Value::String(value.to_owned()))).collect()
}

/// Whether an address could only be a service's, and is none of these. Clients of Azure's ask for claims-based security, and
/// would wait for its answers.
pub(super) fn is_unknown(address: &str) -> bool {
    address.starts_with("$mqtt.") || address == "$cbs"
}

impl Side {
    /// Another name for this client: the one of its session or will.
    pub(super) fn named(&self, id: &str) -> Option<Arc<Client>> {
        self.client.as_ref().map(|client| Arc::new(Client { id: id.into(), ..(**client).clone() }))
    }

    /// A link to a service comes up.
    pub(super) fn attach_to_service(
        &mut self,
        now: Time,
        attach: &Attach,
        service: &Service,
    ) -> Result<Option<WillLink>, Error> {
        let not_in = || error(AmqpError::IllegalState, "the connection is not open");
        let broker = self.context.broker.clone();
        let refused = |refusal| words::refused(&refusal);
        match service {
            Service::Sessions | Service::Management => Ok(None),
            Service::Releases(id) => {
                let client = self.named(id).ok_or_else(not_in)?;
                broker.may_claim(&mut self.context.worker.borrow_mut(), &client).map_err(refused)?;
                Ok(None)
            }
            Service::Wills => {
                // The link's name says whose will it is.
                let client = self.named(&attach.name).ok_or_else(not_in)?;
                let second_mode = match attach.properties.get(&Symbol::from(WILL_MODE)) {
                    Some(Value::Ubyte(mode)) => *mode == 2,
                    Some(Value::Ushort(mode)) => *mode == 2,
                    Some(Value::Uint(mode)) => *mode == 2,
                    Some(Value::Ulong(mode)) => *mode == 2,
                    Some(Value::Int(mode)) => *mode == 2,
                    Some(Value::Long(mode)) => *mode == 2,
                    _ => self.context.amqp.will_mode == 2,
                };
                let owner = broker.origin();
                let outlet = Arc::new(Rope(self.bell.door(attach.link, self.outlet.clone())));
                let context = self.context.clone();
                let mut worker = context.worker.borrow_mut();
                broker.claim_will(&mut worker, now, owner, &client, outlet, self.origin).map_err(refused)?;
                Ok(Some(WillLink { owner, client, second_mode }))
            }
        }
    }

    /// A message to the will service.
    pub(super) fn will_request(
        &mut self,
        now: Time,
        link: &WillLink,
        message: &Sections<'_>,
    ) -> Result<Sequence, Error> {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        let properties = message.properties();
        match properties.subject {
            Some("will-clear") => return Ok(context.broker.clear_will(&mut worker, link.owner)),
            Some("will") => {}
            _ => return Err(error(AmqpError::DecodeError, "neither a will nor a will-clear")),
        }
        let invalid = |why: &str| error(AmqpError::DecodeError, why);
        let to = properties.to.map(address::node).ok_or_else(|| invalid("a will needs a topic (`to`)"))?;
        let payload = match message.body() {
            Body::Nothing => Default::default(),
            Body::Value(value) if value.is_null() => Default::default(),
            Body::Value(value) => {
                let bytes = value.as_binary().or_else(|| value.as_str().map(str::as_bytes));
                bytes.ok_or_else(|| invalid("the body of a will is bytes or text"))?.to_vec()
            }
            _ => message.data().ok_or_else(|| invalid("the body of a will is bytes or text"))?.into_owned(),
        };
        let facts = publication(message, to, Guarantee::AtLeastOnce, self.origin, now);
        let left = facts.expiry_milliseconds;
        let mut will = WillRequest {
            name: to.into(),
            guarantee: facts.guarantee,
            retain: facts.retain,
            expiry_seconds: left.map(|left| u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX)),
            properties: None,
            payload: payload.into(),
            delay_seconds: super::sessions::number(message, "x-opt-mqtt-will-delay").unwrap_or(0),
        };
        context.broker.describe_will(&mut worker, &mut will, facts);
        let kept = context.broker.leave_will(&mut worker, now, link.owner, &link.client, &will);
        kept.map_err(|refusal| words::refused(&refusal))
    }

    /// A will's link is gone. `clean`: it was detached without an error.
    pub(super) fn will_link_gone(&mut self, now: Time, link: &WillLink, clean: bool) {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        if clean && !link.second_mode {
            context.broker.clear_will(&mut worker, link.owner);
        } else {
            context.broker.will_is_due(&mut worker, now, link.owner, Departure::ConnectionLost);
        }
        context.broker.unclaim_will(&mut worker, link.owner, &link.client);
    }

    /// A message to `$mqtt.ID.pubrel`: the client has the QoS 2 message of that id for good.
    pub(super) fn release_request(&mut self, id: &str, message: &Sections<'_>) -> Result<Sequence, Error> {
        let wrong = |why: &str| error(AmqpError::PreconditionFailed, why);
        let properties = message.properties();
        if properties.subject != Some("pubrel") {
            return Err(error(AmqpError::NotImplemented, "only a pubrel comes here"));
        }
        let about: Id<'_> =
            properties.message_id.ok_or_else(|| wrong("a pubrel needs the message-id of its message"))?;
        let client = self.named(id).ok_or_else(|| wrong("the connection is not open"))?;
        let context = self.context.clone();
        let is_it =
            |held: crate::broker::Held<'_>| amqp::is_release(about, held.number, held.message.payload(), &context.amqp);
        let encoded = amqp::release(about);
        let mut worker = context.worker.borrow_mut();
        let released = context.broker.session_release(&mut worker, &client, &is_it, &encoded);
        released.map_err(|refusal| words::refused(&refusal))
    }

    /// The broker's own outlet for this connection.
    pub(super) fn way_out(&self) -> Arc<dyn Outlet> {
        self.outlet.clone()
    }
}
