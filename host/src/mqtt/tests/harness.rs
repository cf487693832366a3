//! A connection with both its halves, and a hall that grants what it is asked for.

use crate::client::Departure;
use crate::dialogue::{Attached, Event, Request, Routed};
use crate::message::{Guarantee, Refusal, RefusalKind, Time};
use crate::mqtt::{Action, Inbound, Limits, Outbound, Outcome, Step, Violation};
use std::sync::Arc;

/// CONNECT of 3.1.1 and its answer.
pub const C3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a";
/// CONNECT of 5.0.
pub const C5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a";
/// CONNECT of 3.1.
pub const C31: &[u8] = b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a";

pub struct Connection {
    pub inbound: Inbound,
    pub outbound: Option<Outbound>,
    pub sent: Vec<u8>,
    pub requests: Vec<String>,
    pub violation: Option<Violation>,
    pub closed: bool,
    pub departure: Option<Departure>,
    pub now: Time,
    /// What the hall says to publications; none: yes.
    pub refuse: Option<RefusalKind>,
}

impl Connection {
    pub fn new(limits: Limits) -> Self {
        Self {
            inbound: Inbound::new(Arc::new(limits), "mqtt".into(), "127.0.0.1:1".into(), Time(0)),
            outbound: None,
            sent: Vec::new(),
            requests: Vec::new(),
            violation: None,
            closed: false,
            departure: None,
            now: Time(0),
            refuse: None,
        }
    }

    /// A connection that stands; what was sent and asked so far is forgotten.
    pub fn open(connect: &[u8]) -> Self {
        Self::open_with(connect, Limits::default())
    }

    pub fn open_with(connect: &[u8], limits: Limits) -> Self {
        let mut connection = Self::new(limits);
        connection.send(connect);
        assert_eq!(connection.violation, None);
        connection.sent.clear();
        connection.requests.clear();
        connection
    }

    /// Hands bytes to the room until it wants more or ends the connection.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let mut done = 0;
        while !self.closed {
            let step = match self.inbound.receive(self.now, &bytes[done..]) {
                Ok(step) => step,
                Err(violation) => {
                    self.violation = Some(violation);
                    self.departure = Some(violation.departure());
                    self.closed = true;
                    let outbound = self.outbound.get_or_insert_with(|| self.inbound.outbound());
                    outbound.violation(&violation, &mut self.sent);
                    break;
                }
            };
            let Step::Packet { length, action } = step else { break };
            done += length;
            let event = match action {
                Action::Pong => {
                    self.outbound.as_mut().unwrap().pong(&mut self.sent);
                    continue;
                }
                Action::Reply(reply) => {
                    self.sent.extend(reply);
                    continue;
                }
                Action::Request(request) => {
                    self.requests.push(format!("{request:?}"));
                    if let Request::Detach(detach) = &request {
                        self.departure = Some(detach.departure);
                        self.closed = true;
                    }
                    grant(request, self.refuse)
                }
            };
            if let Some(event) = event {
                let _ = self.tell(&event);
            }
        }
        self
    }

    /// Lets the broker say something.
    pub fn tell(&mut self, event: &Event) -> Outcome {
        let outbound = self.outbound.get_or_insert_with(|| self.inbound.outbound());
        let outcome = outbound.event(event, &mut self.sent);
        self.closed |= outcome == Outcome::MustClose;
        outcome
    }

    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }
}

fn grant(request: Request<'_>, refuse: Option<RefusalKind>) -> Option<Event> {
    Some(match request {
        Request::Attach(attach) => Event::Attached(Attached {
            client: Arc::new(attach.client),
            resumed: false,
            assigned: false,
            expiry_seconds: attach.expiry_seconds,
            proof: None,
        }),
        Request::Authenticate(_) => Event::Challenge(Box::default()),
        Request::Publish(publish) if publish.guarantee == Guarantee::AtMostOnce => return None,
        Request::Publish(publish) => Event::Published {
            handle: publish.handle,
            guarantee: publish.guarantee,
            outcome: refuse.map_or(Ok(Routed::Matched), |kind| Err(Refusal::new(kind, "no"))),
        },
        Request::Release(handle) => Event::Released(handle, true),
        Request::Received(handle) => Event::Release(handle, true),
        Request::Settle(..) | Request::Detach(_) => return None,
        Request::Subscribe(subscribe) => Event::Subscribed {
            handle: subscribe.handle,
            granted: subscribe.filters.iter().map(|filter| Ok(filter.options.guarantee)).collect(),
        },
        Request::Unsubscribe(unsubscribe) => Event::Unsubscribed {
            handle: unsubscribe.handle,
            removed: unsubscribe.filters.iter().map(|_| Ok(true)).collect(),
        },
    })
}

/// Compares the code of a refusal without its words: the first four bytes of a CONNACK, the first three of a DISCONNECT,
/// each with its length left out.
pub fn code(sent: &[u8]) -> Option<(u8, u8)> {
    match sent {
        [0x20, _, _, code, ..] => Some((0x20, *code)),
        [0xE0, _, code, ..] => Some((0xE0, *code)),
        [] => None,
        other => panic!("neither CONNACK nor DISCONNECT: {other:02X?}"),
    }
}
