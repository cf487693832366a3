//! JSON web tokens in place of passwords.

use super::rig::Rig;
use crate::harness::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &str = "c2VjcmV0cyBvZiBhdCBsZWFzdCB0aGlydHktdHdvIGJ5dGVzLCBzbyBsb25n";

fn token(claims: &Json) -> String {
    let key = EncodingKey::from_base64_secret(SECRET).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn in_seconds(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

fn start() -> Option<Rig> {
    Rig::start_with(None, |config| {
        let file = config.data_dir.join("jwks.json");
        std::fs::write(&file, json!({ "keys": [{ "kty": "oct", "k": SECRET }] }).to_string()).unwrap();
        (config.auth.jwt.keys_file, config.auth.jwt.issuer) = (file, "us".to_owned());
    })
}

#[test]
fn a_token_is_a_name_and_its_end_is_the_connections_end() {
    let Some(rig) = start() else { return };
    let with = |claims: &Json| connect(V5).at(rig.address()).id("meter").user("any").password(token(claims).as_bytes());
    let claims = |end: u64| json!({ "sub": "meter-7", "iss": "us", "exp": end });
    let mut client = with(&claims(in_seconds(3600))).open();
    client.ping();
    assert_eq!(rig.admin().get("/api/v1/clients/meter").expect(200).json()["identity"], "meter-7");
    client.disconnect();
    with(&claims(in_seconds(0))).refused(0x86);
    with(&json!({ "sub": "meter-7", "iss": "them", "exp": in_seconds(60) })).refused(0x86);
    // The broker's clock is read at its start and the token counts in whole seconds: two are enough to come in.
    let mut brief = with(&claims(in_seconds(2))).open();
    brief.expect_disconnect(0x87);
    // Passwords are still passwords.
    rig.open(V311, "ann").ping();
}
