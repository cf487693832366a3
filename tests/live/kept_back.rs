//! What was acknowledged stays where it is while a module fails on its way out, and comes when the module works again or is gone.

use crate::harness::{Admin, Broker, Client, Publish, V5, connect, guests};

const BESIDE: &str = "/api/v1/modules/beside?config=%7B%22filters%22:%5B%22seen/%23%22%5D%7D";

/// A session that is away, with these messages in its queue.
fn away(broker: &Broker, messages: &[(&str, u8)]) -> Client {
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("seen/#", 2);
    kept.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    for (payload, qos) in messages {
        publisher.say("seen/x", payload, *qos);
    }
    publisher
}

fn queued(admin: &Admin) -> u64 {
    admin.get("/api/v1/clients/kept").expect(200).json()["queued"].as_u64().expect("a number")
}

/// [MQTT-4.6.0-6]: nor is anything overtaken.
#[test]
fn what_a_delivery_module_fails_on_waits_with_all_behind_it() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut publisher = away(&broker, &[("trap", 1), ("as it is", 2)]);
    admin.deploy(&format!("{BESIDE}&on_failure=refuse"), &guests::component("beside")).expect(200);
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    publisher.say("seen/x", "later", 1);
    kept.expect_nothing();
    assert_eq!(queued(&admin), 3);
    admin.delete("/api/v1/modules/beside").expect(200);
    for (payload, qos) in [("trap", 1), ("as it is", 2), ("later", 1)] {
        kept.expect("seen/x", payload, qos);
    }
}

/// Nobody was promised what is at-most-once, and `discard` is the word of the operator.
#[test]
fn what_was_not_promised_or_is_to_be_discarded_holds_nobody_up() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    for (policy, qos) in [("refuse", 0), ("discard", 1)] {
        let mut kept = connect(V5).at(broker.address()).open();
        kept.subscribe("seen/#", 1);
        admin.deploy(&format!("{BESIDE}&on_failure={policy}"), &guests::component("beside")).expect(200);
        let mut publisher = connect(V5).at(broker.address()).open();
        publisher.publish(&Publish::new("seen/x", "trap", qos));
        publisher.say("seen/x", "as it is", 1);
        kept.expect("seen/x", "as it is", 1);
        admin.delete("/api/v1/modules/beside").expect(200);
    }
}

/// An access module that fails lets nobody have anything, and takes nothing from anybody: neither what was queued before, nor
/// what is published meanwhile.
#[test]
fn what_an_access_module_cannot_judge_waits() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().open();
    kept.subscribe("open/#", 1);
    kept.disconnect();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("open/unread", "one", 1);
    admin.deploy("/api/v1/modules/guards", &guests::component("guards")).expect(200);
    publisher.say("open/unread", "two", 1);
    let mut kept = connect(V5).at(broker.address()).id("kept").kept().resume();
    publisher.say("open/unread", "three", 1);
    publisher.say("open/a", "four", 1);
    kept.expect_nothing();
    admin.delete("/api/v1/modules/guards").expect(200);
    for (topic, payload) in
        [("open/unread", "one"), ("open/unread", "two"), ("open/unread", "three"), ("open/a", "four")]
    {
        kept.expect(topic, payload, 1);
    }
}
