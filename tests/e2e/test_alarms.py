"""An engine wears out before real programs, and somebody is told once."""

from simulators.engine_model import SimulatedEngine

LIFE = [(1, cycle, values) for cycle, values, _ in SimulatedEngine("E-1", seed=7).rows()]


def test_p1_p2_an_engine_that_wears_out_raises_its_alarm_once_though_the_centre_is_killed(
    aggregator, make_agent, wait_until, hook
):
    url, events = hook
    told = {"name": "cmms", "kind": "cloudevents", "url": url, "wishes": {"priority": "urgent"}}
    assert aggregator.api.post("/receivers", json=told).status_code == 201

    def alarms(**query):
        return aggregator.pages("/alarms", engine="E-1", **query)

    def cycles_predicted():
        return len(aggregator.history("E-1", "predictions"))

    aggregator.register("E-1", "gw-1")
    agent = make_agent()
    agent.start()
    agent.feed(*LIFE[:40])
    wait_until(lambda: cycles_predicted() == 40, "the young engine is predicted")
    assert alarms() == []
    agent.feed(*LIFE[40:])
    aggregator.kill()
    aggregator.start()
    wait_until(lambda: cycles_predicted() == len(LIFE), "its whole life is predicted")

    found = {alarm["rule"]: alarm for alarm in alarms()}
    assert len(found) == len(alarms())
    critical = found["rul-critical"]
    assert (critical["state"], critical["priority"], critical["site"]) == ("active", "urgent", "hamburg")
    assert LIFE[-1][1] - critical["cycle"] < 60
    raised = [change["action"] for change in aggregator.api.get(f"/alarms/{critical['id']}").json()["changes"]]
    assert raised.count("raised") == critical["times_raised"]
    body = {"condition": {"kind": "rul_low", "below_cycles": 20, "probability": 0.05}}
    tried = aggregator.api.post("/alarm-rules/simulations", json=body).json()
    assert (tried["records"], len(tried["raised"])) == (len(LIFE), critical["times_raised"])

    wait_until(lambda: len({event["id"] for event in events}) == critical["times_raised"], "somebody is told")
    assert {event["data"]["alarm"]["id"] for event in events} == {critical["id"]}

    acknowledged = aggregator.api.post(f"/alarms/{critical['id']}/acknowledgement").json()
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("active", "anyone")
    assert critical["id"] not in [alarm["id"] for alarm in alarms(acknowledged="false")]
