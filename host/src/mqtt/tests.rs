//! The room as a whole: bytes in, requests and bytes out, with both halves of a connection.

use super::*;
use crate::client::{Client, Departure};
use crate::dialogue::*;
use crate::message::{Envelope, Guarantee, Message, Properties, Refusal, RefusalKind, Time};
use crate::topic::Topic;
use std::sync::Arc;

/// A connection with a hall that grants everything.
struct Connection {
    inbound: Inbound,
    outbound: Option<Outbound>,
    sent: Vec<u8>,
    requests: Vec<String>,
    closed: Option<Violation>,
    departure: Option<Departure>,
    now: Time,
    refuse: Option<RefusalKind>,
}

impl Connection {
    fn new(limits: Limits) -> Self {
        Self {
            inbound: Inbound::new(Arc::new(limits), "mqtt".into(), "127.0.0.1:1".into(), Time(0)),
            outbound: None,
            sent: Vec::new(),
            requests: Vec::new(),
            closed: None,
            departure: None,
            now: Time(0),
            refuse: None,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let mut done = 0;
        while self.closed.is_none() {
            let step = match self.inbound.receive(self.now, &bytes[done..]) {
                Ok(step) => step,
                Err(violation) => {
                    self.closed = Some(violation);
                    self.departure = Some(violation.departure());
                    let inbound = &mut self.inbound;
                    let outbound = self.outbound.get_or_insert_with(|| inbound.outbound());
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
                    }
                    grant(request, self.refuse)
                }
            };
            let inbound = &mut self.inbound;
            let outbound = self.outbound.get_or_insert_with(|| inbound.outbound());
            if let Some(event) = event {
                let _ = outbound.event(&event, &mut self.sent);
            }
        }
        self
    }

    fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }
}

fn grant(request: Request<'_>, refuse: Option<RefusalKind>) -> Option<Event> {
    let refusal = |kind| Refusal::new(kind, "no");
    Some(match request {
        Request::Attach(attach) => Event::Attached(Attached {
            client: Arc::new(attach.client),
            resumed: false,
            assigned: false,
            expiry_seconds: attach.expiry_seconds,
        }),
        Request::Publish(publish) if publish.guarantee == Guarantee::AtMostOnce => return None,
        Request::Publish(publish) => Event::Published {
            handle: publish.handle,
            guarantee: publish.guarantee,
            outcome: refuse.map_or(Ok(Routed::Matched), |kind| Err(refusal(kind))),
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

#[test]
fn a_first_connection_works() {
    let mut c = Connection::new(Limits::default());
    c.send(b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a");
    assert_eq!(c.sent(), b"\x20\x02\0\0");
    c.send(b"\x82\x06\0\x01\0\x01a\x01\xC0\0\x32\x07\0\x01a\0\x05hi");
    assert_eq!(c.sent(), b"\x90\x03\0\x01\x01\xD0\0\x40\x02\0\x05");
}
