"""Scenarios with Qpid Proton and paho: proton_client.py SCENARIO AMQP_PORT MQTT_PORT NAME [MORE]. NAME is a word of the row's
own."""

import queue
import sys
import time
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from proton import ConnectionException, Delivery, Link, Message, SSLDomain, symbol, ubyte, uint
from proton.handlers import MessagingHandler, TransactionHandler
from proton.reactor import AtMostOnce, Container, DurableSubscription, LinkOption
from proton.utils import BlockingConnection, LinkDetached, SendException, SyncRequestResponse

PATIENCE = 20
QOS, RETAIN = symbol("x-opt-mqtt-qos"), symbol("x-opt-retain-message")
IDENTIFIER = symbol("x-opt-mqtt-subscription-id")
FORMAT, USER = symbol("x-opt-mqtt-payload-format"), symbol("x-opt-mqtt-user-properties")


class Mqtt:
    """A connected MQTT 5.0 client with a queue of what it was sent."""

    def __init__(self, name, *filters, kept=False):
        self.inbox, steps = queue.Queue(), queue.Queue()
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.paho.on_message = lambda _client, _data, message: self.inbox.put(message)
        self.paho.on_connect = lambda _client, _data, flags, code, _props: steps.put(flags.session_present)
        self.paho.on_subscribe = lambda *_: steps.put(None)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if kept else 0
        self.paho.connect("127.0.0.1", MQTT_PORT, clean_start=not kept, properties=properties)
        self.paho.loop_start()
        self.present = steps.get(timeout=PATIENCE)
        for name in filters:
            self.paho.subscribe(name, 2)
            steps.get(timeout=PATIENCE)

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.paho.publish(topic, payload, qos, retain, properties).wait_for_publish(PATIENCE)

    def take(self):
        message = self.inbox.get(timeout=PATIENCE)
        return message.topic, message.qos, message.retain, message.payload

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def connect():
    return BlockingConnection("amqp://127.0.0.1:%d" % AMQP_PORT, allowed_mechs="ANONYMOUS", timeout=PATIENCE)


def take(receiver):
    message = receiver.receive(PATIENCE)
    body = message.body
    message.body = body.tobytes() if isinstance(body, memoryview) else body
    receiver.accept()
    return message


def will(topic, body, qos, retain=False):
    return Message(subject="will", address=topic, body=body, inferred=True, annotations={QOS: qos, RETAIN: retain})


def wills():
    """EM-02, EM-03, EM-04, EM-05 (a broken link), EM-09, EM-12, EM-24."""
    watcher = Mqtt(NAME + "-w", NAME + "/#")
    peace = connect()
    link = peace.create_sender("$mqtt.lwtservice", name=NAME + "-1")
    link.send(will(NAME + "/never", b"x", 1))
    link.close()
    cleared = connect()
    link = cleared.create_sender("$mqtt.willservice", name=NAME + "-2")
    link.send(will(NAME + "/never", b"x", 1))
    link.send(Message(subject="will-clear"))
    cleared.close()
    for level, service in ((0, "$mqtt.lwtservice"), (2, "$lwt")):
        brute = connect()
        link = brute.create_sender(service, name=NAME + "-3")
        link.send(will(NAME + "/old", b"old", level))
        link.send(will(NAME + "/will", b"\x00\xff", level, retain=True))
        brute.close()
        assert watcher.take() == (NAME + "/will", level, False, b"\x00\xff")
    assert Mqtt(NAME + "-l", NAME + "/will").take() == (NAME + "/will", 2, True, b"\x00\xff")
    try:
        connect().create_sender("$lwt", name=NAME + "-4").send(Message(subject="else"))
        raise AssertionError("what is no will was taken")
    except LinkDetached as why:
        assert "decode-error" in str(why), why
    assert watcher.inbox.empty()


def sessions():
    """EM-13, EM-14, EM-15, EM-16, EM-18, EM-19, EM-24, EM-28."""
    publisher = Mqtt(NAME + "-p")
    publisher.publish(NAME + "/kept", b"kept", retain=True)
    # EM-25: the client id has dots and the words of the addresses in it.
    ident = NAME + ".publish.control/\u00fc"
    address, control = "$mqtt.to.%s.publish" % ident, "$mqtt.to.%s.control" % ident
    connection = connect()
    answers, service = connection.create_receiver(control), connection.create_sender("$mqtt.subscriptionservice")

    def ask(subject, body=None, reply_to=None):
        return service.send(Message(subject=subject, correlation_id=address, reply_to=reply_to, body=body))

    def subscriptions():
        ask("list", reply_to=control)
        answer = take(answers)
        assert answer.subject == "subscriptions", answer
        return answer.body

    assert subscriptions() == {}
    ask("subscribe", {NAME + "/#": "1", "other": "2", "third": "0"})
    publisher.publish(NAME + "/live", b"live")
    receiver = connection.create_receiver(address)
    got = [take(receiver) for _ in range(2)]
    assert [(m.address, m.body, m.annotations[RETAIN]) for m in got] == [
        (NAME + "/kept", b"kept", True), (NAME + "/live", b"live", False)]
    assert subscriptions() == {NAME + "/#": "1", "other": "2", "third": "0"}
    ask("unsubscribe", ["other"])
    ask("unsubscribe", "third")
    assert subscriptions() == {NAME + "/#": "1"}
    try:
        ask("else")
        raise AssertionError("an unknown subject was taken")
    except SendException as why:
        assert why.state == Delivery.REJECTED, why
    connection.close()
    publisher.publish(NAME + "/away", b"away")
    moved = Mqtt(ident, kept=True)
    assert moved.present and moved.take()[0] == NAME + "/away"
    moved.leave()
    publisher.publish(NAME + "/again", b"again")
    connection = connect()
    assert take(connection.create_receiver(address)).address == NAME + "/again"
    connection.close()
    connection = connect()
    answers, service = connection.create_receiver(control), connection.create_sender("$subctrl")
    ask("close")
    assert subscriptions() == {}


def crossing():
    """EM-11, EM-20, EM-27: every property of the table, both ways."""
    there = Mqtt(NAME + "-c", NAME + "/to-mqtt")
    connection = connect()
    sender, receiver = connection.create_sender(NAME + "/to-mqtt"), connection.create_receiver(NAME + "/to-amqp")
    sender.send(Message(body=b"raw", inferred=True, durable=True, content_type="text/x", correlation_id="c", ttl=20,
                        reply_to="back/here", subject="mine", properties={"k": "v", "n": 5}, annotations={QOS: 2}))
    message = there.inbox.get(timeout=PATIENCE)
    said = message.properties
    assert (message.qos, message.payload, said.ContentType, said.CorrelationData) == (2, b"raw", "text/x", b"c")
    assert (said.ResponseTopic, sorted(said.UserProperty)) == ("back/here", [("k", "v"), ("n", "5")])
    assert 0 < said.MessageExpiryInterval <= 20
    for durable, level in ((True, 1), (False, 0)):
        sender.send(Message(body="text", durable=durable))
        message = there.inbox.get(timeout=PATIENCE)
        assert (message.qos, message.payload, message.properties.PayloadFormatIndicator) == (level, b"text", 1)
    known = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    late = Message(body=b"x", inferred=True, correlation_id=known)
    late.expiry_time = time.time() + 100
    late.annotations = {FORMAT: ubyte(1), USER: ["a", "1", "a", "2"], RETAIN: True}
    sender.send(late)
    message = there.inbox.get(timeout=PATIENCE)
    said = message.properties
    assert (said.CorrelationData, said.PayloadFormatIndicator) == (b"urn:uuid:" + str(known).encode(), 1)
    assert said.UserProperty == [("a", "1"), ("a", "2")] and 90 <= said.MessageExpiryInterval <= 101, said
    kept = Mqtt(NAME + "-k", NAME + "/to-mqtt").inbox.get(timeout=PATIENCE)
    assert (kept.payload, kept.retain) == (b"x", True)
    sender.send(Message(body={"a": 1}))
    assert there.inbox.get(timeout=PATIENCE).properties.ContentType == "message/vnd.rabbitmq.amqp"
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType, properties.ResponseTopic, properties.CorrelationData = "text/plain", "re/ply", b"\x00\x01"
    properties.UserProperty = [("a", "1"), ("a", "2"), ("b", "3")]
    properties.MessageExpiryInterval, properties.PayloadFormatIndicator = 100, 1
    there.publish(NAME + "/to-amqp", b"hello", 2, properties=properties)
    message = take(receiver)
    assert (message.body, message.address, message.reply_to, message.content_type) == (
        b"hello", NAME + "/to-amqp", "re/ply", "text/plain")
    assert (message.durable, message.annotations[QOS], message.properties) == (True, 2, {"a": "1", "b": "3"})
    assert message.annotations[USER] == ["a", "1", "a", "2", "b", "3"]
    assert (message.annotations[FORMAT], message.annotations[RETAIN], message.correlation_id) == (1, False, b"\x00\x01")
    assert 90 < message.ttl <= 100
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = b"urn:uuid:" + str(known).encode()
    there.publish(NAME + "/to-amqp", b"kept", 1, retain=True, properties=properties)
    message = take(receiver)
    assert (message.correlation_id, message.annotations[QOS]) == (known, 1)
    message = take(connect().create_receiver(NAME + "/to-amqp"))
    assert (message.body, message.annotations[RETAIN]) == (b"kept", True), message


def sessions_see():
    """What only a session's receiver sees of the table: packet identifier, DUP, subscription identifiers, options of its
    subscription."""
    connection, address = connect(), "$mqtt.to.%s.publish" % NAME
    publisher = Mqtt(NAME + "-p")
    publisher.publish(NAME + "/kept", b"kept", retain=True)
    service = connection.create_sender("$mqtt.subscriptionservice")
    # What is retained already does not come (retain handling), and what comes live says that it is kept (as published).
    wanted = {"subscription-id": uint(77), "retain-handling": ubyte(2), "retain-as-published": True}
    service.send(Message(subject="subscribe", correlation_id=address, body={NAME + "/#": "2"},
                         annotations={symbol("x-opt-mqtt-" + name): value for name, value in wanted.items()}))
    receiver = connection.create_receiver(address)
    publisher.publish(NAME + "/live", b"live", 2, retain=True)

    def seen(message):
        return message.body, message.annotations[QOS], message.annotations[RETAIN], message.instructions[IDENTIFIER]

    first = receiver.receive(PATIENCE)
    first.body = first.body.tobytes()
    assert seen(first) == (b"live", 2, True, 77), first
    assert (first.delivery_count, first.first_acquirer, first.id > 0) == (0, True, True), first
    connection.close()
    connection = connect()
    again = take(connection.create_receiver(address))
    assert seen(again) == seen(first) and (again.delivery_count, again.first_acquirer, again.id) == (1, False, first.id), again
    connection.close()


def manage(connection, operation, name, body=None):
    answers = connection.create_receiver(None, dynamic=True)
    request = {"operation": operation, "type": "queue", "name": name}
    connection.create_sender("$management").send(
        Message(properties=request, reply_to=answers.link.remote_source.address, body=body or {}))
    return take(answers).properties["statusCode"]


def reasons():
    """Reason codes and outcomes: the same refusal in the words of each protocol."""
    connection, address = connect(), "/queues/" + NAME
    assert manage(connection, "CREATE", NAME, {"messages-max": 1}) == 201
    relay = connection.create_sender(None)

    def outcome(to):
        delivery = relay.link.send(Message(address=to, body=b"m", inferred=True, durable=True))
        connection.wait(lambda: delivery.remote_state, timeout=PATIENCE, msg="outcome")
        said = delivery.remote_state, delivery.remote.condition.name if delivery.remote.condition else None
        delivery.settle()
        return said

    codes, publisher = queue.Queue(), Mqtt(NAME + "-r")
    publisher.paho.on_publish = lambda _client, _data, _mid, code, _props: codes.put(code.value)

    def code(to):
        publisher.paho.publish(to, b"m", 1)
        return codes.get(timeout=PATIENCE)

    rejected = Delivery.REJECTED
    assert (outcome(NAME + "/nobody"), code(NAME + "/nobody")) == ((Delivery.ACCEPTED, None), 0x10)
    connection.create_receiver(NAME + "/somebody")
    assert (outcome(NAME + "/somebody"), code(NAME + "/somebody")) == ((Delivery.ACCEPTED, None), 0x00)
    assert outcome(address) == (Delivery.ACCEPTED, None)
    assert (outcome(address), code(address)) == ((rejected, "amqp:resource-limit-exceeded"), 0x97)
    assert (outcome("$SYS/mine"), code("$SYS/mine")) == ((rejected, "amqp:unauthorized-access"), 0x87)
    # A topic name with a wildcard ends an MQTT connection (3.14.2.1, 0x90).
    assert outcome(NAME + "/+") == (rejected, "amqp:invalid-field")
    connection.close()


def retained():
    """EM-23: set, replaced, fetched by a wildcard and deleted by AMQP clients."""
    connection = connect()
    sender = connection.create_sender(NAME + "/state")
    for body in (b"one", b"two"):
        sender.send(Message(body=body, inferred=True, durable=True, annotations={RETAIN: True}))
    receiver = connection.create_receiver(NAME + "/+")
    message = take(receiver)
    assert (message.body, message.annotations[RETAIN]) == (b"two", True)
    assert Mqtt(NAME + "-a", NAME + "/#").take() == (NAME + "/state", 1, True, b"two")
    sender.send(Message(body=b"", inferred=True, annotations={RETAIN: True}))
    late = Mqtt(NAME + "-b", NAME + "/#")
    late.publish(NAME + "/end", b"end")
    assert late.take()[0] == NAME + "/end"


def queues():
    """MQTT publishes into a queue, whatever the QoS, and consumers share what is there."""
    connection = connect()
    address = "/queues/" + NAME
    connection.create_sender(address).close()
    publisher = Mqtt(NAME + "-q")
    for number in range(6):
        publisher.publish(address, b"%d" % number, number % 3)
    one, two = (connection.create_receiver(address, credit=3, name=name) for name in ("one", "two"))
    # Whoever has used its credit up asks for one more when it receives: both have their share before that.
    shares = lambda: all(len(receiver.fetcher.incoming) == 3 for receiver in (one, two))
    connection.wait(shares, timeout=PATIENCE, msg="a share each")
    got = [take(receiver).body for receiver in (one, two) for _ in range(3)]
    assert sorted(got) == [b"%d" % number for number in range(6)], got


class SettlesSecond(LinkOption):
    def apply(self, link):
        link.snd_settle_mode, link.rcv_settle_mode = Link.SND_UNSETTLED, Link.RCV_SECOND


def drain(connection, receiver):
    receiver.link.drain(10)
    connection.wait(lambda: receiver.link.credit == 0, timeout=PATIENCE, msg="drained")


def settling():
    """Settled, unsettled and settled by the receiver second, both ways."""
    connection = connect()
    address = "/queues/" + NAME
    for number, option in enumerate((None, AtMostOnce(), SettlesSecond())):
        sender = connection.create_sender(address, name="s%d" % number, options=option)
        if isinstance(option, SettlesSecond):
            delivery = sender.link.send(Message(body=number, durable=True))
            connection.wait(lambda: delivery.remote_state, timeout=PATIENCE, msg="outcome")
            assert delivery.remote_state == Delivery.ACCEPTED
            delivery.settle()
        else:
            sender.send(Message(body=number))
        receiver = connection.create_receiver(address, credit=1, name="r%d" % number, options=option)
        assert receiver.receive(PATIENCE).body == number
        if not isinstance(option, AtMostOnce):
            receiver.accept()
        receiver.close()
    rest = connection.create_receiver(address, credit=0, name="rest")
    drain(connection, rest)
    assert rest.fetcher.has_message == 0
    connection.close()


def outcomes():
    """Released, modified, rejected and accepted; no more than credit, and a drain is answered."""
    connection = connect()
    address = "/queues/" + NAME
    sender = connection.create_sender(address)
    for body in ("released", "failed", "rejected", "accepted"):
        sender.send(Message(body=body, durable=True))
    receiver = connection.create_receiver(address)

    def come():
        message = receiver.receive(PATIENCE)
        return message.body, message.delivery_count

    assert come() == ("released", 0)
    receiver.release(delivered=False)
    assert come() == ("released", 0)
    receiver.accept()
    assert come() == ("failed", 0)
    receiver.fetcher.unsettled[0].local.failed = True
    receiver.release(delivered=True)
    assert come() == ("failed", 1)
    receiver.accept()
    assert come() == ("rejected", 0)
    receiver.reject()
    assert come() == ("accepted", 0)
    receiver.accept()
    drain(connection, receiver)
    assert receiver.fetcher.has_message == 0
    connection.close()


def long():
    """Ten megabytes, and an answer by a node of the broker's own making."""
    connection = connect()
    replies = connection.create_receiver(None, dynamic=True)
    sender = connection.create_sender("/queues/" + NAME)
    body = b"0123456789" * 1_000_000
    sender.send(Message(body=body, inferred=True, reply_to=replies.link.remote_source.address))
    asked = take(connection.create_receiver("/queues/" + NAME))
    assert asked.body == body
    connection.create_sender(None).send(Message(address=asked.reply_to, body="got it"))
    assert take(replies).body == "got it"
    connection.close()


def asks():
    """An MQTT client answers what Proton asks, under the response topic and the correlation data that it was given."""
    responder = Mqtt(NAME + "-responder", NAME + "/ask")

    def answer(_client, _data, asked):
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = asked.properties.CorrelationData
        responder.paho.publish(asked.properties.ResponseTopic, asked.payload.upper(), 1, properties=properties)

    responder.paho.on_message = answer
    requester = SyncRequestResponse(connect(), NAME + "/ask")
    for word in ("one", "two"):
        told = requester.call(Message(body=word))
        assert bytes(told.body) == word.upper().encode(), told.body
    requester.connection.close()
    responder.leave()


class Transaction(MessagingHandler, TransactionHandler):
    """Two messages in a transaction that is given up, two in one that is committed."""

    def __init__(self):
        super().__init__()
        self.bodies, self.commits = [["no", "never"], ["yes", "too"]], [False, True]

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect("127.0.0.1:%d" % AMQP_PORT, allowed_mechs="ANONYMOUS")
        self.sender = event.container.create_sender(self.connection, "/queues/" + NAME)

    def on_sendable(self, event):
        if event.sender == self.sender and self.bodies is not None and len(self.bodies) == 2:
            self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_declared(self, event):
        for body in self.bodies.pop(0):
            event.transaction.send(self.sender, Message(body=body))
        event.transaction.commit() if self.commits.pop(0) else event.transaction.abort()

    def on_transaction_aborted(self, event):
        self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_committed(self, event):
        self.bodies = None
        self.connection.close()


def transactions():
    """Of what was posted only that comes which was committed."""
    transaction = Transaction()
    Container(transaction).run()
    assert transaction.bodies is None
    connection = connect()
    receiver = connection.create_receiver("/queues/" + NAME)
    assert [take(receiver).body for _ in range(2)] == ["yes", "too"]
    connection.close()


def doors():
    """By TLS and a password; a wrong one is told so."""
    authority, user, password = sys.argv[5:]
    trust = SSLDomain(SSLDomain.MODE_CLIENT)
    trust.set_trusted_ca_db(authority)
    trust.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)

    def enter(secret):
        url = "amqps://localhost:%d" % AMQP_PORT
        return BlockingConnection(url, ssl_domain=trust, allowed_mechs="PLAIN", user=user, password=secret, timeout=PATIENCE)

    connection = enter(password)
    connection.create_sender("/queues/" + NAME).send(Message(body="by TLS"))
    assert take(connection.create_receiver("/queues/" + NAME)).body == "by TLS"
    connection.close()
    try:
        enter("wrong")
        raise AssertionError("a wrong password was taken")
    except ConnectionException as why:
        assert "auth" in str(why).lower(), why


def subscription(connection):
    return connection.create_receiver(NAME + "/durable", name="kept", options=DurableSubscription())


def leave():
    """What is unsettled, queued and subscribed when the broker is stopped."""
    connection = connect()
    connection.create_sender("/queues/" + NAME).send(Message(body="queued", durable=True))
    service = connection.create_sender("$mqtt.subscriptionservice")
    service.send(Message(subject="subscribe", correlation_id="$mqtt.to.%s.publish" % NAME, body={NAME + "/s": "1"}))
    connection.create_sender(NAME + "/s").send(Message(body="kept", durable=True))
    subscriber = BlockingConnection("amqp://127.0.0.1:%d" % AMQP_PORT, container_id=NAME, allowed_mechs="ANONYMOUS")
    subscription(subscriber).detach()
    subscriber.close()
    connection.create_sender(NAME + "/durable").send(Message(body="subscribed", durable=True))
    connection.create_sender("$lwt", name=NAME).send(will(NAME + "/will", b"will", 1, retain=True))
    # EM-10: the connection is still there when the broker goes.


def back():
    connection = connect()
    assert take(connection.create_receiver("/queues/" + NAME)).body == "queued"
    assert take(connection.create_receiver("$mqtt.to.%s.publish" % NAME)).body == "kept"
    subscriber = BlockingConnection("amqp://127.0.0.1:%d" % AMQP_PORT, container_id=NAME, allowed_mechs="ANONYMOUS")
    assert take(subscription(subscriber)).body == "subscribed"
    assert Mqtt(NAME + "-r", NAME + "/will").take() == (NAME + "/will", 1, True, b"will")


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        sys.exit()
    SCENARIO, AMQP_PORT, MQTT_PORT, NAME = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    globals()[SCENARIO]()
