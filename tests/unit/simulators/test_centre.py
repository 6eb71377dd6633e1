"""The centre's API as a play uses it, against canned answers."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from shared.errors import SpoolwatchError
from simulators.centre import Api, Centre, EngineView, Rul

API = "http://centre.test"


def _centre(answer, key=None):
    return Centre(Api(API, key), httpx.MockTransport(answer))


def _summary(serial, **fields):
    unheard = {
        "band": "unknown",
        "liveness": {"state": "never_seen", "reason": "x"},
        "rul": None,
        "last_record_at": None,
    }
    return {"serial": serial, **unheard, **fields}


def test_waiting_ends_when_the_centre_is_ready():
    answers = [httpx.Response(503), httpx.Response(200)]
    checked = []

    _centre(lambda _: answers.pop(0)).wait_ready(5, lambda: checked.append(True))

    assert not answers
    assert checked == [True]


def test_waiting_is_bounded():
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SpoolwatchError, match=r"http://centre\.test/health/ready did not say that it is ready"):
        _centre(refuse).wait_ready(0)


def test_waiting_ends_when_the_centre_has_died():
    def died():
        raise SpoolwatchError("aggregator ended")

    with pytest.raises(SpoolwatchError, match="aggregator ended"):
        _centre(lambda _: httpx.Response(503)).wait_ready(5, died)


def test_an_engine_is_registered_at_its_gateway():
    requests = []

    def answer(request):
        requests.append(request)
        return httpx.Response(201)

    _centre(answer).register("E-01", "demo", "gw-E-01")

    (request,) = requests
    assert (request.method, request.url.path) == ("POST", "/api/v1/engines")
    assert b'"gateway":"gw-E-01"' in request.content.replace(b" ", b"")


def test_the_first_admin_is_made_and_a_key_for_the_play():
    requests = []

    def answer(request):
        requests.append((request.url.path, request.headers.get("Authorization"), json.loads(request.content)))
        return httpx.Response(201, json={"access_token": "a token", "key": "a key"})

    centre = _centre(answer)
    admin = centre.add_admin("demo")
    centre.register("E-01", "demo", "gw-E-01")

    (person, login, key, engine) = requests
    grants = [{"role": "admin", "site": "*"}]
    assert person == ("/api/v1/people", None, {"name": "admin", "password": admin.password, "grants": grants})
    assert login == ("/api/v1/sessions", None, {"name": "admin", "password": admin.password})
    assert (key[1], key[2]["role"], key[2]["sites"]) == ("Bearer a token", "engineer", ["demo"])
    assert engine[1] == "Bearer a key"


def test_a_centre_that_takes_a_key_is_shown_it():
    shown = []

    def answer(request):
        shown.append(request.headers["Authorization"])
        return httpx.Response(200, json={"items": []})

    _centre(answer, key="swk_x").views([])
    assert shown == ["Bearer swk_x"]


def test_an_engine_that_is_known_already_is_not_played_again():
    with pytest.raises(SpoolwatchError, match=r"E-01 was registered .* before.*--prefix"):
        _centre(lambda _: httpx.Response(200)).register("E-01", "demo", "gw-E-01")


def test_a_refusal_says_what_was_refused_and_why():
    with pytest.raises(SpoolwatchError, match=r"POST http://centre\.test/api/v1/engines: 422 wrong site"):
        _centre(lambda _: httpx.Response(422, text="wrong site")).register("E-01", "!", "gw-E-01")


def test_the_views_are_of_the_engines_asked_for():
    rul = {"mean_cycles": 33.0, "q05_cycles": 20.0, "q50_cycles": 31.0, "q95_cycles": 47.0, "cap_cycles": 125.0}
    items = [
        _summary(
            "E-01",
            band="warning",
            liveness={"state": "online", "reason": "x"},
            rul=rul,
            last_record_at="2026-01-01T00:00:00Z",
        ),
        _summary("E-02"),
        _summary("X-9"),
    ]

    views = _centre(lambda _: httpx.Response(200, json={"items": items})).views(["E-01", "E-02"])

    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert views == {
        "E-01": EngineView("E-01", "warning", "online", Rul(20.0, 31.0, 47.0, 125.0), at),
        "E-02": EngineView("E-02", link="never_seen"),
    }


def test_while_the_centre_does_not_answer_there_is_no_view():
    assert _centre(lambda _: httpx.Response(500)).views(["E-01"]) is None


def test_the_history_is_read_to_its_last_page():
    def answer(request):
        if "cursor" in request.url.params:
            return httpx.Response(200, json={"items": [{"cycle": 3, "refusal": "too hot"}]})
        following = f"<{request.url.path}?limit=500&cursor=x>; rel=next"
        return httpx.Response(200, json={"items": [{"cycle": 1, "refusal": None}]}, headers={"Link": following})

    stored = _centre(answer).stored(["E-01"])

    assert stored.telemetry == stored.predictions == {("E-01", 1): 1, ("E-01", 3): 1}
    assert stored.refusals == {("E-01", 3): "too hot"}
