//! What is written and read by hand is the same for `fe2o3-amqp-types`.

use crate::amqp::codec::read::{Reader, Value};
use crate::amqp::limits::Limits;
use crate::amqp::performative::{self, DispositionFrame, Performative, TransferFrame};
use crate::amqp::state::ACCEPTED;
use fe2o3_amqp_types::definitions::{DeliveryTag, Handle, Role};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{Disposition, Flow, Performative as Theirs, Transfer};
use proptest::prelude::*;

fn ours(bytes: &[u8]) -> Performative<'_> {
    performative::read(bytes, &Limits::default()).unwrap()
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..300, any::<u32>()]
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let tag = prop::option::of(prop::collection::vec(any::<u8>(), 1..33));
    let ids = (number(), prop::option::of(number()), tag, prop::option::of(number()));
    let flags = (prop::option::of(any::<bool>()), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (ids, flags).prop_map(|((handle, delivery_id, tag, message_format), (settled, more, accepted, resume, aborted))| {
        Transfer {
            handle: Handle(handle),
            delivery_id,
            delivery_tag: tag.map(DeliveryTag::from),
            message_format,
            settled,
            more,
            rcv_settle_mode: None,
            state: accepted.then_some(DeliveryState::Accepted(Accepted {})),
            resume,
            aborted,
            batchable: false,
        }
    })
}

fn flow() -> impl Strategy<Value = Flow> {
    let session = (prop::option::of(number()), number(), number(), number());
    let link = prop::option::of((number(), number(), number(), number(), any::<bool>()));
    (session, link, any::<bool>()).prop_map(|((next, window, own, own_window), link, echo)| Flow {
        next_incoming_id: next,
        incoming_window: window,
        next_outgoing_id: own,
        outgoing_window: own_window,
        handle: link.map(|link| Handle(link.0)),
        delivery_count: link.map(|link| link.1),
        link_credit: link.map(|link| link.2),
        available: link.map(|link| link.3),
        drain: link.is_some_and(|link| link.4),
        echo,
        properties: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transfers(theirs in transfer()) {
        let bytes = [serde_amqp::to_vec(&theirs).unwrap(), b"payload".to_vec()].concat();
        let Performative::Transfer(read, payload) = ours(&bytes) else { panic!() };
        prop_assert_eq!(payload, b"payload");
        let expected = TransferFrame {
            handle: theirs.handle.0,
            delivery_id: theirs.delivery_id,
            tag: theirs.delivery_tag.as_ref().map(|tag| &tag[..]),
            format: theirs.message_format,
            settled: theirs.settled,
            more: theirs.more,
            receiver_settles: theirs.rcv_settle_mode.clone().map(|mode| mode as u8),
            state: theirs.state.is_some().then_some(ACCEPTED),
            resume: theirs.resume,
            aborted: theirs.aborted,
        };
        prop_assert_eq!(read, expected);
        let mut written = Vec::new();
        let whole = TransferFrame { aborted: false, ..expected };
        whole.write(&mut written);
        let Theirs::Transfer(back) = serde_amqp::from_slice(&written).unwrap() else { panic!() };
        let expected = Transfer {
            delivery_id: Some(theirs.delivery_id.unwrap_or(0)),
            delivery_tag: Some(theirs.delivery_tag.clone().unwrap_or_default()),
            message_format: Some(theirs.message_format.unwrap_or(0)),
            settled: Some(theirs.settled.unwrap_or(false)),
            aborted: false,
            ..theirs.clone()
        };
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn flows(theirs in flow()) {
        let bytes = serde_amqp::to_vec(&theirs).unwrap();
        let Performative::Flow(read) = ours(&bytes) else { panic!() };
        let mut written = Vec::new();
        read.write(&mut written);
        let back: Flow = serde_amqp::from_slice(&written).unwrap();
        // Ours never asks for an answer.
        prop_assert_eq!(back, Flow { echo: false, ..theirs.clone() });
        prop_assert_eq!(read.echo, theirs.echo);
    }

    #[test]
    fn dispositions(by_receiver: bool, first in number(), more in prop::option::of(1u32..1000), settled: bool, accepted: bool) {
        let last = more.map(|more| first.wrapping_add(more));
        let state = accepted.then_some(DeliveryState::Accepted(Accepted {}));
        let role = if by_receiver { Role::Receiver } else { Role::Sender };
        let theirs = Disposition { role, first, last, settled, state, batchable: false };
        let bytes = serde_amqp::to_vec(&theirs).unwrap();
        let Performative::Disposition(read) = ours(&bytes) else { panic!() };
        let state = accepted.then_some(ACCEPTED);
        prop_assert_eq!(read, DispositionFrame { by_receiver, first, last: last.unwrap_or(first), settled, state });
        let mut written = Vec::new();
        read.write(&mut written);
        let Theirs::Disposition(back) = serde_amqp::from_slice(&written).unwrap() else { panic!() };
        prop_assert_eq!(back, theirs);
    }

    #[test]
    fn values(value in prop::collection::vec(any::<u8>(), 1..200)) {
        // What passes the check can be walked by the reader, and takes the same bytes.
        let mut budget = crate::amqp::codec::check::Budget { depth: 32, elements: 1000 };
        if let Ok(length) = crate::amqp::codec::check::value(&value, &mut budget) {
            let read = Reader::new(&value).next().unwrap();
            prop_assert_eq!(read.raw.len(), length);
            let elements = Value::elements(&read).map_or(0, |elements| std::iter::successors(Some(elements), |rest| {
                let mut rest = *rest;
                rest.next().map(|_| rest)
            }).filter(Reader::is_finished).count());
            prop_assert_eq!(elements, usize::from(read.elements().is_some()));
        }
    }
}
