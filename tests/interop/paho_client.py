"""Scenarios with paho: paho_client.py SCENARIO PORT VERSION NAME. VERSION is the protocol level, NAME a word of the row's own."""

import queue
import socket
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 20


class Client:
    """A connected client with a queue of what it was sent."""

    def __init__(self, name, kept=False, will=None):
        self.inbox = queue.Queue()
        self.steps = queue.Queue()
        extra = {} if VERSION == mqtt.MQTTv5 else {"clean_session": not kept}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=VERSION, **extra)
        self.paho.on_message = lambda _client, _data, message: self.inbox.put(message)
        self.paho.on_connect = lambda _client, _data, flags, code, _props: self.steps.put((flags.session_present, code))
        self.paho.on_subscribe = lambda *_: self.steps.put("subscribed")
        self.paho.on_disconnect = lambda *_: self.steps.put("disconnected")
        if will:
            self.paho.will_set(*will)
        at_connect = {}
        if VERSION == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600 if kept else 0
            at_connect = {"clean_start": not kept, "properties": properties}
        self.paho.connect("127.0.0.1", PORT, **at_connect)
        self.paho.loop_start()
        self.present, code = self.steps.get(timeout=PATIENCE)
        assert not code.is_failure, code

    def subscribe(self, topic, qos):
        self.paho.subscribe(topic, qos)
        assert self.steps.get(timeout=PATIENCE) == "subscribed"

    def publish(self, topic, payload, qos, retain=False):
        self.paho.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)
        if qos == 0:
            # Nothing answers that; an answer to what follows it on this connection does.
            self.paho.publish(NAME + "/sync", "", 1).wait_for_publish(PATIENCE)

    def expect(self, topic, payload, qos, retain=False):
        got = self.inbox.get(timeout=PATIENCE)
        got = (got.topic, got.payload.decode(), got.qos, got.retain)
        assert got == (topic, payload, qos, retain), got

    def leave(self):
        self.paho.disconnect()
        assert self.steps.get(timeout=PATIENCE) == "disconnected"
        self.paho.loop_stop()

    def cut(self):
        self.paho.loop_stop()
        self.paho.socket().shutdown(socket.SHUT_RDWR)


def exchange():
    subscriber, publisher = Client(NAME + "s"), Client(NAME + "p")
    for granted in (0, 1, 2):
        topic = f"{NAME}/{granted}"
        subscriber.subscribe(topic, granted)
        for qos in (0, 1, 2):
            publisher.publish(topic, f"at {qos}", qos)
            subscriber.expect(topic, f"at {qos}", min(qos, granted))


def retained():
    publisher = Client(NAME + "p")
    for qos in (0, 1, 2):
        topic, fence = f"{NAME}/{qos}", f"{NAME}/fence/{qos}"
        publisher.publish(topic, "kept", qos, retain=True)
        first = Client(f"{NAME}a{qos}")
        first.subscribe(topic, 2)
        first.expect(topic, "kept", qos, retain=True)
        publisher.publish(topic, "", qos, retain=True)
        second = Client(f"{NAME}b{qos}")
        second.subscribe(topic, 2)
        second.subscribe(fence, 2)
        publisher.publish(fence, "fence", 1)
        second.expect(fence, "fence", 1)


def will():
    watcher = Client(NAME + "w")
    for qos in (0, 1, 2):
        topic = f"{NAME}/{qos}"
        watcher.subscribe(topic, 2)
        Client(f"{NAME}m{qos}", will=(topic, "gone", qos)).cut()
        watcher.expect(topic, "gone", qos)


def leave():
    subscriber = Client(NAME, kept=True)
    assert not subscriber.present
    subscriber.subscribe(NAME, 2)
    subscriber.leave()
    publisher = Client(NAME + "p")
    for number in range(20):
        publisher.publish(NAME, str(number), 1 + number % 2)
    publisher.publish(NAME + "/retained", "kept", 1, retain=True)
    publisher.leave()


def back():
    subscriber = Client(NAME, kept=True)
    assert subscriber.present
    got = [subscriber.inbox.get(timeout=PATIENCE) for _ in range(20)]
    # The client hands a message of QoS 2 over when it is released: each QoS keeps its own order.
    for qos in (1, 2):
        payloads = [message.payload.decode() for message in got if message.qos == qos]
        assert payloads == [str(number) for number in range(qos - 1, 20, 2)], payloads
    subscriber.subscribe(NAME + "/retained", 1)
    subscriber.expect(NAME + "/retained", "kept", 1, retain=True)
    subscriber.publish(NAME + "/retained", "", 1, retain=True)


def offline():
    leave()
    back()


SCENARIOS = {"exchange": exchange, "retained": retained, "will": will, "leave": leave, "return": back, "offline": offline}

if sys.argv[1] != "probe":
    PORT, VERSION, NAME = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    SCENARIOS[sys.argv[1]]()
