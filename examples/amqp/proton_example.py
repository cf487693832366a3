"""Retained messages, wills and sessions with Qpid Proton: python proton_example.py [amqp://127.0.0.1:5672]

Needs `pip install python-qpid-proton`.
"""

import sys
import uuid

from proton import Message, symbol
from proton.utils import BlockingConnection

URL = sys.argv[1] if len(sys.argv) > 1 else "amqp://127.0.0.1:5672"
QOS, RETAIN, PRESENT = (symbol(name) for name in (
    "x-opt-mqtt-qos", "x-opt-retain-message", "x-opt-mqtt-session-present"))
ROOM = "example/" + uuid.uuid4().hex


def connect():
    return BlockingConnection(URL, timeout=10)


def take(receiver):
    message = receiver.receive(10)
    receiver.accept()
    if isinstance(message.body, memoryview):
        message.body = message.body.tobytes()
    return message


def retained():
    connection = connect()
    sender = connection.create_sender(ROOM + "/state")
    # Kept as the last value of its topic. `inferred` makes a Data section of the bytes.
    sender.send(Message(body=b"open", inferred=True, durable=True, annotations={RETAIN: True}))
    # Whoever comes later gets it first.
    receiver = connection.create_receiver(ROOM + "/+")
    message = take(receiver)
    print("retained:", message.body, message.annotations[RETAIN])
    assert message.body == b"open" and message.annotations[RETAIN]
    receiver.close()
    # An empty one deletes it.
    sender.send(Message(body=b"", inferred=True, annotations={RETAIN: True}))
    connection.close()


def will():
    watcher = connect().create_receiver(ROOM + "/door")
    last_words = Message(subject="will", address=ROOM + "/door", body=b"gone", inferred=True,
                         durable=True, annotations={QOS: 1, RETAIN: False})
    # The name of the link is the client id. `send` returns when the will is on disk.
    peaceful = connect()
    link = peaceful.create_sender("$mqtt.lwtservice", name=ROOM + "-1")
    link.send(last_words)
    link.close()  # in peace: nothing is published
    peaceful.close()
    lost = connect()
    lost.create_sender("$mqtt.lwtservice", name=ROOM + "-2").send(last_words)
    lost.close()  # without a detach of the link: published, as if the socket had been cut
    message = take(watcher)
    print("will:", message.body)
    assert message.body == b"gone"


def session():
    ident = uuid.uuid4().hex
    publish, control = "$mqtt.to.%s.publish" % ident, "$mqtt.to.%s.control" % ident
    connection = connect()
    answers = connection.create_receiver(control)
    service = connection.create_sender("$mqtt.subscriptionservice")

    def ask(subject, **more):
        service.send(Message(subject=subject, correlation_id=publish, **more))

    ask("subscribe", body={ROOM + "/news/#": "1"})
    ask("list", reply_to=control)
    answer = take(answers)
    print("subscriptions:", answer.body, answer.annotations[PRESENT])
    assert answer.body == {ROOM + "/news/#": "1"} and answer.annotations[PRESENT]
    connection.close()
    # While the client is away, its session collects.
    away = connect()
    away.create_sender(ROOM + "/news/1").send(Message(body=b"hello", inferred=True, durable=True))
    away.close()
    connection = connect()
    message = take(connection.create_receiver(publish))
    print("session:", message.address, message.body, message.annotations[QOS])
    assert (message.address, message.body, message.annotations[QOS]) == (ROOM + "/news/1", b"hello", 1)
    service = connection.create_sender("$mqtt.subscriptionservice")
    ask("close")
    connection.close()


if __name__ == "__main__":
    retained()
    will()
    session()
    print("done")
