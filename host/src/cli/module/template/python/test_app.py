import unittest

import app
from wit_world.exports import routing
from wit_world.imports import types


class Marks(unittest.TestCase):
    def test_a_message_is_marked(self):
        app.Lifecycle().configure("{}")
        client = types.Client("c1", None, types.Protocol.MQTT, "mqtt", "")
        envelope = types.Envelope("a/b", types.Guarantee.AT_LEAST_ONCE, False, None, None, False, None, None, [])
        decision = app.Routing().on_publish(client, envelope, None)
        self.assertIsInstance(decision.verdict, routing.Verdict_Readdress)
        self.assertEqual(decision.verdict.value.user_properties, [("seen-by", "{{name}}")])


if __name__ == "__main__":
    unittest.main()
