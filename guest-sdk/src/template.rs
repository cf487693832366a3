//! Text with named places: `tenant/{user}/` with `user` = `alice` is `tenant/alice/`.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

/// Text with named places in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

impl Template {
    /// Reads a template in which only these places may stand.
    ///
    /// # Errors
    /// In words, for an operator: a brace without its partner, or a place that is not `known`.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let close = match rest[open..].find('}') {
                Some(length) if length > 0 => open + length,
                _ => return Err(format!("a brace without its partner in `{text}`")),
            };
            let name = &rest[open + 1..close];
            if !known.contains(&name) {
                let known = known.join("}`, `{");
                return Err(format!("`{{{name}}}` in `{text}` is not known here, only `{{{known}}}`"));
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            parts.push(Part::Place(name.to_owned()));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// The text with each place filled. `value` gives what stands in a place.
    ///
    /// # Errors
    /// The first error that `value` gives.
    pub fn fill<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Place(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{user}", "<user>"),
            ("tenant/{user}/", "tenant/<user>/"),
            ("{user}{listener}", "<user><listener>"),
        ] {
            let template = Template::parse(text, &["user", "listener"]).unwrap();
            let filled: Result<String, ()> = template.fill(|name| Ok(format!("<{name}>")));
            assert_eq!(filled.unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_template_is_told_in_words() {
        for (text, expected) in [
            ("a/{user", "a brace without its partner in `a/{user`"),
            ("a/user}", "a brace without its partner in `a/user}`"),
            ("{}", "`{}` in `{}` is not known here, only `{user}`, `{listener}`"),
            ("{usr}", "`{usr}` in `{usr}` is not known here, only `{user}`, `{listener}`"),
        ] {
            assert_eq!(Template::parse(text, &["user", "listener"]).unwrap_err(), expected);
        }
    }
}
