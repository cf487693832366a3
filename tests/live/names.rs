//! Topic mapping as AMQP clients see it.

use crate::harness::{Broker, Publish, V5, connect, guests};
use fe2o3_amqp::types::messaging::{Body, Message, Properties};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

/// A receiver is shown its own name for a topic, and never the mount point behind it; what another AMQP client sent stays as it was
/// sent.
#[test]
fn amqp_receivers_are_shown_their_own_names() {
    let Some(broker) = Broker::start() else { return };
    let renames = "/api/v1/modules/renames?config=%7B%22prefix%22:%22tenant/ann/%22%7D";
    broker.admin().deploy(renames, &guests::component("renames")).expect(200);
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.publish(&Publish { retain: true, ..Publish::new("door", "kept", 1) });
    let work = async {
        let url = format!("amqp://{}", broker.at("amqp"));
        let mut connection = Connection::open("r", &url[..]).await.expect("a connection");
        let mut session = Session::begin(&mut connection).await.expect("a session");
        let mut receiver = Receiver::attach(&mut session, "r", "door").await.expect("a link");
        let mut sender = Sender::attach(&mut session, "s", "door").await.expect("a link");
        for (payload, to) in [("kept", "door"), ("live", "door"), ("other", "tenant/ann/door")] {
            match payload {
                "live" => publisher.say("door", payload, 1),
                "other" => {
                    let properties = Properties { to: Some(to.into()), ..Properties::default() };
                    let message = Message::builder().properties(properties).value(payload.to_owned()).build();
                    sender.send(message).await.expect("an outcome");
                }
                _ => {}
            }
            let delivery = receiver.recv::<Body<Value>>().await.expect("a message");
            let properties = delivery.message().properties.as_ref().expect("properties");
            assert_eq!(properties.to.as_deref(), Some(to), "{payload}: {delivery:?}");
            receiver.accept(&delivery).await.expect("it may be accepted");
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("the broker answers") });
}
