//! Where a component carries its examples: a custom section with a JSON document, which no tool minds.

use super::super::component::{length, sections};
use super::Examples;

const NAME: &str = "pliant:examples";

/// The examples that a component carries; none: it has none. An error says what is wrong with them.
pub fn find(component: &[u8]) -> Result<Option<Examples>, String> {
    for (id, content) in sections(component).flatten() {
        let named = length(content).and_then(|(length, rest)| rest.split_at_checked(length));
        if let (0, Some((name, document))) = (id, named)
            && name == NAME.as_bytes()
        {
            let examples = serde_json::from_slice(document);
            return examples.map(Some).map_err(|error| format!("its examples cannot be read: {error}"));
        }
    }
    Ok(None)
}

/// The component with these examples in place of any that it had.
pub fn attach(component: &[u8], examples: &Examples) -> Vec<u8> {
    let mut out = component.get(..8).unwrap_or(component).to_vec();
    for (id, content) in sections(component).flatten() {
        let named = length(content).and_then(|(length, rest)| rest.get(..length));
        if id != 0 || named != Some(NAME.as_bytes()) {
            put(&mut out, id, content);
        }
    }
    // A document of plain fields can always be written.
    let document = serde_json::to_vec(examples).unwrap_or_default();
    let content = [&[NAME.len() as u8], NAME.as_bytes(), &document].concat();
    put(&mut out, 0, &content);
    out
}

fn put(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    let mut left = content.len();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::super::{Example, ExampleClient};
    use super::*;

    fn example(name: &str) -> Examples {
        let example = Example {
            name: name.into(),
            hook: "timers".into(),
            config: None,
            clock: 0,
            state: Default::default(),
            retained: Vec::new(),
            http: Vec::new(),
            client: ExampleClient::default(),
            message: None,
            amqp: None,
            topic: String::new(),
            matching: 0,
            departure: None,
            delay_seconds: None,
            username: None,
            password: None,
            certificate_subject: None,
            action: None,
            event: None,
            expect: serde_json::json!({ "publish": [] }),
        };
        Examples { config: None, examples: vec![example] }
    }

    #[test]
    fn examples_are_found_again_and_replaced() {
        let plain = b"\0asm\x0d\0\x01\0\x00\x03\x01x!".to_vec();
        assert!(find(&plain).unwrap().is_none());
        let once = attach(&plain, &example("first"));
        let twice = attach(&once, &example(&"second".repeat(100)));
        assert_eq!(find(&once).unwrap().unwrap().examples[0].name, "first");
        assert_eq!(find(&twice).unwrap().unwrap().examples[0].name, "second".repeat(100));
        assert!(twice.starts_with(&plain));
        assert_eq!(sections(&twice).count(), 2);
    }

    #[test]
    fn a_section_of_another_kind_is_told() {
        let content = [&[NAME.len() as u8], NAME.as_bytes(), b"{\"example\": 7}"].concat();
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        put(&mut component, 0, &content);
        assert!(find(&component).unwrap_err().starts_with("its examples cannot be read: invalid type"));
    }
}
