//! Clients' certificates that are not taken any more, while their clients are there.

use super::rig::Authority;
use crate::amqp::peer::{Peer, says};
use crate::harness::{Client, V5, connect, data_dir};
use host::config::Sources;
use host::server::Running;
use rcgen::SerialNumber;
use std::fs;
use tempfile::TempDir;

/// A broker that asks for certificates, over TLS for both protocols and over QUIC.
struct Rig {
    authority: Authority,
    running: Running,
    _data: TempDir,
}

/// Serial numbers of `lost` and `kept`.
const LOST: u64 = 7;
const KEPT: u64 = 8;

impl Rig {
    fn start() -> Option<Self> {
        if crate::harness::is_outside() {
            return None;
        }
        let (authority, data) = (Authority::new(), data_dir());
        authority.sign("server", "localhost");
        for (stem, serial) in [("lost", LOST), ("kept", KEPT)] {
            authority.sign_with(stem, stem, |params| params.serial_number = Some(SerialNumber::from(serial)));
        }
        fs::copy(authority.path("ca.pem"), authority.path("clients.pem")).unwrap();
        authority.revoke(&[]);
        let path = |file: &str| authority.path(file).display().to_string();
        let mut flags = vec![
            format!("data_dir={}", data.path().display()),
            "admin.bind=127.0.0.1:0".to_owned(),
            "listener.mqtt.enabled=false".to_owned(),
            "listener.ws.enabled=false".to_owned(),
            "listener.tls.protocol=any".to_owned(),
        ];
        for transport in ["tls", "quic"] {
            let set = |key: &str, value: &str| format!("listener.{transport}.{key}={value}");
            flags.extend([
                set("transport", transport),
                set("bind", "127.0.0.1:0"),
                set("tls.certificate", &path("server.pem")),
                set("tls.key", &path("server.key")),
                set("tls.client_ca", &path("clients.pem")),
                set("tls.client_crl", &path("crl.pem")),
                set("tls.client_certificate", "required"),
            ]);
        }
        let sources = Sources { flags, ..Sources::default() };
        let running = host::server::start_from(sources.load().unwrap(), sources).unwrap();
        Some(Self { authority, running, _data: data })
    }

    fn mqtt(&self, own: &str) -> Client {
        connect(V5).open_on(Box::new(self.authority.dial(self.running.address("tls").unwrap(), Some(own))))
    }

    fn quic(&self, own: &str) -> Client {
        let address = self.running.address("quic").unwrap();
        connect(V5).open_on(Box::new(self.authority.dial_quic(address, Some(own)).unwrap()))
    }

    fn amqp(&self, own: &str) -> Peer {
        let stream = self.authority.dial(self.running.address("tls").unwrap(), Some(own));
        Peer::on(Box::new(stream)).begins()
    }

    fn comes_in(&self, own: &str) -> bool {
        let stream = self.authority.dial(self.running.address("tls").unwrap(), Some(own));
        let mut client = connect(V5).sent_try(Box::new(stream));
        client.as_mut().is_some_and(|client| client.try_receive().is_ok())
    }

    fn reload(&self) -> usize {
        let reloaded = self.running.reload().unwrap();
        assert_eq!(reloaded.failed, [""; 0]);
        reloaded.connections_ended
    }
}

/// RFC 5280, 5: whoever has a certificate that was revoked is thrown out by the next reload, and does not come in again.
#[test]
fn a_certificate_that_is_revoked_ends_its_connections() {
    let Some(rig) = Rig::start() else { return };
    let (mut mqtt, mut quic, mut amqp) = (rig.mqtt("lost"), rig.quic("lost"), rig.amqp("lost"));
    let mut others = [rig.mqtt("kept"), rig.quic("kept")];
    assert_eq!(rig.reload(), 0);
    rig.authority.revoke(&[LOST]);
    assert_eq!(rig.reload(), 3);
    mqtt.expect_disconnect(0x87);
    quic.expect_disconnect(0x87);
    assert!(says(&amqp.until_closed(), "amqp:connection:forced"));
    others.iter_mut().for_each(Client::ping);
    assert!(!rig.comes_in("lost") && rig.comes_in("kept"));
    // A list that is none: what held before goes on to hold.
    fs::write(rig.authority.path("crl.pem"), "nothing").unwrap();
    let failed = rig.running.reload().unwrap().failed;
    assert!(failed.len() == 2 && failed.iter().all(|why| why.contains("tls.client_crl")), "{failed:?}");
    assert!(!rig.comes_in("lost") && rig.comes_in("kept"));
    others.iter_mut().for_each(Client::ping);
}

/// The way by which they came in is closed.
#[test]
fn who_came_in_under_an_authority_that_is_gone_is_thrown_out() {
    let Some(rig) = Rig::start() else { return };
    let (mut mqtt, mut quic, mut amqp) = (rig.mqtt("kept"), rig.quic("kept"), rig.amqp("kept"));
    let other = Authority::new();
    other.revoke(&[]);
    for (from, to) in [("ca.pem", "clients.pem"), ("crl.pem", "crl.pem")] {
        fs::copy(other.path(from), rig.authority.path(to)).unwrap();
    }
    assert_eq!(rig.reload(), 3);
    mqtt.expect_disconnect(0x87);
    quic.expect_disconnect(0x87);
    amqp.until_closed();
    assert!(!rig.comes_in("kept"));
}
