"""Somebody on the network who repeats what gateways sent before: twice, later and in another order."""

import random
import threading
from collections import deque

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from shared.topics import every_gateway
from tests.crash_matrix.programs import LOOPBACK

KEPT_MESSAGES = 400


class Replayer:
    """Listens to records and backfill, and publishes some of them again."""

    def __init__(self, broker_port: int) -> None:
        self._port = broker_port
        self._kept: deque[tuple[str, bytes]] = deque(maxlen=KEPT_MESSAGES)
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="replayer")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._keep

    def start(self) -> None:
        """Begin to listen."""
        self._client.connect_async(LOOPBACK, self._port)
        self._client.loop_start()

    def close(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()

    def repeat(self, chance: random.Random) -> None:
        """Publish messages again, some of them twice, in any order."""
        with self._lock:
            kept = list(self._kept)
        chosen = chance.sample(kept, k=len(kept) // 2)
        chosen += chance.sample(chosen, k=len(chosen) // 2)
        chance.shuffle(chosen)
        for topic, payload in chosen:
            self._client.publish(topic, payload, qos=1)

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(every_gateway("records"), 1), (every_gateway("backfill"), 1)])

    def _keep(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            self._kept.append((message.topic, bytes(message.payload)))
