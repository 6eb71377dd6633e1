"""An agent written from docs/protocol.md alone, which shares no line with the project's own, is served as well."""

import json
import shutil
import sqlite3
import time
import uuid
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
import pytest

TOPIC = "spoolwatch/v1/hamburg/gw-1"
ANSWER_TIMEOUT_S = 1.0
HEARTBEAT_INTERVAL_S = 5.0
DEADLINE_S = 60.0


class OtherAgent:
    """Keeps its outbox in SQLite, sends one envelope at a time, and does all of it in the caller's thread."""

    def __init__(self, path, broker):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("""
            PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY, body TEXT, not_before REAL DEFAULT 0);
            CREATE TABLE IF NOT EXISTS aside (body TEXT, reason TEXT);
            CREATE TABLE IF NOT EXISTS stream (stream_id TEXT, next_seq INTEGER, sessions INTEGER);
        """)
        if not self.db.execute("SELECT 1 FROM stream").fetchone():
            self.db.execute("INSERT INTO stream VALUES (?, 1, 0)", (uuid.uuid4().hex,))
        self.db.execute("UPDATE stream SET sessions = sessions + 1")
        self.nonce, self.accepting = uuid.uuid4().hex, {}
        self.ready, self.resend_at, self.heartbeat_at = False, 0.0, 0.0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "gw-1")
        self.client.will_set(f"{TOPIC}/status", self.status("will"), qos=1, retain=True)
        self.client.on_message = self.on_message
        self.client.on_subscribe = self.on_subscribe
        self.client.connect(broker.host, broker.port)
        self.client.subscribe([(f"{TOPIC}/ack", 1), (f"{TOPIC}/status", 1), ("spoolwatch/v1/centre/+/status", 1)])

    def status(self, event):
        stream_id, next_seq, sessions = self.db.execute("SELECT * FROM stream").fetchone()
        message = {"v": 1, "event": event, "session": {"counter": sessions, "boot_nonce": self.nonce}}
        message |= {"stream_id": stream_id, "next_seq": next_seq, "sent_at": datetime.now(UTC).isoformat()}
        message |= {"heartbeat_interval_s": HEARTBEAT_INTERVAL_S, "agent_version": "other 1", "engines": ["E-1"]}
        return json.dumps(message | {"source": {"kind": "by hand", "state": "reading"}, "outbox": {}})

    def say(self, event):
        self.client.publish(f"{TOPIC}/status", self.status(event), qos=1, retain=True)
        self.heartbeat_at = time.monotonic() + HEARTBEAT_INTERVAL_S

    def accept(self, *records):
        """Number records and make them durable; from here on their bytes stay as they are."""
        self.db.execute("BEGIN")
        for record in records:
            self.db.execute("INSERT INTO record (seq, body) SELECT next_seq, ? FROM stream", (json.dumps(record),))
            self.db.execute("UPDATE stream SET next_seq = next_seq + 1")
        self.db.execute("COMMIT")

    def run_until(self, condition):
        until = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < until, f"still not after {DEADLINE_S} s"
            assert self.client.loop(0.05) == mqtt.MQTT_ERR_SUCCESS, "the connection is lost"
            if self.ready and time.monotonic() > self.heartbeat_at:
                self.say("heartbeat")
            if self.ready and time.monotonic() > self.resend_at and any(self.accepting.values() or [True]):
                self.send_waiting()

    def send_waiting(self):
        query = "SELECT seq, body FROM record WHERE not_before <= ? ORDER BY seq LIMIT 100"
        if waiting := self.db.execute(query, (time.time(),)).fetchall():
            (stream_id,) = self.db.execute("SELECT stream_id FROM stream").fetchone()
            records = ",".join(f"[{seq},{body}]" for seq, body in waiting)
            self.client.publish(f"{TOPIC}/records", f'{{"v":1,"stream_id":"{stream_id}","records":[{records}]}}', qos=1)
            self.resend_at = time.monotonic() + ANSWER_TIMEOUT_S

    def on_subscribe(self, *_):
        self.ready = True
        self.say("birth")

    def on_message(self, _client, _userdata, message):
        body = json.loads(message.payload)
        if message.topic.startswith("spoolwatch/v1/centre/"):
            self.accepting[body["replica"]] = body["accepting"]
        elif message.topic == f"{TOPIC}/ack":
            self.on_ack(body)
        elif self.ready and body["event"] == "will":
            self.say("birth")

    def on_ack(self, ack):
        if ack["v"] != 1 or (ack["stream_id"],) != self.db.execute("SELECT stream_id FROM stream").fetchone():
            return
        self.resend_at = 0.0
        if ack["conflict"] is not None:
            self.open_new_stream()
        self.db.execute("BEGIN")
        self.db.executemany("DELETE FROM record WHERE seq BETWEEN ? AND ?", ack["committed"])
        for entry in ack["quarantined"]:
            query = "INSERT INTO aside SELECT body, ? FROM record WHERE seq = ?"
            self.db.execute(query, (entry["reason"], entry["seq"]))
            self.db.execute("DELETE FROM record WHERE seq = ?", (entry["seq"],))
        for entry in ack["deferred"]:
            query = "UPDATE record SET not_before = ? WHERE seq BETWEEN ? AND ?"
            self.db.execute(query, (time.time() + entry["retry_after_s"], *entry["range"]))
        self.db.execute("COMMIT")

    def open_new_stream(self):
        bodies = self.db.execute("SELECT body FROM record ORDER BY seq").fetchall()
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM record")
        self.db.executemany(
            "INSERT INTO record (seq, body) VALUES (?, ?)", [(n, b) for n, (b,) in enumerate(bodies, 1)]
        )
        self.db.execute("UPDATE stream SET stream_id = ?, next_seq = ?", (uuid.uuid4().hex, len(bodies) + 1))
        self.db.execute("COMMIT")
        self.say("birth")

    def unacked(self):
        return self.db.execute("SELECT count(*) FROM record").fetchone()[0]

    def is_drained(self):
        return self.unacked() == 0

    def die(self):
        """As kill -9 would: no farewell, and nothing is heard any more."""
        self.client.socket().close()
        self.client.on_message = self.client.on_subscribe = None  # or they would keep the client alive, and it us
        self.db.close()


@pytest.fixture
def start(aggregator, mosquitto, tmp_path):
    aggregator.register("E-1", "gw-1")
    agents = []

    def start():
        agents.append(OtherAgent(tmp_path / "other.db", mosquitto))
        return agents[-1]

    yield start
    agents[-1].die()


def row(cycle, engine="E-1"):
    return {
        "kind": "telemetry",
        "engine": engine,
        "cycle": cycle,
        "observed_at": "2026-03-01T12:00:00Z",
        "channels": {"T24": 640 + cycle / 10, "T30": None},
    }


def cycles(aggregator):
    return sorted(item["cycle"] for item in aggregator.history("E-1", "telemetry"))


def test_its_records_are_committed_and_freed(start, aggregator):
    agent = start()
    agent.accept(*map(row, range(1, 251)))
    agent.run_until(agent.is_drained)
    assert cycles(aggregator) == list(range(1, 251))
    assert aggregator.pages("/quarantine") == []


def test_its_liveness_is_known(start, aggregator):
    def state():
        return aggregator.api.get("/engines/E-1").json()["liveness"]["state"]

    agent = start()
    agent.run_until(lambda: state() == "online")
    agent.say("stopped")
    agent.run_until(lambda: state() == "offline")


def test_a_refused_record_is_told_with_its_reason_and_the_rest_counts(start, aggregator):
    agent = start()
    agent.accept(
        row(1), row(1, engine="nobody-registered-it"), row(2), row(2) | {"channels": {"T24": 999}}, {"kind": "?"}
    )
    agent.run_until(agent.is_drained)
    assert cycles(aggregator) == [1, 2]
    reasons = [reason for _, reason in agent.db.execute("SELECT * FROM aside ORDER BY rowid")]
    assert len(reasons) == len(aggregator.pages("/quarantine")) == 3
    assert "not registered" in reasons[0]
    assert "other content" in reasons[1]
    assert "kind" in reasons[2]


def test_what_it_sends_again_counts_once(start, aggregator, wait_until):
    agent = start()
    agent.accept(*map(row, range(1, 11)))
    agent.run_until(lambda: agent.resend_at)
    wait_until(lambda: len(cycles(aggregator)) == 10, "the records are committed")
    assert agent.unacked() == 10, "the answer was heard, so nothing is sent again"
    agent.die()
    agent = start()
    agent.accept(row(11))
    agent.run_until(agent.is_drained)
    assert cycles(aggregator) == list(range(1, 12))
    assert aggregator.pages("/quarantine") == []


def test_an_outbox_put_back_to_an_old_copy_goes_on_in_a_new_stream(start, aggregator, tmp_path):
    agent = start()
    agent.accept(*map(row, range(1, 6)))
    agent.run_until(agent.is_drained)
    shutil.copy(tmp_path / "other.db", tmp_path / "copy.db")
    agent.accept(*map(row, range(6, 11)))
    agent.run_until(agent.is_drained)
    (old,) = agent.db.execute("SELECT stream_id FROM stream").fetchone()
    agent.die()
    shutil.copy(tmp_path / "copy.db", tmp_path / "other.db")
    agent = start()
    agent.accept(*map(row, range(9, 16)))  # the source is read again from somewhat before
    agent.run_until(agent.is_drained)
    assert cycles(aggregator) == list(range(1, 16))
    assert agent.db.execute("SELECT stream_id FROM stream").fetchone() != (old,)
    assert aggregator.pages("/quarantine") == []
