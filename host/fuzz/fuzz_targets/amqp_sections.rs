//! Any bytes as a message of AMQP: what is taken for one can be read throughout, taken apart and put together again, and
//! annotated, and is one each time.

#![no_main]

use fuzz::amqp::sections::{self, Body, RawValue, Sections};
use fuzz::amqp::{Limits, Published, Wording, annotated};
use fuzz::sections::{Encoding, Form};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|input: &[u8]| {
    let limits = Arc::new(Limits::default());
    // What the broker adds to a message that has as many sections as are taken is for others, whose bound is another one.
    let wider = Limits { sections_max: limits.sections_max + 4, ..Limits::default() };
    let Ok(message) = Sections::scan(input, &limits) else { return };
    let maps = [message.message_annotations(), message.delivery_annotations(), message.footer()];
    maps.into_iter().chain([message.application_properties()]).flatten().for_each(|(key, value)| {
        walk(&key, 0);
        walk(&value, 0);
    });
    match message.body() {
        Body::Value(value) => walk(&value, 0),
        Body::Sequence(parts) | Body::DataMany(parts) => parts.for_each(|part| walk(&part, 0)),
        Body::Nothing | Body::Data(_) => {}
    }
    let kept = message.kept();
    let again = Sections::scan(kept, &limits).expect("what is kept of a message is one");
    assert_eq!((again.bare(), again.properties()), (message.bare(), message.properties()));
    let flagged = annotated(kept, Some(("x-opt-retain-message", true)), &[], &limits).expect("it can be annotated");
    let flagged = [&flagged.0, flagged.1].concat();
    let flagged = Sections::scan(&flagged, &wider).expect("an annotated message is one");
    assert_eq!(flagged.bare(), message.bare());
    assert_eq!(flagged.message_annotation("x-opt-retain-message").and_then(|flag| flag.as_bool()), Some(true));
    let mut published = Vec::new();
    let header = sections::Header::default();
    let said = Published { topic: "t", level: 1, retain: false, number: 7, identifiers: &[1, 300], header };
    let behind = said.write(kept, &limits, &mut published).expect("it can be published");
    published.extend_from_slice(behind);
    let published = Sections::scan(&published, &wider).expect("a published message is one");
    assert_eq!((published.properties().to, published.encoded_body()), (Some("t"), message.encoded_body()));
    let wording = Wording(limits.clone());
    let head = wording.read(kept).expect("a message has a form in words");
    let body = Some(head.body.clone());
    // Keys that are numbers have no form in words, and what is left out makes it another message: only that it is one counts.
    if let Ok(written) = wording.write(&Form { head, body }, &[]) {
        wording.read(&written).expect("what was written is read");
    }
});

/// Looks at a value in every way.
fn walk(value: &RawValue<'_>, depth: u32) {
    assert!(depth <= 40, "deeper than was checked");
    let _ = (value.as_bool(), value.as_integer(), value.as_float(), value.as_char(), value.as_uuid());
    let _ = (value.as_str(), value.as_symbol(), value.as_binary(), value.as_timestamp());
    if let Some((_, inner)) = value.described() {
        walk(&inner, depth + 1);
    }
    for items in [value.elements(), value.list(), value.map()].into_iter().flatten() {
        items.for_each(|item| walk(&item, depth + 1));
    }
}
