"""What is wrong gets a clear reason; nothing is lost, and nobody stops."""

import shutil
from itertools import islice

import paho.mqtt.publish as publish

from shared.predictor import find_bundle
from simulators.engine_model import SimulatedEngine


def rows(count):
    return [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=5).rows(), count)]


def test_p10_malformed_messages_are_kept_with_their_reason_and_the_rest_is_served(
    aggregator, make_agent, mosquitto, wait_until
):
    aggregator.register("E-1", "gw-1")
    for topic, payload in (
        ("spoolwatch/v1/hamburg/gw-1/records", b"\xff\x00 no json"),
        ("spoolwatch/v1/hamburg/gw-1/records", b'{"v":1,"stream_id":"s","records":[[1,{"kind":"rumour"}]]}'),
        ("spoolwatch/v1/hamburg/gw-9/records", b'{"v":1,"stream_id":"s","records":[[1,{"kind":"telemetry"}]]}'),
        ("spoolwatch/v1/hamburg/gw-1/status", b"alive"),
    ):
        publish.single(topic, payload, qos=1, hostname=mosquitto.host, port=mosquitto.port)
    agent = make_agent()
    agent.feed(*rows(5))
    agent.start()
    wait_until(lambda: len(aggregator.history("E-1", "predictions")) == 5, "5 predictions")
    kept = wait_until(lambda: len(items := aggregator.pages("/quarantine")) == 4 and items, "4 quarantined messages")
    assert {(item["gateway"], item["topic"].rpartition("/")[2], item["seq"]): item["reason"] for item in kept} == {
        ("gw-1", "records", None): "JSON is malformed: invalid character (byte 0)",
        ("gw-1", "records", 1): "Invalid value 'rumour' - at `$.kind`",
        ("gw-9", "records", 1): "gateway gw-9 is not registered",
        ("gw-1", "status", None): "JSON is malformed: invalid character (byte 0)",
    }


def test_p10_records_of_an_engine_nobody_registered_are_set_aside_at_both_ends(aggregator, make_agent, wait_until):
    agent = make_agent()
    agent.feed(*rows(4))
    agent.start()
    wait_until(lambda: agent.status()["outbox"]["dead_letters"] == 8, "8 dead letters")
    assert agent.status()["outbox"]["unacked"] == 0
    quarantined = aggregator.pages("/quarantine")
    assert len(quarantined) == 8
    assert "gw-1" in quarantined[0]["reason"] or "E-1" in quarantined[0]["reason"]
    assert aggregator.api.get("/engines/E-1").status_code == 404


def test_p9_liveness_says_why(aggregator, make_agent, wait_until):
    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    agent.feed(*rows(3))

    def liveness():
        return aggregator.api.get("/engines/E-1").json()["liveness"]

    assert liveness()["state"] == "never_seen"
    agent.start()
    wait_until(lambda: liveness()["state"] == "online", "online")
    agent.kill()
    wait_until(lambda: liveness()["state"] == "offline", "offline after kill -9")
    assert "will" in liveness()["reason"]
    agent.start()
    wait_until(lambda: liveness()["state"] == "online", "online again")
    agent.stop()
    wait_until(lambda: liveness()["state"] == "offline", "offline after a stop")
    assert "stopped" in liveness()["reason"]


def test_a_damaged_model_is_named_and_the_agent_does_not_start(make_agent, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle("turbofan"), bundle)
    model = bundle / "model.tflite"
    model.write_bytes(model.read_bytes()[:1000])
    agent = make_agent(model=str(bundle))
    status, printed = agent.run()
    assert status == 1
    assert "model.tflite is damaged" in printed


def test_a_wrong_setting_is_named_and_systemd_is_told_not_to_try_again(make_agent):
    agent = make_agent(colour="red")
    status, printed = agent.run()
    assert status == 78
    assert "colour: is not a setting" in printed


def test_a_second_agent_on_the_same_folder_is_refused(make_agent, aggregator, wait_until):
    first = make_agent()
    first.start()
    wait_until(lambda: first.outbox.exists(), "the first agent runs")
    first_process = first.process
    status, printed = first.run()
    first.process = first_process
    assert status == 1
    assert "another agent is running" in printed
