//! The marks of bridges on a message that crosses between protocols: which brokers it came through. Whatever module
//! translates, they are kept, or a message could go round over bridges of both protocols.

use crate::message::Properties;
use crate::sections::{Pairs, Value};

/// The user property (MQTT 5.0) that names the brokers from which bridges have taken a message, one property for each, in
/// the order of its way. A broker that finds itself there has had the message before.
pub const VIA: &str = "pliant-via";

/// The message annotation (AMQP 1.0) that names them, separated by spaces.
pub const VIA_ANNOTATION: &str = "x-opt-pliant-via";

/// A publisher may write there what it likes: so many names are kept, the most that `hops_max` may be, each of so many bytes.
const NODES_MAX: usize = 256;
const NODE_BYTES_MAX: usize = 256;

/// Puts what the user properties say into the annotations.
pub(super) fn to_annotation(said: Option<&Properties>, annotations: &mut Pairs) {
    let user = said.into_iter().flat_map(|said| &said.user);
    let nodes: Vec<&str> = user.filter(|(name, _)| &**name == VIA).map(|(_, node)| &**node).collect();
    if !nodes.is_empty() {
        annotations.retain(|(name, _)| name != VIA_ANNOTATION);
        annotations.push((VIA_ANNOTATION.to_owned(), Value::Text(nodes.join(" "))));
    }
}

/// Puts what the annotations say into the user properties, in place of what stands there.
pub(super) fn to_properties(annotations: &Pairs, said: &mut Option<Box<Properties>>) {
    let path = annotations.iter().find(|(name, _)| name == VIA_ANNOTATION);
    let Some((_, Value::Text(path))) = path else { return };
    let nodes = path.split(' ').filter(|node| node.len() <= NODE_BYTES_MAX && !node.contains('\0')).take(NODES_MAX);
    let user = &mut said.get_or_insert_default().user;
    let others = user.iter().filter(|(name, _)| &**name != VIA).cloned();
    *user = others.chain(nodes.map(|node| (VIA.into(), node.into()))).collect();
}
