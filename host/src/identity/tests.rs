//! Rows for inquiries: what a client brings, and what comes of it.

use super::certificate_tests::{certificate, shown};
use super::keyring::{Grounds, Voucher};
use super::scram_keys::{Hash, ScramKeys};
use super::*;
use crate::message::{Refusal, RefusalKind};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::mpsc;

const SECRET: &[u8] = b"a secret of at least 32 bytes, as it has to be";
const NOW: Time = Time(1_700_000_000_000);

pub(super) struct Rig {
    folder: tempfile::TempDir,
    pub(super) settings: Settings,
}

impl Rig {
    /// Users ann and bob with `secret`, tokens under one secret; strangers may come in by `open` and not by `closed`.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenSettings {
            keys_file: folder.path().join("jwks.json"),
            issuer: "us".into(),
            audience: "broker".into(),
            name_claim: "sub".into(),
        };
        let anonymous = [("open".into(), Anonymous::Loopback), ("closed".into(), Anonymous::Never)].into();
        let password_file = Some(folder.path().join("users"));
        let rig = Self {
            settings: Settings { password_file, tokens: Some(tokens), anonymous, ..Default::default() },
            folder,
        };
        rig.users(&[("ann", "secret"), ("bob", "secret")]);
        rig.keys(json!([{ "kty": "oct", "kid": "1", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET) }]));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn users(&self, users: &[(&str, &str)]) {
        let mut file = PasswordFile::default();
        for (name, password) in users {
            file.add(name, User::new(password.as_bytes(), true).unwrap()).unwrap();
        }
        file.write(&self.path("users")).unwrap();
    }

    fn keys(&self, keys: Value) {
        std::fs::write(self.path("jwks.json"), json!({ "keys": keys }).to_string()).unwrap();
    }

    pub(super) fn open(&self) -> Identity {
        // Rows of many wrong proofs from one address are not to wait.
        let limits = Limits { failure_delay_milliseconds_max: 0, ..Limits::default() };
        Identity::open(self.settings.clone(), limits, Arc::default()).unwrap()
    }
}

pub(super) fn circumstances(listener: &str, peer: &str) -> Circumstances {
    Circumstances { listener: listener.into(), peer: peer.into(), certificate: None }
}

pub(super) fn password(user: &str, password: &[u8]) -> Claim {
    Claim::Password { user: Some(user.into()), password: Some(password.into()) }
}

/// Goes on until there is something to tell; modules have no opinion.
pub(super) fn drive(inquiry: &mut Inquiry) -> Progress {
    drive_with(inquiry, |_| Ok(None))
}

/// The same with modules that have one.
fn drive_with(
    inquiry: &mut Inquiry,
    mut modules: impl FnMut(Question<'_>) -> Result<Option<String>, Refusal>,
) -> Progress {
    let (wake, woken) = mpsc::channel();
    let waker = || -> Box<dyn FnOnce() + Send> {
        let wake = wake.clone();
        Box::new(move || wake.send(()).unwrap())
    };
    loop {
        match inquiry.advance(NOW, &waker) {
            Progress::Waiting => woken.recv().unwrap(),
            Progress::AskModules => {
                let said = modules(inquiry.question());
                inquiry.modules_said(said);
            }
            // RFC 7628, 3.2.3: a client that is told why answers so, and is refused then.
            Progress::Challenge(data) if data.starts_with(br#"{"status":"invalid_"#) => inquiry.respond(b"\x01"),
            progress => return progress,
        }
    }
}

/// The name, `-` for a stranger, or the kind of refusal.
pub(super) fn outcome(progress: Progress) -> String {
    match progress {
        Progress::Admitted(identified) => identified.name().as_deref().unwrap_or("-").to_owned(),
        Progress::Denied(refusal) => format!("{:?}", refusal.kind),
        other => format!("{other:?}"),
    }
}

fn by_module(name: Option<&str>) -> Identified {
    let grounds = Grounds { name: name.map(Into::into), voucher: Voucher::Module, certificate: None };
    Identified { expires: None, data: None, grounds }
}

pub(super) fn ask(identity: &Identity, listener: &str, claim: Claim) -> String {
    outcome(drive(&mut Inquiry::new(identity, circumstances(listener, "127.0.0.1:5"), claim)))
}

fn token(claims: Value) -> Vec<u8> {
    let header = Header { kid: Some("1".into()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap().into_bytes()
}

fn good_claims() -> Value {
    json!({ "sub": "cleo", "iss": "us", "aud": ["other", "broker"], "exp": NOW.0 / 1000 + 60 })
}

#[test]
fn a_password_leads_to_its_user_and_to_nobody_else() {
    let identity = Rig::new().open();
    for (user, word, expected) in [
        ("ann", "secret", "ann"),
        ("ann", "secret", "ann"),
        ("ann", "Secret", "BadCredentials"),
        ("ann", "", "BadCredentials"),
        ("bob", "secret", "bob"),
        ("nobody", "secret", "BadCredentials"),
        ("", "secret", "BadCredentials"),
        ("ANN", "secret", "BadCredentials"),
    ] {
        assert_eq!(ask(&identity, "open", password(user, word.as_bytes())), expected, "{user} {word}");
    }
    let half = |user: Option<&str>, word: Option<&[u8]>| Claim::Password {
        user: user.map(Into::into),
        password: word.map(Into::into),
    };
    for claim in [half(Some("ann"), None), half(None, Some(b"secret")), half(None, None)] {
        let expected =
            if matches!(claim, Claim::Password { user: None, password: None }) { "-" } else { "BadCredentials" };
        assert_eq!(ask(&identity, "open", claim), expected);
    }
}

/// W07: the peer decides, not only the listener.
#[test]
fn strangers_come_in_where_they_may() {
    let mut rig = Rig::new();
    let strange = |identity: &Identity, listener: &str, peer: &str| {
        outcome(drive(&mut Inquiry::new(identity, circumstances(listener, peer), Claim::Nothing)))
    };
    let identity = rig.open();
    for (listener, peer, expected) in [
        ("open", "127.0.0.1:5", "-"),
        ("open", "[::1]:5", "-"),
        ("open", "[::ffff:127.0.0.1]:5", "-"),
        ("open", "192.0.2.1:5", "NotAuthorized"),
        ("open", "", "NotAuthorized"),
        ("closed", "127.0.0.1:5", "NotAuthorized"),
        ("unknown", "127.0.0.1:5", "NotAuthorized"),
    ] {
        assert_eq!(strange(&identity, listener, peer), expected, "{listener} {peer}");
    }
    rig.settings.default_user = Some("guest".into());
    assert_eq!(strange(&rig.open(), "open", "127.0.0.1:5"), "guest");
    // Where nothing is checked, what a client says of itself is no hindrance, and no name.
    (rig.settings.default_user, rig.settings.password_file, rig.settings.tokens) = (None, None, None);
    assert_eq!(ask(&rig.open(), "open", password("ann", b"x")), "-");
    assert_eq!(ask(&rig.open(), "closed", password("ann", b"x")), "NotAuthorized");
}

/// S15
#[test]
fn a_token_is_believed_after_its_signature_and_as_long_as_it_says() {
    let identity = Rig::new().open();
    let with = |key: &str, value: Value| {
        let mut claims = good_claims();
        claims[key] = value;
        token(claims)
    };
    let now = NOW.0 / 1000;
    for (token, expected) in [
        (token(good_claims()), "cleo"),
        (with("aud", json!("broker")), "cleo"),
        (with("aud", json!("other")), "BadCredentials"),
        (with("aud", Value::Null), "BadCredentials"),
        (with("iss", json!("them")), "BadCredentials"),
        (with("exp", json!(now)), "BadCredentials"),
        // RFC 7519, 2: a fraction is a time, too.
        (with("exp", json!(now as f64 + 60.5)), "cleo"),
        (with("exp", json!(now as f64 - 0.5)), "BadCredentials"),
        (with("exp", json!(1e300)), "BadCredentials"),
        (with("exp", json!((now + 60).to_string())), "BadCredentials"),
        (with("exp", json!(0)), "BadCredentials"),
        (with("exp", json!(-1)), "BadCredentials"),
        (with("exp", json!(u64::MAX)), "BadCredentials"),
        (with("exp", Value::Null), "BadCredentials"),
        (with("nbf", json!(0)), "cleo"),
        (with("nbf", json!(-1)), "BadCredentials"),
        (with("nbf", json!(now as f64 - 0.5)), "cleo"),
        (with("nbf", json!(now as f64 + 90.5)), "BadCredentials"),
        (with("nbf", json!(now + 30)), "cleo"),
        (with("nbf", json!(now + 90)), "BadCredentials"),
        (with("nbf", json!("soon")), "BadCredentials"),
        (with("sub", json!("")), "BadCredentials"),
        (with("sub", json!("a\u{0}")), "BadCredentials"),
        (with("sub", json!(7)), "BadCredentials"),
    ] {
        let shown = String::from_utf8_lossy(&token).into_owned();
        assert_eq!(ask(&identity, "closed", password("anything", &token)), expected, "{shown}");
        let message = format!("n,,\u{1}auth=Bearer {shown}\u{1}\u{1}");
        let claim = Claim::Mechanism { name: "OAUTHBEARER".into(), initial: Some(message.into_bytes().into()) };
        assert_eq!(ask(&identity, "closed", claim), expected, "{shown}");
    }
}

/// RFC 7628, 3.1, and RFC 4422, 3.4.1: whom a client wants to act for has to be itself; RFC 7628, 3.2.2: why it is refused.
#[test]
fn a_token_lets_nobody_act_for_somebody_else() {
    let identity = Rig::new().open();
    let good = String::from_utf8(token(good_claims())).unwrap();
    for (header, token, expected) in [
        ("n,,", &*good, None),
        ("y,,", &good, None),
        ("n,a=cleo,", &good, None),
        ("n,a=bob,", &good, Some("invalid_request")),
        ("n,a=,", &good, Some("invalid_request")),
        ("n,a=cleo", &good, Some("invalid_request")),
        ("n,cleo,", &good, Some("invalid_request")),
        ("n,a=cleo,,", &good, Some("invalid_request")),
        ("n,a=c=leo,", &good, Some("invalid_request")),
        ("p=tls-unique,,", &good, Some("invalid_request")),
        ("n,,", "x.y.z", Some("invalid_token")),
    ] {
        let message = format!("{header}\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes().into();
        let claim = Claim::Mechanism { name: "OAUTHBEARER".into(), initial: Some(message) };
        let mut inquiry = Inquiry::new(&identity, circumstances("closed", "127.0.0.1:5"), claim);
        match (inquiry.advance(NOW, &|| Box::new(|| {})), expected) {
            (Progress::Admitted(who), None) => assert_eq!(who.name().as_deref(), Some("cleo"), "{header}"),
            (Progress::Challenge(data), Some(status)) => {
                assert_eq!(String::from_utf8_lossy(&data), format!(r#"{{"status":"{status}"}}"#), "{header}");
                assert_eq!(outcome(drive(&mut inquiry)), "BadCredentials", "{header}");
            }
            (other, _) => panic!("{header}: {other:?}"),
        }
    }
}

/// Whoever hangs up in place of an answer has tried all the same.
#[test]
fn a_refused_token_counts_for_its_address_before_its_client_answers() {
    let identity = Identity::open(Rig::new().settings.clone(), Limits::default(), Arc::default()).unwrap();
    let ask = || {
        let message = b"n,,\x01auth=Bearer x.y.z\x01\x01".to_vec().into();
        let claim = Claim::Mechanism { name: "OAUTHBEARER".into(), initial: Some(message) };
        let mut inquiry = Inquiry::new(&identity, circumstances("closed", "192.0.2.1:5"), claim);
        assert!(matches!(inquiry.advance(NOW, &|| Box::new(|| {})), Progress::Challenge(_)));
        inquiry
    };
    (0..50).for_each(|_| drop(ask()));
    let mut last = ask();
    last.respond(b"\x01");
    assert!(matches!(last.advance(NOW, &|| Box::new(|| {})), Progress::Waiting), "its refusal takes longer");
}

#[test]
fn a_token_with_another_signature_is_refused() {
    let identity = Rig::new().open();
    let good = String::from_utf8(token(good_claims())).unwrap();
    let (said, signature) = good.rsplit_once('.').unwrap();
    let body = said.split_once('.').unwrap().1;
    let header = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let other = EncodingKey::from_secret(&[7; 32]);
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good_claims(), &other).unwrap();
    let larger =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good_claims(), &EncodingKey::from_secret(SECRET));
    let extended = Header { kid: Some("2".into()), ..Header::new(Algorithm::HS256) };
    let extended = jsonwebtoken::encode(&extended, &good_claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    for token in [
        format!("{said}."),
        format!("{said}.{}", &signature[1..]),
        format!("{}.{body}.", header(json!({ "alg": "none" }))),
        format!("{}.{body}.{signature}", header(json!({ "alg": "HS256", "crit": ["x"], "x": 1 }))),
        forged,
        larger.unwrap(),
        extended,
    ] {
        assert_eq!(ask(&identity, "closed", password("", token.as_bytes())), "BadCredentials", "{token}");
    }
}

/// Signed by OpenSSL: nothing of the library under test.
#[test]
fn tokens_under_public_keys_are_believed() {
    const N: &str = "nHB5gZ5uTYIGILzBW9UlOx6tofdb7AJSnFRM6sNSHmPpHT-BM7S2k227ZvTgL7Og0MgRH0vOgFeiYRYktD6teM_LaicAXUNd2rkcvgbF5XaA65YNg2oG7K4P9tCF1O0dzznr79J8jcH0RrhzGvxKDZxRa3b05mKcRmQ0qQGRZRgJ9bJSuV78NxsUpDsOlG_BYnHFe5Jl2svpW9i34RPB9_l14ZY79EFDW5y9n0k_fy5Ww3C8HqLGY7De1zk6eg1KMjOpGkh-tUvZFYF0MsI8mpTukfzEAHK1WrP3IhxzECJuYjh3b_DA9PuA0oM3WxM4ixTWG6qnNiW6XBSk-b0elw";
    const CLAIMS: &str = "eyJzdWIiOiAibWV0ZXItNyIsICJpc3MiOiAidXMiLCAiYXVkIjogImJyb2tlciIsICJleHAiOiA0MTAyNDQ0ODAwfQ";
    const RSA: &str = "SzYxaTVHoQa_dOzoHS5OP2OOFJcpYTHnqVLoWE_9sShRHoBmdHhoasZlIUDiaaZ-sn0co8mdqXGsS_Hi-5xsQpFf4A7pAbb-unLHiZ_YA7NomTIrecX3KkyVI_SOjOMsEdvhbCtLvWaA-lZ6_2A89gisFkaPBQCXZ5WyZ0FtF38g7DU8K_rr5rzj_Ie-dFnG-fABwJl9fY3bkoDI29HvU0XprvTWxnp9RtyYGcHBJ1g-ypdlNldL3hH67T5wOSYVFyel_4oDC-v6ghTmf461Ocf_3XFJwcPNcsFh2jTEdZqU__3qcKiDYLD9Ju_bM04gInaRF7uhk2obXMP9LiLpug";
    const CURVE: &str = "Nv-3QbYEAj91_KDjZ_U32noLLv8fofdRkAu1lBwFduDRl-rm4Jz73uM8ft6UzXNDfuXJOZzfdfVzFvyMAkTgKQ";
    let rig = Rig::new();
    rig.keys(json!([
        { "kty": "RSA", "kid": "RS256", "n": N, "e": "AQAB" },
        { "kty": "EC", "kid": "ES256", "crv": "P-256", "x": "QaDZbIviutBPmW2zEEf1zpLWm8n2TzxD1TCIhdYEw5Q",
          "y": "QC9-AAVSqd7qu6U74gShTICZlpPzYq25AmluqKbms2w" },
    ]));
    let identity = rig.open();
    let (rsa, curve) = ("eyJhbGciOiAiUlMyNTYiLCAia2lkIjogIlJTMjU2In0", "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogIkVTMjU2In0");
    // The public key taken for a secret: what a careless verifier believes.
    let confused = Header { kid: Some("RS256".into()), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(N.as_bytes());
    let confused = jsonwebtoken::encode(&confused, &good_claims(), &key).unwrap();
    for (token, expected) in [
        (format!("{rsa}.{CLAIMS}.{RSA}"), "meter-7"),
        (format!("{curve}.{CLAIMS}.{CURVE}"), "meter-7"),
        (format!("{rsa}.{CLAIMS}.{CURVE}"), "BadCredentials"),
        (format!("{curve}.{CLAIMS}.{RSA}"), "BadCredentials"),
        (format!("{rsa}.{}.{RSA}", CLAIMS.replace("bWV0ZXItNy", "bWV0ZXItOC")), "BadCredentials"),
        (confused, "BadCredentials"),
    ] {
        assert_eq!(ask(&identity, "closed", password("", token.as_bytes())), expected, "{token}");
    }
}

/// W06: control characters in a name are no name.
#[test]
fn a_certificate_is_a_name_by_the_part_that_is_configured() {
    let mut rig = Rig::new();
    let come = |identity: &Identity, certificate: &Arc<[u8]>, claim: Claim| {
        let with = Circumstances { certificate: Some(shown(certificate)), ..circumstances("closed", "192.0.2.1:5") };
        outcome(drive(&mut Inquiry::new(identity, with, claim)))
    };
    let good = certificate("meter-7", 1);
    for (source, name) in [
        (NameSource::CommonName, "meter-7"),
        (NameSource::Dns, "meter.example"),
        (NameSource::Email, "meter@example"),
        (NameSource::Uri, "urn:meter:7"),
        (NameSource::Subject, "CN=meter-7, O=Plant"),
    ] {
        rig.settings.certificate_name = source;
        let identity = rig.open();
        assert_eq!(come(&identity, &good, Claim::Nothing), name);
        // First in the order: what else the client says does not matter.
        assert_eq!(come(&identity, &good, password("ann", b"wrong")), name);
        let external =
            |initial: &str| Claim::Mechanism { name: "EXTERNAL".into(), initial: Some(initial.as_bytes().into()) };
        assert_eq!(come(&identity, &good, external("")), name);
        assert_eq!(come(&identity, &good, external(name)), name);
        assert_eq!(come(&identity, &good, external("ann")), "BadCredentials");
    }
    rig.settings.certificate_name = NameSource::CommonName;
    let identity = rig.open();
    for bad in [certificate("a\nb", 1), certificate("", 1)] {
        let from = circumstances("closed", "192.0.2.1:5");
        let with = Circumstances { certificate: Some(shown(&bad)), ..from };
        let Progress::Denied(refusal) = drive(&mut Inquiry::new(&identity, with, Claim::Nothing)) else { panic!() };
        assert!(refusal.reason.contains("certificate has no usable common name"), "{}", refusal.reason);
    }
    for bad in [certificate("a\nb", 1), certificate("", 1), Arc::from(&b"no DER"[..])] {
        assert_eq!(come(&identity, &bad, Claim::Nothing), "NotAuthorized");
        assert_eq!(come(&identity, &bad, password("ann", b"secret")), "ann");
    }
    rig.settings.order = vec![Method::Password, Method::Certificate];
    let identity = rig.open();
    assert_eq!(come(&identity, &good, password("ann", b"secret")), "ann");
    assert_eq!(come(&identity, &good, password("ann", b"wrong")), "BadCredentials");
    assert_eq!(come(&identity, &good, Claim::Nothing), "meter-7");
    rig.settings.order = vec![Method::Password];
    let by_password = rig.open();
    assert_eq!(come(&by_password, &good, Claim::Nothing), "NotAuthorized");
    // One that has expired, whatever else is brought, and whether or not it would be a name.
    let expired = certificate("meter-7", -1);
    let external = Claim::Mechanism { name: "EXTERNAL".into(), initial: Some(Box::default()) };
    assert_eq!(come(&identity, &expired, external), "BadCredentials");
    for identity in [identity, by_password] {
        assert_eq!(come(&identity, &expired, Claim::Nothing), "BadCredentials");
        assert_eq!(come(&identity, &expired, password("ann", b"secret")), "BadCredentials");
    }
}

#[test]
fn a_key_set_that_is_none_is_refused_with_nothing_of_its_content() {
    let rig = Rig::new();
    let short = BASE64_URL_SAFE_NO_PAD.encode("planted");
    for (keys, why) in [
        (json!([]), "no key for"),
        (json!("planted"), "not a JSON Web Key Set"),
        (json!([{ "kty": "oct", "k": short }]), "at least 32 bytes"),
        (json!([{ "kty": "oct" }]), "no key for"),
        (json!([7]), "not a key"),
        (json!([{ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" }]), "no key for"),
        (json!([{ "kty": "oct", "alg": "HS512", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET) }]), "no key for"),
    ] {
        rig.keys(keys.clone());
        let error = Identity::open(rig.settings.clone(), Limits::default(), Arc::default()).err().unwrap().to_string();
        assert!(error.starts_with("auth.jwt.keys_file: ") && error.contains(why), "{keys}: {error}");
        assert!(!error.contains("planted") && !error.contains(&short), "{error}");
    }
}

/// Where no tokens are taken, one is a password like others, and modules get to see it.
#[test]
fn modules_are_asked_with_all_that_the_client_brought() {
    let mut rig = Rig::new();
    rig.settings.tokens = None;
    let identity = rig.open();
    let token = token(good_claims());
    let mut inquiry = Inquiry::new(&identity, circumstances("closed", ""), password("someone", &token));
    let asked = loop {
        match inquiry.advance(NOW, &|| Box::new(|| {})) {
            Progress::Waiting => std::thread::yield_now(),
            progress => break progress,
        }
    };
    assert!(matches!(asked, Progress::AskModules), "{asked:?}");
    let question = inquiry.question();
    assert_eq!((question.user, question.password), (Some("someone"), Some(&token[..])));
    inquiry.modules_said(Ok(Some("somebody".to_owned())));
    assert_eq!(outcome(drive(&mut inquiry)), "somebody");
}

/// A client's side of SCRAM, written from RFC 5802.
fn scram(identity: &Identity, hash: Hash, user: &str, word: &str, spoil: impl Fn(&mut String)) -> (String, bool) {
    scram_with(identity, hash, (user, word), spoil, |_| Ok(None))
}

fn scram_with(
    identity: &Identity,
    hash: Hash,
    (user, word): (&str, &str),
    spoil: impl Fn(&mut String),
    modules: impl FnMut(Question<'_>) -> Result<Option<String>, Refusal>,
) -> (String, bool) {
    let first = format!("n={user},r=abc");
    let initial = format!("n,,{first}").into_bytes().into();
    let claim = Claim::Mechanism { name: hash.mechanism().into(), initial: Some(initial) };
    let mut inquiry = Inquiry::new(identity, circumstances("closed", "127.0.0.1:5"), claim);
    let Progress::Challenge(challenge) = drive(&mut inquiry) else { panic!("no challenge") };
    let challenge = String::from_utf8(challenge.into()).unwrap();
    let field = |at: usize, name: &str| challenge.split(',').nth(at).unwrap().strip_prefix(name).unwrap().to_owned();
    let (nonce, salt, count) = (field(0, "r="), field(1, "s="), field(2, "i="));
    assert!(nonce.starts_with("abc") && nonce.len() > 20, "{nonce}");
    let salt = BASE64_STANDARD.decode(salt).unwrap();
    let mut salted = hash.mac(word.as_bytes(), &[&salt, &[0, 0, 0, 1]]);
    let mut block = salted.clone();
    for _ in 1..count.parse().unwrap() {
        block = hash.mac(word.as_bytes(), &[&block]);
        salted.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let key = hash.mac(&salted, &[b"Client Key"]);
    let without_proof = format!("c=biws,r={nonce}");
    let said = format!("{first},{challenge},{without_proof}");
    let signature = hash.mac(&hash.digest(&key), &[said.as_bytes()]);
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
    let mut last = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
    spoil(&mut last);
    inquiry.respond(last.as_bytes());
    let progress = drive_with(&mut inquiry, modules);
    let server = hash.mac(&hash.mac(&salted, &[b"Server Key"]), &[said.as_bytes()]);
    let expected = format!("v={}", BASE64_STANDARD.encode(server)).into_bytes();
    let proved = matches!(&progress, Progress::Admitted(who) if who.data.as_deref() == Some(&expected[..]));
    (outcome(progress), proved)
}

/// RFC 7677, RFC 5802
#[test]
fn scram_proves_both_sides_to_each_other() {
    let identity = Rig::new().open();
    for hash in [Hash::Sha256, Hash::Sha512] {
        assert_eq!(scram(&identity, hash, "ann", "secret", |_| {}), ("ann".to_owned(), true));
        let denied = ("BadCredentials".to_owned(), false);
        assert_eq!(scram(&identity, hash, "ann", "Secret", |_| {}), denied);
        assert_eq!(scram(&identity, hash, "nobody", "secret", |_| {}), denied);
        assert_eq!(scram(&identity, hash, "ann", "secret", |last| last.insert(2, 'x')), denied);
        assert_eq!(scram(&identity, hash, "ann", "secret", |last| *last = last.replace("r=abc", "r=abd")), denied);
        assert_eq!(scram(&identity, hash, "ann", "secret", |last| *last = last.replace(",p=", ",q=")), denied);
    }
}

/// What stands before a mechanism's way in the order is asked before its client comes in, and what stands behind it is not.
#[test]
fn modules_that_come_before_a_mechanism_are_asked_about_its_client() {
    let mut rig = Rig::new();
    let (good, message) = (certificate("meter-7", 1), token(good_claims()));
    let bearer = [b"n,,\x01auth=Bearer ", &message[..], b"\x01\x01"].concat();
    let refused = |reason: &'static str| Err(Refusal::new(RefusalKind::Unavailable, reason));
    for (is_before, said, expected) in [
        (true, Ok(None), ["ann", "meter-7", "cleo"]),
        (true, Ok(Some("other".to_owned())), ["other"; 3]),
        (true, Ok(Some("no\nname".to_owned())), ["BadCredentials"; 3]),
        (true, refused("not today"), ["Unavailable"; 3]),
        (false, refused("not today"), ["ann", "meter-7", "cleo"]),
    ] {
        let mut order = vec![Method::Certificate, Method::Password, Method::Jwt];
        order.insert(if is_before { 0 } else { 3 }, Method::Module);
        rig.settings.order = order;
        let identity = rig.open();
        let mut asked = Vec::new();
        let mut modules = |question: Question<'_>| {
            asked.push((question.user.map(str::to_owned), question.password.is_some()));
            said.clone()
        };
        let (by_scram, _) = scram_with(&identity, Hash::Sha256, ("ann", "secret"), |_| {}, &mut modules);
        let mut others = [("EXTERNAL", &b""[..]), ("OAUTHBEARER", &bearer)].map(|(name, initial)| {
            let with = Circumstances { certificate: Some(shown(&good)), ..circumstances("closed", "") };
            let claim = Claim::Mechanism { name: name.into(), initial: Some(initial.into()) };
            outcome(drive_with(&mut Inquiry::new(&identity, with, claim), &mut modules))
        });
        assert_eq!([by_scram, std::mem::take(&mut others[0]), std::mem::take(&mut others[1])], expected);
        // A wrong proof is nobody's name.
        let wrong = scram_with(&identity, Hash::Sha256, ("ann", "Secret"), |_| {}, &mut modules);
        assert_eq!(wrong.0, "BadCredentials");
        let names = ["ann", "meter-7", "cleo"].map(|name| (Some(name.to_owned()), false));
        assert_eq!(asked, if is_before { names.to_vec() } else { Vec::new() });
    }
}

/// RFC 4505: nothing is proved, so it is the client that does not say who it is.
#[test]
fn anonymous_is_a_client_that_says_nothing() {
    let identity = Rig::new().open();
    let come = |claim: Claim, said: Result<Option<String>, Refusal>| {
        let mut asked = 0;
        let progress =
            drive_with(&mut Inquiry::new(&identity, circumstances("open", "127.0.0.1:5"), claim), |question| {
                assert!(question.user.is_none() && question.password.is_none());
                asked += 1;
                said.clone()
            });
        (outcome(progress), asked)
    };
    for (said, expected) in [
        (Ok(None), "-"),
        (Ok(Some("guest".to_owned())), "guest"),
        (Err(Refusal::new(RefusalKind::NotAuthorized, "no strangers")), "NotAuthorized"),
    ] {
        let claim = Claim::Mechanism { name: "ANONYMOUS".into(), initial: Some(b"trace"[..].into()) };
        assert_eq!(come(claim, said.clone()), (expected.to_owned(), 1));
        assert_eq!(come(Claim::Nothing, said), (expected.to_owned(), 1));
    }
}

/// The numbers of RFC 7677, section 3.
#[test]
fn scram_keys_are_those_of_the_standard() {
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let keys = ScramKeys::new(Hash::Sha256, b"pencil", &salt, 4096);
    let said = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let signature = Hash::Sha256.mac(&keys.server, &[said.as_bytes()]);
    assert_eq!(BASE64_STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(ScramKeys::from_text(&keys.to_text()), Some(keys));
}

/// A09 and its like: what is no message of the mechanism is a refusal, and nothing else.
#[test]
fn exchanges_that_make_no_sense_are_refused() {
    let identity = Rig::new().open();
    let begin =
        |mechanism: &str, initial: &[u8]| Claim::Mechanism { name: mechanism.into(), initial: Some(initial.into()) };
    for (mechanism, initial, expected) in [
        ("NONE", &b"x"[..], "NotSupported"),
        ("EXTERNAL", b"", "NotSupported"),
        ("ANONYMOUS", b"me", "NotSupported"),
        ("PLAIN", b"\0ann\0secret", "ann"),
        ("PLAIN", b"ann\0ann\0secret", "ann"),
        ("PLAIN", b"bob\0ann\0secret", "BadCredentials"),
        ("PLAIN", b"ann secret", "BadCredentials"),
        ("PLAIN", b"\0\0secret", "BadCredentials"),
        ("PLAIN", b"\0ann\0", "BadCredentials"),
        ("PLAIN", b"\0ann\0secret\0", "BadCredentials"),
        ("PLAIN", b"\0\xff\0secret", "BadCredentials"),
        ("PLAIN", &[0; 65_536], "BadCredentials"),
        ("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01", "BadCredentials"),
        ("OAUTHBEARER", b"", "BadCredentials"),
        ("SCRAM-SHA-256", b"", "BadCredentials"),
        ("SCRAM-SHA-256", b"p=tls-unique,,n=ann,r=abc", "BadCredentials"),
        ("SCRAM-SHA-256", b"n,a=bob,n=ann,r=abc", "BadCredentials"),
        ("SCRAM-SHA-256", b"n,,m=x,n=ann,r=abc", "BadCredentials"),
        ("SCRAM-SHA-256", b"n,,n=ann,r=", "BadCredentials"),
        ("SCRAM-SHA-256", b"n,,n=a=nn,r=abc", "BadCredentials"),
        ("SCRAM-SHA-256", b"n,,n=\xff,r=abc", "BadCredentials"),
    ] {
        let shown = String::from_utf8_lossy(&initial[..initial.len().min(40)]);
        assert_eq!(ask(&identity, "closed", begin(mechanism, initial)), expected, "{mechanism} {shown}");
    }
    // Without a first message it is asked for, and a second answer where one is expected ends it.
    let mut inquiry =
        Inquiry::new(&identity, circumstances("closed", ""), Claim::Mechanism { name: "PLAIN".into(), initial: None });
    assert!(matches!(drive(&mut inquiry), Progress::Challenge(data) if data.is_empty()));
    inquiry.respond(b"\0ann\0secret");
    inquiry.respond(b"\0ann\0secret");
    assert_eq!(outcome(drive(&mut inquiry)), "BadCredentials");
}

#[test]
fn mechanisms_are_offered_where_they_can_succeed() {
    let mut rig = Rig::new();
    let scram = ["SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN"];
    assert_eq!(rig.open().mechanisms(&circumstances("closed", "127.0.0.1:5")), scram);
    assert_eq!(rig.open().mechanisms(&circumstances("open", "127.0.0.1:5")), [&scram[..], &["ANONYMOUS"]].concat());
    (rig.settings.password_file, rig.settings.tokens) = (None, None);
    assert_eq!(rig.open().mechanisms(&circumstances("open", "127.0.0.1:5")), ["PLAIN", "ANONYMOUS"]);
}

/// S13: what was withdrawn ends the connections that came in by it, and no others.
#[test]
fn a_reload_ends_the_connections_of_those_who_are_gone() {
    let rig = Rig::new();
    let identity = rig.open();
    let (closed, ended) = mpsc::channel();
    let mut logins = Vec::new();
    let claims = [
        ("ann", password("ann", b"secret")),
        ("bob", password("bob", b"secret")),
        ("cleo", password("", &token(good_claims()))),
    ];
    for (name, claim) in claims {
        let Progress::Admitted(who) = drive(&mut Inquiry::new(&identity, circumstances("closed", ""), claim)) else {
            panic!("{name}")
        };
        let closed = closed.clone();
        logins.push(identity.admit(&who, false, Box::new(move |why| closed.send((name, why)).unwrap())).unwrap());
    }
    assert_eq!(identity.reload(rig.settings.clone()).unwrap(), 0);
    rig.users(&[("bob", "secret")]);
    // Bob's line is another one, since its salt is.
    assert_eq!(identity.reload(rig.settings.clone()).unwrap(), 2);
    let mut gone: Vec<_> = ended.try_iter().collect();
    gone.sort_by_key(|(name, _)| *name);
    assert_eq!(gone, [("ann", Withdrawn::Revoked), ("bob", Withdrawn::Revoked)]);
    identity.tick(NOW);
    identity.tick(Time(NOW.0 + 59_999));
    assert!(ended.try_recv().is_err());
    identity.tick(Time(NOW.0 + 60_000));
    assert_eq!(ended.try_recv().unwrap(), ("cleo", Withdrawn::Expired));
    drop(logins);
    std::fs::write(rig.path("users"), "nonsense").unwrap();
    assert!(identity.reload(rig.settings.clone()).is_err());
    assert_eq!(ask(&identity, "closed", password("bob", b"secret")), "bob", "the old users stay");
}

/// S13: a way that is closed ends the connections that came in by it, and no others; one that is opened ends none.
#[test]
fn a_reload_that_closes_a_way_ends_who_came_in_by_it() {
    type Change = fn(&mut Settings);
    fn jwt(settings: &mut Settings) -> &mut TokenSettings {
        settings.tokens.as_mut().unwrap()
    }
    let rows: [(Change, &[&str]); 15] = [
        (|_| (), &[]),
        (|settings| settings.anonymous = [("open".into(), Anonymous::Never)].into(), &["far", "stranger"]),
        (|settings| settings.anonymous = [("open".into(), Anonymous::Loopback)].into(), &["far"]),
        (|settings| settings.order.retain(|way| *way != Method::Password), &["ann", "bob"]),
        (|settings| settings.order.retain(|way| *way != Method::Jwt), &["cleo"]),
        (|settings| settings.order.retain(|way| *way != Method::Certificate), &["meter-7"]),
        (|settings| settings.order.retain(|way| *way != Method::Module), &["modest"]),
        (|settings| jwt(settings).audience = "others".into(), &["cleo"]),
        (|settings| jwt(settings).issuer = "them".into(), &["cleo"]),
        (|settings| (jwt(settings).issuer, jwt(settings).audience) = Default::default(), &[]),
        (|settings| settings.tokens = None, &["cleo"]),
        (|settings| settings.order.reverse(), &[]),
        // The same proof, and another name.
        (|settings| settings.default_user = Some("guest".into()), &["far", "stranger"]),
        (|settings| jwt(settings).name_claim = "email".into(), &["cleo"]),
        (|settings| settings.certificate_name = NameSource::Subject, &["meter-7"]),
    ];
    for (at, (change, expected)) in rows.into_iter().enumerate() {
        let mut rig = Rig::new();
        rig.settings.anonymous.insert("open".into(), Anonymous::Always);
        let identity = rig.open();
        let (closed, ended) = mpsc::channel();
        let mut logins = Vec::new();
        let mut enter = |name: &'static str, who: &Identified| {
            let closed = closed.clone();
            logins.push(identity.admit(who, false, Box::new(move |why| closed.send((name, why)).unwrap())).unwrap());
        };
        let token = password("", &token(good_claims()));
        for (name, listener, peer, claim) in [
            ("stranger", "open", "127.0.0.1:5", Claim::Nothing),
            ("far", "open", "192.0.2.1:5", Claim::Nothing),
            ("ann", "closed", "127.0.0.1:5", password("ann", b"secret")),
            ("bob", "closed", "127.0.0.1:5", password("bob", b"secret")),
            ("cleo", "closed", "127.0.0.1:5", token),
            ("meter-7", "closed", "127.0.0.1:5", Claim::Nothing),
        ] {
            let own = (name == "meter-7").then(|| shown(&certificate(name, 1)));
            let from = Circumstances { certificate: own, ..circumstances(listener, peer) };
            let Progress::Admitted(who) = drive(&mut Inquiry::new(&identity, from, claim)) else { panic!("{name}") };
            enter(name, &who);
        }
        enter("modest", &by_module(Some("modest")));
        change(&mut rig.settings);
        assert_eq!(identity.reload(rig.settings.clone()).unwrap(), expected.len(), "change {at}");
        let mut gone: Vec<_> = ended.try_iter().map(|(name, _)| name).collect();
        gone.sort_unstable();
        assert_eq!(gone, expected, "change {at}");
        assert_eq!(identity.reload(rig.settings.clone()).unwrap(), 0, "once, however long they take to go");
    }
}

#[test]
fn connections_of_one_identity_are_counted() {
    let rig = Rig::new();
    let limits = Limits { connections_per_identity_max: 2, ..Limits::default() };
    let identity = Identity::open(rig.settings.clone(), limits, Arc::default()).unwrap();
    let enter = |name| identity.admit(&by_module(name), false, Box::new(|_| {}));
    let (_first, second) = (enter(Some("ann")).unwrap(), enter(Some("ann")).unwrap());
    assert_eq!(enter(Some("ann")).err().map(|refusal| refusal.kind), Some(RefusalKind::QuotaExceeded));
    let strangers = [enter(None), enter(None), enter(None)];
    assert!(strangers.iter().all(Result::is_ok) && enter(Some("bob")).is_ok());
    drop(second);
    assert!(enter(Some("ann")).is_ok());
}

#[test]
fn the_file_of_users_is_its_owners_alone_and_replaced_as_a_whole() {
    let rig = Rig::new();
    let path = rig.path("users");
    rig.users(&[("zoe", "secret")]);
    assert_eq!(PasswordFile::read(&path).unwrap().names().map(|(name, _)| name).collect::<Vec<_>>(), ["zoe"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(rig.folder.path()).unwrap().count(), 2);
}
