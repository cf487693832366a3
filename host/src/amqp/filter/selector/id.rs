//! Ids as JMS shows them (AMQP JMS Mapping, and as Qpid JMS writes it): a text that begins with `ID:AMQP_` and says what the
//! id is in AMQP, where it is no text or not one of this form there.

use super::{Field, Node};

/// What a text is for an id that is compared with it.
pub fn compared(one: &Node, other: Node) -> Node {
    match (one, other) {
        (Node::Field(Field::JmsMessageId | Field::JmsCorrelationId), Node::Text(text)) => {
            read(&text).unwrap_or(Node::Text(text))
        }
        (_, other) => other,
    }
}

/// None: it is a text and nothing else.
fn read(text: &str) -> Option<Node> {
    let (kind, rest) = text.strip_prefix("ID:AMQP_")?.split_once(':')?;
    match kind {
        "STRING" | "NO_PREFIX" => Some(Node::Text(rest.into())),
        // Without a sign.
        "ULONG" => rest.bytes().all(|byte| byte.is_ascii_digit()).then(|| rest.parse().ok().map(Node::Integer))?,
        "BINARY" => octets(rest).map(|bytes| Node::Bytes(bytes.into())),
        "UUID" => {
            let parts = [8, 13, 18, 23];
            let dashes = rest.match_indices('-').map(|(at, _)| at);
            let digits = dashes.eq(parts).then(|| rest.replace('-', ""))?;
            octets(&digits)?.try_into().ok().map(Node::Uuid)
        }
        _ => None,
    }
}

/// Bytes of which each is two hexadecimal digits.
fn octets(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
