"""Every route × role × own or foreign site × no credentials, and the table in docs/."""

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from fastapi.routing import iter_route_contexts
from sqlmodel import select

from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.api import deps
from aggregator.api.app import create_app
from aggregator.api.deps import Needs, calls_of
from aggregator.fleet.alarms import Priority, Rule
from aggregator.fleet.conditions import RulLow
from aggregator.fleet.notifying import Wishes
from aggregator.fleet.work_orders import Conclusion, Outcome
from aggregator.ingest.status import IngestStatus
from aggregator.permissions import permissions
from aggregator.store.alarm_rules import add_rule
from aggregator.store.alarms import OpenAlarms, Subject
from aggregator.store.arrivals import ReplyArrival
from aggregator.store.commands import issue
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.notifications import route as route_news
from aggregator.store.overhauls import NewOverhaul, overhaul
from aggregator.store.people import add_person
from aggregator.store.receivers import Address, NewReceiver, add_receiver
from aggregator.store.tables import Alarm, Engine, Gateway
from aggregator.store.work_orders import NewWorkOrder, Working, open_work_order
from shared.messages import FetchSamples, ModelRef, Predict, Reply
from shared.topics import GatewayTopic

FOLDER = Path(__file__).parents[4]
ROOT = Caller("root on this machine", FULL_ACCESS)
OWN, FOREIGN = "hamburg", "bremen"


class Case(NamedTuple):
    """How a route is called for what is at a site.

    Attributes:
        path: with what is at ``{site}``.
        json: makes the body.
        status: where it may be.
        foreign: what is at a site where the caller has no role is not found, refused, or simply not in the list.
        headers: beside those that say who asks.
    """

    path: str
    json: object = None
    status: int = 200
    foreign: int | str = 404
    headers: Mapping[str, str] = MappingProxyType({})


def _engine(site):
    return {"serial": f"new-{site}", "site": site, "gateway": f"gw-new-{site}"}


def _person(site):
    grants = [{"role": "viewer", "site": site}]
    return {"name": f"new-{site}", "password": "a long password", "grants": grants}


def _key(site):
    return {"purpose": "test", "role": "viewer", "sites": [site], "expires_in_days": 1}


def _gateway(site):
    return {"name": f"gw-new-{site}", "site": site}


def _installation(site):
    place = {"engine": f"E-{site}", "gateway": f"gw-{site}", "position": "old"}
    return place | {"installed_from": "2020-01-01T00:00:00Z", "installed_to": "2020-02-01T00:00:00Z"}


def _engines(site):
    return {"engines": [{"engine": f"E-{site}"}]}


LOW = {"kind": "rul_low", "below_cycles": 20, "probability": 0.05}


def _rule(site):
    return {"name": f"new-{site}", "site": site, "priority": "low", "condition": LOW}


def _receiver(site):
    wishes = {"events": ["alarm.raised"]}
    return {"name": f"new-{site}", "site": site, "kind": "cloudevents", "url": "http://[::1]:1/", "wishes": wishes}


def _tell(store, site, now):
    """Have a receiver of a site, that nobody can open, told of alarms; its id."""
    address = Address("cloudevents", "http://[::1]", "")
    return {"receiver": add_receiver(store, NewReceiver(f"r-{site}", site, address, Wishes()), now)}


def _order(site):
    return {"engine": f"E-{site}", "reason": "it is old"}


def _work(store, site, now):
    """Work on the engine of a site, which is to be done, and which is done; the ids of both."""
    to_do, done = (
        open_work_order(store, NewWorkOrder(f"E-{site}", (), {"reason": "it is old"}), now) for _ in range(2)
    )
    Working(store, now).finish(done, Conclusion(Outcome.NO_FAULT_FOUND, now))
    return {"order": to_do, "done": done}


def _raise(store, serial, now):
    """Raise an alarm of an engine, by a rule of its site; the ids of both."""
    with store.session() as session:
        (engine,) = session.exec(select(Engine).where(Engine.serial == serial))
    rule = Rule(f"own-{engine.site}", Priority.LOW, RulLow(below_cycles=20, probability=0.05), engine.site)
    with store.writing() as connection:
        OpenAlarms(connection, engine_ids=[engine.id]).raise_(rule, Subject(engine.id), now, "it is old")
    with store.session() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.engine_id == engine.id))
    return {"alarm": alarm.id, "rule": add_rule(store, rule, now)}


def _ask(store, serial, gateway, now, order=Predict):
    """Have a gateway asked for something about an engine; the id of the command."""
    with store.session() as session:
        (engine,) = session.exec(select(Engine).where(Engine.serial == serial))
        (asked,) = session.exec(select(Gateway).where(Gateway.name == gateway))
    return issue(store, asked, order(engine=serial), now, now, engine=engine).command_id


LIST = "not in the list"
SAME = "the same for all"
NUMBERS = "not counted"
ALARM, RULES, ORDERS = "/api/v1/alarms/{alarm}", "/api/v1/alarm-rules", "/api/v1/work-orders"
ORDER = ORDERS + "/{order}"
PLAN = "capacity_per_week=9&unplanned_removal_cost=5&planned_removal_cost=1&wasted_cycle_cost=0"
CASES = {
    "GET /api/v1/alarms": Case("/api/v1/alarms", foreign=LIST),
    "GET /api/v1/alarms.csv": Case("/api/v1/alarms.csv", foreign=LIST),
    "POST /api/v1/alarms/acknowledgements": Case(
        "/api/v1/alarms/acknowledgements", lambda _: {"ids": [1, 2]}, foreign=NUMBERS
    ),
    "GET /api/v1/alarms/{id}": Case(ALARM),
    "POST /api/v1/alarms/{id}/acknowledgement": Case(f"{ALARM}/acknowledgement"),
    "POST /api/v1/alarms/{id}/shelving": Case(f"{ALARM}/shelving", lambda _: {"until": "2026-11-22T00:00:00Z"}),
    "DELETE /api/v1/alarms/{id}/shelving": Case(f"{ALARM}/shelving"),
    "POST /api/v1/alarms/{id}/assignment": Case(f"{ALARM}/assignment", lambda _: {"to": "anna"}),
    "PUT /api/v1/alarms/{id}/priority": Case(f"{ALARM}/priority", lambda _: {"priority": "low", "reason": "spare"}),
    "POST /api/v1/alarms/{id}/comments": Case(f"{ALARM}/comments", lambda _: {"text": "seen"}),
    "POST /api/v1/alarms/{id}/resolution": Case(f"{ALARM}/resolution", lambda _: {"reason": "replaced"}),
    "GET /api/v1/work-orders": Case(ORDERS, foreign=LIST),
    "GET /api/v1/work-orders.csv": Case(f"{ORDERS}.csv", foreign=LIST),
    "POST /api/v1/work-orders": Case(ORDERS, _order, 201),
    "GET /api/v1/work-orders/{id}": Case(ORDER),
    "PATCH /api/v1/work-orders/{id}": Case(ORDER, lambda _: {"assigned_to": "anna"}),
    "POST /api/v1/work-orders/{id}/alarms": Case(f"{ORDER}/alarms", lambda site: {"ids": [1 if site == OWN else 2]}),
    "POST /api/v1/work-orders/{id}/start": Case(f"{ORDER}/start"),
    "POST /api/v1/work-orders/{id}/comments": Case(f"{ORDER}/comments", lambda _: {"text": "seen"}),
    "POST /api/v1/work-orders/{id}/outcome": Case(f"{ORDER}/outcome", lambda _: {"outcome": "no_fault_found"}),
    "PUT /api/v1/work-orders/{id}/outcome": Case(
        ORDERS + "/{done}/outcome", lambda _: {"outcome": "overhauled", "note": "after all"}
    ),
    "POST /api/v1/work-orders/{id}/cancellation": Case(f"{ORDER}/cancellation", lambda _: {"reason": "retired"}),
    "GET /api/v1/models/outcomes": Case("/api/v1/models/outcomes", foreign=NUMBERS),
    "GET /api/v1/alarm-rules/outcomes": Case(f"{RULES}/outcomes", foreign=NUMBERS),
    "GET /api/v1/alarm-rules": Case(RULES, foreign=LIST),
    "POST /api/v1/alarm-rules": Case(RULES, _rule, 201, 403),
    "POST /api/v1/alarm-rules/simulations": Case(f"{RULES}/simulations", lambda _: {"condition": LOW}, foreign=NUMBERS),
    "GET /api/v1/alarm-rules/{id}": Case(RULES + "/{rule}"),
    "PUT /api/v1/alarm-rules/{id}": Case(RULES + "/{rule}", lambda _: {"priority": "low", "condition": LOW}),
    "DELETE /api/v1/alarm-rules/{id}": Case(RULES + "/{rule}", status=204),
    "GET /api/docs": Case("/api/docs", foreign=SAME),
    "GET /api/openapi.json": Case("/api/openapi.json", foreign=SAME),
    "GET /api/v1/api-keys": Case("/api/v1/api-keys", foreign=LIST),
    "POST /api/v1/api-keys": Case("/api/v1/api-keys", _key, 201, 403),
    "DELETE /api/v1/api-keys/{key_id}": Case("/api/v1/api-keys/{key}", status=204),
    "GET /api/v1/audit": Case("/api/v1/audit", foreign=LIST),
    "GET /api/v1/engines": Case("/api/v1/engines", foreign=LIST),
    "POST /api/v1/engines": Case("/api/v1/engines", _engine, 201, 403),
    "GET /api/v1/engines/{serial}": Case("/api/v1/engines/E-{site}"),
    "PATCH /api/v1/engines/{serial}": Case("/api/v1/engines/E-{site}", lambda _: {"type": "pump"}),
    # The model that it was last predicted with is not installed here.
    "POST /api/v1/engines/{serial}/predict": Case("/api/v1/engines/E-{site}/predict", lambda _: {}, 409),
    "POST /api/v1/engines/{serial}/predictions/{id}/replay": Case(
        "/api/v1/engines/E-{site}/predictions/{prediction}/replay", status=409
    ),
    "GET /api/v1/engines/{serial}/overhauls": Case("/api/v1/engines/E-{site}/overhauls"),
    "DELETE /api/v1/engines/{serial}/overhauls/{epoch}": Case("/api/v1/engines/E-{site}/overhauls/1", status=204),
    "POST /api/v1/engines/{serial}/overhauls": Case("/api/v1/engines/E-{site}/overhauls", lambda _: {}, 201),
    "GET /api/v1/engines/{serial}/why": Case("/api/v1/engines/E-{site}/why"),
    "GET /api/v1/engines/{serial}/telemetry/buckets": Case("/api/v1/engines/E-{site}/telemetry/buckets"),
    "GET /api/v1/engines/{serial}/predictions/buckets": Case("/api/v1/engines/E-{site}/predictions/buckets"),
    "GET /api/v1/engines/{serial}/telemetry.csv": Case("/api/v1/engines/E-{site}/telemetry.csv"),
    "GET /api/v1/engines/{serial}/predictions.csv": Case("/api/v1/engines/E-{site}/predictions.csv"),
    "GET /api/v1/engines/{serial}/predictions": Case("/api/v1/engines/E-{site}/predictions"),
    "GET /api/v1/engines/{serial}/telemetry": Case("/api/v1/engines/E-{site}/telemetry"),
    "GET /api/v1/events": Case("/api/v1/events", foreign=LIST, headers={"Last-Event-ID": "{epoch}.0.0"}),
    "GET /api/v1/fleet": Case("/api/v1/fleet", foreign=NUMBERS),
    "GET /api/v1/fleet/due": Case("/api/v1/fleet/due?before=2099-01-01&verdict=undetermined", foreign=LIST),
    "GET /api/v1/fleet/plan": Case(f"/api/v1/fleet/plan?{PLAN}", foreign=NUMBERS),
    "GET /api/v1/fleet/plan.csv": Case(f"/api/v1/fleet/plan.csv?{PLAN}", foreign=NUMBERS),
    "GET /api/v1/gateways": Case("/api/v1/gateways", foreign=LIST),
    "GET /api/v1/gateways/{name}": Case("/api/v1/gateways/gw-{site}"),
    "POST /api/v1/gateways": Case("/api/v1/gateways", _gateway, 201, 403),
    "POST /api/v1/gateways/{name}/enrolment-tokens": Case("/api/v1/gateways/gw-{site}/enrolment-tokens", status=201),
    "GET /api/v1/gateways/{name}/certificates": Case("/api/v1/gateways/gw-{site}/certificates"),
    "DELETE /api/v1/gateways/{name}/certificates": Case("/api/v1/gateways/gw-{site}/certificates", status=204),
    "GET /api/v1/enrolment/authority": Case("/api/v1/enrolment/authority", foreign=SAME),
    "POST /api/v1/enrolment": Case("/api/v1/enrolment", lambda _: {"token": "", "signing_request": ""}, 401, SAME),
    "POST /api/v1/enrolment/renewals": Case(
        "/api/v1/enrolment/renewals",
        lambda _: {"certificate": "", "signing_request": "", "signature": ""},
        *(422, SAME),
    ),
    "GET /api/v1/gateways/{name}/commands": Case("/api/v1/gateways/gw-{site}/commands"),
    "GET /api/v1/gateways/{name}/commands/{id}": Case("/api/v1/gateways/gw-{site}/commands/{command}"),
    # It was never heard from, so that nothing can be asked of it.
    "POST /api/v1/gateways/{name}/commands": Case(
        "/api/v1/gateways/gw-{site}/commands", lambda _: {"action": "restart_source"}, 409
    ),
    "GET /api/v1/gateways/{name}/commands/{id}/samples.csv": Case(
        "/api/v1/gateways/gw-{site}/commands/{fetch}/samples.csv"
    ),
    "GET /api/v1/operations/{id}": Case("/api/v1/operations/{command}"),
    "GET /api/v1/installations": Case("/api/v1/installations", foreign=LIST),
    "POST /api/v1/installations": Case("/api/v1/installations", _installation, 201),
    "GET /api/v1/installations/{id}": Case("/api/v1/installations/{installation}"),
    "PATCH /api/v1/installations/{id}": Case("/api/v1/installations/{installation}", lambda _: {"position": "2"}),
    "GET /api/v1/models": Case("/api/v1/models", foreign=NUMBERS),
    "GET /api/v1/predictions": Case("/api/v1/predictions?model=turbofan", foreign=LIST),
    "POST /api/v1/predictions": Case("/api/v1/predictions", _engines, foreign=LIST),
    "GET /api/v1/missing": Case("/api/v1/missing", foreign=LIST),
    "GET /api/v1/people": Case("/api/v1/people", foreign=LIST),
    "POST /api/v1/people": Case("/api/v1/people", _person, 201, 403),
    "GET /api/v1/people/{name}": Case("/api/v1/people/p-{site}"),
    "PATCH /api/v1/people/{name}": Case("/api/v1/people/p-{site}", lambda _: {"disabled": True}),
    "GET /api/v1/quarantine": Case("/api/v1/quarantine", foreign=LIST),
    "GET /api/v1/quarantine/{id}": Case("/api/v1/quarantine/{message}"),
    "DELETE /api/v1/quarantine/{id}": Case("/api/v1/quarantine/{message}", status=204),
    "POST /api/v1/quarantine/{id}/redrive": Case("/api/v1/quarantine/{message}/redrive", status=409),
    "POST /api/v1/quarantine/redrive": Case("/api/v1/quarantine/redrive", lambda _: {}, foreign=NUMBERS),
    "POST /api/v1/sessions": Case("/api/v1/sessions", lambda _: {"name": "x", "password": "y"}, 401, SAME),
    "DELETE /api/v1/sessions/current": Case("/api/v1/sessions/current", status=204, foreign=SAME),
    "GET /api/v1/receivers": Case("/api/v1/receivers", foreign=LIST),
    "POST /api/v1/receivers": Case("/api/v1/receivers", _receiver, 201, 403),
    "GET /api/v1/receivers/{id}": Case("/api/v1/receivers/{receiver}"),
    "PUT /api/v1/receivers/{id}": Case("/api/v1/receivers/{receiver}", lambda _: {"enabled": False}),
    "DELETE /api/v1/receivers/{id}": Case("/api/v1/receivers/{receiver}", status=204),
    "POST /api/v1/receivers/{id}/test": Case("/api/v1/receivers/{receiver}/test"),
    # What is sealed of it opens by no key.
    "POST /api/v1/receivers/{id}/secret": Case("/api/v1/receivers/{receiver}/secret", lambda _: {}, 409),
    "GET /api/v1/notifications": Case("/api/v1/notifications", foreign=LIST),
    "POST /api/v1/notifications/resends": Case(
        "/api/v1/notifications/resends", lambda _: {"ids": [1, 2]}, foreign=NUMBERS
    ),
    "GET /api/v1/sessions/current": Case("/api/v1/sessions/current", foreign=SAME),
    "PUT /api/v1/sessions/current/password": Case(
        "/api/v1/sessions/current/password", lambda _: {"old": "x", "new": "another long one"}, 403, SAME
    ),
    "POST /api/v1/sessions/refresh": Case("/api/v1/sessions/refresh", lambda _: {"refresh_token": "x"}, 401, SAME),
    "GET /health/live": Case("/health/live", foreign=SAME),
    "GET /health/ready": Case("/health/ready", foreign=SAME),
}
PERMISSIONS = permissions(create_app(Store("sqlite:///never-opened.db"), IngestStatus()))
ROUTES = {f"{one.method} {one.path}": one.takes for one in PERMISSIONS}
IN_PERSON = {f"{one.method} {one.path}" for one in PERMISSIONS if one.in_person}


@pytest.fixture
async def sites(app, client, recorder, store, clock, bearer, logged_in):
    """At each of two sites an engine with history, missing and quarantined records, a person and a key."""
    app.state.centre.feed.close()  # so that a stream ends once it has told what there is
    ids = {}
    admin = logged_in()
    for site in (OWN, FOREIGN):
        recorder.engine(f"E-{site}", gateway=f"gw-{site}", site=site)
        recorder.garbage(f"{site}{{".encode(), gateway=f"gw-{site}", site=site)
        reply = Reply(command_id="c", outcome="done", stream_id=f"stream-gw-{site}", unavailable=[(900, 901)])
        commit(store, [ReplyArrival(GatewayTopic(site, f"gw-{site}", "reply"), reply, clock())])
        made = await client.post("/api/v1/api-keys", json=_key(site), headers=admin)
        (message,) = (await client.get("/api/v1/quarantine", headers=bearer(f"viewer@{site}"))).json()["items"]
        engine = (await client.get(f"/api/v1/engines/E-{site}", headers=admin)).json()
        told = _tell(store, site, clock())
        ids[site] = (
            _raise(store, f"E-{site}", clock())
            | told
            | _work(store, site, clock())
            | {
                "key": made.json()["id"],
                "message": message["id"],
                "installation": engine["installation"]["id"],
                "epoch": store.epoch().partition("-")[0],
                "prediction": engine["prediction"]["id"],
                "command": _ask(store, f"E-{site}", f"gw-{site}", clock()),
                "fetch": _ask(
                    store, f"E-{site}", f"gw-{site}", clock(), partial(FetchSamples, since=clock(), until=clock())
                ),
            }
        )
        overhaul(store, NewOverhaul(f"E-{site}", clock.in_(-1)), clock())
        add_person(store, f"p-{site}", "no hash", (Grant(Role.VIEWER, site),), ROOT, clock())
    route_news(store, clock(), lambda _: {})
    return ids


@pytest.fixture
def call(client, sites):
    async def send(route, site, headers):
        case = CASES[route]
        path = case.path.format(site=site, **sites[site])
        body = None if case.json is None else case.json(site)
        headers = headers | {name: value.format(**sites[site]) for name, value in case.headers.items()}
        return await client.request(route.split()[0], path, json=body, headers=headers)

    return send


def test_every_route_is_tried_here():
    assert ROUTES.keys() == CASES.keys()


def test_a_route_that_does_not_say_whom_it_takes_is_found(store, ingest):
    app = create_app(store, ingest)
    app.get("/api/v1/forgotten")(lambda: None)
    with pytest.raises(ValueError, match="/api/v1/forgotten does not say whom it takes"):
        permissions(app)
    other = create_app(store, ingest)
    other.mount("/files", other)
    with pytest.raises(ValueError, match="/files does not say whom it takes"):
        permissions(other)


@pytest.mark.parametrize("route", sorted(CASES))
async def test_p8_a_route_takes_whom_the_table_says_and_nobody_else(route, call, bearer, logged_in):
    case, takes = CASES[route], ROUTES[route]
    unknown = await call(route, OWN, {"Authorization": "Bearer swk_00000000_x"})
    nobody = await call(route, OWN, {})
    expected = case.status if takes == "everybody" else 401
    assert (nobody.status_code, unknown.status_code) == (expected, expected)
    enough = [takes in ("everybody", "anybody") or role.includes(Role(takes)) for role in Role]
    answers = [
        await call(route, OWN, bearer(f"{role}@{OWN}")) for role, may in zip(Role, enough, strict=True) if not may
    ]
    assert {answer.status_code for answer in answers} <= {403}
    lowest = list(Role)[enough.index(True)]
    if route in IN_PERSON:
        by_key = await call(route, OWN, bearer())
        assert (by_key.status_code, "by a person" in by_key.json()["detail"]) == (403, True)
    shows = logged_in if route in IN_PERSON else bearer
    answer = await call(route, OWN, shows(f"{lowest}@{OWN}"))
    assert answer.status_code == case.status, answer.text
    if case.foreign == LIST:
        assert OWN in answer.text
        assert FOREIGN not in answer.text


@pytest.mark.parametrize("route", sorted(route for route, case in CASES.items() if isinstance(case.foreign, int)))
async def test_p8_what_is_at_a_foreign_site_stays_out_of_reach(route, call, bearer, logged_in):
    case, shows = CASES[route], logged_in if route in IN_PERSON else bearer
    stranger = await call(route, FOREIGN, shows(f"admin@{OWN}"))
    # Who may less at the site of the thing than at home is no better off.
    half = await call(route, FOREIGN, shows(f"admin@{OWN}", f"viewer@{FOREIGN}"))
    assert stranger.status_code == case.foreign
    if ROUTES[route] != "viewer":
        assert half.status_code == case.foreign
    assert (await call(route, FOREIGN, shows())).status_code == case.status


def test_nobody_takes_a_readers_place_before_they_are_recognised():
    app = create_app(Store("sqlite:///never-opened.db"), IngestStatus())
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        calls = [] if dependant is None else list(calls_of(dependant))
        if deps.reading in calls:
            assert any(isinstance(call, Needs) for call in calls[: calls.index(deps.reading)]), route.path


async def test_a_stranger_is_told_the_same_of_what_is_elsewhere_and_of_what_is_not(call, client, bearer):
    headers = bearer(f"viewer@{OWN}")
    elsewhere = await call("GET /api/v1/engines/{serial}", FOREIGN, headers)
    nowhere = await client.get("/api/v1/engines/E-nowhere", headers=headers)
    assert elsewhere.json()["detail"].replace(FOREIGN, "nowhere") == nowhere.json()["detail"]


@pytest.mark.usefixtures("sites")
async def test_the_pages_of_a_list_stay_within_ones_sites(client, bearer, recorder):
    recorder.engine("E-2", gateway="gw-2", site=OWN)
    recorder.engine("E-a", gateway=f"gw-{FOREIGN}", site=FOREIGN, position="2")
    headers, url, seen = bearer(f"viewer@{OWN}"), "/api/v1/engines?limit=1", []
    while url:
        page = await client.get(url, headers=headers)
        seen += [engine["serial"] for engine in page.json()["items"]]
        url = page.links["next"]["url"] if "next" in page.links else None
    assert seen == ["E-2", f"E-{OWN}"]
    asked_for = await client.get("/api/v1/engines", params={"site": FOREIGN}, headers=headers)
    assert asked_for.json()["items"] == []


async def test_only_what_is_at_ones_sites_is_counted_and_redriven(call, bearer):
    viewer, engineer = bearer(f"viewer@{OWN}"), bearer(f"engineer@{OWN}", f"viewer@{FOREIGN}")
    assert (await call("GET /api/v1/fleet", OWN, viewer)).json()["counts"]["total"] == 1
    assert (await call("GET /api/v1/fleet", OWN, engineer)).json()["counts"]["total"] == 2
    redriven = await call("POST /api/v1/quarantine/redrive", OWN, engineer)
    assert redriven.json() == {"taken": 0, "refused": 1, "next": None}


@pytest.mark.usefixtures("sites")
async def test_what_models_and_what_is_given_up_elsewhere_is_not_told(client, bearer, recorder):
    elsewhere = ModelRef(name="elsewhere", version="1", sha256="cd" * 32)
    prediction = recorder.prediction(f"E-{FOREIGN}", 9, model=elsewhere)
    recorder.send(prediction, gateway=f"gw-{FOREIGN}", site=FOREIGN)
    for headers, names, given_up in (
        (bearer(f"viewer@{OWN}"), {"turbofan"}, None),
        (bearer(f"viewer@{FOREIGN}"), {"turbofan", "elsewhere"}, None),
        (bearer(), {"turbofan", "elsewhere"}, 0),
    ):
        models = (await client.get("/api/v1/models", headers=headers)).json()
        assert {model["name"] for model in models} == names
        assert (await client.get("/api/v1/quarantine", headers=headers)).json()["given_up"] == given_up


async def test_no_engine_is_moved_to_or_from_a_site_where_one_is_no_engineer(call, client, bearer):
    headers = bearer(f"engineer@{OWN}", f"viewer@{FOREIGN}")
    moved = await client.patch(f"/api/v1/engines/E-{OWN}", json={"site": FOREIGN}, headers=headers)
    assert (moved.status_code, moved.json()["detail"]) == (403, f"This takes the role engineer at site {FOREIGN}.")
    for engine, gateway, status in ((OWN, FOREIGN, 409), (FOREIGN, OWN, 404)):
        place = _installation(engine) | {"gateway": f"gw-{gateway}"}
        answer = await client.post("/api/v1/installations", json=place, headers=headers)
        assert answer.status_code == status
        assert "is not registered" in answer.json()["detail"]


def test_the_table_in_docs_is_current(tmp_path):
    subprocess.run([sys.executable, "-m", "aggregator.permissions", tmp_path / "now.md"], check=True)
    written = (FOLDER / "docs" / "permissions.md").read_text(encoding="utf-8")
    assert written == (tmp_path / "now.md").read_text(encoding="utf-8"), "run: make contracts"
