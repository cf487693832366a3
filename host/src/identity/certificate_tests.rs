//! Rows for certificates: what they say, and who would still take them.

use super::tests::{Rig, circumstances, drive, outcome, password};
use super::*;
use parking_lot::RwLock;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};
use std::sync::mpsc;

/// Authorities that believe everybody until they change their mind.
#[derive(Default)]
struct Fickle(RwLock<(u64, Vec<u64>)>);

impl Fickle {
    /// Takes this many certificates more to be no good: those whose DER has such a length.
    fn revoke(&self, certificate: &[u8]) {
        let mut said = self.0.write();
        said.0 += 1;
        said.1.push(certificate.len() as u64);
    }
}

impl Authorities for Fickle {
    fn changes(&self) -> u64 {
        self.0.read().0
    }

    fn vouch(&self, chain: &[Box<[u8]>]) -> bool {
        !self.0.read().1.contains(&(chain[0].len() as u64))
    }
}

/// As a client has shown it in its handshake.
pub(super) fn shown(der: &[u8]) -> Arc<Certificate> {
    shown_to(&Arc::default(), der)
}

fn shown_to(authorities: &Arc<Fickle>, der: &[u8]) -> Arc<Certificate> {
    Certificate::new([der.into()].into(), authorities.clone(), authorities.changes()).unwrap()
}

/// Of Plant, for this common name; expired where there are no days left.
pub(super) fn certificate(name: &str, days: i64) -> Arc<[u8]> {
    let parts = [(DnType::CommonName, name.into()), (DnType::OrganizationName, "Plant".into())];
    signed(parts, days)
}

fn signed(parts: impl IntoIterator<Item = (DnType, DnValue)>, days: i64) -> Arc<[u8]> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    parts.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
    params.subject_alt_names = vec![
        SanType::DnsName("meter.example".try_into().unwrap()),
        SanType::Rfc822Name("meter@example".try_into().unwrap()),
        SanType::URI("urn:meter:7".try_into().unwrap()),
    ];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(if days > 0 { 2090 } else { 2021 }, 1, 1);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    certificate.der().to_vec().into()
}

/// RFC 4514, 2.4.
#[test]
fn no_two_subjects_are_one_name() {
    let mut rig = Rig::new();
    rig.settings.certificate_name = NameSource::Subject;
    let identity = rig.open();
    let custom = || DnType::CustomDnType(vec![1, 2, 3, 4]);
    let bmp = |text: &str| DnValue::BmpString(text.try_into().unwrap());
    for (parts, expected) in [
        (
            vec![(DnType::OrganizationName, "Plant".into()), (DnType::CommonName, "meter-7".into())],
            "O=Plant, CN=meter-7",
        ),
        (vec![(DnType::OrganizationName, "Plant, CN=meter-7".into())], r"O=Plant\, CN=meter-7"),
        (vec![(DnType::CommonName, "a + O=b".into())], r"CN=a \+ O=b"),
        (vec![(DnType::CommonName, r#"a\"<;>"#.into())], r#"CN=a\\\"\<\;\>"#),
        (vec![(DnType::CommonName, "#616263".into())], r"CN=\#616263"),
        (vec![(DnType::CommonName, " a ".into())], r"CN=\ a\ "),
        (vec![(DnType::CommonName, "a\0b".into())], r"CN=a\00b"),
        (vec![(DnType::CommonName, bmp("Zähler"))], "CN=Zähler"),
        (vec![(custom(), "abc".into())], "1.2.3.4=#0C03616263"),
    ] {
        let with = Circumstances { certificate: Some(shown(&signed(parts, 1))), ..circumstances("closed", "") };
        assert_eq!(outcome(drive(&mut Inquiry::new(&identity, with, Claim::Nothing))), expected);
    }
}

/// S13: a certificate that its authority does not stand for any more lets nobody stay, whatever else was brought.
#[test]
fn a_certificate_that_is_not_taken_any_more_ends_its_connections() {
    let rig = Rig::new();
    let (identity, authorities) = (rig.open(), Arc::<Fickle>::default());
    let (closed, ended) = mpsc::channel();
    let (own, other) = (certificate("meter-7", 1), certificate("another meter", 1));
    let mut rig = rig;
    let enter = |identity: &Identity, name: &'static str, der: &[u8], claim: Claim| {
        let with = Circumstances { certificate: Some(shown_to(&authorities, der)), ..circumstances("closed", "") };
        let Progress::Admitted(who) = drive(&mut Inquiry::new(identity, with, claim)) else { panic!("{name}") };
        let closed = closed.clone();
        (who.clone(), identity.admit(&who, false, Box::new(move |_| closed.send(name).unwrap())))
    };
    let first = enter(&identity, "meter-7", &own, Claim::Nothing);
    let second = enter(&identity, "another meter", &other, Claim::Nothing);
    rig.settings.order.reverse();
    assert_eq!(identity.reload(rig.settings.clone()).unwrap(), 0);
    let by_password = enter(&identity, "ann", &own, password("ann", b"secret"));
    assert!(first.1.is_ok() && second.1.is_ok() && by_password.1.is_ok());
    authorities.revoke(&own);
    assert_eq!(identity.sweep(), 2);
    let mut gone: Vec<_> = ended.try_iter().collect();
    gone.sort_unstable();
    assert_eq!(gone, ["ann", "meter-7"]);
    let late = identity.admit(&first.0, false, Box::new(|_| {}));
    assert!(late.is_err(), "who was proved just before");
    assert!(identity.admit(&second.0, false, Box::new(|_| {})).is_ok());
}

/// A rule for `bridge/b` is for that bridge, and for nobody who takes its name.
#[test]
fn nobody_has_the_name_of_a_bridge() {
    let identity = Rig::new().open();
    let with = Circumstances { certificate: Some(shown(&certificate("bridge/b", 1))), ..circumstances("closed", "") };
    let Progress::Denied(refusal) = drive(&mut Inquiry::new(&identity, with, Claim::Nothing)) else { panic!() };
    assert!(refusal.reason.contains("bridge/"), "{}", refusal.reason);
    let error = PasswordFile::default().add("bridge/b", User::new(b"secret", false).unwrap()).unwrap_err();
    assert!(error.to_string().contains("bridge/"), "{error}");
}
