//! Header fields. Names are kept as they come and compared without regard to case.

use super::super::super::instance::Cell;
use super::super::super::outside::Fields;
use super::FieldsHandle;
use super::desk::{Desk, Thing};
use super::values::{bytes, desk, error, lent, list, ok, own, text, word};
use wasmtime::component::Val;
use wasmtime::{StoreContextMut, bail};

type Answer = wasmtime::Result<Option<Val>>;

/// What belongs to the connection, or says what the broker knows better.
const FORBIDDEN: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Why a field cannot be, in the words of `header-error`.
fn problem(name: &str, value: &[u8]) -> Option<&'static str> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.bytes().all(token) || !value.iter().copied().all(visible) {
        return Some("invalid-syntax");
    }
    FORBIDDEN.iter().any(|known| name.eq_ignore_ascii_case(known)).then_some("forbidden")
}

fn fields<'a>(store: &'a mut StoreContextMut<'_, Cell>, params: &[Val]) -> wasmtime::Result<(&'a mut Fields, bool)> {
    let number = lent::<FieldsHandle>(store, params.first())?;
    match desk(store).get(number) {
        Some(Thing::Fields { fields, fixed }) => Ok((fields, *fixed)),
        _ => bail!("no fields"),
    }
}

/// Changes fields that may be changed; what is wrong otherwise.
fn change(
    store: &mut StoreContextMut<'_, Cell>,
    params: &[Val],
    how: impl FnOnce(&mut Fields) -> Result<(), &'static str>,
) -> Answer {
    let (fields, fixed) = fields(store, params)?;
    Ok(match if fixed { Err("immutable") } else { how(fields) } {
        Ok(()) => ok(None),
        Err(why) => error(Some(word(why))),
    })
}

fn add(fields: &mut Fields, name: &str, value: &[u8], bytes_max: usize) -> Result<(), &'static str> {
    if let Some(problem) = problem(name, value) {
        return Err(problem);
    }
    if Desk::add_field(fields, name, value, bytes_max) { Ok(()) } else { Err("forbidden") }
}

fn bytes_max(store: &StoreContextMut<'_, Cell>) -> usize {
    store.data().services.limits.http_request_bytes_max
}

pub(super) fn new(store: &mut StoreContextMut<'_, Cell>, _: &[Val]) -> Answer {
    own::<FieldsHandle>(store, Thing::Fields { fields: Fields::new(), fixed: false }).map(Some)
}

pub(super) fn from_list(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let Some(Val::List(entries)) = params.first() else { bail!("no list") };
    let bytes_max = bytes_max(store);
    let mut fields = Fields::new();
    for entry in entries {
        let Val::Tuple(pair) = entry else { bail!("no pair") };
        if let Err(why) = add(&mut fields, text(pair.first())?, &bytes(pair.get(1))?, bytes_max) {
            return Ok(error(Some(word(why))));
        }
    }
    Ok(ok(Some(own::<FieldsHandle>(store, Thing::Fields { fields, fixed: false })?)))
}

pub(super) fn get(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let wanted = text(params.get(1))?;
    let (fields, _) = fields(store, params)?;
    let found = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    Ok(Some(Val::List(found.map(|(_, value)| list(value)).collect())))
}

pub(super) fn has(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let wanted = text(params.get(1))?;
    let (fields, _) = fields(store, params)?;
    Ok(Some(Val::Bool(fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted)))))
}

pub(super) fn set(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let name = text(params.get(1))?;
    let Some(Val::List(values)) = params.get(2) else { bail!("no values") };
    let values = values.iter().map(|value| bytes(Some(value))).collect::<wasmtime::Result<Vec<_>>>()?;
    let bytes_max = bytes_max(store);
    change(store, params, |fields| {
        let mut new: Fields = fields.iter().filter(|(known, _)| !known.eq_ignore_ascii_case(name)).cloned().collect();
        values.iter().try_for_each(|value| add(&mut new, name, value, bytes_max))?;
        *fields = new;
        Ok(())
    })
}

pub(super) fn delete(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let name = text(params.get(1))?;
    change(store, params, |fields| {
        fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        Ok(())
    })
}

pub(super) fn append(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let (name, value) = (text(params.get(1))?, bytes(params.get(2))?);
    let bytes_max = bytes_max(store);
    change(store, params, |fields| add(fields, name, &value, bytes_max))
}

pub(super) fn entries(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let (fields, _) = fields(store, params)?;
    let pair = |(name, value): &(Box<str>, Box<[u8]>)| Val::Tuple(vec![Val::String((**name).into()), list(value)]);
    Ok(Some(Val::List(fields.iter().map(pair).collect())))
}

pub(super) fn clone(store: &mut StoreContextMut<'_, Cell>, params: &[Val]) -> Answer {
    let copy = fields(store, params)?.0.clone();
    own::<FieldsHandle>(store, Thing::Fields { fields: copy, fixed: false }).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_say_what_the_broker_knows_or_break_the_header_are_none() {
        for (name, value, expected) in [
            ("Accept", &b"text/plain"[..], None),
            ("x", b"", None),
            ("", b"x", Some("invalid-syntax")),
            ("a b", b"x", Some("invalid-syntax")),
            ("a\r\nb", b"x", Some("invalid-syntax")),
            ("a", b"x\r\ny: z", Some("invalid-syntax")),
            ("a", b"x\0", Some("invalid-syntax")),
            ("HOST", b"x", Some("forbidden")),
            ("Transfer-Encoding", b"chunked", Some("forbidden")),
        ] {
            assert_eq!(problem(name, value), expected, "{name:?} {value:?}");
        }
        let mut fields = Fields::new();
        assert_eq!(add(&mut fields, "a", &[b'x'; 100], 100), Err("forbidden"));
        assert_eq!(add(&mut fields, "a", &[b'x'; 99], 100), Ok(()));
        assert_eq!(add(&mut fields, "b", b"", 100), Err("forbidden"));
    }
}
