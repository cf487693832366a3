//! Any text as a selector, and any bytes as the message that it is held against: no panic, and time that follows from their
//! lengths.

#![no_main]

use fuzz::amqp::sections::Sections;
use fuzz::amqp::{Described, Descriptor, FilterSet, Filters, Limits, Symbol, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let (text, message) = rest.split_at(rest.len().min(usize::from(*how)));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = match how % 4 {
        0 => "apache.org:legacy-amqp-topic-binding:string",
        _ => "apache.org:selector-filter:string",
    };
    let described = Described { descriptor: Descriptor::Name(Symbol::from(kind)), value: Value::String(text.to_owned()) };
    let mut set = FilterSet::new();
    set.insert(Symbol::from("f"), Value::Described(Box::new(described)));
    let limits = Limits::default();
    let Ok(filters) = Filters::compile(&set, &limits) else { return };
    if let Ok(sections) = Sections::scan(message, &limits) {
        let _ = filters.pass(&sections.header(), &sections);
    }
    let _ = filters.pass(&Default::default(), &Sections::scan(&[], &limits).expect("nothing is a message"));
});
