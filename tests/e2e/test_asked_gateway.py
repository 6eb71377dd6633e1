"""A gateway is asked by command, over a real broker; where it is gone, the centre answers in its place."""

import subprocess
from itertools import islice

import httpx

from simulators.engine_model import SimulatedEngine

ROWS = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), 40)]


def test_p6_p8_a_prediction_is_asked_of_the_gateway_and_of_the_centre_once_it_is_gone(
    aggregator, make_agent, wait_until
):
    def key():
        line = [aggregator.process.args[0], "command-key", "--data-dir", str(aggregator.store.parent)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    def predict(**query):
        answer = api.post("/engines/E-1/predict", params=query)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def stored():
        return aggregator.history("E-1", "predictions")

    aggregator.register("E-1", "gw-1")
    agent = make_agent(centre_key=key())
    agent.start()
    agent.feed(*ROWS)
    wait_until(lambda: len(stored()) == len(ROWS), "every row is predicted")
    unasked = stored()[-1]
    with httpx.Client(base_url=aggregator.api.base_url, timeout=90) as api:
        asked = predict(wait_s=30)
        assert (asked["state"], asked["reason"]) == ("done", None), asked
        assert asked["prediction"]["origin"] == "command"
        for same in ("rul", "cycle", "window", "flags", "model", "runtime"):
            assert asked["prediction"][same] == unasked[same]
        again = api.post(f"/engines/E-1/predictions/{asked['prediction']['id']}/replay").json()
        assert again["agreement"] == "identical"

        (gateway,) = wait_until(
            lambda: [one for one in aggregator.pages("/gateways") if one["status"]["sent_bytes"] > 40 * 200],
            "what the gateway sent is counted",
        )
        assert gateway["status"]["model"] == unasked["model"]
        assert gateway["status"]["outbox_hours_left"] > 1
        assert gateway["status"]["engines"] == ["E-1"]
        assert gateway["status"]["last_row_at"] is not None

        resent = api.post(
            "/gateways/gw-1/commands", params={"wait_s": 30}, json={"action": "resend", "ranges": [[1, 20]]}
        ).json()
        assert (resent["state"], resent["unavailable"]) == ("done", None)
        restarted = api.post("/gateways/gw-1/commands", params={"wait_s": 30}, json={"action": "restart_source"}).json()
        assert restarted["state"] == "done"
        more = [(1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=7).rows(), 40, 50)]
        agent.feed(*more)
        wait_until(lambda: stored()[-1]["cycle"] == 50, "the source is read on")

        agent.kill()
        wait_until(
            lambda: api.get("/engines/E-1").json()["liveness"]["state"] != "online", "the gateway is known to be gone"
        )
        here = predict()
        assert here["prediction"]["origin"] == "centre"
        assert "gateway gw-1 is" in here["reason"]
        unasked = next(one for one in reversed(stored()) if one["origin"] == "edge")
        for same in ("rul", "cycle", "window", "flags", "model", "runtime"):
            assert here["prediction"][same] == unasked[same]
        state = api.get("/engines/E-1").json()
        assert (state["prediction"]["id"], state["prediction"]["origin"]) == (unasked["id"], "edge")
    assert aggregator.pages("/quarantine") == []
