"""A module for Pliant: says on every message that it came through here."""

import json

from wit_world import exports
from wit_world.exports import lifecycle, routing
from wit_world.imports import types


class Lifecycle(exports.Lifecycle):
    # Called first on every fresh instance. To refuse a configuration, raise
    # Err(types.Refusal(types.RefusalKind.UNSPECIFIED, "...")), with Err from componentize_py_types.
    def configure(self, config: str) -> lifecycle.Manifest:
        json.loads(config)
        return lifecycle.Manifest(
            description="marks every message",
            version="0.1.0",
            routing=lifecycle.Interest(filters=[]),
            unflagged_retain=None,
            retain_by_topic=False,
            delivers_as_is=True,
            delivery=lifecycle.Interest(filters=[]),
            tick_milliseconds=None,
        )


class Routing(exports.Routing):
    def on_publish(
        self, publisher: types.Client, envelope: types.Envelope, payload: types.Payload
    ) -> routing.Decision:
        envelope.user_properties.append(("seen-by", "{{name}}"))
        return routing.Decision(verdict=routing.Verdict_Readdress(envelope), also=[])
