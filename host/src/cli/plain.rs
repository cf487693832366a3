//! What came from elsewhere, as a terminal may be shown it: clients, modules and other brokers write names and reasons, and some
//! characters are orders to the terminal.

/// Whether a character would do something else than be seen. Tabs do no harm.
fn is_order(character: char) -> bool {
    let turns_lines_around = matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    (character.is_control() && character != '\t') || turns_lines_around || matches!(character, '\u{2028}' | '\u{2029}')
}

/// On one line: `\u{1b}` for what would begin an order, `\n` for the end of a line.
pub(crate) fn word(text: &str) -> String {
    replaced(text, |character, into| into.extend(character.escape_default()))
}

/// The same, where ends of lines are meant to be.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(word).collect::<Vec<_>>().join("\n")
}

/// The same in a JSON document, which stays the same document.
pub(crate) fn json(document: &str) -> String {
    let units = |character: char, into: &mut String| {
        let mut units = [0; 2];
        character.encode_utf16(&mut units).iter().for_each(|unit| into.push_str(&format!("\\u{unit:04x}")));
    };
    document.split('\n').map(|line| replaced(line, units)).collect::<Vec<_>>().join("\n")
}

fn replaced(text: &str, order: impl Fn(char, &mut String)) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if is_order(character) {
            order(character, &mut shown)
        } else {
            shown.push(character)
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An escape sequence, its form in C1, a line that is nobody's, a line that is read backwards.
    #[test]
    fn a_terminal_is_given_no_orders() {
        let said = "\x1b]0;title\x07 \u{9b}2J\r\nline\u{202E}\tzäh";
        assert_eq!(word(said), r"\u{1b}]0;title\u{7} \u{9b}2J\r\nline\u{202e}".to_owned() + "\tzäh");
        assert_eq!(lines("a\r\nb\x7f"), "a\\r\nb\\u{7f}");
        let document = serde_json::to_string_pretty(&serde_json::json!({ "said": said })).unwrap();
        let shown = json(&document);
        assert!(!shown.chars().any(|character| is_order(character) && character != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["said"], said);
    }
}
