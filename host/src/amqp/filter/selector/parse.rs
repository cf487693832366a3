//! Grammar of selectors, by descent: OR, AND, NOT, comparison, sum, product, sign.

use super::id::compared;
use super::lexer::{Placed, Token, lex};
use super::{Calculation, Comparison, Field, Like, Names, Node, NotSelector, Selector};
use crate::amqp::limits::Limits;

pub fn parse(text: &str, limits: &Limits) -> Result<Selector, NotSelector> {
    if text.len() > limits.selector_bytes_max {
        return Err(NotSelector { why: "the selector is too long", at: limits.selector_bytes_max });
    }
    let tokens = lex(text, limits.selector_words_max)?;
    let mut parser = Parser { tokens, next: 0, names: Vec::new(), depth: limits.depth_max, end: text.len() };
    let root = if parser.tokens.is_empty() { Node::Bool(true) } else { parser.or()? };
    match parser.peek() {
        None => Ok(Selector { root, names: Names::new(parser.names) }),
        Some(_) => Err(parser.wrong("something follows the condition")),
    }
}

struct Parser<'t> {
    tokens: Vec<Placed<'t>>,
    next: usize,
    names: Vec<Box<str>>,
    /// Brackets and signs that may still be opened.
    depth: u32,
    end: usize,
}

type Parsed = Result<Node, NotSelector>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token<'_>> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn wrong(&self, why: &'static str) -> NotSelector {
        NotSelector { why, at: self.tokens.get(self.next).map_or(self.end, |(_, at)| *at) }
    }

    /// Takes a word of the language, if it comes next.
    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(found);
        found
    }

    /// Takes a sign, if it comes next.
    fn sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if *sign == wanted);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &'static str, why: &'static str) -> Result<(), NotSelector> {
        if self.sign(wanted) || self.word(wanted) { Ok(()) } else { Err(self.wrong(why)) }
    }

    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.wrong("brackets lie too deep in each other"))?;
        let parsed = parse(self);
        self.depth += 1;
        parsed
    }

    fn or(&mut self) -> Parsed {
        let first = self.and()?;
        let mut others = Vec::new();
        while self.word("OR") {
            others.push(self.and()?);
        }
        Ok(balanced(first, others, Node::Or))
    }

    fn and(&mut self) -> Parsed {
        let first = self.not()?;
        let mut others = Vec::new();
        while self.word("AND") {
            others.push(self.not()?);
        }
        Ok(balanced(first, others, Node::And))
    }

    fn not(&mut self) -> Parsed {
        if self.word("NOT") {
            return self.deeper(Self::not).map(|node| Node::Not(Box::new(node)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let operators = [
            ("=", Comparison::Equal),
            ("<>", Comparison::NotEqual),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (sign, comparison) in operators {
            if self.sign(sign) {
                let right = compared(&left, self.sum()?);
                let left = compared(&right, left);
                return Ok(Node::Compare(comparison, Box::new(left), Box::new(right)));
            }
        }
        if self.word("IS") {
            let negated = self.word("NOT");
            self.expect("NULL", "NULL is missing")?;
            return Ok(negate(negated, Node::IsNull(Box::new(left))));
        }
        let negated = self.word("NOT");
        if self.word("BETWEEN") {
            let low = self.sum()?;
            self.expect("AND", "AND is missing")?;
            let high = self.sum()?;
            return Ok(negate(negated, Node::Between(Box::new(left), Box::new(low), Box::new(high))));
        }
        if self.word("IN") {
            let members = self.members()?.into_iter().map(|member| compared(&left, member)).collect();
            return Ok(negate(negated, Node::In(Box::new(left), members)));
        }
        if self.word("LIKE") {
            return Ok(negate(negated, Node::Like(Box::new(left), Box::new(self.pattern()?))));
        }
        if negated { Err(self.wrong("BETWEEN, IN or LIKE is missing")) } else { Ok(left) }
    }

    fn members(&mut self) -> Result<Vec<Node>, NotSelector> {
        self.expect("(", "a bracket is missing")?;
        let mut members = vec![self.sum()?];
        while self.sign(",") {
            members.push(self.sum()?);
        }
        self.expect(")", "a bracket is not closed")?;
        Ok(members)
    }

    fn pattern(&mut self) -> Result<Like, NotSelector> {
        let pattern = self.text()?;
        let escape = if self.word("ESCAPE") {
            let text = self.text()?;
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(escape), None) => Some(escape),
                _ => return Err(self.wrong("the escape is not one character")),
            }
        } else {
            None
        };
        Like::new(&pattern, escape).map_err(|why| self.wrong(why))
    }

    fn text(&mut self) -> Result<String, NotSelector> {
        let Some(Token::Text(text)) = self.peek() else { return Err(self.wrong("a text is missing")) };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        for depth in 0.. {
            let calculation = match self.peek() {
                Some(Token::Sign("+")) => Calculation::Plus,
                Some(Token::Sign("-")) => Calculation::Minus,
                _ => break,
            };
            if depth >= self.depth {
                return Err(self.wrong("too many terms"));
            }
            self.next += 1;
            left = Node::Calculate(calculation, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        for depth in 0.. {
            let calculation = match self.peek() {
                Some(Token::Sign("*")) => Calculation::Times,
                Some(Token::Sign("/")) => Calculation::Divided,
                _ => break,
            };
            if depth >= self.depth {
                return Err(self.wrong("too many terms"));
            }
            self.next += 1;
            left = Node::Calculate(calculation, Box::new(left), Box::new(self.signed()?));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        if self.sign("-") {
            return self.deeper(Self::signed).map(|node| Node::Negative(Box::new(node)));
        }
        if self.sign("+") {
            return self.deeper(Self::signed);
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed {
        if self.sign("(") {
            let inside = self.deeper(Self::or)?;
            self.expect(")", "a bracket is not closed")?;
            return Ok(inside);
        }
        let node = match self.tokens.get(self.next).map(|(token, _)| token.clone()) {
            Some(Token::Text(text)) => Node::Text(text.into()),
            Some(Token::Integer(number)) => Node::Integer(number),
            Some(Token::Float(number)) => Node::Float(number),
            Some(Token::Quoted(name)) => self.name(&name),
            Some(Token::Word(word)) if is_reserved(word) => match word.to_ascii_uppercase().as_str() {
                "TRUE" => Node::Bool(true),
                "FALSE" => Node::Bool(false),
                _ => return Err(self.wrong("a value is missing")),
            },
            Some(Token::Word(word)) => self.name(word),
            Some(Token::Sign(_)) | None => return Err(self.wrong("a value is missing")),
        };
        self.next += 1;
        Ok(node)
    }

    fn name(&mut self, name: &str) -> Node {
        if let Some(field) = Field::named(name) {
            return Node::Field(field);
        }
        let known = self.names.iter().position(|known| **known == *name);
        Node::Property(known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        }))
    }
}

fn negate(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 11] = ["AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "ESCAPE", "IS", "NULL", "TRUE", "FALSE"];
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// A chain of one operator as a tree that is not deep: whoever walks it later needs little stack.
fn balanced(first: Node, others: Vec<Node>, join: fn(Box<Node>, Box<Node>) -> Node) -> Node {
    let mut level = vec![first];
    level.extend(others);
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut nodes = level.into_iter();
        while let Some(left) = nodes.next() {
            next.push(match nodes.next() {
                Some(right) => join(Box::new(left), Box::new(right)),
                None => left,
            });
        }
        level = next;
    }
    level.remove(0)
}
