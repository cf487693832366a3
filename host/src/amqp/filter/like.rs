//! LIKE patterns in time linear in the text: `%` is any text, `_` any character.

/// A pattern.
#[derive(Debug)]
pub struct Like {
    /// What lies between the `%`, in order.
    pieces: Vec<Piece>,
    /// There is no `%` before the first piece, or after the last.
    at_start: bool,
    at_end: bool,
}

/// Characters that follow each other; none: any.
#[derive(Debug)]
struct Piece {
    characters: Vec<Option<char>>,
    /// The same as text, if every character is known.
    text: Option<Box<str>>,
}

/// Longest piece with `_` in it: as many as a word of the machine has bits.
const PIECE_MAX: usize = 128;

impl Like {
    /// Reads a pattern.
    pub fn new(pattern: &str, escape: Option<char>) -> Result<Self, &'static str> {
        let mut pieces = vec![Vec::new()];
        let mut characters = pattern.chars();
        while let Some(next) = characters.next() {
            let found = match next {
                next if Some(next) == escape => Some(characters.next().ok_or("nothing follows the escape character")?),
                '%' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '_' => None,
                next => Some(next),
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(found);
            }
        }
        let at_start = pieces.len() == 1 || !pieces[0].is_empty();
        let at_end = pieces.len() == 1 || pieces.last().is_some_and(|piece| !piece.is_empty());
        let is_whole = pieces.len() == 1;
        let pieces: Vec<Piece> = pieces.into_iter().filter(|p| is_whole || !p.is_empty()).map(Piece::new).collect();
        if pieces.iter().any(|piece| piece.text.is_none() && piece.characters.len() > PIECE_MAX) {
            return Err("too many characters around a `_`");
        }
        Ok(Self { pieces, at_start, at_end })
    }

    /// Whether a text is like this.
    pub fn fits(&self, text: &str) -> bool {
        let mut rest = text;
        let mut pieces = &self.pieces[..];
        if let (true, Some((first, others))) = (self.at_start, pieces.split_first()) {
            let Some(length) = first.length_at_start(rest) else { return false };
            rest = &rest[length..];
            pieces = others;
            if pieces.is_empty() {
                return rest.is_empty() || !self.at_end;
            }
        }
        if let (true, Some((last, others))) = (self.at_end, pieces.split_last()) {
            let Some(length) = last.length_at_end(rest) else { return false };
            rest = &rest[..rest.len() - length];
            pieces = others;
        }
        // Where there is a choice, the first place leaves the most for what follows.
        for piece in pieces {
            let Some(end) = piece.find(rest) else { return false };
            rest = &rest[end..];
        }
        true
    }
}

impl Piece {
    fn new(characters: Vec<Option<char>>) -> Self {
        let text: Option<String> = characters.iter().copied().collect();
        Self { text: text.map(Into::into), characters }
    }

    /// How many bytes it takes at the start.
    fn length_at_start(&self, text: &str) -> Option<usize> {
        let mut found = text.char_indices();
        for wanted in &self.characters {
            let (_, character) = found.next()?;
            if wanted.is_some_and(|wanted| wanted != character) {
                return None;
            }
        }
        Some(found.next().map_or(text.len(), |(at, _)| at))
    }

    /// How many bytes it takes at the end.
    fn length_at_end(&self, text: &str) -> Option<usize> {
        let mut found = text.char_indices().rev();
        let mut start = text.len();
        for wanted in self.characters.iter().rev() {
            let (at, character) = found.next()?;
            if wanted.is_some_and(|wanted| wanted != character) {
                return None;
            }
            start = at;
        }
        Some(text.len() - start)
    }

    /// Where it ends the first time.
    fn find(&self, text: &str) -> Option<usize> {
        if let Some(wanted) = &self.text {
            return text.find(&**wanted).map(|at| at + wanted.len());
        }
        // Bit n is set if the first n + 1 characters of the piece end here.
        let mut ways = 0u128;
        let last = 1u128 << (self.characters.len() - 1);
        for (at, character) in text.char_indices() {
            ways = (ways << 1 | 1) & self.mask(character);
            if ways & last != 0 {
                return Some(at + character.len_utf8());
            }
        }
        None
    }

    /// The places at which a character fits.
    fn mask(&self, character: char) -> u128 {
        let fits = |wanted: &Option<char>| wanted.is_none_or(|wanted| wanted == character);
        self.characters.iter().enumerate().filter(|(_, wanted)| fits(wanted)).fold(0, |mask, (at, _)| mask | 1 << at)
    }
}
