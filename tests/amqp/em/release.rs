//! QoS 2 towards a client by AMQP_PUBLISH and AMQP_PUBREL: EM-22.

use super::client::{ACCEPTED, Client, Got, Post};
use super::publish_of;
use super::sessions::{subscribe, with_service};
use super::value::Value;
use crate::amqp::address;
use crate::harness::{V5, connect, unique};
use std::net::SocketAddr;

/// A session with a receiver, and the address for releases.
fn back(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::connect(address, id);
    client.sender("pubrel", &format!("$mqtt.{id}.pubrel"));
    client.receiver("in", &publish_of(id), 10);
    client
}

fn release(got: &Got) -> Post {
    let mut post = Post::about("pubrel");
    let Value::Number(id) = got.message_id() else { panic!("a number: {got:?}") };
    post = post.id(*id as u64);
    post
}

#[test]
fn em_22_the_path_of_a_release_is_cut_at_each_step() {
    let Some(address) = address() else { return };
    for step in 0..=4 {
        let (id, topic) = (unique("em22"), unique("em22"));
        let mut client = with_service(address, &id);
        subscribe(&mut client, &id, &[(&topic, 2)]);
        client.close();
        let mut publisher = connect(V5).open();
        publisher.say(&topic, "once", 2);
        let mut client = back(address, &id);
        let got = client.receive("in");
        assert_eq!((got.subject(), got.qos(), &got.payload[..]), ("", Some(2), &b"once"[..]));
        let about = got.message_id().clone();
        let is_release = |got: &Got| got.subject() == "pubrel" && *got.message_id() == about;
        // Before the release: the message comes again, said to be a duplicate, under the same id.
        if step == 0 {
            client.cut();
            client = back(address, &id);
            let again = client.receive("in");
            assert_eq!((&again.payload[..], again.delivery_count(), again.message_id()), (&b"once"[..], 1, &about));
            assert_eq!(client.send("pubrel", &release(&again)), ACCEPTED);
            client.settle(&again);
            let released = client.take("in");
            assert!(is_release(&released));
            client.expect_nothing();
            continue;
        }
        assert_eq!(client.send("pubrel", &release(&got)), ACCEPTED);
        if step == 1 {
            // The release is with the broker, and the message was not settled: only the release comes.
            client.cut();
            client = back(address, &id);
        } else {
            client.settle(&got);
        }
        let released = client.receive("in");
        assert!(is_release(&released), "{released:?}");
        match step {
            // The client did not see to it.
            2 => {
                client.settled_inbox();
                client.cut();
                client = back(address, &id);
                let again = client.take("in");
                assert!(is_release(&again), "{again:?}");
            }
            // It did, and heard nothing more.
            3 => {
                client.settle(&released);
                client.settled_inbox();
                client.cut();
                client = back(address, &id);
            }
            _ => client.settle(&released),
        }
        publisher.say(&topic, "next", 2);
        assert_eq!(client.take("in").payload, b"next");
        client.expect_nothing();
    }
}

/// 1.6, 22: as PUBREL is answered in MQTT, whether its message is known or not; by every type of id.
#[test]
fn a_release_of_an_unknown_message_comes_back() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("unknown"), unique("unknown"));
    let mut client = with_service(address, &id);
    subscribe(&mut client, &id, &[(&topic, 2)]);
    client.close();
    let mut client = back(address, &id);
    let ids: [(Vec<u8>, Value); 4] = [
        (crate::amqp::raw::ulong(4711), Value::Number(4711)),
        (crate::amqp::raw::string("text"), Value::Text("text".to_owned())),
        (crate::amqp::raw::binary(b"\x00\x01"), Value::Bytes(vec![0, 1])),
        ([&[0x98][..], &[7; 16]].concat(), Value::Uuid([7; 16])),
    ];
    for (encoded, value) in ids {
        let post = Post { message_id: Some(encoded), ..Post::about("pubrel") };
        assert_eq!(client.send("pubrel", &post), ACCEPTED);
        let got = client.take("in");
        assert_eq!((got.subject(), got.message_id()), ("pubrel", &value));
    }
    // Without a session there is nobody to tell, and nothing to complain about.
    let nobody = format!("{id}-nobody");
    client.sender("other", &format!("$mqtt.{nobody}.pubrel"));
    assert_eq!(client.send("other", &Post::about("pubrel").id(1)), ACCEPTED);
    client.expect_nothing();
}

/// The publisher's own id is the one that is released by; a client that goes over to MQTT sees nothing of releases.
#[test]
fn a_release_names_the_publisher_s_own_id_and_is_no_message_of_mqtt() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("own-id"), unique("own-id"));
    let mut client = with_service(address, &id);
    subscribe(&mut client, &id, &[(&topic, 2)]);
    client.sender("out", &topic);
    for number in [5, 6] {
        assert_eq!(client.send("out", &Post::of(b"mine").qos(2).durable(true).id(number)), ACCEPTED);
    }
    client.close();
    let mut client = back(address, &id);
    let first = client.receive("in");
    let _second = client.receive("in");
    assert_eq!(first.message_id(), &Value::Number(5));
    assert_eq!(client.send("pubrel", &release(&first)), ACCEPTED);
    client.settled_inbox();
    client.cut();
    let mut mqtt = connect(V5).id(&id).kept().resume();
    mqtt.expect(&topic, "mine", 2);
    mqtt.expect_nothing();
}
