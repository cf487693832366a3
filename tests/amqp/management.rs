//! `$management`: queues and bindings by request and reply; and exchanges.

use super::link::{Delivery, Terms};
use super::own;
use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use crate::harness::{Broker, V5, connect, unique};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Barrier;

/// A client with a link to `$management`, and one for its answers.
struct Manager {
    peer: Peer,
    reply_to: String,
    sent: u32,
}

impl Manager {
    fn new(address: SocketAddr) -> Self {
        Self::on(Peer::begun(address))
    }

    fn on(mut peer: Peer) -> Self {
        let dynamic = performative(0x28, &[NULL, NULL, NULL, NULL, TRUE]);
        let answer = peer.receiver("answers", 0, &Terms { node: Some(dynamic), settles: (1, 0), ..Terms::default() });
        let reply_to = answer.field(5).field(0).text().to_owned();
        peer.sender("requests", 1, &Terms { node: Some(target("$management")), ..Terms::default() });
        Self { peer, reply_to, sent: 0 }
    }

    /// Status and body of the answer to a request: application properties that are texts, and a map.
    fn ask(&mut self, properties: &[(&str, &str)], body: &[&[u8]]) -> (i128, Value) {
        let properties: Vec<_> = properties.iter().map(|(key, value)| (*key, string(value))).collect();
        self.ask_with(&properties, body)
    }

    /// The same with application properties of any type.
    fn ask_with(&mut self, properties: &[(&str, Vec<u8>)], body: &[&[u8]]) -> (i128, Value) {
        let answer = self.answer(properties, body);
        let Value::Described(_, body) = answer.section(0x77) else { panic!("no body: {answer:?}") };
        (answer.section(0x74).get("statusCode").number(), *body)
    }

    /// The same, of what is refused: status and why.
    fn told(&mut self, properties: &[(&str, Vec<u8>)], body: &[&[u8]]) -> (i128, String) {
        let said = self.answer(properties, body).section(0x74);
        (said.get("statusCode").number(), said.get("statusDescription").text().to_owned())
    }

    fn answer(&mut self, properties: &[(&str, Vec<u8>)], body: &[&[u8]]) -> Delivery {
        self.answer_to(properties, &described(0x77, &map(body)))
    }

    /// The answer to a request with this as its body.
    fn answer_to(&mut self, properties: &[(&str, Vec<u8>)], body: &[u8]) -> Delivery {
        let pairs: Vec<Vec<u8>> = properties.iter().flat_map(|(key, value)| [string(key), value.clone()]).collect();
        let pairs: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
        self.sent += 1;
        let id = ulong(self.sent.into());
        let head = described(0x73, &list(&[&id, NULL, NULL, NULL, &string(&self.reply_to)]));
        let request = [&head[..], &described(0x74, &map(&pairs)), body].concat();
        self.peer.send(&transfer(1, Some(self.sent), Some(&self.sent.to_be_bytes()), false, false, &request));
        let answer = self.peer.delivery();
        assert_eq!(answer.section(0x73).field(5).number(), self.sent.into(), "the correlation-id");
        answer
    }

    fn queue(&mut self, operation: &str, name: &str, body: &[&[u8]]) -> (i128, Value) {
        self.ask(&[("operation", operation), ("type", "queue"), ("name", name)], body)
    }

    fn binding(&mut self, operation: &str, queue: &str, filter: &str) -> i128 {
        let body: [&[u8]; 4] = [&string("queue"), &string(queue), &string("filter"), &string(filter)];
        self.ask(&[("operation", operation), ("type", "binding")], &body).0
    }
}

/// Publishes, and what became of it.
fn publish(address: SocketAddr, node: &str, payload: &[u8]) -> i128 {
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(node)), ..Terms::default() });
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, payload));
    peer.disposition().field(4).code()
}

/// AMQP Management 1.0, working draft: what a management node tells of itself, of all types or of one.
#[test]
fn a_management_node_tells_what_it_manages() {
    let Some((_broker, address)) = own() else { return };
    let mut manager = Manager::new(address);
    for operation in ["GET-TYPES", "GET-OPERATIONS", "GET-ATTRIBUTES", "GET-ANNOTATIONS"] {
        let (status, all) = manager.ask(&[("operation", operation)], &[]);
        assert!(status == 200 && all.get("queue") != &Value::Null && all.get("binding") != &Value::Null, "{operation}");
        let (status, one) = manager.ask(&[("operation", operation), ("entityType", "binding")], &[]);
        assert_eq!((status, one.get("queue")), (200, &Value::Null), "{operation}");
        assert_eq!(one.get("binding"), all.get("binding"), "{operation}");
        assert_eq!(manager.ask(&[("operation", operation), ("entityType", "window")], &[]).0, 400, "{operation}");
    }
    assert_eq!(manager.ask(&[("operation", "GET-MGMT-NODES")], &[]), (200, Value::List(Vec::new())));
}

/// Settings that are not read would be thought to hold.
#[test]
fn settings_that_are_no_map_and_two_names_are_refused() {
    let Some((_broker, address)) = own() else { return };
    let mut manager = Manager::new(address);
    let create = [("operation", string("CREATE")), ("type", string("queue")), ("name", string("q"))];
    for (body, expected) in [
        (message(b"{\"messages-max\": 2}"), 400),
        (described(0x77, &string("messages-max=2")), 400),
        (described(0x77, &list(&[&string("messages-max"), &ulong(2)])), 400),
        (described(0x76, &list(&[])), 400),
        (described(0x77, NULL), 201),
        (message(b""), 200),
        (Vec::new(), 200),
    ] {
        let said = manager.answer_to(&create, &body).section(0x74);
        assert_eq!(said.get("statusCode").number(), expected, "{body:x?}");
    }
    let names = |name: &str, identity: &str| {
        let texts = [("operation", "READ"), ("type", "queue"), ("name", name), ("identity", identity)];
        texts.map(|(key, value)| (key, string(value)))
    };
    assert_eq!(manager.ask_with(&names("other", "/queues/q"), &[]).0, 400);
    assert_eq!(manager.ask_with(&names("q", "/queues/q"), &[]).0, 200);
}

#[test]
fn queues_are_made_read_changed_listed_and_removed_and_outlive_the_broker() {
    let Some((broker, address)) = own() else { return };
    let mut manager = Manager::new(address);
    let (name, address_of_it) = ("orders", "/queues/orders");
    assert_eq!(manager.queue("READ", name, &[]).0, 404);
    let settings: [&[u8]; 4] = [&string("messages-max"), &ulong(2), &string("dead-letters"), &string("/queues/dead")];
    let (status, body) = manager.queue("CREATE", name, &settings);
    assert_eq!((status, body.get("identity").text(), body.get("messages-max").number()), (201, address_of_it, 2));
    assert_eq!(manager.queue("CREATE", name, &settings).0, 200);
    assert_eq!(manager.queue("CREATE", name, &[]).0, 409);
    for _ in 0..2 {
        assert_eq!(publish(address, address_of_it, &message(b"m")), 0x24);
    }
    assert_eq!(publish(address, address_of_it, &message(b"m")), 0x25, "it is full");
    let broker = broker.restart();
    let address = broker.at("amqp");
    let mut manager = Manager::new(address);
    let (status, body) = manager.queue("READ", address_of_it, &[]);
    assert_eq!((status, body.get("waiting").number(), body.get("dead-letters").text()), (200, 2, "/queues/dead"));
    let (status, body) = manager.queue("UPDATE", name, &[&string("messages-max"), NULL]);
    assert_eq!(
        (status, body.get("messages-max"), body.get("dead-letters").text()),
        (200, &Value::Null, "/queues/dead")
    );
    assert_eq!(publish(address, address_of_it, &message(b"m")), 0x24);
    assert_eq!(manager.queue("UPDATE", name, &[&string("bytes-max"), &string("many")]).0, 400);
    assert_eq!(manager.queue("UPDATE", "other", &[]).0, 404);
    let names: [&[u8]; 2] = [&string("attributeNames"), &list(&[&string("name"), &string("waiting")])];
    let (status, body) = manager.ask(&[("operation", "QUERY"), ("entityType", "queue")], &names);
    let row = Value::List(vec![Value::Text(name.to_owned()), Value::Number(3)]);
    assert_eq!((status, body.get("results")), (200, &Value::List(vec![row])));
    assert_eq!(manager.queue("DELETE", name, &[]).0, 204);
    assert_eq!(manager.queue("DELETE", name, &[]).0, 404);
    assert_eq!(manager.queue("NONSENSE", name, &[]).0, 501);
    assert_eq!(manager.ask(&[("operation", "CREATE"), ("type", "window")], &[]).0, 400);
    assert_eq!(manager.queue("CREATE", "/queues/a/+", &[]).0, 400);
    assert_eq!(manager.ask(&[("operation", "GET-TYPES")], &[]).0, 200);
    assert_eq!(manager.queue("CREATE", "typo", &[&string("message-max"), &ulong(2)]).0, 400);
    assert_eq!(manager.queue("READ", "typo", &[]).0, 404);
    assert_eq!(manager.ask(&[("operation", "QUERY"), ("entityType", "window")], &[]).0, 400);
}

/// What is sent to its address a queue gets, whatever is bound and taken away.
#[test]
fn a_queue_keeps_its_own_address() {
    let Some(address) = super::address() else { return };
    let mut manager = Manager::new(address);
    let name = unique("own");
    let own = format!("/queues/{name}");
    manager.queue("CREATE", &name, &[]);
    assert_eq!(manager.binding("CREATE", &name, &own), 200);
    assert_eq!(manager.binding("DELETE", &name, &own), 404);
    assert_eq!(manager.binding("CREATE", &name, "$share/group/a"), 400);
    assert_eq!(publish(address, &own, &message(b"m")), 0x24);
    assert_eq!(manager.queue("READ", &name, &[]).1.get("waiting").number(), 1);
}

/// What a query tells of a queue names it, whatever its address.
#[test]
fn a_queue_that_is_one_by_capability_is_seen_to_by_its_address() {
    let Some(address) = super::address() else { return };
    let name = unique("jobs");
    let node = performative(0x29, &[&string(&name), NULL, NULL, NULL, NULL, NULL, &symbol("queue")]);
    Peer::begun(address).sender("out", 0, &Terms { node: Some(node), ..Terms::default() });
    let mut manager = Manager::new(address);
    let (status, body) = manager.queue("READ", &name, &[]);
    assert_eq!((status, body.get("identity").text(), body.get("name").text()), (200, &name[..], &name[..]));
    assert_eq!(manager.queue("UPDATE", &name, &[&string("messages-max"), &ulong(5)]).0, 200);
    assert_eq!(manager.binding("CREATE", &name, "sensors/x"), 201);
    assert_eq!(manager.binding("READ", &name, "sensors/x"), 200);
    assert_eq!(manager.ask(&[("operation", "DELETE"), ("type", "queue"), ("identity", &name)], &[]).0, 204);
    assert_eq!(manager.queue("READ", &name, &[]).0, 404);
}

#[test]
fn filters_are_bound_to_queues_and_taken_away() {
    let Some((broker, address)) = own() else { return };
    let mut manager = Manager::new(address);
    assert_eq!(manager.binding("CREATE", "sink", "sensors/#"), 404);
    manager.queue("CREATE", "sink", &[]);
    assert_eq!(manager.binding("CREATE", "sink", "sensors/#"), 201);
    assert_eq!(manager.binding("CREATE", "sink", "sensors/#"), 200);
    assert_eq!(manager.binding("CREATE", "sink", "a/#/b"), 400);
    assert_eq!(manager.binding("READ", "sink", "sensors/#"), 200);
    assert_eq!(publish(address, "sensors/hall/t", &message(b"21")), 0x24);
    let broker = broker.restart();
    let address = broker.at("amqp");
    let mut manager = Manager::new(address);
    assert_eq!(publish(address, "sensors/hall/t", &message(b"22")), 0x24);
    assert_eq!(manager.queue("READ", "sink", &[]).1.get("waiting").number(), 2);
    let (_, body) = manager.ask(&[("operation", "QUERY"), ("entityType", "binding")], &[]);
    assert_eq!(body.get("count").number(), 1);
    assert_eq!(manager.binding("DELETE", "sink", "sensors/#"), 204);
    assert_eq!(manager.binding("DELETE", "sink", "sensors/#"), 404);
    publish(address, "sensors/hall/t", &message(b"23"));
    assert_eq!(manager.queue("READ", "sink", &[]).1.get("waiting").number(), 2);
}

/// The form of the draft's clients: a receiver at `$management` itself, whose target names where answers go.
#[test]
fn answers_may_come_by_a_receiver_at_the_node_itself() {
    let Some(address) = super::address() else { return };
    let mut peer = Peer::begun(address);
    let answer = peer.receiver("answers", 0, &Terms { node: Some(source("$management")), ..Terms::default() });
    assert_eq!(answer.field(5).field(0).text(), "$management");
    peer.sender("requests", 1, &Terms { node: Some(target("$management")), ..Terms::default() });
    let head = described(0x73, &list(&[&string("id"), NULL, NULL, NULL, &string("here")]));
    let request = [head, described(0x74, &map(&[&string("operation"), &string("GET-TYPES")]))].concat();
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &request));
    let got = peer.delivery();
    assert_eq!(got.section(0x73).field(5).text(), "id");
    assert_eq!(got.section(0x74).get("statusCode").number(), 200);
}

/// Direct, topic, fanout and headers; several queues get the message as it was sent, or none does.
#[test]
fn exchanges_route_to_queues_and_leave_the_message_as_it_is() {
    let Some((broker, address)) = own() else { return };
    let name = unique("q");
    let (a, b) = (format!("{name}-a"), format!("{name}-b"));
    let exchanges = json!({ "exchanges": [
        { "name": "d", "type": "direct", "bindings": [{ "queue": a, "key": "k" }] },
        { "name": "t", "type": "topic", "bindings": [{ "queue": a, "key": "#.error.*" }, { "queue": b, "key": "#" }] },
        { "name": "f", "type": "fanout", "bindings": [{ "queue": a }, { "queue": b }] },
        { "name": "h", "type": "headers", "unroutable": "refuse",
          "bindings": [{ "queue": b, "headers": { "size": 7 } }] }
    ] });
    broker.admin().put("/api/v1/modules/exchanges/config", &exchanges).expect(200);
    let mut manager = Manager::new(address);
    assert_eq!(manager.queue("CREATE", &a, &[]).0, 201);
    assert_eq!(manager.queue("CREATE", &b, &[&string("messages-max"), &ulong(3)]).0, 201);
    // A body that has no form but AMQP's, and a property that is no text.
    let own = described(0x74, &map(&[&string("size"), &[0x54, 7]]));
    let body = described(0x77, &list(&[&string("text"), &ulong(9)]));
    let sent = [own, body].concat();
    let take = |queue: &str| {
        let mut peer = Peer::begun(address);
        peer.receiver("in", 0, &Terms { node: Some(source(&format!("/queues/{queue}"))), ..Terms::default() });
        let got = peer.delivery();
        peer.send(&[disposition(true, got.id, got.id, true, ACCEPTED), close()].concat());
        peer.find(0x18);
        let kept: Vec<Value> = got.sections.into_iter().filter(|section| section.code() > 0x70).collect();
        assert_eq!(kept, Value::sections(&sent), "{queue}");
    };
    assert_eq!(publish(address, "/exchanges/d/k", &sent), 0x24);
    take(&a);
    assert_eq!(publish(address, "/exchanges/t/x.error.y", &sent), 0x24);
    take(&a);
    take(&b);
    assert_eq!(publish(address, "/exchanges/f", &sent), 0x24);
    take(&a);
    take(&b);
    assert_eq!(publish(address, "/exchanges/h", &sent), 0x24);
    take(&b);
    assert_eq!(publish(address, "/exchanges/h", &message(b"m")), 0x25);
    assert_eq!(publish(address, "/exchanges/nobody/k", &sent), 0x25);
    // One of two queues is full: neither gets it.
    for _ in 0..3 {
        assert_eq!(publish(address, "/exchanges/t/x", &sent), 0x24);
    }
    assert_eq!(publish(address, "/exchanges/f", &sent), 0x25);
    assert_eq!(manager.queue("READ", &a, &[]).1.get("waiting").number(), 0);
    assert_eq!(manager.queue("READ", &b, &[]).1.get("waiting").number(), 3);
}

/// What one client is told is done, whatever another one does to the queue at that moment.
#[test]
fn what_several_clients_do_to_one_queue_at_the_same_time_is_all_done() {
    let Some(broker) = Broker::start_with(|config| config.workers = 4) else { return };
    let address = broker.at("amqp");
    for round in 0..8 {
        let name = format!("q{round}");
        let mut managers: Vec<Manager> = (0..3).map(|_| Manager::new(address)).collect();
        assert_eq!(managers[0].queue("CREATE", &name, &[]).0, 201);
        std::thread::scope(|scope| {
            for (who, manager) in managers.iter_mut().enumerate() {
                let name = &name;
                scope.spawn(move || {
                    for n in 0..20 {
                        match who {
                            0 => assert_eq!(manager.queue("UPDATE", name, &[&string("bytes-max"), &ulong(n)]).0, 200),
                            _ => assert_eq!(manager.binding("CREATE", name, &format!("{who}/{n}")), 201),
                        }
                    }
                });
            }
        });
        let one = &mut managers[0];
        assert_eq!(one.queue("READ", &name, &[]).1.get("bytes-max").number(), 19);
        let wanted = (1..3).flat_map(|who| (0..20).map(move |n| format!("{who}/{n}")));
        let lost: Vec<String> = wanted.filter(|filter| one.binding("READ", &name, filter) != 200).collect();
        assert!(lost.is_empty(), "bound, and gone: {lost:?}");
    }
}

#[test]
fn of_two_who_make_a_queue_with_different_settings_at_the_same_time_one_hears_so() {
    let Some(broker) = Broker::start_with(|config| config.workers = 4) else { return };
    let address = broker.at("amqp");
    for _ in 0..4 {
        let mut managers = [Manager::new(address), Manager::new(address)];
        let together = Barrier::new(2);
        for _ in 0..20 {
            let name = unique("q");
            let mut said: Vec<i128> = std::thread::scope(|scope| {
                let (name, together) = (&name, &together);
                let make = |(which, manager): (u64, &'_ mut Manager)| {
                    together.wait();
                    manager.queue("CREATE", name, &[&string("messages-max"), &ulong(which)]).0
                };
                let all: Vec<_> = (1..).zip(&mut managers).map(|one| scope.spawn(move || make(one))).collect();
                all.into_iter().map(|one| one.join().expect("an answer")).collect()
            });
            said.sort_unstable();
            assert_eq!(said, [201, 409]);
        }
    }
}

/// Invariant 8: neither a name said often nor long settings of many queues make an answer as long as they like.
#[test]
fn what_a_query_answers_is_bounded_and_the_rest_comes_by_offset() {
    let Some(broker) = Broker::start_with(|config| config.broker.kept_name_bytes_max = 65_535) else { return };
    let mut manager = Manager::new(broker.at("amqp"));
    let long = string(&format!("dead/{}", "x".repeat(60_000)));
    for n in 0..40 {
        assert_eq!(manager.queue("CREATE", &format!("q{n:02}"), &[&string("dead-letters"), &long]).0, 201);
    }
    let ask = [("operation", string("QUERY")), ("entityType", string("queue"))];
    let twelve = vec![string("dead-letters"); 12];
    let twelve: Vec<&[u8]> = twelve.iter().map(Vec::as_slice).collect();
    assert_eq!(manager.ask_with(&ask, &[&string("attributeNames"), &list(&twelve)]).0, 400);
    let unknown = list(&[&string("name"), &string("colour")]);
    let (status, body) = manager.ask_with(&ask, &[&string("attributeNames"), &unknown]);
    assert_eq!((status, body.get("count").number()), (200, 40));
    assert_eq!(body.get("results").field(39), &Value::List(vec![Value::Text("q39".to_owned()), Value::Null]));
    let (mut names, mut answers) = (Vec::new(), 0);
    while names.len() < 40 {
        let offset = [&ask[..], &[("offset", ulong(names.len() as u64))]].concat();
        let (status, body) = manager.ask_with(&offset, &[]);
        let count = usize::try_from(body.get("count").number()).expect("a count");
        assert!(status == 200 && (1..=18).contains(&count), "{status} {count}");
        names.extend((0..count).map(|row| body.get("results").field(row).field(0).text().to_owned()));
        answers += 1;
    }
    assert_eq!(names, (0..40).map(|n| format!("q{n:02}")).collect::<Vec<_>>());
    assert_eq!(answers, 3);
}

/// Invariant 5: what is rejected has somewhere to go, or its queue says in so many words that it has not.
#[test]
fn dead_letters_are_an_address_that_one_can_publish_to_and_not_the_queues_own() {
    let Some((_broker, address)) = own() else { return };
    let mut manager = Manager::new(address);
    let long = format!("/queues/{}", "x".repeat(70_000));
    let wrong =
        [("/queues/#", 400), ("a/+/b", 400), ("x\0y", 400), (&long, 400), ("/queues/self", 400), ("$SYS/x", 403)];
    for (wrong, status) in wrong {
        assert_eq!(manager.queue("CREATE", "self", &[&string("dead-letters"), &string(wrong)]).0, status, "{wrong}");
    }
    assert_eq!(manager.queue("READ", "self", &[]).0, 404);
    assert_eq!(manager.queue("CREATE", "self", &[&string("dead-letters"), &string("")]).0, 201);
    for (wrong, status) in wrong {
        assert_eq!(manager.queue("UPDATE", "self", &[&string("dead-letters"), &string(wrong)]).0, status, "{wrong}");
    }
    assert_eq!(manager.queue("READ", "self", &[]).1.get("dead-letters").text(), "");
}

/// Rejecting is no way to publish where one may not.
#[test]
fn who_sets_dead_letters_has_to_be_allowed_to_publish_there() {
    let rules = json!({ "rules": [
        { "allow": ["publish"], "topics": ["$management", "/queues/own", "/temporary/#"] },
        { "allow": ["subscribe", "receive"], "topics": ["/queues/own", "/temporary/#"] }
    ] });
    let Some(broker) = Broker::start_with(move |config| {
        let list = config.modules.iter_mut().find(|module| module.name == "access-list").expect("it is bundled");
        (list.enabled, list.config) = (true, rules.clone());
    }) else {
        return;
    };
    let mut manager = Manager::new(broker.at("amqp"));
    let dead = |address: &str| [string("dead-letters"), string(address)];
    let [key, secret] = dead("secret/x");
    assert_eq!(manager.queue("CREATE", "q", &[&key, &secret]).0, 403);
    assert_eq!(manager.queue("READ", "q", &[]).0, 404);
    let [key, allowed] = dead("/queues/own");
    assert_eq!(manager.queue("CREATE", "q", &[&key, &allowed]).0, 201);
    assert_eq!(manager.queue("UPDATE", "q", &[&key, &secret]).0, 403);
    // What somebody else may have set stays.
    assert_eq!(manager.queue("UPDATE", "q", &[&string("messages-max"), &ulong(1)]).0, 200);
    assert_eq!(manager.queue("READ", "q", &[]).1.get("dead-letters").text(), "/queues/own");
}

/// By an exchange, whoever speaks to it and to as many queues as it knows; nobody has received from them before.
#[test]
fn a_queue_to_which_a_module_sends_is_made_on_first_use() {
    let Some((broker, address)) = own() else { return };
    let name = unique("unseen");
    let queues = [format!("{name}-a"), format!("{name}-b")];
    let bindings: Vec<_> = queues.iter().map(|queue| json!({ "queue": queue })).collect();
    let exchanges = json!({ "exchanges": [{ "name": "f", "type": "fanout", "bindings": bindings }] });
    broker.admin().put("/api/v1/modules/exchanges/config", &exchanges).expect(200);
    let explained = broker.admin().post("/api/v1/explain", &json!({ "topic": "/exchanges/f" })).expect(200).json();
    assert!(explained["outcome"].as_str().is_some_and(|outcome| outcome.contains("makes")), "{explained}");
    assert_eq!(publish(address, "/exchanges/f", &message(b"m")), 0x24);
    let http = json!({ "topic": "/exchanges/f", "payload": "m", "qos": 1 });
    assert_eq!(broker.admin().post("/api/v1/publish", &http).expect(200).json()["matched"], true);
    let mut manager = Manager::new(address);
    for queue in &queues {
        let (status, body) = manager.queue("READ", queue, &[]);
        assert_eq!((status, body.get("waiting").number()), (200, 2), "{queue}");
    }
}

/// What is wrong with a request is said, and which of type and value it is.
#[test]
fn numbers_that_are_none_or_too_large_are_refused_in_so_many_words() {
    let Some(address) = super::address() else { return };
    let mut manager = Manager::new(address);
    let ask = [("operation", string("QUERY")), ("entityType", string("queue"))];
    for (name, wrong, word) in [
        ("offset", vec![0x55, 0xFF], "value"),
        ("count", [&[0x81][..], &i64::MIN.to_be_bytes()].concat(), "value"),
        ("count", string("x"), "type"),
        ("offset", TRUE.to_vec(), "type"),
    ] {
        let (status, why) = manager.told(&[&ask[..], &[(name, wrong)]].concat(), &[]);
        assert!(status == 400 && why.contains(word) && why.contains(name), "{status} {why}");
    }
    let create = [("operation", string("CREATE")), ("type", string("queue")), ("name", string("numbers"))];
    for (name, wrong, word) in [
        ("messages-max", vec![0x55, 0xFF], "value"),
        ("failures-max", ulong(1 << 40), "value"),
        ("failures-max", string("3"), "type"),
        ("dead-letters", ulong(3), "type"),
    ] {
        let (status, why) = manager.told(&create, &[&string(name), &wrong]);
        assert!(status == 400 && why.contains(word) && why.contains(name), "{status} {why}");
    }
    assert_eq!(manager.queue("READ", "numbers", &[]).0, 404);
}

/// A client that may subscribe to a filter, and not to a part of what it matches, is not sent that part; a queue that it binds gets it neither. What it
/// may not bind any more it may take back.
#[test]
fn a_binding_brings_nobody_what_a_subscription_would_not() {
    let allow = json!({ "allow": ["publish", "subscribe"], "topics": ["#", "$management", "/queues/#"] });
    let deny = json!({ "deny": ["subscribe", "receive"], "topics": ["corp/hr/#"] });
    let rules = |rules: &[&serde_json::Value]| json!({ "rules": rules });
    let both = rules(&[&allow, &deny]);
    let Some(broker) = Broker::start_with(move |config| {
        let list = config.modules.iter_mut().find(|module| module.name == "access-list").expect("it is bundled");
        (list.enabled, list.config) = (true, both.clone());
    }) else {
        return;
    };
    let mut manager = Manager::new(broker.at("amqp"));
    assert_eq!(manager.queue("CREATE", "mine", &[]).0, 201);
    assert_eq!(manager.binding("CREATE", "mine", "corp/hr/#"), 403);
    assert_eq!(manager.binding("CREATE", "mine", "corp/#"), 201);
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("corp/hr/pay", "secret", 1);
    publisher.say("corp/it/up", "open", 1);
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.receiver("in", 0, &Terms { node: Some(source("/queues/mine")), ..Terms::default() });
    assert_eq!(peer.delivery().text(), "open");
    let admin = broker.admin();
    let waits = || {
        let queues = admin.get("/api/v1/queues").expect(200).json()["items"].as_array().expect("a list").clone();
        let queue = queues.iter().find(|queue| queue["address"] == "/queues/mine").expect("it is there");
        queue["waiting"].as_u64().unwrap() + queue["held"].as_u64().unwrap()
    };
    assert_eq!(waits(), 1, "nothing but what is not accepted yet");
    let none = json!({ "deny": ["subscribe", "receive"], "topics": ["corp/#"] });
    admin.put("/api/v1/modules/access-list/config", &rules(&[&allow, &none])).expect(200);
    publisher.say("corp/it/up", "not any more", 1);
    assert_eq!(waits(), 1);
    let managed = json!({ "allow": ["publish", "subscribe"], "topics": ["$management", "/temporary/#", "/queues/#"] });
    admin.put("/api/v1/modules/access-list/config", &rules(&[&managed])).expect(200);
    assert_eq!(manager.binding("CREATE", "mine", "other/#"), 403);
    assert_eq!(manager.binding("DELETE", "mine", "corp/#"), 204);
}

/// A binding stands on the right of whoever asked for it last: 200 means that what is published there comes.
#[test]
fn who_binds_what_is_bound_already_lends_it_its_own_right() {
    let allow =
        json!({ "allow": ["publish", "subscribe"], "topics": ["#", "$management", "/queues/#", "/temporary/#"] });
    let deny = json!({ "deny": ["subscribe", "receive"], "clients": ["ann"], "topics": ["hr/#"] });
    let (before, after) = (json!({ "rules": [allow] }), json!({ "rules": [deny, allow] }));
    let Some(broker) = Broker::start_with(move |config| {
        let list = config.modules.iter_mut().find(|module| module.name == "access-list").expect("it is bundled");
        (list.enabled, list.config) = (true, before.clone());
    }) else {
        return;
    };
    let mut ann = Manager::on(Peer::of(broker.at("amqp"), "ann"));
    assert_eq!(ann.queue("CREATE", "pay", &[]).0, 201);
    assert_eq!(ann.binding("CREATE", "pay", "hr/#"), 201);
    broker.admin().put("/api/v1/modules/access-list/config", &after).expect(200);
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("hr/1", "nobody's", 1);
    let mut bob = Manager::on(Peer::of(broker.at("amqp"), "bob"));
    assert_eq!(bob.binding("CREATE", "pay", "hr/#"), 200);
    publisher.say("hr/2", "bob's", 1);
    let broker = broker.restart();
    connect(V5).at(broker.address()).open().say("hr/3", "still", 1);
    let mut peer = Peer::of(broker.at("amqp"), "bob");
    peer.receiver("in", 0, &Terms { node: Some(source("/queues/pay")), ..Terms::default() });
    assert_eq!((peer.delivery().text(), peer.delivery().text()), ("bob's".to_owned(), "still".to_owned()));
}

/// Under a mount point there is what lies below it, by the names that clients have for it.
#[test]
fn a_query_under_a_mount_point_tells_what_is_below_it_and_in_its_names() {
    let mounts = json!({ "mounts": [{ "prefix": "t1/", "listener": "amqp" }] });
    let Some(broker) = Broker::start_with(move |config| {
        let mut listener = config.listeners.iter().find(|one| one.name == "amqp").expect("it is there").clone();
        listener.name = "outside".to_owned();
        config.listeners.push(listener);
        let rules = config.modules.iter_mut().find(|module| module.name == "topic-rules").expect("it is bundled");
        rules.config = mounts.clone();
    }) else {
        return;
    };
    let mut outside = Manager::new(broker.at("outside"));
    assert_eq!(outside.queue("CREATE", "theirs", &[]).0, 201);
    assert_eq!(outside.binding("CREATE", "theirs", "hr/#"), 201);
    let mut inside = Manager::new(broker.at("amqp"));
    let dead: [&[u8]; 2] = [&string("dead-letters"), &string("dead")];
    assert_eq!(inside.queue("CREATE", "/jobs", &dead).0, 201);
    for filter in ["hr/#", "+/up"] {
        assert_eq!(inside.binding("CREATE", "/jobs", filter), 201);
        assert_eq!(inside.binding("READ", "/jobs", filter), 200);
    }
    // By another tenant's hand something is bound that has no name here.
    assert_eq!(outside.binding("CREATE", "t1//jobs", "t2/#"), 201);
    let rows = |manager: &mut Manager, of: &str, name: &str| -> Vec<String> {
        let names: [&[u8]; 2] = [&string("attributeNames"), &list(&[&string(name)])];
        let (status, body) = manager.ask(&[("operation", "QUERY"), ("entityType", of)], &names);
        assert_eq!(status, 200);
        let results = body.get("results");
        (0..usize::try_from(body.get("count").number()).expect("a count"))
            .map(|at| results.field(at).field(0).text().to_owned())
            .collect()
    };
    assert_eq!(rows(&mut inside, "queue", "identity"), ["/jobs"]);
    assert_eq!(rows(&mut inside, "queue", "dead-letters"), ["dead"]);
    assert_eq!(rows(&mut inside, "binding", "filter"), ["hr/#", "+/up"]);
    assert_eq!(inside.ask(&[("operation", "READ"), ("type", "queue"), ("identity", "/jobs")], &[]).0, 200);
    assert_eq!(rows(&mut outside, "queue", "identity"), ["/queues/theirs", "t1//jobs"]);
    assert_eq!(rows(&mut outside, "binding", "filter"), ["hr/#", "t1/hr/#", "t1/+/up", "t2/#"]);
}

/// A version of a mapping that is on trial for all is asked about the names of queues, and the one beside it about nothing.
#[test]
fn queues_are_made_looked_at_and_deleted_by_the_version_that_their_client_follows() {
    let Some((broker, address)) = own() else { return };
    let admin = broker.admin();
    for more in ["", "&canary=100"] {
        let path = format!("/api/v1/modules/m?config=%7B%22prefix%22:%22%22%7D{more}");
        admin.deploy(&path, &crate::harness::guests::component("renames")).expect(200);
    }
    let mut manager = Manager::new(address);
    for (operation, status) in [("CREATE", 201), ("READ", 200), ("UPDATE", 200), ("DELETE", 204), ("DELETE", 404)] {
        assert_eq!(manager.queue(operation, "trial", &[]).0, status, "{operation}");
    }
    let versions = admin.get("/api/v1/modules/m/versions").expect(200).json();
    let calls: Vec<_> = versions["items"].as_array().unwrap().iter().map(|version| version["calls"].clone()).collect();
    assert_eq!(calls[0], 0, "{versions}");
    assert_ne!(calls[1], 0, "{versions}");
}
