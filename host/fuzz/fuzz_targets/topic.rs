//! Topic names and filters: nothing panics, and matching is what its definition, written down here in full, says.

#![no_main]

use fuzz::topic::{Filter, Limits, Topic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some((filter, topic)) = text.split_once('\n') else { return };
    let limits = Limits::default();
    let (Ok(filter), Ok(topic)) = (Filter::new(filter, &limits), Topic::new(topic, &limits)) else { return };
    let reserved = topic.as_str().starts_with('$') && filter.as_str().starts_with(['+', '#']);
    let levels = |text: &'_ str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let expected = !reserved && matches(&levels(filter.as_str()), &levels(topic.as_str()));
    assert_eq!(filter.matches(topic.as_str()), expected, "{} {}", filter.as_str(), topic.as_str());
});

fn matches(filter: &[String], topic: &[String]) -> bool {
    match (filter, topic) {
        ([last], _) if last == "#" => true,
        ([], []) => true,
        ([level, filter @ ..], [name, topic @ ..]) => (level == "+" || level == name) && matches(filter, topic),
        _ => false,
    }
}
