//! Messages from one AMQP client to another.

use super::{Client, address, run};
use crate::harness::unique;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{ApplicationProperties, Body, Data, Message, Properties, Source};
use fe2o3_amqp::types::primitives::{Binary, Value};
use fe2o3_amqp::{Delivery, Receiver, Sender};

#[test]
fn every_way_to_settle_delivers() {
    let Some(address) = address() else { return };
    for sends in [SenderSettleMode::Unsettled, SenderSettleMode::Settled, SenderSettleMode::Mixed] {
        for receives in [ReceiverSettleMode::First, ReceiverSettleMode::Second] {
            run(async {
                let mut client = Client::connect(address).await;
                let node = unique("settles");
                let mut receiver = Receiver::builder()
                    .name("in")
                    .source(&node[..])
                    .sender_settle_mode(sends.clone())
                    .receiver_settle_mode(receives.clone())
                    .attach(&mut client.session)
                    .await
                    .expect("a receiver");
                let mut sender = Sender::builder()
                    .name("out")
                    .target(&node[..])
                    .sender_settle_mode(sends.clone())
                    .receiver_settle_mode(receives.clone())
                    .attach(&mut client.session)
                    .await
                    .expect("a sender");
                for number in 0..20 {
                    sender.send(format!("message {number}")).await.expect("it is taken");
                    let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
                    assert_eq!(*delivery.body(), format!("message {number}"));
                    receiver.accept(&delivery).await.expect("it is settled");
                }
                sender.close().await.expect("the sender closes");
                receiver.close().await.expect("the receiver closes");
                client.close().await;
            });
        }
    }
}

#[test]
fn a_long_message_is_one_message() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = unique("long");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let payload: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8).collect();
        let message = Message::builder().data(Binary::from(payload.clone())).build();
        let sending = tokio::task::spawn_local(async move {
            sender.send(message).await.expect("it is taken");
            sender
        });
        let delivery: Delivery<Body<Value>> = receiver.recv().await.expect("it comes");
        receiver.accept(&delivery).await.expect("it is settled");
        let Body::Data(data) = delivery.body() else { panic!("another body") };
        let got: Vec<u8> = data.iter().flat_map(|Data(bytes)| bytes.to_vec()).collect();
        assert!(got == payload);
        sending.await.expect("the sender ends").close().await.expect("it closes");
        client.close().await;
    });
}

#[test]
fn a_message_comes_as_it_was_sent() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = unique("same");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let properties = Properties::builder().message_id(77u64).subject("about").reply_to("there").build();
        let application = ApplicationProperties::builder().insert("colour", "red").insert("size", 7i32).build();
        let message = Message::builder()
            .properties(properties.clone())
            .application_properties(application.clone())
            .value(Value::List(vec![Value::Uint(1), Value::Null, Value::String("x".into())]))
            .build();
        sender.send(message).await.expect("it is taken");
        let delivery: Delivery<Value> = receiver.recv().await.expect("it comes");
        assert_eq!(delivery.message().properties, Some(properties));
        assert_eq!(delivery.message().application_properties, Some(application));
        assert!(matches!(delivery.body(), Value::List(list) if list.len() == 3));
        receiver.accept(&delivery).await.expect("it is settled");
        client.close().await;
    });
}

#[test]
fn credit_is_kept_and_a_drain_is_answered() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = format!("/queues/{}", unique("credit"));
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        for number in 0..5u32 {
            sender.send(number).await.expect("it is taken");
        }
        let mut receiver = Receiver::builder()
            .name("in")
            .source(&node[..])
            .credit_mode(CreditMode::Manual)
            .attach(&mut client.session)
            .await
            .expect("a receiver");
        receiver.set_credit(2).await.expect("credit");
        for expected in 0..2u32 {
            let delivery: Delivery<u32> = receiver.recv().await.expect("it comes");
            assert_eq!(*delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        receiver.set_credit(100).await.expect("credit");
        for expected in 2..5u32 {
            let delivery: Delivery<u32> = receiver.recv().await.expect("it comes");
            assert_eq!(*delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        receiver.drain().await.expect("it is drained");
        receiver.close().await.expect("it closes");
        client.close().await;
    });
}

#[test]
fn an_answer_finds_its_way_to_a_dynamic_node() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = unique("ask");
        let mut requests = Receiver::attach(&mut client.session, "requests", &node[..]).await.expect("a receiver");
        let mut answers = Receiver::builder()
            .name("answers")
            .source(Source::builder().dynamic(true).build())
            .attach(&mut client.session)
            .await
            .expect("a dynamic node");
        let reply_to = answers.source().as_ref().and_then(|source| source.address.clone()).expect("an address");
        let mut ask = Sender::attach(&mut client.session, "ask", &node[..]).await.expect("a sender");
        let question = Message::builder()
            .properties(Properties::builder().reply_to(reply_to).correlation_id(5u64).build())
            .value("what?".to_owned())
            .build();
        ask.send(question).await.expect("it is taken");
        let delivery: Delivery<String> = requests.recv().await.expect("the question comes");
        requests.accept(&delivery).await.expect("it is settled");
        let properties = delivery.message().properties.clone().expect("properties");
        let mut relay = Sender::builder()
            .name("relay")
            .target(fe2o3_amqp::types::messaging::Target::default())
            .attach(&mut client.session)
            .await
            .expect("an anonymous terminus");
        let answer = Message::builder()
            .properties(
                Properties::builder()
                    .to(properties.reply_to.expect("reply-to"))
                    .correlation_id(properties.correlation_id.expect("correlation-id"))
                    .build(),
            )
            .value("that".to_owned())
            .build();
        relay.send(answer).await.expect("it is taken");
        let delivery: Delivery<String> = answers.recv().await.expect("the answer comes");
        assert_eq!(delivery.body(), "that");
        client.close().await;
    });
}
