//! What comes on a link to a coordinator (4.2, 4.3): requests to begin and to end transactions.

use super::action::{Action, LinkId, Transfer};
use super::codec::read::{Descriptor, Value};
use super::condition::AmqpError;
use super::limits::Limits;
use super::sections::Sections;
use super::state::TxnId;
use super::trouble::{Found, Trouble};

/// Reads a message to a coordinator.
pub fn read<'b>(transfer: &Transfer<'_>, limits: &Limits) -> Found<Action<'b>> {
    let (link, delivery) = (transfer.link, transfer.delivery);
    let sections = Sections::scan(&transfer.bytes, limits).map_err(|error| Trouble::Link(link, error))?;
    let value = sections.value().ok_or_else(|| wrong(link))?;
    if transfer.settled {
        return Err(Trouble::link(link, AmqpError::NotAllowed, "a request to a coordinator has to be unsettled"));
    }
    let (descriptor, list) = value.described().ok_or_else(|| wrong(link))?;
    let mut fields = list.list().ok_or_else(|| wrong(link))?;
    match descriptor {
        Descriptor::Code(0x31) | Descriptor::Name("amqp:declare:list") => {
            Ok(Action::Declare { link, delivery, is_global: fields.field().is_some() })
        }
        Descriptor::Code(0x32) | Descriptor::Name("amqp:discharge:list") => {
            let txn = fields.field().and_then(|value| value.as_binary()).ok_or_else(|| wrong(link))?;
            let fail = match fields.field() {
                Some(value) => Value::as_bool(&value).ok_or_else(|| wrong(link))?,
                None => false,
            };
            Ok(Action::Discharge { link, delivery, txn: TxnId::from_slice(txn), fail })
        }
        _ => Err(wrong(link)),
    }
}

fn wrong(link: LinkId) -> Trouble {
    Trouble::link(link, AmqpError::InvalidField, "a coordinator takes declare and discharge")
}
