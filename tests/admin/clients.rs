//! Endpoints about clients and subscriptions.

use crate::doors::rig::until;
use crate::harness::*;

#[test]
fn a_client_is_shown_while_it_is_connected_and_while_it_is_expected_back() {
    let Some(admin) = admin() else { return };
    let id = unique("shown");
    let mut client = connect(V5).id(&id).session_expiry(600).open();
    client.subscribe(&unique("shown"), 1);
    let path = format!("/api/v1/clients/{id}");
    let shown = admin.get(&path).expect(200).json();
    assert_eq!(
        (&shown["id"], &shown["connected"], &shown["subscriptions"]),
        (&id.clone().into(), &true.into(), &1.into())
    );
    assert_eq!((&shown["protocol"], &shown["listener"]), (&"mqtt".into(), &"mqtt".into()));
    client.disconnect();
    assert_eq!(admin.get(&path).expect(200).json()["connected"], false);
    connect(V5).id(&id).open().disconnect();
    admin.get(&path).problem(404);
}

/// H06, F23: an id of any characters is one segment or several of the path, escaped.
#[test]
fn an_id_with_special_characters_is_found_and_shown_escaped() {
    let Some(admin) = admin() else { return };
    let id = unique("a/b#\"+ü");
    let _client = connect(V5).id(&id).open();
    let path: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(admin.get(&format!("/api/v1/clients/{path}")).expect(200).json()["id"], id);
}

fn escaped(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What the entries of a list are called, page by page.
fn paged(admin: &Admin, list: &str, name: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/api/v1/{list}?limit=1{after}")).expect(200).json();
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return found };
        after = format!("&after={}", escaped(next));
    }
}

/// MQTT 5.0, 1.5.4: a name has up to 65,535 bytes; escaped they are more than an address may have.
#[test]
fn names_of_any_length_are_paged_shown_and_deleted() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let named = |last: &str| format!("{}{last}", "ü".repeat(10_000));
    let names = ["a".to_owned(), named("1"), named("2"), "ý".to_owned()];
    let mut clients: Vec<_> = names.iter().map(|name| connect(V5).at(broker.address()).id(name).open()).collect();
    for (client, name) in clients.iter_mut().zip(&names) {
        client.subscribe("s", 1);
        client.publish(&Publish::new(name, "x", 1).retained());
    }
    for (list, name) in [("clients", "id"), ("subscriptions", "client"), ("retained", "topic")] {
        assert!(paged(&admin, list, name) == names, "{list}");
    }
    for (list, name) in [("clients", "id"), ("retained", "topic")] {
        let entries = admin.get(&format!("/api/v1/{list}")).expect(200).json();
        assert!(entries["items"][0]["handle"].is_null(), "a short name stands for itself");
        let path = format!("/api/v1/{list}/{}", escaped(entries["items"][2]["handle"].as_str().unwrap()));
        assert!(admin.get(&path).expect(200).json()[name] == names[2], "{list}");
        admin.delete(&path).expect(204);
        // Who is connected hears it first.
        until("it is gone", || admin.get(&path).status == 404);
        assert_eq!(paged(&admin, list, name).len(), 3, "{list}");
    }
}

#[test]
fn a_session_can_be_ended_whether_its_client_is_there_or_not() {
    let Some(admin) = admin() else { return };
    for is_there in [false, true] {
        let (id, topic) = (unique("ended"), unique("ended"));
        let mut watcher = client(V5);
        watcher.subscribe(&format!("{topic}/will"), 1);
        let will = Will::new(&format!("{topic}/will"), "over").delay(600);
        let mut client = connect(V5).id(&id).kept().will(will).open();
        client.subscribe(&topic, 1);
        let there = if is_there {
            Some(client)
        } else {
            client.cut();
            None
        };
        watcher.say(&topic, "waits", 1);
        let path = format!("/api/v1/clients/{id}");
        admin.delete(&format!("{path}?session=true&server=other")).problem(400);
        admin.delete(&format!("{path}?session=true")).expect(204);
        admin.delete(&format!("{path}?session=true")).problem(404);
        watcher.expect(&format!("{topic}/will"), "over", 0);
        if let Some(mut client) = there {
            client.wait_for("its end", |packet| matches!(packet, Packet::Disconnect(_)).then_some(()));
        }
        // Nothing is left of it.
        connect(V5).id(&id).kept().open().expect_nothing();
    }
}

#[test]
fn a_client_can_be_thrown_out() {
    let Some(admin) = admin() else { return };
    for version in BOTH {
        let id = unique("out");
        let mut client = connect(version).id(&id).open();
        admin.delete(&format!("/api/v1/clients/{id}")).expect(204);
        assert_eq!(client.expect_closed(), (version == V5).then_some(0x98));
        admin.delete(&format!("/api/v1/clients/{id}")).problem(404);
    }
}

/// Its will is published: it did not say goodbye.
#[test]
fn a_client_that_is_thrown_out_leaves_its_will() {
    let Some(admin) = admin() else { return };
    let (id, topic) = (unique("out"), unique("out"));
    let mut watcher = client(V5);
    watcher.subscribe(&topic, 1);
    let _client = connect(V5).id(&id).will(Will::new(&topic, "thrown out")).open();
    admin.delete(&format!("/api/v1/clients/{id}")).expect(204);
    watcher.expect(&topic, "thrown out", 0);
}

#[test]
fn lists_come_in_pages() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let mut clients: Vec<Client> =
        (0..5).map(|number| connect(V5).at(broker.address()).id(&format!("page-{number}")).open()).collect();
    for client in &mut clients {
        let topic = client.id.clone();
        client.subscribe(&topic, 1);
    }
    for (list, key) in [("clients", "id"), ("subscriptions", "client")] {
        let (mut after, mut got) = (String::new(), Vec::new());
        loop {
            let page = admin.get(&format!("/api/v1/{list}?limit=2{after}")).expect(200).json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            got.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(got, ["page-0", "page-1", "page-2", "page-3", "page-4"], "{list}");
    }
}

/// Ten clients with 98,304 filters each had an answer that took 1.6 GB.
#[test]
fn pages_of_subscriptions_end_within_a_client() {
    let Some(broker) = Broker::start() else { return };
    let admin = broker.admin();
    let long = |last: &str| format!("{}/{last}", "y".repeat(2_000));
    let filters = ["a/1", "b/+", "c/#", &long("1"), &long("2"), "z"];
    let mut clients: Vec<Client> = ["1", "2", "3"].map(|id| connect(V5).at(broker.address()).id(id).open()).into();
    clients[0].subscribe("z", 1);
    for filter in filters {
        clients[1].subscribe(filter, 1);
    }
    clients[2].subscribe("a/1", 1);
    let expected = ["z"].into_iter().chain(filters).chain(["a/1"]).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(paged(&admin, "subscriptions", "filter"), expected);
    // A page has as many as were asked for, and what is long ends one sooner.
    let items = |query: &str| {
        let page = admin.get(&format!("/api/v1/subscriptions?{query}")).expect(200).json();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((items("limit=4"), items("limit=8"), items("after=1"), items("after=2")), (4, 8, 7, 1));
}

#[test]
fn subscriptions_are_shown_with_their_options() {
    let Some(broker) = Broker::start() else { return };
    let mut client = connect(V5).at(broker.address()).id("options").open();
    let one = Subscription::new("a/+", 2).no_local().retain_as_published().retain_handling(1);
    let identifier = Property::Variable(property::SUBSCRIPTION_IDENTIFIER, 5);
    client.subscribe_with([identifier], &[one]);
    client.subscribe("$share/g/b/#", 1);
    let mut items = broker.admin().get("/api/v1/subscriptions").expect(200).json()["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["filter"].as_str().unwrap().to_owned());
    let first = &items[0];
    assert_eq!((&first["client"], &first["filter"], &first["qos"]), (&"options".into(), &"a/+".into(), &2.into()));
    assert_eq!((&first["no_local"], &first["retain_as_published"]), (&true.into(), &true.into()));
    assert_eq!((&first["retain_handling"], &first["identifier"]), (&"if-new".into(), &5.into()));
    assert_eq!((&items[1]["filter"], &items[1]["share"]), (&"b/#".into(), &"g".into()));
}
