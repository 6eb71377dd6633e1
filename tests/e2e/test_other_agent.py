"""An agent written from docs/protocol.md alone, which shares no line with the project's own, is served as well."""

import base64
import json
import shutil
import sqlite3
import subprocess
import time
import uuid
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOPIC = "spoolwatch/v1/hamburg/gw-1"
ANSWER_TIMEOUT_S = 1.0
HEARTBEAT_INTERVAL_S = 5.0
TELL_AGAIN_S = 60.0
DEADLINE_S = 60.0


class OtherAgent:
    """Keeps its outbox in SQLite, sends one envelope at a time, and does all of it in the caller's thread.

    It keeps for ever what was committed, for a centre that must be made whole.
    """

    def __init__(self, path, broker, centre_key):
        self.centre_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(centre_key))
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("""
            PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS record
                (seq INTEGER PRIMARY KEY, body TEXT, not_before REAL DEFAULT 0, acked INTEGER DEFAULT 0);
            CREATE TABLE IF NOT EXISTS aside (body TEXT, reason TEXT);
            CREATE TABLE IF NOT EXISTS stream (stream_id TEXT, next_seq INTEGER, sessions INTEGER, epoch TEXT);
        """)
        if not self.db.execute("SELECT 1 FROM stream").fetchone():
            self.db.execute("INSERT INTO stream VALUES (?, 1, 0, NULL)", (uuid.uuid4().hex,))
        self.db.execute("UPDATE stream SET sessions = sessions + 1")
        self.nonce, self.accepting = uuid.uuid4().hex, {}
        self.ready, self.resend_at, self.heartbeat_at = False, 0.0, 0.0
        self.centre_epoch, self.tell_at = None, 0.0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "gw-1")
        self.client.will_set(f"{TOPIC}/status", json.dumps(self.status("will")), qos=1, retain=True)
        self.client.on_message = self.on_message
        self.client.on_subscribe = self.on_subscribe
        self.client.connect(broker.host, broker.port)
        own = [(f"{TOPIC}/{kind}", 1) for kind in ("ack", "status", "command")]
        self.client.subscribe([*own, ("spoolwatch/v1/centre/+/status", 1)])

    def status(self, event):
        stream_id, next_seq, sessions, _ = self.db.execute("SELECT * FROM stream").fetchone()
        message = {"v": 1, "event": event, "session": {"counter": sessions, "boot_nonce": self.nonce}}
        message |= {"stream_id": stream_id, "next_seq": next_seq, "sent_at": datetime.now(UTC).isoformat()}
        message |= {"heartbeat_interval_s": HEARTBEAT_INTERVAL_S, "agent_version": "other 1", "engines": ["E-1"]}
        return message | {"source": {"kind": "by hand", "state": "reading"}, "outbox": {}}

    def say(self, event, **more):
        self.client.publish(f"{TOPIC}/status", json.dumps(self.status(event) | more), qos=1, retain=True)
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
            if self.ready and time.monotonic() > self.tell_at and any(self.accepting.values()):
                self.tell_another_store()

    def send_waiting(self):
        query = "SELECT seq, body FROM record WHERE NOT acked AND not_before <= ? ORDER BY seq LIMIT 100"
        if waiting := self.db.execute(query, (time.time(),)).fetchall():
            (stream_id,) = self.db.execute("SELECT stream_id FROM stream").fetchone()
            records = ",".join(f"[{seq},{body}]" for seq, body in waiting)
            self.client.publish(f"{TOPIC}/records", f'{{"v":1,"stream_id":"{stream_id}","records":[{records}]}}', qos=1)
            self.resend_at = time.monotonic() + ANSWER_TIMEOUT_S

    def tell_another_store(self):
        (epoch,) = self.db.execute("SELECT epoch FROM stream").fetchone()
        if epoch is None and not self.db.execute("SELECT 1 FROM record WHERE acked").fetchone():
            self.db.execute("UPDATE stream SET epoch = ?", (self.centre_epoch,))
        elif epoch != self.centre_epoch:
            held = self.db.execute("SELECT min(seq), max(seq) FROM record GROUP BY seq / 100").fetchall()
            self.say("birth", store_epoch=epoch or "", held=held)
        self.tell_at = time.monotonic() + TELL_AGAIN_S

    def on_subscribe(self, *_):
        self.ready = True
        self.say("birth")

    def on_message(self, _client, _userdata, message):
        body = json.loads(message.payload)
        if message.topic.startswith("spoolwatch/v1/centre/"):
            self.accepting[body["replica"]] = body["accepting"]
            if body["accepting"]:
                self.centre_epoch, self.tell_at = body["store_epoch"], 0.0
        elif message.topic == f"{TOPIC}/command":
            if not message.retain:
                self.on_command(body)
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
        self.db.executemany("UPDATE record SET acked = 1 WHERE seq BETWEEN ? AND ?", ack["committed"])
        for entry in ack["quarantined"]:
            query = "INSERT INTO aside SELECT body, ? FROM record WHERE seq = ?"
            self.db.execute(query, (entry["reason"], entry["seq"]))
            self.db.execute("DELETE FROM record WHERE seq = ?", (entry["seq"],))
        for entry in ack["deferred"]:
            query = "UPDATE record SET not_before = ? WHERE seq BETWEEN ? AND ?"
            self.db.execute(query, (time.time() + entry["retry_after_s"], *entry["range"]))
        self.db.execute("COMMIT")

    def on_command(self, signed):
        bytes_signed = base64.b64decode(signed["command"])
        self.centre_key.verify(base64.b64decode(signed["signature"]), bytes_signed)
        command = json.loads(bytes_signed)
        order, unavailable = command["order"], []
        if order["action"] not in ("resend", "send_again"):
            reply = {"v": 1, "command_id": command["command_id"], "outcome": "refused", "reason": "no model is here"}
            self.client.publish(f"{TOPIC}/reply", json.dumps(reply), qos=1)
            return
        self.db.execute("BEGIN")
        if (order["stream_id"],) == self.db.execute("SELECT stream_id FROM stream").fetchone():
            for first, last in order["ranges"]:
                self.db.execute("UPDATE record SET acked = 0 WHERE seq BETWEEN ? AND ?", (first, last))
                held = {seq for (seq,) in self.db.execute("SELECT seq FROM record")}
                unavailable += [(seq, seq) for seq in range(first, last + 1) if seq not in held]
            if not unavailable and order["action"] == "resend":
                self.db.execute("UPDATE stream SET epoch = ?", (order["store_epoch"],))
        self.db.execute("COMMIT")
        reply = {"v": 1, "command_id": command["command_id"], "outcome": "done", "stream_id": order["stream_id"]}
        self.client.publish(f"{TOPIC}/reply", json.dumps(reply | {"unavailable": unavailable}), qos=1)

    def open_new_stream(self):
        bodies = self.db.execute("SELECT body FROM record WHERE NOT acked ORDER BY seq").fetchall()
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM record")
        self.db.executemany(
            "INSERT INTO record (seq, body) VALUES (?, ?)", [(n, b) for n, (b,) in enumerate(bodies, 1)]
        )
        self.db.execute("UPDATE stream SET stream_id = ?, next_seq = ?", (uuid.uuid4().hex, len(bodies) + 1))
        self.db.execute("COMMIT")
        self.say("birth")

    def unacked(self):
        return self.db.execute("SELECT count(*) FROM record WHERE NOT acked").fetchone()[0]

    def is_drained(self):
        return self.unacked() == 0

    def die(self):
        """As kill -9 would: no farewell, and nothing is heard any more."""
        self.client.socket().close()
        self.client.on_message = self.client.on_subscribe = None  # or they would keep the client alive, and it us
        self.db.close()


@pytest.fixture
def run(aggregator):
    """Run a command of the aggregator's program on its store; returns what it prints."""

    def run(*command):
        line = [aggregator.process.args[0], *command, "--data-dir", str(aggregator.store.parent)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture
def start(aggregator, mosquitto, tmp_path, run):
    aggregator.register("E-1", "gw-1")
    centre_key = run("command-key").strip()
    agents = []

    def start():
        agents.append(OtherAgent(tmp_path / "other.db", mosquitto, centre_key))
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


def test_it_makes_a_restored_centre_whole(start, aggregator, run, tmp_path):
    agent = start()
    agent.accept(*map(row, range(1, 151)))
    agent.run_until(agent.is_drained)
    run("backup", str(tmp_path / "backup.db"))
    agent.accept(*map(row, range(151, 351)))
    agent.run_until(agent.is_drained)
    aggregator.stop()
    run("restore", str(tmp_path / "backup.db"))
    aggregator.start()
    agent.run_until(lambda: cycles(aggregator) == list(range(1, 351)))
    assert run("missing") == ""


def test_it_is_asked_for_records_and_refuses_what_it_cannot_do(start, aggregator):
    def ask(command):
        path = aggregator.api.post("/gateways/gw-1/commands", json=command).raise_for_status().headers["Location"]
        shown = f"/gateways/gw-1/commands/{path.rpartition('/')[2]}"
        agent.run_until(lambda: aggregator.api.get(shown).json()["state"] != "waiting")
        return aggregator.api.get(shown).json()

    agent = start()
    agent.accept(*map(row, range(1, 6)))
    agent.run_until(agent.is_drained)
    told = ask({"action": "resend", "ranges": [[1, 9]]})
    assert (told["state"], told["unavailable"]) == ("done", [[6, 9]])
    agent.run_until(agent.is_drained)
    assert cycles(aggregator) == list(range(1, 6))
    told = ask({"action": "restart_source"})
    assert (told["state"], told["reason"]) == ("refused", "no model is here")
