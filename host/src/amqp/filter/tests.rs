//! Rows for filters.

use super::Filters;
use crate::amqp::sections::{self, Header, Id, Properties, Sections};
use crate::amqp::{Described, Descriptor, FilterSet, Limits, Symbol, Value};
use crate::message::{Bare, Envelope, Guarantee, Message};
use crate::topic::{self, Topic};
use serde_amqp::primitives::OrderedMap;

fn described(descriptor: &str, value: Value) -> Value {
    Value::Described(Box::new(Described { descriptor: Descriptor::Name(Symbol::from(descriptor)), value }))
}

fn filters(descriptor: &str, value: Value) -> Result<Filters, String> {
    let mut set = FilterSet::new();
    set.insert(Symbol::from("f"), described(descriptor, value));
    Filters::compile(&set, &Limits::default()).map_err(|error| error.description.unwrap_or_default())
}

/// A message: colour 'red', size 7, weight 1.5, fragile true, name "it's 100%_x"; subject "a.b.c", priority 6.
fn passes(filters: &Filters) -> bool {
    let mut bytes = Vec::new();
    let properties = Properties {
        message_id: Some(Id::String("m-1")),
        subject: Some("a.b.c"),
        correlation_id: Some(Id::Ulong(9)),
        group_sequence: Some(3),
        creation_time: Some(1000),
        ..Properties::default()
    };
    sections::properties(&properties, &mut bytes);
    let application = [
        ("colour", Value::String("red".into())),
        ("size", Value::Int(7)),
        ("large", Value::Ulong(u64::MAX)),
        ("odd", Value::Long(9_007_199_254_740_993)),
        ("weight", Value::Double(1.5.into())),
        ("fragile", Value::Bool(true)),
        ("name", Value::String("it's 100%_x".into())),
        ("nothing", Value::Null),
    ];
    sections::application_properties(application.iter().map(|(key, value)| (*key, value)), &mut bytes);
    sections::data(b"x", &mut bytes);
    let header = Header { priority: 6, durable: true, ..Header::default() };
    filters.pass(&header, &Sections::scan(&bytes, &Limits::default()).unwrap())
}

fn selects(selector: &str) -> bool {
    passes(&filters("apache.org:selector-filter:string", Value::String(selector.into())).unwrap())
}

#[test]
fn selectors_that_are_true() {
    for selector in [
        "",
        "colour = 'red'",
        "colour <> 'blue' AND size > 5",
        "size >= 7 and size <= 7.0",
        "NOT size < 7",
        "size BETWEEN 1 AND 7",
        "size NOT BETWEEN 8 AND 9",
        // AND of two of which one is false is false (JMS 2.0, 3.8.1.2).
        "size NOT BETWEEN missing AND 3",
        "NOT (size BETWEEN 8 AND missing)",
        "large = 18446744073709551615 AND large > 18446744073709551614 AND large < 18446744073709551616.0",
        "odd > 9007199254740992.0 AND odd <> 9007199254740992.0 AND 9007199254740992.0 < odd AND odd < 1e400",
        "size < 7.5 AND -size > -7.5 AND size > 6.5 AND size = 7e0 AND large * large > odd",
        "-9223372036854775808 < -9223372036854775807",
        "JMSCorrelationID = 'ID:AMQP_ULONG:9' AND 'ID:AMQP_ULONG:9' = JMSCorrelationID",
        "JMSCorrelationID IN ('x', 'ID:AMQP_ULONG:9') AND JMSCorrelationID <> 'ID:AMQP_ULONG:8'",
        "JMSMessageID = 'ID:AMQP_NO_PREFIX:m-1' AND JMSMessageID = 'ID:AMQP_STRING:m-1'",
        "colour IN ('green', 'red')",
        "colour NOT IN ('green')",
        "colour LIKE 'r%'",
        "colour LIKE '_e_'",
        "colour LIKE '%'",
        "colour LIKE 'red'",
        "colour NOT LIKE '%x%'",
        "name LIKE 'it''s %\\%\\_x' ESCAPE '\\'",
        "missing IS NULL AND nothing IS NULL",
        "colour IS NOT NULL",
        "size + 1 = 8 AND size * 2 - 4 = 10 AND size / 2 = 3",
        "-size = -7 AND +size = 7",
        "weight * 2 = 3",
        "weight > 1e0 AND weight < 0x2 AND size = 7L",
        "fragile",
        "fragile = TRUE",
        "NOT (fragile = false)",
        "missing = 1 OR size = 7",
        "NOT (missing = 1 AND size = 8)",
        "JMSPriority = 6 AND JMSDeliveryMode = 'PERSISTENT' AND JMSType = 'a.b.c'",
        "JMSMessageID = 'm-1' AND JMSCorrelationID = 9 AND JMSTimestamp = 1000 AND JMSXGroupSeq = 3",
        "amqp.subject = 'a.b.c' AND amqp.message_id = 'm-1' AND amqp.durable",
        "\"colour\" = 'red'",
        "(size = 7 OR missing = 1) AND (colour = 'red')",
    ] {
        assert!(selects(selector), "{selector}");
    }
}

#[test]
fn selectors_that_are_not() {
    for selector in [
        "colour = 'blue'",
        "colour = 7",
        "colour > 'a'",
        "missing = 1",
        "NOT (missing = 1)",
        "missing <> 1",
        "missing IN (1)",
        "missing NOT IN (1)",
        "missing LIKE '%'",
        "size LIKE '7'",
        "size / 0 = 1",
        "missing + 1 = 1",
        "colour",
        "1",
        "size BETWEEN missing AND 9",
        "size NOT BETWEEN missing AND 9",
        "large = 18446744073709551616.0 OR large = 18446744073709551614",
        "odd = 9007199254740992.0",
        "JMSCorrelationID = 'ID:AMQP_ULONG:8' OR JMSCorrelationID = 'ID:AMQP_ULONG:+9' OR JMSCorrelationID = '9'",
        "amqp.correlation_id = 'ID:AMQP_ULONG:9'",
        "colour LIKE 'R%'",
        "colour LIKE 'redd%'",
        "colour LIKE '%redd'",
        "colour LIKE '____'",
    ] {
        assert!(!selects(selector), "{selector}");
    }
}

/// Ids that are no texts in AMQP have names in JMS.
#[test]
fn an_id_is_selected_by_its_name_in_jms() {
    let uuid = "ID:AMQP_UUID:00010203-0405-0607-0809-0a0b0c0d0e0f";
    let ids = [
        (Id::Uuid(std::array::from_fn(|at| at as u8)), uuid, true),
        (Id::Uuid([0; 16]), uuid, false),
        (Id::Binary(&[0, 0xaf]), "ID:AMQP_BINARY:00AF", true),
        (Id::Binary(&[0, 0xaf]), "ID:AMQP_BINARY:00A", false),
        (Id::Ulong(u64::MAX), "ID:AMQP_ULONG:18446744073709551615", true),
        (Id::Ulong(u64::MAX), "ID:AMQP_ULONG:18446744073709551614", false),
        (Id::String("ID:m1"), "ID:m1", true),
        (Id::String("ID:AMQP_ULONG:x"), "ID:AMQP_ULONG:x", true),
        (Id::String("ID:AMQP_ULONG:5"), "ID:AMQP_STRING:ID:AMQP_ULONG:5", true),
        (Id::String("ID:AMQP_UUID:-"), "ID:AMQP_UUID:-", true),
        (Id::Binary("\u{e9}".as_bytes()), "ID:AMQP_BINARY:\u{e9}", false),
    ];
    for (id, name, expected) in ids {
        let mut bytes = Vec::new();
        sections::properties(&Properties { message_id: Some(id), ..Properties::default() }, &mut bytes);
        sections::data(b"x", &mut bytes);
        let message = Sections::scan(&bytes, &Limits::default()).unwrap();
        let selector = Value::String(format!("JMSMessageID = '{name}'"));
        let filters = filters("apache.org:selector-filter:string", selector).unwrap();
        assert_eq!(filters.pass(&Header::default(), &message), expected, "{id:?} {name}");
    }
}

#[test]
fn a_properties_filter_wants_an_id_that_is_a_uuid() {
    for (wanted, expected) in [([7; 16], true), ([8; 16], false)] {
        let mut bytes = Vec::new();
        let id = Some(Id::Uuid([7; 16]));
        sections::properties(&Properties { message_id: id, ..Properties::default() }, &mut bytes);
        sections::data(b"x", &mut bytes);
        let message = Sections::scan(&bytes, &Limits::default()).unwrap();
        let map = [(Value::Symbol(Symbol::from("message-id")), Value::Uuid(wanted.into()))].into_iter().collect();
        let filters = filters("amqp:properties-filter", Value::Map(map)).unwrap();
        assert_eq!(filters.pass(&Header::default(), &message), expected);
    }
}

#[test]
fn texts_that_are_no_selectors() {
    let deep = format!("{}size = 1{}", "(".repeat(40), ")".repeat(40));
    let long = "size = 1 OR ".repeat(1000) + "size = 1";
    let sum = "1 + ".repeat(100) + "1 = 1";
    let any = format!("colour LIKE '%{}%'", "_".repeat(200));
    for selector in [
        "size =",
        "= 1",
        "size = 1 size",
        "colour = 'red",
        "size ! 1",
        "(size = 1",
        "size IN ()",
        "size IN (1",
        "size BETWEEN 1",
        "size IS 1",
        "colour LIKE 1",
        "colour LIKE 'a' ESCAPE 'ab'",
        "colour LIKE 'a!' ESCAPE '!'",
        "NOT",
        "size NOT 1",
        "AND",
        "#",
        "99e",
        &deep,
        &long,
        &sum,
        &any,
    ] {
        let parsed = filters("apache.org:selector-filter:string", Value::String(selector.into()));
        assert!(parsed.is_err(), "{selector}");
    }
    let error = filters("apache.org:selector-filter:string", Value::String("size = ".into())).unwrap_err();
    assert_eq!(error, "filter f: a value is missing at byte 7");
    assert!(filters("apache.org:selector-filter:string", Value::Uint(1)).is_err());
}

/// Compiled they take many times their bytes, and a message is held against all of them.
#[test]
fn filters_of_one_source_have_a_bound_together() {
    let selector = |n: usize| format!("size = {n} OR {}", "colour = 'blue' OR ".repeat(100) + "fragile");
    let two = |kind: &str, value: &dyn Fn(usize) -> Value| {
        let mut set = FilterSet::new();
        for n in 0..3 {
            set.insert(Symbol::from(format!("f{n}")), described(kind, value(n)));
        }
        Filters::compile(&set, &Limits::default()).map_err(|error| error.description.unwrap_or_default())
    };
    let why = "all filters of a source may have 4096 bytes together";
    let refused = two("apache.org:selector-filter:string", &|n| Value::String(selector(n)));
    assert!(refused.unwrap_err().ends_with(why));
    let many = |n: usize| -> OrderedMap<Value, Value> {
        (0..100).map(|key| (Value::String(format!("{n}-{key}-{}", "k".repeat(16))), Value::Null)).collect()
    };
    let refused = two("amqp:application-properties-filter", &|n| Value::Map(many(n)));
    assert!(refused.unwrap_err().ends_with(why));
    assert!(two("apache.org:selector-filter:string", &|n| Value::String(format!("size > {n}"))).is_ok());
}

#[test]
fn a36_patterns_do_not_make_anybody_wait() {
    let pattern = format!("name LIKE '{}b'", "%a".repeat(900));
    let wild = format!("name LIKE '{}b'", "%a_".repeat(900));
    for selector in [pattern, wild] {
        let filters = filters("apache.org:selector-filter:string", Value::String(selector)).unwrap();
        let mut bytes = Vec::new();
        let value = Value::String("a".repeat(1_000_000));
        sections::application_properties([("name", &value)], &mut bytes);
        sections::data(b"", &mut bytes);
        let sections = Sections::scan(&bytes, &Limits::default()).unwrap();
        for _ in 0..3 {
            assert!(!filters.pass(&Header::default(), &sections));
        }
    }
}

#[test]
fn topic_bindings_take_words() {
    let binds = |pattern: &str| {
        passes(&filters("apache.org:legacy-amqp-topic-binding:string", Value::String(pattern.into())).unwrap())
    };
    for pattern in ["a.b.c", "#", "a.#", "#.c", "a.*.c", "*.*.*", "a.#.c", "#.b.#", "a.b.c.#", "#.#", "a.#.b.#.c"] {
        assert!(binds(pattern), "{pattern}");
    }
    for pattern in ["a.b", "*", "a.*", "#.d", "a.b.c.*", "", "b.#", "a.#.b"] {
        assert!(!binds(pattern), "{pattern}");
    }
    let direct = |key: &str| {
        passes(&filters("apache.org:legacy-amqp-direct-binding:string", Value::String(key.into())).unwrap())
    };
    assert!(direct("a.b.c") && !direct("#"));
    let many = "a.".repeat(100);
    assert!(filters("apache.org:legacy-amqp-topic-binding:string", Value::String(many)).is_err());
}

/// AMQP Filter Expressions, WD09, 4.1: null matches whatever is there; a property of the application's has to be there.
#[test]
fn property_filters_want_values() {
    let wants = |kind: &str, pairs: &[(&str, Value)]| {
        let mut map = OrderedMap::new();
        for (key, value) in pairs {
            map.insert(Value::Symbol(Symbol::from(*key)), value.clone());
        }
        filters(kind, Value::Map(map)).map(|filters| passes(&filters))
    };
    let (standard, application) = ("amqp:properties-filter", "amqp:application-properties-filter");
    let text = |text: &str| Value::String(text.into());
    assert_eq!(wants(standard, &[("subject", text("a.b.c")), ("correlation-id", Value::Ulong(9))]), Ok(true));
    assert_eq!(wants(standard, &[("subject", text("&p:a.")), ("to", Value::Null)]), Ok(true));
    assert_eq!(wants(standard, &[("subject", text("&s:.c"))]), Ok(true));
    assert_eq!(wants(standard, &[("subject", text("&&p:a."))]), Ok(false));
    assert_eq!(wants(standard, &[("subject", Value::Null)]), Ok(true));
    assert!(wants(standard, &[("colour", text("red"))]).is_err());
    assert!(wants(standard, &[("subject", text("&x:"))]).is_err());
    assert_eq!(wants(application, &[("colour", text("red")), ("size", Value::Ubyte(7))]), Ok(true));
    assert_eq!(wants(application, &[("colour", text("red")), ("missing", text("x"))]), Ok(false));
    assert_eq!(wants(application, &[("colour", Value::Null), ("nothing", Value::Null)]), Ok(true));
    assert_eq!(wants(application, &[("missing", Value::Null)]), Ok(false));
    assert_eq!(wants(application, &[("fragile", Value::Bool(false))]), Ok(false));
}

#[test]
fn what_is_not_known_is_not_in_force() {
    let mut set = FilterSet::new();
    set.insert(Symbol::from("a"), described("example:strange", Value::Null));
    set.insert(Symbol::from("b"), Value::String("not described".into()));
    set.insert(Symbol::from("c"), described("apache.org:no-local-filter:list", Value::List(Vec::new())));
    let filters = Filters::compile(&set, &Limits::default()).unwrap();
    assert!(filters.no_local && passes(&filters));
    assert_eq!(filters.in_force.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(filters.predicate(Default::default()).is_none());
}

/// What the hall asks of a message that it keeps without its header.
#[test]
fn a_selector_sees_priority_and_durability_of_a_message_in_a_queue() {
    let mut encoded = Vec::new();
    sections::data(b"x", &mut encoded);
    let topic = Topic::new("q", &topic::Limits::default()).unwrap();
    let guarantee = Guarantee::AtLeastOnce;
    let envelope = Envelope { topic, guarantee, retain: false, expires: None, properties: None, hops: 0 };
    let bare = Bare { handover: guarantee, blank: false, durable: true, priority: 7 };
    let message = Message::bare(envelope, bare, 1, &encoded);
    let selects = |selector: &str| {
        let filters = filters("apache.org:selector-filter:string", Value::String(selector.into())).unwrap();
        (filters.predicate(Default::default()).unwrap().test)(&message, 2)
    };
    assert!(selects("JMSPriority = 7 AND JMSDeliveryMode = 'PERSISTENT'"));
    assert!(selects("amqp.delivery_count = 2") && !selects("amqp.delivery_count = 0"));
    assert!(!selects("JMSPriority = 4") && !selects("JMSDeliveryMode = 'NON_PERSISTENT'"));
}

/// Many names are looked up, not compared one by one; the answers are the same.
#[test]
fn a_selector_of_many_names_finds_each() {
    let selects = |selector: &str| {
        passes(&filters("apache.org:selector-filter:string", Value::String(selector.to_owned())).unwrap())
    };
    for count in [2, 7, 8, 9, 200] {
        let absent: Vec<String> = (0..count).map(|number| format!("n{number} IS NULL AND")).collect();
        let absent = absent.join(" ");
        assert!(selects(&format!("{absent} colour = 'red' AND size = 7")), "{count}");
        assert!(!selects(&format!("{absent} colour = 'red' AND size = 8")), "{count}");
    }
}
