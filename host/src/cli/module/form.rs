//! A component and its configuration as one body: `multipart/form-data` (RFC 7578).

use memchr::memmem;

/// A form and its media type.
pub(super) struct Form {
    pub kind: String,
    pub bytes: Vec<u8>,
}

/// Of these parts.
pub(super) fn of(component: &[u8], config: &str) -> Form {
    let is_inside = |boundary: &str| {
        let boundary = boundary.as_bytes();
        memmem::find(component, boundary).is_some() || memmem::find(config.as_bytes(), boundary).is_some()
    };
    let mut boundaries = (0_u64..).map(|number| format!("pliant-{number:016x}"));
    let boundary = boundaries.find(|boundary| !is_inside(boundary)).expect("no body has all of them");
    let mut bytes = Vec::with_capacity(component.len() + config.len() + 512);
    for (name, kind, content) in
        [("config", "application/json", config.as_bytes()), ("component", "application/wasm", component)]
    {
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n");
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Form { kind: format!("multipart/form-data; boundary={boundary}"), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_in_neither_part() {
        let form = of(b"x pliant-0000000000000000 x", "{\"a\": \"pliant-0000000000000001\"}");
        assert_eq!(form.kind, "multipart/form-data; boundary=pliant-0000000000000002");
        assert_eq!(memmem::find_iter(&form.bytes, "--pliant-0000000000000002").count(), 3);
    }
}
