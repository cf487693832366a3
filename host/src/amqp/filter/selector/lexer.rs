//! Words of a selector.

use super::NotSelector;

/// A word, and where it begins.
pub type Placed<'t> = (Token<'t>, usize);

#[derive(Debug, Clone, PartialEq)]
pub enum Token<'t> {
    /// An identifier, or a word of the language.
    Word(&'t str),
    /// An identifier in double quotes.
    Quoted(String),
    Text(String),
    /// Without a sign.
    Integer(u64),
    Float(f64),
    /// An operator or a bracket.
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["<>", "!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

/// Splits a text.
pub fn lex(text: &str, tokens_max: usize) -> Result<Vec<Placed<'_>>, NotSelector> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if tokens.len() == tokens_max {
            return Err(NotSelector { why: "too many words", at });
        }
        let (token, length) = one(text, at, first)?;
        tokens.push((token, at));
        at += length;
    }
    Ok(tokens)
}

/// The word at a place, and how many bytes it takes.
fn one(text: &str, at: usize, first: char) -> Result<(Token<'_>, usize), NotSelector> {
    let rest = &text[at..];
    match first {
        '\'' | '"' => {
            let (content, length) = quoted(rest, first).ok_or(NotSelector { why: "a quote is not closed", at })?;
            Ok((if first == '"' { Token::Quoted(content) } else { Token::Text(content) }, length))
        }
        '0'..='9' | '.' if first != '.' || rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
            number(rest).ok_or(NotSelector { why: "not a number", at })
        }
        first if first.is_alphabetic() || matches!(first, '_' | '$') => {
            let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '-' | ':') && c != '-';
            let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            Ok((Token::Word(&rest[..length]), length))
        }
        _ => {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            sign.map(|sign| (Token::Sign(sign), sign.len())).ok_or(NotSelector { why: "an unknown sign", at })
        }
    }
}

/// What stands in quotes; a quote that is doubled is one.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, found)) = characters.next() {
        if found != quote {
            content.push(found);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, at + 1));
        }
    }
    None
}

fn number(rest: &str) -> Option<(Token<'static>, usize)> {
    if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let length = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        return Some((Token::Integer(u64::from_str_radix(&digits[..length], 16).ok()?), 2 + length));
    }
    let mut length = 0;
    let mut is_float = false;
    let bytes = rest.as_bytes();
    while let Some(byte) = bytes.get(length) {
        match byte {
            b'0'..=b'9' => {}
            b'.' => is_float = true,
            b'e' | b'E' => {
                is_float = true;
                if matches!(bytes.get(length + 1), Some(b'+' | b'-')) {
                    length += 1;
                }
            }
            _ => break,
        }
        length += 1;
    }
    let digits = &rest[..length];
    // Java's suffixes say the width, which does not matter here.
    let suffix = usize::from(matches!(bytes.get(length), Some(b'l' | b'L' | b'f' | b'F' | b'd' | b'D')));
    let token = match digits.parse::<u64>() {
        Ok(number) if !is_float => Token::Integer(number),
        _ => Token::Float(digits.parse().ok()?),
    };
    Some((token, length + suffix))
}
