//! The PROXY protocol, versions 1 and 2: the first bytes of a connection that came through a load balancer name the real
//! peer. Only read from addresses that the listener trusts; there it is a must, so that nobody can leave it out.

use super::session::Fault;
use ppp::{v1, v2};
use std::net::SocketAddr;

/// How version 1 begins, and its greatest length in bytes.
const FIRST: &[u8] = b"PROXY ";
const FIRST_BYTES_MAX: usize = 107;

/// How version 2 begins, and the longest one that is taken, in bytes: addresses and a few hundred bytes of additions.
const SECOND_BYTES_MAX: usize = 1024;
const SECOND: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header that is being read.
#[derive(Debug, Default)]
pub struct ProxyHeader {
    bytes: Vec<u8>,
}

/// The peer that a header names, if it does, and the bytes behind the header.
pub type Named = (Option<SocketAddr>, Vec<u8>);

impl ProxyHeader {
    /// Takes bytes; once the header is whole: the peer it names (none: the balancer speaks for itself), and what follows.
    ///
    /// # Errors
    /// It is no header, or one that breaks the rules.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Named>, Fault> {
        self.bytes.extend_from_slice(bytes);
        let found = if self.begins(FIRST) {
            self.first()?
        } else if self.begins(SECOND) {
            self.second()?
        } else {
            return Err(Fault::Proxy("there is none"));
        };
        Ok(found.map(|(peer, length)| (peer, self.bytes.split_off(length))))
    }

    /// As far as there are bytes.
    fn begins(&self, start: &[u8]) -> bool {
        let shared = start.len().min(self.bytes.len());
        start[..shared] == self.bytes[..shared]
    }

    fn first(&self) -> Result<Option<(Option<SocketAddr>, usize)>, Fault> {
        let line = &self.bytes[..self.bytes.len().min(FIRST_BYTES_MAX)];
        let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
            let full = line.len() == FIRST_BYTES_MAX;
            return if full { Err(Fault::Proxy("it is too long")) } else { Ok(None) };
        };
        let header = v1::Header::try_from(&line[..end + 2]).map_err(|_| Fault::Proxy("it is malformed"))?;
        Ok(Some((first(&header.addresses), end + 2)))
    }

    fn second(&self) -> Result<Option<(Option<SocketAddr>, usize)>, Fault> {
        let Some(length) = self.bytes.get(SECOND.len() + 2..SECOND.len() + 4) else { return Ok(None) };
        let length = SECOND.len() + 4 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length > SECOND_BYTES_MAX {
            return Err(Fault::Proxy("it is too long"));
        }
        let Some(whole) = self.bytes.get(..length) else { return Ok(None) };
        let header = v2::Header::try_from(whole).map_err(|_| Fault::Proxy("it is malformed"))?;
        Ok(Some((second(&header)?, length)))
    }
}

fn first(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
    }
}

fn second(header: &v2::Header<'_>) -> Result<Option<SocketAddr>, Fault> {
    if header.tlvs().any(|addition| addition.is_err()) {
        return Err(Fault::Proxy("its additions overrun it"));
    }
    Ok(match (header.command, &header.addresses) {
        (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        (_, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(length: u16, rest: &[u8]) -> Vec<u8> {
        [SECOND, &[0x21, 0x11], &length.to_be_bytes(), rest].concat()
    }

    const FOUR: [u8; 12] = [10, 1, 2, 3, 127, 0, 0, 1, 0x30, 0x39, 0x07, 0x5B];

    #[test]
    fn headers_of_both_versions_name_the_peer_however_they_are_cut() {
        for (header, peer) in [
            (b"PROXY TCP4 10.1.2.3 127.0.0.1 12345 1883\r\n".to_vec(), Some("10.1.2.3:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 1883\r\n".to_vec(), Some("[2001:db8::1]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(12, &FOUR), Some("10.1.2.3:12345")),
            // With an addition, and from the balancer itself.
            (v2(16, &[&FOUR[..], &[0x04, 0, 1, 0]].concat()), Some("10.1.2.3:12345")),
            ([SECOND, &[0x20, 0x00, 0, 0]].concat(), None),
        ] {
            for cut in 0..=header.len() {
                let mut reader = ProxyHeader::default();
                let bytes = [&header[..], b"\x10\x00"].concat();
                let early = reader.receive(&bytes[..cut]);
                let whole = match early {
                    Ok(None) => reader.receive(&bytes[cut..]),
                    whole => {
                        whole.map(|found| found.map(|(peer, rest)| (peer, [rest, bytes[cut..].to_vec()].concat())))
                    }
                };
                let expected = Some((peer.map(|peer| peer.parse().unwrap()), b"\x10\x00".to_vec()));
                assert_eq!(whole, Ok(expected), "{header:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_shows() {
        for bytes in [
            b"\x10\x10\x00\x04MQTT".to_vec(),
            b"PROXY TCP4 10.1.2.3 127.0.0.1 99999 1\r\n".to_vec(),
            b"PROXY TCP4 x\x07 127.0.0.1 1 1\r\n".to_vec(),
            [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(),
            // An addition that is longer than the header says (W06).
            v2(16, &[&FOUR[..], &[0x04, 0xFF, 0xFF, 0]].concat()),
            v2(4, &FOUR),
            [SECOND, &[0x31, 0x11, 0, 12], &FOUR[..]].concat(),
            v2(0xFFFF, &[0; 2000]),
        ] {
            assert!(matches!(ProxyHeader::default().receive(&bytes), Err(Fault::Proxy(_))), "{bytes:?}");
        }
    }
}
