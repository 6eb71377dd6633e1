"""POST /engines/{serial}/predict and /predictions: what the centre predicts for who asks."""

import asyncio
from datetime import timedelta
from itertools import islice

import msgspec
import pytest
from sqlalchemy import select

from aggregator import predicting, turns
from aggregator.api.schemas.predict import PredictionWish
from aggregator.released import model_named
from aggregator.store.installations import amend
from aggregator.store.registry import Registration, edit_engine, register_engine
from aggregator.store.tables import AuditEntry, Engine, Installation, core
from shared import runtimes
from shared.bundle import find_bundle, read_bundle
from shared.cmapss import CHANNELS
from shared.messages import ModelRef
from shared.predictor import load_bundle
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

VERSION = read_bundle(find_bundle("turbofan")).manifest.version
ROWS = [
    (cycle, dict(zip(CHANNELS, values, strict=True)))
    for cycle, values, _ in islice(SimulatedEngine("E-1", seed=3).rows(), 60)
]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, new_store):
    return new_store(request.param)


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


def enter_age(recorder, serial, cycles):
    """Enter how old an engine was when it was installed."""
    with recorder.store.session() as session:
        query = select(Installation).join(Engine, Engine.id == Installation.engine_id).where(Engine.serial == serial)
        (installation,) = session.scalars(query)
    amend(recorder.store, installation.id, {"installation_cycle": cycles}, recorder.clock())


@pytest.fixture
def live(recorder, predictor):
    """Give an engine rows, each predicted by its gateway."""

    def rows(serial="E-1", rows=ROWS, **place):
        recorder.register(serial, **place)
        enter_age(recorder, serial, 0)
        state = predictor.new_state()
        for cycle, channels in rows:
            step = predictor.step(state, SensorRow(serial, cycle, recorder.clock(), channels))
            recorder.send(recorder.row(serial, cycle, channels), **place)
        prediction = recorder.prediction(serial, cycle, model=predictor.model_ref)
        recorder.send(prediction, **place)
        return step.outcome

    return rows


def given(rows=ROWS):
    return {"rows": [{"cycle": cycle, "channels": channels} for cycle, channels in rows]}


async def ask(client, serial="E-1", **body):
    return await client.post(f"/api/v1/engines/{serial}/predict", json=body)


def numbers(answer):
    rul = answer["prediction"]["rul"]
    return tuple(rul[f"{name}_cycles"] for name in ("mean", "q05", "q50", "q95"))


def of(outcome):
    rul = outcome.rul_cycles
    return rul.mean, rul.q05, rul.q50, rul.q95


async def test_from_the_stored_rows_the_centre_says_what_the_gateway_said(client, live):
    said = live()
    made = (await ask(client)).json()
    assert numbers(made) == of(said)
    shown = made["prediction"]
    assert (shown["cycle"], shown["origin"], shown["request_id"]) == (60, "centre", made["request_id"])
    assert shown["window"] == {"first_cycle": 1, "last_cycle": 60, "rows": 60}
    history = (await client.get("/api/v1/engines/E-1/predictions?include=input")).json()["items"]
    assert [(one["origin"], one["id"]) for one in history][1:] == [("centre", shown["id"])]
    assert history[1]["input"] is not None


@pytest.mark.parametrize("age", [None, 30])
async def test_the_centre_counts_an_engines_age_as_its_gateway_does(client, live, recorder, predictor, age):
    live()
    enter_age(recorder, "E-1", age)
    state = predictor.new_state()
    state.past.baseline_sound = age is not None
    for cycle, channels in ROWS:
        row = SensorRow("E-1", cycle + (age or 0), recorder.clock(), channels)
        step = predictor.step(state, row, age_known=age is not None)
    made = (await ask(client)).json()
    assert numbers(made) == of(step.outcome)
    assert made["prediction"]["cycle"] == 60
    assert made["prediction"]["flags"] == step.flags != {}


async def test_what_is_asked_for_leaves_the_engines_state_as_it_was(client, live):
    live()
    before = (await client.get("/api/v1/engines/E-1")).json()
    asked = (await ask(client, **given(ROWS[:40]))).json()
    assert asked["prediction"]["cycle"] == 40
    assert (await client.get("/api/v1/engines/E-1")).json() == before
    listed = (await client.get("/api/v1/predictions?model=turbofan")).json()["items"]
    assert [one["origin"] for one in listed] == ["centre", "edge"]


async def test_from_given_rows_nothing_else_is_known_of_the_engine(client, live, predictor, clock):
    live()
    state = predictor.new_state()
    for cycle, channels in ROWS[20:50]:
        outcome = predictor.step(state, SensorRow("E-1", cycle, clock(), channels)).outcome
    made = (await ask(client, **given(ROWS[20:50]))).json()
    assert numbers(made) == of(outcome)
    assert made["prediction"]["flags"] == {"cycle": ["late_start"]}


async def test_an_engine_without_a_row_was_predicted_for_its_site_too(client, recorder, bearer):
    recorder.register("E-1")
    wish = {"model": "turbofan", **given()}
    made = (await client.post("/api/v1/engines/E-1/predict", json=wish, headers=bearer())).json()
    for viewer in ("viewer@*", "viewer@hamburg"):
        listed = await client.get("/api/v1/predictions?model=turbofan", headers=bearer(viewer))
        assert [one["id"] for one in listed.json()["items"]] == [made["prediction"]["id"]], viewer
    elsewhere = await client.get("/api/v1/predictions?model=turbofan", headers=bearer("viewer@bremen"))
    assert elsewhere.json()["items"] == []


async def test_a_row_that_lacks_values_is_predicted_from_or_refused_with_the_reason(client, live):
    live()
    holed = [*ROWS[:40], (41, ROWS[40][1] | {"T30": None})]
    made = (await ask(client, **given(holed))).json()
    assert made["prediction"]["flags"] == {"T30": ["missing"]}
    empty = await ask(client, **given([*ROWS[:40], (41, dict.fromkeys(CHANNELS))]))
    assert empty.status_code == 422
    (problem,) = empty.json()["errors"]
    assert problem["location"] == "body.rows"
    assert "cycle 41: the operating condition is unknown" in problem["detail"]


async def test_what_cannot_be_predicted_from_is_named(client, live):
    live()
    strange = [*ROWS[:2], (3, ROWS[2][1] | {"colour": 1.0, "EGT": 2.0})]
    for rows, location, detail in (
        (strange, "body.rows.2.channels", f"model turbofan {VERSION} does not know EGT, colour; it knows BPR,"),
        ([*ROWS[:5], ROWS[4]], "body.rows", "cycle 5 cannot follow cycle 5"),
        (ROWS[:1] * 1001, "body.rows", "at most 1000 items"),
        ([], "body.rows", "at least 1 item"),
        ([(2**31, {})], "body.rows.0.cycle", "less than or equal to 2147483647"),
    ):
        answer = await ask(client, **given(rows))
        assert answer.status_code == 422, answer.text
        (problem,) = answer.json()["errors"]
        assert problem["location"] == location
        assert detail in problem["detail"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
async def test_a_number_that_json_does_not_have_is_refused(client, live, value):
    live()
    body = f'{{"rows": [{{"cycle": 1, "channels": {{"T24": {value}}}}}]}}'
    answer = await client.post(
        "/api/v1/engines/E-1/predict", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert "finite number" in answer.text


async def test_ten_thousand_rows_are_too_much_for_one_body(client, live):
    live()
    assert (await ask(client, **given(ROWS[:1] * 10_000))).status_code == 413


async def test_of_a_model_that_the_centre_does_not_have_it_says_so_and_which_there_are(client, recorder):
    unknown = ModelRef(name="turbofan", version=VERSION, sha256="ab" * 32)
    recorder.register("E-1")
    recorder.send(recorder.row("E-1", 1), recorder.prediction("E-1", 1, model=unknown))
    for body in ({}, given(ROWS[:1])):
        answer = await ask(client, **body)
        assert answer.status_code == 409
        assert f"turbofan {VERSION} (sha256 abababababab…) is not installed at the centre" in answer.json()["detail"]
        assert f"turbofan@{VERSION}" in answer.json()["detail"]
    assert (await ask(client, model="turbofan", **given())).status_code == 200
    wrong = await ask(client, model="turbofan@9.9.9")
    assert (wrong.status_code, wrong.json()["errors"][0]["location"]) == (422, "body.model")


def test_the_models_that_are_shown_as_examples_are_installed():
    examples = PredictionWish.model_fields["model"].examples
    assert [model_named(example).name for example in examples] == ["turbofan"]


async def test_an_engine_that_cannot_be_predicted_says_what_to_do(client, recorder, live, store, clock):
    assert (await ask(client, "E-9")).status_code == 404
    recorder.register("E-1")
    never = await ask(client, "E-1")
    assert (never.status_code, "never predicted: say which model" in never.json()["detail"]) == (409, True)
    bare = await ask(client, "E-1", model="turbofan")
    assert (bare.status_code, "no row is stored" in bare.json()["detail"]) == (409, True)
    register_engine(store, Registration("E-2", "hamburg"), clock())
    spare = await ask(client, "E-2", model="turbofan")
    assert (spare.status_code, "installed nowhere" in spare.json()["detail"]) == (409, True)
    edit_engine(store, "E-1", {"status": "retired"}, clock())
    retired = await ask(client, "E-1", **given())
    assert (retired.status_code, "is retired" in retired.json()["detail"]) == (409, True)


async def test_who_asked_is_in_the_audit_log(client, live, store, bearer):
    live()
    headers = bearer("technician@hamburg")
    made = await client.post("/api/v1/engines/E-1/predict", headers=headers)
    with store.engine.connect() as connection:
        (entry,) = connection.execute(select(core(AuditEntry)).where(core(AuditEntry).c.action == "engine.predict"))
    assert (entry.subject, entry.site, entry.who[:4]) == ("engine E-1", "hamburg", "key ")
    assert entry.after == {"origin": "centre", "request_id": made.json()["request_id"], "cycle": 60}


async def test_of_a_long_life_the_rows_that_matter_give_the_same(client, recorder, predictor, monkeypatch):
    monkeypatch.setattr(predicting, "FIRST_ROWS", 30)
    monkeypatch.setattr(predicting, "LAST_ROWS", 250)
    recorder.register("E-1")
    enter_age(recorder, "E-1", 0)
    state, cycle = predictor.new_state(), 0
    for _ in range(10):
        for _, channels in ROWS:
            cycle += 1
            step = predictor.step(state, SensorRow("E-1", cycle, recorder.clock(), channels))
            recorder.send(recorder.row("E-1", cycle, channels))
    made = (await ask(client, model="turbofan")).json()
    assert numbers(made) == of(step.outcome)
    assert made["prediction"]["flags"] == {}


async def test_many_are_answered_each_with_its_own_result_or_problem(client, live, recorder, bearer):
    live("E-1")
    live("E-3", gateway="gw-2", site="bremen")
    recorder.engine("E-2")
    wishes = [{"engine": "E-1"}, {"engine": "E-2"}, {"engine": "E-3"}, {"engine": "E-1", **given(ROWS[:30])}]
    answer = await client.post(
        "/api/v1/predictions", json={"engines": wishes}, headers=bearer("technician@hamburg", "viewer@bremen")
    )
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["engine"] for item in items] == ["E-1", "E-2", "E-3", "E-1"]
    problems = [item["problem"] and item["problem"]["status"] for item in items]
    assert problems == [None, 409, 404, None]
    assert [item["result"] and item["result"]["prediction"]["cycle"] for item in items] == [60, None, None, 30]
    too_many = await client.post("/api/v1/predictions", json={"engines": [{"engine": "E-1"}] * 101})
    assert too_many.status_code == 401
    too_many = await client.post("/api/v1/predictions", json={"engines": [{"engine": "E-1"}] * 101}, headers=bearer())
    assert too_many.status_code == 422


async def test_more_than_may_wait_is_told_to_come_back(client, live, monkeypatch):
    live()
    monkeypatch.setattr(turns, "WAITING_MAX", 2)
    answers = await asyncio.gather(*[ask(client) for _ in range(10)])
    assert {answer.status_code for answer in answers} == {200, 503}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert busy.headers["Retry-After"] == "1"


async def test_who_has_much_waiting_waits_before_asking_for_more(client, live, monkeypatch):
    live()
    monkeypatch.setattr(turns, "CALLER_WAITING_MAX", 2)
    wishes = [{"engine": "E-1", "where": "centre"}] * 4
    items = (await client.post("/api/v1/predictions", json={"engines": wishes})).json()["items"]
    assert [item["problem"] and item["problem"]["status"] for item in items] == [None, None, 429, 429]
    assert [item["problem"] and item["problem"]["retry_after_s"] for item in items] == [None, None, 10, 10]
    answers = await asyncio.gather(*[ask(client, where="centre") for _ in range(10)])
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.headers["Retry-After"], refused.json()["retry_after_s"]) == ("10", 10)
    assert "2 predictions that you asked for wait at the centre already" in refused.json()["detail"]


async def test_the_rows_of_one_engine_of_a_batch_are_in_memory_at_a_time(client, live, monkeypatch):
    live()
    held = most = 0
    look_up, forecast = predicting.Predicting._look_up, predicting.Inference.forecast

    def look_up_and_count(*args):
        nonlocal held, most
        held += 1
        most = max(most, held)
        return look_up(*args)

    async def forecast_and_count(*args):
        nonlocal held
        made = await forecast(*args)
        held -= 1
        return made

    monkeypatch.setattr(predicting.Predicting, "_look_up", look_up_and_count)
    monkeypatch.setattr(predicting.Inference, "forecast", forecast_and_count)
    await client.post("/api/v1/predictions", json={"engines": [{"engine": "E-1", "where": "centre"}] * 5})
    assert most == 1


async def test_without_a_runtime_it_says_what_to_install(client, live, monkeypatch):
    live()
    monkeypatch.setattr(runtimes, "MODULES", {"tflite-runtime": "no_such_module.interpreter"})
    answer = await ask(client)
    assert answer.status_code == 503
    assert "install spoolwatch[agent] or [aggregator]" in answer.json()["detail"]


async def test_a_gateways_clock_is_not_the_centres(client, live, clock):
    live()
    clock.at += timedelta(hours=1)
    shown = (await ask(client)).json()["prediction"]
    assert (shown["observed_at"], shown["predicted_at"]) == ("2026-11-21T12:00:00Z", "2026-11-21T13:00:00Z")


async def replay(client, id, serial="E-1"):
    return await client.post(f"/api/v1/engines/{serial}/predictions/{id}/replay")


async def test_p6_a_stored_prediction_comes_out_again_from_its_input_tensor(client, live, recorder, predictor):
    outcome = live()
    fields = {"rul_cycles": outcome.rul_cycles, "window": outcome.window, "input": outcome.input}
    said = msgspec.structs.replace(recorder.prediction("E-1", 61, model=predictor.model_ref), **fields)
    recorder.send(said)
    *_, stored = (await client.get("/api/v1/engines/E-1/predictions")).json()["items"]
    again = (await replay(client, stored["id"])).json()
    assert again["agreement"] == "identical"
    assert again["stored"] == stored
    assert again["prediction"]["rul"] == stored["rul"]
    assert (again["prediction"]["origin"], again["prediction"]["cycle"]) == ("replay", 61)
    assert (await replay(client, again["prediction"]["id"])).json()["agreement"] == "identical"


async def test_what_was_not_said_by_its_model_does_not_come_out_again(client, recorder, predictor):
    recorder.register("E-1")
    unknown = ModelRef(name="turbofan", version="1.0.9", sha256="cd" * 32)
    width = len(predictor.manifest.features.center)
    for cycle, model, tensor in (
        (1, predictor.model_ref, b"x"),
        (2, unknown, b"x"),
        (3, predictor.model_ref, b"x" * width),
    ):
        recorder.send(msgspec.structs.replace(recorder.prediction("E-1", cycle, model=model), input=tensor))
    ids = [one["id"] for one in (await client.get("/api/v1/engines/E-1/predictions")).json()["items"]]
    short, strange, different = [await replay(client, id) for id in ids]
    assert (short.status_code, "input tensor has 1 bytes" in short.json()["detail"]) == (409, True)
    assert (strange.status_code, "not installed at the centre" in strange.json()["detail"]) == (409, True)
    assert (different.status_code, different.json()["agreement"]) == (200, "different")
    recorder.register("E-2")
    for wrong in (await replay(client, 999), await replay(client, ids[0], "E-2"), await replay(client, ids[0], "E-9")):
        assert wrong.status_code == 404
    assert (await replay(client, 0)).status_code == (await replay(client, 2**63)).status_code == 422
