//! Transactions: what is posted and retired in one takes effect together, or not at all.

use super::{Client, address, own, run};
use crate::harness::unique;
use fe2o3_amqp::transaction::{
    Controller, Transaction, TransactionDischarge, TransactionPosting, TransactionRetirement,
};
use fe2o3_amqp::{Delivery, Receiver, Sender};

#[test]
fn what_is_posted_comes_when_it_is_committed_and_never_when_it_is_not() {
    let Some(address) = address() else { return };
    run(async {
        let mut client = Client::connect(address).await;
        let node = format!("/queues/{}", unique("posted"));
        let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let dropped = Transaction::declare(&controller, None).await.expect("a transaction");
        dropped.post(&mut sender, "never".to_owned()).await.expect("it is taken");
        dropped.rollback().await.expect("it is rolled back");
        let kept = Transaction::declare(&controller, None).await.expect("a transaction");
        for text in ["one", "two"] {
            kept.post(&mut sender, text.to_owned()).await.expect("it is taken");
        }
        // Comes first, since the others are not there yet.
        sender.send("zero".to_owned()).await.expect("it is taken");
        kept.commit().await.expect("it is committed");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        for expected in ["zero", "one", "two"] {
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            assert_eq!(delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        controller.close().await.expect("it closes");
        client.close().await;
    });
}

#[test]
fn what_is_retired_is_gone_only_when_that_is_committed() {
    let Some(address) = address() else { return };
    run(async {
        let node = format!("/queues/{}", unique("retired"));
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("twice".to_owned()).await.expect("it is taken");
        let mut first = Client::connect(address).await;
        let controller = Controller::attach(&mut first.session, "control").await.expect("a coordinator");
        let mut receiver = Receiver::attach(&mut first.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.accept(&mut receiver, &delivery).await.expect("it is retired");
        transaction.rollback().await.expect("it is rolled back");
        drop((receiver, controller));
        // A frame that meets the library's close on the way is a fault to it.
        let _ = first.connection.close().await;

        let mut second = Client::connect(address).await;
        let controller = Controller::attach(&mut second.session, "control").await.expect("a coordinator");
        let mut receiver = Receiver::attach(&mut second.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes again");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.accept(&mut receiver, &delivery).await.expect("it is retired");
        transaction.commit().await.expect("it is committed");
        drop((receiver, controller));
        let _ = second.connection.close().await;

        sender.send("last".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
        assert_eq!(delivery.body(), "last");
        client.close().await;
    });
}

#[test]
fn a_transaction_that_was_not_discharged_is_as_if_it_had_never_been() {
    let Some((broker, address)) = own() else { return };
    let node = format!("/queues/{}", unique("left"));
    run(async {
        let mut client = Client::connect(address).await;
        let controller = Controller::attach(&mut client.session, "control").await.expect("a coordinator");
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.post(&mut sender, "done".to_owned()).await.expect("it is taken");
        transaction.commit().await.expect("it is committed");
        let transaction = Transaction::declare(&controller, None).await.expect("a transaction");
        transaction.post(&mut sender, "never".to_owned()).await.expect("it is taken");
        std::mem::forget(transaction);
        let _ = client.connection.close().await;
    });
    let broker = broker.restart();
    let address = broker.at("amqp");
    run(async {
        let mut client = Client::connect(address).await;
        let mut sender = Sender::attach(&mut client.session, "out", &node[..]).await.expect("a sender");
        sender.send("last".to_owned()).await.expect("it is taken");
        let mut receiver = Receiver::attach(&mut client.session, "in", &node[..]).await.expect("a receiver");
        for expected in ["done", "last"] {
            let delivery: Delivery<String> = receiver.recv().await.expect("it comes");
            assert_eq!(delivery.body(), expected);
            receiver.accept(&delivery).await.expect("it is settled");
        }
        client.close().await;
    });
}
