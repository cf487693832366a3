//! The SASL layer (5.3) as frames. What the mechanisms mean is for others to know.

use super::action::{Action, Authenticate, SaslOutcome};
use super::codec::read::{Descriptor, Reader};
use super::frame::{Frame, Kind};
use super::limits::Limits;
use super::performative::{Bad, decode, invalid, read_checked, write_rare};
use fe2o3_amqp_types::sasl::{self, SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslResponse};
use serde_amqp::primitives::Binary;
use serde_amqp::primitives::{Array, Symbol};

/// Says which mechanisms are on offer.
pub fn write_mechanisms(mechanisms: &[Symbol], out: &mut Vec<u8>) {
    let offer = SaslMechanisms { sasl_server_mechanisms: Array(mechanisms.to_vec()) };
    write_rare(Kind::Sasl, 0, &offer, out);
}

/// Asks for the next answer.
pub fn write_challenge(challenge: &[u8], out: &mut Vec<u8>) {
    write_rare(Kind::Sasl, 0, &SaslChallenge { challenge: Binary::from(challenge) }, out);
}

/// Ends the exchange.
pub fn write_outcome(outcome: SaslOutcome, additional: Option<&[u8]>, out: &mut Vec<u8>) {
    let code = match outcome {
        SaslOutcome::Ok => SaslCode::Ok,
        SaslOutcome::Auth => SaslCode::Auth,
        SaslOutcome::Temporary => SaslCode::SysTemp,
    };
    let outcome = sasl::SaslOutcome { code, additional_data: additional.map(Binary::from) };
    write_rare(Kind::Sasl, 0, &outcome, out);
}

/// Reads the first frame of an exchange: nothing but an init with a mechanism that is on offer.
pub fn read_init(frame: &Frame<'_>, mechanisms: &[Symbol], limits: &Limits) -> Result<Action<'static>, Bad> {
    expect(frame, 0x41, "amqp:sasl-init:list")?;
    let init: SaslInit = read_checked(frame.body, limits)?;
    if !mechanisms.contains(&init.mechanism) {
        return Err(invalid("the mechanism is not on offer"));
    }
    Ok(Action::Authenticate(Authenticate {
        mechanism: init.mechanism.0.into(),
        response: init.initial_response.map(Binary::into_vec),
        hostname: init.hostname.map(Into::into),
    }))
}

/// Reads any further frame of an exchange: nothing but a response.
pub fn read_response(frame: &Frame<'_>, limits: &Limits) -> Result<Action<'static>, Bad> {
    expect(frame, 0x43, "amqp:sasl-response:list")?;
    let response: SaslResponse = read_checked(frame.body, limits)?;
    Ok(Action::SaslResponse(response.response.into_vec()))
}

/// Whether a frame carries this and nothing else. What only a server may say never passes.
fn expect(frame: &Frame<'_>, code: u64, name: &str) -> Result<(), Bad> {
    if frame.kind != Kind::Sasl {
        return Err(invalid("an AMQP frame comes before authentication is done"));
    }
    let mut reader = Reader::new(frame.body);
    let value = reader.next().ok_or_else(|| decode("a SASL frame is cut short"))?;
    let (descriptor, _) = value.described().ok_or_else(|| decode("a SASL frame carries no described list"))?;
    let fits = match descriptor {
        Descriptor::Code(found) => found == code,
        Descriptor::Name(found) => found == name,
    };
    if fits { Ok(()) } else { Err(invalid("a SASL frame that a client does not send now")) }
}
