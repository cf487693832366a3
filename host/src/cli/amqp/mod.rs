//! `pliant pub` and `pliant sub` over AMQP 1.0, and what `pliant bench` needs of it: a topic is an address, a quality of
//! service the way in which a message is settled (0: by the sender; 1: by the receiver, first; 2: where the CLI receives, by
//! the receiver second).

mod publish;
mod subscribe;

pub(super) use publish::publish;
pub(super) use subscribe::subscribe;

use super::Failure;
use super::connect::{AmqpLogin, ConnectArgs};
use crate::bridge::{self, dial};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::Outcome as Said;
use fe2o3_amqp::{Connection, Session};
use std::time::Duration;

/// How long the other side may take to hear a goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long coming in may take.
const OPENING: Duration = Duration::from_secs(30);

/// A connection with one session.
pub(super) struct Opened {
    connection: ConnectionHandle<()>,
    pub(super) session: SessionHandle<()>,
    container: String,
    session_expiry: u32,
}

impl Opened {
    pub(super) async fn open(args: &ConnectArgs) -> Result<Self, Failure> {
        let AmqpLogin { target, tls, login, container, idle, session_expiry } = args.amqp()?;
        let failed = |reason: String| Failure::Failed(format!("{}: {reason}", args.url()));
        let has_user = login.is_some();
        let profile = login.map_or(SaslProfile::Anonymous, SaslProfile::from);
        let opening = async {
            let stream = dial(&target, tls).await.map_err(failed)?;
            let builder = Connection::builder().container_id(container.clone()).hostname(target.host.as_str());
            let builder = builder.scheme("amqp").sasl_profile(profile).idle_time_out(idle);
            let opened = builder.open_with_stream(stream).await;
            let mut connection = opened.map_err(|error| failed(bridge::opening(&error, has_user)))?;
            let session = Session::begin(&mut connection).await.map_err(|error| failed(bridge::beginning(&error)))?;
            Ok(Self { connection, session, container, session_expiry })
        };
        let opened = tokio::time::timeout(OPENING, opening).await;
        opened.unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
    }

    pub(super) async fn close(mut self) {
        let said = async {
            let _ = self.session.end().await;
            let _ = self.connection.close().await;
        };
        // Nothing depends on it any more: whoever is slow here is not waited for.
        let _ = tokio::time::timeout(FAREWELL, said).await;
    }
}

/// Who settles first where the CLI sends. Never the sender after the receiver: the library answers only some of the
/// receiver's words then, and the link would run out of credit. Without resuming its links the CLI has no use for that.
pub(super) const PUBLISHING: ReceiverSettleMode = ReceiverSettleMode::First;

/// How messages of this quality of service are settled.
pub(super) fn settling(qos: u8) -> (SenderSettleMode, ReceiverSettleMode) {
    match qos {
        0 => (SenderSettleMode::Settled, ReceiverSettleMode::First),
        1 => (SenderSettleMode::Unsettled, ReceiverSettleMode::First),
        _ => (SenderSettleMode::Unsettled, ReceiverSettleMode::Second),
    }
}

/// Whether the broker has taken a message; an error says why it has not.
pub(super) fn taken(said: Said) -> Result<(), Failure> {
    match said {
        Said::Accepted(_) => Ok(()),
        Said::Rejected(why) => {
            let reason = why.error.and_then(|error| error.description).unwrap_or_default();
            Err(Failure::Failed(format!("the broker refused the message: {reason}")))
        }
        other => Err(Failure::Failed(format!("the broker did not take the message: {other:?}"))),
    }
}

/// Runs a command to its end.
fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(work)
}
