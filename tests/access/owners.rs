//! Whose a mailbox is, and as whom modules see who has it: clients of other listeners, receivers that share, links and queues.

use crate::amqp::link::{Terms, source_with};
use crate::amqp::peer::Peer;
use crate::amqp::raw::{ACCEPTED, close, detach, disposition, flow, source};
use crate::amqp::value::Value;
use crate::harness::{Broker, Client, V5, connect};
use host::config::Config;
use serde_json::{Value as Json, json};

const NOT_AUTHORIZED: &str = "amqp:unauthorized-access";

/// Gives a bundled module this configuration.
fn configure(config: &mut Config, name: &str, its: &Json) {
    let module = config.modules.iter_mut().find(|module| module.name == name).expect("it is bundled");
    (module.enabled, module.config) = (true, its.clone());
}

/// A broker with a second listener of each protocol: `mqtt-two` and `amqp-two`.
fn start(module: &'static str, its: Json) -> Option<Broker> {
    Broker::start_with(move |config| {
        config.wasm.call_milliseconds_max = 1000;
        for name in ["mqtt", "amqp"] {
            let mut listener = config.listeners.iter().find(|one| one.name == name).expect("it is there").clone();
            listener.name = format!("{name}-two");
            config.listeners.push(listener);
        }
        configure(config, module, &its);
    })
}

/// Two tenants, told apart by where they come in.
fn tenants() -> Option<Broker> {
    let mount = |prefix: &str, listener: &str| json!({ "prefix": prefix, "listener": listener });
    let mounts = [mount("1/", "mqtt"), mount("1/", "amqp"), mount("2/", "mqtt-two"), mount("2/", "amqp-two")];
    start("topic-rules", json!({ "mounts": mounts }))
}

/// Clients of two listeners under rules of the access list.
fn under(rules: &[Json]) -> Option<Broker> {
    start("access-list", json!({ "rules": rules }))
}

fn everything() -> Json {
    json!({ "allow": ["publish", "subscribe"], "topics": ["#", "$management", "/queues/#", "/temporary/#"] })
}

fn admin_says(broker: &Broker, topic: &str, payload: &str) {
    let message = json!({ "topic": topic, "payload": payload, "qos": 1 });
    broker.admin().post("/api/v1/publish", &message).expect(200);
}

/// A subscription that all containers share while it has receivers, or also when it has none.
fn shared(address: &str, stays: bool) -> Terms<'static> {
    let (durable, policy) = if stays { (2, "never") } else { (0, "link-detach") };
    Terms { node: Some(source_with(address, durable, policy, None, &["shared", "global"])), ..Terms::default() }
}

fn kept(address: &str) -> Terms<'static> {
    Terms { node: Some(source_with(address, 2, "never", None, &[])), ..Terms::default() }
}

fn from(address: &str) -> Terms<'static> {
    Terms { node: Some(source(address)), ..Terms::default() }
}

/// Attaches, and says whether there is a source in the answer: what is refused has none (2.6.3).
fn comes_in(peer: &mut Peer, name: &str, terms: &Terms<'_>) -> bool {
    let answer = peer.receiver(name, 0, terms);
    let is_in = *answer.field(5) != Value::Null;
    if !is_in {
        assert_eq!(peer.refusal(), NOT_AUTHORIZED);
    }
    is_in
}

fn take(peer: &mut Peer) -> String {
    let got = peer.delivery();
    peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
    got.text()
}

fn leave(mut peer: Peer) {
    peer.send(&[detach(0, false), close()].concat());
    peer.find(0x18);
}

/// Asked alone it is refused: so it is where another one has the subscription open already.
#[test]
fn who_joins_a_shared_subscription_is_asked_about_for_itself() {
    for stays in [false, true] {
        let secret = json!({ "allow": ["publish", "subscribe"], "listener": "amqp", "topics": ["secret/#"] });
        let Some(broker) = under(&[secret]) else { return };
        let mut outside = Peer::of(broker.at("amqp-two"), "outside");
        assert!(!comes_in(&mut outside, "team", &shared("secret/#", stays)), "alone");
        let mut inside = Peer::of(broker.at("amqp"), "inside");
        assert!(comes_in(&mut inside, "team", &shared("secret/#", stays)));
        let mut outside = Peer::of(broker.at("amqp-two"), "outside");
        assert!(!comes_in(&mut outside, "team", &shared("secret/#", stays)), "beside one who may");
        let mut outside = Peer::of(broker.at("amqp-two"), "outside");
        let found = Terms { desired: &["shared", "global"], ..Terms::default() };
        assert!(!stays || !comes_in(&mut outside, "team", &found), "without a source");
    }
}

/// Each copy goes to one of those that may have it, as with shared subscriptions of MQTT.
#[test]
fn a_receiver_of_a_shared_subscription_is_passed_over_where_it_may_not_receive() {
    let deny = json!({ "deny": ["receive"], "clients": ["low"], "topics": ["t/secret"] });
    let Some(broker) = under(&[deny, everything()]) else { return };
    let (mut low, mut high) = (Peer::of(broker.at("amqp"), "low"), Peer::of(broker.at("amqp-two"), "high"));
    assert!(comes_in(&mut low, "team", &shared("t/#", true)));
    assert!(comes_in(&mut high, "team", &shared("t/#", true)));
    let mut publisher = connect(V5).at(broker.address()).open();
    for _ in 0..4 {
        publisher.say("t/secret", "secret", 1);
    }
    for _ in 0..4 {
        assert_eq!(take(&mut high), "secret");
    }
    assert!(low.is_drained(0, 0));
    // When it is alone nothing of that is for anybody; what it may have it gets.
    leave(high);
    publisher.say("t/secret", "nobody's", 1);
    publisher.say("t/open", "open", 1);
    // Draining took its credit.
    low.send(&flow(0, 2048, Some((0, 100, 100, false, false))));
    assert_eq!(take(&mut low), "open");
}

#[test]
fn tenants_do_not_share_a_subscription_by_its_name() {
    for stays in [false, true] {
        let Some(broker) = tenants() else { return };
        let mut one = Peer::of(broker.at("amqp"), "c1");
        assert!(comes_in(&mut one, "team", &shared("#", stays)));
        let mut two = Peer::of(broker.at("amqp-two"), "c2");
        assert!(!comes_in(&mut two, "team", &shared("#", stays)));
        admin_says(&broker, "1/a", "of one");
        assert_eq!(take(&mut one), "of one");
        leave(one);
        let mut two = Peer::of(broker.at("amqp-two"), "c2");
        assert_eq!(comes_in(&mut two, "team", &shared("#", stays)), !stays, "while it is kept");
    }
}

/// Listeners under which names mean the same keep nobody apart.
#[test]
fn receivers_of_two_listeners_share_a_subscription_where_their_names_mean_the_same() {
    let Some(broker) = under(&[everything()]) else { return };
    let mut one = Peer::of(broker.at("amqp"), "c1");
    let mut two = Peer::of(broker.at("amqp-two"), "c2");
    assert!(comes_in(&mut one, "team", &shared("t/#", true)));
    assert!(comes_in(&mut two, "team", &shared("t/#", true)));
    leave(one);
    admin_says(&broker, "t/a", "for who is left");
    assert_eq!(take(&mut two), "for who is left");
}

/// As that of another identity: what it holds has names that are not this client's (MQTT 5.0, table 3-1).
#[test]
fn a_session_is_not_taken_where_its_names_mean_something_else() {
    let Some(broker) = tenants() else { return };
    let of = |listener: &str| connect(V5).at(broker.at(listener)).id("dev1").kept();
    let mut one = of("mqtt").open();
    one.subscribe("#", 1);
    one.disconnect();
    admin_says(&broker, "1/a", "of one");
    of("mqtt-two").clean(false).refused(0x87);
    of("mqtt-two").clean(true).refused(0x87);
    let mut one = of("mqtt").resume();
    one.expect("a", "of one", 1);
    // While it is there, too.
    of("mqtt-two").clean(false).refused(0x87);
    admin_says(&broker, "1/b", "live");
    one.expect("b", "live", 1);
}

#[test]
fn a_session_goes_with_its_client_to_another_listener_where_names_mean_the_same() {
    let Some(broker) = under(&[everything()]) else { return };
    let of = |listener: &str| connect(V5).at(broker.at(listener)).id("dev1").kept();
    let mut one = of("mqtt").open();
    one.subscribe("t/#", 1);
    one.disconnect();
    admin_says(&broker, "t/a", "queued");
    of("mqtt-two").resume().expect("t/a", "queued", 1);
}

/// The same of a subscription of AMQP that is kept under the name of its link.
#[test]
fn a_kept_subscription_is_not_taken_where_its_names_mean_something_else() {
    let Some(broker) = tenants() else { return };
    let mut one = Peer::of(broker.at("amqp"), "box");
    assert!(comes_in(&mut one, "sub", &kept("#")));
    leave(one);
    admin_says(&broker, "1/a", "of one");
    for terms in [kept("#"), Terms::default()] {
        let mut two = Peer::of(broker.at("amqp-two"), "box");
        assert!(!comes_in(&mut two, "sub", &terms));
    }
    let mut one = Peer::of(broker.at("amqp"), "box");
    assert!(comes_in(&mut one, "sub", &kept("#")));
    assert_eq!(take(&mut one), "of one");
}

/// `client.id` of the contract is the container id, whichever link it is about.
#[test]
fn rules_name_an_amqp_client_by_its_container_id() {
    let deny = json!({ "deny": ["subscribe", "receive"], "clients": ["box1"], "topics": ["secret/#", "/queues/pay"] });
    let own = json!({ "allow": ["subscribe"], "topics": ["devices/%c/#", "secret/#", "/queues/#"] });
    let Some(broker) = under(&[deny, own]) else { return };
    let comes =
        |container: &str, terms: Terms<'_>| comes_in(&mut Peer::of(broker.at("amqp"), container), "link", &terms);
    for terms in [from, kept] {
        assert!(!comes("box1", terms("secret/#")));
        assert!(comes("dev7", terms("devices/dev7/#")));
        assert!(!comes("dev7", terms("devices/dev8/#")));
        // No rule takes a container for another one.
        assert!(!comes("a/b", terms("devices/a%2Fb/#")));
    }
    assert!(!comes("box1", from("/queues/pay")));
    assert!(comes("dev7", from("/queues/pay")));
    assert!(!comes("box1", shared("secret/#", false)));
}

/// What is kept is asked about under the same id after a restart, before its receiver is back.
#[test]
fn a_kept_subscription_is_asked_about_under_the_container_id_after_a_restart() {
    let own = json!({ "allow": ["publish", "subscribe"], "topics": ["devices/%c/#"] });
    let Some(broker) = under(&[own]) else { return };
    for (container, terms) in [("a/b", kept("devices/a/#")), ("dev7", kept("devices/dev7/#"))] {
        let mut peer = Peer::of(broker.at("amqp"), container);
        let is_in = comes_in(&mut peer, "sub", &terms);
        assert_eq!(is_in, container == "dev7");
        if is_in {
            leave(peer);
        }
    }
    let mut peer = Peer::of(broker.at("amqp"), "dev7");
    assert!(comes_in(&mut peer, "team", &shared("devices/dev7/#", true)));
    leave(peer);
    let broker = broker.restart();
    admin_says(&broker, "devices/dev7/a", "kept");
    for (name, terms) in [("sub", kept("devices/dev7/#")), ("team", shared("devices/dev7/#", true))] {
        let mut peer = Peer::of(broker.at("amqp"), "dev7");
        assert!(comes_in(&mut peer, name, &terms));
        assert_eq!(take(&mut peer), "kept");
    }
}

/// The name of a link that is kept is not that of another one's mailbox.
#[test]
fn no_link_has_the_mailbox_of_another_one_by_its_name() {
    let Some(broker) = under(&[everything()]) else { return };
    let mut volatile = Peer::of(broker.at("amqp"), "box");
    assert!(comes_in(&mut volatile, "l2", &from("t/#")));
    let mut names: Vec<String> = (1..100).map(|number| format!("{number}/l2")).collect();
    names.push("l2".to_owned());
    let mut other = Peer::of(broker.at("amqp"), "box");
    for (handle, name) in (0..).zip(&names) {
        other.link(name, handle, true, &kept("t/#"));
    }
    admin_says(&broker, "t/a", "live");
    assert_eq!(take(&mut volatile), "live");
}

/// A retained message that a client left under the name that services use for theirs.
#[test]
fn a_retained_message_is_asked_about_whatever_its_topic() {
    let deny = json!({ "deny": ["receive"], "clients": ["low"], "topics": ["$mqtt.private"] });
    let all = json!({ "allow": ["publish", "subscribe"], "topics": ["#", "$mqtt.private"] });
    let Some(broker) = under(&[deny, all]) else { return };
    let open = |id: &str| -> Client { connect(V5).at(broker.address()).id(id).open() };
    let message = json!({ "topic": "$mqtt.private", "payload": "mine", "qos": 1, "retain": true });
    broker.admin().post("/api/v1/publish", &message).expect(200);
    let mut high = open("high");
    high.subscribe("$mqtt.private", 1);
    high.expect("$mqtt.private", "mine", 1);
    let mut low = open("low");
    low.subscribe("$mqtt.private", 1);
    low.expect_nothing();
}
