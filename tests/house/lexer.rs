//! Rust source to words and signs, without what stands in comments, strings and characters: just enough for `house`.

/// A word or a sign.
#[derive(Debug)]
pub struct Token {
    /// From 1.
    pub line: usize,
    /// A word, `::`, or one character.
    pub text: String,
}

impl Token {
    /// Whether it is one of these words.
    pub fn is_any(&self, words: &[&str]) -> bool {
        words.contains(&self.text.as_str())
    }
}

/// The tokens of a source text.
pub fn lex(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut tokens) = (0, 1, Vec::new());
    while at < text.len() {
        let end = at + skipped(&text[at..]).max(1);
        if skipped(&text[at..]) == 0 && !text[at].is_whitespace() {
            let length = token(&text[at..]);
            tokens.push(Token { line, text: text[at..at + length].iter().collect() });
            at += length;
            continue;
        }
        line += text[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    tokens
}

/// Length of the token that begins here.
fn token(text: &[char]) -> usize {
    let word = text.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
    match word {
        0 if text.starts_with(&[':', ':']) => 2,
        0 => 1,
        length => length,
    }
}

/// Length of the comment, string or character that begins here; 0: none does.
fn skipped(text: &[char]) -> usize {
    match text {
        ['/', '/', ..] => text.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(text),
        ['"', ..] => quoted(text, 1),
        ['b' | 'c', '"', ..] => quoted(text, 2),
        ['r', '"' | '#', ..] => raw(text, 1),
        ['b' | 'c', 'r', '"' | '#', ..] => raw(text, 2),
        ['\'', '\\', ..] => 3 + text[3..].iter().take_while(|c| **c != '\'').count() + 1,
        ['\'', _, '\'', ..] => 3,
        // A name that ends in `r` or `b` before a quote is taken whole by `token`; a lifetime is a sign and a word.
        _ => 0,
    }
}

fn block_comment(text: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &[char], start: usize) -> usize {
    let mut at = start;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn raw(text: &[char], start: usize) -> usize {
    let hashes = text[start..].iter().take_while(|c| **c == '#').count();
    if text.get(start + hashes) != Some(&'"') {
        return 0;
    }
    let closes =
        |at: usize| text[at] == '"' && text[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    let end = (start + hashes + 1..text.len()).find(|&at| closes(at));
    end.map_or(text.len(), |at| at + 1 + hashes)
}
